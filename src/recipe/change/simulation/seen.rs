//! What a look sees of the model.

use jiff::Timestamp;

use super::model::{Machine, Model, State, dead};
use crate::etcd::MemberStatus;
use crate::kubernetes::{Leaving, Named, NodeStatus};
use crate::name::NodeName;
use crate::plan::NodeRole;
use crate::provider::DomainState;
use crate::recipe::up::Worked;
use crate::recipe::world::{
    Api, ApiSeen, Etcd, Guest, Inside, Kubeadm, Kubeconfig, RunSoFar, World,
};
use crate::recipe::{Action, Check, RecipeError};
use crate::render::kubeadm::sans;

/// Every clock of the model.
const NOW: Timestamp = Timestamp::constant(1_764_000_000, 0);

impl Model {
    /// What keeps the model from being the wanted cluster.
    pub(super) fn missing(&self) -> Vec<String> {
        let state = self.state.borrow();
        let mut missing = Vec::new();
        for node in &self.plan.nodes {
            let Some(machine) = state.machines.get(&node.name) else {
                missing.push(format!("{} is not there", node.name));
                continue;
            };
            let known = state.nodes.get(node.name.as_str());
            let elsewhere = machine
                .server
                .is_some_and(|server| server != self.plan.network.endpoint);
            let covered = sans(&self.plan)
                .iter()
                .all(|name| machine.sans.contains(name));
            if elsewhere || (node.role == NodeRole::ControlPlane && !covered) {
                missing.push(format!("{} is of another endpoint", node.name));
            }
            let well = machine.runs
                && !machine.ended
                && !machine.mute
                && match node.role {
                    NodeRole::LoadBalancer => machine.balancing,
                    NodeRole::Worker => machine.kubelet && known.is_some(),
                    NodeRole::ControlPlane => {
                        let member = self.runs(machine, &state);
                        known == Some(&true) && member.is_some_and(|member| !member.learner)
                    }
                };
            if !well {
                missing.push(format!("{} is not well", node.name));
            }
        }
        let all = state.machines.keys().map(NodeName::as_str);
        for name in all.chain(state.nodes.keys().map(String::as_str)) {
            let planned = self
                .plan
                .nodes
                .iter()
                .any(|node| node.name.as_str() == name);
            if !planned || state.drained.contains(name) {
                missing.push(format!("{name} is to go, or was"));
            }
        }
        if state.named != Named::of(&self.plan) {
            missing.push("the API names another endpoint".to_owned());
        }
        if state.members.len() != self.plan.control_plane().count() {
            missing.push("members that nobody planned".to_owned());
        }
        missing
    }

    fn see_etcd(&self, state: &State) -> Etcd {
        let mut seen = Etcd {
            cluster: state.cluster,
            quorum: self.quorum(state),
            ..Etcd::default()
        };
        for (name, machine) in &state.machines {
            if let Some(member) = self.runs(machine, state) {
                seen.members.get_or_insert_with(|| state.members.clone());
                let status = MemberStatus {
                    id: member.id,
                    cluster: state.cluster,
                    leader: 1,
                    term: 1,
                    revision: 1,
                    raft_index: 1,
                    learner: member.learner,
                    version: String::new(),
                    errors: Vec::new(),
                    size: 0,
                };
                seen.statuses.insert(name.clone(), status);
            }
        }
        seen
    }

    fn see_node(&self, machine: &Machine) -> Inside {
        if machine.mute {
            return Inside::Silent("no answer within 4s".to_owned());
        }
        let archives = self.plan.images.iter().filter(|_| machine.loaded);
        let images = archives.clone().flat_map(|archive| &archive.names);
        Inside::Answers(Box::new(Guest {
            configured: machine.configured.clone(),
            kubeadm: Kubeadm {
                busy: !machine.busy.is_empty(),
                files: machine.files.clone(),
                emptied: machine.emptied,
                data: machine.data.is_some(),
            },
            kubeconfigs: machine
                .server
                .filter(|_| {
                    machine.files.contains("admin.conf") || machine.files.contains("kubelet.conf")
                })
                .map(|server| ("admin.conf".to_owned(), format!("https://{server}:6443")))
                .into_iter()
                .collect(),
            sans: machine
                .files
                .contains("pki/apiserver.crt")
                .then(|| machine.sans.clone()),
            kubelet: machine.kubelet,
            ca: machine.ca.map(|ca| ca.to_string()),
            archives: archives.map(|archive| archive.sha256.clone()).collect(),
            images: images.cloned().collect(),
            balancing: machine.balancing,
            past: Some(NOW),
            certificates: match (machine.ended, machine.ending) {
                (true, _) => vec![("CN=ended".to_owned(), NOW)],
                (false, true) => {
                    let tomorrow = NOW + jiff::SignedDuration::from_hours(24);
                    vec![("CN=ending".to_owned(), tomorrow)]
                }
                (false, false) => Vec::new(),
            },
            ..Guest::default()
        }))
    }
}

impl Worked for Model {
    fn begun(&self) -> RunSoFar {
        RunSoFar {
            lost: self.lost.clone(),
            backup: self.backup,
            ..RunSoFar::default()
        }
    }

    async fn look(&self) -> Result<World, RecipeError> {
        if self.state.borrow().dead {
            return Err(dead());
        }
        let missing = self.missing();
        let state = self.state.borrow();
        let mut world = World {
            etcd: self.see_etcd(&state),
            kubeconfig: match state.kubeconfig {
                None => Kubeconfig::Missing,
                Some(None) => Kubeconfig::Unusable("it is damaged".to_owned()),
                Some(Some(_)) if state.lab_server != Some(self.plan.network.endpoint) => {
                    Kubeconfig::Unusable("it is of another endpoint".to_owned())
                }
                Some(Some(ca)) => Kubeconfig::Usable { ca: ca.to_string() },
            },
            checks: vec![Check {
                name: "all",
                missing: (!missing.is_empty()).then(|| missing.join("; ")),
            }],
            saved: state.saved.clone(),
            ..World::default()
        };
        for (name, machine) in state.machines.iter().filter(|(_, machine)| machine.defined) {
            let domain = if machine.runs {
                DomainState::Running
            } else {
                DomainState::Off
            };
            world.domains.insert(name.clone(), domain);
            if machine.runs && self.plan.node(name).is_some() {
                world.nodes.insert(name.clone(), self.see_node(machine));
            }
        }
        let server = state
            .lab_server
            .filter(|_| matches!(state.kubeconfig, Some(Some(_))));
        if server.is_some_and(|server| self.answers_at(&state, server)) {
            let nodes = state.nodes.iter().map(|(name, control_plane)| NodeStatus {
                name: name.clone(),
                control_plane: *control_plane,
                ready: state.machines.iter().any(|(machine, of)| {
                    machine.as_str() == name && of.runs && of.kubelet && !of.mute
                }),
                leaving: state.drained.contains(name).then_some(Leaving::Drained),
                ..NodeStatus::default()
            });
            world.api = Api::Answers(Box::new(ApiSeen {
                ready: true,
                nodes: nodes.collect(),
                unfounded: if state.addons {
                    Vec::new()
                } else {
                    vec!["add-ons".to_owned()]
                },
                endpoint: state.named.clone(),
                manifests: state.manifests.clone(),
                ..ApiSeen::default()
            }));
        }
        Ok(world)
    }

    async fn act(&self, action: &Action) -> Result<(), RecipeError> {
        self.carry_out(action)
    }
}
