//! The lab of the command's file: found, its site opened, work done on its runtime.

use std::sync::Arc;

use camino::Utf8PathBuf;

use super::args::Global;
use super::context::Context;
use super::failure::Failure;
use crate::cluster_file::ClusterFile;
use crate::image::{self, MachineImage, NodeImage};
use crate::lab::{Lab, LabError, LabPaths};
use crate::machine::{self, Guests};
use crate::name::{ClusterName, NodeName};
use crate::node::Node;
use crate::ops::{self, Hold, Opened, OpsError};
use crate::plan::Plan;
use crate::render::libvirt::Accelerator;
use crate::site::Site;
use crate::spec::{DriverDecision, Machine};

/// What an interrupted build leaves.
const BUILT: &str = "what was built is kept, the rest is built the next time";

impl Context {
    /// The paths of a cluster's lab.
    pub(super) fn paths(&self, cluster: &ClusterName) -> LabPaths {
        LabPaths::new(&self.global.state, cluster)
    }

    /// Opens the running lab of the command's file, of which it needs nothing but the name, and says where the file
    /// differs from what runs.
    pub(super) fn opened(&self, hold: Hold) -> Result<Opened, Failure> {
        let (opened, differs) = self.opened_quietly(hold)?;
        // With --json standard output has its one form.
        if let Some(differs) = differs
            && !self.global.json
        {
            self.events().warn(differs);
        }
        Ok(opened)
    }

    /// The same for a command that says by itself where the file differs.
    pub(super) fn opened_quietly(&self, hold: Hold) -> Result<(Opened, Option<String>), Failure> {
        let path = &self.global.file;
        let opened = ops::open(&self.paths(&self.name()?), hold).map_err(|error| match error {
            OpsError::NotRunning(_) => {
                Failure::operation(error).hint(format!("regent -f {path} up"))
            }
            other => other.into(),
        })?;
        let auto = |_: &ClusterName| {
            Ok(DriverDecision {
                driver: opened.plan.driver,
                reason: "its lab has them".to_owned(),
            })
        };
        let differs = match ClusterFile::read_alone(path, &Machine::default(), auto) {
            Ok(file) => opened.differs(&file.plan),
            Err(error) => Some(format!(
                "{error}, so only its name counts: this is about what runs"
            )),
        };
        Ok((opened, differs))
    }

    /// What `driver: auto` means for a cluster: the kind of nodes that its lab has, else the best for this machine.
    pub(super) fn auto(&self, cluster: &ClusterName) -> Result<DriverDecision, LabError> {
        let paths = LabPaths::new(&self.global.state, cluster);
        Ok(match Lab::driver(&paths)? {
            Some(driver) => DriverDecision {
                driver,
                reason: "its lab has them".to_owned(),
            },
            None => machine::guests(&self.global.state)?.decision(),
        })
    }

    /// Finds out whether this machine runs guests, unless that is known or out of the question.
    pub(super) fn try_guest(&self) -> Result<(), Failure> {
        let Global { state, store, .. } = self.global.clone();
        if machine::guests(&state)? != Guests::Untried {
            return Ok(());
        }
        let events = self.events();
        self.blocking(BUILT, move || {
            let (kernel, initrd) = image::realise_kernel(&store, &events)?;
            events.note("booting a small guest, once, to see whether the processor runs it");
            machine::try_guest(&state, &kernel, &initrd)?;
            Ok::<_, Failure>(())
        })
    }

    /// What the nodes of a plan boot, built where the store lacks it.
    pub(super) fn image(&self, plan: &Plan) -> Result<NodeImage, Failure> {
        let (store, version, events) = (self.global.store.clone(), plan.kubernetes, self.events());
        let driver = plan.driver;
        self.blocking(BUILT, move || {
            image::realise(&store, version, driver, &events)
        })
    }

    /// Warns of virtual machines whose processors are emulated, which is a matter of minutes instead of seconds.
    pub(super) fn warn_of_emulation(&self, image: &NodeImage) -> Result<(), Failure> {
        let Some(MachineImage { kernel, initrd, .. }) = image.machine.clone() else {
            return Ok(());
        };
        let state = self.global.state.clone();
        let accelerator = self.blocking(BUILT, move || {
            machine::accelerator(&state, &kernel, &initrd)
        })?;
        if accelerator == Accelerator::Emulated {
            let guests = machine::guests(&self.global.state)?.decision();
            let doubt = machine::emulation_doubt().map(|doubt| format!("; {doubt}"));
            self.events().warn(format!(
                "processors are emulated, at a tenth of the speed or less: {}{}",
                guests.reason,
                doubt.unwrap_or_default()
            ));
        }
        Ok(())
    }

    /// Runs `work` on the running lab of the command's file, as [`on_lab`](Self::on_lab) does; an interrupt drops
    /// it, and the failure's hint is then `left`.
    pub(super) fn on_site<T>(
        &self,
        left: &str,
        hold: Hold,
        work: impl AsyncFnOnce(Site) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let opened = self.opened(hold)?;
        self.on_opened(opened, async |site| {
            self.or_interrupt(left, work(site)).await
        })
    }

    /// Runs `work` on an opened lab, as [`on_lab`](Self::on_lab) does.
    pub(super) fn on_opened<T>(
        &self,
        opened: Opened,
        work: impl AsyncFnOnce(Site) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let parts = opened.parts();
        self.on_lab(opened.lab, opened.plan, parts, work)
    }

    /// Runs `work`, which sees to interrupts itself, on a lab's runtime, this thread in the lab's network from now
    /// on.
    pub(super) fn on_lab<T>(
        &self,
        lab: Arc<Lab>,
        plan: Plan,
        parts: Vec<(String, Utf8PathBuf)>,
        work: impl AsyncFnOnce(Site) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let runtime = lab.runtime()?;
        lab.enter_network()?;
        let result = runtime.block_on(async {
            let site = Site::open(plan, lab, parts, self.events());
            let mut site = self.or_interrupt("nothing was done yet", site).await?;
            site.interrupt = self.interrupt.clone();
            work(site).await
        });
        // A libvirt call that hangs must not keep the command from ending.
        runtime.shutdown_background();
        result
    }
}

/// What the nodes of a running lab boot.
pub(super) fn boots(site: &Site) -> Result<NodeImage, Failure> {
    let image = site.lab.record().image;
    image.ok_or_else(|| Failure::operation("the lab does not say what its nodes boot"))
}

/// The node of that name.
pub(super) fn node<'a>(site: &'a Site, name: &NodeName) -> Result<&'a Node, Failure> {
    site.node(name)
        .ok_or_else(|| no_such_node(&site.plan, name))
}

/// The failure of naming a node that the cluster does not have.
pub(super) fn no_such_node(plan: &Plan, name: &NodeName) -> Failure {
    let names: Vec<_> = plan.nodes.iter().map(|node| node.name.as_str()).collect();
    Failure::usage(format!("the cluster has no node `{name}`"))
        .hint(format!("its nodes are {}", names.join(", ")))
}
