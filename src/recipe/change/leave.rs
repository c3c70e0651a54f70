//! Nodes on their way out: what the file has no more, and what nobody planned.

use super::{Action, Facts, Next, Refusal, balance, control_plane, endpoint};
use crate::etcd::Member;
use crate::kubernetes::{Leaving, NodeStatus};
use crate::name::NodeName;
use crate::plan::NodeRole;
use crate::provider::DomainState;

/// Who is in the file no more goes, one after the other: its pods first, then its member, itself, and its Node. One that
/// is not ready has nobody who could end its pods; it is off for certain before its Node goes and others take its place.
pub(super) fn recorded(facts: &Facts<'_>, next: &mut Next) {
    if let Some(refusal) = last_copy(facts) {
        next.refusals.push(refusal);
        return;
    }
    let (Some(api), etcd) = (facts.world.api.seen(), &facts.world.etcd) else {
        return;
    };
    if facts.leaving().next().is_none() {
        return;
    }
    // Nobody is sent there any more.
    if let Some(ca) = facts.authority() {
        balance(facts, ca, next);
    }
    if !next.actions.is_empty() {
        return;
    }
    let given_up = &facts.world.run.given_up;
    let Some(node) = facts.leaving().find(|node| !given_up.contains(&node.name)) else {
        return;
    };
    let (name, known) = (node.name.clone(), api.node(&node.name));
    let serves = |known: &NodeStatus| known.ready && known.leaving != Some(Leaving::Drained);
    let (serves, member) = (known.is_some_and(serves), etcd.member(node));
    // Asked before its API server ends, which may be the only one.
    let needed = |member: &&Member| !serves || etcd.can_lose(member).is_err();
    if let Some(member) = member.filter(needed) {
        control_plane::forget(facts, next, name, member);
    } else if serves {
        next.actions.push(Action::Drain(name));
    } else if facts.world.domains.contains_key(&node.name) {
        next.actions.push(Action::Remove(name));
    } else {
        next.actions.push(Action::DeleteNode(name));
    }
}

/// Without a control-plane node that stays and has the cluster's data, those that are to go may have the last copy of it.
fn last_copy(facts: &Facts<'_>) -> Option<Refusal> {
    let going = facts
        .leaving()
        .filter(|node| node.role == NodeRole::ControlPlane);
    let mut going: Vec<_> = going.map(|node| node.name.as_str()).collect();
    going.sort_unstable();
    (facts.sound().is_none() && !going.is_empty()).then(|| Refusal {
        node: None,
        seen: format!(
            "no control-plane node that stays has the cluster's data, and {}, which the file has no more, may have it",
            going.join(", ")
        ),
        mend: "put them back into the file, then `regent up`; they can go when the others are members".to_owned(),
    })
}

/// Control-plane nodes that are to go and are off, while etcd cannot do without them.
pub(super) fn start(facts: &Facts<'_>, next: &mut Next) {
    let off = facts.leaving().filter(|node| {
        node.role == NodeRole::ControlPlane && facts.world.domain(&node.name) == DomainState::Off
    });
    next.actions
        .extend(off.map(|node| Action::Start(node.name.clone())));
}

/// Nodes that are neither wanted nor recorded: a growth that failed and was taken back. One step of the way for each.
pub(super) fn unwanted(facts: &Facts<'_>, next: &mut Next) {
    let Facts {
        wanted,
        recorded,
        world,
    } = facts;
    let unknown = |name: &NodeName| {
        wanted.node(name).is_none()
            && recorded.is_none_or(|plan| plan.node(name).is_none())
            && !world.run.given_up.contains(name)
    };
    let unknown: Vec<_> = world.domains.keys().filter(|name| unknown(name)).collect();
    // Somebody may still be sent through one of them.
    if unknown.is_empty() || !endpoint::is_settled(facts) {
        return;
    }
    let never_founded =
        facts.evidence().is_none() && !facts.control_plane().any(|node| facts.data(node));
    for name in unknown {
        let listed = world
            .etcd
            .members
            .iter()
            .flatten()
            .any(|member| member.name == name.as_str());
        let known = world.api.seen().is_some_and(|api| api.node(name).is_some());
        if listed {
            // Its member goes first, by the rule for members that nobody planned.
        } else if known {
            next.actions.push(Action::DeleteNode(name.clone()));
        } else if (world.etcd.quorum && world.api.seen().is_some()) || never_founded {
            next.actions.push(Action::Remove(name.clone()));
        }
    }
}

#[cfg(test)]
mod tests;
