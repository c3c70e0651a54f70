//! Deciding: from what is planned and what was seen to what can be done now. Pure; the recipe's order stands here
//! and nowhere else.

use std::fmt;

use crate::hypervisor::DomainState;
use crate::name::NodeName;
use crate::plan::{NodePlan, NodeRole, Plan};
use crate::recipe::fingerprint;
use crate::recipe::observe::{Guest, Observed, Stage};

/// One thing to do. Idempotent: doing it twice ends where doing it once does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Make the domain exist and run, and wait until the node answers.
    Start(NodeName),
    /// Write the planned files and make them take effect.
    Configure(NodeName),
    /// Prove that every node reaches every other on every port that the recipe needs.
    Connectivity,
    /// Wait for a kubeadm that an earlier run began.
    Await(NodeName),
    /// Clear away what an unfinished kubeadm left.
    Reset(NodeName),
    /// Create the cluster's certificate authority on the node, so that the load balancer can verify API servers
    /// before the first one runs.
    Authority(NodeName),
    /// Give the load balancer the cluster's CA and (re)load haproxy.
    Balance(NodeName),
    /// `kubeadm init` on the node.
    Init(NodeName),
    /// Fetch the administrator's kubeconfig from the node.
    Kubeconfig(NodeName),
    /// `kubeadm join` as control-plane node.
    JoinControlPlane(NodeName),
    /// `kubeadm join` as worker.
    JoinWorker(NodeName),
    /// Wait until every health check holds.
    Settle,
    /// Apply the spec's manifests.
    Manifests,
}

impl Action {
    /// The step's name, for events and messages.
    pub fn step(&self) -> &'static str {
        match self {
            Self::Start(_) => "start",
            Self::Configure(_) => "configure",
            Self::Connectivity => "connectivity",
            Self::Await(_) => "await kubeadm",
            Self::Reset(_) => "reset",
            Self::Authority(_) => "certificate authority",
            Self::Balance(_) => "load balancer",
            Self::Init(_) => "init",
            Self::Kubeconfig(_) => "kubeconfig",
            Self::JoinControlPlane(_) => "join control plane",
            Self::JoinWorker(_) => "join worker",
            Self::Settle => "settle",
            Self::Manifests => "manifests",
        }
    }

    /// The node it works on; none for the whole cluster.
    pub fn node(&self) -> Option<&NodeName> {
        match self {
            Self::Start(node)
            | Self::Configure(node)
            | Self::Await(node)
            | Self::Reset(node)
            | Self::Authority(node)
            | Self::Balance(node)
            | Self::Init(node)
            | Self::Kubeconfig(node)
            | Self::JoinControlPlane(node)
            | Self::JoinWorker(node) => Some(node),
            Self::Connectivity | Self::Settle | Self::Manifests => None,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.node() {
            Some(node) => write!(f, "{} {node}", self.step()),
            None => f.write_str(self.step()),
        }
    }
}

/// Returns what can be done now, all of it at the same time; nothing when the cluster is as planned.
///
/// `connected`: connectivity was proven in this run for the nodes that are there now.
pub fn next(plan: &Plan, seen: &Observed, connected: bool) -> Vec<Action> {
    let start = each(plan, |node| !running(seen, node), Action::Start);
    if !start.is_empty() {
        return start;
    }
    let configure = each(
        plan,
        |node| {
            seen.guest(&node.name)
                .and_then(|guest| guest.configured.as_deref())
                != Some(&*fingerprint::of_node(node))
        },
        Action::Configure,
    );
    if !configure.is_empty() {
        return configure;
    }
    let unfinished = |stage| move |node: &NodePlan| seen.stage(&node.name) == Some(stage);
    let waits = each(plan, unfinished(Stage::Busy), Action::Await);
    if !waits.is_empty() {
        return waits;
    }
    let resets = each(plan, unfinished(Stage::Broken), Action::Reset);
    if !resets.is_empty() {
        return resets;
    }
    let outside =
        |node: &NodePlan| node.role != NodeRole::LoadBalancer && unfinished(Stage::Blank)(node);
    if plan.nodes.iter().any(outside) && !connected {
        return vec![Action::Connectivity];
    }
    let Some(authority) = authority(plan, seen) else {
        return plan
            .control_plane()
            .take(1)
            .map(|node| Action::Authority(node.name.clone()))
            .collect();
    };
    let balance = each(
        plan,
        |node| !balanced(seen, node, authority.1),
        Action::Balance,
    );
    if !balance.is_empty() {
        return balance;
    }
    let Some(member) = plan
        .control_plane()
        .find(|node| seen.stage(&node.name) == Some(Stage::Member))
    else {
        return vec![Action::Init(authority.0.clone())];
    };
    if !seen.kubeconfig {
        return vec![Action::Kubeconfig(member.name.clone())];
    }
    let joins = each(plan, outside, |name| {
        match plan.node(&name).map(|node| node.role) {
            Some(NodeRole::ControlPlane) => Action::JoinControlPlane(name),
            _ => Action::JoinWorker(name),
        }
    });
    if !joins.is_empty() {
        return joins;
    }
    if !seen.healthy {
        return vec![Action::Settle];
    }
    let manifests = fingerprint::of_manifests(&plan.manifests);
    if !plan.manifests.is_empty() && seen.manifests.as_deref() != Some(&*manifests) {
        return vec![Action::Manifests];
    }
    Vec::new()
}

fn each(
    plan: &Plan,
    wanted: impl Fn(&NodePlan) -> bool,
    action: impl Fn(NodeName) -> Action,
) -> Vec<Action> {
    plan.nodes
        .iter()
        .filter(|node| wanted(node))
        .map(|node| action(node.name.clone()))
        .collect()
}

fn running(seen: &Observed, node: &NodePlan) -> bool {
    seen.nodes
        .get(&node.name)
        .is_some_and(|node| node.domain == DomainState::Running && node.guest.is_some())
}

/// Returns where the cluster's CA is, and its fingerprint: on a member, else on the control-plane node where the
/// first `init` will be.
fn authority<'a>(plan: &'a Plan, seen: &'a Observed) -> Option<(&'a NodeName, &'a str)> {
    let with_ca = |node: &'a NodePlan| {
        let guest: &Guest = seen.guest(&node.name)?;
        Some((
            guest.stage == Stage::Member,
            &node.name,
            guest.ca.as_deref()?,
        ))
    };
    let mut holders: Vec<_> = plan.control_plane().filter_map(with_ca).collect();
    holders.sort_by_key(|(member, ..)| !member);
    holders.first().map(|&(_, node, ca)| (node, ca))
}

fn balanced(seen: &Observed, node: &NodePlan, ca: &str) -> bool {
    node.role != NodeRole::LoadBalancer
        || seen
            .guest(&node.name)
            .is_some_and(|guest| guest.balancing && guest.ca.as_deref() == Some(ca))
}
