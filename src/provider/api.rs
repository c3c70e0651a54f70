//! What the rest of regent may ask of whatever runs nodes. Nothing above knows which provider it is; what not every one can
//! do is a capability, and one that lacks it says so by the default.

use std::fmt;
use std::time::Instant;

use camino::Utf8PathBuf;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::Serialize;
use tokio::sync::broadcast;

use super::{Fault, ProviderError, Strength};
use crate::image::{MachineImage, NodeImage};
use crate::name::NodeName;
use crate::node::KeyPair;
use crate::plan::{NodePlan, NodeRole};
use crate::render::libvirt::Accelerator;

/// What a provider answers, in its time.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, ProviderError>>;

/// What runs nodes.
pub trait Provider: fmt::Debug + Send + Sync {
    /// Makes the nodes' network exist and run. Idempotent.
    fn ensure_network(&self) -> Answer<'_, ()>;

    /// Makes the node exist and run; true if it had to be started. Idempotent. A paused node is resumed.
    fn ensure_node<'a>(&'a self, node: &'a NodePlan, media: &'a NodeMedia) -> Answer<'a, bool>;

    /// Removes the node with all that the provider keeps of it, its disk too. Idempotent.
    fn remove_node<'a>(&'a self, node: &'a NodeName) -> Answer<'a, ()>;

    /// Capability: keeping disks. Ends a node for certain, and puts its disk where nothing boots from it: the next
    /// [`Self::ensure_node`] makes a new one. Where it is now; none where it had none. Idempotent.
    fn set_aside<'a>(&'a self, node: &'a NodeName) -> Answer<'a, Option<Utf8PathBuf>> {
        let refused = ProviderError::Missing {
            node: node.clone(),
            action: "set aside",
            why: "its disk cannot be kept from here; save it where it is, and remove the machine",
        };
        async { Err(refused) }.boxed()
    }

    /// The lab's nodes that there are, planned or not, with their states.
    fn nodes(&self) -> Answer<'_, Vec<(NodeName, DomainState)>>;

    /// A stream of lifecycle events from now on.
    fn changes(&self) -> Answer<'_, broadcast::Receiver<DomainChange>>;

    /// What tells one boot of a node from the next. None while it is dead.
    fn boot_identity<'a>(&'a self, node: &'a NodeName) -> Answer<'a, Option<String>>;

    /// Undoes whatever was done: starts a dead node from its kept disk, resumes a paused one, plugs its cable in and gives it
    /// back its disk.
    fn heal<'a>(&'a self, node: &'a NodeName) -> Answer<'a, ()>;

    /// Capability: faults. How far one does here what its name says.
    fn strength(&self, fault: Fault) -> Strength {
        let _ = fault;
        Strength::Missing("nothing that regent can speak to runs this node")
    }

    /// Where a fault is weaker here than its name says.
    fn weakness(&self, fault: Fault) -> Option<&'static str> {
        match self.strength(fault) {
            Strength::Weaker(how) => Some(how),
            Strength::Full | Strength::Missing(_) => None,
        }
    }

    /// Does a fault to the node, and returns when it is done: for a cut, kill or stop the node's process is gone.
    /// Returns the instant just before the fault was applied.
    fn inject<'a>(&'a self, node: &'a NodeName, fault: Fault) -> Answer<'a, Instant> {
        let why = match self.strength(fault) {
            Strength::Missing(why) => why,
            Strength::Full | Strength::Weaker(_) => "nobody has taught it how",
        };
        let refused = ProviderError::Missing {
            node: node.clone(),
            action: fault.verb(),
            why,
        };
        async { Err(refused) }.boxed()
    }

    /// Capability: processors. What runs those of a node that is a virtual machine; none where the node is not one.
    fn accelerator<'a>(&'a self, node: &'a NodeName) -> Answer<'a, Option<Accelerator>> {
        let _ = node;
        async { Ok(None) }.boxed()
    }

    /// Capability: console. The last lines that a node's said; none where it has no console, or it said nothing.
    fn console<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Option<String>> {
        let _ = node;
        async { None }.boxed()
    }
}

/// What a node boots from and who it is. The driver decides how the node gets it (lxc: files in the overlay;
/// qemu: systemd credentials).
#[derive(Debug, Clone)]
pub struct NodeMedia {
    /// What it boots from.
    pub boot: Boot,
    /// The node's host key.
    pub host: KeyPair,
    /// The public key that may log in as root.
    pub authorized: String,
}

/// What a node boots from, in the store: read-only, shared by all nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Boot {
    /// A system container.
    Container {
        /// The unpacked root file system.
        root: Utf8PathBuf,
        /// The pre-imported `/var/lib/containerd`, copied by hard links. None for a load balancer.
        containerd: Option<Utf8PathBuf>,
    },
    /// A virtual machine.
    Machine(MachineImage),
}

impl Boot {
    /// What a planned node boots from.
    pub fn of(image: &NodeImage, node: &NodePlan) -> Self {
        match &image.machine {
            Some(machine) => Self::Machine(machine.clone()),
            None => Self::Container {
                root: image.root.clone(),
                containerd: (node.role != NodeRole::LoadBalancer).then(|| image.containerd.clone()),
            },
        }
    }
}

/// A domain's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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

impl fmt::Display for DomainState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Undefined => "undefined",
            Self::Off => "off",
            Self::Running => "running",
            Self::Paused => "paused",
        })
    }
}

impl DomainState {
    /// Whether the domain has processes, running or suspended.
    pub(super) fn is_active(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
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
