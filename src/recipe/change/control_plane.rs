//! The guards of etcd's data: what may be done to a control-plane node, and in which order.
//!
//! * A node that has data which the cluster counts is never reset; what is missing around it is made anew.
//! * A member goes before its data does, and only while the others have a quorum without it.
//! * One member at a time: the arithmetic is of what was seen.

use super::{Action, Facts, Next, Refusal, leave};
use crate::etcd::{self, Member};
use crate::name::NodeName;
use crate::plan::NodePlan;
use crate::recipe::world::Stage;

/// What must be done to control-plane nodes and etcd's members before anybody joins.
pub(super) fn settle_members(facts: &Facts<'_>, next: &mut Next) {
    let etcd = &facts.world.etcd;
    let holders: Vec<_> = facts
        .control_plane()
        .filter(|node| facts.data(node))
        .collect();
    if holders.is_empty() && etcd.members.is_none() {
        never_founded(facts, next);
    } else if etcd.members.is_none() || !etcd.quorum {
        no_quorum(facts, next, &holders);
    } else {
        with_quorum(facts, next);
    }
}

/// Nobody has etcd's data.
fn never_founded(facts: &Facts<'_>, next: &mut Next) {
    if facts.dark() {
        return;
    }
    if let Some(evidence) = facts.evidence() {
        next.refusals.push(Refusal {
            node: None,
            seen: format!("no control-plane node has etcd's data, and yet {evidence}: the data is lost"),
            mend: "put the nodes' disks back if you have them; a new, empty cluster is made by `regent down` and `regent up`"
                .to_owned(),
        });
        return;
    }
    let partial = facts
        .control_plane()
        .filter(|node| facts.at(node, Stage::Partial));
    next.actions
        .extend(partial.map(|node| Action::Reset(node.name.clone())));
}

/// There is data, and etcd does not agree on anything.
fn no_quorum(facts: &Facts<'_>, next: &mut Next, holders: &[&NodePlan]) {
    for node in holders {
        if facts.at(node, Stage::Partial) {
            restore(facts, next, node);
        }
    }
    leave::start(facts, next);
    if !next.actions.is_empty() || !next.refusals.is_empty() {
        return;
    }
    if beyond_waiting(facts, next, holders) {
        return;
    }
    if !facts.world.run.waited {
        next.actions.push(await_etcd(facts));
        return;
    }
    let silent: Vec<_> = facts
        .world
        .etcd
        .members
        .iter()
        .flatten()
        .filter(|member| !facts.world.etcd.answers(member))
        .map(|member| member.name.as_str())
        .collect();
    let who = if silent.is_empty() {
        "none of its members answers".to_owned()
    } else {
        format!("its members on {} do not answer", silent.join(", "))
    };
    next.refusals.push(Refusal {
        node: None,
        seen: format!("etcd has data and no quorum: {who}"),
        mend:
            "nothing was removed; see why with `regent logs NODE`, mend that node, then `regent up`"
                .to_owned(),
    });
}

/// Whether no waiting brings the quorum back: too many nodes answer and have lost their members' data. Who gives those up for
/// good goes on with what is left.
fn beyond_waiting(facts: &Facts<'_>, next: &mut Next, holders: &[&NodePlan]) -> bool {
    let members = facts.world.etcd.members.iter().flatten();
    let voters: Vec<_> = members.filter(|member| !member.learner).collect();
    let without_data = |node: &&NodePlan| {
        let answers = facts.guest(node).is_some() && !facts.at(node, Stage::Busy);
        answers && !facts.data(node)
    };
    let lost: Vec<_> = facts
        .control_plane()
        .filter(without_data)
        .filter(|node| {
            let peer = etcd::peer_url(node.address);
            voters.iter().any(|member| member.peer == peer)
        })
        .map(|node| &node.name)
        .collect();
    let (left, needed) = (voters.len() - lost.len(), voters.len() / 2 + 1);
    if lost.is_empty() || left >= needed {
        return false;
    }
    let survivor = survivor(facts, holders);
    let given_up = |node: &&NodeName| facts.world.run.lost.contains(*node);
    if let Some(survivor) = survivor.filter(|_| lost.iter().all(given_up)) {
        next.actions.push(Action::Revive(survivor.name.clone()));
        return true;
    }
    let names: Vec<_> = lost.iter().map(|node| node.as_str()).collect();
    let way = survivor.map_or(String::new(), |survivor| {
        format!(
            "; if they are gone for good, `regent restore --accept-data-loss {}` goes on with what {} has{}",
            names.join(","),
            survivor.name,
            revision(facts, survivor)
        )
    });
    next.refusals.push(Refusal {
        node: None,
        seen: format!(
            "etcd has lost its quorum: there is no data on {} any more, and {left} of {} voting members are left \
             where {needed} are needed",
            names.join(", "),
            voters.len()
        ),
        mend: format!(
            "nothing was removed; put the disks of these nodes back, then `regent up`{way}"
        ),
    });
    true
}

/// The node that has the most of etcd's data, of those that can serve it: by raft's term and index, as its members say
/// themselves.
fn survivor<'a>(facts: &Facts<'a>, holders: &[&'a NodePlan]) -> Option<&'a NodePlan> {
    let etcd = &facts.world.etcd;
    let whole = holders.iter().filter(|node| facts.at(node, Stage::Whole));
    // The first of equals.
    whole
        .rev()
        .max_by_key(|node| etcd.progress(&node.name))
        .copied()
}

fn revision(facts: &Facts<'_>, node: &NodePlan) -> String {
    let status = facts.world.etcd.statuses.get(&node.name);
    status.map_or(String::new(), |status| {
        format!(", up to revision {}", status.revision)
    })
}

/// Gives the members on nodes that answer their time.
fn await_etcd(facts: &Facts<'_>) -> Action {
    let nodes = facts.control_plane().filter(|node| facts.data(node));
    Action::AwaitEtcd(nodes.map(|node| node.name.clone()).collect())
}

/// Makes anew what is missing around data that counts.
fn restore(facts: &Facts<'_>, next: &mut Next, node: &NodePlan) {
    if facts
        .guest(node)
        .is_some_and(|guest| guest.kubeadm.restorable())
    {
        next.actions.push(Action::Restore(node.name.clone()));
        return;
    }
    next.refusals.push(Refusal {
        node: Some(node.name.clone()),
        seen: "it has etcd's data, and not the keys below /etc/kubernetes/pki that the rest could be made of".to_owned(),
        mend: "nothing was removed; put the keys back".to_owned(),
    });
}

fn with_quorum(facts: &Facts<'_>, next: &mut Next) {
    let (etcd, api) = (&facts.world.etcd, facts.world.api.seen());
    let mut losing = None;
    for node in facts.control_plane() {
        let (Some(guest), Some(stage)) = (facts.guest(node), facts.world.stage(node)) else {
            continue;
        };
        let member = etcd.member(node).filter(|_| stage != Stage::Busy);
        match (stage, member) {
            (Stage::Busy, _) => {}
            // Its data is of another cluster, or of a member that never voted.
            (Stage::Whole | Stage::Partial, Some(member))
                if member.learner || etcd.stray(&node.name) =>
            {
                losing = losing.or(Some((node, member)));
            }
            (Stage::Whole, Some(_)) => {}
            (Stage::Partial, Some(member)) => {
                let only = etcd.can_lose(member).is_err();
                if guest.kubeadm.restorable() || (only && guest.kubeadm.data) {
                    restore(facts, next, node);
                } else {
                    losing = losing.or(Some((node, member)));
                }
            }
            (Stage::Blank, Some(member)) => losing = losing.or(Some((node, member))),
            // The cluster does not count it, and has a quorum: what it has is of no use.
            (Stage::Whole | Stage::Partial, None) => {
                next.actions.push(Action::Reset(node.name.clone()));
            }
            (Stage::Blank, None) => {
                if api.is_some_and(|api| api.node(&node.name).is_some()) {
                    next.actions.push(Action::DeleteNode(node.name.clone()));
                }
            }
        }
    }
    if let Some((node, member)) = losing {
        forget(facts, next, node.name.clone(), member);
    } else if let Some((name, member)) = unplanned(facts) {
        forget(facts, next, name, member);
    }
    // kubeadm asks every member before it joins another.
    let joining = facts
        .control_plane()
        .any(|node| facts.at(node, Stage::Blank) && etcd.member(node).is_none());
    let silent = etcd
        .members
        .iter()
        .flatten()
        .any(|member| !etcd.answers(member));
    if next.actions.is_empty() && joining && silent && !facts.world.run.waited {
        next.actions.push(await_etcd(facts));
    }
}

pub(super) fn forget(facts: &Facts<'_>, next: &mut Next, node: NodeName, member: &Member) {
    match facts.world.etcd.can_lose(member) {
        Ok(()) => next.actions.push(Action::Forget {
            node,
            peer: member.peer.clone(),
        }),
        // Members that have just started may not answer yet.
        Err(_) if !facts.world.run.waited => next.actions.push(await_etcd(facts)),
        Err(why) => next.refusals.push(Refusal {
            node: Some(node),
            seen: format!("its etcd member cannot be taken out: {why}"),
            mend: "nothing was removed; mend the other control-plane nodes first, then `regent up`"
                .to_owned(),
        }),
    }
}

/// A member on no planned or recorded node.
fn unplanned<'a>(facts: &Facts<'a>) -> Option<(NodeName, &'a Member)> {
    let plans: Vec<_> = facts.recorded.into_iter().chain([facts.wanted]).collect();
    let unknown = facts.world.etcd.unplanned(&plans);
    unknown.into_iter().find_map(|member| {
        // A member that never started has no name, and its node's is of no importance.
        let name = if member.name.is_empty() {
            "unknown"
        } else {
            &member.name
        };
        Some((name.parse().ok()?, member))
    })
}

/// Where the first `init` will be: where the CA is, and only while nobody has etcd's data, as far as every control-plane
/// node can be asked.
pub(super) fn first(facts: &Facts<'_>) -> Option<NodeName> {
    let mut nodes = facts.wanted.control_plane();
    if nodes.any(|node| facts.guest(node).is_none_or(|guest| guest.kubeadm.data)) {
        return None;
    }
    let with_ca = |node: &&NodePlan| facts.guest(node).is_some_and(|guest| guest.ca.is_some());
    Some(facts.control_plane().find(with_ca)?.name.clone())
}
