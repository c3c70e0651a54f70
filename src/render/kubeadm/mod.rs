//! kubeadm's configuration files (`kubeadm.k8s.io/v1beta4`).

mod config;
mod document;
mod secrets;

pub use config::{ASIDE, DISCOVERY, aside, discovery, init, join, sans};
pub use secrets::{CertificateKey, InitSecrets, JoinSecrets, Token, TokenError};
