//! What every cluster here has beyond what kubeadm makes: DNS that survives the loss of any node, and each node's
//! range of pods in its API object.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::kubernetes::{Kubernetes, KubernetesError, NodeStatus};
use crate::plan::Plan;

/// kubeadm's names for CoreDNS's deployment and ConfigMap, and for the service in front of it.
const COREDNS: &str = "coredns";
const SERVICE: &str = "kube-dns";

/// Pods ask the CoreDNS of their own node, and another one only where theirs is not ready: the loss of a node is then
/// noticed by nobody who is left. Stable since Kubernetes 1.35, on by default since 1.34.
const NEAREST: &str = "PreferSameNode";

/// Makes it so. Idempotent: what is so already is not touched, and no pod restarts.
pub(super) async fn ensure(plan: &Plan, kubernetes: &Kubernetes) -> Result<(), KubernetesError> {
    kubernetes
        .patch_deployment(COREDNS, deployment(plan))
        .await?;
    let nearest = json!({ "spec": { "trafficDistribution": NEAREST } });
    kubernetes.patch_service(SERVICE, nearest).await?;
    let corefile = kubernetes
        .config_value("kube-system", COREDNS, "Corefile")
        .await?;
    if let Some(text) = corefile.and_then(|text| without_outside(&text)) {
        let patch = json!({ "data": { "Corefile": text } });
        kubernetes.patch_config(COREDNS, patch).await?;
    }
    for (node, range) in without_range(plan, &kubernetes.nodes().await?) {
        let patch = json!({ "spec": { "podCIDR": range, "podCIDRs": [range] } });
        kubernetes.patch_node(&node, patch).await?;
    }
    Ok(())
}

/// One CoreDNS on every node. kubeadm's deployment stays what it is, a deployment: its own upgrades expect that.
///
/// * A second pod on a node is worth nothing there, so the rule is a hard one; a new pod then finds room only after an
///   old one has gone (`maxSurge` 0).
/// * It tolerates the taints that the plan gives nodes, beside those that kubeadm has it tolerate.
/// * kubeadm looks every 10 s whether one is ready: after a start that is often 10 s too late.
fn deployment(plan: &Plan) -> Value {
    let nodes = plan.nodes.iter().filter(|node| node.pod_subnet.is_some());
    let taints = plan.nodes.iter().flat_map(|node| &node.taints);
    let wished: BTreeSet<_> = taints.map(|taint| (&taint.key, &taint.effect)).collect();
    let mut tolerations = vec![
        json!({ "key": "CriticalAddonsOnly", "operator": "Exists" }),
        json!({ "key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule" }),
    ];
    let wished = wished.into_iter();
    tolerations.extend(
        wished.map(|(key, effect)| json!({ "key": key, "operator": "Exists", "effect": effect })),
    );
    let apart = json!({ "requiredDuringSchedulingIgnoredDuringExecution": [{
        "labelSelector": { "matchLabels": { "k8s-app": "kube-dns" } },
        "topologyKey": "kubernetes.io/hostname",
    }] });
    json!({ "spec": {
        "replicas": nodes.count(),
        "strategy": { "rollingUpdate": { "maxSurge": 0, "maxUnavailable": 1 } },
        "template": { "spec": {
            "affinity": { "podAntiAffinity": apart },
            "tolerations": tolerations,
            "containers": [{ "name": "coredns", "readinessProbe": { "periodSeconds": 2 } }],
        } },
    } })
}

/// Returns kubeadm's Corefile without its way outside; none if it has another one, which is then somebody's wish.
///
/// There are no names outside a lab. Where nobody answers there, CoreDNS tries for 2 s and fails; as the authority for
/// everything it says at once that there is no such name, and nobody asks twice.
fn without_outside(corefile: &str) -> Option<String> {
    const FORWARD: &str = "    forward . /etc/resolv.conf {\n       max_concurrent 1000\n    }\n";
    const ZONES: &str = "    kubernetes cluster.local in-addr.arpa ip6.arpa {\n";
    if !corefile.contains(FORWARD) || !corefile.contains(ZONES) {
        return None;
    }
    let zones = ZONES.replace("ip6.arpa {", "ip6.arpa . {");
    Some(corefile.replace(FORWARD, "").replace(ZONES, &zones))
}

/// Returns the planned nodes whose API object does not say the range of their pods, with the range. kubeadm's own
/// controller would number the ranges in the order in which nodes come.
fn without_range(plan: &Plan, nodes: &[NodeStatus]) -> Vec<(String, String)> {
    let lacking = nodes.iter().filter(|node| node.pod_cidr.is_none());
    lacking
        .filter_map(|node| {
            let planned = plan
                .nodes
                .iter()
                .find(|planned| planned.name.as_str() == node.name)?;
            Some((node.name.clone(), planned.pod_subnet?.to_string()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derive::{self, Beside};
    use crate::spec::{ClusterSpec, Driver, Taint};

    const COREFILE: &str = ".:53 {\n    errors\n    kubernetes cluster.local in-addr.arpa ip6.arpa {\n       pods insecure\n    }\n    forward . /etc/resolv.conf {\n       max_concurrent 1000\n    }\n    cache 30\n}\n";

    fn node(name: &str, range: Option<&str>) -> NodeStatus {
        NodeStatus {
            name: name.to_owned(),
            pod_cidr: range.map(str::to_owned),
            ..NodeStatus::default()
        }
    }

    /// A name outside was answered after 2 s.
    #[test]
    fn case_dns_outside() {
        let text = without_outside(COREFILE).unwrap();
        assert_eq!(
            text,
            ".:53 {\n    errors\n    kubernetes cluster.local in-addr.arpa ip6.arpa . {\n       pods insecure\n    }\n    cache 30\n}\n"
        );
        assert_eq!(without_outside(&text), None);
        let own = COREFILE.replace("/etc/resolv.conf", "198.18.0.1");
        assert_eq!(without_outside(&own), None);
    }

    /// Both replicas were on the node that was cut: no answer for 31 s.
    #[test]
    fn case_dns() {
        let mut spec = ClusterSpec::new("demo".parse().unwrap());
        let taint = |value: &str| Taint {
            key: "dedicated".to_owned(),
            value: value.to_owned(),
            effect: "NoExecute".to_owned(),
        };
        (spec.control_plane.taints, spec.workers.taints) = (vec![taint("a")], vec![taint("b")]);
        let patch = deployment(&derive::plan(&spec, Driver::Lxc, Beside::default()));
        assert_eq!(patch["spec"]["replicas"], 5);
        let tolerations = patch["spec"]["template"]["spec"]["tolerations"].as_array();
        let tolerations = tolerations.unwrap();
        assert_eq!(tolerations.len(), 3, "{tolerations:?}");
        assert_eq!(tolerations[2]["key"], "dedicated");
        let affinity = &patch["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"];
        let rule = &affinity["requiredDuringSchedulingIgnoredDuringExecution"][0];
        assert_eq!(rule["topologyKey"], "kubernetes.io/hostname");
    }

    /// kubeadm-config names a range of pods, and no node had one.
    #[test]
    fn case_e2e() {
        let spec = ClusterSpec::new("demo".parse().unwrap());
        let plan = derive::plan(&spec, Driver::Lxc, Beside::default());
        let nodes = [
            node("m1", None),
            node("w1", None),
            node("w2", Some("10.244.17.0/24")),
            node("stranger", None),
        ];
        let expected = [("m1", "10.244.0.0/24"), ("w1", "10.244.16.0/24")];
        let expected = expected.map(|(node, range)| (node.to_owned(), range.to_owned()));
        assert_eq!(without_range(&plan, &nodes), expected);
    }
}
