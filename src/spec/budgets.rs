//! What a verification may cost.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::choice::Tuning;
use super::units::{deserialize_duration, duration_schema, serialize_duration};

/// What a verification may cost before its verdict is `fail`. Outage and longest gap are defined in
/// `docs/failure-model.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(default, deny_unknown_fields, inline)]
pub struct Budgets {
    /// Outage of new TLS connections.
    #[serde(
        serialize_with = "serialize_duration",
        deserialize_with = "deserialize_duration"
    )]
    #[schemars(schema_with = "duration_schema")]
    pub new_connection_outage: Duration,
    /// Outage of the reused connection.
    #[serde(
        serialize_with = "serialize_duration",
        deserialize_with = "deserialize_duration"
    )]
    #[schemars(schema_with = "duration_schema")]
    pub reused_connection_outage: Duration,
    /// Outage of linearizable reads.
    #[serde(
        serialize_with = "serialize_duration",
        deserialize_with = "deserialize_duration"
    )]
    #[schemars(schema_with = "duration_schema")]
    pub read_outage: Duration,
    /// Outage of writes.
    #[serde(
        serialize_with = "serialize_duration",
        deserialize_with = "deserialize_duration"
    )]
    #[schemars(schema_with = "duration_schema")]
    pub write_outage: Duration,
    /// Longest silence of the watch.
    #[serde(
        serialize_with = "serialize_duration",
        deserialize_with = "deserialize_duration"
    )]
    #[schemars(schema_with = "duration_schema")]
    pub watch_gap: Duration,
    /// The longest that any single request may hang, whatever its neighbours do.
    #[serde(
        serialize_with = "serialize_duration",
        deserialize_with = "deserialize_duration"
    )]
    #[schemars(schema_with = "duration_schema")]
    pub hanging_requests: Duration,
    /// Longest that a pod on a node that was not hit got no good answer of the cluster's DNS.
    #[serde(
        serialize_with = "serialize_duration",
        deserialize_with = "deserialize_duration"
    )]
    #[schemars(schema_with = "duration_schema")]
    pub cluster_dns_silence: Duration,
    /// The same of the `kubernetes` Service.
    #[serde(
        serialize_with = "serialize_duration",
        deserialize_with = "deserialize_duration"
    )]
    #[schemars(schema_with = "duration_schema")]
    pub kubernetes_service_silence: Duration,
    /// The same of a Service with pods on every node.
    #[serde(
        serialize_with = "serialize_duration",
        deserialize_with = "deserialize_duration"
    )]
    #[schemars(schema_with = "duration_schema")]
    pub pod_service_silence: Duration,
    /// From the loss of a worker until its pods are Ready elsewhere.
    #[serde(
        serialize_with = "serialize_duration",
        deserialize_with = "deserialize_duration"
    )]
    #[schemars(schema_with = "duration_schema")]
    pub pods_elsewhere: Duration,
    /// From the start of a killed node until it is Ready.
    #[serde(
        serialize_with = "serialize_duration",
        deserialize_with = "deserialize_duration"
    )]
    #[schemars(schema_with = "duration_schema")]
    pub node_ready: Duration,
}

impl Default for Budgets {
    fn default() -> Self {
        Self::of(Tuning::default())
    }
}

impl Budgets {
    /// The budgets of a file that says none. `fast`: what regent promises of its settings. `kubeadm-docs`: generous,
    /// since stock settings promise nothing; pods leave a lost node after five minutes of toleration and 40 to 50 s of
    /// grace. A write that a follower had handed to a lost leader hangs for etcd's request timeout, measured 7.3 to 8.6 s
    /// after the fault; a client that gives up after the usual 10 s was left alone.
    pub const fn of(tuning: Tuning) -> Self {
        let [
            new,
            reused,
            read,
            write,
            watch,
            hanging,
            dns,
            api,
            service,
            pods,
            ready,
        ] = match tuning {
            Tuning::Fast => [2, 2, 3, 3, 5, 9, 3, 3, 3, 40, 30],
            Tuning::KubeadmDocs => [15, 20, 20, 20, 30, 15, 5, 10, 10, 360, 60],
        };
        Self {
            new_connection_outage: Duration::from_secs(new),
            reused_connection_outage: Duration::from_secs(reused),
            read_outage: Duration::from_secs(read),
            write_outage: Duration::from_secs(write),
            watch_gap: Duration::from_secs(watch),
            hanging_requests: Duration::from_secs(hanging),
            cluster_dns_silence: Duration::from_secs(dns),
            kubernetes_service_silence: Duration::from_secs(api),
            pod_service_silence: Duration::from_secs(service),
            pods_elsewhere: Duration::from_secs(pods),
            node_ready: Duration::from_secs(ready),
        }
    }

    /// The keys, in order.
    pub(crate) const KEYS: [&str; 11] = [
        "newConnectionOutage",
        "reusedConnectionOutage",
        "readOutage",
        "writeOutage",
        "watchGap",
        "hangingRequests",
        "clusterDnsSilence",
        "kubernetesServiceSilence",
        "podServiceSilence",
        "podsElsewhere",
        "nodeReady",
    ];

    /// The limits, in the order of their keys.
    pub(crate) fn limits_mut(&mut self) -> [&mut Duration; 11] {
        let Self {
            new_connection_outage,
            reused_connection_outage,
            read_outage,
            write_outage,
            watch_gap,
            hanging_requests,
            cluster_dns_silence,
            kubernetes_service_silence,
            pod_service_silence,
            pods_elsewhere,
            node_ready,
        } = self;
        [
            new_connection_outage,
            reused_connection_outage,
            read_outage,
            write_outage,
            watch_gap,
            hanging_requests,
            cluster_dns_silence,
            kubernetes_service_silence,
            pod_service_silence,
            pods_elsewhere,
            node_ready,
        ]
    }
}
