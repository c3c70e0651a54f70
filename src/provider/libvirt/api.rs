//! What the rest of regent may ask of a provider. No libvirt type appears in it.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use serde::Serialize;
use tokio::sync::broadcast;

use super::connection::Libvirt;
use super::domains::Inner;
use super::driver::{self, Driver};
use super::{ProviderError, console};
use crate::image::{MachineImage, NodeImage};
use crate::lab::Lab;
use crate::name::{ClusterName, NodeName};
use crate::node::KeyPair;
use crate::plan::{NodePlan, NodeRole, Plan};
use crate::render::libvirt::{self as render, Accelerator};

/// A connection to the lab's libvirt, with its driver. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hypervisor(Arc<Inner>);

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

type Result<T> = std::result::Result<T, ProviderError>;

/// Events that a receiver may be behind before it misses some: a few for each of a dozen nodes.
const CHANGES: usize = 256;

impl Hypervisor {
    /// Connects to the lab's libvirt.
    pub async fn connect(lab: &Lab, plan: &Plan) -> Result<Self> {
        if !lab.libvirtd_answers() {
            return Err(ProviderError::DaemonDead);
        }
        let (place, plan) = (lab.place().clone(), plan.clone());
        within(CONNECT, "connecting", move || {
            let libvirt = Libvirt::at(&place)?;
            Ok(Self(Arc::new(Inner {
                driver: driver::of(plan.driver, &place),
                place,
                plan,
                libvirt,
                changes: broadcast::Sender::new(CHANGES),
                starting: Mutex::default(),
            })))
        })
        .await
    }

    /// Makes the network exist and run. Idempotent.
    pub async fn ensure_network(&self) -> Result<()> {
        self.blocking(|inner| {
            let network = &inner.plan.network;
            let lab = &inner.place.id;
            let document =
                render::network(Some(lab), network).map_err(|source| ProviderError::Xml {
                    doing: "writing",
                    name: network.name.clone(),
                    source,
                })?;
            inner.libvirt.ensure_network(lab, &network.name, &document)
        })
        .await
    }

    /// Makes the node's domain exist and run; true if it had to be started. Idempotent. A paused node is resumed.
    pub async fn ensure_node(&self, node: &NodePlan, media: &NodeMedia) -> Result<bool> {
        self.bury(&node.name).await?;
        let (node, media) = (node.clone(), media.clone());
        self.blocking(move |inner| inner.ensure(&node, &media))
            .await
    }

    /// Removes the node's domain, processes, mounts, cgroups and files. Idempotent.
    pub async fn remove_node(&self, node: &NodeName) -> Result<()> {
        let node = node.clone();
        self.blocking(move |inner| inner.remove(&node)).await
    }

    /// The nodes that libvirt knows for this lab, by the identifier in their metadata, with their states.
    pub async fn nodes(&self) -> Result<Vec<(NodeName, DomainState)>> {
        self.bounded(LOOK, "listing domains", |inner| {
            let found = inner.libvirt.of_lab(&inner.place.id)?;
            Ok(found
                .into_iter()
                .map(|(node, _, state)| (node, state))
                .collect())
        })
        .await
    }

    /// A stream of lifecycle events from now on.
    pub async fn changes(&self) -> Result<broadcast::Receiver<DomainChange>> {
        let receiver = self.0.changes.subscribe();
        self.bounded(CONNECT, "listening to domains", |inner| {
            let (sender, cluster) = (inner.changes.clone(), inner.plan.cluster.clone());
            inner.libvirt.listen(Box::new(move |domain, change, state| {
                if let Some(node) = node_of(&cluster, domain) {
                    // Nobody listening is fine.
                    let _ = sender.send(DomainChange {
                        at: Instant::now(),
                        node,
                        change,
                        state,
                    });
                }
            }))
        })
        .await?;
        Ok(receiver)
    }

    /// What tells one boot of a node from the next: its process on its host (PID 1 of a container, QEMU of a virtual
    /// machine) and when it started. None while it is dead. A guest that reboots by itself keeps its QEMU.
    pub async fn boot_identity(&self, node: &NodeName) -> Result<Option<String>> {
        let node = node.clone();
        self.blocking(move |inner| {
            let process = inner.driver.find(&inner.place, &inner.domain(&node))?;
            Ok(process.map(|process| format!("{}@{}", process.pid, process.started)))
        })
        .await
    }

    /// What runs the processors of a node that is a virtual machine; none for a container, and where there is no domain.
    pub async fn accelerator(&self, node: &NodeName) -> Result<Option<Accelerator>> {
        let node = node.clone();
        self.blocking(move |inner| inner.libvirt.accelerator(&inner.domain(&node)))
            .await
    }

    /// The last lines that a node's console said; none where it has no console, or it said nothing.
    pub async fn console(&self, node: &NodeName) -> Option<String> {
        let node = node.clone();
        let said = self.blocking(move |inner| {
            let said = inner
                .driver
                .console(&inner.guest(&node, &inner.domain(&node)));
            Ok(said.map(|said| console::legible(&said)))
        });
        said.await.ok()?.filter(|said| !said.is_empty())
    }

    pub(super) fn driver(&self) -> &dyn Driver {
        &*self.0.driver
    }

    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.bounded(CALL, "working for a node", work).await
    }

    /// Works with the connection, for so long at most, and says of what failed whether the connection is the reason.
    async fn bounded<T: Send + 'static>(
        &self,
        limit: Duration,
        doing: &'static str,
        work: impl FnOnce(&Inner) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let inner = Arc::clone(&self.0);
        let work = move || work(&inner).map_err(|error| inner.libvirt.explained(error));
        within(limit, doing, work).await
    }
}

/// Returns the node that a domain of the cluster stands for.
fn node_of(cluster: &ClusterName, domain: &str) -> Option<NodeName> {
    domain
        .strip_prefix(cluster.as_str())?
        .strip_prefix('-')?
        .parse()
        .ok()
}

/// A libvirt that takes no connection within this time is stuck: it takes some milliseconds.
const CONNECT: Duration = Duration::from_secs(20);

/// The same of one that does not list its domains.
const LOOK: Duration = Duration::from_secs(20);

/// The same of whatever else it is asked for. The longest that was seen is the upload of a disk to another host.
const CALL: Duration = Duration::from_secs(30 * 60);

/// Does something that blocks, for so long at most: then it is left behind, on its thread.
async fn within<T: Send + 'static>(
    limit: Duration,
    doing: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::time::timeout(limit, tokio::task::spawn_blocking(work)).await {
        Ok(done) => done.unwrap_or(Err(ProviderError::Dropped)),
        Err(_) => Err(ProviderError::Silent {
            doing,
            waited: limit,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn case_exit_hang_a_call_that_hangs_is_left_behind() {
        let hanging = || {
            std::thread::sleep(Duration::from_secs(2));
            Ok(())
        };
        let error = within(Duration::from_millis(10), "listing domains", hanging);
        let said = error.await.unwrap_err().to_string();
        assert!(said.contains("listing domains"), "{said}");
    }
}
