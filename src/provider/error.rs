//! What can go wrong between regent and what runs its nodes.

use std::io;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use super::DomainState;
use crate::file::ReadError;
use crate::lab::RemoteError;
use crate::name::NodeName;
use crate::xml::XmlError;

/// Why something that the provider was asked for did not work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// libvirt cannot be reached.
    #[error("libvirt does not answer at {uri}: {message} (libvirt error {code})")]
    Connect {
        /// Where it should be.
        uri: String,
        /// libvirt's error number.
        code: u32,
        /// libvirt's message.
        message: String,
    },
    /// The lab's own libvirtd has ended.
    #[error("the lab's libvirtd has died; `up` starts it again and the nodes live on")]
    DaemonDead,
    /// The lab's own libvirtd ended during a call.
    #[error(
        "the lab's libvirtd died while {doing} {name} ({message}); `up` starts it again and the nodes live on"
    )]
    DaemonDied {
        /// `starting`, `defining`…
        doing: &'static str,
        /// The domain or network.
        name: String,
        /// libvirt's message.
        message: String,
    },
    /// The connection to another host's libvirt ended during a call.
    #[error("the connection to the libvirt of {host} ended while {doing} {name} ({message})")]
    Lost {
        /// The host.
        host: String,
        /// `starting`, `defining`…
        doing: &'static str,
        /// The domain or network.
        name: String,
        /// libvirt's message.
        message: String,
    },
    /// libvirt did not answer in time; the call was left behind.
    #[error("libvirt did not come back within {} s while {doing}", .waited.as_secs())]
    Silent {
        /// What it was asked for.
        doing: &'static str,
        /// For how long it was waited for.
        waited: Duration,
    },
    /// A network of the lab's name is not the lab's.
    #[error("the network {0} is there already and does not carry this lab's identifier")]
    ForeignNetwork(String),
    /// What is remembered of this machine is damaged.
    #[error(transparent)]
    File(#[from] ReadError),
    /// The host that has the nodes could not be worked on.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The libvirt of another host runs no virtual machines.
    #[error("the libvirt of {host} runs no QEMU: {message}")]
    NoQemu {
        /// The host.
        host: String,
        /// libvirt's message.
        message: String,
    },
    /// QEMU runs as somebody there who cannot read a lab's files.
    #[error("QEMU runs as {owner} on {host}, and a lab's files are root's alone")]
    QemuOwner {
        /// The host.
        host: String,
        /// Numbers of user and group.
        owner: String,
    },
    /// Somebody else's storage pool has the name that regent's needs.
    #[error("{host} has a storage pool `{pool}` that is not regent's; it is left alone")]
    ForeignPool {
        /// The host.
        host: String,
        /// The pool.
        pool: String,
    },
    /// A file could not be sent to another host.
    #[error("sending {file} to {host}: {message}")]
    Upload {
        /// The file here.
        file: Utf8PathBuf,
        /// The host.
        host: String,
        /// libvirt's message, or the system's.
        message: String,
    },
    /// libvirt refused something.
    #[error("{doing} {name}: {message} (libvirt error {code})")]
    Libvirt {
        /// `starting`, `defining`…
        doing: &'static str,
        /// The domain or network.
        name: String,
        /// libvirt's error number.
        code: u32,
        /// libvirt's message.
        message: String,
    },
    /// A domain has the name that a node needs, and is not regent's.
    #[error("{node}: libvirt has a domain `{domain}` that is not regent's; it is left alone")]
    Foreign {
        /// The node that needs the name.
        node: NodeName,
        /// The domain.
        domain: String,
    },
    /// The node's state does not allow it.
    #[error("{node} is {state}, which does not allow to {action} it")]
    State {
        /// The node.
        node: NodeName,
        /// Its domain's state.
        state: DomainState,
        /// `cut`, `stop`…
        action: &'static str,
    },
    /// The driver cannot do it.
    #[error("{action} {node}: {why}")]
    Missing {
        /// The node.
        node: NodeName,
        /// `reset`, `slow down`…
        action: &'static str,
        /// What is missing.
        why: &'static str,
    },
    /// The node did not come to the state in time.
    #[error("{node} should be {wanted} and is still {last} after {waited:.1?}")]
    Deadline {
        /// The node.
        node: NodeName,
        /// What it should have become.
        wanted: DomainState,
        /// What it was last.
        last: DomainState,
        /// How long it was waited for.
        waited: Duration,
    },
    /// A node's process outlived a SIGKILL.
    #[error("{node}: its process ({pid} on its host) is killed and does not end")]
    Unkillable {
        /// The node.
        node: NodeName,
        /// Its number on the host.
        pid: u32,
    },
    /// A file operation failed.
    #[error("{subject}: {doing} {path}")]
    Io {
        /// The node, or the network.
        subject: String,
        /// `making`, `copying`…
        doing: &'static str,
        /// The file or directory.
        path: Utf8PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What the node should boot is for another kind of node.
    #[error("{node}: there is no {wanted} to boot")]
    Media {
        /// The node.
        node: NodeName,
        /// `container root` or `machine image`.
        wanted: &'static str,
    },
    /// The images could not be copied into the node.
    #[error("{node}: copying the container images")]
    Copy {
        /// The node.
        node: NodeName,
        /// Why.
        source: crate::store::FileError,
    },
    /// A program of the host failed.
    #[error("{node}: {program}: {said}")]
    Program {
        /// The node.
        node: NodeName,
        /// What was run.
        program: String,
        /// What it said, or how it ended.
        said: String,
    },
    /// A document could not be written or read.
    #[error("{doing} the document of {name}")]
    Xml {
        /// `writing` or `reading`.
        doing: &'static str,
        /// The domain or network.
        name: String,
        /// Why.
        source: XmlError,
    },
    /// The work was dropped by its runtime.
    #[error("regent is shutting down")]
    Dropped,
}

impl ProviderError {
    /// Returns what turns an error of the system into one that says what was being done, and for whom.
    pub(super) fn io(
        subject: &impl ToString,
        doing: &'static str,
        path: &Utf8Path,
    ) -> impl FnOnce(io::Error) -> Self {
        let (subject, path) = (subject.to_string(), path.to_owned());
        move |source| Self::Io {
            subject,
            doing,
            path,
            source,
        }
    }
}
