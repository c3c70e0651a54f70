//! The model: plausible semantics of everything that an action touches. What must never happen is asserted in it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use super::kubeadm::{Stage, member};
use crate::etcd::{self, Member};
use crate::kubernetes::Named;
use crate::name::NodeName;
use crate::plan::{NodePlan, NodeRole, Plan};
use crate::recipe::world::KEYS;
use crate::recipe::{Action, RecipeError, fingerprint};
use crate::render::kubeadm::sans;

/// Where something dies: at the action of that number, after that many of its stages; regent alone, or also the node that
/// it works on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kill {
    pub(super) action: usize,
    pub(super) stage: usize,
    pub(super) node: bool,
}

/// A node with its disk.
#[derive(Debug, Clone, Default)]
pub(super) struct Machine {
    pub(super) runs: bool,
    pub(super) defined: bool,
    /// It never answers again.
    pub(super) mute: bool,
    pub(super) configured: Option<String>,
    pub(super) files: BTreeSet<String>,
    pub(super) emptied: bool,
    pub(super) ca: Option<u64>,
    pub(super) kubelet: bool,
    pub(super) balancing: bool,
    pub(super) loaded: bool,
    /// The time of its certificates is over.
    pub(super) ended: bool,
    /// It will be, soon.
    pub(super) ending: bool,
    /// Where its kubeconfigs have the API servers.
    pub(super) server: Option<Ipv4Addr>,
    /// What its API server's certificate is for.
    pub(super) sans: BTreeSet<String>,
    /// The stages that a kubeadm which outlived regent has still to do.
    pub(super) busy: Vec<Stage>,
    pub(super) data: Option<Data>,
}

impl Machine {
    /// One whose disk is lost; its domain is there.
    pub(super) fn blank() -> Self {
        Self {
            defined: true,
            ..Self::default()
        }
    }
}

/// etcd's data on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Data {
    pub(super) cluster: u64,
    pub(super) member: u64,
}

#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub(super) machines: BTreeMap<NodeName, Machine>,
    pub(super) members: Vec<Member>,
    pub(super) cluster: u64,
    pub(super) nodes: BTreeMap<String, bool>,
    /// Nodes that were drained.
    pub(super) drained: BTreeSet<String>,
    pub(super) addons: bool,
    pub(super) manifests: Option<String>,
    pub(super) kubeconfig: Option<Option<u64>>,
    /// Where the lab's kubeconfig has the API servers.
    pub(super) lab_server: Option<Ipv4Addr>,
    pub(super) named: Named,
    pub(super) saved: BTreeSet<NodeName>,
    pub(super) drawn: u64,
    /// How many stages each action had that was carried out.
    acted: Vec<usize>,
    kills: Vec<Kill>,
    pub(super) dead: bool,
    trace: String,
}

/// The model of a lab.
pub(super) struct Model {
    pub(super) plan: Plan,
    pub(super) recorded: Option<Plan>,
    /// What an `up` that did not come to its end was bringing it to.
    pub(super) target: Option<Plan>,
    /// Nodes whose members the user gives up.
    pub(super) lost: BTreeSet<NodeName>,
    /// There is a backup, with the cluster's CA.
    pub(super) backup: bool,
    pub(super) state: RefCell<State>,
}

impl Model {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            plan: plan.clone(),
            recorded: None,
            target: None,
            lost: BTreeSet::new(),
            backup: false,
            state: RefCell::default(),
        }
    }

    pub(super) fn kill(&self, kills: Vec<Kill>) {
        let mut state = self.state.borrow_mut();
        state.kills = kills;
        state.acted.clear();
    }

    /// Brings regent back to life, if it died.
    pub(super) fn revive(&self) -> bool {
        std::mem::take(&mut self.state.borrow_mut().dead)
    }

    /// Every place where something can die: an action's number, and after how many of its stages.
    pub(super) fn places(&self) -> Vec<(usize, usize)> {
        let acted = self.state.borrow().acted.clone();
        let actions = acted.into_iter().enumerate();
        let places = |(action, stages): (usize, usize)| {
            (0..=stages.max(1)).map(move |stage| (action, stage))
        };
        actions.flat_map(places).collect()
    }

    pub(super) fn trace(&self) -> String {
        self.state.borrow().trace.clone()
    }

    pub(super) fn note(&self, what: &str) {
        let _ = writeln!(self.state.borrow_mut().trace, "{what}");
    }

    pub(super) fn planned(&self, node: &NodeName) -> &NodePlan {
        self.plan.node(node).unwrap()
    }

    /// A node that is planned, or was.
    fn known(&self, node: &NodeName) -> Option<&NodePlan> {
        let plans = [
            Some(&self.plan),
            self.recorded.as_ref(),
            self.target.as_ref(),
        ];
        plans.into_iter().flatten().find_map(|plan| plan.node(node))
    }

    /// Carries out an action up to where something dies.
    pub(super) fn carry_out(&self, action: &Action) -> Result<(), RecipeError> {
        let (kill, before) = {
            let mut state = self.state.borrow_mut();
            if state.dead {
                return Err(dead());
            }
            let number = state.acted.len();
            state.acted.push(self.stages(action).len());
            let kill = state.kills.iter().position(|kill| kill.action == number);
            let kill = kill.map(|at| state.kills.swap_remove(at));
            let _ = writeln!(state.trace, "{number}. {action} {kill:?}");
            (kill, state.clone())
        };
        self.check(action, &before);
        let stages = self.stages(action);
        let told = match kill {
            Some(kill) if kill.stage < stages.len().max(1) => {
                let (done, left) = stages.split_at(kill.stage.min(stages.len()));
                let told = self.go(action, done);
                self.die(action, left, kill.node);
                told
            }
            kill => {
                let told = self.go(action, &stages).and_then(|()| self.whole(action));
                if kill.is_some() {
                    self.state.borrow_mut().dead = true;
                }
                told
            }
        };
        let after = self.state.borrow();
        let (had, has) = (self.quorum(&before), self.quorum(&after));
        let killed_node = kill.is_some_and(|kill| kill.node);
        assert!(
            !had || has || killed_node,
            "{action} cost etcd its quorum\n{}",
            after.trace
        );
        if !killed_node {
            self.nobody_is_lost(action, &before, &after);
        }
        told
    }

    /// Where the place of the API servers changes, whoever found one before finds one after.
    fn nobody_is_lost(&self, action: &Action, before: &State, after: &State) {
        let moves = matches!(
            action,
            Action::Save(_)
                | Action::Certify(_)
                | Action::Repoint(_)
                | Action::Endpoint
                | Action::Remove(_)
        );
        let machines = after.machines.iter();
        for (name, machine) in machines.filter(|(name, _)| moves && self.plan.node(name).is_some())
        {
            let had = before.machines.get(name).and_then(|machine| machine.server);
            let (Some(had), Some(has)) = (had, machine.server) else {
                continue;
            };
            assert!(
                !self.answers_at(before, had) || self.answers_at(after, has),
                "{action} has {name} look for the API where nobody answers, at {has}\n{}",
                after.trace
            );
        }
    }

    fn go(&self, action: &Action, stages: &[Stage]) -> Result<(), RecipeError> {
        for stage in stages {
            self.stage(action.node().unwrap(), *stage)?;
        }
        Ok(())
    }

    /// regent dies; kubeadm goes on, unless its node dies too.
    fn die(&self, action: &Action, left: &[Stage], node: bool) {
        let mut state = self.state.borrow_mut();
        state.dead = true;
        let Some(machine) = action.node().and_then(|node| state.machines.get_mut(node)) else {
            return;
        };
        if node {
            (machine.runs, machine.balancing) = (false, false);
        } else if matches!(
            action,
            Action::Init(_)
                | Action::JoinControlPlane(_)
                | Action::JoinWorker(_)
                | Action::Restore(_)
        ) {
            let kubeadms = left.iter().filter(|stage| **stage != Stage::Kubeconfig);
            machine.busy = kubeadms.copied().collect();
        }
    }

    /// Actions that are done or not.
    fn whole(&self, action: &Action) -> Result<(), RecipeError> {
        if let Action::Await(node) = action {
            let left = std::mem::take(&mut self.machine(node).busy);
            // A kubeadm that fails has failed; the next look sees what is there.
            let _ = self.go(action, &left);
            return Ok(());
        }
        let lives = self.api_lives(&self.state.borrow());
        let mut guard = self.state.borrow_mut();
        let state = &mut *guard;
        let ca = self.authority(state);
        match action {
            Action::Start(node) => {
                let machine = state.machines.entry(node.clone()).or_default();
                if machine.mute {
                    return Err(failed(node, "runs and does not answer"));
                }
                (machine.runs, machine.defined) = (true, true);
                machine.kubelet = machine.files.contains("kubelet.conf");
                machine.busy.clear();
            }
            Action::Configure(node) => {
                let mark = fingerprint::of_node(self.planned(node));
                state.machines.get_mut(node).unwrap().configured = Some(mark);
            }
            Action::Load(node) => state.machines.get_mut(node).unwrap().loaded = true,
            Action::Renew(node) => {
                let machine = state.machines.get_mut(node).unwrap();
                (machine.ended, machine.ending) = (false, false);
            }
            Action::Forget { peer, .. } => state.members.retain(|member| member.peer != *peer),
            Action::Reset(node) => {
                let founded = !state.members.is_empty();
                let machine = state.machines.get_mut(node).unwrap();
                let spared = !founded && self.planned(node).role == NodeRole::ControlPlane;
                machine
                    .files
                    .retain(|file| spared && file.starts_with("pki/ca."));
                machine.ca = machine.ca.filter(|_| spared);
                (machine.data, machine.kubelet) = (None, false);
                (machine.emptied, machine.ended, machine.ending) = (false, false, false);
            }
            Action::DeleteNode(node) if lives => {
                state.nodes.remove(node.as_str());
                state.drained.remove(node.as_str());
            }
            Action::Drain(node) if lives => {
                state.drained.insert(node.to_string());
            }
            Action::Stay(node) if lives => {
                state.drained.remove(node.as_str());
            }
            Action::Remove(node) | Action::SetAside(node) => {
                state.machines.remove(node);
            }
            Action::Balance(node) => {
                let machine = state.machines.get_mut(node).unwrap();
                (machine.balancing, machine.ca) = (true, ca);
            }
            Action::Revive(node) => {
                let machine = self.founded(state, node);
                machine.kubelet = true;
            }
            Action::Recover(node) => {
                let known = state.kubeconfig.flatten();
                let machine = self.founded(state, node);
                machine.files.extend(KEYS.map(str::to_owned));
                machine.ca = known;
            }
            Action::Kubeconfig(node) => {
                state.kubeconfig = Some(ca);
                state.lab_server = state.machines.get(node).unwrap().server;
            }
            Action::Save(node) => drop(state.saved.insert(node.clone())),
            Action::Certify(node) => {
                let names = sans(&self.plan).into_iter().collect();
                state.machines.get_mut(node).unwrap().sans = names;
            }
            Action::Repoint(node) => {
                state.machines.get_mut(node).unwrap().server = Some(self.plan.network.endpoint);
            }
            Action::Endpoint if lives => state.named = Named::of(&self.plan),
            Action::Kubelet(node) => state.machines.get_mut(node).unwrap().kubelet = true,
            Action::Register(node) if lives => {
                state.nodes.entry(node.to_string()).or_default();
            }
            Action::Mark(node) if lives => {
                state.nodes.insert(node.to_string(), true);
            }
            Action::Manifests if lives => {
                state.manifests = Some(fingerprint::of_manifests(&self.plan.manifests));
            }
            Action::AwaitApi if lives => {}
            Action::Settle => {
                drop(guard);
                let missing = self.missing();
                if !missing.is_empty() {
                    return Err(RecipeError::Unhealthy {
                        after: std::time::Duration::ZERO,
                        checks: missing,
                    });
                }
            }
            Action::AwaitEtcd(_)
            | Action::Connectivity
            | Action::Authority(_)
            | Action::Init(_)
            | Action::Restore(_)
            | Action::JoinControlPlane(_)
            | Action::JoinWorker(_)
            | Action::Await(_) => {}
            Action::DeleteNode(_)
            | Action::Drain(_)
            | Action::Stay(_)
            | Action::Register(_)
            | Action::Mark(_)
            | Action::Endpoint
            | Action::Manifests
            | Action::AwaitApi => {
                return Err(RecipeError::Mismatch("the API does not answer".to_owned()));
            }
        }
        Ok(())
    }

    /// etcd is a new cluster of one member, on this node.
    fn founded<'s>(&self, state: &'s mut State, node: &NodeName) -> &'s mut Machine {
        state.drawn += 1;
        let (drawn, peer) = (state.drawn, etcd::peer_url(self.planned(node).address));
        state.cluster = drawn;
        state.members = vec![member(drawn, node, &peer, false)];
        let machine = state.machines.get_mut(node).unwrap();
        machine.data = Some(Data {
            cluster: drawn,
            member: drawn,
        });
        machine
    }

    /// What no action may ever do, by the truth of the model and not by what regent saw.
    fn check(&self, action: &Action, state: &State) {
        let trace = &state.trace;
        let data = |node: &NodeName| state.machines.get(node).and_then(|machine| machine.data);
        let counted = |node: &NodeName| {
            data(node).is_some_and(|data| {
                let listed = state.members.iter().any(|member| member.id == data.member);
                data.cluster == state.cluster && listed
            })
        };
        match action {
            Action::Revive(node) => {
                assert!(
                    counted(node),
                    "{action} of data that nobody counts\n{trace}"
                );
                assert!(!self.quorum(state), "{action} beside a quorum\n{trace}");
            }
            Action::Recover(_) => {
                assert!(self.backup, "{action} of nothing\n{trace}");
                let other = state.machines.values().find_map(|machine| machine.data);
                assert_eq!(other, None, "{action} beside data\n{trace}");
            }
            Action::SetAside(node) => {
                assert!(
                    self.lost.contains(node),
                    "{action} without consent\n{trace}"
                );
                assert!(!self.quorum(state), "{action} beside a quorum\n{trace}");
                let machine = &state.machines[node];
                let answers = self.runs(machine, state).is_some();
                assert!(!answers, "{action} of a member that answers\n{trace}");
            }
            Action::Reset(node) | Action::Remove(node) => {
                assert!(!counted(node), "{action} removes data that counts\n{trace}");
                let last = data(node).is_some() && !self.quorum(state);
                assert!(
                    !last,
                    "{action} removes data while nobody else has a quorum\n{trace}"
                );
            }
            Action::Init(node) if data(node).is_none() => {
                let other = state.machines.values().find_map(|machine| machine.data);
                assert_eq!(other, None, "{action} begins a second cluster\n{trace}");
            }
            Action::Authority(_) => {
                let other = state
                    .machines
                    .values()
                    .find(|machine| machine.data.is_some());
                assert!(other.is_none(), "{action} makes a second CA\n{trace}");
            }
            _ => {}
        }
    }

    fn machine(&self, node: &NodeName) -> std::cell::RefMut<'_, Machine> {
        std::cell::RefMut::map(self.state.borrow_mut(), |state| {
            state.machines.get_mut(node).unwrap()
        })
    }

    pub(super) fn authority(&self, state: &State) -> Option<u64> {
        let machines = || {
            self.plan
                .control_plane()
                .filter_map(|node| state.machines.get(&node.name))
        };
        machines()
            .find_map(|machine| machine.data.and(machine.ca))
            .or_else(|| machines().find_map(|machine| machine.ca))
    }

    /// The member on a machine, if its etcd runs.
    pub(super) fn runs<'a>(&self, machine: &Machine, state: &'a State) -> Option<&'a Member> {
        let data = machine.data.filter(|data| data.cluster == state.cluster)?;
        let up = machine.runs
            && !machine.mute
            && machine.kubelet | !machine.busy.is_empty()
            && machine.files.contains("manifests/etcd.yaml");
        let mut members = state.members.iter().filter(|_| up);
        members.find(|member| member.id == data.member)
    }

    pub(super) fn quorum(&self, state: &State) -> bool {
        let voters = state
            .members
            .iter()
            .filter(|member| !member.learner)
            .count();
        let up = state
            .machines
            .values()
            .filter_map(|machine| self.runs(machine, state))
            .filter(|member| !member.learner);
        // While kubeadm works on a node its etcd has been started by the same kubelet.
        voters > 0 && up.count() > voters / 2
    }

    pub(super) fn api_lives(&self, state: &State) -> bool {
        self.answers_at(state, self.plan.network.endpoint)
    }

    /// Whether an API server answers at an address, with a certificate for it.
    pub(super) fn answers_at(&self, state: &State, address: Ipv4Addr) -> bool {
        let at = |name: &NodeName| self.known(name).filter(|node| node.address == address);
        let mut machines = state.machines.iter();
        let Some((node, machine)) = machines.find_map(|(name, of)| Some((at(name)?, of))) else {
            return false;
        };
        let serves = |machine: &Machine| {
            let server = machine.files.contains("manifests/kube-apiserver.yaml");
            self.runs(machine, state).is_some() && server
        };
        let named = |machine: &Machine| machine.sans.contains(&address.to_string());
        let mut all = state.machines.values();
        self.quorum(state)
            && match node.role {
                NodeRole::LoadBalancer => {
                    let balances = machine.runs && !machine.mute && machine.balancing;
                    balances && all.any(|machine| serves(machine) && named(machine))
                }
                // kubeadm puts a node's own address into its certificate.
                _ => serves(machine),
            }
    }
}

pub(super) fn dead() -> RecipeError {
    RecipeError::Mismatch("killed".to_owned())
}

pub(super) fn failed(node: &NodeName, what: &str) -> RecipeError {
    RecipeError::Mismatch(format!("{node}: {what}"))
}

/// Whether a node has all that its etcd could be started with again.
pub(super) fn restorable(machine: &Machine) -> bool {
    let keys = KEYS.iter().all(|&file| machine.files.contains(file));
    machine.data.is_some() && keys
}
