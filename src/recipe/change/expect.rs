//! What a world will be like once an action has done what it says: the preview of `regent plan` (from the empty world) and
//! of `up --dry-run` (from the real one).

use super::{Action, next};
use crate::etcd::{self, Member, MemberStatus};
use crate::kubernetes::{Leaving, Named, NodeStatus, server};
use crate::name::NodeName;
use crate::plan::{NodePlan, NodeRole, Plan};
use crate::provider::DomainState;
use crate::recipe::world::{
    Api, ApiSeen, CONTROL_PLANE, Guest, Inside, KEYS, Kubeconfig, Stage, WORKER, World,
};
use crate::recipe::{Check, fingerprint};
use crate::render::kubeadm::sans;

/// As many as `up` itself.
const ROUNDS: u32 = 40;

/// What `up` would do from here, round by round, if every action does what it says. Refusals are left to
/// [`next`](super::next).
pub(in crate::recipe) fn preview(
    wanted: &Plan,
    recorded: Option<&Plan>,
    world: &World,
) -> Vec<Vec<Action>> {
    foresee(wanted, recorded, &mut world.clone())
}

/// The same, and `world` becomes what it will be.
pub(in crate::recipe) fn foresee(
    wanted: &Plan,
    recorded: Option<&Plan>,
    world: &mut World,
) -> Vec<Vec<Action>> {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let actions = next(wanted, recorded, world).actions;
        if actions.is_empty() {
            break;
        }
        for action in &actions {
            world.expect(wanted, action);
        }
        rounds.push(actions);
    }
    rounds
}

/// Every step from nothing to the cluster, in an order in which they can be done one by one; `up` overlaps those that do
/// not need each other.
pub fn steps(wanted: &Plan) -> Vec<Action> {
    preview(wanted, None, &World::default()).concat()
}

/// The world after `up` has brought the plan about.
#[cfg(test)]
pub(in crate::recipe) fn after_up(wanted: &Plan) -> World {
    let mut world = World::default();
    for action in steps(wanted) {
        world.expect(wanted, &action);
    }
    world
}

/// The CA of a world that has none yet.
const CA: &str = "the cluster's CA";

impl World {
    /// Makes this the world in which an action has done what it says.
    pub(super) fn expect(&mut self, wanted: &Plan, action: &Action) {
        self.run.after(action);
        match action {
            Action::Start(node) => self.started(wanted, node),
            Action::Configure(node) => {
                let mark = wanted.node(node).map(fingerprint::of_node);
                self.guest_mut(node).configured = mark;
            }
            Action::Load(node) => {
                let guest = self.guest_mut(node);
                for archive in &wanted.images {
                    guest.archives.insert(archive.sha256.clone());
                    guest.images.extend(archive.names.iter().cloned());
                }
            }
            Action::Await(node) | Action::Restore(node) => self.made_whole(wanted, node),
            Action::Revive(node) => {
                self.etcd.members = Some(Vec::new());
                self.etcd.statuses.clear();
                if let Some(planned) = wanted.node(node) {
                    self.votes(planned);
                }
                self.etcd.quorum = true;
            }
            Action::Recover(node) => {
                let ca = self.ca(wanted);
                let guest = self.guest_mut(node);
                guest.ca = Some(ca);
                guest.kubeadm.data = true;
                guest.kubeadm.files.extend(KEYS.map(str::to_owned));
            }
            Action::Renew(node) => self.guest_mut(node).certificates.clear(),
            Action::AwaitEtcd(_) => self.members_answer(wanted),
            Action::AwaitApi => self.api_shows(wanted),
            Action::Forget { peer, .. } => {
                self.etcd
                    .members
                    .get_or_insert_default()
                    .retain(|member| member.peer != *peer);
            }
            Action::Reset(node) => {
                // Where nobody has founded a cluster its CA is spared.
                let spared = self.etcd.members.is_none();
                let guest = self.guest_mut(node);
                (guest.kubeadm, guest.kubelet) = Default::default();
                guest.certificates.clear();
                (guest.kubeconfigs, guest.sans) = Default::default();
                guest.ca = guest.ca.take().filter(|_| spared);
                self.etcd.statuses.remove(node);
            }
            Action::DeleteNode(node) => self
                .api_mut()
                .nodes
                .retain(|known| known.name != node.as_str()),
            Action::Remove(node) | Action::SetAside(node) => {
                self.domains.remove(node);
                self.nodes.remove(node);
            }
            Action::Drain(node) => self.leaves(node, Some(Leaving::Drained)),
            Action::Stay(node) => self.leaves(node, None),
            Action::Connectivity => {}
            Action::Authority(node) => self.guest_mut(node).ca = Some(CA.to_owned()),
            Action::Balance(node) => {
                let ca = self.ca(wanted);
                let guest = self.guest_mut(node);
                (guest.balancing, guest.ca) = (true, Some(ca));
            }
            Action::Init(node) => {
                self.joined(wanted, node);
                self.etcd.quorum = true;
                let api = self.api_mut();
                api.unfounded.clear();
                api.endpoint = Named::of(wanted);
                self.kubeconfig = Kubeconfig::Usable {
                    ca: self.ca(wanted),
                };
            }
            Action::Save(node) => drop(self.saved.insert(node.clone())),
            Action::Certify(node) => {
                let names = sans(wanted).into_iter().collect();
                self.guest_mut(node).sans = Some(names);
            }
            Action::Repoint(node) => {
                let servers = self.guest_mut(node).kubeconfigs.values_mut();
                servers.for_each(|named| *named = server(wanted));
            }
            Action::Endpoint => self.api_mut().endpoint = Named::of(wanted),
            Action::Kubeconfig(_) => {
                self.kubeconfig = Kubeconfig::Usable {
                    ca: self.ca(wanted),
                };
                self.api_shows(wanted);
            }
            Action::JoinControlPlane(node) | Action::JoinWorker(node) => self.joined(wanted, node),
            Action::Kubelet(node) => self.guest_mut(node).kubelet = true,
            Action::Register(node) | Action::Mark(node) => {
                self.known(wanted, node, matches!(action, Action::Mark(_)));
            }
            Action::Settle => {
                self.checks = vec![Check {
                    name: "all",
                    missing: None,
                }];
            }
            Action::Manifests => {
                self.api_mut().manifests = Some(fingerprint::of_manifests(&wanted.manifests));
            }
        }
    }

    fn guest_mut(&mut self, node: &NodeName) -> &mut Guest {
        let inside = self
            .nodes
            .entry(node.clone())
            .or_insert_with(|| Inside::Answers(Box::default()));
        if matches!(inside, Inside::Silent(_)) {
            *inside = Inside::Answers(Box::default());
        }
        match inside {
            Inside::Answers(guest) => guest,
            Inside::Silent(_) => unreachable!("replaced above"),
        }
    }

    fn api_mut(&mut self) -> &mut ApiSeen {
        if matches!(self.api, Api::Silent(_)) {
            self.api = Api::Answers(Box::default());
        }
        match &mut self.api {
            Api::Answers(seen) => seen,
            Api::Silent(_) => unreachable!("replaced above"),
        }
    }

    fn leaves(&mut self, node: &NodeName, leaving: Option<Leaving>) {
        let mut nodes = self.api_mut().nodes.iter_mut();
        if let Some(known) = nodes.find(|known| known.name == node.as_str()) {
            known.leaving = leaving;
        }
    }

    fn api_answers(&mut self) {
        self.api_mut().ready = true;
    }

    /// What an API that was silent shows: whoever has joined, and what was applied.
    fn api_shows(&mut self, wanted: &Plan) {
        if self.api.seen().is_some() {
            return;
        }
        let joined = wanted.nodes.iter().filter(|node| {
            node.role != NodeRole::LoadBalancer && self.stage(node) == Some(Stage::Whole)
        });
        let joined: Vec<_> = joined.collect();
        for node in joined {
            self.known(wanted, &node.name, node.role == NodeRole::ControlPlane);
        }
        let api = self.api_mut();
        api.manifests = Some(fingerprint::of_manifests(&wanted.manifests));
        api.endpoint = Named::of(wanted);
        self.api_answers();
    }

    fn ca(&self, wanted: &Plan) -> String {
        let mut nodes = wanted.control_plane();
        let ca = nodes.find_map(|node| self.guest(&node.name)?.ca.clone());
        ca.unwrap_or_else(|| CA.to_owned())
    }

    /// What is on the disk of a node that is off cannot be seen: one that was made before is taken to be what the cluster
    /// counts on, one that was not is blank.
    fn started(&mut self, wanted: &Plan, node: &NodeName) {
        let made = self.domain(node) != DomainState::Undefined;
        self.domains.insert(node.clone(), DomainState::Running);
        self.guest_mut(node);
        if made && matches!(self.kubeconfig, Kubeconfig::Usable { .. }) {
            self.guest_mut(node).configured = wanted.node(node).map(fingerprint::of_node);
            self.expect(wanted, &Action::Load(node.clone()));
            self.made_whole(wanted, node);
        }
    }

    fn made_whole(&mut self, wanted: &Plan, node: &NodeName) {
        let Some(planned) = wanted.node(node) else {
            return;
        };
        let (files, kubeconfig) = match planned.role {
            NodeRole::LoadBalancer => (Vec::new(), None),
            NodeRole::ControlPlane => (CONTROL_PLANE.concat(), Some("admin.conf")),
            NodeRole::Worker => (WORKER.to_vec(), Some("kubelet.conf")),
        };
        let ca = self.ca(wanted);
        let guest = self.guest_mut(node);
        guest.ca.get_or_insert(ca);
        (guest.kubeadm.busy, guest.kubeadm.emptied) = (false, false);
        guest.kubeadm.files = files.into_iter().map(str::to_owned).collect();
        guest.kubeadm.data = planned.role == NodeRole::ControlPlane;
        guest.kubelet = planned.role != NodeRole::LoadBalancer;
        let kubeconfig = kubeconfig.map(|file| (file.to_owned(), server(wanted)));
        guest.kubeconfigs = kubeconfig.into_iter().collect();
        if planned.role == NodeRole::ControlPlane {
            guest.sans = Some(sans(wanted).into_iter().collect());
        }
    }

    fn joined(&mut self, wanted: &Plan, node: &NodeName) {
        self.made_whole(wanted, node);
        if let Some(planned) = wanted.node(node) {
            let control_plane = planned.role == NodeRole::ControlPlane;
            if control_plane {
                self.votes(planned);
            }
            self.known(wanted, node, control_plane);
        }
        self.api_answers();
    }

    fn known(&mut self, wanted: &Plan, node: &NodeName, control_plane: bool) {
        let api = self.api_mut();
        api.nodes.retain(|known| known.name != node.as_str());
        let address = wanted.node(node).map(|planned| planned.address.to_string());
        api.nodes.push(NodeStatus {
            name: node.to_string(),
            ready: true,
            control_plane,
            address,
            ..NodeStatus::default()
        });
    }

    /// The member on a node is there, votes and answers.
    fn votes(&mut self, node: &NodePlan) {
        let peer = etcd::peer_url(node.address);
        let id = u64::from(node.address.to_bits());
        let cluster = self.etcd.cluster;
        let members = self.etcd.members.get_or_insert_default();
        members.retain(|member| member.peer != peer);
        members.push(Member {
            id,
            name: node.name.to_string(),
            peer,
            learner: false,
        });
        let leader = members.first().map_or(0, |member| member.id);
        let status = MemberStatus {
            id,
            cluster,
            leader,
            term: 2,
            revision: 1,
            raft_index: 1,
            learner: false,
            version: String::new(),
            errors: Vec::new(),
            size: 0,
        };
        self.etcd.statuses.insert(node.name.clone(), status);
    }

    fn members_answer(&mut self, wanted: &Plan) {
        let data: Vec<_> = wanted
            .control_plane()
            .filter(|node| {
                self.guest(&node.name)
                    .is_some_and(|guest| guest.kubeadm.data)
            })
            .collect();
        for node in data {
            let listed = self.etcd.members.is_some() && self.etcd.member(node).is_none();
            if !listed {
                self.votes(node);
            }
        }
        self.etcd.quorum = true;
    }
}
