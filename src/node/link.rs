//! One SSH connection: made with a pinned host key, tried for life before each use.

use std::borrow::Cow;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Duration;

use russh::client::{self, Handle};
use russh::keys::key::PrivateKeyWithHashAlg;
use russh::keys::{Algorithm, HashAlg, PrivateKey, PublicKey, PublicKeyOrCertificate};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A silent link is dead after three unanswered keepalives: 20 s after the last packet, well above a stall of a
/// busy machine and well below the deadlines of long commands.
const KEEPALIVE: Duration = Duration::from_secs(5);
const KEEPALIVES: usize = 3;

/// Unacknowledged data closes the socket after this time. Keepalives alone do not notice a dead peer while the
/// session is blocked writing to it.
const USER_TIMEOUT: Duration = Duration::from_secs(15);

/// For the handshakes above TCP. They are quick on an idle machine; the bound is for one that boots five others.
const HANDSHAKE: Duration = Duration::from_secs(10);

pub(super) type Link = Handle<Pinned>;

/// Why a link did not come about.
pub(super) enum LinkError {
    Ssh(russh::Error),
    HostKey(String),
    Refused,
    Deadline(Duration),
}

impl From<russh::Error> for LinkError {
    fn from(error: russh::Error) -> Self {
        Self::Ssh(error)
    }
}

impl From<std::io::Error> for LinkError {
    fn from(error: std::io::Error) -> Self {
        Self::Ssh(error.into())
    }
}

impl std::fmt::Debug for LinkError {
    // russh asks for it; nobody prints it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LinkError")
    }
}

/// Accepts one host key and no other.
pub(super) struct Pinned(PublicKey);

impl client::Handler for Pinned {
    type Error = LinkError;

    async fn check_server_key(
        &mut self,
        shown: &PublicKeyOrCertificate,
    ) -> Result<bool, LinkError> {
        match shown {
            PublicKeyOrCertificate::PublicKey { key, .. }
                if key.key_data() == self.0.key_data() =>
            {
                Ok(true)
            }
            PublicKeyOrCertificate::PublicKey { key, .. } => Err(LinkError::HostKey(
                key.fingerprint(HashAlg::Sha256).to_string(),
            )),
            PublicKeyOrCertificate::Certificate(_) => Err(LinkError::HostKey("certificate".into())),
        }
    }
}

/// Connects as root within `limit` for TCP and [`HANDSHAKE`] for the rest.
pub(super) async fn connect(
    address: SocketAddrV4,
    client: &Arc<PrivateKey>,
    host: &PublicKey,
    limit: Duration,
) -> Result<Link, LinkError> {
    let stream = timeout(limit, TcpStream::connect(address))
        .await
        .map_err(|_| LinkError::Deadline(limit))??;
    // Commands are small packets that wait for an answer: Nagle's algorithm would hold each back.
    stream.set_nodelay(true)?;
    let millis = USER_TIMEOUT.as_millis() as u32;
    rustix::net::sockopt::set_tcp_user_timeout(&stream, millis).map_err(std::io::Error::from)?;
    timeout(HANDSHAKE, greet(stream, client, host))
        .await
        .map_err(|_| LinkError::Deadline(HANDSHAKE))?
}

async fn greet(
    stream: TcpStream,
    client: &Arc<PrivateKey>,
    host: &PublicKey,
) -> Result<Link, LinkError> {
    let config = client::Config {
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: KEEPALIVES,
        preferred: russh::Preferred {
            // The kind of key that was pinned; else a server with several may show another.
            key: Cow::Borrowed(&[Algorithm::Ed25519]),
            ..russh::Preferred::default()
        },
        ..client::Config::default()
    };
    let pinned = Pinned(host.clone());
    let mut link = client::connect_stream(Arc::new(config), stream, pinned).await?;
    let key = PrivateKeyWithHashAlg::new(Arc::clone(client), None);
    if link.authenticate_publickey("root", key).await?.success() {
        Ok(link)
    } else {
        Err(LinkError::Refused)
    }
}
