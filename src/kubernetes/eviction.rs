//! A node on its way out of the cluster: nothing new comes to it, and its pods leave as their disruption budgets allow.

use std::fmt;
use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, EvictParams, ListParams};
use serde_json::json;

use super::{Kubernetes, KubernetesError, failed};

/// The annotation of a Node that regent is taking out. Who cordons a node by hand does not set it, so that what regent
/// began it can also take back.
const LEAVING: &str = "regent/leaving";

/// How the namespaces of verifications begin. What a killed one leaves there nobody misses.
pub(crate) const VERIFICATION: &str = "regent-verify-";

/// How far a Node is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    /// Its pods are being evicted.
    Draining,
    /// They are gone, and nothing that the others ask for runs there any more.
    Drained,
}

impl Leaving {
    fn word(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Drained => "drained",
        }
    }

    /// Reads it from a Node. One that was made schedulable since is on its way no longer.
    pub(super) fn of(node: &Node) -> Option<Self> {
        let annotations = node.metadata.annotations.as_ref()?;
        let cordoned = node.spec.as_ref()?.unschedulable == Some(true);
        match annotations.get(LEAVING)?.as_str() {
            "drained" if cordoned => Some(Self::Drained),
            _ => Some(Self::Draining),
        }
    }
}

/// A pod on a node, for whoever wants it to leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosted {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What becomes of it when it is evicted.
    pub fate: Fate,
}

impl fmt::Display for Hosted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What becomes of a pod that is evicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It belongs to its node, as a daemon's or a static one, or has ended.
    Stays,
    /// Its controller makes another one elsewhere.
    Replaced,
    /// It has no controller: it would be gone for good.
    Lost,
    /// It is leaving already.
    Leaves,
}

impl Kubernetes {
    /// Cordons a Node and notes how far it is on its way out.
    pub async fn leave(&self, node: &str, leaving: Leaving) -> Result<(), KubernetesError> {
        let patch = json!({
            "metadata": { "annotations": { LEAVING: leaving.word() } },
            "spec": { "unschedulable": true },
        });
        self.patch_node(node, patch).await
    }

    /// Takes [`leave`](Self::leave) back.
    pub async fn stay(&self, node: &str) -> Result<(), KubernetesError> {
        let patch = json!({
            "metadata": { "annotations": { LEAVING: null } },
            "spec": { "unschedulable": null },
        });
        self.patch_node(node, patch).await
    }

    /// Lists the pods on a node.
    pub async fn hosted(&self, node: &str) -> Result<Vec<Hosted>, KubernetesError> {
        let params = ListParams::default().fields(&format!("spec.nodeName={node}"));
        let api: Api<Pod> = Api::all(self.client());
        match api.list(&params).await {
            Ok(list) => Ok(list.items.iter().map(hosted).collect()),
            Err(error) => Err(failed("list the pods of a node")(error)),
        }
    }

    /// Whether the `kubernetes` Service sends clients inside to the API server at an address.
    pub async fn is_served_by(&self, address: Ipv4Addr) -> Result<bool, KubernetesError> {
        let api: Api<EndpointSlice> = Api::namespaced(self.client(), "default");
        let slice = api.get_opt("kubernetes").await;
        let slice = slice.map_err(failed("show who serves it"))?;
        let endpoints = slice.into_iter().flat_map(|slice| slice.endpoints);
        let mut addresses = endpoints.flat_map(|endpoint| endpoint.addresses);
        Ok(addresses.any(|served| served == address.to_string()))
    }

    /// Asks for a pod to leave; returns why it may not now, where a disruption budget forbids it.
    pub async fn evict(&self, pod: &Hosted) -> Result<Option<String>, KubernetesError> {
        let api: Api<Pod> = Api::namespaced(self.client(), &pod.namespace);
        match api.evict(&pod.name, &EvictParams::default()).await {
            Ok(_) => Ok(None),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(kube::Error::Api(status)) if status.code == 429 => {
                Ok(Some(status.message.trim_end_matches('.').to_owned()))
            }
            Err(error) => Err(failed("evict a pod")(error)),
        }
    }
}

fn hosted(pod: &Pod) -> Hosted {
    let meta = &pod.metadata;
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    let ended = matches!(phase, Some("Succeeded" | "Failed"));
    let mirror = "kubernetes.io/config.mirror";
    let is_static = meta
        .annotations
        .as_ref()
        .is_some_and(|all| all.contains_key(mirror));
    let mut owners = meta.owner_references.iter().flatten();
    let controller = owners.find(|owner| owner.controller == Some(true));
    let own = meta
        .namespace
        .as_deref()
        .is_some_and(|namespace| namespace.starts_with(VERIFICATION));
    let fate = match controller.map(|owner| owner.kind.as_str()) {
        _ if ended || is_static || own => Fate::Stays,
        Some("DaemonSet") => Fate::Stays,
        _ if meta.deletion_timestamp.is_some() => Fate::Leaves,
        Some(_) => Fate::Replaced,
        None => Fate::Lost,
    };
    Hosted {
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone().unwrap_or_default(),
        fate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn fate(pod: Value) -> Fate {
        hosted(&serde_json::from_value(pod).unwrap()).fate
    }

    #[test]
    fn whose_pod_it_is_decides_what_becomes_of_it() {
        let owned = |kind: &str| json!([{ "apiVersion": "v1", "kind": kind, "name": "x", "uid": "1", "controller": true }]);
        for (meta, phase, wanted) in [
            (
                json!({ "ownerReferences": owned("ReplicaSet") }),
                "Running",
                Fate::Replaced,
            ),
            (
                json!({ "ownerReferences": owned("DaemonSet") }),
                "Running",
                Fate::Stays,
            ),
            (
                json!({ "annotations": { "kubernetes.io/config.mirror": "x" } }),
                "Running",
                Fate::Stays,
            ),
            (json!({}), "Succeeded", Fate::Stays),
            (
                json!({ "namespace": "regent-verify-1795797999" }),
                "Running",
                Fate::Stays,
            ),
            (json!({}), "Running", Fate::Lost),
            (
                json!({ "ownerReferences": owned("Job"), "deletionTimestamp": "2026-01-01T00:00:00Z" }),
                "Running",
                Fate::Leaves,
            ),
        ] {
            let pod = json!({ "metadata": meta, "status": { "phase": phase } });
            assert_eq!(fate(pod.clone()), wanted, "{pod}");
        }
    }

    /// A node that somebody cordoned by hand is not on its way out, and one that was made schedulable is not drained.
    #[test]
    fn only_regent_has_a_node_leave() {
        let node = |mark: Option<&str>, cordoned: bool| -> Node {
            let annotations = mark.map(|mark| json!({ LEAVING: mark }));
            let node = json!({ "metadata": { "annotations": annotations }, "spec": { "unschedulable": cordoned } });
            serde_json::from_value(node).unwrap()
        };
        for (mark, cordoned, wanted) in [
            (None, true, None),
            (Some("draining"), true, Some(Leaving::Draining)),
            (Some("drained"), true, Some(Leaving::Drained)),
            (Some("drained"), false, Some(Leaving::Draining)),
        ] {
            assert_eq!(Leaving::of(&node(mark, cordoned)), wanted);
        }
    }
}
