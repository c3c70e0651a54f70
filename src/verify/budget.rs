//! What a run may cost.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::clock::millis;
use super::inside::Dependency;
use super::sample::Probe;
use crate::spec::{Budgets, Limit};

/// A figure that has a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Budget {
    /// Outage of new connections.
    NewConnectionOutage,
    /// Outage of the reused connection.
    ReusedConnectionOutage,
    /// Outage of linearizable reads.
    ReadOutage,
    /// Outage of writes.
    WriteOutage,
    /// Longest gap of the watch.
    WatchGap,
    /// The longest that a single request hung, whatever its neighbours did.
    HangingRequests,
    /// The longest that a client inside the cluster got no good answer of the cluster's DNS.
    ClusterDnsSilence,
    /// The same of the `kubernetes` Service.
    KubernetesServiceSilence,
    /// The same of a Service with pods on every node.
    PodServiceSilence,
    /// From the loss of a worker until its pods are Ready elsewhere.
    PodsElsewhere,
    /// From the start of a killed node until it is Ready and serves.
    NodeReady,
}

impl Budget {
    /// Returns the budget of a probe.
    pub fn of(probe: Probe) -> Self {
        match probe {
            Probe::NewConnection => Self::NewConnectionOutage,
            Probe::ReusedConnection => Self::ReusedConnectionOutage,
            Probe::Read => Self::ReadOutage,
            Probe::Write => Self::WriteOutage,
            Probe::Watch => Self::WatchGap,
        }
    }

    /// Returns the budget of something that pods depend on.
    pub fn inside(of: Dependency) -> Self {
        match of {
            Dependency::ClusterDns => Self::ClusterDnsSilence,
            Dependency::KubernetesService => Self::KubernetesServiceSilence,
            Dependency::PodService => Self::PodServiceSilence,
        }
    }

    /// Returns what it limits, for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::NewConnectionOutage => "outage of new connections",
            Self::ReusedConnectionOutage => "outage of the reused connection",
            Self::ReadOutage => "outage of reads",
            Self::WriteOutage => "outage of writes",
            Self::WatchGap => "longest gap of the watch",
            Self::HangingRequests => "longest hanging request",
            Self::ClusterDnsSilence => "silence of cluster DNS",
            Self::KubernetesServiceSilence => "silence of the kubernetes Service",
            Self::PodServiceSilence => "silence from pod to Service",
            Self::PodsElsewhere => "pods Ready elsewhere",
            Self::NodeReady => "node Ready again",
        }
    }
}

/// Returns the limits of `budgets` in milliseconds.
pub(super) fn limits(budgets: &Budgets) -> BTreeMap<Budget, u64> {
    let ms = |limit: Limit| u64::try_from(limit.0.as_millis()).unwrap_or(u64::MAX);
    BTreeMap::from([
        (
            Budget::NewConnectionOutage,
            ms(budgets.new_connection_outage),
        ),
        (
            Budget::ReusedConnectionOutage,
            ms(budgets.reused_connection_outage),
        ),
        (Budget::ReadOutage, ms(budgets.read_outage)),
        (Budget::WriteOutage, ms(budgets.write_outage)),
        (Budget::WatchGap, ms(budgets.watch_gap)),
        (Budget::HangingRequests, ms(budgets.hanging_requests)),
        (Budget::ClusterDnsSilence, ms(budgets.cluster_dns_silence)),
        (
            Budget::KubernetesServiceSilence,
            ms(budgets.kubernetes_service_silence),
        ),
        (Budget::PodServiceSilence, ms(budgets.pod_service_silence)),
        (Budget::PodsElsewhere, ms(budgets.pods_elsewhere)),
        (Budget::NodeReady, ms(budgets.node_ready)),
    ])
}

/// What watches and clients inside notice where nothing is to be noticed at all: a watch's next event and a pod's next answer
/// come when they come.
const UNNOTICED: Duration = Duration::from_secs(2);

/// Returns the limits of a command that no kind of client may be without the cluster for longer than `budget`, in
/// milliseconds. A single request may hang as long as with a fault: one did for 7.01 s, about etcd's request timeout, on a busy
/// machine. Why is not known; perhaps a write on its way to a leader that handed on its office.
pub(super) fn limits_of_operation(budgets: &Budgets, budget: Duration) -> BTreeMap<Budget, u64> {
    let ms = |limit: Duration| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    let outages = [
        Budget::NewConnectionOutage,
        Budget::ReusedConnectionOutage,
        Budget::ReadOutage,
        Budget::WriteOutage,
    ];
    let others = [
        Budget::WatchGap,
        Budget::ClusterDnsSilence,
        Budget::KubernetesServiceSilence,
        Budget::PodServiceSilence,
    ];
    let outages = outages.map(|of| (of, ms(budget)));
    let others = others.map(|of| (of, ms(budget.max(UNNOTICED))));
    let hanging = budget.max(budgets.hanging_requests.0);
    let hanging = [(Budget::HangingRequests, ms(hanging))];
    outages.into_iter().chain(others).chain(hanging).collect()
}

/// A budget and what was measured against it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct BudgetCheck {
    /// Which figure.
    pub budget: Budget,
    /// Its limit.
    pub limit_ms: u64,
    /// What was measured; none if it never came to an end.
    pub measured_ms: Option<f64>,
    /// Whether the limit was held.
    pub held: bool,
}

/// Compares a measured figure with its limit; none if it has no limit.
pub(super) fn check(
    limits: &BTreeMap<Budget, u64>,
    budget: Budget,
    measured: Option<Duration>,
) -> Option<BudgetCheck> {
    let limit_ms = *limits.get(&budget)?;
    Some(BudgetCheck {
        budget,
        limit_ms,
        measured_ms: measured.map(millis),
        held: measured.is_some_and(|measured| measured <= Duration::from_millis(limit_ms)),
    })
}
