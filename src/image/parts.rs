//! Everything that a node image is made of, as derivations.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::containerd::ContainerdImages;
use super::debian::{DebianRoot, Unpacked};
use super::golang::{GoBinary, GoModules, GoToolchain};
use super::lock::Lock;
use super::node_image::ImageError;
use super::node_root::NodeRoot;
use super::oci::OciImage;
use super::recipe::{self, DebianRecipe, ImageRecipe, KubernetesRecipe};
use crate::spec::KubernetesVersion;
use crate::store::{Derivation, Download, StorePath};

/// Everything that a node image is made of. Pure: known before anything is fetched or built.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The root file system.
    pub node_root: Arc<Derivation>,
    /// The pre-imported `/var/lib/containerd`.
    pub containerd: Arc<Derivation>,
    /// What both are built from and an evidence should name: Debian, binaries, images.
    pub built_from: Vec<Arc<Derivation>>,
}

impl Parts {
    /// Names and paths of everything that counts.
    pub fn names(&self) -> Vec<(String, StorePath)> {
        let all = [&self.node_root, &self.containerd]
            .into_iter()
            .chain(&self.built_from);
        all.map(|part| (part.name().to_owned(), part.path().clone()))
            .collect()
    }

    /// Everything down to the downloads, inputs first.
    pub fn closure(&self) -> Vec<Arc<Derivation>> {
        Derivation::closure(&self.tops())
    }

    /// The derivations that a node needs.
    pub fn tops(&self) -> [Arc<Derivation>; 2] {
        [Arc::clone(&self.node_root), Arc::clone(&self.containerd)]
    }
}

/// Derives what a node image for `version` is made of, from the recipes and the lock file.
///
/// # Errors
/// When there is no recipe for the version, or the lock file does not fit the recipes.
pub fn parts(lock: &Lock, version: KubernetesVersion) -> Result<Parts, ImageError> {
    let debian = recipe::debian()?;
    let kubernetes = recipe::kubernetes(version)?;
    if let Some(problem) = lock.problems(&debian).into_iter().next() {
        return Err(ImageError::Lock { problem });
    }
    let trees = Trees::derive(lock, &debian)?;
    let binaries = binaries(lock, &kubernetes)?;
    let binary = |name: &str| {
        binaries
            .get(name)
            .cloned()
            .ok_or_else(|| ImageError::Unbuilt {
                binary: name.to_owned(),
            })
    };
    let images: Vec<_> = kubernetes
        .images
        .iter()
        .map(|recipe| image(recipe, &binary, &trees.base))
        .collect::<Result<_, _>>()?;
    let containerd = Derivation::build(
        &format!("containerd-images-{version}"),
        ContainerdImages {
            root: Arc::clone(&trees.root),
            canonical: binary("bolt-canonical")?,
            images: images.clone(),
        },
    )?;
    let on_node = kubernetes
        .node
        .iter()
        .map(|name| Ok((name.clone(), binary(name)?)));
    let node_root = NodeRoot {
        debian: Arc::clone(&trees.root),
        binaries: on_node.collect::<Result<_, ImageError>>()?,
        recipe: recipe::node()?,
    };
    let node_root = Derivation::build(&format!("node-root-{version}"), node_root)?;
    let built_from = [trees.root]
        .into_iter()
        .chain(binaries.into_values())
        .chain(images)
        .collect();
    Ok(Parts {
        node_root,
        containerd,
        built_from,
    })
}

/// What is made of Debian packages.
struct Trees {
    root: Arc<Derivation>,
    base: Arc<Derivation>,
}

impl Trees {
    fn derive(lock: &Lock, recipe: &DebianRecipe) -> Result<Self, ImageError> {
        let mut packages = Vec::new();
        for package in &lock.packages {
            let name = package.file.rsplit('/').next().unwrap_or_default();
            let download = Download {
                file: package.file.clone(),
                size: package.size,
                sha256: package.sha256,
            };
            packages.push((package, Derivation::fetch(name, download)?));
        }
        let root = DebianRoot {
            names: lock
                .packages
                .iter()
                .map(|package| package.name.clone())
                .collect(),
            packages: packages
                .iter()
                .map(|(_, derivation)| Arc::clone(derivation))
                .collect(),
            strip: recipe.strip.clone(),
        };
        let base = packages
            .iter()
            .filter(|(package, _)| package.kube_proxy)
            .map(|(_, derivation)| Arc::clone(derivation));
        let base = Unpacked {
            packages: base.collect(),
            strip: recipe.strip.clone(),
        };
        Ok(Self {
            root: Derivation::build(&format!("debian-root-{}", lock.suite), root)?,
            base: Derivation::build(&format!("nft-base-{}", lock.suite), base)?,
        })
    }
}

fn binaries(
    lock: &Lock,
    kubernetes: &KubernetesRecipe,
) -> Result<BTreeMap<String, Arc<Derivation>>, ImageError> {
    let toolchain = Derivation::build(
        &format!("go-{}", lock.go.version),
        GoToolchain(lock.go.clone()),
    )?;
    let mut binaries = BTreeMap::new();
    for (directory, recipe) in &kubernetes.modules {
        let modules = GoModules {
            toolchain: Arc::clone(&toolchain),
            directory: format!("go/{directory}"),
        };
        let modules = Derivation::build(&format!("go-modules-{directory}"), modules)?;
        for (name, package) in &recipe.binaries {
            let binary = GoBinary {
                toolchain: Arc::clone(&toolchain),
                modules: Arc::clone(&modules),
                package: package.clone(),
                variables: recipe.variables.clone(),
            };
            binaries.insert(
                name.clone(),
                Derivation::build(&format!("{name}-{}", recipe.version), binary)?,
            );
        }
    }
    Ok(binaries)
}

fn image(
    recipe: &ImageRecipe,
    binary: &impl Fn(&str) -> Result<Arc<Derivation>, ImageError>,
    base: &Arc<Derivation>,
) -> Result<Arc<Derivation>, ImageError> {
    let files = recipe.binaries.iter().map(|name| {
        let path = if recipe.directory.is_empty() {
            name.clone()
        } else {
            format!("{}/{name}", recipe.directory)
        };
        Ok((path, binary(name)?))
    });
    let files: Vec<(String, Arc<Derivation>)> = files.collect::<Result<_, ImageError>>()?;
    let first = files.first().map(|(path, _)| format!("/{path}"));
    let image = OciImage {
        reference: recipe.reference.clone(),
        entrypoint: recipe
            .entrypoint
            .clone()
            .unwrap_or_else(|| first.into_iter().collect()),
        base: recipe.base.then(|| Arc::clone(base)),
        files,
    };
    // `registry.k8s.io/coredns/coredns:v1.13.1` is the image coredns-v1.13.1.
    let name = recipe
        .reference
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .replace(':', "-");
    Ok(Derivation::build(&format!("image-{name}.tar"), image)?)
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;

    use super::super::{embedded, versions};
    use super::*;

    fn lock() -> Lock {
        Lock::parse(embedded::LOCK, Utf8Path::new("regent.lock")).unwrap()
    }

    #[test]
    fn paths_are_a_function_of_recipes_and_lock() {
        let version = versions()[0];
        let first = parts(&lock(), version).unwrap().names();
        assert_eq!(parts(&lock(), version).unwrap().names(), first);

        let mut other = lock();
        other.packages[0].sha256 = crate::store::Sha256::of(b"another package");
        let second = parts(&other, version).unwrap().names();
        assert_ne!(first[0], second[0], "the root must change with a package");
        let binary = |names: &[(String, StorePath)]| {
            names
                .iter()
                .find(|(name, _)| name.starts_with("kubelet-"))
                .cloned()
        };
        assert_eq!(binary(&first), binary(&second), "a binary must not");
    }

    #[test]
    fn a_lock_file_that_lacks_a_package_is_refused() {
        let mut lock = lock();
        lock.packages.retain(|package| package.name != "haproxy");
        let error = parts(&lock, versions()[0]).unwrap_err();
        assert!(error.to_string().contains("haproxy"), "{error}");
    }
}
