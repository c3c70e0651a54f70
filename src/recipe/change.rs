//! Deciding: from what is wanted, what was recorded and what was seen to what can be done now. Pure; the recipe's order
//! stands here and nowhere else.

mod action;
mod control_plane;
mod endpoint;
mod expect;
mod leave;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

pub use action::{Action, Refusal};
#[cfg(test)]
pub(super) use expect::after_up;
pub(super) use expect::foresee;
#[cfg(test)]
pub(super) use expect::preview;
pub use expect::steps;

use crate::plan::{NodePlan, NodeRole, Plan};
use crate::provider::DomainState;
use crate::recipe::fingerprint;
use crate::recipe::world::{Guest, Kubeconfig, Stage, World};

/// What can be done now, all of it at the same time, and what is not done for good reason. Both are empty when the cluster
/// is as wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Next {
    /// What to do.
    pub actions: Vec<Action>,
    /// What regent will not do by itself, and who must do what.
    pub refusals: Vec<Refusal>,
}

/// Decides. `recorded` is the plan that the cluster was last brought to; none where that is not known.
pub fn next(wanted: &Plan, recorded: Option<&Plan>, world: &World) -> Next {
    let facts = Facts {
        wanted,
        recorded,
        world,
    };
    let mut next = Next::default();
    // Each rule needs what those before it bring about.
    let rules: [fn(&Facts<'_>, &mut Next); 12] = [
        endpoint::no_way_back,
        begin,
        configure,
        wait,
        members,
        leave::recorded,
        prepare,
        endpoint::serve,
        found,
        endpoint::announce,
        join,
        finish,
    ];
    for rule in rules {
        rule(&facts, &mut next);
        // What is refused of the whole cluster, everything after it needs.
        let whole = next.refusals.iter().any(|refusal| refusal.node.is_none());
        if !next.actions.is_empty() || whole {
            break;
        }
    }
    next
}

/// The three truths, and what follows from them.
struct Facts<'a> {
    wanted: &'a Plan,
    recorded: Option<&'a Plan>,
    world: &'a World,
}

impl<'a> Facts<'a> {
    /// Planned nodes that nothing has failed on in this run.
    fn nodes(&self) -> impl Iterator<Item = &'a NodePlan> {
        let given_up = &self.world.run.given_up;
        let nodes = self.wanted.nodes.iter();
        nodes.filter(move |node| !given_up.contains(&node.name))
    }

    fn with(&self, role: NodeRole) -> impl Iterator<Item = &'a NodePlan> {
        self.nodes().filter(move |node| node.role == role)
    }

    fn control_plane(&self) -> impl Iterator<Item = &'a NodePlan> {
        self.with(NodeRole::ControlPlane)
    }

    fn guest(&self, node: &NodePlan) -> Option<&'a Guest> {
        self.world.guest(&node.name)
    }

    fn at(&self, node: &NodePlan, stage: Stage) -> bool {
        self.world.stage(node) == Some(stage)
    }

    fn data(&self, node: &NodePlan) -> bool {
        node.role == NodeRole::ControlPlane
            && self.guest(node).is_some_and(|guest| guest.kubeadm.data)
    }

    /// A control-plane node that can be worked through: all of it is there, and etcd counts it.
    fn sound(&self) -> Option<&'a NodePlan> {
        let etcd = &self.world.etcd;
        self.control_plane().find(|node| {
            let votes = etcd.member(node).is_some_and(|member| !member.learner);
            self.at(node, Stage::Whole) && votes && !etcd.stray(&node.name)
        })
    }

    /// The fingerprint of the cluster's CA: as a sound node has it, else as the node with etcd's data has it, else as it
    /// is where the first `init` will be.
    fn authority(&self) -> Option<&'a str> {
        let ca = |node: &'a NodePlan| self.guest(node)?.ca.as_deref();
        let with = |data: bool| {
            self.control_plane()
                .filter(move |node| !data || self.data(node))
                .find_map(ca)
        };
        self.sound()
            .and_then(ca)
            .or_else(|| with(true))
            .or_else(|| with(false))
    }

    /// Whether a cluster was ever founded that nodes or this lab remember.
    fn evidence(&self) -> Option<String> {
        if !matches!(self.world.kubeconfig, Kubeconfig::Missing) {
            return Some("the lab keeps a kubeconfig of a cluster".to_owned());
        }
        let joined = self
            .with(NodeRole::Worker)
            .find(|node| self.at(node, Stage::Whole))?;
        Some(format!("{} has joined a cluster", joined.name))
    }

    /// Whether a control-plane node cannot be asked. It may have the cluster's data and its CA, so nothing is founded
    /// anew beside it; its own error is told.
    fn dark(&self) -> bool {
        let mut nodes = self.wanted.control_plane();
        nodes.any(|node| self.guest(node).is_none())
    }

    /// Nodes that the cluster was brought to and that the file has no more, as far as anything of them is left; the last
    /// ones first, workers before control-plane nodes.
    fn leaving(&self) -> impl Iterator<Item = &'a NodePlan> {
        let Self {
            wanted,
            recorded,
            world,
        } = *self;
        let recorded = recorded.map(|plan| &*plan.nodes).unwrap_or_default();
        recorded.iter().rev().filter(move |node| {
            let api = world.api.seen();
            let left = world.domains.contains_key(&node.name)
                || world.etcd.member(node).is_some()
                || api.is_some_and(|api| api.node(&node.name).is_some());
            left && wanted.node(&node.name).is_none()
        })
    }

    /// Whether a node is still to join: blank, and neither etcd nor the API knows it.
    fn outside(&self, node: &NodePlan) -> bool {
        node.role != NodeRole::LoadBalancer && self.at(node, Stage::Blank)
    }
}

/// What nobody asked for goes, what is asked for starts.
fn begin(facts: &Facts<'_>, next: &mut Next) {
    let world = facts.world;
    for node in facts.nodes() {
        let up = world.domain(&node.name) == DomainState::Running && facts.guest(node).is_some();
        if !up {
            next.actions.push(Action::Start(node.name.clone()));
        }
    }
}

fn configure(facts: &Facts<'_>, next: &mut Next) {
    for node in facts.nodes() {
        let mark = facts
            .guest(node)
            .and_then(|guest| guest.configured.as_deref());
        let is_of = |node: &NodePlan| mark == Some(&*fingerprint::of_node(node));
        // Who leaves is asked and answered until the end; only the load balancer sends nobody there.
        let before = facts.recorded.and_then(|plan| plan.node(&node.name));
        let still = || {
            node.role != NodeRole::LoadBalancer
                && facts.leaving().next().is_some()
                && before.is_some_and(is_of)
        };
        if !is_of(node) && !still() {
            next.actions.push(Action::Configure(node.name.clone()));
        }
        let archives = &facts.wanted.images;
        let loaded = |guest: &Guest| archives.iter().all(|archive| guest.loaded(archive));
        let pods = node.role != NodeRole::LoadBalancer;
        if pods && !archives.is_empty() && !facts.guest(node).is_some_and(loaded) {
            next.actions.push(Action::Load(node.name.clone()));
        }
    }
}

fn wait(facts: &Facts<'_>, next: &mut Next) {
    let busy = facts.nodes().filter(|node| facts.at(node, Stage::Busy));
    next.actions
        .extend(busy.map(|node| Action::Await(node.name.clone())));
    // It may be waiting for the API at the control plane endpoint.
    if let (Some(ca), false) = (facts.authority(), next.actions.is_empty()) {
        balance(facts, ca, next);
    }
}

/// What is of no use goes: from etcd, from the API, from the nodes; control-plane nodes with more care than workers.
fn members(facts: &Facts<'_>, next: &mut Next) {
    for node in facts.nodes().filter(|node| facts.at(node, Stage::Whole)) {
        if facts.guest(node).is_some_and(|guest| !guest.kubelet) {
            next.actions.push(Action::Kubelet(node.name.clone()));
        }
        let ended = facts
            .guest(node)
            .is_some_and(|guest| guest.ended().next().is_some());
        match node.role {
            NodeRole::ControlPlane if ended => next.actions.push(Action::Renew(node.name.clone())),
            // Its kubelet's, which nobody but the API can renew, for those whom it still knows.
            NodeRole::Worker if ended => next.actions.push(Action::Reset(node.name.clone())),
            _ => {}
        }
    }
    control_plane::settle_members(facts, next);
    leave::unwanted(facts, next);
    let (Some(api), Some(ca)) = (facts.world.api.seen(), facts.authority()) else {
        // A worker that began and did not finish has nothing that is needed.
        let partial = facts
            .with(NodeRole::Worker)
            .filter(|node| facts.at(node, Stage::Partial));
        next.actions
            .extend(partial.map(|node| Action::Reset(node.name.clone())));
        return;
    };
    for node in facts.with(NodeRole::Worker) {
        let foreign = facts
            .guest(node)
            .and_then(|guest| guest.ca.as_deref())
            .is_some_and(|own| own != ca);
        match facts.world.stage(node) {
            Some(Stage::Partial) => next.actions.push(Action::Reset(node.name.clone())),
            // It belongs to a cluster that is no more.
            Some(Stage::Whole) if foreign => next.actions.push(Action::Reset(node.name.clone())),
            Some(Stage::Blank) if api.node(&node.name).is_some() => {
                next.actions.push(Action::DeleteNode(node.name.clone()));
            }
            _ => {}
        }
    }
}

/// What must hold before any kubeadm: every node can reach every other, and the load balancer verifies API servers by
/// the cluster's CA.
fn prepare(facts: &Facts<'_>, next: &mut Next) {
    let joining = facts.nodes().any(|node| facts.outside(node));
    if joining && !facts.world.run.connected {
        next.actions.push(Action::Connectivity);
    }
    let Some(ca) = facts.authority() else {
        if !next.refusals.is_empty() || facts.dark() {
            return;
        }
        // The CA is made where the first `init` will be.
        let first = facts.control_plane().next();
        next.actions
            .extend(first.map(|node| Action::Authority(node.name.clone())));
        return;
    };
    // That proof listens where haproxy will.
    if !next.actions.contains(&Action::Connectivity) {
        balance(facts, ca, next);
    }
}

fn balance(facts: &Facts<'_>, ca: &str, next: &mut Next) {
    for node in facts.with(NodeRole::LoadBalancer) {
        let balanced = facts
            .guest(node)
            .is_some_and(|guest| guest.balancing && guest.ca.as_deref() == Some(ca));
        if !balanced {
            next.actions.push(Action::Balance(node.name.clone()));
        }
    }
}

/// The first control-plane node, what `init` leaves in the API, and regent's own access to it.
fn found(facts: &Facts<'_>, next: &mut Next) {
    let world = facts.world;
    let Some(sound) = facts.sound() else {
        // What was refused may be why there is none.
        if !next.refusals.is_empty() || facts.dark() {
            return;
        }
        next.actions
            .extend(control_plane::first(facts).map(Action::Init));
        return;
    };
    let trusted = match &world.kubeconfig {
        Kubeconfig::Usable { ca } => Some(ca.as_str()) == facts.authority(),
        Kubeconfig::Missing | Kubeconfig::Unusable(_) => false,
    };
    match world.api.seen() {
        _ if !trusted => next.actions.push(Action::Kubeconfig(sound.name.clone())),
        None => next.actions.push(Action::AwaitApi),
        Some(api) if !api.unfounded.is_empty() => {
            next.actions.push(Action::Init(sound.name.clone()));
        }
        Some(_) => {}
    }
}

/// Everybody else comes in; who is in and is not known to the API is helped.
fn join(facts: &Facts<'_>, next: &mut Next) {
    let (Some(api), etcd) = (facts.world.api.seen(), &facts.world.etcd) else {
        return;
    };
    let silent: Vec<_> = etcd
        .members
        .iter()
        .flatten()
        .filter(|member| !member.learner && !etcd.answers(member))
        .map(|member| member.name.as_str())
        .collect();
    for node in facts.nodes() {
        let (name, known) = (node.name.clone(), api.node(&node.name));
        match (node.role, facts.world.stage(node)) {
            (NodeRole::LoadBalancer, _) | (_, None | Some(Stage::Busy | Stage::Partial)) => {}
            (NodeRole::Worker, Some(Stage::Blank)) => next.actions.push(Action::JoinWorker(name)),
            // kubeadm asks every member, and gives up after two minutes.
            (NodeRole::ControlPlane, Some(Stage::Blank)) if !silent.is_empty() => {
                next.refusals.push(Refusal {
                    node: Some(name),
                    seen: format!(
                        "it cannot join the control plane while etcd's member on {} does not answer",
                        silent.join(", ")
                    ),
                    mend: "see `regent status` and the log of that node".to_owned(),
                });
            }
            (NodeRole::ControlPlane, Some(Stage::Blank)) => {
                next.actions.push(Action::JoinControlPlane(name));
            }
            (role, Some(Stage::Whole)) => match known {
                None => next.actions.push(Action::Register(name)),
                Some(known) if role == NodeRole::ControlPlane && !known.control_plane => {
                    next.actions.push(Action::Mark(name));
                }
                Some(known) if known.leaving.is_some() => next.actions.push(Action::Stay(name)),
                Some(_) => {}
            },
        }
    }
}

fn finish(facts: &Facts<'_>, next: &mut Next) {
    let Facts { wanted, world, .. } = facts;
    // Whatever is missing then has been said, and waiting does not bring it.
    if !world.run.given_up.is_empty() || !next.refusals.is_empty() {
        return;
    }
    let applied = world.api.seen().and_then(|api| api.manifests.as_deref());
    // One after the other: a renewal ends a node's API server for a moment.
    let ending = facts.control_plane().find(|node| {
        let guest = facts.guest(node);
        !world.run.renewed.contains(&node.name)
            && guest.is_some_and(|guest| guest.ending().next().is_some())
    });
    if !world.healthy() {
        next.actions.push(Action::Settle);
    } else if let Some(node) = ending {
        next.actions.push(Action::Renew(node.name.clone()));
    } else if !wanted.manifests.is_empty()
        && applied != Some(&*fingerprint::of_manifests(&wanted.manifests))
    {
        next.actions.push(Action::Manifests);
    }
}
