//! A node's `/var/lib/containerd`, with all images imported and unpacked.

use std::fs;
use std::sync::Arc;

use super::embedded;
use crate::store::{Build, BuildError, Builder, Derivation, Encoding, at, remove};

/// The images of a node, as containerd keeps them: imported once here, so that no node has to.
#[derive(Debug)]
pub(super) struct ContainerdImages {
    /// The tree that has containerd.
    pub root: Arc<Derivation>,
    /// The program that makes equal databases have equal bytes.
    pub canonical: Arc<Derivation>,
    /// The images, in the order of their import.
    pub images: Vec<Arc<Derivation>>,
}

/// containerd's databases, below its directory: the only files that it writes into. Everything else may be
/// shared as hard links; each node must have a real copy of these.
pub const DATABASES: [&str; 2] = [
    "io.containerd.metadata.v1.bolt/meta.db",
    "io.containerd.snapshotter.v1.overlayfs/metadata.db",
];

const IMPORT: &str = "containerd/import";
const CONFIG: &str = "node/etc/containerd/config.toml";

impl Builder for ContainerdImages {
    fn encode(&self, encoding: &mut Encoding) {
        encoding.text("containerd-images/1");
        for path in [IMPORT, CONFIG] {
            encoding.text(embedded::file(path).unwrap_or_default());
        }
    }

    fn inputs(&self) -> Vec<Arc<Derivation>> {
        // Images first: what takes longest begins soonest.
        let images = self.images.iter();
        images
            .chain([&self.canonical, &self.root])
            .cloned()
            .collect()
    }

    fn build(&self, build: &Build<'_>) -> Result<(), BuildError> {
        for (name, path) in [("import", IMPORT), ("config.toml", CONFIG)] {
            let file = build.scratch.join(name);
            fs::write(&file, embedded::file(path).unwrap_or_default()).map_err(at(&file))?;
        }
        fs::create_dir(&build.out).map_err(at(&build.out))?;
        let root = build.input(&self.root);
        let count = self.images.len().to_string();
        let images = self
            .images
            .iter()
            .map(|image| build.input(image).into_string());
        build
            .command("sh")
            .args([
                "import",
                root.as_str(),
                "config.toml",
                build.out.as_str(),
                &count,
            ])
            .args(images)
            .run()?;
        // A random identity, which each containerd makes for itself.
        remove(&build.out.join("io.containerd.grpc.v1.introspection"))?;
        let databases = DATABASES.map(|database| build.out.join(database).into_string());
        build
            .command(build.input(&self.canonical))
            .args(databases)
            .run()
    }
}
