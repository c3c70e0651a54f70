//! The fault of a run: whom it hits, and how it is injected. [`proof`] shows that it took effect and lasted, [`back`] reverts
//! it and waits for the node.

mod back;
mod proof;

use std::time::{Duration, Instant};

use self::proof::{Ends, ends};
use super::api::Api;
use super::etcd::Etcd;
use super::evidence::{FaultRecord, Proof};
use super::scenario::{Fault, Scenario, Target};
use super::workload;
use crate::fault::{self, FaultError};
use crate::name::NodeName;
use crate::node::{Node, NodeError};
use crate::plan::{NodePlan, NodeRole};
use crate::provider::{self, DomainChange, DomainState, ProviderError};
use crate::site::Site;
use regent_load::Endpoint;

/// libvirt reports a death within milliseconds to two seconds; five times that is another matter.
const DEATH_NOTICE: Duration = Duration::from_secs(10);

/// A living node answers a handshake in milliseconds, a busy one in a second.
const ANSWER: Duration = Duration::from_secs(2);

/// Between two looks at a node that comes back: a small part of the seconds that it takes.
const PAUSE: Duration = Duration::from_millis(250);

/// A restart of haproxy takes milliseconds; systemd kills it after 90 s at the latest.
const RESTART: Duration = Duration::from_secs(100);

/// Why a fault could not be applied or undone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum InjectError {
    /// Nobody fits the target.
    #[error("no node is the target `{0}` now")]
    NoTarget(Target),
    /// It was not injected, or not reverted.
    #[error(transparent)]
    Fault(#[from] FaultError),
    /// The provider does not say what became of the node.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The load balancer's service could not be restarted.
    #[error("cannot restart the load balancer")]
    Restart(#[from] NodeError),
    /// The node did not come back.
    #[error("{node} was not back after {} s: {missing}", back::RETURN.as_secs())]
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
pub(super) struct Injector<'a> {
    pub(super) site: &'a Site,
    pub(super) etcd: &'a Etcd,
    pub(super) api: &'a Api,
    pub(super) endpoint: &'a Endpoint,
    pub(super) namespace: &'a str,
}

impl Injector<'_> {
    /// Says what the scenario's fault is, now: targets such as the etcd leader are settled here.
    pub(super) async fn choose(&self, scenario: &Scenario) -> Result<FaultRecord, InjectError> {
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
            Fault::Command(command) => {
                return Ok(FaultRecord {
                    kind: scenario.kind().to_owned(),
                    target: scenario.target(),
                    node: None,
                    words: format!("`{command}` was run"),
                    weakness: None,
                });
            }
            Fault::Node { fault, target } => (*fault, target),
        };
        let none = || InjectError::NoTarget(target.clone());
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
        let weakness = match fault {
            fault::Fault::Outside(fault) => self.site.provider.weakness(fault),
            fault::Fault::Within(_) => None,
        };
        Ok(FaultRecord {
            kind: scenario.kind().to_owned(),
            target: scenario.target(),
            words: words(planned, leader.as_ref() == Some(&node), fault),
            node: Some(node),
            weakness: weakness.map(str::to_owned),
        })
    }

    /// Applies the fault, and looks whether it bit.
    pub(super) async fn inject(
        &self,
        scenario: &Scenario,
        chosen: &FaultRecord,
    ) -> Result<Applied, InjectError> {
        match (&scenario.fault, &chosen.node) {
            (Fault::Node { fault, .. }, Some(node)) => self.into(node, *fault).await,
            _ => self.restart().await,
        }
    }

    async fn into(&self, node: &NodeName, fault: fault::Fault) -> Result<Applied, InjectError> {
        match fault {
            fault::Fault::Outside(outside) => self.outside(node, outside).await,
            fault::Fault::Within(impairment) => {
                let before = fault::inject(self.site, node, fault).await?;
                let proof = self.seen(node, impairment).await;
                Ok(Applied {
                    before,
                    proofs: vec![proof],
                })
            }
        }
    }

    async fn outside(
        &self,
        node: &NodeName,
        fault: provider::Fault,
    ) -> Result<Applied, InjectError> {
        let provider = &self.site.provider;
        let mut changes = provider.changes().await?;
        let boot = provider.boot_identity(node).await?;
        let measured = self.measure(node, fault).await;
        let before = fault::inject(self.site, node, fault::Fault::Outside(fault)).await?;
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
        let (silent, noticed) = futures::join!(
            async {
                match ends {
                    Ends::Nothing => None,
                    Ends::Link | Ends::Domain | Ends::Process => Some(self.silent(node).await),
                }
            },
            async {
                // The domain of an unplugged node runs on.
                let told = tokio::time::timeout(DEATH_NOTICE, noticed);
                match ends {
                    Ends::Nothing | Ends::Link => None,
                    Ends::Domain | Ends::Process => Some(told.await.unwrap_or(false)),
                }
            }
        );
        let mut proofs: Vec<Proof> = silent
            .map(|holds| Proof {
                what: format!("{node} no longer answers"),
                holds,
            })
            .into_iter()
            .collect();
        proofs.extend(noticed.map(|holds| Proof {
            what: format!("libvirt reported that {node} no longer runs"),
            holds,
        }));
        if ends == Ends::Process {
            let now = provider.boot_identity(node).await?;
            proofs.push(Proof {
                what: format!("the init process that {node} booted with is gone"),
                holds: boot.is_some() && now != boot,
            });
        }
        if let Some(measured) = measured {
            proofs.push(self.changed(node, fault, &measured).await);
        }
        Ok(Applied { before, proofs })
    }

    async fn restart(&self) -> Result<Applied, InjectError> {
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

fn words(node: &NodePlan, leads: bool, fault: fault::Fault) -> String {
    let role = match (node.role, leads) {
        (NodeRole::ControlPlane, true) => "etcd leader",
        (NodeRole::ControlPlane, false) => "etcd follower",
        (NodeRole::Worker, _) => "worker",
        (NodeRole::LoadBalancer, _) => "load balancer",
    };
    format!("{role} {}", fault.of(&node.name))
}
