//! The model of the world: everything that [`super::change::next`] and the health checks decide from, as one look saw it.
//! Silence is a value: a node that does not answer hides no other.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::etcd::{self, Member, MemberStatus};
use crate::kubernetes::{Lease, Named, NodeStatus, PodStatus, Rollout};
use crate::name::NodeName;
use crate::plan::{ImageArchive, NodePlan, NodeRole, Plan};
use crate::provider::DomainState;
use crate::recipe::{Action, Check};

/// Everything that one look saw.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct World {
    /// Every domain of the lab, planned or not.
    pub domains: BTreeMap<NodeName, DomainState>,
    /// Every planned node whose domain runs, from inside.
    pub nodes: BTreeMap<NodeName, Inside>,
    /// etcd.
    pub etcd: Etcd,
    /// The cluster's API through the load balancer; why it does not answer.
    pub api: Api,
    /// The administrator's kubeconfig as the lab keeps it.
    pub kubeconfig: Kubeconfig,
    /// The health checks, as far as this look allows.
    pub checks: Vec<Check>,
    /// Nodes of which the lab keeps what kubeadm made on them.
    pub saved: BTreeSet<NodeName>,
    /// What this run of `up` has learnt already.
    pub run: RunSoFar,
}

/// What a run of `up` knows beside what it sees.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunSoFar {
    /// Connectivity was proven for the nodes that are there now.
    pub connected: bool,
    /// etcd's members were given time to come back.
    pub waited: bool,
    /// Nodes on which an action failed: nothing more is done to them.
    pub given_up: BTreeSet<NodeName>,
    /// Nodes whose etcd members the user gives up for good, and with them what no other has.
    pub lost: BTreeSet<NodeName>,
    /// There is a backup for etcd to begin from.
    pub backup: bool,
    /// Nodes whose certificates are new.
    pub renewed: BTreeSet<NodeName>,
}

impl RunSoFar {
    /// What an action that was carried out means for it.
    pub(super) fn after(&mut self, action: &Action) {
        match action {
            Action::Connectivity => self.connected = true,
            Action::AwaitEtcd(_) => self.waited = true,
            Action::Renew(node) => drop(self.renewed.insert(node.clone())),
            // A new one comes in its place.
            Action::SetAside(node) => drop(self.given_up.remove(node)),
            // Members come, or begin anew.
            Action::Start(_)
            | Action::Restore(_)
            | Action::Kubelet(_)
            | Action::Init(_)
            | Action::JoinControlPlane(_) => {
                self.waited = false;
            }
            _ => {}
        }
    }
}

/// A node from inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inside {
    /// It did not answer in time; what the try met.
    Silent(String),
    /// It did.
    Answers(Box<Guest>),
}

/// What a node that answers has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Guest {
    /// The fingerprint of the planned files it was configured with, where every one of them is still so.
    pub configured: Option<String>,
    /// What of kubeadm's is there.
    pub kubeadm: Kubeadm,
    /// The server that each kubeconfig names, by its path, but for those of a control-plane node that are for its own API
    /// server.
    pub kubeconfigs: BTreeMap<String, String>,
    /// Names and addresses in the API server's certificate; none where there is none to read.
    pub sans: Option<BTreeSet<String>>,
    /// Whether kubelet runs, and containerd below it.
    pub kubelet: bool,
    /// SHA-256 of the cluster's CA certificate, where the node has it.
    pub ca: Option<String>,
    /// The containers that its runtime runs, by their identifiers.
    pub containers: BTreeSet<String>,
    /// The archives of images that were loaded, by their SHA-256, and what images there are. Looked for only where the plan
    /// has any.
    pub archives: BTreeSet<String>,
    /// Every image, by its whole name; as above.
    pub images: BTreeSet<String>,
    /// The backups that it keeps. Looked for only where the plan has any.
    pub backups: Backups,
    /// On a load balancer: whether haproxy runs with the configuration and CA that are on its disk.
    pub balancing: bool,
    /// On a load balancer: the servers whose health check has held since haproxy started.
    pub servers: BTreeSet<NodeName>,
    /// When it booted, by its own clock.
    pub booted: Option<Timestamp>,
    /// Its clock.
    pub now: Option<Timestamp>,
    /// What ends before this has ended by its clock and by regent's: one of them may be wrong.
    pub past: Option<Timestamp>,
    /// The control plane's certificates and kubelet's: subject and end.
    pub certificates: Vec<(String, Timestamp)>,
}

/// The backups that a node keeps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Backups {
    /// The name of the newest.
    pub newest: Option<String>,
    /// Whether the last try to make one failed.
    pub failed: bool,
}

/// What of kubeadm's a node has: what kubeadm itself would find.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kubeadm {
    /// Whether kubeadm is at work, begun by this regent or one that died.
    pub busy: bool,
    /// Its files that are not empty, by their paths below `/etc/kubernetes`; kubelet's by their whole paths.
    pub files: BTreeSet<String>,
    /// Whether one of its files is there and empty.
    pub emptied: bool,
    /// Whether there is an etcd log.
    pub data: bool,
}

impl Guest {
    /// The certificates whose time is over.
    pub(super) fn ended(&self) -> impl Iterator<Item = &(String, Timestamp)> {
        let all = self.certificates.iter();
        all.filter(|(_, end)| self.past.is_some_and(|past| *end <= past))
    }

    /// The certificates of kubeadm's that have not ended and will within the month. Kubelets renew their own.
    pub(super) fn ending(&self) -> impl Iterator<Item = &(String, Timestamp)> {
        let soon = self.past.and_then(|past| past.checked_add(MONTH).ok());
        let all = self.certificates.iter();
        all.filter(move |(subject, end)| {
            let own = subject.contains("system:node:");
            !own && self.past.is_some_and(|past| *end > past)
                && soon.is_some_and(|soon| *end <= soon)
        })
    }

    /// Whether an archive was loaded and all of it is still there.
    pub(super) fn loaded(&self, archive: &ImageArchive) -> bool {
        self.archives.contains(&archive.sha256) && archive.names.is_subset(&self.images)
    }
}

/// How long before their end kubeadm's certificates are renewed; they are good for a year.
const MONTH: SignedDuration = SignedDuration::from_hours(30 * 24);

/// How far a node is on its way into the cluster, by what is on its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stage {
    /// kubeadm has not begun.
    #[default]
    Blank,
    /// kubeadm is at work, begun by this regent or one that died.
    Busy,
    /// kubeadm began and did not finish, or something of it is gone.
    Partial,
    /// All that kubeadm leaves is there.
    Whole,
}

/// kubelet's configuration, as kubeadm writes it.
pub(super) const KUBELET: &str = "/var/lib/kubelet/config.yaml";

/// What kubeadm leaves on a worker.
pub(super) const WORKER: [&str; 4] = [
    "kubelet.conf",
    "pki/ca.crt",
    KUBELET,
    // What `kubelet.conf` refers to.
    "/var/lib/kubelet/pki/kubelet-client-current.pem",
];

/// The kubeconfigs of a control-plane node, but for kubelet's.
pub(super) const KUBECONFIGS: [&str; 3] =
    ["admin.conf", "controller-manager.conf", "scheduler.conf"];

/// The static pods of a control-plane node.
pub(super) const STATIC_PODS: [&str; 4] = [
    "manifests/etcd.yaml",
    "manifests/kube-apiserver.yaml",
    "manifests/kube-controller-manager.yaml",
    "manifests/kube-scheduler.yaml",
];

/// What kubeadm can make everything else of.
pub(super) const KEYS: [&str; 7] = [
    "pki/ca.crt",
    "pki/ca.key",
    "pki/etcd/ca.crt",
    "pki/etcd/ca.key",
    "pki/front-proxy-ca.crt",
    "pki/front-proxy-ca.key",
    "pki/sa.key",
];

/// The keys and certificates that it makes of [`KEYS`], each certificate with its key.
pub(super) const DERIVED: [&str; 15] = [
    "pki/sa.pub",
    "pki/apiserver.crt",
    "pki/apiserver.key",
    "pki/apiserver-etcd-client.crt",
    "pki/apiserver-etcd-client.key",
    "pki/apiserver-kubelet-client.crt",
    "pki/apiserver-kubelet-client.key",
    "pki/front-proxy-client.crt",
    "pki/front-proxy-client.key",
    "pki/etcd/healthcheck-client.crt",
    "pki/etcd/healthcheck-client.key",
    "pki/etcd/peer.crt",
    "pki/etcd/peer.key",
    "pki/etcd/server.crt",
    "pki/etcd/server.key",
];

/// What kubeadm leaves on a control-plane node, beside etcd's data.
pub(super) const CONTROL_PLANE: [&[&str]; 5] = [
    &KUBECONFIGS,
    &["kubelet.conf", KUBELET],
    &STATIC_PODS,
    &KEYS,
    &DERIVED,
];

impl Kubeadm {
    /// How far a node of that role is on its way into the cluster.
    pub fn stage(&self, role: NodeRole) -> Stage {
        // A control-plane node has its CA before kubeadm begins.
        let any = || self.files.iter().any(|file| !file.starts_with("pki/"));
        let (whole, begun) = match role {
            NodeRole::LoadBalancer => return Stage::Blank,
            NodeRole::ControlPlane => (self.data && self.has(&CONTROL_PLANE.concat()), any()),
            NodeRole::Worker => (self.has(&WORKER), !self.files.is_empty()),
        };
        let begun = begun || self.data || self.emptied;
        match (self.busy, whole, begun) {
            (true, _, _) => Stage::Busy,
            (false, true, _) => Stage::Whole,
            (false, false, true) => Stage::Partial,
            (false, false, false) => Stage::Blank,
        }
    }

    /// Whether kubeadm can make what is missing of what is there.
    pub fn restorable(&self) -> bool {
        self.data && self.has(&KEYS)
    }

    fn has(&self, files: &[&str]) -> bool {
        files.iter().all(|&file| self.files.contains(file))
    }
}

/// etcd, as its members that answer see it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Etcd {
    /// The members: by a quorum, else as one of them remembers. None where no member answers.
    pub members: Option<Vec<Member>>,
    /// Whether a quorum agreed just now.
    pub quorum: bool,
    /// The cluster's identifier.
    pub cluster: u64,
    /// What the members say, by the nodes they are on.
    pub statuses: BTreeMap<NodeName, MemberStatus>,
}

impl Etcd {
    /// The member on a node, by its peer URL.
    pub fn member(&self, node: &NodePlan) -> Option<&Member> {
        let peer = etcd::peer_url(node.address);
        self.members
            .iter()
            .flatten()
            .find(|member| member.peer == peer)
    }

    /// Whether a node's etcd belongs to another cluster than the others', as one that was begun anew by mistake.
    pub fn stray(&self, node: &NodeName) -> bool {
        let status = self.statuses.get(node);
        status.is_some_and(|status| self.quorum && status.cluster != self.cluster)
    }

    /// Whether a member answers.
    pub fn answers(&self, member: &Member) -> bool {
        let said = |status: &MemberStatus| status.id == member.id && status.cluster == self.cluster;
        self.statuses.values().any(said)
    }

    /// Whether a member leads.
    pub fn leads(&self, member: &Member) -> bool {
        let mut statuses = self.statuses.values();
        statuses.any(|status| status.cluster == self.cluster && status.leader == member.id)
    }

    /// The members that vote.
    pub fn voters(&self) -> impl Iterator<Item = &Member> + Clone {
        let members = self.members.iter().flatten();
        members.filter(|member| !member.learner)
    }

    /// Members on no control-plane node of these plans.
    pub fn unplanned(&self, plans: &[&Plan]) -> Vec<&Member> {
        let nodes = plans.iter().flat_map(|plan| plan.control_plane());
        let planned: BTreeSet<_> = nodes.map(|node| etcd::peer_url(node.address)).collect();
        let members = self.members.iter().flatten();
        members
            .filter(|member| !planned.contains(&member.peer))
            .collect()
    }

    /// How much a node's member has of what was ever written: raft's term and index, by its own word. None has least.
    pub fn progress(&self, node: &NodeName) -> Option<(u64, u64)> {
        let status = self.statuses.get(node)?;
        Some((status.term, status.raft_index))
    }

    /// Whether the cluster goes on while a member answers nobody for a while; why not. Of one or two nobody can be missed, so
    /// there the question has no meaning.
    pub fn can_miss(&self, member: &Member) -> Result<(), String> {
        let (voters, others) = (self.voters().count(), self.voters());
        let (others, needed) = (others.filter(|other| other.id != member.id), voters / 2 + 1);
        let answering = others.filter(|other| self.answers(other)).count();
        match voters > 2 && answering < needed {
            true => Err(format!(
                "of the others {answering} voting members answer, and {needed} must"
            )),
            false => Ok(()),
        }
    }

    /// Whether the cluster lives on without a member, and can say so now; why not.
    pub fn can_lose(&self, member: &Member) -> Result<(), String> {
        if !self.quorum {
            return Err("etcd has no quorum now".to_owned());
        }
        if member.learner {
            return Ok(());
        }
        let others = self.voters().filter(|other| other.id != member.id);
        let count = others.clone().count();
        let answering = others.filter(|other| self.answers(other)).count();
        let needed = count / 2 + 1;
        match count {
            0 => Err("it is etcd's only voting member".to_owned()),
            _ if answering < needed => Err(format!(
                "of the other {count} voting members {answering} answer, and {needed} must"
            )),
            _ => Ok(()),
        }
    }
}

/// The cluster's API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Api {
    /// It does not answer; why.
    Silent(String),
    /// It does.
    Answers(Box<ApiSeen>),
}

impl Default for Api {
    fn default() -> Self {
        Self::Silent("nobody has asked".to_owned())
    }
}

impl Api {
    /// What the API shows, where it answers.
    pub fn seen(&self) -> Option<&ApiSeen> {
        match self {
            Self::Silent(_) => None,
            Self::Answers(seen) => Some(seen),
        }
    }
}

/// What the API shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ApiSeen {
    /// Whether the API server that answered says that it is ready.
    pub ready: bool,
    /// Every Node.
    pub nodes: Vec<NodeStatus>,
    /// What of `kubeadm init`'s work in the API is missing.
    pub unfounded: Vec<String>,
    /// Where the API servers are, as that work names it.
    pub endpoint: Named,
    /// The leases that kubelets renew.
    pub leases: BTreeMap<String, Lease>,
    /// CoreDNS; none where there is no such deployment.
    pub dns: Option<Rollout>,
    /// Its pods.
    pub dns_pods: Vec<PodStatus>,
    /// The pods of kube-proxy, one on every node.
    pub proxy_pods: Vec<PodStatus>,
    /// The fingerprint of the manifests that were applied last.
    pub manifests: Option<String>,
}

impl ApiSeen {
    /// A Node by name.
    pub fn node(&self, name: &NodeName) -> Option<&NodeStatus> {
        self.nodes.iter().find(|node| node.name == name.as_str())
    }
}

/// The administrator's kubeconfig as the lab keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Kubeconfig {
    /// There is none.
    #[default]
    Missing,
    /// It is of no use; why.
    Unusable(String),
    /// It can be used.
    Usable {
        /// SHA-256 of the CA certificate that it trusts.
        ca: String,
    },
}

impl World {
    /// Whether every health check held.
    pub fn healthy(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(Check::ok)
    }

    /// A node's domain.
    pub fn domain(&self, node: &NodeName) -> DomainState {
        let state = self.domains.get(node).copied();
        state.unwrap_or(DomainState::Undefined)
    }

    /// A node from inside, where it runs and answers.
    pub fn guest(&self, node: &NodeName) -> Option<&Guest> {
        match self.nodes.get(node)? {
            Inside::Answers(guest) if self.domain(node) == DomainState::Running => Some(guest),
            _ => None,
        }
    }

    /// How far a node is, where it answers.
    pub fn stage(&self, node: &NodePlan) -> Option<Stage> {
        Some(self.guest(&node.name)?.kubeadm.stage(node.role))
    }

    /// Whether a node's kubelet has renewed its lease since the node booted, and lately: else what the API says of it may
    /// be of before. Both times are by the node's clock.
    pub fn reported(&self, api: &ApiSeen, node: &NodeName) -> bool {
        let (Some(guest), Some(lease)) = (self.guest(node), api.leases.get(node.as_str())) else {
            return false;
        };
        let (Some(booted), Some(now), Some(renewed)) = (guest.booted, guest.now, lease.renewed)
        else {
            return false;
        };
        let age = now.duration_since(renewed).as_secs();
        renewed >= booted && age <= i64::from(lease.seconds)
    }
}
