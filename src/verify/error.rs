//! Why a run came to no verdict.

use camino::Utf8PathBuf;
use regent_load::ProbesError;

use super::etcd::EtcdError;
use super::evidence::EvidenceError;
use super::kubeconfig::KubeconfigError;
use crate::kubernetes::KubernetesError;
use crate::provider::ProviderError;
use crate::recipe::RecipeError;

/// Why a run came to no verdict at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The evidence could not be kept.
    #[error("cannot keep the evidence")]
    Evidence(#[from] EvidenceError),
    /// The kubeconfig could not be read.
    #[error("cannot read {path}")]
    Kubeconfig {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The control plane endpoint cannot be spoken to.
    #[error("cannot speak to the control plane endpoint")]
    Endpoint(#[from] KubeconfigError),
    /// The cluster's API cannot be spoken to.
    #[error(transparent)]
    Kubernetes(#[from] KubernetesError),
    /// No control-plane node is a member of the cluster.
    #[error("no control-plane node to ask")]
    Recipe(#[from] RecipeError),
    /// The domains' changes cannot be watched.
    #[error("cannot watch the nodes' domains")]
    Provider(#[from] ProviderError),
    /// etcd cannot be observed.
    #[error("cannot observe etcd")]
    Etcd(#[from] EtcdError),
    /// The report could not be written.
    #[error("cannot write the report")]
    Page(#[from] minijinja::Error),
    /// The JUnit file could not be written.
    #[error("cannot write junit.xml")]
    Junit(#[from] crate::xml::XmlError),
    /// The load could not be started, or died.
    #[error("cannot put load on the cluster")]
    Probes(#[from] ProbesError),
}
