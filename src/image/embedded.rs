//! The recipes, compiled in: regent works from any directory.

/// A file below `images/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Embedded {
    /// Its path below `images/`.
    pub path: &'static str,
    /// Its content.
    pub content: &'static str,
}

impl Embedded {
    /// Its permission bits on a node: scripts are executable.
    pub(super) fn mode(&self) -> u32 {
        if self.content.starts_with("#!") {
            0o755
        } else {
            0o644
        }
    }
}

macro_rules! embed {
    ($($path:literal),* $(,)?) => {
        &[$(Embedded { path: $path, content: include_str!(concat!("../../images/", $path)) }),*]
    };
}

/// Every file below `images/`, in the order of their paths.
const FILES: &[Embedded] = embed![
    "containerd/import",
    "debian.json",
    "go/age-1.3.2/go.mod",
    "go/age-1.3.2/go.sum",
    "go/bolt-canonical/go.mod",
    "go/bolt-canonical/go.sum",
    "go/bolt-canonical/main.go",
    "go/coredns-1.13.1/go.mod",
    "go/coredns-1.13.1/go.sum",
    "go/etcd-3.6.6/go.mod",
    "go/etcd-3.6.6/go.sum",
    "go/kubernetes-1.35.4/go.mod",
    "go/kubernetes-1.35.4/go.sum",
    "go/pause/go.mod",
    "go/pause/main.go",
    "go/probe/go.mod",
    "go/probe/main.go",
    "initrd/init",
    "kubernetes-1.35.4.json",
    "machine.json",
    "machine/etc/modprobe.d/regent.conf",
    "node.json",
    "node/etc/.updated",
    "node/etc/containerd/config.toml",
    "node/etc/modules-load.d/kubernetes.conf",
    "node/etc/ssh/sshd_config.d/regent.conf",
    "node/etc/sysctl.d/60-kubernetes.conf",
    "node/etc/systemd/system/containerd.service.d/regent.conf",
    "node/etc/systemd/system/kubelet.service",
    "node/etc/systemd/system/ssh.service",
    "node/usr/lib/regent/node-init",
    "node/usr/lib/regent/sysctl/kernel.keys.root_maxbytes",
    "node/usr/lib/regent/sysctl/kernel.keys.root_maxkeys",
    "node/usr/lib/regent/sysctl/kernel.panic",
    "node/usr/lib/regent/sysctl/kernel.panic_on_oops",
    "node/usr/lib/regent/sysctl/vm.overcommit_memory",
    "node/var/.updated",
];

/// `regent.lock` as it was when regent was compiled.
pub(super) const LOCK: &str = include_str!("../../regent.lock");

/// The files in a directory below `images/`; their paths are below that directory.
pub(super) fn directory(name: &str) -> Vec<Embedded> {
    let below = |file: &Embedded| {
        let path = file.path.strip_prefix(name)?.strip_prefix('/')?;
        Some(Embedded {
            path,
            content: file.content,
        })
    };
    FILES.iter().filter_map(below).collect()
}

/// The content of one file below `images/`.
pub(super) fn file(path: &str) -> Option<&'static str> {
    FILES
        .iter()
        .find(|file| file.path == path)
        .map(|file| file.content)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn walk(directory: &Path, into: &mut Vec<String>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, into);
            } else {
                let root = concat!(env!("CARGO_MANIFEST_DIR"), "/images");
                into.push(
                    path.strip_prefix(root)
                        .unwrap()
                        .to_str()
                        .unwrap()
                        .to_owned(),
                );
            }
        }
    }

    #[test]
    fn every_recipe_is_compiled_in() {
        let mut found = Vec::new();
        walk(
            Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/images")),
            &mut found,
        );
        found.sort();
        let embedded: Vec<_> = FILES.iter().map(|file| file.path).collect();
        assert_eq!(embedded, found);
    }
}
