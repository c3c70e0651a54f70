//! What can be done, and what is refused.

use std::fmt;

use crate::name::NodeName;

/// One thing to do. Idempotent: doing it twice ends where doing it once does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// The node's domain runs and the node answers.
    Start(NodeName),
    /// The node has its files.
    Configure(NodeName),
    /// The node has the images of every archive.
    Load(NodeName),
    /// A kubeadm that an earlier run began has ended.
    Await(NodeName),
    /// etcd's members on these nodes answer, or have had their time.
    AwaitEtcd(Vec<NodeName>),
    /// The API answers through the load balancer.
    AwaitApi,
    /// A node whose etcd member is given up is off for certain, and its disk where nothing boots from it.
    SetAside(NodeName),
    /// etcd's data on the node is that of a cluster of one member.
    Revive(NodeName),
    /// etcd's data on the node, and the cluster's keys, are those of a backup.
    Recover(NodeName),
    /// What is missing of kubeadm's on a control-plane node with etcd's data is made anew; the data stays.
    Restore(NodeName),
    /// Every certificate that kubeadm made on a control-plane node is new; kubelet's too, where that has ended.
    Renew(NodeName),
    /// An etcd member is out of the cluster, by its peer URL.
    Forget {
        /// The node that it is on, or was.
        node: NodeName,
        /// Its peer URL.
        peer: String,
    },
    /// What kubeadm left on the node is gone.
    Reset(NodeName),
    /// The API knows no such Node.
    DeleteNode(NodeName),
    /// The node is gone with its disk.
    Remove(NodeName),
    /// Nothing that the cluster needs runs on a node any more that is to go.
    Drain(NodeName),
    /// A node that was to go is used as before.
    Stay(NodeName),
    /// Every node reaches every node that it will talk to, on every port.
    Connectivity,
    /// The cluster's CA exists, before anything trusts it.
    Authority(NodeName),
    /// haproxy runs on the node with the cluster's CA.
    Balance(NodeName),
    /// `kubeadm init` on the first control-plane node; where etcd has data already, what of it is still to do.
    Init(NodeName),
    /// The lab keeps what kubeadm made on the node, and of a control-plane node a snapshot of etcd.
    Save(NodeName),
    /// The API server's certificate has every planned name.
    Certify(NodeName),
    /// The node's kubeconfigs name the planned place of the API servers.
    Repoint(NodeName),
    /// The cluster's own objects name it.
    Endpoint,
    /// The lab has the administrator's kubeconfig, fetched from the node.
    Kubeconfig(NodeName),
    /// `kubeadm join` of a further control-plane node.
    JoinControlPlane(NodeName),
    /// `kubeadm join` of a worker.
    JoinWorker(NodeName),
    /// The node's kubelet runs.
    Kubelet(NodeName),
    /// The API knows the Node of a kubelet that runs.
    Register(NodeName),
    /// The Node has the label and taint of a control-plane node.
    Mark(NodeName),
    /// Every health check holds.
    Settle,
    /// The user's manifests are applied.
    Manifests,
}

impl Action {
    /// Its name, for events and messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Start(_) => "start",
            Self::Configure(_) => "configure",
            Self::Load(_) => "images",
            Self::Await(_) => "await kubeadm",
            Self::AwaitEtcd(_) => "await etcd",
            Self::AwaitApi => "await API",
            Self::SetAside(_) => "set aside",
            Self::Revive(_) => "revive etcd",
            Self::Recover(_) => "recover etcd",
            Self::Restore(_) => "restore",
            Self::Renew(_) => "renew certificates",
            Self::Forget { .. } => "forget member",
            Self::Reset(_) => "reset",
            Self::DeleteNode(_) => "delete node",
            Self::Remove(_) => "remove",
            Self::Drain(_) => "drain",
            Self::Stay(_) => "stay",
            Self::Connectivity => "connectivity",
            Self::Authority(_) => "certificate authority",
            Self::Balance(_) => "load balancer",
            Self::Init(_) => "init",
            Self::Save(_) => "save",
            Self::Certify(_) => "serving certificate",
            Self::Repoint(_) => "repoint",
            Self::Endpoint => "endpoint",
            Self::Kubeconfig(_) => "kubeconfig",
            Self::JoinControlPlane(_) => "join control plane",
            Self::JoinWorker(_) => "join worker",
            Self::Kubelet(_) => "kubelet",
            Self::Register(_) => "register",
            Self::Mark(_) => "mark",
            Self::Settle => "settle",
            Self::Manifests => "manifests",
        }
    }

    /// The node it works on; none for the whole cluster.
    pub fn node(&self) -> Option<&NodeName> {
        match self {
            Self::Start(node)
            | Self::Configure(node)
            | Self::Load(node)
            | Self::Await(node)
            | Self::SetAside(node)
            | Self::Revive(node)
            | Self::Recover(node)
            | Self::Restore(node)
            | Self::Renew(node)
            | Self::Forget { node, .. }
            | Self::Reset(node)
            | Self::DeleteNode(node)
            | Self::Remove(node)
            | Self::Drain(node)
            | Self::Stay(node)
            | Self::Authority(node)
            | Self::Balance(node)
            | Self::Init(node)
            | Self::Save(node)
            | Self::Certify(node)
            | Self::Repoint(node)
            | Self::Kubeconfig(node)
            | Self::JoinControlPlane(node)
            | Self::JoinWorker(node)
            | Self::Kubelet(node)
            | Self::Register(node)
            | Self::Mark(node) => Some(node),
            Self::AwaitEtcd(_)
            | Self::AwaitApi
            | Self::Connectivity
            | Self::Endpoint
            | Self::Settle
            | Self::Manifests => None,
        }
    }

    /// What it destroys, if anything.
    pub fn destroys(&self) -> Option<&'static str> {
        match self {
            Self::Reset(_) => Some("what kubeadm and etcd keep on the node"),
            Self::Forget { .. } => Some("an etcd member's place in the cluster"),
            Self::DeleteNode(_) => Some("the Node, and with it its pods"),
            Self::Remove(_) => Some("the node with its disk"),
            Self::SetAside(_) => Some("the node's place in the cluster; its disk is kept"),
            Self::Revive(_) => Some("what only the lost members have"),
            _ => None,
        }
    }

    /// Whether it waits for what the cluster does by itself. A kubelet that starts again, for one, has its pods unready
    /// until it has asked them.
    pub fn waits(&self) -> bool {
        matches!(self, Self::AwaitEtcd(_) | Self::AwaitApi | Self::Settle)
    }

    /// What it does, in a line of a plan.
    pub fn describe(&self) -> String {
        match self {
            Self::Start(node) => format!("{node}: start"),
            Self::Configure(node) => format!("{node}: write files"),
            Self::Load(node) => format!("{node}: load images"),
            Self::Await(node) => format!("{node}: wait for the kubeadm that runs there"),
            Self::AwaitEtcd(_) => "wait for etcd's members".to_owned(),
            Self::AwaitApi => "wait for the API".to_owned(),
            Self::SetAside(node) => {
                format!("{node}: end it for certain, keep its disk aside")
            }
            Self::Revive(node) => {
                format!("{node}: make its etcd data a cluster of one member, which others can join")
            }
            Self::Recover(node) => {
                format!(
                    "{node}: make etcd's data, a cluster of one member, and the keys of a backup"
                )
            }
            Self::Restore(node) => {
                format!("{node}: make anew what is missing of kubeadm's, keep etcd's data")
            }
            Self::Renew(node) => format!("{node}: kubeadm certs renew, static pods start again"),
            Self::Forget { node, peer } => format!("{node}: take the member {peer} out of etcd"),
            Self::Reset(node) => format!("{node}: kubeadm reset"),
            Self::DeleteNode(node) => format!("{node}: delete the Node"),
            Self::Remove(node) => format!("{node}: remove with its disk"),
            Self::Drain(node) => format!("{node}: cordon, have its pods move to other nodes"),
            Self::Stay(node) => format!("{node}: uncordon"),
            Self::Connectivity => "prove that every node reaches every other".to_owned(),
            Self::Authority(node) => format!("{node}: create the cluster's CA"),
            Self::Balance(node) => format!("{node}: haproxy"),
            Self::Init(node) => format!("{node}: kubeadm init"),
            Self::Save(node) => format!("{node}: keep a copy of what kubeadm made, and of etcd"),
            Self::Certify(node) => {
                format!("{node}: serving certificate with the endpoint's names, without a restart")
            }
            Self::Repoint(node) => format!("{node}: kubeconfigs name the endpoint"),
            Self::Endpoint => {
                "kubeadm's configuration, cluster-info and kube-proxy name the endpoint".to_owned()
            }
            Self::Kubeconfig(node) => format!("{node}: fetch the kubeconfig"),
            Self::JoinControlPlane(node) => {
                format!("{node}: kubeadm join, as control-plane node")
            }
            Self::JoinWorker(node) => format!("{node}: kubeadm join, as worker"),
            Self::Kubelet(node) => format!("{node}: start kubelet"),
            Self::Register(node) => format!("{node}: restart kubelet, which registers the Node"),
            Self::Mark(node) => format!("{node}: label and taint of a control-plane node"),
            Self::Settle => "wait until every node is Ready and CoreDNS is rolled out".to_owned(),
            Self::Manifests => "apply the manifests".to_owned(),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.node() {
            Some(node) => write!(f, "{} {node}", self.name()),
            None => f.write_str(self.name()),
        }
    }
}

/// Something that regent will not do by itself, since it might lose data, or could not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which node it is about; none for the whole cluster.
    pub node: Option<NodeName>,
    /// What was seen.
    pub seen: String,
    /// What to do about it.
    pub mend: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.node {
            Some(node) => write!(f, "{node}: {}; {}", self.seen, self.mend),
            None => write!(f, "{}; {}", self.seen, self.mend),
        }
    }
}
