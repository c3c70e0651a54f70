//! The lab of the command's file: found, its site opened, work done on its runtime.

use std::sync::Arc;

use camino::Utf8PathBuf;

use super::args::Global;
use super::context::Context;
use super::failure::Failure;
use crate::image::{self, ImageError, MachineImage, NodeImage};
use crate::lab::{Lab, LabPaths};
use crate::machine::{self, Guests};
use crate::name::{ClusterName, NodeName};
use crate::node::Node;
use crate::plan::Plan;
use crate::render::libvirt::Accelerator;
use crate::site::Site;
use crate::spec::DriverDecision;

/// What an interrupted build leaves.
const BUILT: &str = "what was built is kept, the rest is built the next time";

impl Context {
    /// The paths of a plan's lab.
    pub(super) fn paths(&self, plan: &Plan) -> LabPaths {
        LabPaths::new(&self.global.state, &plan.cluster)
    }

    /// Finds the running lab of a plan.
    pub(super) fn lab(&self, plan: &Plan) -> Result<Arc<Lab>, Failure> {
        match Lab::find(&self.paths(plan))? {
            Some(lab) => Ok(Arc::new(lab)),
            None => Err(
                Failure::operation(format!("no lab `{}` is running", plan.cluster))
                    .hint(format!("regent -f {} up", self.global.file)),
            ),
        }
    }

    /// What `driver: auto` means for a cluster: the kind of nodes that its lab has, else the best for this machine.
    pub(super) fn auto(&self, cluster: &ClusterName) -> DriverDecision {
        let paths = LabPaths::new(&self.global.state, cluster);
        match Lab::driver(&paths) {
            Ok(Some(driver)) => DriverDecision {
                driver,
                reason: "its lab has them".to_owned(),
            },
            // A record that cannot be read is somebody else's to complain of.
            Ok(None) | Err(_) => machine::guests(&self.global.state).decision(),
        }
    }

    /// Finds out whether this machine runs guests, unless that is known or out of the question.
    pub(super) fn try_guest(&self) -> Result<(), Failure> {
        let Global { state, store, .. } = self.global.clone();
        if machine::guests(&state) != Guests::Untried {
            return Ok(());
        }
        let events = self.events();
        self.blocking(BUILT, move || {
            let (kernel, initrd) = image::realise_kernel(&store, &events)?;
            events.note("booting a small guest, once, to see whether the processor runs it");
            machine::try_guest(&state, &kernel, &initrd);
            Ok::<_, ImageError>(())
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
            Ok::<_, Failure>(machine::accelerator(&state, &kernel, &initrd))
        })?;
        if accelerator == Accelerator::Emulated {
            let guests = machine::guests(&self.global.state).decision();
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
        work: impl AsyncFnOnce(Site) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let plan = self.plan()?;
        let lab = self.lab(&plan)?;
        self.on_lab(lab, plan, Vec::new(), async |site| {
            self.or_interrupt(left, work(site)).await
        })
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
            work(self.or_interrupt("nothing was done yet", site).await?).await
        });
        // A libvirt call that hangs must not keep the command from ending.
        runtime.shutdown_background();
        result
    }
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
