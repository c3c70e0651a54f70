//! What the rest of regent may ask of a hypervisor. No libvirt type appears in it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use super::HypervisorError;
use super::libvirt::Libvirt;
use super::lxc::{self, Container};
use crate::lab::links::Links;
use crate::lab::{Lab, LabPaths, Place};
use crate::name::{ClusterName, NodeName};
use crate::node::KeyPair;
use crate::plan::{NodePlan, Plan};
use crate::render;

/// A connection to the lab's libvirt, with its driver. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hypervisor(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    place: Place,
    plan: Plan,
    libvirt: Libvirt,
    changes: broadcast::Sender<DomainChange>,
}

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

impl DomainState {
    /// Whether the domain has processes, running or suspended.
    fn is_active(self) -> bool {
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

impl Fault {
    /// The verb, for messages: `cut`, `kill`, `stop`, `pause`.
    pub fn verb(self) -> &'static str {
        match self {
            Self::PowerCut => "cut",
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Pause => "pause",
        }
    }
}

/// Where a fault is weaker on a driver than its name says. Stands in the evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Weakness(pub &'static str);

type Result<T> = std::result::Result<T, HypervisorError>;

/// libvirt tells of a container's end within some ms of it; a machine that is busy starting others is slower.
const SETTLE: Duration = Duration::from_secs(15);

/// systemd gives a unit 90 s to stop before it kills it; a little more for what comes after.
const POWER_OFF: Duration = Duration::from_secs(100);

/// Events that a receiver may be behind before it misses some: a few for each of a dozen nodes.
const CHANGES: usize = 256;

impl Hypervisor {
    /// Connects to the lab's libvirt and begins to listen to its lifecycle events.
    pub async fn connect(lab: &Lab, plan: &Plan) -> Result<Self> {
        if !lab.libvirtd_answers() {
            return Err(HypervisorError::DaemonDead);
        }
        let (place, plan) = (lab.place().clone(), plan.clone());
        blocking(move || {
            let changes = broadcast::Sender::new(CHANGES);
            let (sender, cluster) = (changes.clone(), plan.cluster.clone());
            let libvirt = Libvirt::open(
                &place.uri,
                Box::new(move |domain, change, state| {
                    if let Some(node) = node_of(&cluster, domain) {
                        // Nobody listening is fine.
                        let _ = sender.send(DomainChange {
                            at: Instant::now(),
                            node,
                            change,
                            state,
                        });
                    }
                }),
            )?;
            Ok(Self(Arc::new(Inner {
                place,
                plan,
                libvirt,
                changes,
            })))
        })
        .await
    }

    /// Makes the network exist and run. Idempotent.
    pub async fn ensure_network(&self) -> Result<()> {
        self.blocking(|inner| {
            let network = &inner.plan.network;
            let document =
                render::libvirt::network(network).map_err(|source| HypervisorError::Xml {
                    doing: "writing",
                    name: network.name.clone(),
                    source,
                })?;
            inner.libvirt.ensure_network(&network.name, &document)
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
        self.blocking(move |inner| {
            let domain = inner.domain(&node);
            if inner.libvirt.state(&domain)? != DomainState::Undefined {
                inner.check_owner(&node)?;
                remove_domain(&inner.place, &inner.libvirt, &node, &domain)?;
            }
            lxc::remove(&inner.place, &node, &domain)
        })
        .await
    }

    /// The nodes that libvirt knows for this lab (by metadata tag and name), with their states.
    pub async fn nodes(&self) -> Result<Vec<(NodeName, DomainState)>> {
        self.blocking(|inner| {
            let found = inner.libvirt.of_cluster(&inner.plan.cluster)?;
            Ok(found
                .into_iter()
                .map(|(node, _, state)| (node, state))
                .collect())
        })
        .await
    }

    /// Does it to the node, and returns when it is done: for a cut, kill or stop the node's PID 1 is gone.
    /// Returns the instant just before the fault was applied.
    pub async fn inject(&self, node: &NodeName, fault: Fault) -> Result<Instant> {
        let (name, changes) = (node.clone(), self.changes());
        let before = self
            .blocking(move |inner| inner.inject(&name, fault))
            .await?;
        match fault {
            // Whoever cuts the power wants to know now; libvirt finds out by itself.
            Fault::PowerCut => {}
            Fault::Kill => self.settle(node, DomainState::Off, SETTLE, changes).await?,
            Fault::Stop => {
                self.settle(node, DomainState::Off, POWER_OFF, changes)
                    .await?;
            }
            Fault::Pause => {
                self.settle(node, DomainState::Paused, SETTLE, changes)
                    .await?;
            }
        }
        Ok(before)
    }

    /// Undoes it: starts a dead node from its kept disk (with its link up), resumes a paused one.
    pub async fn heal(&self, node: &NodeName) -> Result<()> {
        self.bury(node).await?;
        let name = node.clone();
        self.blocking(move |inner| inner.heal(&name)).await
    }

    /// Waits until libvirt has heard of the death of a node that is dead; it would not start it before.
    async fn bury(&self, node: &NodeName) -> Result<()> {
        let (name, changes) = (node.clone(), self.changes());
        let unheard = self
            .blocking(move |inner| {
                let domain = inner.domain(&name);
                let state = inner.libvirt.state(&domain)?;
                Ok(state.is_active() && Container::find(&inner.place, &domain).is_none())
            })
            .await?;
        match unheard {
            true => self.settle(node, DomainState::Off, SETTLE, changes).await,
            false => Ok(()),
        }
    }

    /// Where `fault` is weaker with this driver than its name says.
    pub fn weakness(&self, fault: Fault) -> Option<Weakness> {
        match fault {
            Fault::PowerCut => Some(Weakness(
                "the node shares the host's kernel: its page cache survives the cut, so data that was written but not synced is not lost",
            )),
            Fault::Kill => Some(Weakness(
                "the node's processes are killed one by one and its peers are told (FIN, RST); its page cache survives",
            )),
            Fault::Stop => None,
            Fault::Pause => Some(Weakness(
                "the node's processes are frozen, while the host's kernel goes on to answer for it: its sockets still acknowledge",
            )),
        }
    }

    /// A stream of lifecycle events from now on.
    pub fn changes(&self) -> broadcast::Receiver<DomainChange> {
        self.0.changes.subscribe()
    }

    /// What tells one boot of a node from the next: its PID 1 on the host and when it started. None while it is dead.
    pub async fn boot_identity(&self, node: &NodeName) -> Result<Option<String>> {
        let node = node.clone();
        self.blocking(move |inner| {
            Ok(Container::find(&inner.place, &inner.domain(&node))
                .map(|container| container.boot_identity()))
        })
        .await
    }

    /// Waits for a node's domain to reach a state. libvirt's events wake it; the state is asked for once at the start.
    async fn settle(
        &self,
        node: &NodeName,
        wanted: DomainState,
        patience: Duration,
        mut changes: broadcast::Receiver<DomainChange>,
    ) -> Result<()> {
        let state = || {
            let node = node.clone();
            self.blocking(move |inner| inner.libvirt.state(&inner.domain(&node)))
        };
        let mut last = state().await?;
        let reached = tokio::time::timeout(patience, async {
            while last != wanted {
                match changes.recv().await {
                    Ok(change) if change.node == *node => last = change.state,
                    Ok(_) => {}
                    // Some were missed, or will not come any more.
                    Err(_) => last = state().await?,
                }
            }
            Ok(())
        })
        .await;
        match reached {
            Ok(reached) => reached,
            // An event may have been about an earlier state than the first look.
            Err(_) if state().await? == wanted => Ok(()),
            Err(_) => Err(HypervisorError::Deadline {
                node: node.clone(),
                wanted,
                last,
                waited: patience,
            }),
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let inner = Arc::clone(&self.0);
        blocking(move || work(&inner)).await
    }
}

impl Inner {
    fn domain(&self, node: &NodeName) -> String {
        format!("{}-{node}", self.plan.cluster)
    }

    fn ensure(&self, node: &NodePlan, media: &NodeMedia) -> Result<bool> {
        match self.libvirt.state(&node.domain)? {
            DomainState::Undefined => {}
            state => {
                self.check_owner(&node.name)?;
                match state {
                    DomainState::Running => return Ok(false),
                    DomainState::Paused => return self.libvirt.resume(&node.domain).map(|()| true),
                    DomainState::Undefined | DomainState::Off => {}
                }
            }
        }
        lxc::prepare(&self.place, node, media)?;
        let document = render::libvirt::lxc_domain(&self.plan, node, &self.place.node(&node.name))
            .map_err(|source| HypervisorError::Xml {
                doing: "writing",
                name: node.domain.clone(),
                source,
            })?;
        self.libvirt.define(&node.domain, &document)?;
        lxc::clear_cgroups(&node.name, &node.domain)?;
        self.libvirt.start(&node.domain)?;
        Ok(true)
    }

    fn inject(&self, node: &NodeName, fault: Fault) -> Result<Instant> {
        let domain = self.domain(node);
        let state = self.libvirt.state(&domain)?;
        let container = Container::find(&self.place, &domain);
        let refused = HypervisorError::State {
            node: node.clone(),
            state,
            action: fault.verb(),
        };
        let Some(container) = container else {
            return Err(refused);
        };
        // Only a cut needs nobody in the node, or in libvirt, to act.
        let alive = state == DomainState::Running
            || (state == DomainState::Paused && fault == Fault::PowerCut);
        if !alive {
            return Err(refused);
        }
        self.check_owner(node)?;
        let before = Instant::now();
        match fault {
            Fault::PowerCut => return self.cut(node, container),
            Fault::Kill => {
                self.libvirt.destroy(&domain)?;
                // libvirt kills what it finds in its own cgroups, and the node has left those.
                container.kill(node, &domain)?;
            }
            Fault::Stop => container.power_off(node)?,
            Fault::Pause => self.libvirt.suspend(&domain)?,
        }
        Ok(before)
    }

    fn cut(&self, node: &NodeName, container: Container) -> Result<Instant> {
        let names = self.libvirt.interfaces(&self.domain(node))?;
        let holder = self.place.holder.map(|holder| holder.0);
        let links = Links::find(holder, &names).map_err(HypervisorError::io(
            node,
            "looking for",
            "the network".into(),
        ))?;
        let before = Instant::now();
        container.cut(node, &self.domain(node), &links)?;
        Ok(before)
    }

    fn heal(&self, node: &NodeName) -> Result<()> {
        let domain = self.domain(node);
        self.check_owner(node)?;
        match self.libvirt.state(&domain)? {
            DomainState::Running => Ok(()),
            DomainState::Paused => self.libvirt.resume(&domain),
            DomainState::Off => {
                lxc::clear_cgroups(node, &domain)?;
                self.libvirt.start(&domain)
            }
            state @ DomainState::Undefined => Err(HypervisorError::State {
                node: node.clone(),
                state,
                action: "start",
            }),
        }
    }

    fn check_owner(&self, node: &NodeName) -> Result<()> {
        let domain = self.domain(node);
        match self.libvirt.owner(&domain)? {
            Some((cluster, _)) if cluster == self.plan.cluster => Ok(()),
            _ => Err(HypervisorError::Foreign {
                node: node.clone(),
                domain,
            }),
        }
    }
}

/// Removes every domain with the cluster's tag, and its network, from a libvirt that is not the lab's own. Blocks.
pub(crate) fn sweep(paths: &LabPaths, uri: &str) -> Result<()> {
    let place = Place {
        paths: paths.clone(),
        uri: uri.to_owned(),
        holder: None,
    };
    let libvirt = Libvirt::open(uri, Box::new(|_, _, _| {}))?;
    for (node, domain, _) in libvirt.of_cluster(paths.cluster())? {
        remove_domain(&place, &libvirt, &node, &domain)?;
    }
    let network = format!("regent-{}", paths.cluster());
    libvirt.remove_network(&network)?;
    lxc::remove_network_traces(&network)
}

fn remove_domain(place: &Place, libvirt: &Libvirt, node: &NodeName, domain: &str) -> Result<()> {
    // libvirt's own way takes two seconds and ends in the same.
    if let Some(container) = Container::find(place, domain) {
        container.kill(node, domain)?;
    }
    if libvirt.state(domain)?.is_active()
        && let Err(error) = libvirt.destroy(domain)
        && libvirt.state(domain)?.is_active()
    {
        // It had not ended by itself meanwhile.
        return Err(error);
    }
    if place.holder.is_none() {
        lxc::remove_traces(domain)?;
    }
    // Last: a domain that is still defined is how an interrupted removal is found again.
    libvirt.undefine(domain)
}

/// Returns the node that a domain of the cluster stands for.
fn node_of(cluster: &ClusterName, domain: &str) -> Option<NodeName> {
    domain
        .strip_prefix(cluster.as_str())?
        .strip_prefix('-')?
        .parse()
        .ok()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or(Err(HypervisorError::Dropped))
}
