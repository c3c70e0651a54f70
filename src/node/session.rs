//! An SSH session to one node: one connection, many channels, reconnected when it died.

use std::net::Ipv4Addr;
use std::time::Duration;

use camino::Utf8PathBuf;

use super::KeyPair;
use crate::name::NodeName;

/// A node that answers on SSH. Cheap to clone; clones share the connection.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its name, for messages.
    name: NodeName,
}

/// What a command left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Exit status; a death by signal is an error of its own.
    pub status: u32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

/// A file to put on a node. Owner and group root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFile {
    /// Absolute path; missing directories are made.
    pub path: Utf8PathBuf,
    /// Permission bits.
    pub mode: u32,
    /// Content.
    pub content: Vec<u8>,
}

/// Why something on a node did not work. Every variant names the node.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// Placeholder until the module is written.
    #[error("{0}: not written yet")]
    Unwritten(NodeName),
}

/// A command being prepared; finish with [`Command::run`] (status must be 0) or [`Command::output`].
#[derive(Debug)]
pub struct Command {
    _node: Node,
}

impl Node {
    /// Describes the node at `address`; connects on first use. `host` is the only host key accepted.
    pub fn new(
        _name: &NodeName,
        _address: Ipv4Addr,
        _client: &KeyPair,
        _host: &KeyPair,
    ) -> Result<Self, NodeError> {
        unimplemented!()
    }

    /// The node's name.
    pub fn name(&self) -> &NodeName {
        &self.name
    }

    /// Waits until the node answers a command, at most `deadline`; the error says what the last try met.
    pub async fn wait_reachable(&self, _deadline: Duration) -> Result<(), NodeError> {
        unimplemented!()
    }

    /// Prepares a shell script, fed to `sh -eu` on standard input (so nothing needs quoting and nothing secret
    /// stands in the process list). Deadline: 60 s unless [`Command::deadline`] says otherwise.
    pub fn script(&self, _script: impl Into<String>) -> Command {
        unimplemented!()
    }

    /// Prepares a program with arguments, each quoted.
    pub fn command<S: AsRef<str>>(&self, _argv: impl IntoIterator<Item = S>) -> Command {
        unimplemented!()
    }

    /// Puts files on the node in one go, each atomically (temporary name, fsync, rename) with its mode from the
    /// start, and compares their SHA-256 there. Files that already have that content and mode are left alone.
    pub async fn push(&self, _files: &[NodeFile]) -> Result<(), NodeError> {
        unimplemented!()
    }

    /// Reads a file.
    pub async fn read(&self, _path: &str) -> Result<Vec<u8>, NodeError> {
        unimplemented!()
    }

    /// Closes the connection, if one is open; the next use opens a new one.
    pub async fn disconnect(&self) {
        unimplemented!()
    }
}

impl Command {
    /// Bounds the command; when the time is over the channel is closed and the error says what came until then.
    pub fn deadline(self, _deadline: Duration) -> Self {
        unimplemented!()
    }

    /// Feeds standard input (for [`Node::command`]; a script's standard input is the script).
    pub fn stdin(self, _input: impl Into<Vec<u8>>) -> Self {
        unimplemented!()
    }

    /// Runs it; a status other than 0 is an error that carries the last lines of both streams.
    pub async fn run(self) -> Result<String, NodeError> {
        unimplemented!()
    }

    /// Runs it and returns whatever the status is.
    pub async fn output(self) -> Result<Output, NodeError> {
        unimplemented!()
    }
}
