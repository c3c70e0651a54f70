//! The whole loop of `up` played on a model of nodes, disks, etcd's membership, CA and API: whatever is damaged from
//! outside, and wherever regent or a node dies in the middle of an action, `up` ends in the wanted cluster or in an error
//! that says what to do; it never removes data that is needed, and never costs etcd its quorum.

mod damage;
mod kubeadm;
mod model;
mod seen;

use proptest::prelude::*;
use proptest::sample::Index;

use self::damage::Damage;
use self::model::{Kill, Model};
use super::tests::planned;
use crate::derive;
use crate::plan::{ImageArchive, Plan};
use crate::recipe::RecipeError;
use crate::recipe::up::{Outcome, drive};
use crate::spec::{ClusterSpec, Driver, Endpoint};

/// Runs `up` on the model to its end.
fn up(model: &Model) -> Result<Outcome, RecipeError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(drive(&model.plan, model.recorded.as_ref(), model))
}

/// Runs `up` until nothing kills it; what the last run said.
fn up_again(model: &Model) -> Result<Outcome, RecipeError> {
    loop {
        let told = up(model);
        if !model.revive() {
            return told;
        }
    }
}

fn assert_healthy(model: &Model) {
    assert_eq!(up(model).unwrap(), Outcome::Unchanged);
}

/// Kills `up` at every place of a model, alone or with the node that it works on: it goes on, and ends where an undisturbed one
/// does.
fn assert_killed_anywhere(begun: impl Fn() -> Model) {
    let undisturbed = begun();
    assert_eq!(up(&undisturbed).unwrap(), Outcome::Changed);
    assert_healthy(&undisturbed);
    for (action, stage) in undisturbed.places() {
        for node in [false, true] {
            let model = begun();
            model.kill(vec![Kill {
                action,
                stage,
                node,
            }]);
            let told = up_again(&model);
            assert!(
                told.is_ok(),
                "killed at action {action}, stage {stage}, node {node}: {told:?}\n{}",
                model.trace()
            );
            assert_healthy(&model);
        }
    }
}

fn sizes() -> impl Strategy<Value = (u8, u8)> {
    prop_oneof![Just((1, 1)), Just((2, 0)), Just((3, 1)), Just((5, 0))]
}

fn kills() -> impl Strategy<Value = Vec<Kill>> {
    let kill = (0..40_usize, 0..12_usize, any::<bool>()).prop_map(|(action, stage, node)| Kill {
        action,
        stage,
        node,
    });
    prop::collection::vec(kill, 0..3)
}

/// A plan that makes use of every action.
fn with_images(control_plane: u8, workers: u8) -> Plan {
    let mut plan = planned(control_plane, workers);
    plan.images.push(ImageArchive {
        file: "app.tar".into(),
        source: "app.tar".into(),
        sha256: "00ff".to_owned(),
        names: ["lab.example.com/app:1".to_owned()].into(),
    });
    plan
}

#[test]
fn from_nothing_and_back_from_every_point() {
    for (control_plane, workers) in [(1, 1), (3, 1)] {
        assert_killed_anywhere(|| Model::new(&with_images(control_plane, workers)));
    }
}

/// A cluster of which nodes are to go.
fn shrinking(from: (u8, u8), to: (u8, u8)) -> Model {
    let mut model = Model::new(&with_images(from.0, from.1));
    up(&model).unwrap();
    model.recorded = Some(std::mem::replace(&mut model.plan, with_images(to.0, to.1)));
    model.kill(Vec::new());
    model
}

#[test]
fn nodes_go_from_every_point_and_can_be_taken_back() {
    for (from, to) in [((3, 2), (1, 1)), ((5, 0), (3, 0)), ((2, 1), (1, 0))] {
        let undisturbed = shrinking(from, to);
        assert_eq!(up(&undisturbed).unwrap(), Outcome::Changed);
        assert_healthy(&undisturbed);
        for (action, stage) in undisturbed.places() {
            for node in [false, true] {
                for taken_back in [false, true] {
                    let mut model = shrinking(from, to);
                    model.kill(vec![Kill {
                        action,
                        stage,
                        node,
                    }]);
                    let mut told = up(&model);
                    if model.revive() {
                        if taken_back {
                            model.plan = with_images(from.0, from.1);
                        }
                        told = up_again(&model);
                    }
                    assert!(
                        told.is_ok(),
                        "{from:?} to {to:?}, killed at action {action}, node {node}, taken back {taken_back}: {told:?}\n{}",
                        model.trace()
                    );
                    assert_healthy(&model);
                }
            }
        }
    }
}

/// With too few members left, nothing is done until the user gives the others up; then what is left is the cluster, wherever that
/// is interrupted. Disks may be lost, and nodes that never answer again.
#[test]
fn what_is_left_of_a_lost_quorum_goes_on_by_consent() {
    let lost = ["m2", "m3"].map(|node| node.parse().unwrap());
    for mute in [[false, false], [true, true], [false, true]] {
        let broken = || {
            let model = Model::new(&with_images(3, 1));
            up(&model).unwrap();
            for (node, mute) in lost.iter().zip(mute) {
                match mute {
                    true => model.mute(node),
                    false => model.lose_disk(node),
                }
            }
            model.kill(Vec::new());
            model
        };
        let refused = broken();
        let told = up(&refused).unwrap_err().to_string();
        let way = "`regent restore --accept-data-loss m2,m3` goes on with what m1 has";
        assert!(told.contains(way), "{told}\n{}", refused.trace());
        let mut half = broken();
        half.lost = lost[..1].iter().cloned().collect();
        let told = up(&half).unwrap_err().to_string();
        assert!(told.contains(way), "{told}\n{}", half.trace());

        assert_killed_anywhere(|| Model {
            lost: lost.iter().cloned().collect(),
            ..broken()
        });
    }
}

/// Nobody has the data any more: nothing is begun anew beside what remembers the cluster, and a backup brings it back, wherever that
/// is interrupted; also where somebody has data that nobody can read, or never answers, once that is given up.
#[test]
fn a_backup_brings_back_what_nobody_has() {
    let all = ["m1", "m2", "m3"].map(|node| node.parse().unwrap());
    for mute in [None, Some(&all[0]), Some(&all[2])] {
        let broken = || {
            let model = Model::new(&with_images(3, 1));
            up(&model).unwrap();
            for node in &all {
                match Some(node) == mute {
                    true => model.mute(node),
                    false => model.lose_disk(node),
                }
            }
            model.kill(Vec::new());
            model
        };
        let told = up(&broken()).unwrap_err().to_string();
        let way = "regent restore --from FILE";
        assert!(mute.is_some() || told.contains(way), "{told}");
        assert_killed_anywhere(|| Model {
            backup: true,
            lost: mute.into_iter().cloned().collect(),
            ..broken()
        });
    }
}

/// A cluster of one control-plane node by plain `kubeadm init`, which is to become one of three behind a load balancer.
fn migrating() -> Model {
    let mut model = Model::new(&alone());
    up(&model).unwrap();
    let wanted = with_images(3, 1);
    model.target = Some(wanted.clone());
    model.recorded = Some(std::mem::replace(&mut model.plan, wanted));
    model.kill(Vec::new());
    model
}

/// One control-plane node without an endpoint, and a worker.
fn alone() -> Plan {
    let mut spec = ClusterSpec::new("demo".parse().unwrap());
    spec.control_plane.endpoint = Endpoint::None;
    (spec.control_plane.count, spec.workers.count) = (1, 1);
    Plan {
        images: with_images(1, 1).images,
        ..derive::plan(&spec, Driver::Lxc, derive::Beside::default())
    }
}

/// Wherever it is killed it comes to its end; and back, as long as etcd has no second member.
#[test]
fn one_becomes_three_from_every_point_and_goes_back_before_the_second() {
    let undisturbed = migrating();
    assert_eq!(up(&undisturbed).unwrap(), Outcome::Changed);
    assert_healthy(&undisturbed);
    let (mut back, mut refused) = (0, 0);
    for (action, stage) in undisturbed.places() {
        for (node, taken_back) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut model = migrating();
            model.kill(vec![Kill {
                action,
                stage,
                node,
            }]);
            let mut told = up(&model);
            let place = format!("action {action}, stage {stage}, node {node}, back {taken_back}");
            if model.revive() {
                if taken_back {
                    model.plan = alone();
                }
                told = up_again(&model);
            }
            if let (true, Err(RecipeError::Refused(refusals))) = (taken_back, &told) {
                let seen = &refusals[0].seen;
                assert!(seen.contains("no way back"), "{place}: {refusals:?}");
                refused += 1;
                model.plan = with_images(3, 1);
                told = up_again(&model);
            } else if taken_back {
                back += 1;
            }
            assert!(told.is_ok(), "{place}: {told:?}\n{}", model.trace());
            assert_healthy(&model);
        }
    }
    assert!(
        back > 0 && refused > 0,
        "{back} went back, {refused} were refused"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// From nothing, killed here and there.
    #[test]
    fn any_interruption_ends_in_the_same_place((control_plane, workers) in sizes(), kills in kills()) {
        let model = Model::new(&with_images(control_plane, workers));
        model.kill(kills);
        let told = up_again(&model);
        prop_assert!(told.is_ok(), "{told:?}\n{}", model.trace());
        assert_healthy(&model);
    }

    /// Nodes are to go from a cluster that is damaged, regent and nodes die meanwhile: no data goes that is needed.
    #[test]
    fn nodes_go_from_any_cluster(
        (from, to) in prop_oneof![Just(((3, 1), (1, 1))), Just(((3, 0), (2, 0))), Just(((5, 1), (3, 0)))],
        damages in prop::collection::vec((any::<Damage>(), any::<Index>()), 0..4),
        kills in kills(),
    ) {
        let mut model = Model::new(&with_images(from.0, from.1));
        up(&model).unwrap();
        for (damage, node) in damages {
            model.damage(damage, node);
        }
        model.recorded = Some(std::mem::replace(&mut model.plan, with_images(to.0, to.1)));
        model.kill(kills);
        match up_again(&model) {
            Ok(_) => assert_healthy(&model),
            Err(error @ RecipeError::NotConverging { .. }) => {
                prop_assert!(false, "{error}\n{}", model.trace());
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    /// A running cluster is damaged, regent and nodes die while it is mended.
    #[test]
    fn any_damage_is_mended_or_named(
        (control_plane, workers) in sizes(),
        damages in prop::collection::vec((any::<Damage>(), any::<Index>()), 1..4),
        kills in kills(),
    ) {
        let model = Model::new(&with_images(control_plane, workers));
        up(&model).unwrap();
        for (damage, node) in damages {
            model.damage(damage, node);
        }
        let hopeless = model.hopeless();
        let mild = kills.iter().all(|kill| !kill.node);
        model.kill(kills);
        let told = up_again(&model);
        match (&told, hopeless) {
            (Ok(_), _) => assert_healthy(&model),
            (Err(RecipeError::NotConverging { .. }), _) => {
                prop_assert!(false, "{told:?}\n{}", model.trace());
            }
            (Err(error), None) if mild => {
                prop_assert!(false, "could be mended: {error}\n{}", model.trace());
            }
            (Err(error), _) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}
