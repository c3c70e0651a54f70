//! One question, one connection: nothing is pooled and nothing retried, so an answer is of now.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use super::wire;
use super::{Consistency, KeyValue, MemberList, MemberStatus};

/// A page of keys with their values is bounded by the caller; this bounds what a member may send by mistake.
const MAX_ANSWER: usize = 64 << 20;

/// Who asks: a certificate authority to trust, a certificate with its key to show. All PEM. kubeadm leaves the health
/// check's on every control-plane node.
#[derive(Clone)]
pub struct Identity {
    /// etcd's certificate authority.
    pub authority: Vec<u8>,
    /// The client's certificate.
    pub certificate: Vec<u8>,
    /// Its key.
    pub key: Vec<u8>,
}

impl Identity {
    /// Where the three files are on a control-plane node: authority, certificate, key.
    pub const FILES: [&str; 3] = [
        "/etc/kubernetes/pki/etcd/ca.crt",
        "/etc/kubernetes/pki/etcd/healthcheck-client.crt",
        "/etc/kubernetes/pki/etcd/healthcheck-client.key",
    ];
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity(…)")
    }
}

/// Why a member did not answer as hoped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EtcdError {
    /// A certificate or key is none.
    #[error("etcd's client certificate is of no use: {0}")]
    Identity(String),
    /// No answer within the time.
    #[error("etcd at {member} did not answer within {limit:?}")]
    Silent {
        /// Who was asked.
        member: SocketAddr,
        /// How long was waited.
        limit: Duration,
    },
    /// No connection, or it ended.
    #[error("etcd at {member}: {why}")]
    Connection {
        /// Who was asked.
        member: SocketAddr,
        /// What went wrong.
        why: String,
    },
    /// It answered with an error.
    #[error("etcd at {member} refused: {message}")]
    Refused {
        /// Who was asked.
        member: SocketAddr,
        /// etcd's words.
        message: String,
    },
    /// The answer is not what it should be.
    #[error("etcd at {member} did not answer as expected")]
    Answer {
        /// Who was asked.
        member: SocketAddr,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

type Result<T> = std::result::Result<T, EtcdError>;

/// A client of the members of one cluster. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    tls: Arc<ClientConfig>,
    patience: Duration,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("etcd::Client")
    }
}

impl Client {
    /// Makes a client that waits for each answer for `patience`.
    ///
    /// # Errors
    /// When the identity is of no use.
    pub fn new(identity: &Identity, patience: Duration) -> Result<Self> {
        let pem = |error: rustls::pki_types::pem::Error| EtcdError::Identity(error.to_string());
        let tls = |error: rustls::Error| EtcdError::Identity(error.to_string());
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&identity.authority) {
            roots.add(certificate.map_err(pem)?).map_err(tls)?;
        }
        let chain = CertificateDer::pem_slice_iter(&identity.certificate)
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(pem)?;
        let key = PrivateKeyDer::from_pem_slice(&identity.key).map_err(pem)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(tls)?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(tls)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            tls: Arc::new(config),
            patience,
        })
    }

    /// The same client with another patience.
    pub fn patient(&self, patience: Duration) -> Self {
        Self {
            tls: Arc::clone(&self.tls),
            patience,
        }
    }

    /// Asks a member who the members are.
    ///
    /// # Errors
    /// When it does not say; without a quorum, for [`Consistency::Linearizable`].
    pub async fn members(&self, at: SocketAddr, how: Consistency) -> Result<MemberList> {
        let body = json!({ "linearizable": how == Consistency::Linearizable });
        self.ask(at, "/v3/cluster/member/list", body, wire::members)
            .await
    }

    /// Asks a member for its status.
    ///
    /// # Errors
    /// When it does not say.
    pub async fn status(&self, at: SocketAddr) -> Result<MemberStatus> {
        self.ask(at, "/v3/maintenance/status", json!({}), wire::status)
            .await
    }

    /// Has a member take another, or itself, out of the cluster.
    ///
    /// # Errors
    /// When the cluster refuses, or has no quorum.
    pub async fn remove(&self, at: SocketAddr, member: u64) -> Result<()> {
        // The gateway takes 64-bit numbers as text.
        let body = json!({ "ID": member.to_string() });
        self.ask(at, "/v3/cluster/member/remove", body, |_| Ok(()))
            .await
    }

    /// Has the leader hand its office to another member.
    ///
    /// # Errors
    /// When that member does not lead, or the other one cannot.
    pub async fn move_leader(&self, at: SocketAddr, to: u64) -> Result<()> {
        let body = json!({ "targetID": to.to_string() });
        self.ask(at, "/v3/maintenance/transfer-leadership", body, |_| Ok(()))
            .await
    }

    /// Has the cluster forget every revision before this one; one that is forgotten already is fine.
    ///
    /// # Errors
    /// When the cluster refuses, or has no quorum.
    pub async fn compact(&self, at: SocketAddr, revision: u64) -> Result<()> {
        let body = json!({ "revision": revision.to_string(), "physical": true });
        match self.ask(at, "/v3/kv/compaction", body, |_| Ok(())).await {
            Err(EtcdError::Refused { message, .. }) if message.contains("has been compacted") => {
                Ok(())
            }
            told => told,
        }
    }

    /// Has a member give back what its database does not need. It answers nobody meanwhile.
    ///
    /// # Errors
    /// When it does not.
    pub async fn defragment(&self, at: SocketAddr) -> Result<()> {
        self.ask(at, "/v3/maintenance/defragment", json!({}), |_| Ok(()))
            .await
    }

    /// Ends every alarm of every member; how many there were.
    ///
    /// # Errors
    /// When the cluster refuses, or has no quorum.
    pub async fn disarm(&self, at: SocketAddr) -> Result<usize> {
        let path = "/v3/maintenance/alarm";
        let alarms = self
            .ask(at, path, json!({ "action": "GET" }), wire::alarms)
            .await?;
        for (member, alarm) in &alarms {
            let body =
                json!({ "action": "DEACTIVATE", "memberID": member.to_string(), "alarm": alarm });
            self.ask(at, path, body, |_| Ok(())).await?;
        }
        Ok(alarms.len())
    }

    /// Reads the keys from `from` (inclusive) to `to` (exclusive), at most `limit` of them (0: all), at a revision
    /// (0: the newest), as a quorum or as this member has them; the revision that the answer is of comes with it.
    ///
    /// # Errors
    /// When the member does not answer.
    pub async fn range(
        &self,
        at: SocketAddr,
        (from, to): (&[u8], &[u8]),
        how: Consistency,
        revision: u64,
        limit: u64,
    ) -> Result<(u64, Vec<KeyValue>)> {
        let body = json!({
            "key": STANDARD.encode(from),
            "range_end": STANDARD.encode(to),
            "serializable": how == Consistency::Serializable,
            "revision": revision.to_string(),
            "limit": limit.to_string(),
        });
        self.ask(at, "/v3/kv/range", body, wire::range).await
    }

    async fn ask<T>(
        &self,
        member: SocketAddr,
        path: &'static str,
        body: Value,
        read: impl FnOnce(&[u8]) -> serde_json::Result<T>,
    ) -> Result<T> {
        let limit = self.patience;
        let answer = tokio::time::timeout(limit, self.exchange(member, path, body)).await;
        let (status, body) = answer.map_err(|_| EtcdError::Silent { member, limit })??;
        if status == StatusCode::OK {
            return read(&body).map_err(|source| EtcdError::Answer { member, source });
        }
        Err(EtcdError::Refused {
            member,
            message: wire::message(&body),
        })
    }

    async fn exchange(
        &self,
        member: SocketAddr,
        path: &'static str,
        body: Value,
    ) -> Result<(StatusCode, Bytes)> {
        let broken = |why: &dyn std::fmt::Display| EtcdError::Connection {
            member,
            why: why.to_string(),
        };
        let tcp = TcpStream::connect(member)
            .await
            .map_err(|error| broken(&error))?;
        tcp.set_nodelay(true).map_err(|error| broken(&error))?;
        let tls = TlsConnector::from(Arc::clone(&self.tls))
            .connect(ServerName::IpAddress(member.ip().into()), tcp)
            .await
            .map_err(|error| broken(&error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(tls))
            .await
            .map_err(|error| broken(&error))?;
        let _driver = AbortOnDropHandle::new(tokio::spawn(async move {
            // How it ends shows in the request that is on it.
            let _ = connection.await;
        }));
        let request = Request::post(path)
            .header(HOST, member.to_string())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.to_string())))
            .map_err(|error| broken(&error))?;
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| broken(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER)
            .collect()
            .await
            .map_err(|error| broken(&error))?;
        Ok((status, body.to_bytes()))
    }
}
