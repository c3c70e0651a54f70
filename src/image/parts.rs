//! Everything that a node image is made of, as derivations.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::containerd::ContainerdImages;
use super::debian::{DebianRoot, Unpacked};
use super::golang::{GoBinary, GoModules, GoToolchain};
use super::lock::{Lock, LockedPackage, Purpose};
use super::machine::MachineParts;
use super::node_image::ImageError;
use super::node_root::NodeRoot;
use super::oci::OciImage;
use super::recipe::{self, DebianRecipe, ImageRecipe, KubernetesRecipe};
use crate::spec::{Driver, KubernetesVersion};
use crate::store::{Derivation, Download, StorePath};

/// Everything that a node image is made of. Pure: known before anything is fetched or built.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The root file system.
    pub node_root: Arc<Derivation>,
    /// The pre-imported `/var/lib/containerd`.
    pub containerd: Arc<Derivation>,
    /// What a virtual machine boots; none for containers.
    pub machine: Option<MachineParts>,
    /// What they are built from and an evidence should name: Debian, binaries, images.
    pub built_from: Vec<Arc<Derivation>>,
}

impl Parts {
    /// Names and paths of everything that counts.
    pub fn names(&self) -> Vec<(String, StorePath)> {
        let name = |part: Arc<Derivation>| (part.name().to_owned(), part.path().clone());
        self.named().into_iter().map(name).collect()
    }

    /// Everything that counts: what a node needs, and what that is built from.
    pub fn named(&self) -> Vec<Arc<Derivation>> {
        let mut all = self.tops();
        all.extend(self.built_from.iter().cloned());
        all
    }

    /// Everything down to the downloads, inputs first.
    pub fn closure(&self) -> Vec<Arc<Derivation>> {
        Derivation::closure(&self.tops())
    }

    /// The derivations that a node needs.
    pub fn tops(&self) -> Vec<Arc<Derivation>> {
        let mut tops = vec![&self.node_root, &self.containerd];
        if let Some(machine) = &self.machine {
            tops.extend([&machine.kernel, &machine.initrd, &machine.disk]);
        }
        tops.into_iter().cloned().collect()
    }
}

/// Derives what a node image for `version` and a kind of node is made of, from the recipes and the lock file. Every
/// driver's nodes have the same root file system and the same images.
///
/// # Errors
/// When there is no recipe for the version, or the lock file does not fit the recipes.
pub fn parts(lock: &Lock, version: KubernetesVersion, driver: Driver) -> Result<Parts, ImageError> {
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
    let machine = match driver {
        Driver::Qemu => Some(MachineParts::derive(
            lock,
            &debian,
            version,
            &node_root,
            &containerd,
        )?),
        Driver::Lxc => None,
    };
    let built_from = [trees.root]
        .into_iter()
        .chain(binaries.into_values())
        .chain(images)
        .collect();
    Ok(Parts {
        node_root,
        containerd,
        machine,
        built_from,
    })
}

/// The packages for a purpose, as downloads.
pub(super) fn packages(lock: &Lock, purpose: Purpose) -> Result<Vec<Arc<Derivation>>, ImageError> {
    let fetch = |package: &LockedPackage| {
        let name = package.file.rsplit('/').next().unwrap_or_default();
        let download = Download {
            file: package.file.clone(),
            size: package.size,
            sha256: package.sha256,
        };
        Ok(Derivation::fetch(name, download)?)
    };
    lock.of(purpose).map(fetch).collect()
}

/// What is made of Debian packages.
struct Trees {
    root: Arc<Derivation>,
    base: Arc<Derivation>,
}

impl Trees {
    fn derive(lock: &Lock, recipe: &DebianRecipe) -> Result<Self, ImageError> {
        let root = DebianRoot {
            names: lock
                .of(Purpose::Node)
                .map(|package| package.name.clone())
                .collect(),
            packages: packages(lock, Purpose::Node)?,
            strip: recipe.strip.clone(),
        };
        let base = Unpacked {
            packages: packages(lock, Purpose::KubeProxy)?,
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

    fn path(names: &[(String, StorePath)], prefix: &str) -> StorePath {
        let found = names.iter().find(|(name, _)| name.starts_with(prefix));
        found.unwrap().1.clone()
    }

    #[test]
    fn paths_are_a_function_of_recipes_and_lock() {
        let names = |lock: &Lock| parts(lock, versions()[0], Driver::Qemu).unwrap().names();
        let first = names(&lock());
        assert_eq!(names(&lock()), first);

        // What follows from a package for one purpose, and what does not.
        let changing = |purpose: Purpose| {
            let mut other = lock();
            let mut packages = other.packages.iter_mut();
            let package = packages.find(|package| package.purposes == [purpose].into());
            package.unwrap().sha256 = crate::store::Sha256::of(b"another package");
            let second = names(&other);
            let all = ["node-root-", "kubelet-", "kernel-", "machine-disk-"];
            all.map(|name| path(&first, name) != path(&second, name))
        };
        assert_eq!(changing(Purpose::Node), [true, false, false, true]);
        assert_eq!(changing(Purpose::Boot), [false, false, true, true]);
        assert_eq!(changing(Purpose::Tools), [false, false, false, true]);
    }

    #[test]
    fn containers_need_nothing_of_what_machines_boot() {
        let names = |driver| parts(&lock(), versions()[0], driver).unwrap().names();
        let (containers, machines) = (names(Driver::Lxc), names(Driver::Qemu));
        assert_eq!(machines.len(), containers.len() + 3);
        assert!(containers.iter().all(|part| machines.contains(part)));
        let closure = parts(&lock(), versions()[0], Driver::Lxc)
            .unwrap()
            .closure();
        let of_machines = |derivation: &&Arc<Derivation>| {
            ["linux-image", "busybox", "e2fsprogs", "machine-"]
                .iter()
                .any(|name| derivation.name().starts_with(name))
        };
        assert_eq!(closure.iter().find(of_machines).map(|d| d.name()), None);
    }

    #[test]
    fn a_lock_file_that_lacks_a_package_is_refused() {
        for package in ["haproxy", "busybox-static", "e2fsprogs"] {
            let mut lock = lock();
            lock.packages.retain(|locked| locked.name != package);
            let error = parts(&lock, versions()[0], Driver::Lxc).unwrap_err();
            assert!(error.to_string().contains(package), "{error}");
        }
    }
}
