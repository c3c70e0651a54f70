//! Ed25519 key pairs in OpenSSH's text forms.

use russh::keys::key::safe_rng;
use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey, PublicKey, ssh_key};
use serde::{Deserialize, Serialize};

use super::NodeError;

/// An Ed25519 key pair. `Debug` shows only the public half.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPair {
    /// `-----BEGIN OPENSSH PRIVATE KEY-----…`
    pub private: String,
    /// `ssh-ed25519 AAAA… comment`
    pub public: String,
}

impl KeyPair {
    /// Generates a pair with a generator that the operating system's randomness seeds. `comment` stands at the
    /// end of the public key and tells a reader of `authorized_keys` whose it is.
    pub fn generate(comment: &str) -> Result<Self, NodeError> {
        Self::try_generate(comment).map_err(|source| NodeError::Key {
            what: comment.to_owned(),
            source,
        })
    }

    fn try_generate(comment: &str) -> Result<Self, ssh_key::Error> {
        let mut key = PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519)?;
        key.set_comment(comment);
        Ok(Self {
            private: key.to_openssh(LineEnding::LF)?.to_string(),
            public: key.public_key().to_openssh()?,
        })
    }

    /// Parses the private half.
    pub(super) fn private_key(&self) -> Result<PrivateKey, NodeError> {
        PrivateKey::from_openssh(&self.private).map_err(|source| self.bad(source))
    }

    /// Parses the public half.
    pub(super) fn public_key(&self) -> Result<PublicKey, NodeError> {
        PublicKey::from_openssh(&self.public).map_err(|source| self.bad(source))
    }

    fn bad(&self, source: ssh_key::Error) -> NodeError {
        NodeError::Key {
            what: self.public.clone(),
            source,
        }
    }
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyPair({})", self.public)
    }
}
