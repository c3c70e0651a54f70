//! The cluster's API as regent needs it to orchestrate: the only user of `kube`. (The probes of
//! [`crate::verify`] speak HTTP themselves: a client library's pooling and retrying would hide what they measure.)

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};
use kube::api::{Api, ListParams, Patch, PatchParams, Resource};
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::name::NodeName;

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

/// A client of the cluster's API, through the load balancer. Must be used on the lab's runtime. Cheap to clone.
#[derive(Clone)]
pub struct Kubernetes(kube::Client);

/// A node as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Whether its condition `Ready` is `True`.
    pub ready: bool,
    /// Since when, as the API's RFC 3339 text.
    pub since: Option<String>,
    /// kubelet's reason, where it is not ready.
    pub reason: Option<String>,
    /// `InternalIP`.
    pub address: Option<String>,
    /// kubelet's version, `v1.35.4`.
    pub kubelet: String,
}

/// A deployment's rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rollout {
    /// How many replicas are wanted.
    pub wanted: i32,
    /// How many are updated and available.
    pub available: i32,
}

impl Rollout {
    /// Whether every wanted replica is there.
    pub fn complete(self) -> bool {
        self.available >= self.wanted
    }
}

/// A pod of a deployment or daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodStatus {
    /// Its name.
    pub name: String,
    /// Its identifier: another pod of the same name has another one.
    pub uid: String,
    /// The node it is bound to.
    pub node: Option<String>,
    /// Whether its condition `Ready` is `True`.
    pub ready: bool,
    /// Whether it is being deleted.
    pub terminating: bool,
}

impl Kubernetes {
    /// Makes a client from the kubeconfig at `path`; connects on first use.
    pub async fn connect(path: &Utf8Path) -> Result<Self, KubernetesError> {
        let error = |source| KubernetesError::Kubeconfig {
            path: path.to_owned(),
            source: Box::new(source),
        };
        let file = Kubeconfig::read_from(path).map_err(error)?;
        let mut config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
            .await
            .map_err(error)?;
        config.connect_timeout = Some(ANSWER);
        config.read_timeout = Some(ANSWER);
        config.write_timeout = Some(ANSWER);
        config.reset_reader_on_write = true;
        let client = kube::Client::try_from(config).map_err(|source| KubernetesError::Request {
            what: "take a client",
            source: Box::new(source),
        })?;
        Ok(Self(client))
    }

    /// Lists the nodes.
    pub async fn nodes(&self) -> Result<Vec<NodeStatus>, KubernetesError> {
        let list = self
            .list::<Node>(Api::all(self.0.clone()), "", "list the nodes")
            .await?;
        Ok(list.into_iter().map(node_status).collect())
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
            .map_err(|source| KubernetesError::Request {
                what: "show a deployment",
                source: Box::new(source),
            })?;
        Ok(found.map(|deployment| {
            let status = deployment.status.unwrap_or_default();
            let wanted = deployment.spec.and_then(|spec| spec.replicas).unwrap_or(1);
            let updated = status.updated_replicas.unwrap_or(0);
            Rollout {
                wanted,
                available: status.available_replicas.unwrap_or(0).min(updated),
            }
        }))
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
        Ok(pods.into_iter().map(pod_status).collect())
    }

    /// Returns who holds a lease of `kube-system`; none if nobody does.
    pub async fn lease_holder(&self, name: &str) -> Result<Option<String>, KubernetesError> {
        let api: Api<Lease> = Api::namespaced(self.0.clone(), "kube-system");
        let lease = api
            .get_opt(name)
            .await
            .map_err(|source| KubernetesError::Request {
                what: "show a lease",
                source: Box::new(source),
            })?;
        Ok(lease
            .and_then(|lease| lease.spec)
            .and_then(|spec| spec.holder_identity))
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
            .map_err(|source| KubernetesError::Request {
                what: "show a ConfigMap",
                source: Box::new(source),
            })?;
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
        match patched {
            Ok(_) => Ok(()),
            Err(source) => Err(KubernetesError::Request {
                what: "take a ConfigMap",
                source: Box::new(source),
            }),
        }
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
        match api.list(&params).await {
            Ok(list) => Ok(list.items),
            Err(source) => Err(KubernetesError::Request {
                what,
                source: Box::new(source),
            }),
        }
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

fn node_status(node: Node) -> NodeStatus {
    let status = node.status.unwrap_or_default();
    let ready = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "Ready");
    let address = status
        .addresses
        .iter()
        .flatten()
        .find(|address| address.type_ == "InternalIP");
    NodeStatus {
        name: node.metadata.name.unwrap_or_default(),
        ready: ready.is_some_and(|condition| condition.status == "True"),
        since: ready
            .and_then(|condition| condition.last_transition_time.as_ref())
            .map(|time| time.0.to_string()),
        reason: ready
            .filter(|condition| condition.status != "True")
            .and_then(|condition| condition.reason.clone()),
        address: address.map(|address| address.address.clone()),
        kubelet: status
            .node_info
            .map(|info| info.kubelet_version)
            .unwrap_or_default(),
    }
}

fn pod_status(pod: Pod) -> PodStatus {
    let conditions = pod
        .status
        .and_then(|status| status.conditions)
        .unwrap_or_default();
    PodStatus {
        name: pod.metadata.name.unwrap_or_default(),
        uid: pod.metadata.uid.unwrap_or_default(),
        node: pod.spec.and_then(|spec| spec.node_name),
        ready: conditions
            .iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True"),
        terminating: pod.metadata.deletion_timestamp.is_some(),
    }
}
