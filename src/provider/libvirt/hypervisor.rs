//! The lab's libvirt as a provider: calls that block, each on a thread of its own and for a bounded time.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::broadcast;

use super::connection::Libvirt;
use super::domains::Inner;
use super::driver;
use super::{
    Answer, DomainChange, DomainState, Fault, NodeMedia, Provider, ProviderError, Strength, console,
};
use crate::lab::Lab;
use crate::name::{ClusterName, NodeName};
use crate::plan::{NodePlan, Plan};
use crate::render::libvirt::{self as render, Accelerator};

/// A connection to the lab's libvirt, with its driver. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Hypervisor(Arc<Inner>);

type Result<T> = std::result::Result<T, ProviderError>;

/// Events that a receiver may be behind before it misses some: a few for each of a dozen nodes.
const CHANGES: usize = 256;

/// Connects to what runs a lab's nodes.
///
/// # Errors
/// When its libvirt does not answer.
pub async fn connect(lab: &Lab, plan: &Plan) -> Result<Arc<dyn Provider>> {
    if !lab.libvirtd_answers() {
        return Err(ProviderError::DaemonDead);
    }
    let (place, plan) = (lab.place().clone(), plan.clone());
    within(CONNECT, "connecting", move || {
        let libvirt = Libvirt::at(&place)?;
        let provider = Hypervisor(Arc::new(Inner {
            driver: driver::of(plan.driver, &place),
            place,
            plan,
            libvirt,
            changes: broadcast::Sender::new(CHANGES),
            starting: Mutex::default(),
        }));
        Ok(Arc::new(provider) as Arc<dyn Provider>)
    })
    .await
}

impl Provider for Hypervisor {
    fn ensure_network(&self) -> Answer<'_, ()> {
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
        .boxed()
    }

    fn ensure_node<'a>(&'a self, node: &'a NodePlan, media: &'a NodeMedia) -> Answer<'a, bool> {
        async move {
            self.bury(&node.name).await?;
            let (node, media) = (node.clone(), media.clone());
            self.blocking(move |inner| inner.ensure(&node, &media))
                .await
        }
        .boxed()
    }

    fn remove_node<'a>(&'a self, node: &'a NodeName) -> Answer<'a, ()> {
        let node = node.clone();
        self.blocking(move |inner| inner.remove(&node)).boxed()
    }

    fn set_aside<'a>(&'a self, node: &'a NodeName) -> Answer<'a, Option<Utf8PathBuf>> {
        let node = node.clone();
        self.blocking(move |inner| inner.set_aside(&node)).boxed()
    }

    fn nodes(&self) -> Answer<'_, Vec<(NodeName, DomainState)>> {
        self.bounded(LOOK, "listing domains", |inner| {
            let found = inner.libvirt.of_lab(&inner.place.id)?;
            Ok(found
                .into_iter()
                .map(|(node, _, state)| (node, state))
                .collect())
        })
        .boxed()
    }

    fn changes(&self) -> Answer<'_, broadcast::Receiver<DomainChange>> {
        async {
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
        .boxed()
    }

    /// The node's process on its host (PID 1 of a container, QEMU of a virtual machine) and when it started. A guest that
    /// reboots by itself keeps its QEMU.
    fn boot_identity<'a>(&'a self, node: &'a NodeName) -> Answer<'a, Option<String>> {
        let node = node.clone();
        self.blocking(move |inner| {
            let process = inner.driver.find(&inner.place, &inner.domain(&node))?;
            Ok(process.map(|process| format!("{}@{}", process.pid, process.started)))
        })
        .boxed()
    }

    fn heal<'a>(&'a self, node: &'a NodeName) -> Answer<'a, ()> {
        self.undo(node).boxed()
    }

    fn strength(&self, fault: Fault) -> Strength {
        self.0.driver.strength(fault)
    }

    fn inject<'a>(&'a self, node: &'a NodeName, fault: Fault) -> Answer<'a, Instant> {
        self.impose(node, fault).boxed()
    }

    fn accelerator<'a>(&'a self, node: &'a NodeName) -> Answer<'a, Option<Accelerator>> {
        let node = node.clone();
        self.blocking(move |inner| inner.libvirt.accelerator(&inner.domain(&node)))
            .boxed()
    }

    fn console<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Option<String>> {
        let name = node.clone();
        let said = self.blocking(move |inner| {
            let said = inner
                .driver
                .console(&inner.guest(&name, &inner.domain(&name)));
            Ok(said.map(|said| console::legible(&said)))
        });
        async { said.await.ok()?.filter(|said| !said.is_empty()) }.boxed()
    }
}

impl Hypervisor {
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
