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
