//! The cluster's API as regent needs it to orchestrate: the only user of `kube`. (The probes of
//! [`crate::verify`] speak HTTP themselves: a client library's pooling and retrying would hide what they measure.)

mod addons;
#[cfg(test)]
pub(crate) mod authority;
mod endpoint;
mod eviction;
mod patience;

pub use endpoint::{Founded, Named, server};
pub(crate) use eviction::VERIFICATION;
pub use eviction::{Fate, Hosted, Leaving};
pub use patience::patiently;

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use camino::{Utf8Path, Utf8PathBuf};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1 as coordination;
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

/// A client of the cluster's API, through the load balancer. Must be used on the lab's runtime. Cheap to clone.
#[derive(Clone)]
pub struct Kubernetes(kube::Client);

/// A node as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
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
    /// Whether it has the label of a control-plane node.
    pub control_plane: bool,
    /// Whether it is cordoned.
    pub unschedulable: bool,
    /// Its taints, as `key=value:effect`.
    pub taints: Vec<String>,
    /// The range of its pods.
    pub pod_cidr: Option<String>,
    /// Its conditions other than `Ready` that are `True`, such as `MemoryPressure`.
    pub conditions: Vec<String>,
    /// How far regent has brought it on its way out of the cluster.
    pub leaving: Option<Leaving>,
}

/// A lease that a kubelet renews.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lease {
    /// When it was renewed last, by the clock of who holds it.
    pub renewed: Option<Timestamp>,
    /// For how long that counts.
    pub seconds: i32,
}

/// A deployment's rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rollout {
    /// How many replicas are wanted.
    pub wanted: i32,
    /// How many are updated and available.
    pub available: i32,
    /// Whether the controller has reported since the deployment was changed last.
    pub observed: bool,
}

impl Rollout {
    /// Whether every wanted replica is there.
    pub fn complete(self) -> bool {
        self.observed && self.available >= self.wanted
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
    /// Its containers as its kubelet last reported them, by the runtime's identifiers; none while one does not run.
    pub containers: Vec<String>,
}

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
                observed: status.observed_generation >= deployment.metadata.generation,
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

    /// Returns every kubelet's lease, by the node's name.
    pub async fn leases(&self) -> Result<BTreeMap<String, Lease>, KubernetesError> {
        let api: Api<coordination::Lease> = Api::namespaced(self.0.clone(), "kube-node-lease");
        let leases = self.list(api, "", "list the leases").await?;
        let read = |lease: coordination::Lease| {
            let spec = lease.spec.unwrap_or_default();
            let lease_of = Lease {
                renewed: spec.renew_time.map(|time| time.0),
                seconds: spec.lease_duration_seconds.unwrap_or(40),
            };
            (lease.metadata.name.unwrap_or_default(), lease_of)
        };
        Ok(leases.into_iter().map(read).collect())
    }

    /// Gives up what the controller manager and the scheduler of a node lead that has ended for certain: the others take over within
    /// two seconds, and need not wait until the lease runs out, 15 s in which nobody signs a certificate, schedules a pod or
    /// notices a dead node. It is what client-go's leader election does at an end in peace (`release` in its leaderelection.go).
    pub async fn release_leases(&self, node: &str) -> Result<(), KubernetesError> {
        let api: Api<coordination::Lease> = Api::namespaced(self.0.clone(), "kube-system");
        let failed = |source: kube::Error| KubernetesError::Request {
            what: "give up a lease",
            source: Box::new(source),
        };
        for name in ["kube-controller-manager", "kube-scheduler"] {
            let Some(lease) = api.get_opt(name).await.map_err(failed)? else {
                continue;
            };
            let holder = lease.spec.and_then(|spec| spec.holder_identity);
            if !holder.is_some_and(|holder| holder.starts_with(&format!("{node}_"))) {
                continue;
            }
            let given_up = serde_json::json!({
                "metadata": { "resourceVersion": lease.metadata.resource_version },
                "spec": { "holderIdentity": "", "leaseDurationSeconds": 1 },
            });
            let patch = Patch::Merge(given_up);
            match api.patch(name, &PatchParams::default(), &patch).await {
                // Somebody has taken it meanwhile.
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                told => drop(told.map_err(failed)?),
            }
        }
        Ok(())
    }

    /// Deletes a Node. Does nothing where there is none.
    pub async fn delete_node(&self, name: &str) -> Result<(), KubernetesError> {
        let api: Api<Node> = Api::all(self.0.clone());
        match api.delete(name, &DeleteParams::default()).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(source) => Err(KubernetesError::Request {
                what: "delete a Node",
                source: Box::new(source),
            }),
        }
    }

    /// Returns who holds a lease of `kube-system`; none if nobody does.
    pub async fn lease_holder(&self, name: &str) -> Result<Option<String>, KubernetesError> {
        let api: Api<coordination::Lease> = Api::namespaced(self.0.clone(), "kube-system");
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

fn node_status(node: Node) -> NodeStatus {
    let leaving = Leaving::of(&node);
    let labels = node.metadata.labels.unwrap_or_default();
    let spec = node.spec.unwrap_or_default();
    let taint = |taint: &k8s_openapi::api::core::v1::Taint| {
        let value = taint.value.as_deref().unwrap_or_default();
        format!("{}={value}:{}", taint.key, taint.effect)
    };
    let taints = spec.taints.iter().flatten().map(taint).collect();
    let status = node.status.unwrap_or_default();
    let others = status.conditions.iter().flatten();
    let conditions = others
        .filter(|condition| condition.type_ != "Ready" && condition.status == "True")
        .map(|condition| condition.type_.clone())
        .collect();
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
        control_plane: labels.contains_key("node-role.kubernetes.io/control-plane"),
        unschedulable: spec.unschedulable.unwrap_or(false),
        taints,
        pod_cidr: spec.pod_cidr,
        conditions,
        leaving,
    }
}

fn pod_status(pod: Pod) -> PodStatus {
    let status = pod.status.unwrap_or_default();
    let containers = status.container_statuses.unwrap_or_default();
    let running = |container: &k8s_openapi::api::core::v1::ContainerStatus| {
        container.state.as_ref()?.running.as_ref()?;
        // `containerd://` and the identifier.
        let (_, identifier) = container.container_id.as_deref()?.split_once("://")?;
        Some(identifier.to_owned())
    };
    let containers: Option<Vec<_>> = containers.iter().map(running).collect();
    let conditions = status.conditions.unwrap_or_default();
    PodStatus {
        name: pod.metadata.name.unwrap_or_default(),
        uid: pod.metadata.uid.unwrap_or_default(),
        node: pod.spec.and_then(|spec| spec.node_name),
        ready: conditions
            .iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True"),
        terminating: pod.metadata.deletion_timestamp.is_some(),
        containers: containers.unwrap_or_default(),
    }
}
