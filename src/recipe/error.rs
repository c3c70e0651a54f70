//! Why the recipe stopped.

use std::io;
use std::time::Duration;

use camino::Utf8PathBuf;

use crate::etcd::EtcdError;
use crate::event::chain;
use crate::kubernetes::KubernetesError;
use crate::lab::LabError;
use crate::name::NodeName;
use crate::node::NodeError;
use crate::plan::Change;
use crate::provider::ProviderError;
use crate::recipe::change::Refusal;
use crate::recipe::connectivity::Link;

/// Why the recipe stopped. What was done until then stays; `up` again goes on from there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecipeError {
    /// Something on a node failed.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// etcd did not answer as hoped.
    #[error(transparent)]
    Etcd(#[from] EtcdError),
    /// What regent will not do by itself.
    #[error("{}", lines(.0))]
    Refused(Vec<Refusal>),
    /// Several things failed, each on its own.
    #[error("{}", lines(&.0.iter().map(|error| chain(error)).collect::<Vec<_>>()))]
    Several(Vec<Self>),
    /// A node that runs does not answer.
    #[error("{node} runs and does not answer{}", .console.as_ref().map(|said| format!("; its console said last:\n{said}")).unwrap_or_default())]
    Silent {
        /// The node.
        node: NodeName,
        /// The end of its console, where it has one.
        console: Option<String>,
        /// What the last try to reach it met.
        source: Box<NodeError>,
    },
    /// A kubelet was started and its Node does not appear.
    #[error("{node}: its kubelet was restarted, and after {}s the API does not know the Node: {last}", .after.as_secs())]
    Unregistered {
        /// The node.
        node: NodeName,
        /// How long regent waited.
        after: Duration,
        /// What the last look saw.
        last: String,
    },
    /// An archive of images cannot be read any more.
    #[error("cannot read {path}")]
    Archive {
        /// Which.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something with a domain or the network failed.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// A node was started and did not come up.
    #[error("{node} does not come up; its console said last:\n{console}")]
    Boot {
        /// The node.
        node: NodeName,
        /// The end of its console.
        console: String,
        /// What the last try to reach it met.
        source: Box<NodeError>,
    },
    /// The lab's record could not be read or written.
    #[error(transparent)]
    Lab(Box<LabError>),
    /// The API did not answer as hoped.
    #[error(transparent)]
    Kubernetes(#[from] KubernetesError),
    /// A kubeadm run failed.
    #[error("{node}: {what} failed\n{log}")]
    Kubeadm {
        /// Where.
        node: NodeName,
        /// `kubeadm init`, `kubeadm join`…
        what: &'static str,
        /// The end of its log; kubeadm prints no secret there unless asked to.
        log: String,
    },
    /// What would have been done to a node might lose data, as things are now.
    #[error("nothing was done to {node}: {why}")]
    Kept {
        /// Which.
        node: NodeName,
        /// What speaks against it.
        why: String,
    },
    /// A member of etcd's has not come back in time.
    #[error("{node}'s etcd member has not caught up after {} s: {last}", after.as_secs())]
    Behind {
        /// Its node.
        node: NodeName,
        /// How long it was waited for.
        after: Duration,
        /// What was last seen of it.
        last: String,
    },
    /// Pods of a node that is to go have no controller.
    #[error("{node} is to go, and pods on it that nothing would make again: {}", .pods.join(", "))]
    WouldLose {
        /// The node.
        node: NodeName,
        /// The pods, `namespace/name`.
        pods: Vec<String>,
    },
    /// Pods of a node that is to go have not left it.
    #[error("{node} is not drained after {}s: {}", .after.as_secs(), .left.join("; "))]
    Drain {
        /// The node.
        node: NodeName,
        /// How long regent waited.
        after: Duration,
        /// The pods that were left, each with what is known of why.
        left: Vec<String>,
    },
    /// Nodes that must reach each other do not.
    #[error("no connection: {}", .0.iter().map(Link::to_string).collect::<Vec<_>>().join(", "))]
    Connectivity(Vec<Link>),
    /// Manifests were not applied, whole or in part.
    #[error("{}", lines(&.refused.iter().map(|(file, said)| format!("manifests: {file}: {said}")).collect::<Vec<_>>()))]
    Manifests {
        /// Where kubectl ran.
        node: NodeName,
        /// The files, and what was said about each.
        refused: Vec<(String, String)>,
    },
    /// The cluster did not become healthy in time.
    #[error("not healthy after {}s: {}", .after.as_secs(), .checks.join("; "))]
    Unhealthy {
        /// How long regent waited.
        after: Duration,
        /// The checks that did not hold, as last seen.
        checks: Vec<String>,
    },
    /// The same step was found undone again and again after it had reported success.
    #[error("still to do after {rounds} rounds: {left}")]
    NotConverging {
        /// How often regent looked.
        rounds: u32,
        /// What was left.
        left: String,
    },
    /// The plan has changed in a way that this version cannot carry out on a running cluster.
    #[error("the running cluster cannot become this: {}", .0.iter().map(Change::to_string).collect::<Vec<_>>().join("; "))]
    Changed(Vec<Change>),
    /// A program on a node answered with something else than it should.
    #[error("{node}: {program} did not answer as expected")]
    Answer {
        /// Where.
        node: NodeName,
        /// Which.
        program: &'static str,
        /// What is wrong with the answer.
        #[source]
        source: serde_json::Error,
    },
    /// A file of the lab could not be read or written.
    #[error("{path}")]
    File {
        /// Which.
        path: camino::Utf8PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A generated document could not be written as text.
    #[error("cannot write a kubeadm document")]
    Render(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system")]
    Randomness(#[source] std::io::Error),
    /// An action names a node that the plan does not have, or needs a member where there is none: the caller's plan
    /// and site do not belong together.
    #[error("the plan and the site do not fit: {0}")]
    Mismatch(String),
}

impl From<LabError> for RecipeError {
    fn from(error: LabError) -> Self {
        Self::Lab(Box::new(error))
    }
}

fn lines<T: ToString>(all: &[T]) -> String {
    let all: Vec<String> = all.iter().map(ToString::to_string).collect();
    all.join("\n")
}

impl RecipeError {
    /// All of them as one; none where there are none.
    pub(super) fn all(mut errors: Vec<Self>) -> Option<Self> {
        match errors.len() {
            0 => None,
            1 => errors.pop(),
            _ => Some(Self::Several(errors)),
        }
    }
}
