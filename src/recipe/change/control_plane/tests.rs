//! The guards of etcd's data, decision by decision.

use crate::provider::DomainState;
use crate::recipe::change::tests::{
    actions, blank, change, cluster, forget_member, name, no_quorum, planned, refusals, silence,
    way,
};
use crate::recipe::change::{Action, next, preview, steps};
use crate::recipe::world::{Api, Kubeconfig, World};

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

/// m1's log was removed by hand, and its etcd has begun a cluster of its own.
#[test]
fn a_member_of_another_cluster_is_taken_out() {
    let (plan, mut world) = cluster(3, 0);
    world.checks.clear();
    world.etcd.statuses.get_mut(&name("m1")).unwrap().cluster = 666;
    let way = way(&plan, &world);
    assert_eq!(way[..2], ["forget member m1", "reset m1"]);
}
