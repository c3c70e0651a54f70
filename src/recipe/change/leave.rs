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
mod tests {
    use super::*;
    use crate::plan::Plan;
    use crate::recipe::change::tests::{blank, cluster, name, planned};
    use crate::recipe::change::{next, preview};
    use crate::recipe::fingerprint;
    use crate::recipe::world::{Api, Inside, World};

    /// The way from a cluster of three control-plane nodes and two workers to one of two and one.
    fn way(change: impl FnOnce(&mut World)) -> Vec<String> {
        let (recorded, mut world) = cluster(3, 2);
        world.checks.clear();
        change(&mut world);
        let wanted = planned(2, 1);
        let rounds = preview(&wanted, Some(&recorded), &world);
        let round = |actions: &Vec<Action>| {
            let words: Vec<_> = actions.iter().map(ToString::to_string).collect();
            words.join(", ")
        };
        rounds.iter().map(round).collect()
    }

    fn known<'a>(world: &'a mut World, node: &str) -> &'a mut NodeStatus {
        let Api::Answers(api) = &mut world.api else {
            panic!("no API")
        };
        let mut nodes = api.nodes.iter_mut();
        nodes.find(|known| known.name == node).unwrap()
    }

    /// Every node has its files.
    fn configured(world: &mut World, wanted: &Plan) {
        for node in &wanted.nodes {
            let Some(Inside::Answers(guest)) = world.nodes.get_mut(&node.name) else {
                panic!("{}", node.name)
            };
            guest.configured = Some(fingerprint::of_node(node));
        }
    }

    #[test]
    fn one_after_the_other_pods_first() {
        let all = [
            "configure lb1",
            "drain w2",
            "remove w2",
            "delete node w2",
            "drain m3",
            "forget member m3",
            "remove m3",
            "delete node m3",
            "configure m1, configure m2, configure w1",
            "settle",
        ];
        assert_eq!(way(|_| {}), all);
        // Who is off serves nobody, and its pods come back when its Node is gone.
        let off = way(|world| {
            for node in ["w2", "m3"] {
                known(world, node).ready = false;
                world.domains.insert(name(node), DomainState::Off);
            }
        });
        let without: Vec<_> = all
            .iter()
            .filter(|step| !step.starts_with("drain"))
            .collect();
        assert_eq!(off.iter().collect::<Vec<_>>(), without);
    }

    /// The load balancer sends nobody there before anything ends.
    #[test]
    fn out_of_the_load_balancer_first() {
        let (recorded, mut world) = cluster(3, 0);
        world.checks.clear();
        let wanted = planned(2, 0);
        configured(&mut world, &wanted);
        let Some(Inside::Answers(balancer)) = world.nodes.get_mut(&name("lb1")) else {
            panic!("lb1")
        };
        balancer.balancing = false;
        let said = next(&wanted, Some(&recorded), &world);
        assert_eq!(said.actions, [Action::Balance(name("lb1"))]);
    }

    /// What was begun is taken back when the file has the node again.
    #[test]
    fn a_node_that_was_to_go_stays() {
        let (plan, mut world) = cluster(3, 2);
        world.checks.clear();
        known(&mut world, "w2").leaving = Some(Leaving::Drained);
        let said = next(&plan, Some(&plan), &world);
        assert_eq!(said.actions, [Action::Stay(name("w2"))]);
    }

    /// A disk that is lost with the file's last control-plane nodes is brought back by those that were to go.
    #[test]
    fn the_last_copy_does_not_go() {
        let (recorded, mut world) = cluster(3, 0);
        let wanted = planned(1, 0);
        configured(&mut world, &wanted);
        blank(&mut world, "m1");
        let m1 = wanted.control_plane().next().unwrap();
        let peer = crate::etcd::peer_url(m1.address);
        let members = world.etcd.members.as_mut().unwrap();
        members.retain(|member| member.peer != peer);
        let Api::Answers(api) = &mut world.api else {
            panic!("no API")
        };
        api.nodes.retain(|known| known.name != "m1");
        let said = next(&wanted, Some(&recorded), &world);
        assert_eq!(said.actions, []);
        let refusal = said.refusals[0].to_string();
        assert!(
            refusal.contains("m2, m3, which the file has no more"),
            "{refusal}"
        );
    }

    /// The arithmetic is etcd's: with a member that is silent, the quorum of who stays does not answer.
    #[test]
    fn a_quorum_is_not_given_away() {
        let arithmetic = "of the other 2 voting members 1 answer, and 2 must";
        // Before and after it was drained.
        for leaving in [None, Some(Leaving::Drained)] {
            let (recorded, mut world) = cluster(3, 0);
            world.checks.clear();
            world.run.waited = true;
            world.etcd.statuses.remove(&name("m1"));
            known(&mut world, "m3").leaving = leaving;
            let wanted = planned(2, 0);
            configured(&mut world, &wanted);
            let said = next(&wanted, Some(&recorded), &world);
            assert_eq!(said.actions, []);
            let refusal = said.refusals[0].to_string();
            assert!(
                refusal.starts_with("m3: ") && refusal.contains(arithmetic),
                "{refusal}"
            );
        }
    }

    /// Without the member on it there is no quorum, whatever the file says: it starts, and goes afterwards.
    #[test]
    fn a_node_that_etcd_needs_starts_before_it_goes() {
        let (recorded, mut world) = cluster(2, 0);
        world.checks.clear();
        world.api = Api::Silent("no quorum".to_owned());
        world.etcd.quorum = false;
        world.etcd.statuses.remove(&name("m2"));
        world.domains.insert(name("m2"), DomainState::Off);
        let wanted = planned(1, 0);
        configured(&mut world, &wanted);
        let said = next(&wanted, Some(&recorded), &world);
        assert!(
            said.actions.contains(&Action::Start(name("m2"))),
            "{said:?}"
        );
    }
}
