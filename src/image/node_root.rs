//! The tree that nodes boot.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Arc;

use camino::Utf8Path;

use super::embedded::{self, Embedded};
use super::link::link_tree;
use super::recipe::NodeRecipe;
use crate::store::{Build, BuildError, Builder, Derivation, Encoding, FileError, at, remove};

/// Debian with the binaries of Kubernetes and regent's own files. A container's root file system, and what a
/// virtual machine's disk is made of.
#[derive(Debug)]
pub(super) struct NodeRoot {
    /// Debian.
    pub debian: Arc<Derivation>,
    /// The binaries in `/usr/bin`: name, and where each comes from.
    pub binaries: Vec<(String, Arc<Derivation>)>,
    /// What else there is.
    pub recipe: NodeRecipe,
}

/// The directory below `images/` whose files a node has.
const FILES: &str = "node";

impl Builder for NodeRoot {
    fn encode(&self, encoding: &mut Encoding) {
        encoding.text("node-root/1");
        encoding.list(self.binaries.iter(), |encoding, (name, _)| {
            _ = encoding.text(name);
        });
        encoding.list(embedded::directory(FILES).iter(), |encoding, file| {
            encoding.text(file.path).text(file.content);
        });
        self.recipe.encode(encoding);
    }

    fn inputs(&self) -> Vec<Arc<Derivation>> {
        // Binaries first: what takes longest begins soonest.
        let binaries = self.binaries.iter().map(|(_, binary)| binary);
        binaries.chain([&self.debian]).cloned().collect()
    }

    fn build(&self, build: &Build<'_>) -> Result<(), BuildError> {
        let root = &build.out;
        link_tree(build.input(&self.debian), root)?;
        lay(root, &self.recipe, &embedded::directory(FILES))?;
        for (name, binary) in &self.binaries {
            let path = make_room(root, &format!("usr/bin/{name}"))?;
            fs::hard_link(build.input(binary), &path).map_err(at(&path))?;
        }
        Ok(())
    }
}

/// Makes of the tree at `root` what a recipe and files say, without writing into files that it shares with other trees.
pub(super) fn lay(
    root: &Utf8Path,
    recipe: &NodeRecipe,
    files: &[Embedded],
) -> Result<(), FileError> {
    for path in &recipe.remove {
        remove(&root.join(path))?;
    }
    for directory in &recipe.directories {
        let path = root.join(directory);
        fs::create_dir_all(&path).map_err(at(&path))?;
    }
    for file in files {
        let path = make_room(root, file.path)?;
        fs::write(&path, file.content).map_err(at(&path))?;
        fs::set_permissions(&path, PermissionsExt::from_mode(file.mode())).map_err(at(&path))?;
    }
    let masks = recipe
        .masks
        .iter()
        .map(|unit| (format!("etc/systemd/system/{unit}"), "/dev/null".to_owned()));
    for (link, target) in recipe.links.clone().into_iter().chain(masks) {
        let path = make_room(root, &link)?;
        symlink(target, &path).map_err(at(&path))?;
    }
    Ok(())
}

/// Makes the directory of a path and removes what is there: files are shared with other trees, and must be
/// replaced, never written into.
pub(super) fn make_room(root: &Utf8Path, path: &str) -> Result<camino::Utf8PathBuf, FileError> {
    let path = root.join(path);
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(at(directory))?;
    }
    remove(&path)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::super::recipe;
    use super::super::stub::Stub;
    use super::*;
    use crate::event::Events;
    use crate::store::Store;

    #[test]
    fn a_node_root_is_debian_with_our_files_and_the_same_bits_each_time() {
        let debian = Stub(&[
            ("etc/containerd/config.toml", "Debian's own"),
            (
                "etc/systemd/system/getty.target.wants/getty@tty1.service",
                "",
            ),
            ("usr/bin/env", "coreutils"),
        ]);
        let debian = debian.derivation("debian");
        let binary = Stub(&[("", "ELF")]).derivation("kubelet");
        let root = NodeRoot {
            debian: Arc::clone(&debian),
            binaries: vec![("kubelet".into(), binary)],
            recipe: recipe::node().unwrap(),
        };
        let root = Derivation::build("node-root", root).unwrap();

        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(Utf8Path::from_path(directory.path()).unwrap()).unwrap();
        let path = store.realise(&root, &Events::none()).unwrap();
        let mode = |below: &str| fs::symlink_metadata(path.join(below)).unwrap().mode() & 0o777;
        assert_eq!(mode("usr/lib/regent/node-init"), 0o755);
        assert_eq!(mode("etc/systemd/system/kubelet.service"), 0o644);
        assert_eq!(
            fs::read_to_string(path.join("usr/bin/kubelet")).unwrap(),
            "ELF"
        );
        assert_eq!(
            fs::read_link(path.join("opt/cni/bin")).unwrap().to_str(),
            Some("/usr/lib/cni")
        );
        assert!(!path.join("etc/systemd/system/getty.target.wants").exists());
        let config =
            |root: &Utf8Path| fs::read_to_string(root.join("etc/containerd/config.toml")).unwrap();
        assert!(config(&path).contains("SystemdCgroup = true"));
        assert_eq!(
            config(&store.output(debian.path())),
            "Debian's own",
            "written through a hard link"
        );

        let checked = store
            .check(&Derivation::closure([&root]), &Events::none())
            .unwrap();
        assert_eq!(checked.len(), 3);
        assert!(
            checked
                .iter()
                .all(|checked| checked.first_difference.is_none()),
            "{checked:?}"
        );
    }
}
