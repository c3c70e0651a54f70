//! The recipe's order and its guards, decision by decision, on a world of data in which every action does what it says.

use std::fmt::Write as _;

use super::{Action, Next, after_up, next, preview, steps};
use crate::derive::{self, Beside};
use crate::etcd::{self, Member};
use crate::name::NodeName;
use crate::plan::Plan;
use crate::provider::DomainState;
use crate::recipe::world::{Api, Guest, Inside, Kubeconfig, World};
use crate::spec::{ClusterSpec, Driver, Endpoint};

pub(super) fn planned(control_plane: u8, workers: u8) -> Plan {
    let mut spec = ClusterSpec::new("demo".parse().unwrap());
    spec.control_plane.count = control_plane;
    spec.workers.count = workers;
    derive::plan(
        &spec,
        Driver::Lxc,
        Beside {
            manifests: vec![("10-app.yaml".to_owned(), "kind: ConfigMap".to_owned())],
            ..Beside::default()
        },
    )
}

pub(super) fn name(node: &str) -> NodeName {
    node.parse().unwrap()
}

/// A healthy cluster.
pub(super) fn cluster(control_plane: u8, workers: u8) -> (Plan, World) {
    let plan = planned(control_plane, workers);
    let mut world = after_up(&plan);
    world.run = Default::default();
    assert_eq!(next(&plan, None, &world), Next::default());
    (plan, world)
}

/// Changes a node's inside; the cluster is no longer healthy.
pub(super) fn change(world: &mut World, node: &str, change: impl FnOnce(&mut Guest)) {
    world.checks.clear();
    match world.nodes.get_mut(&name(node)) {
        Some(Inside::Answers(guest)) => change(guest),
        other => panic!("{other:?}"),
    }
}

/// As after `kubeadm reset`, or on a new disk.
pub(super) fn blank(world: &mut World, node: &str) {
    change(world, node, |guest| {
        (guest.kubeadm, guest.kubelet, guest.ca) = Default::default();
    });
    world.etcd.statuses.remove(&name(node));
}

pub(super) fn silence(world: &mut World, node: &str) {
    world.checks.clear();
    world
        .nodes
        .insert(name(node), Inside::Silent("no answer".to_owned()));
    world.etcd.statuses.remove(&name(node));
}

pub(super) fn forget_member(world: &mut World, plan: &Plan, node: &str) {
    let peer = etcd::peer_url(plan.node(&name(node)).unwrap().address);
    let members = world.etcd.members.as_mut().unwrap();
    members.retain(|member| member.peer != peer);
}

pub(super) fn delete_node(world: &mut World, node: &str) {
    world.checks.clear();
    match &mut world.api {
        Api::Answers(seen) => seen.nodes.retain(|known| known.name != node),
        Api::Silent(why) => panic!("{why}"),
    }
}

pub(super) fn no_quorum(world: &mut World) {
    world.etcd.quorum = false;
    world.api = Api::Silent("no answer".to_owned());
}

/// Every action on the way, in a line each, up to where the cluster is as wanted.
pub(super) fn way(plan: &Plan, world: &World) -> Vec<String> {
    let rounds = preview(plan, None, world);
    let mut after = world.clone();
    for action in rounds.iter().flatten() {
        after.expect(plan, action);
    }
    assert_eq!(
        next(plan, None, &after),
        Next::default(),
        "the way ends elsewhere: {rounds:?}"
    );
    rounds.concat().iter().map(ToString::to_string).collect()
}

pub(super) fn actions(plan: &Plan, world: &World) -> Vec<String> {
    let next = next(plan, None, world);
    next.actions.iter().map(ToString::to_string).collect()
}

pub(super) fn refusals(plan: &Plan, world: &World) -> Vec<String> {
    let next = next(plan, None, world);
    assert_eq!(
        next.actions,
        [],
        "nothing is done where something is refused"
    );
    next.refusals.iter().map(ToString::to_string).collect()
}

fn assert_snapshot(name: &str, rounds: &[Vec<Action>]) {
    let mut text = String::new();
    for (number, actions) in rounds.iter().enumerate() {
        let actions: Vec<String> = actions.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "{:2}. {}", number + 1, actions.join(", "));
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn from_nothing_to_a_cluster() {
    let plan = planned(3, 2);
    assert_snapshot(
        "recipe_from_nothing",
        &preview(&plan, None, &World::default()),
    );
    assert_eq!(steps(&plan).len(), 22);
}

/// What runs the nodes is not the recipe's business.
#[test]
fn every_kind_of_node_is_treated_alike() {
    let containers = planned(3, 2);
    let machines = Plan {
        driver: Driver::Qemu,
        ..containers.clone()
    };
    assert_eq!(steps(&containers), steps(&machines));
}

#[test]
fn one_more_worker_touches_only_what_must_know_it() {
    let (before, mut world) = cluster(3, 1);
    let after = planned(3, 2);
    world.checks.clear();
    assert_snapshot(
        "recipe_one_more_worker",
        &preview(&after, Some(&before), &world),
    );
}

/// Whoever is asked has the new name in its certificate before anybody is sent there, and nobody joins before the cluster's
/// objects name the place.
#[test]
fn one_becomes_three_behind_a_load_balancer() {
    let alone = without_endpoint();
    let mut world = after_up(&alone);
    world.run = Default::default();
    assert_eq!(next(&alone, None, &world), Next::default());
    world.checks.clear();
    world.kubeconfig = Kubeconfig::Unusable("its server is another".to_owned());
    let wanted = planned(3, 2);
    assert_snapshot(
        "recipe_one_becomes_three",
        &preview(&wanted, Some(&alone), &world),
    );
}

/// One control-plane node by plain `kubeadm init`, and two workers.
fn without_endpoint() -> Plan {
    let mut spec = ClusterSpec::new("demo".parse().unwrap());
    (spec.control_plane.count, spec.control_plane.endpoint) = (1, Endpoint::None);
    derive::plan(&spec, Driver::Lxc, Beside::default())
}

#[test]
fn a_finished_cluster_needs_nothing() {
    for (control_plane, workers) in [(1, 0), (1, 1), (3, 2), (5, 3)] {
        cluster(control_plane, workers);
    }
}

/// Nobody but a CA renews what has ended: a control-plane node has it, a worker has to join again.
#[test]
fn certificates_that_have_ended_are_made_anew() {
    let (plan, mut world) = cluster(3, 1);
    let ended = jiff::Timestamp::constant(1_764_000_000, 0);
    for node in ["m1", "m2", "w1"] {
        change(&mut world, node, |guest| {
            guest.certificates = vec![("CN=ended".to_owned(), ended)];
            guest.past = Some(ended);
        });
    }
    assert_eq!(
        actions(&plan, &world),
        ["renew certificates m1", "renew certificates m2", "reset w1"]
    );
    // Nothing is done to those that are good for a while; what ends soon is renewed node by node, while all is well.
    let (plan, mut world) = cluster(3, 1);
    for (node, days) in [("m1", 40), ("m2", 20), ("m3", 20), ("w1", 20)] {
        change(&mut world, node, |guest| {
            let end = ended + jiff::SignedDuration::from_hours(24 * days);
            guest.certificates = vec![("CN=kube-apiserver".to_owned(), end)];
            guest.certificates.push((
                "O=system:nodes, CN=system:node:m1".to_owned(),
                ended + jiff::SignedDuration::from_hours(1),
            ));
            guest.past = Some(ended);
        });
    }
    assert_eq!(
        way(&plan, &world),
        ["settle", "renew certificates m2", "renew certificates m3"]
    );
    // The node's clock says so, and regent's does not.
    let (plan, mut world) = cluster(3, 1);
    for node in ["m1", "m2", "w1"] {
        change(&mut world, node, |guest| {
            guest.certificates = vec![("CN=ended".to_owned(), ended)];
        });
    }

    for node in ["m1", "m2", "w1"] {
        change(&mut world, node, |guest| {
            guest.past = ended.checked_sub(jiff::SignedDuration::from_secs(1)).ok();
        });
    }
    assert_eq!(actions(&plan, &world), ["settle"]);
}

#[test]
fn case_readd() {
    // `kubeadm reset`, and the Node deleted.
    let (plan, mut world) = cluster(3, 1);
    blank(&mut world, "w1");
    delete_node(&mut world, "w1");
    assert_eq!(
        way(&plan, &world),
        ["connectivity", "join worker w1", "settle"]
    );
    // Only reset: the API still knows it, and kubeadm would refuse.
    let (_, mut world) = cluster(3, 1);
    blank(&mut world, "w1");
    assert_eq!(
        way(&plan, &world),
        ["delete node w1", "connectivity", "join worker w1", "settle"]
    );
    // A control-plane node, whose member went with it, or lingers.
    let (_, mut world) = cluster(3, 1);
    blank(&mut world, "m2");
    delete_node(&mut world, "m2");
    forget_member(&mut world, &plan, "m2");
    assert_eq!(
        way(&plan, &world),
        ["connectivity", "join control plane m2", "settle"]
    );
    let (_, mut world) = cluster(3, 1);
    blank(&mut world, "m2");
    assert_eq!(
        way(&plan, &world),
        [
            "forget member m2",
            "delete node m2",
            "connectivity",
            "join control plane m2",
            "settle"
        ]
    );
    // Only the Node was deleted.
    let (_, mut world) = cluster(3, 1);
    delete_node(&mut world, "w1");
    delete_node(&mut world, "m3");
    assert_eq!(
        way(&plan, &world),
        ["register m3", "register w1", "mark m3", "settle"]
    );
    // Only the member was removed: what its etcd has is of no use.
    let (_, mut world) = cluster(3, 1);
    forget_member(&mut world, &plan, "m3");
    world.checks.clear();
    assert_eq!(
        way(&plan, &world),
        [
            "reset m3",
            "delete node m3",
            "connectivity",
            "join control plane m3",
            "settle"
        ]
    );
    // And its kubelet was stopped.
    let (_, mut world) = cluster(3, 1);
    change(&mut world, "w1", |guest| guest.kubelet = false);
    assert_eq!(way(&plan, &world), ["kubelet w1", "settle"]);
}

#[test]
fn one_silent_node_does_not_hide_the_others() {
    let (plan, mut world) = cluster(3, 2);
    silence(&mut world, "m3");
    blank(&mut world, "w1");
    assert_eq!(actions(&plan, &world), ["start m3"]);
    world.run.given_up.insert(name("m3"));
    assert_eq!(actions(&plan, &world), ["delete node w1"]);
    delete_node(&mut world, "w1");
    world.run.connected = true;
    assert_eq!(actions(&plan, &world), ["join worker w1"]);
    // A control-plane node cannot join meanwhile, and that is said at once.
    blank(&mut world, "m2");
    forget_member(&mut world, &plan, "m2");
    delete_node(&mut world, "m2");
    world.run.waited = true;
    let said = next(&plan, None, &world);
    assert_eq!(said.actions, [Action::JoinWorker(name("w1"))]);
    assert!(said.refusals[0].seen.contains("member on m3"), "{said:?}");
}

/// A growth that failed and was taken back in the file.
#[test]
fn what_is_neither_wanted_nor_recorded_goes() {
    let (plan, mut world) = cluster(1, 1);
    for node in ["w2", "m2"] {
        world.domains.insert(name(node), DomainState::Running);
    }
    world.checks.clear();
    let members = world.etcd.members.as_mut().unwrap();
    members.push(Member {
        id: 77,
        name: "m2".to_owned(),
        peer: "https://198.18.0.99:2380".to_owned(),
        learner: true,
    });
    assert_eq!(
        way(&plan, &world),
        ["forget member m2", "remove w2", "remove m2", "settle"]
    );
    // Without a quorum nobody knows whether it is needed.
    let (_, mut world) = cluster(1, 1);
    world.domains.insert(name("m2"), DomainState::Running);
    no_quorum(&mut world);
    assert_eq!(actions(&plan, &world), ["await etcd"]);
}

#[test]
fn a_kubeconfig_of_no_use_is_fetched_again() {
    for kept in [
        Kubeconfig::Missing,
        Kubeconfig::Unusable("it is cut short".to_owned()),
        Kubeconfig::Usable {
            ca: "another cluster's".to_owned(),
        },
    ] {
        let (plan, mut world) = cluster(3, 1);
        world.kubeconfig = kept;
        world.api = Api::Silent("no kubeconfig".to_owned());
        assert_eq!(actions(&plan, &world), ["kubeconfig m1"]);
    }
}

#[test]
fn a_worker_of_a_cluster_that_is_no_more_joins_anew() {
    let (plan, mut world) = cluster(1, 1);
    change(&mut world, "w1", |guest| guest.ca = Some("old".to_owned()));
    let way = way(&plan, &world);
    assert_eq!(way[0], "reset w1");
    assert!(way.contains(&"join worker w1".to_owned()));
}

#[test]
fn static_pods_that_were_removed_by_hand_are_made_anew() {
    let (plan, mut world) = cluster(3, 1);
    change(&mut world, "m2", |guest| {
        guest
            .kubeadm
            .files
            .retain(|file| !file.starts_with("manifests/"));
    });
    assert_eq!(way(&plan, &world), ["restore m2", "settle"]);
}
