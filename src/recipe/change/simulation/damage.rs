//! What happens to a cluster from outside.

use proptest::prelude::*;
use proptest::sample::Index;

use super::model::{Machine, Model, restorable};
use crate::etcd;
use crate::name::NodeName;
use crate::plan::NodeRole;
use crate::recipe::world::KUBELET;

/// Something that is done to a cluster by hand, or by bad luck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    /// A node loses power.
    Cut,
    /// Every node does.
    CutAll,
    /// A node runs and never answers again.
    Mute,
    /// `kubeadm reset` by hand.
    Reset,
    /// `kubeadm reset`, and the Node deleted.
    ResetAndDelete,
    /// `kubectl delete node`.
    DeleteNode,
    /// `etcdctl member remove`.
    RemoveMember,
    /// A node is off, and its directory removed.
    LoseDisk,
    /// The lab's kubeconfig is gone.
    LoseKubeconfig,
    /// The lab's kubeconfig is damaged.
    SpoilKubeconfig,
    /// A node's static pods are removed.
    RemoveManifests,
    /// `admin.conf` is removed.
    RemoveAdminConf,
    /// A certificate that kubeadm made is removed.
    RemoveCertificate,
    /// `kubelet.conf` is emptied.
    EmptyKubeletConf,
    /// kubelet's configuration is removed.
    RemoveKubeletConfig,
    /// The time of a node's certificates ends.
    EndCertificates,
    /// It will end within the month.
    NearEnd,
    /// kubelet is stopped.
    StopKubelet,
    /// The load balancer boots.
    RebootBalancer,
}

impl Arbitrary for Damage {
    type Parameters = ();
    type Strategy = BoxedStrategy<Self>;

    fn arbitrary_with((): ()) -> Self::Strategy {
        prop_oneof![
            Just(Self::Cut),
            Just(Self::CutAll),
            Just(Self::Mute),
            Just(Self::Reset),
            Just(Self::ResetAndDelete),
            Just(Self::DeleteNode),
            Just(Self::RemoveMember),
            Just(Self::LoseDisk),
            Just(Self::LoseKubeconfig),
            Just(Self::SpoilKubeconfig),
            Just(Self::RemoveManifests),
            Just(Self::RemoveAdminConf),
            Just(Self::RemoveCertificate),
            Just(Self::EmptyKubeletConf),
            Just(Self::RemoveKubeletConfig),
            Just(Self::EndCertificates),
            Just(Self::NearEnd),
            Just(Self::StopKubelet),
            Just(Self::RebootBalancer),
        ]
        .boxed()
    }
}

impl Model {
    /// Does it to a node.
    pub(super) fn damage(&self, damage: Damage, which: Index) {
        let node = which.get(&self.plan.nodes).clone();
        self.note(&format!("{damage:?} {}", node.name));
        let mut guard = self.state.borrow_mut();
        let state = &mut *guard;
        let quorum = self.quorum(state);
        let machine = state.machines.get_mut(&node.name).unwrap();
        let kubernetes = node.role != NodeRole::LoadBalancer;
        match damage {
            Damage::Cut => cut(machine),
            Damage::CutAll => state.machines.values_mut().for_each(cut),
            Damage::Mute => machine.mute = true,
            Damage::Reset | Damage::ResetAndDelete if kubernetes => {
                reset(machine);
                if damage == Damage::ResetAndDelete {
                    state.nodes.remove(node.name.as_str());
                }
            }
            Damage::DeleteNode => {
                state.nodes.remove(node.name.as_str());
            }
            // etcd itself refuses what would cost its quorum.
            Damage::RemoveMember if quorum && state.members.len() > 2 => {
                let peer = etcd::peer_url(node.address);
                state.members.retain(|member| member.peer != peer);
            }
            Damage::LoseDisk => *machine = Machine::blank(),
            Damage::LoseKubeconfig => state.kubeconfig = None,
            Damage::SpoilKubeconfig => state.kubeconfig = Some(None),
            Damage::RemoveManifests => machine.files.retain(|file| !file.starts_with("manifests/")),
            Damage::RemoveAdminConf => {
                machine.files.remove("admin.conf");
            }
            Damage::RemoveCertificate => {
                machine.files.remove("pki/etcd/peer.crt");
            }
            Damage::EmptyKubeletConf => {
                machine.emptied |= machine.files.remove("kubelet.conf");
            }
            Damage::RemoveKubeletConfig => {
                machine.files.remove(KUBELET);
            }
            Damage::EndCertificates if kubernetes => machine.ended = true,
            Damage::NearEnd if kubernetes => machine.ending = true,
            Damage::StopKubelet => machine.kubelet = false,
            Damage::RebootBalancer if !kubernetes => machine.balancing = false,
            _ => {}
        }
    }

    /// A node is off, and its disk gone for good.
    pub(super) fn lose_disk(&self, node: &NodeName) {
        let mut state = self.state.borrow_mut();
        *state.machines.get_mut(node).unwrap() = Machine::blank();
    }

    /// A node never answers again.
    pub(super) fn mute(&self, node: &NodeName) {
        self.state.borrow_mut().machines.get_mut(node).unwrap().mute = true;
    }

    /// Why `up` cannot bring this cluster back, if it cannot.
    pub(super) fn hopeless(&self) -> Option<String> {
        let state = self.state.borrow();
        if let Some((name, _)) = state.machines.iter().find(|(_, machine)| machine.mute) {
            return Some(format!("{name} does not answer"));
        }
        let voters = state.members.iter().filter(|member| !member.learner);
        let kept = voters.clone().filter(|member| {
            let holds = |machine: &&Machine| {
                machine.data.is_some_and(|data| data.member == member.id) && restorable(machine)
            };
            state.machines.values().any(|machine| holds(&machine))
        });
        let (kept, voters) = (kept.count(), voters.count());
        (kept <= voters / 2).then(|| format!("{kept} of {voters} voters have their data"))
    }
}

fn cut(machine: &mut Machine) {
    (machine.runs, machine.balancing) = (false, false);
}

fn reset(machine: &mut Machine) {
    machine.files.clear();
    (machine.emptied, machine.ended, machine.ending) = (false, false, false);
    (machine.data, machine.ca, machine.kubelet) = (None, None, false);
}
