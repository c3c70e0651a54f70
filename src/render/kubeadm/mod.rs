//! kubeadm's configuration files (`kubeadm.k8s.io/v1beta4`).

mod config;
mod document;
mod secrets;

pub use config::{init, join};
pub use secrets::{CertificateKey, InitSecrets, JoinSecrets, Token, TokenError};
