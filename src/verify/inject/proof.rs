//! What shows that a fault took effect, and that it lasts.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use regent_load::get;

use super::{ANSWER, Injector, PAUSE};
use crate::fault::{self, Impairment};
use crate::name::NodeName;
use crate::plan::NodeRole;
use crate::provider::{self, DomainState};
use crate::verify::evidence::Proof;
use crate::verify::sample::Outcome;
use crate::verify::scenario::{Fault, Scenario};

/// How long a measurement on a node may take, and how long it is repeated: an emulated machine takes a minute to boot.
const MEASURED: Duration = Duration::from_secs(180);

/// What tells one boot from the next.
const BOOT_ID: &str = "cat /proc/sys/kernel/random/boot_id";

/// How long five synced writes take where etcd writes, in milliseconds.
const SYNCED_WRITES: &str = "
    begun=$(date +%s%N)
    dd if=/dev/zero of=/var/lib/etcd/.regent-probe bs=4k count=5 oflag=dsync 2>/dev/null
    rm -f /var/lib/etcd/.regent-probe
    echo $((($(date +%s%N) - begun) / 1000000))";

/// Packets that are lost, or late, are seen with the next ones that come: the load sends some every second.
const SEEN: Duration = Duration::from_secs(10);

/// What of a node ends with a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// It lives and is heard.
    Nothing,
    /// It lives, and nobody hears it.
    Link,
    /// Its domain no longer runs.
    Domain,
    /// So does the process that it booted with.
    Process,
}

pub(super) fn ends(fault: provider::Fault) -> Ends {
    match fault {
        provider::Fault::PowerCut | provider::Fault::Kill | provider::Fault::Stop => Ends::Process,
        provider::Fault::Pause => Ends::Domain,
        provider::Fault::LinkDown => Ends::Link,
        provider::Fault::Reset | provider::Fault::SlowDisk => Ends::Nothing,
    }
}

impl Injector<'_> {
    /// What is measured of a node before a fault that leaves it alive, to see the difference.
    pub(super) async fn measure(&self, node: &NodeName, fault: provider::Fault) -> Option<String> {
        let script = match fault {
            provider::Fault::Reset => BOOT_ID,
            provider::Fault::SlowDisk => SYNCED_WRITES,
            _ => return None,
        };
        let asked = self.site.node(node)?.script(script).deadline(MEASURED);
        Some(asked.run().await.unwrap_or_default())
    }

    /// Measures the same again, until it has changed or its time is over.
    pub(super) async fn changed(
        &self,
        node: &NodeName,
        fault: provider::Fault,
        before: &str,
    ) -> Proof {
        let end = Instant::now() + MEASURED;
        loop {
            let now = self.measure(node, fault).await.unwrap_or_default();
            let (before, now) = (before.trim(), now.trim());
            let number = |text: &str| text.parse::<u64>().ok();
            let (what, holds) = match (fault, number(before), number(now)) {
                (provider::Fault::SlowDisk, was, is) => (
                    format!("five synced writes on {node} take {now} ms, {before} before"),
                    matches!((was, is), (Some(was), Some(is)) if is > 200 && is > 2 * was),
                ),
                _ => (
                    format!("{node} has booted again"),
                    !before.is_empty() && !now.is_empty() && now != before,
                ),
            };
            if holds || Instant::now() > end {
                return Proof { what, holds };
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Looks until what the node's own system does is seen, or its time is over.
    pub(super) async fn seen(&self, name: &NodeName, impairment: Impairment) -> Proof {
        let end = Instant::now() + SEEN;
        loop {
            let (what, holds) = self.look(name, impairment).await;
            if holds || Instant::now() > end {
                return Proof { what, holds };
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn look(&self, name: &NodeName, impairment: Impairment) -> (String, bool) {
        let Some(node) = self.site.node(name) else {
            return (format!("{name} is there"), false);
        };
        let seen = impairment.seen(node, self.site.plan.network.gateway).await;
        seen.unwrap_or_else(|error| (format!("{name} can be asked ({error})"), false))
    }

    /// Whether the node is still as the fault left it; what it is otherwise.
    pub(in crate::verify) async fn lasts(
        &self,
        scenario: &Scenario,
        node: &NodeName,
    ) -> Result<(), String> {
        let Fault::Node { fault, .. } = &scenario.fault else {
            return Ok(());
        };
        let lasts = match fault {
            fault::Fault::Within(impairment) => {
                let (what, holds) = self.look(node, *impairment).await;
                return match holds {
                    true => Ok(()),
                    false => Err(format!(
                        "the fault did not last: not so any more that {what}"
                    )),
                };
            }
            fault::Fault::Outside(outside) => match ends(*outside) {
                Ends::Nothing => true,
                Ends::Link => self.silent(node).await,
                Ends::Domain | Ends::Process => {
                    let states = self.site.provider.nodes().await.unwrap_or_default();
                    !states.contains(&(node.clone(), DomainState::Running))
                }
            },
        };
        match lasts {
            true => Ok(()),
            false => Err(format!(
                "the fault did not last: {node} runs or answers again"
            )),
        }
    }

    /// Whether the node leaves a TLS handshake unanswered: at its API server, or at its kubelet. A kernel that accepts
    /// a connection for a frozen process is no answer; a refused certificate is one.
    pub(super) async fn silent(&self, node: &NodeName) -> bool {
        let Some(planned) = self.site.plan.node(node) else {
            return false;
        };
        let (port, path) = match planned.role {
            NodeRole::ControlPlane => (6443, "/readyz"),
            NodeRole::Worker => (10250, "/healthz"),
            NodeRole::LoadBalancer => (6443, "/readyz"),
        };
        let endpoint = self.endpoint.at(SocketAddr::from((planned.address, port)));
        let asked = tokio::time::timeout(ANSWER, get(&endpoint, path)).await;
        matches!(asked, Err(_) | Ok(Err(Outcome::Connect)))
    }
}
