//! The node image: what the rest of regent wants from the store.

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::boot::Boot;
use super::lock::{Lock, LockError, Problem};
use super::parts::parts;
use super::recipe;
use crate::event::Events;
use crate::spec::{Driver, KubernetesVersion};
use crate::store::{Store, StoreError, StorePathError};

/// Everything a node needs from the store, realised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeImage {
    /// The unpacked root file system: Debian, Kubernetes binaries, regent's own node files. Never written into.
    pub root: Utf8PathBuf,
    /// The pre-imported `/var/lib/containerd`: each node gets a [`link_tree`](super::link_tree) of it, with real
    /// copies of the [`DATABASES`](super::DATABASES).
    pub containerd: Utf8PathBuf,
    /// What a virtual machine boots; none where nodes are containers.
    pub machine: Option<MachineImage>,
    /// What it is made of, for the evidence: name and store path of every derivation that counts.
    pub parts: Vec<(String, Utf8PathBuf)>,
}

/// What a virtual machine boots, realised. None of it is ever written into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineImage {
    /// The kernel. Its command line needs no `root=`: the initrd knows.
    pub kernel: Utf8PathBuf,
    /// The initrd: mounts `/dev/vda`, or with `regent.probe` on the command line says that it runs and powers off.
    pub initrd: Utf8PathBuf,
    /// A sparse raw file with ext4 on the whole disk, the root file system with all images: the backing file of each
    /// machine's overlay, seen as `/dev/vda`.
    pub disk: Utf8PathBuf,
}

/// Why an image could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// There is no recipe for this version of Kubernetes.
    #[error("regent cannot build Kubernetes {version}")]
    Version {
        /// The version.
        version: KubernetesVersion,
    },
    /// The lock file does not fit the recipes.
    #[error("regent.lock does not fit: {problem}; write it anew with `regent lock --update`")]
    Lock {
        /// The first thing that does not fit.
        problem: Problem,
    },
    /// The lock file cannot be used.
    #[error(transparent)]
    LockFile(#[from] LockError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A recipe is missing.
    #[error("there is no recipe images/{path}")]
    NoRecipe {
        /// Its path below `images/`.
        path: String,
    },
    /// A recipe is wrong.
    #[error("the recipe images/{path} is wrong")]
    Recipe {
        /// Its path below `images/`.
        path: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A recipe uses a binary that no recipe builds.
    #[error("no recipe builds the binary `{binary}`")]
    Unbuilt {
        /// Its name.
        binary: String,
    },
    /// A recipe or the lock file has a name that cannot stand in a path.
    #[error(transparent)]
    Path(#[from] StorePathError),
}

/// The versions of Kubernetes that regent can build, oldest first.
pub fn versions() -> Vec<KubernetesVersion> {
    vec![KubernetesVersion {
        major: 1,
        minor: 35,
        patch: 4,
    }]
}

/// Realises the node image for `version` and a kind of node in the store at `store`, building what is missing.
///
/// # Errors
/// When the lock file does not fit, or something cannot be fetched or built.
pub fn realise(
    store: &Utf8Path,
    version: KubernetesVersion,
    driver: Driver,
    events: &Events,
) -> Result<NodeImage, ImageError> {
    let (lock, _) = Lock::current()?;
    let parts = parts(&lock, version, driver)?;
    let store = Store::open(store)?;
    // More than nodes need: an evidence names these paths, so whoever reads it must find them.
    store.realise_all(&parts.named(), events)?;
    let machine = parts.machine.as_ref().map(|machine| MachineImage {
        kernel: store.output(machine.kernel.path()),
        initrd: store.output(machine.initrd.path()),
        disk: store.output(machine.disk.path()),
    });
    Ok(NodeImage {
        root: store.output(parts.node_root.path()),
        containerd: store.output(parts.containerd.path()),
        machine,
        parts: parts
            .names()
            .into_iter()
            .map(|(name, path)| (name, store.output(&path)))
            .collect(),
    })
}

/// Realises kernel and initrd alone, in that order, which takes seconds: what a probe of this machine's virtualisation
/// boots.
///
/// # Errors
/// As for [`realise`].
pub fn realise_kernel(
    store: &Utf8Path,
    events: &Events,
) -> Result<(Utf8PathBuf, Utf8PathBuf), ImageError> {
    let (lock, _) = Lock::current()?;
    let boot = Boot::derive(&lock, &recipe::debian()?)?;
    let store = Store::open(store)?;
    let tops = [boot.kernel, boot.initrd];
    store.realise_all(&tops, events)?;
    let [kernel, initrd] = tops.map(|top| store.output(top.path()));
    Ok((kernel, initrd))
}

/// Says what an image for `version` and a kind of node would be made of, in the store at `store`: name and path of every
/// derivation that counts. Builds and touches nothing.
///
/// # Errors
/// When the lock file does not fit.
pub fn names(
    store: &Utf8Path,
    version: KubernetesVersion,
    driver: Driver,
) -> Result<Vec<(String, Utf8PathBuf)>, ImageError> {
    let (lock, _) = Lock::current()?;
    let names = parts(&lock, version, driver)?.names().into_iter();
    Ok(names
        .map(|(name, path)| (name, store.join(path.as_str())))
        .collect())
}

/// Keeps everything that an image is made of from being collected for as long as `directory`, a lab's, exists.
///
/// # Errors
/// When it cannot be written down.
pub fn retain(store: &Utf8Path, image: &NodeImage, directory: &Utf8Path) -> Result<(), ImageError> {
    let names = image.parts.iter().filter_map(|(_, path)| path.file_name());
    let paths = names.map(str::parse).collect::<Result<Vec<_>, _>>()?;
    Ok(Store::open(store)?.retain(directory, &paths)?)
}
