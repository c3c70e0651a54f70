//! What a virtual machine runs before its root file system: a kernel and an initrd.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};

use super::cpio::Archive;
use super::debian::Unpacked;
use super::embedded;
use super::lock::{Lock, Purpose};
use super::node_image::ImageError;
use super::parts::packages;
use super::recipe::DebianRecipe;
use crate::store::{Build, BuildError, Builder, Derivation, Encoding, at};

/// A virtual machine's boot, as derivations.
#[derive(Debug, Clone)]
pub(super) struct Boot {
    /// The kernel's release, such as `6.12.94+deb13-cloud-amd64`.
    pub release: String,
    /// The packages of the kernel and of busybox, unpacked.
    pub packages: Arc<Derivation>,
    /// The kernel, one file.
    pub kernel: Arc<Derivation>,
    /// The initrd, one file.
    pub initrd: Arc<Derivation>,
}

impl Boot {
    /// Derives it from a lock file.
    ///
    /// # Errors
    /// When the lock file does not fit the recipe.
    pub(super) fn derive(lock: &Lock, recipe: &DebianRecipe) -> Result<Self, ImageError> {
        if let Some(problem) = lock.problems(recipe).into_iter().next() {
            return Err(ImageError::Lock { problem });
        }
        // Without a kernel there was a problem.
        let release = lock.kernel_release(recipe).unwrap_or_default().to_owned();
        let unpacked = Unpacked {
            packages: packages(lock, Purpose::Boot)?,
            strip: vec!["usr/share".into()],
        };
        let unpacked = Derivation::build(&format!("boot-packages-{}", lock.suite), unpacked)?;
        let kernel = Kernel {
            packages: Arc::clone(&unpacked),
            release: release.clone(),
        };
        let initrd = Initrd {
            packages: Arc::clone(&unpacked),
            release: release.clone(),
        };
        Ok(Self {
            kernel: Derivation::build(&format!("kernel-{release}"), kernel)?,
            initrd: Derivation::build(&format!("initrd-{release}"), initrd)?,
            packages: unpacked,
            release,
        })
    }
}

/// The kernel, out of its package.
#[derive(Debug)]
struct Kernel {
    packages: Arc<Derivation>,
    release: String,
}

impl Builder for Kernel {
    fn encode(&self, encoding: &mut Encoding) {
        encoding.text("kernel/1").text(&self.release);
    }

    fn inputs(&self) -> Vec<Arc<Derivation>> {
        vec![Arc::clone(&self.packages)]
    }

    fn build(&self, build: &Build<'_>) -> Result<(), BuildError> {
        let file = format!("boot/vmlinuz-{}", self.release);
        let file = build.input(&self.packages).join(file);
        Ok(fs::hard_link(&file, &build.out).map_err(at(&file))?)
    }
}

/// The first file system of a virtual machine, which mounts the second.
#[derive(Debug)]
struct Initrd {
    packages: Arc<Derivation>,
    release: String,
}

/// Its first process.
const INIT: &str = "initrd/init";

/// What the kernel of a cloud flavour lacks to see its disk, in the order in which it is loaded. PCI and ext4 are built
/// in, and everything else comes from the disk.
const DRIVERS: [&str; 1] = ["drivers/block/virtio_blk.ko"];

/// Where file systems are mounted.
const DIRECTORIES: [&str; 6] = ["bin", "dev", "drivers", "proc", "root", "sys"];

/// Where a machine of Debian's has it.
pub(super) const BUSYBOX: &str = "usr/bin/busybox";

impl Builder for Initrd {
    fn encode(&self, encoding: &mut Encoding) {
        encoding
            .text("initrd/1")
            .text(&self.release)
            .text(embedded::file(INIT).unwrap_or_default())
            .texts(&DIRECTORIES.map(str::to_owned))
            .texts(&DRIVERS.map(str::to_owned));
    }

    fn inputs(&self) -> Vec<Arc<Derivation>> {
        vec![Arc::clone(&self.packages)]
    }

    fn build(&self, build: &Build<'_>) -> Result<(), BuildError> {
        let packages = build.input(&self.packages);
        let kernel = packages.join(format!("usr/lib/modules/{}/kernel", self.release));
        let busybox = packages.join(BUSYBOX);
        let mut drivers = Vec::new();
        for driver in DRIVERS {
            let name = driver.rsplit('/').next().unwrap_or_default();
            let file = build.scratch.join(name);
            build
                .command("sh")
                .args(["-euc", "exec \"$1\" unxz -c \"$2\" >\"$3\"", "sh"])
                .args([
                    busybox.as_str(),
                    kernel.join(format!("{driver}.xz")).as_str(),
                    file.as_str(),
                ])
                .run()?;
            drivers.push((format!("drivers/{name}"), file));
        }
        Ok(archive(&build.out, &busybox, &drivers).map_err(at(&build.out))?)
    }
}

fn archive(
    out: &Utf8Path,
    busybox: &Utf8Path,
    drivers: &[(String, Utf8PathBuf)],
) -> io::Result<()> {
    let mut archive = Archive::new(BufWriter::new(File::create(out)?));
    for directory in DIRECTORIES {
        archive.directory(directory)?;
    }
    let init = embedded::file(INIT).unwrap_or_default();
    archive.file("init", 0o755, init.as_bytes())?;
    archive.file("bin/busybox", 0o755, &fs::read(busybox)?)?;
    for (path, file) in drivers {
        archive.file(path, 0o644, &fs::read(file)?)?;
    }
    archive.finish()
}

#[cfg(test)]
mod tests {
    use super::super::stub::Stub;
    use super::*;
    use crate::event::Events;
    use crate::store::Store;

    #[test]
    fn an_initrd_holds_its_first_process_busybox_and_drivers() {
        if !rustix::process::geteuid().is_root() {
            // A builder's programs run in namespaces of their own.
            eprintln!("SKIPPED: needs root");
            return;
        }
        let packages = Stub(&[
            // As busybox does: `busybox unxz -c FILE`.
            (BUSYBOX, "#!/bin/sh\nsed s/compressed/plain/ \"$3\""),
            (
                "usr/lib/modules/6.1/kernel/drivers/block/virtio_blk.ko.xz",
                "compressed driver",
            ),
        ]);
        let initrd = Initrd {
            packages: packages.derivation("boot-packages"),
            release: "6.1".into(),
        };
        let initrd = Derivation::build("initrd", initrd).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(Utf8Path::from_path(directory.path()).unwrap()).unwrap();
        let bytes = fs::read(store.realise(&initrd, &Events::none()).unwrap()).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let at = |needle: &str| text.find(needle).unwrap_or_else(|| panic!("no {needle:?}"));
        // A directory must stand before what is in it.
        assert!(at("bin\0") < at("bin/busybox\0"));
        assert!(at("drivers\0") < at("drivers/virtio_blk.ko\0"));
        assert!(at("regent.probe") > at("init\0"));
        at("plain driver");
        let checked = store.check(&[initrd], &Events::none()).unwrap();
        assert_eq!(checked[0].first_difference, None);
    }
}
