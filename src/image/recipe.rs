//! The recipes' format.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::embedded;
use super::node_image::ImageError;
use crate::spec::KubernetesVersion;
use crate::store::Encoding;

/// `images/debian.json`: which Debian packages, and what of them stays.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct DebianRecipe {
    /// The release, such as `trixie`.
    pub suite: String,
    /// The archive's component, such as `main`.
    pub component: String,
    /// Debian's word for the architecture.
    pub architecture: String,
    /// What a node needs, besides the essential packages.
    pub node: Vec<String>,
    /// What the image of kube-proxy needs.
    pub kube_proxy: Vec<String>,
    /// The package that depends on a virtual machine's kernel: `linux-image-FLAVOUR`.
    pub kernel: String,
    /// What else a virtual machine runs before its root file system.
    pub boot: Vec<String>,
    /// The programs that shape a virtual machine's files and disk.
    pub tools: Vec<String>,
    /// What is removed again: paths, of which the last part may end with `*`.
    pub strip: Vec<String>,
}

/// `images/kubernetes-VERSION.json`: what is built for a Kubernetes version, and what for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct KubernetesRecipe {
    /// The version.
    pub version: String,
    /// What is built, by directory below `images/go`.
    pub modules: BTreeMap<String, ModuleRecipe>,
    /// The binaries that a node has in `/usr/bin`.
    pub node: Vec<String>,
    /// The container images that a node has, in the order of their import.
    pub images: Vec<ImageRecipe>,
}

/// A Go module of which binaries are built.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ModuleRecipe {
    /// The version of its binaries.
    pub version: String,
    /// The package of each binary.
    pub binaries: BTreeMap<String, String>,
    /// Go variables that the linker sets (`-X`).
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
}

/// A container image.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ImageRecipe {
    /// Its name in the node's containerd. Nothing is fetched from there.
    pub reference: String,
    /// The binaries in it.
    pub binaries: Vec<String>,
    /// The directory that they are in; empty for the root.
    pub directory: String,
    /// What runs when the pod does not say; the first binary unless given.
    #[serde(default)]
    pub entrypoint: Option<Vec<String>>,
    /// Whether `nft` and its libraries are below the binaries.
    #[serde(default)]
    pub base: bool,
}

/// `images/node.json`: what makes Debian a node, besides the files below `images/node`; `images/machine.json`: what makes
/// such a node a virtual machine, besides the files below `images/machine`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NodeRecipe {
    /// Directories to make, mode 0755.
    pub directories: Vec<String>,
    /// Symbolic links to make: path and target.
    pub links: BTreeMap<String, String>,
    /// systemd units that must not start.
    pub masks: Vec<String>,
    /// Files and directories to remove.
    pub remove: Vec<String>,
}

impl NodeRecipe {
    /// Appends all that it says to the encoding of what is made by it.
    pub(super) fn encode(&self, encoding: &mut Encoding) {
        let Self {
            directories,
            links,
            masks,
            remove,
        } = self;
        encoding.texts(directories).texts(masks).texts(remove);
        encoding.list(links.iter(), |encoding, (path, target)| {
            _ = encoding.text(path).text(target);
        });
    }
}

pub(super) fn debian() -> Result<DebianRecipe, ImageError> {
    parse("debian.json")
}

pub(super) fn node() -> Result<NodeRecipe, ImageError> {
    parse("node.json")
}

pub(super) fn machine() -> Result<NodeRecipe, ImageError> {
    parse("machine.json")
}

pub(super) fn kubernetes(version: KubernetesVersion) -> Result<KubernetesRecipe, ImageError> {
    parse(&format!("kubernetes-{version}.json")).map_err(|error| match error {
        ImageError::NoRecipe { .. } => ImageError::Version { version },
        other => other,
    })
}

fn parse<T: serde::de::DeserializeOwned>(path: &str) -> Result<T, ImageError> {
    let text = embedded::file(path).ok_or_else(|| ImageError::NoRecipe {
        path: path.to_owned(),
    })?;
    serde_json::from_str(text).map_err(|source| ImageError::Recipe {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::super::versions;
    use super::*;

    #[test]
    fn every_recipe_parses_and_is_closed() {
        debian().unwrap();
        node().unwrap();
        machine().unwrap();
        for version in versions() {
            let recipe = kubernetes(version).unwrap();
            assert_eq!(recipe.version, version.to_string());
            let built: Vec<&String> = recipe
                .modules
                .values()
                .flat_map(|module| module.binaries.keys())
                .collect();
            let used = recipe
                .images
                .iter()
                .flat_map(|image| &image.binaries)
                .chain(&recipe.node);
            for binary in used {
                assert!(built.contains(&binary), "{binary} is used, but not built");
            }
        }
    }

    #[test]
    fn an_unknown_version_is_refused() {
        let version = KubernetesVersion {
            major: 1,
            minor: 2,
            patch: 3,
        };
        assert!(matches!(
            kubernetes(version),
            Err(ImageError::Version { .. })
        ));
    }
}
