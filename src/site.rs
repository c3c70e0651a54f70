//! What the recipe and a verification work on: a plan, and the running parts that stand for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use camino::Utf8PathBuf;

use crate::event::Events;
use crate::hypervisor::Hypervisor;
use crate::lab::Lab;
use crate::name::NodeName;
use crate::node::Node;
use crate::plan::Plan;

/// A lab whose nodes can be reached. Cheap to clone, except for the plan.
#[derive(Debug, Clone)]
pub struct Site {
    /// What was planned.
    pub plan: Plan,
    /// Where it runs.
    pub lab: Arc<Lab>,
    /// What runs the nodes.
    pub hypervisor: Hypervisor,
    /// Every node of the plan.
    pub nodes: BTreeMap<NodeName, Node>,
    /// What the nodes are made of, for the evidence: name and store path of every derivation that counts.
    pub parts: Vec<(String, Utf8PathBuf)>,
    /// Where progress goes.
    pub events: Events,
}

impl Site {
    /// Returns the node of that name, if the plan has it.
    pub fn node(&self, name: &NodeName) -> Option<&Node> {
        self.nodes.get(name)
    }

    /// Returns the path of the administrator's kubeconfig, whose server is the control plane endpoint.
    pub fn kubeconfig(&self) -> Utf8PathBuf {
        self.lab.paths().kubeconfig()
    }
}
