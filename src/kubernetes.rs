//! The cluster's API as regent needs it to orchestrate: the only user of `kube`. (The probes of
//! [`crate::verify`] speak HTTP themselves: a client library's pooling and retrying would hide what they measure.)

mod addons;
#[cfg(test)]
pub(crate) mod authority;
mod endpoint;
mod eviction;
mod lease;
mod patience;
mod status;

pub use endpoint::{Founded, Named, server};
pub(crate) use eviction::VERIFICATION;
pub use eviction::{Fate, Hosted, Leaving};
pub use lease::Lease;
pub use patience::patiently;
pub use status::{NodeStatus, PodStatus, Rollout};

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use camino::{Utf8Path, Utf8PathBuf};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, Resource};
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::name::NodeName;
use crate::sha256::Sha256;

/// A connection to the API server that did not answer within this time is dead: the load balancer drops sessions
/// to a dead control-plane node after 1 to 2 s, and kube's own default is to wait for ever.
const ANSWER: Duration = Duration::from_secs(5);

/// Why the API did not answer as hoped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KubernetesError {
    /// The kubeconfig cannot be used.
    #[error("cannot use the kubeconfig {path}")]
    Kubeconfig {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: Box<kube::config::KubeconfigError>,
    },
    /// A request failed.
    #[error("the API server did not {what}")]
    Request {
        /// What was asked of it.
        what: &'static str,
        /// Why not.
        #[source]
        source: Box<kube::Error>,
    },
}

impl KubernetesError {
    /// Whether nobody answered: a load balancer that has no server yet ends connections, and one that sees its first is asked
    /// in vain for a second.
    pub fn is_nobody_there(&self) -> bool {
        match self {
            Self::Request { source, .. } => {
                matches!(
                    &**source,
                    kube::Error::Service(_) | kube::Error::HyperError(_)
                )
            }
            Self::Kubeconfig { .. } => false,
        }
    }

    /// Whether the API server knows who asks, and does not let them.
    pub fn is_forbidden(&self) -> bool {
        match self {
            Self::Request { source, .. } => {
                matches!(&**source, kube::Error::Api(status) if status.code == 403)
            }
            Self::Kubeconfig { .. } => false,
        }
    }
}

/// The error for something that was asked of the API server.
fn failed(what: &'static str) -> impl Fn(kube::Error) -> KubernetesError + Copy {
    move |source| KubernetesError::Request {
        what,
        source: Box::new(source),
    }
}

/// A client of the cluster's API, through the load balancer. Must be used on the lab's runtime. Cheap to clone.
#[derive(Clone)]
pub struct Kubernetes(kube::Client);

impl Kubernetes {
    /// Makes a client from the kubeconfig at `path`; connects on first use.
    pub async fn connect(path: &Utf8Path) -> Result<Self, KubernetesError> {
        Self::connected(path, true).await
    }

    /// The same client, which hands on "not now" (429) as an answer: kube's own waits ten seconds and asks again.
    pub async fn connect_to_evict(path: &Utf8Path) -> Result<Self, KubernetesError> {
        Self::connected(path, false).await
    }

    fn client(&self) -> kube::Client {
        self.0.clone()
    }

    async fn connected(path: &Utf8Path, again: bool) -> Result<Self, KubernetesError> {
        let error = |source| KubernetesError::Kubeconfig {
            path: path.to_owned(),
            source: Box::new(source),
        };
        let file = Kubeconfig::read_from(path).map_err(error)?;
        let mut config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
            .await
            .map_err(error)?;
        // kube takes it from the environment, where it is meant for downloads.
        config.proxy_url = None;
        config.default_retry = again;
        config.connect_timeout = Some(ANSWER);
        config.read_timeout = Some(ANSWER);
        config.write_timeout = Some(ANSWER);
        config.reset_reader_on_write = true;
        let client = kube::Client::try_from(config).map_err(failed("take a client"))?;
        Ok(Self(client))
    }

    /// Lists the nodes.
    pub async fn nodes(&self) -> Result<Vec<NodeStatus>, KubernetesError> {
        let list = self
            .list::<Node>(Api::all(self.0.clone()), "", "list the nodes")
            .await?;
        Ok(list.into_iter().map(NodeStatus::of).collect())
    }

    /// Looks at a deployment; none if it does not exist.
    pub async fn rollout(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Rollout>, KubernetesError> {
        let api: Api<Deployment> = Api::namespaced(self.0.clone(), namespace);
        let found = api
            .get_opt(name)
            .await
            .map_err(failed("show a deployment"))?;
        Ok(found.map(Rollout::of))
    }

    /// Lists the pods of a namespace that match a label selector.
    pub async fn pods(
        &self,
        namespace: &str,
        labels: &str,
    ) -> Result<Vec<PodStatus>, KubernetesError> {
        let pods = self
            .list::<Pod>(
                Api::namespaced(self.0.clone(), namespace),
                labels,
                "list pods",
            )
            .await?;
        Ok(pods.into_iter().map(PodStatus::of).collect())
    }

    /// Deletes a Node. Does nothing where there is none.
    pub async fn delete_node(&self, name: &str) -> Result<(), KubernetesError> {
        let api: Api<Node> = Api::all(self.0.clone());
        match api.delete(name, &DeleteParams::default()).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(failed("delete a Node")(error)),
        }
    }

    /// Returns one value of a ConfigMap; none if either does not exist.
    pub async fn config_value(
        &self,
        namespace: &str,
        name: &str,
        key: &str,
    ) -> Result<Option<String>, KubernetesError> {
        let api: Api<ConfigMap> = Api::namespaced(self.0.clone(), namespace);
        let map = api
            .get_opt(name)
            .await
            .map_err(failed("show a ConfigMap"))?;
        Ok(map
            .and_then(|map| map.data)
            .and_then(|mut data| data.remove(key)))
    }

    /// Sets one value of a ConfigMap, making it where it does not exist.
    pub async fn set_config_value(
        &self,
        namespace: &str,
        name: &str,
        key: &str,
        value: &str,
    ) -> Result<(), KubernetesError> {
        let api: Api<ConfigMap> = Api::namespaced(self.0.clone(), namespace);
        let map = serde_json::json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { key: value },
        });
        let patched = api
            .patch(
                name,
                &PatchParams::apply("regent").force(),
                &Patch::Apply(map),
            )
            .await;
        patched.map(drop).map_err(failed("take a ConfigMap"))
    }

    /// Whether the API server that answers says it is ready (`/readyz`).
    pub async fn ready(&self) -> bool {
        let Ok(request) = http_get("/readyz") else {
            return false;
        };
        self.0
            .request_text(request)
            .await
            .is_ok_and(|text| text == "ok")
    }

    async fn list<K>(
        &self,
        api: Api<K>,
        labels: &str,
        what: &'static str,
    ) -> Result<Vec<K>, KubernetesError>
    where
        K: Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
    {
        let params = ListParams::default().labels(labels);
        let list = api.list(&params).await.map_err(failed(what))?;
        Ok(list.items)
    }
}

impl std::fmt::Debug for Kubernetes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kubernetes(…)")
    }
}

/// Returns the names in `wanted` that the API does not show as ready nodes.
pub fn not_ready<'a>(
    nodes: &[NodeStatus],
    wanted: impl Iterator<Item = &'a NodeName>,
) -> Vec<NodeName> {
    wanted
        .filter(|name| {
            !nodes
                .iter()
                .any(|node| node.ready && node.name == name.as_str())
        })
        .cloned()
        .collect()
}

fn http_get(path: &str) -> Result<hyper::Request<Vec<u8>>, hyper::http::Error> {
    hyper::Request::get(path).body(Vec::new())
}

/// Examines a kubeconfig file: returns the SHA-256 (in hexadecimal) of the CA certificate that it trusts, if its server is
/// `endpoint` and its client certificate is valid now; else why it is of no use.
pub fn examine(path: &Utf8Path, endpoint: &str) -> Result<String, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let file = Kubeconfig::from_yaml(&text).map_err(|error| error.to_string())?;
    let cluster = file
        .clusters
        .first()
        .and_then(|named| named.cluster.as_ref());
    let cluster = cluster.ok_or("it names no cluster")?;
    if cluster.server.as_deref() != Some(endpoint) {
        return Err(format!("its server is not {endpoint}"));
    }
    let data = cluster.certificate_authority_data.as_deref();
    let ca = STANDARD
        .decode(data.ok_or("it has no certificate authority")?.trim())
        .map_err(|error| format!("its certificate authority: {error}"))?;
    if certificate_ended(text.as_bytes()) {
        return Err("its client certificate has ended, or is none".to_owned());
    }
    Ok(Sha256::of(&ca).to_string())
}

/// Whether the client certificate of a kubeconfig has ended, or is none.
pub fn certificate_ended(kubeconfig: &[u8]) -> bool {
    let ends = || {
        let file = Kubeconfig::from_yaml(std::str::from_utf8(kubeconfig).ok()?).ok()?;
        let user = file.auth_infos.into_iter().next()?.auth_info?;
        let pem = STANDARD.decode(user.client_certificate_data?.trim()).ok()?;
        let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).ok()?;
        Some(pem.parse_x509().ok()?.validity().not_after.timestamp())
    };
    ends().is_none_or(|ends| ends <= Timestamp::now().as_second())
}
