//! Ed25519 key pairs in OpenSSH's text forms.

use serde::{Deserialize, Serialize};

/// An Ed25519 key pair. `Debug` shows only the public half.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPair {
    /// `-----BEGIN OPENSSH PRIVATE KEY-----…`
    pub private: String,
    /// `ssh-ed25519 AAAA… comment`
    pub public: String,
}

impl KeyPair {
    /// Generates a pair from the operating system's randomness.
    pub fn generate(_comment: &str) -> Result<Self, super::NodeError> {
        unimplemented!()
    }
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyPair({})", self.public)
    }
}
