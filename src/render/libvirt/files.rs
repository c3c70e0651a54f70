//! Where a virtual machine's own files are, as its libvirt sees them.

use camino::{Utf8Path, Utf8PathBuf};

use super::volume;

/// The node's disk.
pub const DISK: &str = "disk.qcow2";

/// What the node's serial console said.
pub const CONSOLE: &str = "console.log";

/// What a node is told about itself, by the names that systemd (systemd.system-credentials(7)) takes it under: its
/// host name, who may log in, its address and routes, and lines of tmpfiles.d(5) for all other files.
pub const CREDENTIALS: [&str; 4] = [
    "system.hostname",
    "ssh.authorized_keys.root",
    "network.network.10-lab",
    "tmpfiles.extra",
];

/// A virtual machine's own files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineFiles {
    /// Its disk.
    pub disk: Utf8PathBuf,
    /// What it says on its serial console.
    pub console: Utf8PathBuf,
    /// What it is told about itself, in the order of [`CREDENTIALS`].
    pub credentials: [Utf8PathBuf; CREDENTIALS.len()],
}

impl MachineFiles {
    /// In the node's directory: [`DISK`], [`CONSOLE`], and [`CREDENTIALS`] below `credentials`.
    pub fn below(directory: &Utf8Path) -> Self {
        let credentials = directory.join("credentials");
        Self {
            disk: directory.join(DISK),
            console: directory.join(CONSOLE),
            credentials: CREDENTIALS.map(|name| credentials.join(name)),
        }
    }

    /// As volumes of the [pool](volume::pool), each named by its domain and what it is.
    pub fn volumes(domain: &str) -> Self {
        let path = |name| volume::path(&volume::of_domain(domain, name));
        Self {
            disk: path(DISK),
            console: path(CONSOLE),
            credentials: CREDENTIALS.map(path),
        }
    }
}
