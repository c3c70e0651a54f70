//! The fault: whom it hits, that it bit, and how it is undone.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::api::Api;
use super::etcd::Etcd;
use super::evidence::{FaultRecord, Proof};
use super::observe::ready;
use super::probe::{Endpoint, get};
use super::sample::Outcome;
use super::scenario::{Fault, Scenario, Target};
use super::workload;
use crate::hypervisor::{self, DomainChange, DomainState, HypervisorError};
use crate::name::NodeName;
use crate::node::{Node, NodeError};
use crate::plan::{NodePlan, NodeRole};
use crate::site::Site;

/// libvirt reports a death within milliseconds to two seconds; five times that is another matter.
const DEATH_NOTICE: Duration = Duration::from_secs(10);

/// A living node answers a handshake in milliseconds, a busy one in a second.
const ANSWER: Duration = Duration::from_secs(2);

/// A cut node was Ready after 30 to 90 s in hand trials. The budget judges; this only ends the waiting.
const RETURN: Duration = Duration::from_secs(240);

/// Between two looks at a node that comes back: a small part of the seconds that it takes.
const PAUSE: Duration = Duration::from_millis(250);

/// A restart of haproxy takes milliseconds; systemd kills it after 90 s at the latest.
const RESTART: Duration = Duration::from_secs(100);

/// Why a fault could not be applied or undone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum StrikeError {
    /// Nobody fits the target.
    #[error("no node is the target `{0}` now")]
    NoTarget(Target),
    /// The hypervisor refused.
    #[error(transparent)]
    Hypervisor(#[from] HypervisorError),
    /// The load balancer's service could not be restarted.
    #[error("cannot restart the load balancer")]
    Restart(#[from] NodeError),
    /// The node did not come back.
    #[error("{node} was not back after {} s: {missing}", RETURN.as_secs())]
    Return {
        /// Which node.
        node: NodeName,
        /// What was missing at the last look.
        missing: &'static str,
    },
}

/// A fault that was applied.
pub(super) struct Applied {
    /// Just before.
    pub(super) before: Instant,
    /// What shows that it bit.
    pub(super) proofs: Vec<Proof>,
}

/// What a fault works on.
pub(super) struct Striker<'a> {
    pub(super) site: &'a Site,
    pub(super) etcd: &'a Etcd,
    pub(super) api: &'a Api,
    pub(super) endpoint: &'a Endpoint,
    pub(super) namespace: &'a str,
}

impl Striker<'_> {
    /// Says what the scenario's fault is, now: targets such as the etcd leader are settled here.
    pub(super) async fn aim(&self, scenario: &Scenario) -> Result<FaultRecord, StrikeError> {
        let (fault, target) = match &scenario.fault {
            Fault::RestartLoadBalancer => {
                return Ok(FaultRecord {
                    kind: scenario.kind().to_owned(),
                    target: scenario.target(),
                    node: None,
                    words: "load balancer restarted".to_owned(),
                    weakness: None,
                });
            }
            Fault::Node { fault, target } => (*fault, target),
        };
        let none = || StrikeError::NoTarget(target.clone());
        let leader = self.etcd.view().await.leader().cloned();
        let node = match target {
            Target::EtcdLeader => leader.clone(),
            Target::EtcdFollower => {
                let known = leader.as_ref().ok_or_else(none)?;
                let mut others = self.site.plan.control_plane().map(|node| &node.name);
                others.find(|name| *name != known).cloned()
            }
            Target::AnyWorker => workload::busiest(self.api, self.namespace, &self.site.plan).await,
            Target::Node(name) => Some(name.clone()),
        };
        let node = node.ok_or_else(none)?;
        let planned = self.site.plan.node(&node).ok_or_else(none)?;
        let weakness = self.site.hypervisor.weakness(fault);
        Ok(FaultRecord {
            kind: scenario.kind().to_owned(),
            target: scenario.target(),
            words: words(planned, leader.as_ref() == Some(&node), fault),
            node: Some(node),
            weakness: weakness.map(str::to_owned),
        })
    }

    /// Applies the fault, and looks whether it bit.
    pub(super) async fn apply(
        &self,
        scenario: &Scenario,
        aimed: &FaultRecord,
    ) -> Result<Applied, StrikeError> {
        match (&scenario.fault, &aimed.node) {
            (Fault::Node { fault, .. }, Some(node)) => self.hit(node, *fault).await,
            _ => self.restart().await,
        }
    }

    async fn hit(&self, node: &NodeName, fault: hypervisor::Fault) -> Result<Applied, StrikeError> {
        let hypervisor = &self.site.hypervisor;
        let mut changes = hypervisor.changes();
        let boot = hypervisor.boot_identity(node).await?;
        let before = hypervisor.inject(node, fault).await?;
        let noticed = async {
            loop {
                match changes.recv().await {
                    Ok(DomainChange {
                        node: who, state, ..
                    }) if who == *node && state != DomainState::Running => {
                        return true;
                    }
                    Ok(_) | Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                    Err(_) => return false,
                }
            }
        };
        let ends = ends(fault);
        let (silent, noticed) = futures::join!(self.silent(node), async {
            // The domain of an unplugged node runs on.
            let told = tokio::time::timeout(DEATH_NOTICE, noticed);
            match ends {
                Ends::Nothing => None,
                Ends::Domain | Ends::Process => Some(told.await.unwrap_or(false)),
            }
        });
        let mut proofs = vec![Proof {
            what: format!("{node} no longer answers"),
            holds: silent,
        }];
        proofs.extend(noticed.map(|holds| Proof {
            what: format!("libvirt reported that {node} no longer runs"),
            holds,
        }));
        if ends == Ends::Process {
            let now = hypervisor.boot_identity(node).await?;
            proofs.push(Proof {
                what: format!("the init process that {node} booted with is gone"),
                holds: boot.is_some() && now != boot,
            });
        }
        Ok(Applied { before, proofs })
    }

    /// Whether the node leaves a TLS handshake unanswered: at its API server, or at its kubelet. A kernel that accepts
    /// a connection for a frozen process is no answer; a refused certificate is one.
    async fn silent(&self, node: &NodeName) -> bool {
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

    async fn restart(&self) -> Result<Applied, StrikeError> {
        let mut proofs = Vec::new();
        let before = Instant::now();
        for planned in self.site.plan.load_balancers() {
            let Some(node) = self.site.node(&planned.name) else {
                continue;
            };
            let old = invocation(node).await?;
            node.command(["systemctl", "restart", "haproxy"])
                .deadline(RESTART)
                .run()
                .await?;
            proofs.push(Proof {
                what: format!("haproxy on {} was started anew", planned.name),
                holds: invocation(node).await? != old,
            });
        }
        Ok(Applied { before, proofs })
    }

    /// Undoes the fault and waits until the node is Ready and serves: its kubelet has renewed its lease since, and a
    /// control-plane node's own API server and etcd member answer.
    pub(super) async fn heal(&self, node: &NodeName) -> Result<(), StrikeError> {
        let asleep = self.api.heartbeat(node.as_str()).await.ok().flatten();
        self.site.hypervisor.heal(node).await?;
        let mut missing = "nothing seen yet";
        let back = async {
            while let Err(what) = self.back(node, asleep.as_deref()).await {
                missing = what;
                tokio::time::sleep(PAUSE).await;
            }
        };
        let waited = tokio::time::timeout(RETURN, back).await;
        waited.map_err(|_| StrikeError::Return {
            node: node.clone(),
            missing,
        })
    }

    async fn back(&self, node: &NodeName, asleep: Option<&str>) -> Result<(), &'static str> {
        let heartbeat = self.api.heartbeat(node.as_str()).await.ok().flatten();
        if heartbeat.is_none() || heartbeat.as_deref() == asleep {
            return Err("its kubelet has not renewed its lease");
        }
        let nodes = self
            .api
            .nodes()
            .await
            .map_err(|_| "the API does not list the nodes")?;
        let named = |found: &&k8s_openapi::api::core::v1::Node| {
            found.metadata.name.as_deref() == Some(node.as_str())
        };
        if nodes.iter().find(named).map(ready) != Some("True") {
            return Err("it is not Ready");
        }
        let planned = self.site.plan.node(node).ok_or("it is not in the plan")?;
        if planned.role == NodeRole::ControlPlane {
            self.serves(planned.address).await?;
            let view = self.etcd.view().await;
            if view
                .members
                .get(node)
                .is_none_or(|status| status.as_ref().is_none_or(|status| status.leader == 0))
            {
                return Err("its etcd member does not answer or has no leader");
            }
        }
        Ok(())
    }

    async fn serves(&self, address: Ipv4Addr) -> Result<(), &'static str> {
        let own = Api::new(self.endpoint.at(SocketAddr::from((address, 6443))), ANSWER);
        if own.ready().await {
            Ok(())
        } else {
            Err("its own API server is not ready")
        }
    }
}

/// What of a node ends with a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// It lives and runs.
    Nothing,
    /// Its domain no longer runs.
    Domain,
    /// So does the process that it booted with.
    Process,
}

fn ends(fault: hypervisor::Fault) -> Ends {
    match fault {
        hypervisor::Fault::PowerCut | hypervisor::Fault::Kill | hypervisor::Fault::Stop => {
            Ends::Process
        }
        hypervisor::Fault::Pause => Ends::Domain,
        hypervisor::Fault::LinkDown | hypervisor::Fault::Reset | hypervisor::Fault::SlowDisk => {
            Ends::Nothing
        }
    }
}

/// Returns what tells one start of haproxy from the next.
async fn invocation(node: &Node) -> Result<String, NodeError> {
    let argv = [
        "systemctl",
        "show",
        "--property=InvocationID",
        "--value",
        "haproxy",
    ];
    node.command(argv).run().await
}

fn words(node: &NodePlan, leads: bool, fault: hypervisor::Fault) -> String {
    let role = match (node.role, leads) {
        (NodeRole::ControlPlane, true) => "etcd leader",
        (NodeRole::ControlPlane, false) => "etcd follower",
        (NodeRole::Worker, _) => "worker",
        (NodeRole::LoadBalancer, _) => "load balancer",
    };
    let what = match fault {
        hypervisor::Fault::PowerCut => "lost power",
        hypervisor::Fault::Kill => "was killed",
        hypervisor::Fault::Stop => "was shut down",
        hypervisor::Fault::Pause => "was paused",
        hypervisor::Fault::LinkDown => "was unplugged",
        hypervisor::Fault::Reset => "was reset",
        hypervisor::Fault::SlowDisk => "has a slow disk",
    };
    format!("{role} {} {what}", node.name)
}
