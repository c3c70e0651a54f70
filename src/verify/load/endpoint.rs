//! Where requests go and who sends them.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

/// An address, and how to speak TLS with it. Cheap to clone. `Debug` shows only the address.
#[derive(Clone)]
pub struct Endpoint {
    pub(crate) address: SocketAddr,
    pub(crate) tls: Arc<ClientConfig>,
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

/// A certificate authority to trust, and a certificate with its key to show. All PEM.
pub struct Identity {
    /// Who is trusted to sign the server's certificate.
    pub authority: Vec<u8>,
    /// The client's certificate.
    pub certificate: Vec<u8>,
    /// Its private key.
    pub key: Vec<u8>,
}

impl Endpoint {
    /// Makes an endpoint. Every connection does a full handshake: a resumed session would flatter new connections.
    pub fn new(address: SocketAddr, identity: &Identity) -> Result<Self, EndpointError> {
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
    pub fn at(&self, address: SocketAddr) -> Self {
        Self {
            address,
            tls: Arc::clone(&self.tls),
        }
    }

    pub(crate) fn server_name(&self) -> ServerName<'static> {
        ServerName::IpAddress(self.address.ip().into())
    }
}
