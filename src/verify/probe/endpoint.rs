//! Where requests go and who sends them.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;

use crate::yaml;

/// An address, and how to speak TLS with it. Cheap to clone. `Debug` shows only the address.
#[derive(Clone)]
pub(in crate::verify) struct Endpoint {
    pub(super) address: SocketAddr,
    pub(super) tls: Arc<ClientConfig>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({})", self.address)
    }
}

/// Why there is no endpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// The kubeconfig is not one.
    #[error("the kubeconfig cannot be read")]
    Kubeconfig(#[source] yaml::Error),
    /// The kubeconfig lacks something.
    #[error("the kubeconfig has no {0}")]
    Missing(&'static str),
    /// Something in it is not base64.
    #[error("the kubeconfig's {what} is not base64")]
    Base64 {
        /// What.
        what: &'static str,
        /// Why.
        #[source]
        source: base64::DecodeError,
    },
    /// Its server is not the plan's control plane endpoint.
    #[error("the kubeconfig's server is {found}, the plan's endpoint is {planned}")]
    Elsewhere {
        /// What the kubeconfig says.
        found: String,
        /// What the plan says.
        planned: SocketAddr,
    },
    /// A certificate or key is none.
    #[error("{what} is no PEM")]
    Pem {
        /// What.
        what: &'static str,
        /// Why.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// The certificates and the key do not make a TLS client.
    #[error("certificates and key make no TLS client")]
    Tls(#[source] rustls::Error),
}

#[derive(Deserialize)]
struct Kubeconfig {
    clusters: Vec<NamedCluster>,
    users: Vec<NamedUser>,
}

#[derive(Deserialize)]
struct NamedCluster {
    cluster: Cluster,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: String,
    certificate_authority_data: String,
}

#[derive(Deserialize)]
struct NamedUser {
    user: User,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    client_certificate_data: String,
    client_key_data: String,
}

/// A certificate authority to trust, and a certificate with its key to show. All PEM.
pub(in crate::verify) struct Identity {
    pub(in crate::verify) authority: Vec<u8>,
    pub(in crate::verify) certificate: Vec<u8>,
    pub(in crate::verify) key: Vec<u8>,
}

impl Endpoint {
    /// Takes the endpoint and the administrator's identity out of a kubeconfig with one cluster and one user, and
    /// refuses a server other than `planned`: the load must never go anywhere else.
    pub(in crate::verify) fn from_kubeconfig(
        text: &str,
        planned: SocketAddr,
    ) -> Result<Self, EndpointError> {
        let config: Kubeconfig = yaml::from_str(text).map_err(EndpointError::Kubeconfig)?;
        let [NamedCluster { cluster }] = config.clusters.as_slice() else {
            return Err(EndpointError::Missing("single cluster"));
        };
        let [NamedUser { user }] = config.users.as_slice() else {
            return Err(EndpointError::Missing("single user"));
        };
        if cluster.server.trim_end_matches('/') != format!("https://{planned}") {
            return Err(EndpointError::Elsewhere {
                found: cluster.server.clone(),
                planned,
            });
        }
        let decode = |what, text: &str| {
            let bytes = STANDARD.decode(text.trim());
            bytes.map_err(|source| EndpointError::Base64 { what, source })
        };
        let identity = Identity {
            authority: decode("certificate authority", &cluster.certificate_authority_data)?,
            certificate: decode("client certificate", &user.client_certificate_data)?,
            key: decode("client key", &user.client_key_data)?,
        };
        Self::new(planned, &identity)
    }

    /// Makes an endpoint. Every connection does a full handshake: a resumed session would flatter new connections.
    pub(in crate::verify) fn new(
        address: SocketAddr,
        identity: &Identity,
    ) -> Result<Self, EndpointError> {
        let pem = |what| move |source| EndpointError::Pem { what, source };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&identity.authority) {
            let certificate = certificate.map_err(pem("the certificate authority"))?;
            roots.add(certificate).map_err(EndpointError::Tls)?;
        }
        let chain = CertificateDer::pem_slice_iter(&identity.certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(pem("the client certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(&identity.key).map_err(pem("the client key"))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(EndpointError::Tls)?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(EndpointError::Tls)?;
        tls.resumption = Resumption::disabled();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            address,
            tls: Arc::new(tls),
        })
    }

    /// Returns the same client for another address.
    pub(in crate::verify) fn at(&self, address: SocketAddr) -> Self {
        Self {
            address,
            tls: Arc::clone(&self.tls),
        }
    }

    pub(super) fn server_name(&self) -> ServerName<'static> {
        ServerName::IpAddress(self.address.ip().into())
    }
}
