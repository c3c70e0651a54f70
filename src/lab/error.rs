//! What can go wrong with a lab.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};

use super::RemoteError;
use crate::file::ReadError;
use crate::name::ClusterName;
use crate::node::NodeError;
use crate::provider::ProviderError;

/// Why a lab could not be entered, found or taken down.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// A file operation failed.
    #[error("{doing} {path}")]
    Io {
        /// `reading`, `writing`…
        doing: &'static str,
        /// The file or directory.
        path: Utf8PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of the lab's, or of all labs, is damaged or of a later regent. Nothing was written.
    #[error(transparent)]
    File(#[from] ReadError),
    /// The lab's secrets are there and its record is not, or the other way round.
    #[error("{missing} is missing, while {present} is there")]
    Incomplete {
        /// The file that is missing.
        missing: Utf8PathBuf,
        /// The one that is not.
        present: Utf8PathBuf,
    },
    /// Another process is changing the lab.
    #[error("the lab is held by {holder}; its lock is {path}")]
    Busy {
        /// The lock.
        path: Utf8PathBuf,
        /// Who has it.
        holder: String,
    },
    /// A lab with this name runs from another state directory.
    #[error("a lab named `{cluster}` already runs on this machine, from {root}")]
    NameTaken {
        /// The name.
        cluster: ClusterName,
        /// The other lab's directory.
        root: Utf8PathBuf,
    },
    /// The machine lacks a program or a library.
    #[error("{tool} is not installed; it comes with the package {package}")]
    Missing {
        /// What is missing.
        tool: String,
        /// Debian's name for the package that has it.
        package: &'static str,
    },
    /// The lab's namespaces could not be made.
    #[error("the namespaces of the lab in {root} could not be made: {log}")]
    Holder {
        /// The lab's directory.
        root: Utf8PathBuf,
        /// What was said on standard error.
        log: String,
    },
    /// A daemon did not start.
    #[error("{daemon} did not start in the lab: {said}")]
    Daemon {
        /// `virtlogd` or `libvirtd`.
        daemon: &'static str,
        /// What it said.
        said: String,
    },
    /// Processes of the lab outlived a SIGKILL, which a stuck file system or disk can cause.
    #[error("process {pid} of the lab in {root} is killed and does not end")]
    Unkillable {
        /// The lab's directory.
        root: Utf8PathBuf,
        /// The process.
        pid: u32,
    },
    /// Something was to be recorded by a process that only looks.
    #[error("this process does not hold the lab in {root}, so it may not record anything of it")]
    NotHeld {
        /// The lab's directory.
        root: Utf8PathBuf,
    },
    /// A key could not be made.
    #[error(transparent)]
    Key(#[from] NodeError),
    /// The host that has the nodes could not be worked on.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The lab's domains and network could not be removed from a libvirt that is not the lab's own.
    #[error("cleaning up in {uri}")]
    Libvirt {
        /// The libvirt.
        uri: String,
        /// Why.
        source: Box<ProviderError>,
    },
}

impl LabError {
    /// Returns what turns an error of the system into one that says what was being done, and to which path.
    pub(super) fn io(doing: &'static str, path: &Utf8Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            doing,
            path,
            source,
        }
    }
}
