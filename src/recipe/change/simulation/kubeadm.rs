//! What kubeadm does to the model, stage by stage.

use super::model::{Data, Model, failed};
use crate::etcd::{self, Member};
use crate::kubernetes::Named;
use crate::name::NodeName;
use crate::plan::NodeRole;
use crate::recipe::world::{DERIVED, KEYS, KUBECONFIGS, KUBELET, STATIC_PODS};
use crate::recipe::{Action, RecipeError};
use crate::render::kubeadm::sans;

/// One stage of an action, after which something may die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Files(&'static [&'static str]),
    Authority,
    Found,
    Listed,
    Data,
    Promote,
    Kubelet,
    Known,
    Marked,
    Addons,
    Kubeconfig,
}

impl Model {
    pub(super) fn stages(&self, action: &Action) -> Vec<Stage> {
        match action {
            Action::Authority(_) => vec![Stage::Authority],
            Action::Init(_) => vec![
                Stage::Files(&KEYS),
                Stage::Files(&DERIVED),
                Stage::Files(&KUBECONFIGS),
                Stage::Files(&["kubelet.conf", KUBELET]),
                Stage::Files(&STATIC_PODS),
                Stage::Found,
                Stage::Kubelet,
                Stage::Known,
                Stage::Marked,
                Stage::Addons,
                Stage::Kubeconfig,
            ],
            Action::JoinControlPlane(_) => vec![
                Stage::Authority,
                Stage::Files(&KEYS),
                Stage::Files(&DERIVED),
                Stage::Files(&KUBECONFIGS),
                Stage::Files(&["bootstrap-kubelet.conf"]),
                Stage::Files(&STATIC_PODS),
                Stage::Listed,
                Stage::Data,
                Stage::Promote,
                Stage::Files(&["kubelet.conf", KUBELET]),
                Stage::Kubelet,
                Stage::Known,
                Stage::Marked,
            ],
            Action::JoinWorker(_) => vec![
                Stage::Authority,
                Stage::Files(&["bootstrap-kubelet.conf", "pki/ca.crt", KUBELET]),
                Stage::Files(&[
                    "kubelet.conf",
                    "/var/lib/kubelet/pki/kubelet-client-current.pem",
                ]),
                Stage::Kubelet,
                Stage::Known,
            ],
            Action::Restore(_) => vec![
                Stage::Files(&DERIVED),
                Stage::Files(&KUBECONFIGS),
                Stage::Files(&STATIC_PODS),
                Stage::Files(&["kubelet.conf", KUBELET]),
                Stage::Kubelet,
            ],
            _ => Vec::new(),
        }
    }

    /// What kubeadm does, stage by stage.
    pub(super) fn stage(&self, node: &NodeName, stage: Stage) -> Result<(), RecipeError> {
        let planned = self.planned(node);
        let peer = etcd::peer_url(planned.address);
        let mut guard = self.state.borrow_mut();
        let state = &mut *guard;
        let quorum = self.quorum(state);
        let needs = |holds: bool, what: &str| {
            if holds {
                Ok(())
            } else {
                Err(failed(node, what))
            }
        };
        let drawn = state.drawn + 1;
        let ca = self.authority(state);
        let machine = state.machines.get_mut(node).unwrap();
        match stage {
            Stage::Files(files) => {
                if files.contains(&"pki/apiserver.crt")
                    && !machine.files.contains("pki/apiserver.crt")
                {
                    machine.sans = sans(&self.plan).into_iter().collect();
                }
                let worker = planned.role == NodeRole::Worker;
                if files.contains(if worker {
                    &"kubelet.conf"
                } else {
                    &"admin.conf"
                }) {
                    machine.server = Some(self.plan.network.endpoint);
                }
                machine
                    .files
                    .extend(files.iter().map(|&file| file.to_owned()));
                if files.contains(&"kubelet.conf") {
                    machine.emptied = false;
                    machine.files.remove("bootstrap-kubelet.conf");
                }
            }
            Stage::Authority => {
                state.drawn = drawn;
                machine.ca = Some(ca.unwrap_or(drawn));
                if planned.role == NodeRole::ControlPlane {
                    machine.files.insert("pki/ca.key".to_owned());
                    machine.files.insert("pki/ca.crt".to_owned());
                }
            }
            Stage::Found if machine.data.is_none() => {
                state.drawn = drawn;
                state.cluster = drawn;
                machine.data = Some(Data {
                    cluster: drawn,
                    member: drawn,
                });
                state.members = vec![member(drawn, node, &peer, false)];
            }
            Stage::Found => {}
            Stage::Listed => {
                needs(quorum, "no quorum")?;
                let stable = state.named.configuration.is_some();
                needs(stable, "no stable controlPlaneEndpoint address")?;
                // kubeadm takes a member that is there already for its own.
                if state.members.iter().all(|member| member.peer != peer) {
                    state.drawn = drawn;
                    state.members.push(member(drawn, node, &peer, true));
                }
            }
            Stage::Data => {
                let own = state.members.iter().find(|member| member.peer == peer);
                let own = own.ok_or_else(|| failed(node, "no member"))?;
                machine.data = Some(Data {
                    cluster: state.cluster,
                    member: own.id,
                });
            }
            Stage::Promote => {
                needs(quorum, "no quorum")?;
                let mut own = state.members.iter_mut();
                if let Some(own) = own.find(|member| member.peer == peer) {
                    own.learner = false;
                }
            }
            Stage::Kubelet => machine.kubelet = true,
            Stage::Known => {
                needs(self.api_lives(state), "the API does not answer")?;
                state.nodes.entry(node.to_string()).or_default();
            }
            Stage::Marked => {
                needs(self.api_lives(state), "the API does not answer")?;
                state.nodes.insert(node.to_string(), true);
            }
            Stage::Addons => (state.addons, state.named) = (true, Named::of(&self.plan)),
            Stage::Kubeconfig => {
                (state.kubeconfig, state.lab_server) = (Some(ca), machine.server);
            }
        }
        Ok(())
    }
}

pub(super) fn member(id: u64, node: &NodeName, peer: &str, learner: bool) -> Member {
    Member {
        id,
        name: node.to_string(),
        peer: peer.to_owned(),
        learner,
    }
}
