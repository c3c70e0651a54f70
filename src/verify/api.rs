//! The cluster's API as a verification needs it besides the probes: each request on a connection of its own, so that
//! a lost control-plane node costs at most one of them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use hyper::Method;
use k8s_openapi::List;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::history::Stored;
use super::sample::Outcome;
use regent_load::{Answer, Endpoint, Metadata, Object, get, send};

/// A `ConfigMap` that the load's namespace has from the beginning.
pub(super) const ANCHOR: &str = "anchor";

/// The label of the workload's pods.
const WORKLOAD: &str = "regent-verify";

/// The image of the workload's pods: the one that every node has.
const PAUSE: &str = "registry.k8s.io/pause:3.10.1";

/// The page size of the final read: what kubectl uses.
const PAGE: u32 = 500;

/// Why the API did not do something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot {what}: {outcome}")]
pub(super) struct ApiError {
    what: &'static str,
    outcome: Outcome,
}

/// The API behind an endpoint. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Api {
    endpoint: Endpoint,
    patience: Duration,
}

#[derive(Deserialize)]
struct Page {
    metadata: Metadata,
    items: Vec<Object>,
}

impl Api {
    /// Every request is given up after `patience`.
    pub(super) fn new(endpoint: Endpoint, patience: Duration) -> Self {
        Self { endpoint, patience }
    }

    /// Lists the nodes.
    pub(super) async fn nodes(&self) -> Result<Vec<Node>, ApiError> {
        let list: List<Node> = self.list("list the nodes", "/api/v1/nodes").await?;
        Ok(list.items)
    }

    /// Returns who holds the leases of `kube-system`, by lease.
    pub(super) async fn leases(&self) -> Result<BTreeMap<String, String>, ApiError> {
        let path = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
        let list: List<Lease> = self.list("list the leases", path).await?;
        let held = list
            .items
            .into_iter()
            .filter_map(|lease| Some((lease.metadata.name?, lease.spec?.holder_identity?)));
        Ok(held.collect())
    }

    /// Returns when a node's kubelet last renewed its lease, as the API's text.
    pub(super) async fn heartbeat(&self, node: &str) -> Result<Option<String>, ApiError> {
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{node}");
        let lease: Lease = self.list("show a node's lease", &path).await?;
        let renewed = lease.spec.and_then(|spec| spec.renew_time);
        Ok(renewed.map(|time| time.0.to_string()))
    }

    /// Lists the pods of a namespace.
    pub(super) async fn pods(&self, namespace: &str) -> Result<Vec<Pod>, ApiError> {
        let path = format!("/api/v1/namespaces/{namespace}/pods");
        let list: List<Pod> = self.list("list the pods", &path).await?;
        Ok(list.items)
    }

    /// Makes the load's namespace with its anchor; returns the resource version from which everything later follows.
    pub(super) async fn make_namespace(&self, namespace: &str) -> Result<u64, ApiError> {
        let body =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        self.create("make the load's namespace", "/api/v1/namespaces", body)
            .await?;
        let body = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": ANCHOR}, "data": {"content": ANCHOR},
        });
        let what = "make the load's anchor";
        let path = format!("/api/v1/namespaces/{namespace}/configmaps");
        let made = self.create(what, &path, body).await?;
        let version = serde_json::from_slice::<Object>(&made.body)
            .ok()
            .and_then(|o| o.version());
        version.ok_or(ApiError {
            what,
            outcome: Outcome::Body,
        })
    }

    /// Removes the load's namespace and everything in it; Kubernetes goes on with that by itself.
    pub(super) async fn remove_namespace(&self, namespace: &str) -> Result<(), ApiError> {
        let path = format!("/api/v1/namespaces/{namespace}");
        let request = send(&self.endpoint, Method::DELETE, &path, json!({}));
        self.bounded("remove the load's namespace", &[200, 202, 404], request)
            .await?;
        Ok(())
    }

    /// Makes the workload: pods that do nothing, spread over the workers.
    pub(super) async fn make_workload(
        &self,
        namespace: &str,
        replicas: u32,
    ) -> Result<(), ApiError> {
        let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments");
        self.create("make the workload", &path, workload(replicas))
            .await?;
        Ok(())
    }

    /// Makes a Service; returns its address.
    pub(super) async fn make_service(
        &self,
        namespace: &str,
        body: Value,
    ) -> Result<Ipv4Addr, ApiError> {
        let what = "make a Service";
        let path = format!("/api/v1/namespaces/{namespace}/services");
        let made = self.create(what, &path, body).await?;
        let made: Option<Service> = serde_json::from_slice(&made.body).ok();
        let address = made.and_then(|made| made.spec?.cluster_ip?.parse().ok());
        address.ok_or(ApiError {
            what,
            outcome: Outcome::Body,
        })
    }

    /// Makes a pod. In a new namespace none is allowed until its service account is there: so it is tried for `patience`.
    pub(super) async fn make_pod(
        &self,
        namespace: &str,
        body: Value,
        patience: Duration,
    ) -> Result<(), ApiError> {
        let path = format!("/api/v1/namespaces/{namespace}/pods");
        let end = Instant::now() + patience;
        loop {
            match self.create("make a pod", &path, body.clone()).await {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > end => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }

    /// Reads everything that the load has stored, through etcd's quorum: no resource version is asked for.
    pub(super) async fn stored(&self, namespace: &str) -> Result<Vec<Stored>, ApiError> {
        let what = "read everything that was written";
        let mut stored = Vec::new();
        let mut next = String::new();
        loop {
            let path =
                format!("/api/v1/namespaces/{namespace}/configmaps?limit={PAGE}&continue={next}");
            let page: Page = self.list(what, &path).await?;
            for object in page.items {
                let version = object.version().ok_or(ApiError {
                    what,
                    outcome: Outcome::Body,
                })?;
                stored.push(Stored {
                    name: object.metadata.name,
                    version,
                    content: object.data.content,
                });
            }
            if page.metadata.next.is_empty() {
                return Ok(stored);
            }
            next = page.metadata.next;
        }
    }

    /// Whether the API server says that it is ready.
    pub(super) async fn ready(&self) -> bool {
        let request = get(&self.endpoint, "/readyz");
        self.bounded("say that it is ready", &[200], request)
            .await
            .is_ok()
    }

    async fn list<T: DeserializeOwned>(
        &self,
        what: &'static str,
        path: &str,
    ) -> Result<T, ApiError> {
        let answer = self
            .bounded(what, &[200], get(&self.endpoint, path))
            .await?;
        serde_json::from_slice(&answer.body).map_err(|_| ApiError {
            what,
            outcome: Outcome::Body,
        })
    }

    async fn create(
        &self,
        what: &'static str,
        path: &str,
        body: Value,
    ) -> Result<Answer, ApiError> {
        let request = send(&self.endpoint, Method::POST, path, body);
        self.bounded(what, &[201], request).await
    }

    async fn bounded(
        &self,
        what: &'static str,
        expected: &[u16],
        request: impl Future<Output = Result<Answer, Outcome>>,
    ) -> Result<Answer, ApiError> {
        let outcome = match tokio::time::timeout(self.patience, request).await {
            Err(_) => Outcome::Timeout,
            Ok(Err(outcome)) => outcome,
            Ok(Ok(answer)) if expected.contains(&answer.status.as_u16()) => return Ok(answer),
            Ok(Ok(answer)) => Outcome::Status(answer.status.as_u16()),
        };
        Err(ApiError { what, outcome })
    }
}

fn workload(replicas: u32) -> Value {
    let labels = json!({"app": WORKLOAD});
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": WORKLOAD},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "automountServiceAccountToken": false,
                    "terminationGracePeriodSeconds": 0,
                    "topologySpreadConstraints": [{
                        "maxSkew": 1,
                        "topologyKey": "kubernetes.io/hostname",
                        "whenUnsatisfiable": "ScheduleAnyway",
                        "labelSelector": {"matchLabels": labels},
                    }],
                    "containers": [{"name": "pause", "image": PAUSE, "imagePullPolicy": "IfNotPresent"}],
                },
            },
        },
    })
}
