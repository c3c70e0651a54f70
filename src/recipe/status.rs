//! The cluster at a glance, also while parts of it are down.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use serde::Serialize;

use crate::hypervisor::DomainState;
use crate::kubernetes::Kubernetes;
use crate::name::NodeName;
use crate::plan::NodeRole;
use crate::recipe::{Check, control_plane, etcd, health, servers_up};
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
    /// Whether the API shows it as Ready.
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

/// Looks at everything; what does not answer is left out, not waited for.
pub async fn status(site: &Site, kubernetes: Option<&Kubernetes>) -> Status {
    let (domains, ready, etcd, balanced, checks) = futures::join!(
        async {
            site.hypervisor
                .nodes()
                .await
                .unwrap_or_default()
                .into_iter()
                .collect::<BTreeMap<_, _>>()
        },
        ready(kubernetes),
        etcd_roles(site),
        balanced(site),
        async {
            match kubernetes {
                Some(kubernetes) => health::check(site, kubernetes).await,
                None => vec![Check {
                    name: "API",
                    missing: Some("no kubeconfig yet".to_owned()),
                }],
            }
        },
    );
    let nodes = site.plan.nodes.iter().map(|node| {
        let control_plane = node.role == NodeRole::ControlPlane;
        NodeStatus {
            name: node.name.clone(),
            role: node.role,
            address: node.address,
            domain: domains
                .get(&node.name)
                .copied()
                .unwrap_or(DomainState::Undefined),
            ready: ready
                .as_ref()
                .and_then(|ready| ready.get(node.name.as_str()).copied()),
            etcd: etcd.get(node.name.as_str()).copied(),
            balanced: balanced
                .as_ref()
                .filter(|_| control_plane)
                .map(|up| up.contains(&node.name)),
        }
    });
    Status {
        nodes: nodes.collect(),
        checks,
    }
}

async fn ready(kubernetes: Option<&Kubernetes>) -> Option<BTreeMap<String, bool>> {
    let nodes = kubernetes?.nodes().await.ok()?;
    Some(
        nodes
            .into_iter()
            .map(|node| (node.name, node.ready))
            .collect(),
    )
}

async fn balanced(site: &Site) -> Option<BTreeSet<NodeName>> {
    let balancer = site.plan.load_balancers().next()?;
    servers_up(site, &balancer.name).await.ok()
}

async fn etcd_roles(site: &Site) -> BTreeMap<String, &'static str> {
    let Ok(on) = control_plane::member(site).await else {
        return BTreeMap::new();
    };
    let (members, statuses) = futures::join!(etcd::members(site, &on), etcd::status(site, &on));
    let statuses = statuses.unwrap_or_default();
    let role = |member: &etcd::Member| {
        let status = statuses.iter().find(|status| status.id == member.id);
        match status {
            None => "silent",
            Some(_) if member.learner => "learner",
            Some(status) if status.leader == member.id => "leader",
            Some(_) => "follower",
        }
    };
    members
        .unwrap_or_default()
        .iter()
        .map(|member| (member.name.clone(), role(member)))
        .collect()
}
