//! What the rest of regent may ask of a hypervisor. No libvirt type appears in it.

use std::time::Instant;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use crate::lab::Lab;
use crate::name::NodeName;
use crate::node::KeyPair;
use crate::plan::{NodePlan, Plan};

/// A connection to the lab's libvirt, with its driver. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hypervisor {}

/// What a node boots from and who it is. The driver decides how the node gets it (lxc: files in the overlay;
/// qemu: SMBIOS credentials).
#[derive(Debug, Clone)]
pub struct NodeMedia {
    /// The unpacked root file system in the store; read-only, shared.
    pub root: Utf8PathBuf,
    /// The pre-imported `/var/lib/containerd` in the store; copied by hard links. None for a load balancer.
    pub containerd: Option<Utf8PathBuf>,
    /// The node's host key.
    pub host: KeyPair,
    /// The public key that may log in as root.
    pub authorized: String,
}

/// A domain's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum DomainState {
    /// No such domain.
    Undefined,
    /// Defined, not running.
    Off,
    /// Running.
    Running,
    /// Running, suspended.
    Paused,
}

/// A lifecycle event, as it came from libvirt.
#[derive(Debug, Clone, PartialEq)]
pub struct DomainChange {
    /// When it arrived.
    pub at: Instant,
    /// Which node.
    pub node: NodeName,
    /// libvirt's word: `defined`, `started`, `suspended`, `resumed`, `stopped`, `shutdown`, `crashed`, `undefined`.
    pub change: &'static str,
    /// The domain's state that follows from it.
    pub state: DomainState,
}

/// What can be done to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fault {
    /// Power cut: nothing is said to anyone, everything ends at once.
    PowerCut,
    /// libvirt's destroy: processes are killed one by one, peers hear FIN or RST.
    Kill,
    /// Orderly shutdown.
    Stop,
    /// The node's processors stop, memory stays.
    Pause,
}

/// Where a fault is weaker on a driver than its name says. Stands in the evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Weakness(pub &'static str);

/// Why something on the hypervisor did not work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HypervisorError {
    /// Placeholder until the module is written.
    #[error("not written yet")]
    Unwritten,
}

impl Hypervisor {
    /// Connects to the lab's libvirt and begins to listen to its lifecycle events.
    pub async fn connect(_lab: &Lab, _plan: &Plan) -> Result<Self, HypervisorError> {
        unimplemented!()
    }

    /// Makes the network exist and run. Idempotent.
    pub async fn ensure_network(&self) -> Result<(), HypervisorError> {
        unimplemented!()
    }

    /// Makes the node's domain exist and run; true if it had to be started. Idempotent.
    pub async fn ensure_node(
        &self,
        _node: &NodePlan,
        _media: &NodeMedia,
    ) -> Result<bool, HypervisorError> {
        unimplemented!()
    }

    /// Removes the node's domain, processes, mounts, cgroups and files. Idempotent.
    pub async fn remove_node(&self, _node: &NodeName) -> Result<(), HypervisorError> {
        unimplemented!()
    }

    /// The nodes that libvirt knows for this lab (by metadata tag and name), with their states.
    pub async fn nodes(&self) -> Result<Vec<(NodeName, DomainState)>, HypervisorError> {
        unimplemented!()
    }

    /// Does it to the node, and returns when it is done: for a cut, kill or stop the node's PID 1 is gone.
    /// Returns the instant just before the fault was applied.
    pub async fn inject(
        &self,
        _node: &NodeName,
        _fault: Fault,
    ) -> Result<Instant, HypervisorError> {
        unimplemented!()
    }

    /// Undoes it: starts a dead node from its kept disk (with its link up), resumes a paused one.
    pub async fn heal(&self, _node: &NodeName) -> Result<(), HypervisorError> {
        unimplemented!()
    }

    /// Where `fault` is weaker with this driver than its name says.
    pub fn weakness(&self, _fault: Fault) -> Option<Weakness> {
        unimplemented!()
    }

    /// A stream of lifecycle events from now on.
    pub fn changes(&self) -> tokio::sync::broadcast::Receiver<DomainChange> {
        unimplemented!()
    }
}
