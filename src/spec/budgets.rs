//! What a verification may cost.

use serde::Deserialize;

use super::choice::Tuning;
use super::rule::word;
use super::section::{Key, Section, section};
use super::units::Limit;

section! {
    /// What a verification may cost before its verdict is `fail`. Outage and longest gap are defined in
    /// `docs/failure-model.md`.
    ///
    /// The defaults are the tuning's. `fast`: what regent promises of its settings. `kubeadm-docs`: generous, since
    /// stock settings promise nothing; pods leave a lost node after five minutes of toleration and 40 to 50 s of grace.
    /// A write that a follower had handed to a lost leader hangs for etcd's request timeout, measured 7.3 to 8.6 s
    /// after the fault; a client that gives up after the usual 10 s was left alone.
    #[derive(Copy, Deserialize)]
    Budgets::of(tuning: Tuning) {
        /// Outage of new TLS connections.
        new_connection_outage "newConnectionOutage": Limit = by(tuning, 2, 15), word();
        /// Outage of the reused connection.
        reused_connection_outage "reusedConnectionOutage": Limit = by(tuning, 2, 20), word();
        /// Outage of linearizable reads.
        read_outage "readOutage": Limit = by(tuning, 3, 20), word();
        /// Outage of writes.
        write_outage "writeOutage": Limit = by(tuning, 3, 20), word();
        /// Longest silence of the watch.
        watch_gap "watchGap": Limit = by(tuning, 5, 30), word();
        /// The longest that any single request may hang, whatever its neighbours do.
        hanging_requests "hangingRequests": Limit = by(tuning, 9, 15), word();
        /// Longest that a pod on a node that was not hit got no good answer of the cluster's DNS.
        cluster_dns_silence "clusterDnsSilence": Limit = by(tuning, 3, 5), word();
        /// The same of the `kubernetes` Service.
        kubernetes_service_silence "kubernetesServiceSilence": Limit = by(tuning, 3, 10), word();
        /// The same of a Service with pods on every node.
        pod_service_silence "podServiceSilence": Limit = by(tuning, 3, 10), word();
        /// From the loss of a worker until its pods are Ready elsewhere.
        pods_elsewhere "podsElsewhere": Limit = by(tuning, 40, 360), word();
        /// From the start of a killed node until it is Ready.
        node_ready "nodeReady": Limit = by(tuning, 30, 60), word();
    }
}

/// The seconds of a limit with each tuning.
fn by(tuning: Tuning, fast: u64, kubeadm_docs: u64) -> Limit {
    Limit::seconds(match tuning {
        Tuning::Fast => fast,
        Tuning::KubeadmDocs => kubeadm_docs,
    })
}

impl Budgets {
    /// Each limit by its key, in order.
    pub(crate) fn limits(self) -> impl Iterator<Item = (&'static str, String)> {
        let values = serde_json::to_value(self).unwrap_or_default();
        let text = move |key: &Key| values[key.name].as_str().unwrap_or_default().to_owned();
        Self::KEYS.iter().map(move |key| (key.name, text(key)))
    }
}
