//! Nodes in memory: each a directory that scripts take for their root, behind an SSH server of its own at the planned
//! address, which is one of this machine's loopback. Programs of a node are replaced where they would need a real one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::servers::{Voice, certificates, serve};
use super::truth::Truth;
use crate::derive::{self, Beside};
use crate::event::{Event, Events};
use crate::image::NodeImage;
use crate::lab::tests::kept;
use crate::lab::{Lab, LabPaths};
use crate::name::NodeName;
use crate::node::Node;
use crate::node::sshd::Sshd;
use crate::plan::{ImageArchive, NodePlan, Plan};
use crate::provider::memory::{Fate, Memory};
use crate::provider::{DomainState, Fault, Provider as _};
use crate::recipe::act::Run;
use crate::recipe::up::Worked as _;
use crate::recipe::{Action, OpenedBackup, Outcome, RecipeError, Restored, replace, restore, up};
use crate::site::Site;
use crate::spec::{ClusterSpec, Driver, Endpoint};
use crate::store::Sha256;

/// Nobody needs a right for it.
const SSH: u16 = 2222;

/// What stands for a node's programs. `nothing` is what the rest are.
const PROGRAMS: [(&str, &str); 14] = [
    ("ctr", include_str!("programs/ctr")),
    ("curl", include_str!("programs/curl")),
    ("etcdctl", include_str!("programs/etcdctl")),
    ("etcdutl", include_str!("programs/etcdutl")),
    ("kubeadm", include_str!("programs/kubeadm")),
    ("kubectl", include_str!("programs/kubectl")),
    ("mv", include_str!("programs/mv")),
    ("nothing", include_str!("programs/nothing")),
    ("pgrep", include_str!("programs/pgrep")),
    ("openssl", include_str!("programs/openssl")),
    ("socat", include_str!("programs/socat")),
    ("ss", include_str!("programs/ss")),
    ("systemctl", include_str!("programs/systemctl")),
    ("systemd-run", include_str!("programs/systemd-run")),
];
const NOTHING: [&str; 5] = ["haproxy", "networkctl", "pkill", "sync", "sysctl"];

/// A cluster's nodes, and what is left of them when regent dies.
pub(super) struct Bench {
    pub(super) truth: Arc<Truth>,
    provider: Arc<Memory>,
    /// How many commands the nodes have been given.
    commands: Arc<watch::Sender<usize>>,
    steps: Arc<Mutex<BTreeSet<String>>>,
    paths: LabPaths,
    /// The same cluster with one control-plane node, by plain `kubeadm init`.
    alone: Plan,
    _servers: Vec<AbortOnDropHandle<()>>,
    _anchor: Anchor,
    _scratch: tempfile::TempDir,
}

/// A manifest, and an archive whose content is its image's name.
fn beside(root: &Utf8Path) -> Beside {
    let (name, source) = ("lab.example.com/app:1", root.join("app.tar"));
    let content = format!("{name}\n");
    fs::write(&source, &content).unwrap();
    Beside {
        manifests: vec![("app.yaml".to_owned(), "kind: Namespace\n".to_owned())],
        images: vec![ImageArchive {
            file: "app.tar".into(),
            source,
            sha256: Sha256::of(content.as_bytes()).to_string(),
            names: [name.to_owned()].into(),
        }],
        ..Beside::default()
    }
}

/// Every bench has a network of its own, so that tests run side by side.
fn network() -> String {
    static BENCHES: AtomicU8 = AtomicU8::new(0);
    let process = 64 + std::process::id() % 128;
    let bench = BENCHES.fetch_add(1, Ordering::Relaxed);
    format!("127.{process}.{bench}.0/24")
}

impl Bench {
    pub(super) fn new(control_plane: u8, workers: u8) -> Self {
        let mut spec = ClusterSpec::new("bench".parse().unwrap());
        spec.network.cidr = network().parse().unwrap();
        (spec.control_plane.count, spec.workers.count) = (control_plane, workers);
        let scratch = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(scratch.path().to_owned()).unwrap();
        let plan = derive::plan(&spec, Driver::Lxc, beside(&root));
        (spec.control_plane.count, spec.control_plane.endpoint) = (1, Endpoint::None);
        let alone = derive::plan(&spec, Driver::Lxc, beside(&root));
        let shared = root.join("cluster");
        let acceptor = certificates(&plan, &shared);
        let paths = LabPaths::new(&root.join("state"), &plan.cluster);
        kept(&paths, &plan);
        let anchor = Anchor::new(&plan, &root);

        let truth = Arc::new(Truth::new(&plan, root));
        let api = serve(
            (plan.network.endpoint, 6443),
            Voice::Balanced,
            acceptor.clone(),
            truth.clone(),
        );
        let members = plan.control_plane().flat_map(|node| {
            let voices = [
                (2379, Voice::Etcd(node.name.clone())),
                (6443, Voice::Api(node.name.clone())),
            ];
            voices.map(|(port, voice)| {
                serve((node.address, port), voice, acceptor.clone(), truth.clone())
            })
        });
        let servers = members.chain([api]).collect();
        let commands = Arc::new(watch::Sender::new(0));
        let power = power(&paths, anchor.0.id(), truth.clone(), commands.clone());
        Self {
            provider: Arc::new(Memory::new(power)),
            truth,
            commands,
            steps: Arc::default(),
            paths,
            alone,
            _servers: servers,
            _anchor: anchor,
            _scratch: scratch,
        }
    }

    /// A regent of its own: it knows what the lab's files say.
    pub(super) fn site(&self) -> Site {
        let lab = Arc::new(Lab::hold(&self.paths).unwrap().unwrap());
        let secrets = lab.secrets();
        let node = |name: &NodeName| {
            let planned = self.truth.plan.node(name).unwrap();
            let at = std::net::SocketAddrV4::new(planned.address, SSH);
            Node::at(name, at, &secrets.client, &secrets.hosts[name]).unwrap()
        };
        let names = self.truth.plan.nodes.iter().map(|node| &node.name);
        Site {
            plan: self.truth.plan.clone(),
            nodes: names.map(|name| (name.clone(), node(name))).collect(),
            lab,
            provider: self.provider.clone(),
            parts: Vec::new(),
            events: self.events(),
            interrupt: CancellationToken::new(),
        }
    }

    fn events(&self) -> Events {
        let steps = Arc::clone(&self.steps);
        Events::new(move |event| {
            if let Event::StepFinished { step, .. } = event {
                steps.lock().unwrap().insert(step);
            }
        })
    }

    /// The names of the actions that were carried out since this was asked last.
    pub(super) fn steps(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.steps.lock().unwrap())
    }

    /// A node that nobody planned.
    pub(super) fn add(&self, node: &str) {
        self.provider
            .bring(&node.parse().unwrap(), DomainState::Running);
    }

    pub(super) fn disk(&self, node: &str) -> Utf8PathBuf {
        self.truth.disk(&node.parse().unwrap())
    }

    pub(super) async fn cut(&self, node: &str) {
        let node = node.parse().unwrap();
        self.provider.inject(&node, Fault::PowerCut).await.unwrap();
    }

    pub(super) async fn up(&self) -> Result<Outcome, RecipeError> {
        self.bring(self.site()).await
    }

    pub(super) async fn replace(&self, node: &str) -> Result<(), RecipeError> {
        let site = self.site();
        Box::pin(replace(&site, &image(), &node.parse().unwrap())).await
    }

    pub(super) async fn restore(&self, lost: &[&str]) -> Result<Restored, RecipeError> {
        let site = self.site();
        let lost = lost.iter().map(|node| node.parse().unwrap()).collect();
        Box::pin(restore(&site, &image(), &lost, None)).await
    }

    /// A backup of the cluster as it is.
    pub(super) fn backup(&self) -> OpenedBackup {
        let disk = self.disk("m1");
        let key = |name: &str| fs::read(disk.join("etc/kubernetes").join(name)).unwrap();
        OpenedBackup::of(&self.truth.plan, key)
    }

    pub(super) async fn restore_from(
        &self,
        backup: OpenedBackup,
        lost: &[&str],
    ) -> Result<Restored, RecipeError> {
        let site = self.site();
        let lost = lost.iter().map(|node| node.parse().unwrap()).collect();
        Box::pin(restore(&site, &image(), &lost, Some(backup))).await
    }

    pub(super) async fn set_aside(&self, node: &str) -> Result<(), RecipeError> {
        let site = self.site();
        Run::new(&site, &image())
            .act(&Action::SetAside(node.parse().unwrap()))
            .await
    }

    /// `up` to the plan that has all nodes but these.
    pub(super) async fn up_without(&self, nodes: &[&str]) -> Result<Outcome, RecipeError> {
        let mut site = self.site();
        let kept = |node: &NodePlan| !nodes.contains(&node.name.as_str());
        site.plan.nodes.retain(kept);
        self.bring(site).await
    }

    /// `up` to the plan in which these nodes have more processors.
    pub(super) async fn up_larger(&self, nodes: &[&str]) -> Result<Outcome, RecipeError> {
        let mut site = self.site();
        for node in &mut site.plan.nodes {
            if nodes.contains(&node.name.as_str()) {
                node.cpus = 4;
            }
        }
        self.bring(site).await
    }

    /// `up` to the plan of one control-plane node without an endpoint.
    pub(super) async fn up_alone(&self) -> Result<Outcome, RecipeError> {
        let mut site = self.site();
        site.plan = self.alone.clone();
        self.bring(site).await
    }

    /// Whether `up` to the plan without these nodes was killed when the nodes had been given so many commands.
    pub(super) async fn killed_without(&self, nodes: &[&str], commands: usize) -> bool {
        let end = *self.commands.borrow() + commands;
        let mut given = self.commands.subscribe();
        tokio::select! {
            told = self.up_without(nodes) => { told.unwrap(); false }
            _ = given.wait_for(|given| *given >= end) => true,
        }
    }

    async fn bring(&self, site: Site) -> Result<Outcome, RecipeError> {
        Box::pin(up(&site, &image())).await
    }

    /// `up`, by a regent that is killed when the nodes have been given so many commands: none, or what it said where it was
    /// done before.
    pub(super) async fn up_killed_at(
        &self,
        commands: usize,
    ) -> Option<Result<Outcome, RecipeError>> {
        let end = *self.commands.borrow() + commands;
        let mut given = self.commands.subscribe();
        tokio::select! {
            told = self.up() => Some(told),
            _ = given.wait_for(|given| *given >= end) => None,
        }
    }
}

/// What nodes in memory boot.
fn image() -> NodeImage {
    NodeImage {
        root: "/".into(),
        containerd: "/".into(),
        machine: None,
        parts: Vec::new(),
    }
}

/// What happens when a node starts or loses its power.
fn power(
    paths: &LabPaths,
    anchor: u32,
    truth: Arc<Truth>,
    commands: Arc<watch::Sender<usize>>,
) -> impl Fn(&NodeName, Fate) + Send + Sync + 'static {
    let secrets = Lab::hold(paths).unwrap().unwrap().secrets().clone();
    let servers: Mutex<BTreeMap<NodeName, Sshd>> = Mutex::default();
    move |node, fate| {
        let disk = truth.disk(node);
        let Some(planned) = truth.plan.node(node) else {
            return;
        };
        if fate == Fate::Removed {
            wipe(&disk);
            return;
        }
        if fate == Fate::Ended {
            truth.running.lock().unwrap().remove(node);
            servers.lock().unwrap().remove(node);
            let _ = fs::remove_dir_all(disk.join("run"));
            fs::create_dir(disk.join("run")).unwrap();
            return;
        }
        if boot(&disk, node) {
            truth.booted(node);
        }
        let listener = listen(planned.address);
        listener.set_nonblocking(true).unwrap();
        let (name, address) = (node.to_string(), planned.address.to_string());
        let shell = Arc::new(move |line: &str| {
            let mut command = tokio::process::Command::new("nsenter");
            command
                .args(["--target", &anchor.to_string(), "--user", "--mount"])
                .args(["chroot", disk.as_str(), "sh", "-c", line])
                .env_clear()
                .env("PATH", "/opt:/usr/sbin:/usr/bin")
                .env("NODE", &name)
                .env("ADDRESS", &address);
            Some(command)
        });
        let sshd = Sshd::serve(
            TcpListener::from_std(listener).unwrap(),
            &secrets.hosts[node],
            &secrets.client.public,
            shell,
            commands.clone(),
        );
        servers.lock().unwrap().insert(node.clone(), sshd);
        truth.running.lock().unwrap().insert(node.clone());
    }
}

/// Has a disk have what a new one has.
pub(super) fn wipe(disk: &Utf8Path) {
    for directory in ["etc", "var"] {
        fs::remove_dir_all(disk.join(directory)).unwrap();
        fs::create_dir(disk.join(directory)).unwrap();
    }
}

/// Listens for SSH. The server of before the power cut ends on another thread, soon.
fn listen(address: Ipv4Addr) -> std::net::TcpListener {
    let mut tries = 500;
    loop {
        match std::net::TcpListener::bind((address, SSH)) {
            Ok(listener) => return listener,
            Err(error) => assert!(tries > 0, "{address}: {error}"),
        }
        tries -= 1;
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Starts what starts with a node; returns whether it has been in the cluster.
fn boot(disk: &Utf8Path, node: &NodeName) -> bool {
    let units = disk.join("run/units");
    fs::create_dir_all(&units).unwrap();
    fs::write(units.join("containerd"), "").unwrap();
    let kubelet = disk.join("etc/kubernetes/kubelet.conf").exists();
    let balancer = disk.join("var/lib/regent/haproxy.sums").exists();
    if kubelet {
        fs::write(units.join("kubelet"), "").unwrap();
        let tasks = disk.join("run/containerd/io.containerd.runtime.v2.task/k8s.io");
        for pod in ["dns", "proxy"] {
            fs::create_dir_all(tasks.join(format!("{pod}-{node}"))).unwrap();
        }
    }
    if balancer {
        fs::write(units.join("haproxy"), "").unwrap();
    }
    kubelet || balancer
}

/// Namespaces in which a node's directory has what every root has.
struct Anchor(Child);

impl Anchor {
    fn new(plan: &Plan, root: &Utf8Path) -> Self {
        let programs = root.join("programs");
        fs::create_dir(&programs).unwrap();
        let nothing = NOTHING.map(|name| (name, include_str!("programs/nothing")));
        for (name, text) in PROGRAMS.into_iter().chain(nothing) {
            fs::write(programs.join(name), text).unwrap();
            fs::set_permissions(programs.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let mut script = "set -e\n".to_owned();
        for node in &plan.nodes {
            let disk = root.join(node.name.as_str());
            for directory in [
                "usr", "dev", "proc", "opt", "cluster", "etc", "var", "run", "tmp",
            ] {
                fs::create_dir_all(disk.join(directory)).unwrap();
            }
            for link in ["bin", "sbin", "lib", "lib64"] {
                symlink(format!("usr/{link}"), disk.join(link)).unwrap();
            }
            for (from, to) in [("/usr", "usr"), ("/dev", "dev"), ("/proc", "proc")] {
                script.push_str(&format!("mount --rbind {from} {disk}/{to}\n"));
            }
            script.push_str(&format!("mount --bind {programs} {disk}/opt\n"));
            script.push_str(&format!("mount --bind {root}/cluster {disk}/cluster\n"));
        }
        script.push_str("echo ready\nexec sleep infinity\n");
        let mut child = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut said).unwrap();
        assert_eq!(said, "ready\n", "this test needs user namespaces");
        Self(child)
    }
}

impl Drop for Anchor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
