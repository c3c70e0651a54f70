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
    let run = &facts.world.run;
    if run.backup {
        let dark = facts.wanted.control_plane();
        let dark = dark.filter(|node| facts.guest(node).is_none() && run.lost.contains(&node.name));
        let machines = dark.filter(|node| facts.world.domains.contains_key(&node.name));
        next.actions
            .extend(machines.map(|node| Action::SetAside(node.name.clone())));
    }
    if facts.dark() {
        return;
    }
    if let Some(evidence) = facts.evidence().filter(|_| !run.backup) {
        next.refusals.push(Refusal {
            node: None,
            seen: format!("no control-plane node has etcd's data, and yet {evidence}: the data is lost"),
            mend: "put the nodes' disks back if you have them; from a backup `regent restore --from FILE --identity KEY` makes it \
                   anew; a new, empty cluster is made by `regent down` and `regent up`"
                .to_owned(),
        });
        return;
    }
    let partial = facts
        .control_plane()
        .filter(|node| facts.at(node, Stage::Partial));
    next.actions
        .extend(partial.map(|node| Action::Reset(node.name.clone())));
    if run.backup && next.actions.is_empty() {
        let first = facts.control_plane().next();
        next.actions
            .extend(first.map(|node| Action::Recover(node.name.clone())));
    }
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
    let etcd = &facts.world.etcd;
    let mut voters: Vec<_> = etcd
        .voters()
        .map(|member| (node_of(facts, member), member))
        .collect();
    voters.sort_unstable_by_key(|(name, _)| order(facts, name));
    let names = voters.iter().map(|(name, _)| *name);
    let blank: Vec<_> = names.filter(|name| is_blank(facts, name)).collect();
    let (voting, needed) = (voters.len(), voters.len() / 2 + 1);
    // No waiting brings these back.
    if voting - blank.len() < needed && !blank.is_empty() {
        let seen = format!(
            "etcd has lost its quorum: there is no data on {} any more, and {} of {voting} voting members are left where {needed} \
             are needed",
            blank.join(", "),
            voting - blank.len()
        );
        let mend = "nothing was removed; put the disks of these nodes back, then `regent up`";
        return go_on_without(facts, next, holders, &blank, (seen, mend));
    }
    if !facts.world.run.waited {
        next.actions.push(await_etcd(facts));
        return;
    }
    let silent = voters.iter().filter(|(_, member)| !etcd.answers(member));
    let silent: Vec<_> = silent.map(|(name, _)| *name).collect();
    let who = if silent.is_empty() {
        "none of its members answers".to_owned()
    } else {
        format!("its members on {} do not answer", silent.join(", "))
    };
    let seen = format!("etcd has data and no quorum: {who}");
    let mend =
        "nothing was removed; see why with `regent logs NODE`, mend that node, then `regent up`";
    go_on_without(facts, next, holders, &silent, (seen, mend));
}

/// The place of a node in the plan.
fn order(facts: &Facts<'_>, name: &str) -> usize {
    let mut nodes = facts.wanted.nodes.iter();
    let at = nodes.position(|node| node.name.as_str() == name);
    at.unwrap_or(usize::MAX)
}

/// The node of a member: by its address, else the one that it names.
fn node_of<'a>(facts: &Facts<'a>, member: &'a Member) -> &'a str {
    let at = |node: &&NodePlan| etcd::peer_url(node.address) == member.peer;
    let node = facts.wanted.control_plane().find(at);
    node.map_or(&member.name, |node| node.name.as_str())
}

/// Whether a node answers and has none of etcd's data.
fn is_blank(facts: &Facts<'_>, name: &str) -> bool {
    let mut nodes = facts.wanted.control_plane();
    nodes.any(|node| {
        let answers = facts.guest(node).is_some() && !facts.at(node, Stage::Busy);
        node.name.as_str() == name && answers && !facts.data(node)
    })
}

/// Members are lost: who gives them up for good goes on with what is left, once nobody can come back with their data. Else it is
/// refused, for what was `seen` and with what `mend`s it.
fn go_on_without(
    facts: &Facts<'_>,
    next: &mut Next,
    holders: &[&NodePlan],
    lost: &[&str],
    (seen, mend): (String, &str),
) {
    let consent = &facts.world.run.lost;
    let others = holders.iter().copied();
    let others = others.filter(|node| !lost.contains(&node.name.as_str()));
    // No disk goes before a member that answers is there to go on with.
    let answers = |node: &&NodePlan| {
        let blank = lost.iter().all(|name| is_blank(facts, name));
        blank || facts.world.etcd.progress(&node.name).is_some()
    };
    let survivor = survivor(facts, others).filter(answers);
    if facts.world.run.backup {
        let (machines, refusal) = from_backup(facts, holders, survivor);
        next.actions.extend(machines);
        next.refusals.extend(refusal);
        return;
    }
    let given_up = |name: &&str| consent.iter().any(|given_up| given_up.as_str() == *name);
    if let Some(survivor) = survivor.filter(|_| !lost.is_empty() && lost.iter().all(given_up)) {
        let there = |name: &&NodeName| {
            facts.world.domains.contains_key(name) && !is_blank(facts, name.as_str())
        };
        let lost = consent.iter().filter(|name| lost.contains(&name.as_str()));
        let machines: Vec<_> = lost.filter(there).cloned().collect();
        if machines.is_empty() {
            next.actions.push(Action::Revive(survivor.name.clone()));
        }
        next.actions
            .extend(machines.into_iter().map(Action::SetAside));
        return;
    }
    let way = survivor
        .filter(|_| !lost.is_empty())
        .map_or(String::new(), |survivor| {
            format!(
                "; if they are gone for good, `regent restore --accept-data-loss {}` goes on with what {} has{}",
                lost.join(","),
                survivor.name,
                revision(facts, survivor)
            )
        });
    next.refusals.push(Refusal {
        node: None,
        seen,
        mend: format!("{mend}{way}"),
    });
}

/// Before a backup nobody may be left who has data: what can still be gone on with is, and who cannot serve it has to be named.
fn from_backup(
    facts: &Facts<'_>,
    holders: &[&NodePlan],
    survivor: Option<&NodePlan>,
) -> (Vec<Action>, Option<Refusal>) {
    let refusal = |seen: String, mend: String| {
        let node = None;
        (Vec::new(), Some(Refusal { node, seen, mend }))
    };
    if let Some(survivor) = survivor {
        return refusal(
            format!(
                "{} has etcd's data{}, and a backup has less",
                survivor.name,
                revision(facts, survivor)
            ),
            "`regent restore` without `--from` goes on with that".to_owned(),
        );
    }
    let unnamed: Vec<_> = holders
        .iter()
        .map(|node| &node.name)
        .filter(|name| !facts.world.run.lost.contains(*name))
        .collect();
    if !unnamed.is_empty() {
        let names: Vec<_> = unnamed.iter().map(|name| name.as_str()).collect();
        let names = names.join(",");
        return refusal(
            format!("{names} has etcd's data, of which no member answers"),
            format!("if it is of no use, name its nodes too: `--accept-data-loss {names}`"),
        );
    }
    let machines = holders
        .iter()
        .map(|node| Action::SetAside(node.name.clone()));
    (machines.collect(), None)
}

/// The node that has the most of etcd's data, of those that can serve it: by raft's term and index, as its members say
/// themselves.
fn survivor<'a>(
    facts: &Facts<'a>,
    holders: impl Iterator<Item = &'a NodePlan>,
) -> Option<&'a NodePlan> {
    let etcd = &facts.world.etcd;
    let whole: Vec<_> = holders
        .filter(|node| facts.at(node, Stage::Whole))
        .collect();
    // The first of equals.
    let most = whole.into_iter().rev();
    most.max_by_key(|node| etcd.progress(&node.name))
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

#[cfg(test)]
mod tests;
