//! The recipe's order, played through on a world of data.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use proptest::prelude::*;

use super::{Action, next};
use crate::hypervisor::DomainState;
use crate::name::NodeName;
use crate::plan::{self, NodeRole, Plan, Step};
use crate::recipe::fingerprint;
use crate::recipe::observe::{Guest, NodeSeen, Observed, Stage};
use crate::spec::{ClusterSpec, Driver};

fn planned(control_plane: u8, workers: u8) -> Plan {
    let mut spec = ClusterSpec::new("demo".parse().unwrap());
    spec.control_plane.count = control_plane;
    spec.workers.count = workers;
    plan::derive(
        &spec,
        Driver::Lxc,
        vec![("10-app.yaml".to_owned(), "kind: ConfigMap".to_owned())],
    )
}

/// A world in which every action does what it says.
struct World<'a> {
    plan: &'a Plan,
    seen: Observed,
    connected: bool,
}

impl<'a> World<'a> {
    fn new(plan: &'a Plan) -> Self {
        let off = NodeSeen {
            domain: DomainState::Undefined,
            guest: None,
        };
        let nodes = plan
            .nodes
            .iter()
            .map(|node| (node.name.clone(), off.clone()))
            .collect();
        Self {
            plan,
            seen: Observed {
                nodes,
                ..Observed::default()
            },
            connected: false,
        }
    }

    fn guest(&mut self, node: &NodeName) -> &mut Guest {
        let seen = self.seen.nodes.get_mut(node).unwrap();
        seen.guest
            .as_mut()
            .expect("only nodes that run are worked on")
    }

    fn ca(&self) -> Option<String> {
        self.seen
            .nodes
            .values()
            .find_map(|node| node.guest.as_ref()?.ca.clone())
    }

    fn members(&self) -> usize {
        self.seen
            .nodes
            .values()
            .filter(|node| {
                node.guest
                    .as_ref()
                    .is_some_and(|g| g.stage == Stage::Member)
            })
            .count()
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Step(Step::Start(node)) => {
                let seen = self.seen.nodes.get_mut(node).unwrap();
                seen.domain = DomainState::Running;
                seen.guest.get_or_insert_default();
            }
            Action::Step(Step::Configure(node)) => {
                let mark = fingerprint::of_node(self.plan.node(node).unwrap());
                self.guest(node).configured = Some(mark);
            }
            Action::Step(Step::Connectivity) => self.connected = true,
            Action::Await(node) => self.guest(node).stage = Stage::Broken,
            Action::Reset(node) => {
                let guest = self.guest(node);
                guest.stage = Stage::Blank;
                guest.ca = None;
            }
            Action::Step(Step::Authority(node)) => {
                assert_eq!(self.ca(), None, "a second certificate authority");
                self.guest(node).ca = Some("ca".to_owned());
            }
            Action::Step(Step::Balance(node)) => {
                let ca = self.ca();
                let guest = self.guest(node);
                (guest.balancing, guest.ca) = (true, ca);
            }
            Action::Step(Step::Init(node)) => {
                assert_eq!(self.members(), 0, "init beside a running cluster");
                self.guest(node).stage = Stage::Member;
                self.seen.kubeconfig = true;
            }
            Action::Kubeconfig(_) => self.seen.kubeconfig = true,
            Action::Step(Step::JoinControlPlane(node) | Step::JoinWorker(node)) => {
                assert_ne!(self.members(), 0, "join without a cluster");
                let ca = self.ca();
                let guest = self.guest(node);
                (guest.stage, guest.ca) = (Stage::Member, ca);
            }
            Action::Step(Step::Settle) => self.seen.healthy = true,
            Action::Step(Step::Manifests) => {
                self.seen.manifests = Some(fingerprint::of_manifests(&self.plan.manifests));
            }
        }
    }

    /// Plays until there is nothing to do; returns each round's actions.
    fn play(&mut self) -> Vec<Vec<Action>> {
        let mut rounds = Vec::new();
        loop {
            let actions = next(self.plan, &self.seen, self.connected);
            if actions.is_empty() {
                return rounds;
            }
            assert!(rounds.len() < 20, "does not converge: {actions:?}");
            actions.iter().for_each(|action| self.act(action));
            rounds.push(actions);
        }
    }
}

fn text(rounds: &[Vec<Action>]) -> String {
    let mut text = String::new();
    for (number, actions) in rounds.iter().enumerate() {
        let actions: Vec<String> = actions.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "{:2}. {}", number + 1, actions.join(", "));
    }
    text
}

fn assert_snapshot(name: &str, rounds: &[Vec<Action>]) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| insta::assert_snapshot!(name, text(rounds)));
}

#[test]
fn from_nothing_to_a_cluster() {
    let plan = planned(3, 2);
    let rounds = World::new(&plan).play();
    let mut taken: Vec<Action> = rounds.iter().flatten().cloned().collect();
    let mut planned: Vec<Action> = plan.steps().into_iter().map(Action::Step).collect();
    assert_snapshot("recipe_from_nothing", &rounds);
    taken.sort();
    planned.sort();
    assert_eq!(taken, planned, "`regent plan` lists what `regent up` does");
}

/// What runs the nodes is not the recipe's business.
#[test]
fn every_kind_of_node_is_treated_alike() {
    let containers = planned(3, 2);
    let machines = Plan {
        driver: Driver::Qemu,
        ..containers.clone()
    };
    assert_eq!(World::new(&containers).play(), World::new(&machines).play());
}

#[test]
fn one_more_worker_touches_only_what_must_know_it() {
    let before = planned(3, 1);
    let mut world = World::new(&before);
    world.play();
    let after = planned(3, 2);
    let mut nodes: BTreeMap<_, _> = world.seen.nodes.clone();
    let off = NodeSeen {
        domain: DomainState::Undefined,
        guest: None,
    };
    nodes.extend(
        after
            .nodes
            .iter()
            .filter(|n| before.node(&n.name).is_none())
            .map(|n| (n.name.clone(), off.clone())),
    );
    let mut world = World {
        plan: &after,
        seen: Observed {
            nodes,
            healthy: false,
            ..world.seen
        },
        connected: false,
    };
    assert_snapshot("recipe_one_more_worker", &world.play());
}

#[test]
fn a_node_killed_while_it_joined_is_cleared_and_joins_again() {
    let plan = planned(3, 0);
    let mut world = World::new(&plan);
    world.play();
    world.seen.healthy = false;
    world.guest(&"m2".parse().unwrap()).stage = Stage::Broken;
    assert_snapshot("recipe_broken_join", &world.play());
}

#[test]
fn a_finished_cluster_needs_nothing() {
    let plan = planned(1, 1);
    let mut world = World::new(&plan);
    world.play();
    assert_eq!(next(&plan, &world.seen, false), []);
}

fn any_stage() -> impl Strategy<Value = Stage> {
    prop_oneof![
        Just(Stage::Blank),
        Just(Stage::Busy),
        Just(Stage::Broken),
        Just(Stage::Member)
    ]
}

proptest! {
    /// Whatever an earlier run left, the loop ends, and on the way there is never a second `init` or CA (the
    /// world's own assertions).
    #[test]
    fn any_interruption_ends_in_the_same_place(
        stages in prop::collection::vec((any::<bool>(), any::<bool>(), any_stage()), 6),
        kubeconfig: bool,
    ) {
        let plan = planned(3, 2);
        let mut world = World::new(&plan);
        for (node, (runs, configured, stage)) in plan.nodes.iter().zip(stages) {
            if !runs {
                continue;
            }
            world.act(&Action::Step(Step::Start(node.name.clone())));
            if configured {
                world.act(&Action::Step(Step::Configure(node.name.clone())));
            }
            // kubeadm works only on configured nodes.
            if configured && node.role != NodeRole::LoadBalancer {
                let guest = world.guest(&node.name);
                guest.stage = stage;
                let has_ca = node.role == NodeRole::ControlPlane && stage != Stage::Blank;
                guest.ca = has_ca.then(|| "ca".to_owned());
            }
        }
        // A worker is a member only of a cluster that has a control plane.
        let founded = plan.control_plane().any(|node| world.seen.stage(&node.name) == Some(Stage::Member));
        prop_assume!(founded || world.members() == 0);
        world.seen.kubeconfig = kubeconfig && founded;
        world.play();
        prop_assert_eq!(world.members(), 5);
    }
}
