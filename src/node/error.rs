//! What can go wrong on a node.

use std::fmt;
use std::net::SocketAddrV4;
use std::time::Duration;

use camino::Utf8PathBuf;

use crate::name::NodeName;

/// Why something on a node did not work. Every variant but [`NodeError::Key`] names the node.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// A key could not be generated or read.
    #[error("the SSH key `{what}` is of no use")]
    Key {
        /// Its public half or its comment.
        what: String,
        /// Why.
        source: russh::keys::ssh_key::Error,
    },
    /// No connection came about.
    #[error("{node}: no SSH connection to {address}")]
    Unreachable {
        /// The node.
        node: NodeName,
        /// Where it should be.
        address: SocketAddrV4,
        /// Why.
        source: russh::Error,
    },
    /// Connecting took longer than allowed.
    #[error("{node}: no SSH connection to {address} within {limit:.1?}")]
    ConnectDeadline {
        /// The node.
        node: NodeName,
        /// Where it should be.
        address: SocketAddrV4,
        /// How long was waited.
        limit: Duration,
    },
    /// Another machine answered, or the node lost its identity.
    #[error("{node}: {address} shows the host key {found}, not the one this lab made")]
    HostKey {
        /// The node.
        node: NodeName,
        /// Where it should be.
        address: SocketAddrV4,
        /// The fingerprint of the key it showed.
        found: String,
    },
    /// The node does not know regent's key.
    #[error("{node}: {address} does not let this lab's key in")]
    Refused {
        /// The node.
        node: NodeName,
        /// Where it is.
        address: SocketAddrV4,
    },
    /// The node did not answer a command in time, however often it was asked.
    #[error("{node}: did not answer within {deadline:?}")]
    NeverReachable {
        /// The node.
        node: NodeName,
        /// How long was waited.
        deadline: Duration,
        /// What the last try met.
        #[source]
        last: Box<Self>,
    },
    /// A command did not end well.
    #[error(transparent)]
    Command(Box<CommandError>),
    /// A file's path is not absolute, or is that of a directory.
    #[error("{node}: `{path}` is not an absolute path of a file")]
    Path {
        /// The node.
        node: NodeName,
        /// What was given.
        path: Utf8PathBuf,
    },
}

/// A command that did not end well, with what it left behind.
#[derive(Debug)]
pub struct CommandError {
    /// The node.
    pub node: NodeName,
    /// The command's first line.
    pub command: String,
    /// How it ended.
    pub failure: CommandFailure,
    /// The last lines of standard output.
    pub stdout: String,
    /// The last lines of standard error.
    pub stderr: String,
}

/// How a command ended, if not well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandFailure {
    /// With a status other than 0.
    Status(u32),
    /// By a signal, named without `SIG`.
    Signal(String),
    /// Not before its deadline.
    Deadline(Duration),
    /// The connection died first: nobody knows how, or whether.
    LinkLost,
    /// The node's SSH server refused to start it.
    NotStarted,
}

impl fmt::Display for CommandFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "ended with status {status}"),
            Self::Signal(name) => write!(f, "was killed by SIG{name}"),
            Self::Deadline(limit) => write!(f, "did not end within {limit:?}"),
            Self::LinkLost => f.write_str("was cut off, the connection died"),
            Self::NotStarted => f.write_str("was not started by the SSH server"),
        }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: `{}` {}", self.node, self.command, self.failure)?;
        for (stream, text) in [("stderr", &self.stderr), ("stdout", &self.stdout)] {
            if !text.is_empty() {
                write!(f, "\n  {stream}:")?;
                for line in text.lines() {
                    write!(f, "\n    {line}")?;
                }
            }
        }
        Ok(())
    }
}

impl std::error::Error for CommandError {}

impl NodeError {
    /// Returns the exit status, if a command ended with one.
    pub fn status(&self) -> Option<u32> {
        match self {
            Self::Command(error) => match error.failure {
                CommandFailure::Status(status) => Some(status),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Returns the last lines of a stream, for a message: at most 20 lines and 4000 bytes, which fill a screen.
pub(super) fn tail(stream: &[u8]) -> String {
    const LINES: usize = 20;
    const BYTES: usize = 4000;
    let last = &stream[stream.len().saturating_sub(BYTES)..];
    let text = String::from_utf8_lossy(last);
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
