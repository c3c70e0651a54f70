//! Deciding: from what is planned and what was seen to what can be done now. Pure; the recipe's order stands here
//! and nowhere else.

use std::fmt;

use crate::hypervisor::DomainState;
use crate::name::NodeName;
use crate::plan::{NodePlan, NodeRole, Plan, Step};
use crate::recipe::fingerprint;
use crate::recipe::observe::{Guest, Observed, Stage};

/// One thing to do. Idempotent: doing it twice ends where doing it once does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// A step of the plan.
    Step(Step),
    /// Wait for a kubeadm that an earlier run began.
    Await(NodeName),
    /// Clear away what an unfinished kubeadm left.
    Reset(NodeName),
    /// Fetch the administrator's kubeconfig from the node.
    Kubeconfig(NodeName),
}

impl Action {
    /// Its name, for events and messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Step(step) => step.name(),
            Self::Await(_) => "await kubeadm",
            Self::Reset(_) => "reset",
            Self::Kubeconfig(_) => "kubeconfig",
        }
    }

    /// The node it works on; none for the whole cluster.
    pub fn node(&self) -> Option<&NodeName> {
        match self {
            Self::Step(step) => step.node(),
            Self::Await(node) | Self::Reset(node) | Self::Kubeconfig(node) => Some(node),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.node() {
            Some(node) => write!(f, "{} {node}", self.name()),
            None => f.write_str(self.name()),
        }
    }
}

/// Returns what can be done now, all of it at the same time; nothing when the cluster is as planned.
///
/// `connected`: connectivity was proven in this run for the nodes that are there now.
pub fn next(plan: &Plan, seen: &Observed, connected: bool) -> Vec<Action> {
    let rules: [fn(&Plan, &Observed) -> Vec<Action>; 4] = [start, configure, wait, reset];
    for rule in rules {
        let actions = rule(plan, seen);
        if !actions.is_empty() {
            return actions;
        }
    }
    let prepared = prepare(plan, seen, connected);
    if !prepared.is_empty() {
        return prepared;
    }
    let rules: [fn(&Plan, &Observed) -> Vec<Action>; 3] = [found, join, finish];
    rules
        .into_iter()
        .map(|rule| rule(plan, seen))
        .find(|actions| !actions.is_empty())
        .unwrap_or_default()
}

fn start(plan: &Plan, seen: &Observed) -> Vec<Action> {
    each(
        plan,
        |node| !running(seen, node),
        |node| Action::Step(Step::Start(node)),
    )
}

fn configure(plan: &Plan, seen: &Observed) -> Vec<Action> {
    let configured = |node: &NodePlan| {
        let mark = seen
            .guest(&node.name)
            .and_then(|guest| guest.configured.as_deref());
        mark == Some(&*fingerprint::of_node(node))
    };
    each(
        plan,
        |node| !configured(node),
        |node| Action::Step(Step::Configure(node)),
    )
}

fn wait(plan: &Plan, seen: &Observed) -> Vec<Action> {
    each(plan, at(seen, Stage::Busy), Action::Await)
}

fn reset(plan: &Plan, seen: &Observed) -> Vec<Action> {
    each(plan, at(seen, Stage::Broken), Action::Reset)
}

/// What must hold before any kubeadm: every node can reach every other, and the load balancer verifies API servers
/// by the cluster's CA.
fn prepare(plan: &Plan, seen: &Observed, connected: bool) -> Vec<Action> {
    let mut actions = Vec::new();
    if !connected && plan.nodes.iter().any(outside(seen)) {
        actions.push(Action::Step(Step::Connectivity));
    }
    match (authority(plan, seen), plan.control_plane().next()) {
        (Some(ca), _) => {
            let unbalanced = |node: &NodePlan| !balanced(seen, node, ca);
            actions.extend(each(plan, unbalanced, |node| {
                Action::Step(Step::Balance(node))
            }));
        }
        (None, Some(first)) => actions.push(Action::Step(Step::Authority(first.name.clone()))),
        (None, None) => {}
    }
    actions
}

/// The first control-plane node, and regent's own access. The one with the CA is the first.
fn found(plan: &Plan, seen: &Observed) -> Vec<Action> {
    match plan
        .control_plane()
        .find(|node| at(seen, Stage::Member)(node))
    {
        Some(member) if !seen.kubeconfig => vec![Action::Kubeconfig(member.name.clone())],
        Some(_) => Vec::new(),
        None => {
            let with_ca = |node: &&NodePlan| {
                seen.guest(&node.name)
                    .is_some_and(|guest| guest.ca.is_some())
            };
            let first = plan.control_plane().find(with_ca);
            first
                .map(|node| Action::Step(Step::Init(node.name.clone())))
                .into_iter()
                .collect()
        }
    }
}

fn join(plan: &Plan, seen: &Observed) -> Vec<Action> {
    let joining = plan.nodes.iter().filter(|node| outside(seen)(node));
    joining
        .map(|node| match node.role {
            NodeRole::ControlPlane => Action::Step(Step::JoinControlPlane(node.name.clone())),
            _ => Action::Step(Step::JoinWorker(node.name.clone())),
        })
        .collect()
}

fn finish(plan: &Plan, seen: &Observed) -> Vec<Action> {
    let manifests = fingerprint::of_manifests(&plan.manifests);
    if !seen.healthy {
        vec![Action::Step(Step::Settle)]
    } else if !plan.manifests.is_empty() && seen.manifests.as_deref() != Some(&*manifests) {
        vec![Action::Step(Step::Manifests)]
    } else {
        Vec::new()
    }
}

/// Whether a node runs and is that far.
fn at(seen: &Observed, stage: Stage) -> impl Fn(&NodePlan) -> bool {
    move |node| seen.stage(&node.name) == Some(stage)
}

/// Whether a node is still to join.
fn outside(seen: &Observed) -> impl Fn(&NodePlan) -> bool {
    move |node| node.role != NodeRole::LoadBalancer && at(seen, Stage::Blank)(node)
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

/// Returns the fingerprint of the cluster's CA: as a member has it, else as the control-plane node has it where the
/// first `init` will be.
fn authority<'a>(plan: &'a Plan, seen: &'a Observed) -> Option<&'a str> {
    let guests = || {
        plan.control_plane()
            .filter_map(|node| seen.guest(&node.name))
    };
    let members = guests().filter(|guest| guest.stage == Stage::Member);
    members
        .chain(guests())
        .find_map(|guest: &Guest| guest.ca.as_deref())
}

fn balanced(seen: &Observed, node: &NodePlan, ca: &str) -> bool {
    node.role != NodeRole::LoadBalancer
        || seen
            .guest(&node.name)
            .is_some_and(|guest| guest.balancing && guest.ca.as_deref() == Some(ca))
}

#[cfg(test)]
mod tests;
