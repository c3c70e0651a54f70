//! Labs of a scenario's own, without Kubernetes.

use std::error::Error;
use std::net::Ipv4Addr;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use regent::derive::{self, Beside};
use regent::event::Events;
use regent::fault::Impairment;
use regent::image::NodeImage;
use regent::lab::residue::Snapshot;
use regent::lab::{Lab, LabPaths};
use regent::node::Node;
use regent::plan::{NodePlan, Plan};
use regent::provider::{self, Boot, Fault, NodeMedia, Provider};
use regent::spec::{ClusterSpec, Driver, Memory};

use crate::cluster::Seen;
use crate::lab_scenarios;

pub type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// From its start, a container answers on SSH within 2 s, an emulated machine within 20 s alone and a minute beside two
/// others; the bounds are for a machine that is busy with others.
const BOOT: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(180));

/// The kernel takes a network namespace apart after its last process has gone, and says nothing at the end.
const CLEARED: Duration = Duration::from_secs(5);

/// A state directory of the scenario's own, and the machine as it was before.
pub struct State {
    path: Utf8PathBuf,
    before: Snapshot,
    _directory: tempfile::TempDir,
}

impl State {
    pub fn new() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let path = Utf8PathBuf::try_from(directory.path().to_owned())?;
        let before = Snapshot::take(&path)?;
        Ok(Self {
            path,
            before,
            _directory: directory,
        })
    }

    pub fn path(&self) -> &Utf8Path {
        &self.path
    }

    pub fn lab(&self, plan: &Plan) -> LabPaths {
        LabPaths::new(self.path(), &plan.cluster)
    }

    /// Takes a lab down; how long that took.
    pub fn down(&self, plan: &Plan) -> Result<Duration> {
        let begun = Instant::now();
        Lab::down(&self.lab(plan), &Events::none())?;
        Ok(begun.elapsed())
    }

    /// Fails if the machine is not as it was before.
    pub fn nothing_is_left(&self) -> Result {
        let deadline = Instant::now() + CLEARED;
        loop {
            let left = self.before.difference(&Snapshot::take(self.path())?);
            if left.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("not as before:\n{}", left.join("\n")).into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for State {
    /// A scenario that failed leaves its labs, and nothing else knows of them.
    fn drop(&mut self) {
        let labs = self.path().join("labs").read_dir_utf8();
        for lab in labs.into_iter().flatten().flatten() {
            let Ok(cluster) = lab.file_name().parse() else {
                continue;
            };
            if let Err(error) = Lab::down(&LabPaths::new(self.path(), &cluster), &Events::none()) {
                println!("the lab {} stays behind: {error}", lab.path());
            }
        }
    }
}

/// The plan of the default cluster under a name.
pub fn planned(cluster: &str) -> Result<Plan> {
    let spec = ClusterSpec::new(cluster.parse()?);
    Ok(derive::plan(&spec, Driver::Lxc, Beside::default()))
}

/// The plan of virtual machines as small as can be: a load balancer, control-plane nodes, a worker.
pub fn planned_machines(cluster: &str, control_plane: u8) -> Result<Plan> {
    let mut spec = ClusterSpec::new(cluster.parse()?);
    (spec.control_plane.count, spec.workers.count) = (control_plane, 1);
    (spec.control_plane.cpus, spec.workers.cpus) = (1, 1);
    (spec.control_plane.memory, spec.workers.memory) = (Memory::gib(1), Memory::gib(1));
    Ok(derive::plan(&spec, Driver::Qemu, Beside::default()))
}

/// The plan of a cluster that is one control-plane node, a virtual machine, and a load balancer.
pub fn planned_control_plane(cluster: &str) -> Result<Plan> {
    let mut spec = ClusterSpec::new(cluster.parse()?);
    (spec.control_plane.count, spec.workers.count) = (1, 0);
    Ok(derive::plan(&spec, Driver::Qemu, Beside::default()))
}

/// A lab with a connection to its libvirt.
pub struct Running {
    pub lab: Lab,
    pub provider: Arc<dyn Provider>,
    gateway: Ipv4Addr,
    image: NodeImage,
    runtime: tokio::runtime::Runtime,
}

impl Running {
    /// Enters the lab, connects, and starts its network.
    pub fn start(state: &Utf8Path, plan: &Plan, image: &NodeImage) -> Result<Self> {
        let lab = Lab::enter(&LabPaths::new(state, &plan.cluster), plan, &Events::none())?;
        let runtime = lab.runtime()?;
        let provider = runtime.block_on(provider::connect(&lab, plan))?;
        runtime.block_on(provider.ensure_network())?;
        let image = image.clone();
        Ok(Self {
            lab,
            provider,
            gateway: plan.network.gateway,
            image,
            runtime,
        })
    }

    /// Starts the node and waits until it answers; true if it had to be started.
    pub fn boot(&self, node: &NodePlan) -> Result<bool> {
        let started = self.switch_on(node)?;
        self.answers(node)?;
        Ok(started)
    }

    /// Starts the node; true if it had to be started.
    pub fn switch_on(&self, node: &NodePlan) -> Result<bool> {
        let media = NodeMedia {
            boot: Boot::of(&self.image, node),
            host: self.lab.secrets().hosts[&node.name].clone(),
            authorized: self.lab.secrets().client.public.clone(),
        };
        Ok(self.on(self.provider.ensure_node(node, &media))?)
    }

    /// Waits until the node answers.
    pub fn answers(&self, node: &NodePlan) -> Result {
        let ssh = self.ssh(node)?;
        let patience = match self.image.machine {
            None => BOOT.0,
            Some(_) => BOOT.1,
        };
        let answer = self
            .runtime
            .spawn(async move { ssh.wait_reachable(patience).await });
        let Err(error) = self.runtime.block_on(answer)? else {
            return Ok(());
        };
        let console = self.on(self.provider.console(&node.name));
        Err(format!("{error}\n{}", console.unwrap_or_default()).into())
    }

    /// Runs a script on the node.
    pub fn run(&self, node: &NodePlan, script: &str) -> Result<String> {
        let output = self.runtime.spawn(self.ssh(node)?.script(script).run());
        Ok(self.runtime.block_on(output)??)
    }

    /// Injects a fault; how long that took from the instant before it.
    pub fn inject(&self, node: &NodePlan, fault: Fault) -> Result<Duration> {
        Ok(self.on(self.provider.inject(&node.name, fault))?.elapsed())
    }

    /// Heals the node and waits until it answers; how long that took.
    pub fn heal(&self, node: &NodePlan) -> Result<Duration> {
        let begun = Instant::now();
        self.on(self.provider.heal(&node.name))?;
        self.answers(node)?;
        Ok(begun.elapsed())
    }

    /// Waits until the node answers and says that it is another boot than `before`.
    pub fn answers_anew(&self, node: &NodePlan, before: &str) -> Result {
        let begun = Instant::now();
        loop {
            self.answers(node)?;
            // A connection to the old boot may still be accepted, and then break.
            match self.run(node, "cat /proc/sys/kernel/random/boot_id") {
                Ok(boot) if boot != before => return Ok(()),
                seen if begun.elapsed() > BOOT.1 => {
                    return Err(format!("{}: no new boot, last {seen:?}", node.name).into());
                }
                _ => std::thread::sleep(Duration::from_millis(500)),
            }
        }
    }

    /// Imposes something on a running node.
    pub fn impair(&self, node: &NodePlan, impairment: Impairment) -> Result {
        let (ssh, spared) = (self.ssh(node)?, self.gateway);
        let imposed = self
            .runtime
            .spawn(async move { impairment.impose(&ssh, spared).await });
        Ok(self.runtime.block_on(imposed)??)
    }

    /// Lifts it again.
    pub fn lift(&self, node: &NodePlan, driver: Driver) -> Result {
        let ssh = self.ssh(node)?;
        let lifted = self
            .runtime
            .spawn(async move { Impairment::lift(&ssh, driver).await });
        Ok(self.runtime.block_on(lifted)??)
    }

    pub fn boot_identity(&self, node: &NodePlan) -> Result<Option<String>> {
        Ok(self.on(self.provider.boot_identity(&node.name))?)
    }

    /// Does something in the lab's network, for three seconds at most.
    pub fn within<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<Option<T>> {
        let limit = Duration::from_secs(3);
        let work = self
            .runtime
            .spawn(async move { tokio::time::timeout(limit, work).await });
        Ok(self.runtime.block_on(work)?.ok())
    }

    /// Waits for something that needs no connection to a node.
    pub fn on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    fn ssh(&self, node: &NodePlan) -> Result<Node> {
        let secrets = self.lab.secrets();
        let host = &secrets.hosts[&node.name];
        Ok(Node::new(&node.name, node.address, &secrets.client, host)?)
    }
}

/// Returns the number of the process that holds a private lab.
pub fn holder(paths: &LabPaths) -> Result<u64> {
    let record: serde_json::Value = serde_json::from_slice(&std::fs::read(paths.record())?)?;
    record["connection"]["holder"]["pid"]
        .as_u64()
        .ok_or_else(|| "the lab has no holder on record".into())
}

/// The part of a scenario that runs in a process of its own: this program, told so by its environment.
#[derive(Debug, Clone, Copy)]
pub enum Part {
    /// `regent up`, to be killed.
    Up,
    /// Everything of [`lab_scenarios::a_shared_libvirt_keeps_its_own`] that the machine's user does.
    Guest,
}

const PART: &str = "REGENT_VMTEST_PART";
const STATE: &str = "REGENT_VMTEST_STATE";
const IMAGE: [&str; 2] = ["REGENT_VMTEST_ROOT", "REGENT_VMTEST_CONTAINERD"];

impl Part {
    /// Sets a command that runs this program up to play the part.
    pub fn set(self, command: &mut Command, state: &Utf8Path, image: &NodeImage) {
        command.env(PART, format!("{self:?}")).env(STATE, state);
        command
            .env(IMAGE[0], &image.root)
            .env(IMAGE[1], &image.containerd);
    }

    /// Plays the part that the environment asks for, if it does.
    pub fn play() -> Option<ExitCode> {
        let variable = |name| std::env::var(name).unwrap_or_default();
        std::env::var_os(PART)?;
        let [root, containerd] = IMAGE.map(|name| variable(name).into());
        let image = NodeImage {
            root,
            containerd,
            machine: None,
            parts: vec![],
        };
        let state = variable(STATE);
        let result: Seen = match variable(PART).as_str() {
            "Up" => lab_scenarios::up(&image, state.as_str().into()),
            "Guest" => lab_scenarios::guest(&image),
            _ => return None,
        };
        Some(match result {
            Ok(_) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        })
    }
}
