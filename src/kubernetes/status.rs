//! What the API shows of nodes, deployments and pods, as far as regent needs it.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ContainerStatus, Node, Pod, Taint};

use super::Leaving;

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

impl NodeStatus {
    pub(super) fn of(node: Node) -> Self {
        let leaving = Leaving::of(&node);
        let labels = node.metadata.labels.unwrap_or_default();
        let spec = node.spec.unwrap_or_default();
        let taint = |taint: &Taint| {
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
        Self {
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
    pub(super) fn of(deployment: Deployment) -> Self {
        let status = deployment.status.unwrap_or_default();
        let wanted = deployment.spec.and_then(|spec| spec.replicas).unwrap_or(1);
        let updated = status.updated_replicas.unwrap_or(0);
        Self {
            wanted,
            available: status.available_replicas.unwrap_or(0).min(updated),
            observed: status.observed_generation >= deployment.metadata.generation,
        }
    }

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

impl PodStatus {
    pub(super) fn of(pod: Pod) -> Self {
        let status = pod.status.unwrap_or_default();
        let containers = status.container_statuses.unwrap_or_default();
        let running = |container: &ContainerStatus| {
            container.state.as_ref()?.running.as_ref()?;
            // `containerd://` and the identifier.
            let (_, identifier) = container.container_id.as_deref()?.split_once("://")?;
            Some(identifier.to_owned())
        };
        let containers: Option<Vec<_>> = containers.iter().map(running).collect();
        let conditions = status.conditions.unwrap_or_default();
        Self {
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
}
