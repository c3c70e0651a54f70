//! The cluster at a glance, also while parts of it are down.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use jiff::Timestamp;
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
    /// The certificate that ends first, of those that kubeadm and kubelets made.
    pub ends_first: Option<Expiry>,
    /// Backups, where the plan has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backups: Option<Backups>,
}

/// When a certificate ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Expiry {
    /// The node that has it.
    pub node: NodeName,
    /// Its subject.
    pub subject: String,
    /// When.
    pub end: Timestamp,
}

/// Backups, as far as nodes that answer keep them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Backups {
    /// The name of the newest, which says when it was made.
    pub newest: Option<String>,
    /// The node that keeps it.
    pub node: Option<NodeName>,
    /// Nodes whose last try failed.
    pub failed: Vec<NodeName>,
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
        Ok(world) => Status {
            backups: site.plan.backup.as_ref().map(|_| backups(&world)),
            ..of(&site.plan.nodes, &world)
        },
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
        ends_first: ends_first(world),
        backups: None,
    }
}

fn ends_first(world: &World) -> Option<Expiry> {
    let guests = world.nodes.keys();
    let guests = guests.filter_map(|name| Some((name, world.guest(name)?)));
    let all = guests.flat_map(|(name, guest)| guest.certificates.iter().map(move |of| (name, of)));
    let (node, (subject, end)) = all.min_by_key(|(_, (_, end))| *end)?;
    Some(Expiry {
        node: node.clone(),
        subject: subject.clone(),
        end: *end,
    })
}

fn backups(world: &World) -> Backups {
    let guests = || {
        let names = world.nodes.keys();
        names.filter_map(|name| Some((name, &world.guest(name)?.backups)))
    };
    let newest = guests().max_by_key(|(_, kept)| &kept.newest);
    let newest = newest.filter(|(_, kept)| kept.newest.is_some());
    Backups {
        newest: newest.and_then(|(_, kept)| kept.newest.clone()),
        node: newest.map(|(name, _)| name.clone()),
        failed: guests()
            .filter(|(_, kept)| kept.failed)
            .map(|(name, _)| name.clone())
            .collect(),
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
        ends_first: None,
        backups: None,
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
