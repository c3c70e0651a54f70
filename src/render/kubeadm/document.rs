//! The documents' types: those fields of kubeadm's, kubelet's and kube-proxy's that regent sets.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::Serialize;

use crate::spec::Taint;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meta {
    pub(super) api_version: &'static str,
    pub(super) kind: &'static str,
}

impl Meta {
    pub(super) fn kubeadm(kind: &'static str) -> Self {
        Self {
            api_version: "kubeadm.k8s.io/v1beta4",
            kind,
        }
    }
}

#[derive(Serialize)]
pub(super) struct Arg {
    pub(super) name: String,
    pub(super) value: String,
}

impl Arg {
    pub(super) fn new(name: impl ToString, value: impl ToString) -> Self {
        Self {
            name: name.to_string(),
            value: value.to_string(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InitConfiguration<'a> {
    #[serde(flatten)]
    pub(super) meta: Meta,
    pub(super) bootstrap_tokens: [BootstrapToken<'a>; 1],
    pub(super) node_registration: NodeRegistration,
    #[serde(rename = "localAPIEndpoint")]
    pub(super) local_api_endpoint: ApiEndpoint,
    pub(super) certificate_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) patches: Option<Patches>,
    pub(super) timeouts: Timeouts,
}

#[derive(Serialize)]
pub(super) struct BootstrapToken<'a> {
    pub(super) token: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiEndpoint {
    pub(super) advertise_address: Ipv4Addr,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NodeRegistration {
    pub(super) name: String,
    pub(super) cri_socket: &'static str,
    pub(super) image_pull_policy: &'static str,
    pub(super) ignore_preflight_errors: Vec<&'static str>,
    pub(super) kubelet_extra_args: Vec<Arg>,
    /// Absent, kubeadm gives control-plane nodes its own, and others none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) taints: Option<Vec<Taint>>,
}

#[derive(Serialize)]
pub(super) struct Patches {
    pub(super) directory: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Timeouts {
    pub(super) control_plane_component_health_check: &'static str,
    pub(super) kubelet_health_check: &'static str,
    pub(super) tls_bootstrap: &'static str,
    pub(super) discovery: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JoinConfiguration<'a> {
    #[serde(flatten)]
    pub(super) meta: Meta,
    pub(super) node_registration: NodeRegistration,
    pub(super) discovery: Discovery<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) control_plane: Option<JoinControlPlane<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) patches: Option<Patches>,
    pub(super) timeouts: Timeouts,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Discovery<'a> {
    pub(super) file: FileDiscovery,
    pub(super) tls_bootstrap_token: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FileDiscovery {
    pub(super) kube_config_path: &'static str,
}

/// A kubeconfig of a user without credentials: kubeadm wants a context and a user all the same.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct KubeConfig {
    #[serde(flatten)]
    pub(super) meta: Meta,
    pub(super) clusters: [NamedCluster; 1],
    pub(super) contexts: [NamedContext; 1],
    pub(super) current_context: String,
    pub(super) users: [NamedUser; 1],
}

#[derive(Serialize)]
pub(super) struct NamedUser {
    pub(super) name: &'static str,
    pub(super) user: NoCredentials,
}

#[derive(Serialize)]
pub(super) struct NoCredentials {}

#[derive(Serialize)]
pub(super) struct NamedContext {
    pub(super) name: String,
    pub(super) context: KubeConfigContext,
}

#[derive(Serialize)]
pub(super) struct KubeConfigContext {
    pub(super) cluster: String,
    pub(super) user: &'static str,
}

#[derive(Serialize)]
pub(super) struct NamedCluster {
    pub(super) name: String,
    pub(super) cluster: KubeConfigCluster,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct KubeConfigCluster {
    pub(super) certificate_authority_data: String,
    pub(super) server: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JoinControlPlane<'a> {
    #[serde(rename = "localAPIEndpoint")]
    pub(super) local_api_endpoint: ApiEndpoint,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) certificate_key: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClusterConfiguration {
    #[serde(flatten)]
    pub(super) meta: Meta,
    pub(super) cluster_name: String,
    pub(super) kubernetes_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) control_plane_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) certificates_dir: Option<&'static str>,
    pub(super) networking: Networking,
    pub(super) encryption_algorithm: &'static str,
    pub(super) api_server: ApiServer,
    pub(super) controller_manager: Component,
    #[serde(skip_serializing_if = "Component::is_empty")]
    pub(super) scheduler: Component,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) etcd: Option<Etcd>,
}

#[derive(Serialize)]
pub(super) struct Etcd {
    pub(super) local: Component,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Networking {
    pub(super) pod_subnet: Ipv4Net,
    pub(super) service_subnet: Ipv4Net,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiServer {
    #[serde(rename = "certSANs")]
    pub(super) cert_sans: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) extra_args: Vec<Arg>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Component {
    pub(super) extra_args: Vec<Arg>,
}

impl Component {
    fn is_empty(&self) -> bool {
        self.extra_args.is_empty()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KubeletConfiguration {
    #[serde(flatten)]
    pub(super) meta: Meta,
    pub(super) cgroup_driver: &'static str,
    #[serde(rename = "failCgroupV1", skip_serializing_if = "Option::is_none")]
    pub(super) fail_cgroup_v1: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fail_swap_on: Option<bool>,
    #[serde(rename = "imageGCHighThresholdPercent")]
    pub(super) image_gc_high_threshold_percent: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) eviction_hard: Option<BTreeMap<&'static str, &'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) node_lease_duration_seconds: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KubeProxyConfiguration {
    #[serde(flatten)]
    pub(super) meta: Meta,
    pub(super) mode: &'static str,
    pub(super) conntrack: Conntrack,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Conntrack {
    pub(super) max_per_core: u32,
    pub(super) min: u32,
}
