//! A virtual machine's disk.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::sync::Arc;

use super::boot::{BUSYBOX, Boot};
use super::debian::{Unpacked, program};
use super::embedded;
use super::link::link_tree;
use super::lock::{Lock, Purpose};
use super::node_image::ImageError;
use super::node_root::{lay, make_room};
use super::parts::packages;
use super::recipe::{self, DebianRecipe, NodeRecipe};
use crate::spec::KubernetesVersion;
use crate::store::{Build, BuildError, Builder, Derivation, Encoding, at, normalise, remove};

/// What a virtual machine boots, as derivations.
#[derive(Debug, Clone)]
pub struct MachineParts {
    /// The kernel, one file.
    pub kernel: Arc<Derivation>,
    /// The initrd, one file.
    pub initrd: Arc<Derivation>,
    /// The disk, one sparse file.
    pub disk: Arc<Derivation>,
}

impl MachineParts {
    /// Derives it from a lock file and the trees that all nodes have.
    pub(super) fn derive(
        lock: &Lock,
        recipe: &DebianRecipe,
        version: KubernetesVersion,
        root: &Arc<Derivation>,
        containerd: &Arc<Derivation>,
    ) -> Result<Self, ImageError> {
        let boot = Boot::derive(lock, recipe)?;
        let tools = Unpacked {
            packages: packages(lock, Purpose::Tools)?,
            strip: vec!["usr/share".into()],
        };
        let tools = Derivation::build(&format!("machine-tools-{}", lock.suite), tools)?;
        let modules = Modules {
            packages: boot.packages,
            tools: Arc::clone(&tools),
            release: boot.release.clone(),
        };
        let disk = Disk {
            root: Arc::clone(root),
            containerd: Arc::clone(containerd),
            modules: Derivation::build(&format!("modules-{}", boot.release), modules)?,
            tools,
            recipe: recipe::machine()?,
        };
        Ok(Self {
            kernel: boot.kernel,
            initrd: boot.initrd,
            disk: Derivation::build(&format!("machine-disk-{version}"), disk)?,
        })
    }
}

/// The kernel's modules as a running machine wants them, and its configuration, where kubeadm looks for it.
#[derive(Debug)]
struct Modules {
    packages: Arc<Derivation>,
    tools: Arc<Derivation>,
    release: String,
}

/// Decompresses every module below a directory: a machine loads dozens at each boot, and a slow one feels it.
const DECOMPRESS: &str = "find \"$2\" -name '*.ko.xz' -exec \"$1\" unxz {} +";

/// Where modules are, below a root file system.
const MODULES: &str = "usr/lib/modules";

impl Builder for Modules {
    fn encode(&self, encoding: &mut Encoding) {
        encoding.text("modules/1").text(&self.release);
    }

    fn inputs(&self) -> Vec<Arc<Derivation>> {
        vec![Arc::clone(&self.packages), Arc::clone(&self.tools)]
    }

    fn build(&self, build: &Build<'_>) -> Result<(), BuildError> {
        let packages = build.input(&self.packages);
        let (boot, library) = (build.out.join("boot"), build.out.join("usr/lib"));
        for directory in [&boot, &library] {
            fs::create_dir_all(directory).map_err(at(directory))?;
        }
        let config = format!("config-{}", self.release);
        let config = (packages.join("boot").join(&config), boot.join(&config));
        fs::hard_link(&config.0, &config.1).map_err(at(&config.0))?;
        link_tree(packages.join(MODULES), build.out.join(MODULES))?;
        build
            .command("sh")
            .args(["-euc", DECOMPRESS, "sh"])
            .args([packages.join(BUSYBOX).as_str(), library.as_str()])
            .run()?;
        // It looks below /lib, and a root file system has that link.
        let lib = build.out.join("lib");
        symlink("usr/lib", &lib).map_err(at(&lib))?;
        // An empty directory in place of the machine's own rules about which module goes first.
        program(build, &self.tools, "usr/sbin/depmod")
            .args(["-C", build.scratch.as_str()])
            .args(["-b", build.out.as_str(), &self.release])
            .run()?;
        Ok(remove(&lib)?)
    }
}

/// A node's root file system on a disk, with all that a virtual machine needs besides. Every machine has an overlay of
/// its own over it.
#[derive(Debug)]
struct Disk {
    root: Arc<Derivation>,
    containerd: Arc<Derivation>,
    modules: Arc<Derivation>,
    tools: Arc<Derivation>,
    recipe: NodeRecipe,
}

/// The disk's size in bytes: the root file system and the images take 1.6 GB, and what a lab's node writes is less. What
/// is not written takes no room.
const SIZE: u64 = 6 << 30;

/// What mke2fs is told. UUID and the seed of directories' hashes are random elsewhere; these are `regent node disk`. All
/// zeros are there already: neither mke2fs nor a machine's kernel need write them, and mke2fs need not ask this machine's
/// kernel whether it would. No room kept for root: in a node everything is root's.
const LAYOUT: [&str; 10] = [
    "-q",
    "-F",
    "-t",
    "ext4",
    "-m",
    "0",
    "-U",
    "72656765-6e74-206e-6f64-65206469736b",
    "-E",
    "hash_seed=72656765-6e74-206e-6f64-65206469736b,assume_storage_prezeroed=1,lazy_itable_init=0,lazy_journal_init=0,nodiscard",
];

/// The directory below `images/` whose files a virtual machine has besides a node's.
const FILES: &str = "machine";

/// Where the pre-imported images go.
const CONTAINERD: &str = "var/lib/containerd";

impl Builder for Disk {
    fn encode(&self, encoding: &mut Encoding) {
        encoding
            .text("machine-disk/1")
            .number(SIZE)
            .texts(&LAYOUT.map(str::to_owned));
        encoding.list(embedded::directory(FILES).iter(), |encoding, file| {
            encoding.text(file.path).text(file.content);
        });
        self.recipe.encode(encoding);
    }

    fn inputs(&self) -> Vec<Arc<Derivation>> {
        let Self {
            root,
            containerd,
            modules,
            tools,
            recipe: _,
        } = self;
        // The images first: what takes longest begins soonest.
        [containerd, root, modules, tools].map(Arc::clone).into()
    }

    fn build(&self, build: &Build<'_>) -> Result<(), BuildError> {
        let root = build.scratch.join("root");
        link_tree(build.input(&self.root), &root)?;
        let modules = build.input(&self.modules);
        let trees = [
            (build.input(&self.containerd), CONTAINERD),
            (modules.join("boot"), "boot"),
            (modules.join(MODULES), MODULES),
        ];
        for (from, below) in trees {
            link_tree(&from, make_room(&root, below)?)?;
        }
        lay(&root, &self.recipe, &embedded::directory(FILES))?;
        normalise(root.as_std_path()).map_err(at(&root))?;
        File::create(&build.out)
            .and_then(|disk| disk.set_len(SIZE))
            .map_err(at(&build.out))?;
        let configuration = build.input(&self.tools).join("etc/mke2fs.conf");
        program(build, &self.tools, "usr/sbin/mke2fs")
            .args(LAYOUT)
            .args(["-d", root.as_str(), build.out.as_str()])
            .env("MKE2FS_CONFIG", configuration)
            .run()
    }
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;

    use super::super::stub::Stub;
    use super::*;
    use crate::event::Events;
    use crate::store::Store;

    /// In place of the tools' loader, and with it of mke2fs: instead of a disk it makes a list of what would be on it.
    const LOADER: &str = r#"#!/bin/sh
set -eu
for disk; do :; done
while [ "$1" != -d ]; do shift; done
cd "$2"
find . -not -type d -printf '%P %l %TY\n' | sort >"$disk"
"#;

    fn disk() -> Disk {
        let root = Stub(&[
            ("boot/README", ""),
            ("etc/haproxy/haproxy.cfg", "Debian's own"),
            ("etc/hosts", "Debian's own"),
            ("etc/machine-id", ""),
            ("usr/bin/kubelet", "ELF"),
        ]);
        let modules = Stub(&[
            ("boot/config-6.1", "CONFIG_CGROUPS=y"),
            ("usr/lib/modules/6.1/modules.dep", ""),
        ]);
        Disk {
            root: root.derivation("node-root"),
            containerd: Stub(&[("blobs/sha256/0", "blob")]).derivation("containerd"),
            modules: modules.derivation("modules"),
            tools: Stub(&[("usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", LOADER)])
                .derivation("tools"),
            recipe: recipe::machine().unwrap(),
        }
    }

    #[test]
    fn a_disk_has_the_node_its_images_and_the_kernels_modules() {
        if !rustix::process::geteuid().is_root() {
            // A builder's programs run in namespaces of their own.
            eprintln!("SKIPPED: needs root");
            return;
        }
        let disk = Derivation::build("disk", disk()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(Utf8Path::from_path(directory.path()).unwrap()).unwrap();
        let path = store.realise(&disk, &Events::none()).unwrap();
        // All of one time: what the store gives everything.
        let expected = "boot/config-6.1  2025
etc/machine-id  2025
etc/modprobe.d/regent.conf  2025
etc/systemd/system-generators/systemd-ssh-generator /dev/null 2025
etc/systemd/system/modprobe@configfs.service /dev/null 2025
etc/systemd/system/modprobe@drm.service /dev/null 2025
etc/systemd/system/modprobe@fuse.service /dev/null 2025
etc/systemd/system/serial-getty@.service /dev/null 2025
etc/systemd/system/sysinit.target.wants/systemd-network-generator.service /usr/lib/systemd/system/systemd-network-generator.service 2025
usr/bin/kubelet  2025
usr/lib/modules/6.1/modules.dep  2025
usr/lib/systemd/system/multi-user.target.wants/systemd-logind.service /usr/lib/systemd/system/systemd-logind.service 2025
var/lib/containerd/blobs/sha256/0  2025
";
        assert_eq!(fs::read_to_string(path).unwrap(), expected);
    }
}
