//! The cluster at a glance, also while parts of it are down.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde::Serialize;

use crate::event::chain;
use crate::kubernetes::Kubernetes;
use crate::name::NodeName;
use crate::plan::{NodePlan, NodeRole};
use crate::provider::DomainState;
use crate::recipe::observe::{Patience, observe};
use crate::recipe::world::World;
use crate::recipe::{Check, RecipeError};
use crate::site::Site;

/// The cluster at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Every planned node.
    pub nodes: Vec<NodeStatus>,
    /// Every health check.
    pub checks: Vec<Check>,
}

/// One node. What could not be found out is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Its name.
    pub name: NodeName,
    /// What it is for.
    pub role: NodeRole,
    /// Its address.
    pub address: Ipv4Addr,
    /// libvirt's view.
    pub domain: DomainState,
    /// Whether it runs and the API shows it as Ready: of a node that has just died the API says so for a while.
    pub ready: Option<bool>,
    /// Its etcd member: `leader`, `follower`, `learner`, `silent`.
    pub etcd: Option<&'static str>,
    /// Whether a load balancer sends connections to its API server.
    pub balanced: Option<bool>,
}

impl Status {
    /// Whether every check holds.
    pub fn healthy(&self) -> bool {
        self.checks.iter().all(Check::ok)
    }
}

/// Looks at everything; what does not answer at once is left out, not waited for.
pub async fn status(site: &Site, kubernetes: Option<&Kubernetes>) -> Status {
    let patience = Patience::to_tell(site.plan.driver);
    match observe(site, kubernetes, patience).await {
        Ok(world) => of(&site.plan.nodes, &world),
        Err(error) => silent(&error),
    }
}

fn of(nodes: &[NodePlan], world: &World) -> Status {
    let balanced = balanced(nodes, world);
    let nodes = nodes.iter().map(|node| {
        let control_plane = node.role == NodeRole::ControlPlane;
        let (domain, api) = (world.domain(&node.name), world.api.seen());
        let ready = api.and_then(|api| Some(api.node(&node.name)?.ready));
        NodeStatus {
            name: node.name.clone(),
            role: node.role,
            address: node.address,
            domain,
            ready: ready.map(|ready| ready && domain == DomainState::Running),
            etcd: etcd_role(node, world),
            balanced: balanced
                .as_ref()
                .filter(|_| control_plane)
                .map(|up| up.contains(&node.name)),
        }
    });
    Status {
        nodes: nodes.collect(),
        checks: world.checks.clone(),
    }
}

/// Without libvirt nothing is known of any node.
fn silent(error: &RecipeError) -> Status {
    Status {
        nodes: Vec::new(),
        checks: vec![Check {
            name: "domains",
            missing: Some(chain(error)),
        }],
    }
}

fn balanced<'a>(nodes: &[NodePlan], world: &'a World) -> Option<&'a BTreeSet<NodeName>> {
    let mut balancers = nodes
        .iter()
        .filter(|node| node.role == NodeRole::LoadBalancer);
    Some(&world.guest(&balancers.next()?.name)?.servers)
}

fn etcd_role(node: &NodePlan, world: &World) -> Option<&'static str> {
    let member = world.etcd.member(node)?;
    let status = world.etcd.statuses.get(&node.name);
    let status = status.filter(|status| status.id == member.id);
    Some(match status {
        None => "silent",
        Some(_) if member.learner => "learner",
        Some(status) if status.leader == member.id => "leader",
        Some(_) => "follower",
    })
}
