//! What the recipe and a verification work on: a plan, and the running parts that stand for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use camino::Utf8PathBuf;
use tokio_util::sync::CancellationToken;

use crate::event::Events;
use crate::lab::Lab;
use crate::name::NodeName;
use crate::node::{Node, NodeError};
use crate::plan::{NodePlan, Plan};
use crate::provider::{self, Provider, ProviderError};

/// A lab whose nodes can be reached. Cheap to clone, except for the plan.
#[derive(Debug, Clone)]
pub struct Site {
    /// What was planned.
    pub plan: Plan,
    /// Where it runs.
    pub lab: Arc<Lab>,
    /// What runs the nodes.
    pub provider: Arc<dyn Provider>,
    /// Every node of the plan, and of the one that the cluster was last brought to.
    pub nodes: BTreeMap<NodeName, Node>,
    /// What the nodes are made of, for the evidence: name and store path of every derivation that counts.
    pub parts: Vec<(String, Utf8PathBuf)>,
    /// Where progress goes.
    pub events: Events,
    /// Cancelled when somebody wants what is being done to end early, and cleanly.
    pub interrupt: CancellationToken,
}

/// Why a site could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SiteError {
    /// The lab's libvirt did not answer.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// A node's key is of no use.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The lab was made for a plan without this node.
    #[error("the lab has no host key for {0}")]
    NoHostKey(NodeName),
}

impl Site {
    /// Connects to the lab's libvirt and describes every node of the plan; no node need be there yet. Runs on the
    /// lab's runtime.
    ///
    /// # Errors
    /// When libvirt does not answer, or the lab's secrets do not fit the plan.
    pub async fn open(
        plan: Plan,
        lab: Arc<Lab>,
        parts: Vec<(String, Utf8PathBuf)>,
        events: Events,
    ) -> Result<Self, SiteError> {
        let provider = provider::connect(&lab, &plan).await?;
        let secrets = lab.secrets();
        let mut nodes = BTreeMap::new();
        let recorded = lab.record().plan.map(|plan| plan.nodes).unwrap_or_default();
        for NodePlan { name, address, .. } in recorded.iter().chain(&plan.nodes) {
            let host = secrets
                .hosts
                .get(name)
                .ok_or_else(|| SiteError::NoHostKey(name.clone()))?;
            let node = Node::new(name, *address, &secrets.client, host)?;
            nodes.insert(name.clone(), node);
        }
        Ok(Self {
            plan,
            lab,
            provider,
            nodes,
            parts,
            events,
            interrupt: CancellationToken::new(),
        })
    }

    /// Returns the node of that name, if one of the plans has it.
    pub fn node(&self, name: &NodeName) -> Option<&Node> {
        self.nodes.get(name)
    }

    /// Returns the path of the administrator's kubeconfig, whose server is the control plane endpoint.
    pub fn kubeconfig(&self) -> Utf8PathBuf {
        self.lab.paths().kubeconfig()
    }
}
