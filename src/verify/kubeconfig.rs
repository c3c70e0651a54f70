//! The administrator's kubeconfig, as far as the load needs it.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use regent_load::{Endpoint, EndpointError, Identity};
use serde::Deserialize;

use crate::yaml;

/// Why a kubeconfig gives no endpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KubeconfigError {
    /// It is not one.
    #[error("the kubeconfig cannot be read")]
    Yaml(#[source] yaml::Error),
    /// It lacks something.
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
    /// Its certificates and key make no client.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
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

/// Takes the endpoint and the administrator's identity out of a kubeconfig with one cluster and one user, and
/// refuses a server other than `planned`: the load must never go anywhere else.
pub(super) fn endpoint(text: &str, planned: SocketAddr) -> Result<Endpoint, KubeconfigError> {
    let config: Kubeconfig = yaml::from_str(text).map_err(KubeconfigError::Yaml)?;
    let [NamedCluster { cluster }] = config.clusters.as_slice() else {
        return Err(KubeconfigError::Missing("single cluster"));
    };
    let [NamedUser { user }] = config.users.as_slice() else {
        return Err(KubeconfigError::Missing("single user"));
    };
    if cluster.server.trim_end_matches('/') != format!("https://{planned}") {
        return Err(KubeconfigError::Elsewhere {
            found: cluster.server.clone(),
            planned,
        });
    }
    let decode = |what, text: &str| {
        let bytes = STANDARD.decode(text.trim());
        bytes.map_err(|source| KubeconfigError::Base64 { what, source })
    };
    let identity = Identity {
        authority: decode("certificate authority", &cluster.certificate_authority_data)?,
        certificate: decode("client certificate", &user.client_certificate_data)?,
        key: decode("client key", &user.client_key_data)?,
    };
    Ok(Endpoint::new(planned, &identity)?)
}
