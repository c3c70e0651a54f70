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
fn change(world: &mut World, node: &str, change: impl FnOnce(&mut Guest)) {
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

fn silence(world: &mut World, node: &str) {
    world.checks.clear();
    world
        .nodes
        .insert(name(node), Inside::Silent("no answer".to_owned()));
    world.etcd.statuses.remove(&name(node));
}

fn forget_member(world: &mut World, plan: &Plan, node: &str) {
    let peer = etcd::peer_url(plan.node(&name(node)).unwrap().address);
    let members = world.etcd.members.as_mut().unwrap();
    members.retain(|member| member.peer != peer);
}

fn delete_node(world: &mut World, node: &str) {
    world.checks.clear();
    match &mut world.api {
        Api::Answers(seen) => seen.nodes.retain(|known| known.name != node),
        Api::Silent(why) => panic!("{why}"),
    }
}

fn no_quorum(world: &mut World) {
    world.etcd.quorum = false;
    world.api = Api::Silent("no answer".to_owned());
}

/// Every action on the way, in a line each, up to where the cluster is as wanted.
fn way(plan: &Plan, world: &World) -> Vec<String> {
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

fn actions(plan: &Plan, world: &World) -> Vec<String> {
    let next = next(plan, None, world);
    next.actions.iter().map(ToString::to_string).collect()
}

fn refusals(plan: &Plan, world: &World) -> Vec<String> {
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

/// Who is gone for good and who is silent for a moment are counted differently.
#[test]
fn a_member_is_missed_only_where_the_others_are_a_quorum_of_all() {
    let missed = |count: u8, silent: &[&str]| {
        let (_, mut world) = cluster(count, 0);
        for node in silent {
            world.etcd.statuses.remove(&name(node));
        }
        let member = world.etcd.members.as_ref().unwrap()[0].clone();
        world.etcd.can_miss(&member)
    };
    assert_eq!(missed(3, &[]), Ok(()));
    let why = missed(3, &["m2"]).unwrap_err();
    assert_eq!(why, "of the others 1 voting members answer, and 2 must");
    assert_eq!(missed(5, &["m2"]), Ok(()));
    assert!(missed(5, &["m2", "m3"]).is_err());
    // Nobody stands in there, ever.
    assert_eq!(missed(2, &[]), Ok(()));
    assert_eq!(missed(1, &[]), Ok(()));
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

/// The mark that said so is gone; what kubeadm left is not.
#[test]
fn case_mark() {
    // An `init` whose last touch was lost: everything is there.
    let (plan, mut world) = cluster(1, 1);
    world.kubeconfig = Kubeconfig::Missing;
    assert_eq!(way(&plan, &world), ["kubeconfig m1"]);
    // An `init` that lost power before its end: its data stays, and it goes on.
    let (plan, mut world) = cluster(1, 1);
    change(&mut world, "m1", |guest| {
        guest.kubeadm.files.remove("admin.conf");
        guest.kubelet = false;
    });
    world.etcd = Default::default();
    world.api = Api::Silent("no answer".to_owned());
    assert_eq!(
        way(&plan, &world),
        ["restore m1", "await etcd", "await API", "settle"]
    );
    let (plan, mut world) = cluster(1, 0);
    world.checks.clear();
    match &mut world.api {
        Api::Answers(seen) => seen.unfounded = vec!["Deployment kube-system/coredns".to_owned()],
        Api::Silent(why) => panic!("{why}"),
    }
    assert_eq!(way(&plan, &world), ["init m1", "settle"]);
    // A kubeadm that a killed `up` has left waits for the API behind a load balancer that does not know its CA yet.
    let (plan, mut world) = cluster(1, 0);
    change(&mut world, "m1", |guest| guest.kubeadm.busy = true);
    change(&mut world, "lb1", |guest| guest.balancing = false);
    let actions = next(&plan, None, &world).actions;
    let named: Vec<_> = actions.iter().map(ToString::to_string).collect();
    assert_eq!(named, ["await kubeadm m1", "load balancer lb1"]);
    // Killed after the CA was made: what proves the connections listens on the load balancer's port, so that one waits.
    let plan = planned(2, 1);
    let mut world = World::default();
    for action in steps(&plan) {
        world.expect(&plan, &action);
        if matches!(action, Action::Authority(_)) {
            break;
        }
    }
    world.run = Default::default();
    let rounds = preview(&plan, None, &world);
    assert_eq!(rounds[0], [Action::Connectivity]);
    assert_eq!(rounds[1], [Action::Balance(name("lb1"))]);
    // Without its keys nothing can be made anew, and still nothing is wiped.
    let (plan, mut world) = cluster(1, 1);
    change(&mut world, "m1", |guest| {
        guest.kubeadm.files.clear();
    });
    assert_eq!(
        refusals(&plan, &world),
        [
            "m1: it has etcd's data, and not the keys below /etc/kubernetes/pki that the rest could be made of; \
             nothing was removed; put the keys back"
        ]
    );
}

/// The host died between m2's promotion and the end of its kubeadm: two voters, and m2 is needed.
#[test]
fn case_mark_2() {
    let (plan, mut world) = cluster(2, 0);
    world.domains.insert(name("m2"), DomainState::Off);
    world.nodes.remove(&name("m2"));
    world.etcd.statuses.remove(&name("m2"));
    no_quorum(&mut world);
    world.checks.clear();
    assert_eq!(actions(&plan, &world), ["start m2"]);
    // It answers, and its kubelet has no kubeconfig yet: that is made, nothing is taken away.
    let (_, mut world) = cluster(2, 0);
    change(&mut world, "m2", |guest| {
        guest.kubeadm.files.remove("kubelet.conf");
    });
    world.etcd.statuses.remove(&name("m2"));
    no_quorum(&mut world);
    assert_eq!(
        way(&plan, &world),
        ["restore m2", "await etcd", "await API", "settle"]
    );
    // Its disk is new, and without its vote there is no quorum: m1's data is not risked.
    let (_, mut world) = cluster(2, 0);
    blank(&mut world, "m2");
    no_quorum(&mut world);
    assert_eq!(
        refusals(&plan, &world),
        [
            "etcd has lost its quorum: there is no data on m2 any more, and 1 of 2 voting members are left where 2 are \
             needed; nothing was removed; put the disks of these nodes back, then `regent up`; if they are gone for good, \
             `regent restore --accept-data-loss m2` goes on with what m1 has, up to revision 1"
        ]
    );
    // Its data is there, and it may yet come.
    let (_, mut world) = cluster(2, 0);
    world.etcd.statuses.remove(&name("m2"));
    no_quorum(&mut world);
    assert_eq!(actions(&plan, &world), ["await etcd"]);
    world.run.waited = true;
    assert_eq!(
        refusals(&plan, &world),
        [
            "etcd has data and no quorum: its members on m2 do not answer; \
             nothing was removed; see why with `regent logs NODE`, mend that node, then `regent up`; if they are gone for \
             good, `regent restore --accept-data-loss m2` goes on with what m1 has, up to revision 1"
        ]
    );
}

/// Whoever is given up ends for certain before what is left goes on, also where the file has that node no more; and only while
/// somebody answers who has the data.
#[test]
fn nobody_comes_back_with_data_that_was_given_up() {
    let lost = || {
        let (plan, mut world) = cluster(3, 0);
        for node in ["m2", "m3"] {
            world.etcd.statuses.remove(&name(node));
        }
        no_quorum(&mut world);
        world.run.waited = true;
        world.run.lost = [name("m2"), name("m3")].into();
        (plan, world)
    };
    // Their nodes answer, and their members do not: what is on their disks is of no use.
    let (plan, mut world) = lost();
    assert_eq!(actions(&plan, &world), ["set aside m2", "set aside m3"]);
    world.run.lost.remove(&name("m3"));
    let told = refusals(&plan, &world);
    assert!(told[0].contains("--accept-data-loss m2,m3"), "{told:?}");
    // One is new already.
    let (plan, mut world) = lost();
    blank(&mut world, "m2");
    assert_eq!(actions(&plan, &world), ["set aside m3"]);
    // Both are.
    blank(&mut world, "m3");
    assert_eq!(actions(&plan, &world), ["revive etcd m1"]);
    // Nobody would be left.
    let (plan, mut world) = lost();
    world.etcd.statuses.clear();
    let told = refusals(&plan, &world);
    assert!(!told[0].contains("--accept-data-loss"), "{told:?}");
    // The file has one of them no more, and nothing is left of its machine.
    let (_, mut world) = lost();
    world.domains.remove(&name("m3"));
    world.nodes.remove(&name("m3"));
    blank(&mut world, "m2");
    let mut plan = planned(3, 0);
    plan.nodes.retain(|node| node.name.as_str() != "m3");
    assert_eq!(actions(&plan, &world), ["revive etcd m1"]);
    // With a quorum nobody is given up.
    let (plan, mut world) = lost();
    world.etcd.quorum = true;
    assert_eq!(actions(&plan, &world), ["await API"]);
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
    // The node's clock says so, and regent's does not.
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
fn case_lost_disk() {
    let (plan, mut world) = cluster(3, 2);
    blank(&mut world, "m2");
    change(&mut world, "m2", |guest| guest.configured = None);
    assert_eq!(
        way(&plan, &world),
        [
            "configure m2",
            "forget member m2",
            "delete node m2",
            "connectivity",
            "join control plane m2",
            "settle"
        ]
    );
    // The first one is like any other.
    let (_, mut world) = cluster(3, 2);
    blank(&mut world, "m1");
    assert!(way(&plan, &world).contains(&"join control plane m1".to_owned()));
    // The only one: nobody has the data, and nothing pretends to.
    let (plan, mut world) = cluster(1, 1);
    blank(&mut world, "m1");
    world.etcd = Default::default();
    world.api = Api::Silent("no answer".to_owned());
    let refused = refusals(&plan, &world);
    assert!(refused[0].contains("the data is lost"), "{refused:?}");
}

/// Removing a member never costs the quorum, whoever else is silent.
#[test]
fn a_member_is_only_taken_out_of_a_cluster_that_lives_without_it() {
    let (plan, mut world) = cluster(3, 0);
    blank(&mut world, "m2");
    silence(&mut world, "m3");
    world.run.given_up.insert(name("m3"));
    world.run.waited = true;
    // Two of three do not answer.
    no_quorum(&mut world);
    assert_eq!(refusals(&plan, &world).len(), 1);
    // A removed-member's data is not wiped without a quorum either.
    let (_, mut world) = cluster(3, 0);
    forget_member(&mut world, &plan, "m3");
    no_quorum(&mut world);
    world.run.waited = true;
    assert_eq!(refusals(&plan, &world).len(), 1);
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

#[test]
fn a_learner_that_was_left_is_taken_out_first() {
    let (plan, mut world) = cluster(2, 0);
    let members = world.etcd.members.as_mut().unwrap();
    members[1].learner = true;
    world.checks.clear();
    assert_eq!(
        way(&plan, &world),
        [
            "forget member m2",
            "reset m2",
            "delete node m2",
            "connectivity",
            "join control plane m2",
            "settle"
        ]
    );
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

/// m1's log was removed by hand, and its etcd has begun a cluster of its own.
#[test]
fn a_member_of_another_cluster_is_taken_out() {
    let (plan, mut world) = cluster(3, 0);
    world.checks.clear();
    world.etcd.statuses.get_mut(&name("m1")).unwrap().cluster = 666;
    let way = way(&plan, &world);
    assert_eq!(way[..2], ["forget member m1", "reset m1"]);
}
