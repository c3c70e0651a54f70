//! What nodes boot: recipes under `images/` turned into derivations, and those into store paths.

use camino::Utf8PathBuf;

use crate::event::Events;
use crate::spec::KubernetesVersion;

/// Everything a node needs from the store, realised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeImage {
    /// The unpacked root file system: Debian, Kubernetes binaries, regent's own node files.
    pub root: Utf8PathBuf,
    /// The pre-imported `/var/lib/containerd`.
    pub containerd: Utf8PathBuf,
    /// What it is made of, for the evidence: name and store path of every derivation that counts.
    pub parts: Vec<(String, Utf8PathBuf)>,
}

/// Why an image could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// Placeholder until the module is written.
    #[error("not written yet")]
    Unwritten,
}

/// Realises the node image for `version` in the store at `store`, building what is missing.
pub fn realise(
    _store: &camino::Utf8Path,
    _version: KubernetesVersion,
    _events: &Events,
) -> Result<NodeImage, ImageError> {
    unimplemented!()
}
