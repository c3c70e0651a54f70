//! How long the cluster took to notice and to mend: pure functions over observations.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::clock::{Moment, millis};
use super::evidence::RunRecord;
use super::observation::{Observation, Occurrence, PodState, ServerState};

/// How long the cluster took, in milliseconds from the fault (from healing for `node_ready_ms`). None for what was not
/// seen.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct Recovery {
    /// The load balancer took the node's server out.
    pub server_down_ms: Option<f64>,
    /// The etcd members had another leader.
    pub leader_ms: Option<f64>,
    /// Every lease that the node held was held by another.
    pub leases_ms: Option<f64>,
    /// The node was no longer Ready.
    pub not_ready_ms: Option<f64>,
    /// Every pod of the workload on the node was being deleted.
    pub evicted_ms: Option<f64>,
    /// As many pods of the workload as there should be were Ready on other nodes.
    pub pods_elsewhere_ms: Option<f64>,
    /// The node was Ready and served again after it was started.
    pub node_ready_ms: Option<f64>,
}

/// Reads the cluster's reactions off the observations. Those after healing do not count, except for the node's return.
pub fn recovery(run: &RunRecord, events: &[Observation]) -> Recovery {
    let (Some(fault), Some(node)) = (run.phases.fault, run.fault.node.as_ref()) else {
        return Recovery::default();
    };
    let node = node.as_str();
    let until = run.phases.heal.unwrap_or(run.phases.end);
    let from_fault = |at: Moment| millis(at.since(fault));
    let after: Vec<_> = events
        .iter()
        .filter(|event| fault <= event.at && event.at < until)
        .collect();
    let first = |wanted: &dyn Fn(&Occurrence) -> bool| {
        let found = after.iter().find(|event| wanted(&event.what))?;
        Some(from_fault(found.at))
    };
    let replicas = run.workload.as_ref().map(|workload| workload.replicas);
    let pods = replicas.map(|replicas| Pods::new(node, replicas));
    let heal_to_ready = run.phases.heal.zip(run.phases.ready);
    Recovery {
        server_down_ms: first(
            &|what| matches!(what, Occurrence::Server { server, state: ServerState::Down, .. } if server == node),
        ),
        leader_ms: first(
            &|what| matches!(what, Occurrence::Leader { node: Some(leader), .. } if leader != node),
        ),
        leases_ms: leases_moved(events, node, fault, until).map(from_fault),
        not_ready_ms: first(
            &|what| matches!(what, Occurrence::Node { node: name, ready } if name == node && ready != "True"),
        ),
        evicted_ms: pods
            .as_ref()
            .and_then(|p| p.moment(events, fault, until, Pods::evicted))
            .map(from_fault),
        pods_elsewhere_ms: pods
            .as_ref()
            .and_then(|p| p.moment(events, fault, until, Pods::elsewhere))
            .map(from_fault),
        node_ready_ms: heal_to_ready.map(|(heal, ready)| millis(ready.since(heal))),
    }
}

/// Returns when the last of the leases that `node` held at the fault had another holder; none if it held none or
/// one of them did not move.
fn leases_moved(
    events: &[Observation],
    node: &str,
    fault: Moment,
    until: Moment,
) -> Option<Moment> {
    let mut holders = BTreeMap::new();
    let mut moved = BTreeMap::new();
    for event in events.iter().filter(|event| event.at < until) {
        let Occurrence::Lease { lease, holder } = &event.what else {
            continue;
        };
        if event.at < fault {
            holders.insert(lease, holder);
        } else if holders.get(lease).is_some_and(|held| *held == node) && holder != node {
            moved.entry(lease).or_insert(event.at);
        }
    }
    let held = holders.values().filter(|holder| **holder == node).count();
    if held == 0 || moved.len() < held {
        return None;
    }
    moved.into_values().max()
}

/// The workload's pods as they are at a moment.
struct Pods<'a> {
    lost: &'a str,
    replicas: u32,
    now: BTreeMap<&'a str, (&'a str, PodState)>,
}

impl<'a> Pods<'a> {
    fn new(lost: &'a str, replicas: u32) -> Self {
        Self {
            lost,
            replicas,
            now: BTreeMap::new(),
        }
    }

    /// Returns the first moment from the fault on at which `wanted` holds.
    fn moment(
        &self,
        events: &'a [Observation],
        fault: Moment,
        until: Moment,
        wanted: impl Fn(&Self) -> bool,
    ) -> Option<Moment> {
        let mut pods = Self::new(self.lost, self.replicas);
        for event in events.iter().filter(|event| event.at < until) {
            let Occurrence::Pod { pod, node, state } = &event.what else {
                continue;
            };
            pods.now.insert(pod, (node, *state));
            if event.at >= fault && wanted(&pods) {
                return Some(event.at);
            }
        }
        None
    }

    fn evicted(&self) -> bool {
        let on_lost = || self.now.values().filter(|(node, _)| *node == self.lost);
        let leaves = |state: &PodState| matches!(state, PodState::Leaving | PodState::Gone);
        on_lost().count() > 0 && on_lost().all(|(_, state)| leaves(state))
    }

    fn elsewhere(&self) -> bool {
        let ready = self
            .now
            .values()
            .filter(|(node, state)| *node != self.lost && *state == PodState::Ready);
        ready.count() >= self.replicas as usize
    }
}
