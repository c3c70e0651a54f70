//! Why the recipe stopped.

use std::time::Duration;

use crate::hypervisor::HypervisorError;
use crate::kubernetes::KubernetesError;
use crate::name::NodeName;
use crate::node::NodeError;
use crate::recipe::connectivity::Link;
use crate::recipe::shape::Unreachable;

/// Why the recipe stopped. What was done until then stays; `up` again goes on from there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecipeError {
    /// Something on a node failed.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// Something with a domain or the network failed.
    #[error(transparent)]
    Hypervisor(#[from] HypervisorError),
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
    /// Nodes that must reach each other do not.
    #[error("no connection: {}", .0.iter().map(Link::to_string).collect::<Vec<_>>().join(", "))]
    Connectivity(Vec<Link>),
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
    #[error("the running cluster cannot become this: {}", .0.iter().map(Unreachable::to_string).collect::<Vec<_>>().join("; "))]
    Changed(Vec<Unreachable>),
    /// The cluster's CA certificate on a node cannot be read as one.
    #[error("{node}: /etc/kubernetes/pki/ca.crt is not a certificate: {why}")]
    Authority {
        /// Where.
        node: NodeName,
        /// The parser's word.
        why: String,
    },
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
