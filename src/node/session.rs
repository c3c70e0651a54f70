//! An SSH session to one node: one connection, many channels, reconnected when it died.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};

use russh::Channel;
use russh::client::Msg;
use russh::keys::{PrivateKey, PublicKey};
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};
use tokio::time::{sleep, timeout};

use super::link::{Link, LinkError, connect};
use super::{Command, KeyPair, NodeError};
use crate::name::NodeName;

/// For TCP's handshake: one repeated SYN (after 1 s) and its answer fit, on any network that nodes share.
const CONNECT: Duration = Duration::from_secs(3);

/// The same while a node boots. A try that began before the node had its address would otherwise wait for the
/// next repeated SYN.
const CONNECT_BOOTING: Duration = Duration::from_millis(500);

/// A server that lives opens a channel at once; one that does not within this time is behind a dead link.
const OPEN: Duration = Duration::from_secs(5);

/// sshd allows 10 sessions on a connection (`MaxSessions`); some room for one that is being closed.
const CHANNELS: usize = 8;

/// A node that answers on SSH. Cheap to clone; clones share the connection.
#[derive(Clone)]
pub struct Node(Arc<Shared>);

struct Shared {
    name: NodeName,
    address: SocketAddrV4,
    client: Arc<PrivateKey>,
    host: PublicKey,
    link: Mutex<Option<Arc<Link>>>,
    channels: Semaphore,
}

impl Node {
    /// Describes the node at `address`; connects on first use. `host` is the only host key accepted.
    pub fn new(
        name: &NodeName,
        address: Ipv4Addr,
        client: &KeyPair,
        host: &KeyPair,
    ) -> Result<Self, NodeError> {
        Self::at(name, SocketAddrV4::new(address, 22), client, host)
    }

    /// [`Node::new`] with a port.
    pub(crate) fn at(
        name: &NodeName,
        address: SocketAddrV4,
        client: &KeyPair,
        host: &KeyPair,
    ) -> Result<Self, NodeError> {
        Ok(Self(Arc::new(Shared {
            name: name.clone(),
            address,
            client: Arc::new(client.private_key()?),
            host: host.public_key()?,
            link: Mutex::new(None),
            channels: Semaphore::new(CHANNELS),
        })))
    }

    /// The node's name.
    pub fn name(&self) -> &NodeName {
        &self.0.name
    }

    /// Waits until the node answers a command, at most `deadline`; the error says what the last try met.
    pub async fn wait_reachable(&self, deadline: Duration) -> Result<(), NodeError> {
        let end = Instant::now() + deadline;
        let mut last = None;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let attempt = async {
                self.link(CONNECT_BOOTING).await?;
                self.command(["true"]).deadline(left).run().await
            };
            match timeout(left, attempt).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => last = Some(error),
                // What was met before says more than that this try was cut short.
                Err(_) => last = last.or(Some(self.unlinked(LinkError::Deadline(left)))),
            }
            // A stranger at the node's address does not become the node by waiting.
            let hopeless = matches!(last, Some(NodeError::HostKey { .. }));
            let left = end.saturating_duration_since(Instant::now());
            if let Some(last) = last.take_if(|_| hopeless || left.is_zero()) {
                return Err(NodeError::NeverReachable {
                    node: self.0.name.clone(),
                    deadline,
                    last: Box::new(last),
                });
            }
            // A refused connection answers in microseconds; ten tries a second cost nothing and lose little.
            sleep(left.min(Duration::from_millis(100))).await;
        }
    }

    /// Prepares a shell script, fed to `sh -eu` on standard input (so nothing needs quoting and nothing secret
    /// stands in the process list). It runs only once it has arrived whole; its own standard input is empty.
    /// Deadline: 60 s unless [`Command::deadline`] says otherwise.
    pub fn script(&self, script: impl Into<String>) -> Command {
        Command::script(self.clone(), &script.into())
    }

    /// Prepares a program with arguments, each quoted. They stand in the process list and in errors.
    /// Deadline: 60 s unless [`Command::deadline`] says otherwise.
    pub fn command<S: AsRef<str>>(&self, argv: impl IntoIterator<Item = S>) -> Command {
        Command::program(self.clone(), argv)
    }

    /// Reads a file.
    pub async fn read(&self, path: &str) -> Result<Vec<u8>, NodeError> {
        self.command(["cat", "--", path]).run_bytes().await
    }

    /// Closes the connection, if one is open; the next use opens a new one.
    pub async fn disconnect(&self) {
        if let Some(link) = self.0.link.lock().await.take() {
            // A courtesy: the session ends with its last handle in any case, so a stuck one is not waited for.
            let farewell = link.disconnect(russh::Disconnect::ByApplication, "", "");
            let _ = timeout(Duration::from_millis(200), farewell).await;
        }
    }

    /// Opens a channel, on the open connection if there is one that works. The permit bounds the channels of a
    /// connection and lives as long as the channel.
    pub(super) async fn channel(&self) -> Result<(Channel<Msg>, SemaphorePermit<'_>), NodeError> {
        #[expect(
            clippy::expect_used,
            reason = "the semaphore lives in self and is never closed"
        )]
        let permit = self.0.channels.acquire().await.expect("never closed");
        let link = self.link(CONNECT).await?;
        if let Ok(Ok(channel)) = timeout(OPEN, link.channel_open_session()).await {
            return Ok((channel, permit));
        }
        // The connection was dead or about to be. Nothing has been asked of the node yet, so once more is safe.
        self.forget(&link).await;
        let link = self.link(CONNECT).await?;
        match timeout(OPEN, link.channel_open_session()).await {
            Ok(Ok(channel)) => Ok((channel, permit)),
            Ok(Err(error)) => Err(self.unlinked(LinkError::Ssh(error))),
            Err(_) => Err(self.unlinked(LinkError::Deadline(OPEN))),
        }
    }

    /// Returns the open connection, or opens one. Whoever comes while one is being opened waits for that one.
    async fn link(&self, limit: Duration) -> Result<Arc<Link>, NodeError> {
        let mut slot = self.0.link.lock().await;
        if let Some(link) = slot.as_ref().filter(|link| !link.is_closed()) {
            return Ok(Arc::clone(link));
        }
        let shared = &*self.0;
        let link = connect(shared.address, &shared.client, &shared.host, limit)
            .await
            .map_err(|error| self.unlinked(error))?;
        let link = Arc::new(link);
        *slot = Some(Arc::clone(&link));
        Ok(link)
    }

    /// Drops the connection, unless another has taken its place. Its running commands keep it alive for themselves.
    async fn forget(&self, dead: &Arc<Link>) {
        let mut slot = self.0.link.lock().await;
        if slot.as_ref().is_some_and(|link| Arc::ptr_eq(link, dead)) {
            *slot = None;
        }
    }

    fn unlinked(&self, error: LinkError) -> NodeError {
        let node = self.0.name.clone();
        let address = self.0.address;
        match error {
            LinkError::Ssh(source) => NodeError::Unreachable {
                node,
                address,
                source,
            },
            LinkError::Deadline(limit) => NodeError::ConnectDeadline {
                node,
                address,
                limit,
            },
            LinkError::HostKey(found) => NodeError::HostKey {
                node,
                address,
                found,
            },
            LinkError::Refused => NodeError::Refused { node, address },
        }
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Node({} at {})", self.0.name, self.0.address)
    }
}
