//! The pods whose move is measured when a worker is lost.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;

use super::api::Api;
use super::observation::PodState;
use crate::name::NodeName;
use crate::plan::Plan;

/// Pods that do nothing start in 2 to 4 s; a busy machine may take ten times as long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why there are no pods to lose.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum WorkloadError {
    /// The API refused.
    #[error(transparent)]
    Api(#[from] super::api::ApiError),
    /// The pods did not become Ready.
    #[error("{ready} of {wanted} pods of the workload were Ready after {} s", PATIENCE.as_secs())]
    NotReady {
        /// How many were, when last seen.
        ready: usize,
        /// How many were wanted.
        wanted: u32,
    },
}

/// Returns how many pods the workload has: three for every worker, as in the measurements that the budget comes from
/// (six on two workers).
pub(super) fn replicas(plan: &Plan) -> u32 {
    3 * u32::try_from(plan.workers().count()).unwrap_or(1).max(1)
}

/// Makes the workload and waits until all of it is Ready.
pub(super) async fn make(api: &Api, namespace: &str, replicas: u32) -> Result<(), WorkloadError> {
    api.make_workload(namespace, replicas).await?;
    let mut ready = 0;
    let all_ready = async {
        while ready < replicas as usize {
            tokio::time::sleep(Duration::from_millis(200)).await;
            if let Ok(pods) = api.pods(namespace).await {
                ready = pods
                    .iter()
                    .filter(|pod| state(pod) == PodState::Ready)
                    .count();
            }
        }
    };
    let waited = tokio::time::timeout(PATIENCE, all_ready).await;
    waited.map_err(|_| WorkloadError::NotReady {
        ready,
        wanted: replicas,
    })
}

/// Returns the worker that runs the most of the workload's pods, the first among equals.
pub(super) async fn busiest(api: &Api, namespace: &str, plan: &Plan) -> Option<NodeName> {
    let mut load: BTreeMap<String, usize> = BTreeMap::new();
    for pod in api.pods(namespace).await.ok()? {
        *load.entry(node(&pod).to_owned()).or_default() += 1;
    }
    let pods = |name: &NodeName| load.get(name.as_str()).copied().unwrap_or(0);
    let workers: Vec<_> = plan.workers().map(|worker| &worker.name).collect();
    let most = workers.iter().map(|name| pods(name)).max()?;
    workers.into_iter().find(|name| pods(name) == most).cloned()
}

/// Returns what a pod is.
pub(super) fn state(pod: &Pod) -> PodState {
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    let ready =
        conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True");
    match (pod.metadata.deletion_timestamp.is_some(), ready) {
        (true, _) => PodState::Leaving,
        (false, true) => PodState::Ready,
        (false, false) => PodState::Waiting,
    }
}

/// Returns the node that a pod is bound to; empty before it is.
pub(super) fn node(pod: &Pod) -> &str {
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    node.unwrap_or_default()
}
