//! The boundary between kinds of nodes: what containers and virtual machines do each in their own way.

use std::fmt;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use jiff::Timestamp;

use super::connection::Libvirt;
use super::{Fault, NodeMedia, ProviderError, Strength, host, lxc, qemu, remote};
use crate::lab::Place;
use crate::lab::process::ProcessId;
use crate::name::{ClusterName, NodeName};
use crate::plan::{NodePlan, Plan};
use crate::spec;

/// After a SIGKILL the kernel ends a node's processes in a few ms; more only if a disk hangs.
const DEATH: Duration = Duration::from_secs(10);

type Result<T> = std::result::Result<T, ProviderError>;

/// A node as a driver sees it.
#[derive(Clone, Copy)]
pub(super) struct Guest<'a> {
    /// Where it lives.
    pub(super) place: &'a Place,
    /// The libvirt that has its domain.
    pub(super) libvirt: &'a Libvirt,
    /// Its name.
    pub(super) node: &'a NodeName,
    /// Its domain's name.
    pub(super) domain: &'a str,
}

/// Whether a node's cable is plugged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plug {
    /// It hears and is heard.
    In,
    /// The node lives and hears nobody.
    Out,
}

/// A kind of node. Everything blocks; everything can be repeated after an interruption.
pub(super) trait Driver: fmt::Debug + Send + Sync {
    /// Makes everything that the node's domain refers to, and writes the domain's document.
    fn prepare(
        &self,
        guest: &Guest<'_>,
        plan: &Plan,
        node: &NodePlan,
        media: &NodeMedia,
    ) -> Result<String>;

    /// Removes what an earlier life of the node left in the way of the next.
    fn clear(&self, node: &NodeName, domain: &str) -> Result<()>;

    /// Finds the running node's process: the one whose end is the node's end. libvirt may not have heard of it yet. It is a
    /// process of the machine that the node is on, and only a driver knows which that is.
    fn find(&self, place: &Place, domain: &str) -> Result<Option<ProcessId>>;

    /// Cuts the power of a node with this process: its peers hear nothing, everything in its memory is gone. Returns the
    /// instant just before.
    fn cut(&self, guest: &Guest<'_>, process: ProcessId) -> Result<Instant>;

    /// Kills the process, suspended or not, and waits until it is gone.
    fn kill(&self, node: &NodeName, domain: &str, process: ProcessId) -> Result<()>;

    /// Asks for an orderly shutdown, and does not wait for it.
    fn stop(&self, guest: &Guest<'_>, process: ProcessId) -> Result<()>;

    /// Ends whatever is left of a node without a domain.
    fn end(&self, guest: &Guest<'_>) -> Result<()> {
        match self.find(guest.place, guest.domain)? {
            Some(process) => self.kill(guest.node, guest.domain, process),
            None => Ok(()),
        }
    }

    /// Removes the files of a node that has ended.
    fn remove(&self, guest: &Guest<'_>) -> Result<()> {
        let directory = guest.place.paths.node(guest.node);
        let node = guest.node.as_str();
        host::gone(node, |path| std::fs::remove_dir_all(path), &directory)
    }

    /// Whether a node's files can be kept when it goes; why not.
    fn can_set_aside(&self, _: &NodeName) -> Result<()> {
        Ok(())
    }

    /// Puts the files of a node that has ended where nothing boots from them; where that is, if there are any.
    fn set_aside(&self, guest: &Guest<'_>) -> Result<Option<Utf8PathBuf>> {
        let (node, paths) = (guest.node, &guest.place.paths);
        let (from, to) = (paths.node(node), paths.set_aside(node, Timestamp::now()));
        if !from.exists() {
            return Ok(None);
        }
        let parent = to.parent().unwrap_or(&to);
        std::fs::create_dir_all(parent)
            .and_then(|()| std::fs::rename(&from, &to))
            .map_err(ProviderError::io(node, "setting aside", &from))?;
        Ok(Some(to))
    }

    /// Removes what a libvirt that is not the lab's own keeps of a domain that is gone.
    fn remove_traces(&self, domain: &str) -> Result<()>;

    /// Removes what such a libvirt keeps of a whole cluster whose domains are gone, and of its network.
    fn sweep(&self, _: &Libvirt, _: &ClusterName, network: &str) -> Result<()> {
        host::remove_network_traces(network)
    }

    /// Plugs the cable of a running node in, or out.
    fn plug(&self, guest: &Guest<'_>, plan: &Plan, state: Plug) -> Result<()>;

    /// How far a fault does what its name says.
    fn strength(&self, fault: Fault) -> Strength;

    /// The end of what the node's console has said, where it has one.
    fn console(&self, guest: &Guest<'_>) -> Option<Vec<u8>>;
}

/// The driver of a kind of node at a place.
pub(super) fn of(driver: spec::Driver, place: &Place) -> Box<dyn Driver> {
    match (driver, &place.remote) {
        (spec::Driver::Lxc, _) => Box::new(lxc::Lxc),
        (spec::Driver::Qemu, None) => Box::new(qemu::Qemu::default()),
        (spec::Driver::Qemu, Some(host)) => Box::new(remote::RemoteQemu::new(host)),
    }
}

/// Kills a node's process and waits until it is gone; `release` lets go of what keeps it from dying.
pub(super) fn kill(
    node: &NodeName,
    process: ProcessId,
    release: impl FnOnce() -> std::io::Result<()>,
) -> Result<()> {
    let failed = |error| ProviderError::io(node, "killing", Utf8Path::new("its process"))(error);
    process.kill().and_then(|()| release()).map_err(failed)?;
    match process.wait_gone(DEATH).map_err(failed)? {
        true => Ok(()),
        false => Err(ProviderError::Unkillable {
            node: node.clone(),
            pid: process.pid,
        }),
    }
}

/// Returns the PID namespace in which the lab's libvirt starts nodes.
pub(super) fn namespace(place: &Place) -> Option<String> {
    let daemon = place.holder.map(|holder| holder.0);
    daemon
        .or_else(|| ProcessId::of(std::process::id()))?
        .namespace("pid")
}
