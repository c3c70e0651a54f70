//! The steps from running nodes to a cluster.

use std::fmt;

use super::{NodeRole, Plan};
use crate::name::NodeName;

/// One step of the recipe, as `regent plan` lists it. The recipe finds out what of it is done by looking.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The node's domain runs and the node answers.
    Start(NodeName),
    /// The node has its files.
    Configure(NodeName),
    /// Every node reaches every node that it will talk to, on every port.
    Connectivity,
    /// The cluster's CA exists, before anything trusts it.
    Authority(NodeName),
    /// haproxy runs on the node with the cluster's CA.
    Balance(NodeName),
    /// `kubeadm init` on the first control-plane node.
    Init(NodeName),
    /// `kubeadm join` of a further control-plane node.
    JoinControlPlane(NodeName),
    /// `kubeadm join` of a worker.
    JoinWorker(NodeName),
    /// Every node is Ready, CoreDNS is rolled out.
    Settle,
    /// The user's manifests are applied.
    Manifests,
}

impl Step {
    /// The step's name, for events and messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Start(_) => "start",
            Self::Configure(_) => "configure",
            Self::Connectivity => "connectivity",
            Self::Authority(_) => "certificate authority",
            Self::Balance(_) => "load balancer",
            Self::Init(_) => "init",
            Self::JoinControlPlane(_) => "join control plane",
            Self::JoinWorker(_) => "join worker",
            Self::Settle => "settle",
            Self::Manifests => "manifests",
        }
    }

    /// The node it works on; none for the whole cluster.
    pub fn node(&self) -> Option<&NodeName> {
        match self {
            Self::Start(node)
            | Self::Configure(node)
            | Self::Authority(node)
            | Self::Balance(node)
            | Self::Init(node)
            | Self::JoinControlPlane(node)
            | Self::JoinWorker(node) => Some(node),
            Self::Connectivity | Self::Settle | Self::Manifests => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(node) => write!(f, "{node}: start"),
            Self::Configure(node) => write!(f, "{node}: write files"),
            Self::Connectivity => f.write_str("prove that every node reaches every other"),
            Self::Authority(node) => write!(f, "{node}: create the cluster's CA"),
            Self::Balance(node) => write!(f, "{node}: haproxy"),
            Self::Init(node) => write!(f, "{node}: kubeadm init"),
            Self::JoinControlPlane(node) => {
                write!(f, "{node}: kubeadm join, as control-plane node")
            }
            Self::JoinWorker(node) => write!(f, "{node}: kubeadm join, as worker"),
            Self::Settle => f.write_str("wait until every node is Ready and CoreDNS is rolled out"),
            Self::Manifests => f.write_str("apply the manifests"),
        }
    }
}

impl Plan {
    /// Returns every step in an order in which they can be done one by one. The recipe overlaps those that do not
    /// need each other.
    pub fn steps(&self) -> Vec<Step> {
        let names = |role| self.nodes_with(role).map(|node| node.name.clone());
        let all = || self.nodes.iter().map(|node| node.name.clone());
        let mut control_plane = names(NodeRole::ControlPlane);
        let first = control_plane.next();
        let mut steps: Vec<Step> = all().map(Step::Start).collect();
        steps.extend(all().map(Step::Configure));
        steps.push(Step::Connectivity);
        steps.extend(first.clone().map(Step::Authority));
        steps.extend(names(NodeRole::LoadBalancer).map(Step::Balance));
        steps.extend(first.map(Step::Init));
        steps.extend(control_plane.map(Step::JoinControlPlane));
        steps.extend(names(NodeRole::Worker).map(Step::JoinWorker));
        steps.push(Step::Settle);
        if !self.manifests.is_empty() {
            steps.push(Step::Manifests);
        }
        steps
    }
}
