//! The types of `cluster.yaml`: what a valid file says. Their doc comments are the file's reference
//! (`docs/cluster-yaml.md`), through the schema.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use camino::Utf8PathBuf;
use ipnet::Ipv4Net;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

use super::budgets::Budgets;
use super::choice::{ApiVersion, CertificateMode, Connect, DriverChoice, Tuning};
use super::kubeadm::{KubeadmSpec, Taint};
use super::units::{KubernetesVersion, Memory};
use crate::name::ClusterName;

fn range_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "pattern": r"^([0-9]{1,3}\.){3}[0-9]{1,3}/[0-9]{1,2}$",
        "examples": ["10.0.0.0/16"],
    })
}

/// One highly available Kubernetes cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields, title = "cluster.yaml")]
pub struct ClusterSpec {
    /// The version of the file's format.
    pub api_version: ApiVersion,
    /// The cluster's name, and the lab's: lower-case letters, digits and `-`, at most 20 characters.
    #[schemars(extend("examples" = ["demo"]))]
    pub name: ClusterName,
    /// The Kubernetes version of every node.
    #[schemars(default)]
    pub kubernetes: KubernetesVersion,
    /// Control-plane nodes: API server, controller manager, scheduler and a stacked etcd member each.
    #[schemars(default)]
    pub control_plane: ControlPlaneSpec,
    /// Workers: only pods.
    #[schemars(default)]
    pub workers: WorkerSpec,
    /// The layer-4 load balancer in front of the API servers.
    #[schemars(default)]
    pub load_balancer: LoadBalancerSpec,
    /// Address ranges; they may not overlap.
    #[schemars(default)]
    pub network: NetworkSpec,
    /// What runs the nodes.
    #[schemars(default)]
    pub hypervisor: HypervisorSpec,
    /// How further control-plane nodes get the cluster's certificates.
    #[schemars(default)]
    pub certificates: CertificateMode,
    /// What kubeadm is told besides.
    #[schemars(default)]
    pub kubeadm: KubeadmSpec,
    /// Archives of container images that every node has, relative to the file: OCI layouts or `docker save`, as tar files.
    /// New ones, and new nodes, are loaded by `up`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default, with = "Vec<String>", extend("examples" = ["[app.tar]"]))]
    pub images: Vec<Utf8PathBuf>,
    /// Directory of manifests to apply last, relative to the file; files in name order. None by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "String", length(min = 1), extend("examples" = ["manifests"]))]
    pub manifests: Option<Utf8PathBuf>,
    /// What a verification may cost before its verdict is `fail`; written `500ms`, `2s` or `1m`, an hour at most.
    /// The defaults here are those of `tuning: fast`.
    #[schemars(default)]
    pub budgets: Budgets,
}

impl ClusterSpec {
    /// The cluster of a file that says nothing but the name.
    pub fn new(name: ClusterName) -> Self {
        Self {
            api_version: ApiVersion::V1,
            name,
            kubernetes: KubernetesVersion::default(),
            control_plane: ControlPlaneSpec::default(),
            workers: WorkerSpec::default(),
            load_balancer: LoadBalancerSpec::default(),
            network: NetworkSpec::default(),
            hypervisor: HypervisorSpec::default(),
            certificates: CertificateMode::default(),
            kubeadm: KubeadmSpec::default(),
            images: Vec::new(),
            manifests: None,
            budgets: Budgets::default(),
        }
    }
}

/// Control-plane nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(default, deny_unknown_fields, inline)]
pub struct ControlPlaneSpec {
    /// How many. An even number survives no more losses than the odd number below it.
    #[schemars(range(min = 1, max = 9))]
    pub count: u8,
    /// Memory of each, at least 1700MiB.
    pub memory: Memory,
    /// Processors of each.
    #[schemars(range(min = 2, max = 64))]
    pub cpus: u8,
    /// Labels of their Nodes. Those of `kubernetes.io` are Kubernetes' own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("examples" = ["{disk: ssd}"]))]
    pub labels: BTreeMap<String, String>,
    /// Taints of their Nodes, beside kubeadm's own for control-plane nodes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>", extend("examples" = ["[dedicated=batch:NoSchedule]"]))]
    pub taints: Vec<Taint>,
}

impl Default for ControlPlaneSpec {
    fn default() -> Self {
        Self {
            count: 3,
            memory: Memory::gib(2),
            cpus: 2,
            labels: BTreeMap::new(),
            taints: Vec::new(),
        }
    }
}

/// Workers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(default, deny_unknown_fields, inline)]
pub struct WorkerSpec {
    /// How many; as many as `network` has room for.
    #[schemars(range(min = 0, max = 224))]
    pub count: u8,
    /// Memory of each, at least 512MiB.
    pub memory: Memory,
    /// Processors of each.
    #[schemars(range(min = 1, max = 64))]
    pub cpus: u8,
    /// Labels of their Nodes. Those of `kubernetes.io` are Kubernetes' own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("examples" = ["{disk: ssd}"]))]
    pub labels: BTreeMap<String, String>,
    /// Taints of their Nodes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>", extend("examples" = ["[dedicated=batch:NoSchedule]"]))]
    pub taints: Vec<Taint>,
}

impl Default for WorkerSpec {
    fn default() -> Self {
        Self {
            count: 2,
            memory: Memory::gib(2),
            cpus: 2,
            labels: BTreeMap::new(),
            taints: Vec::new(),
        }
    }
}

/// The load balancer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(default, deny_unknown_fields, inline)]
pub struct LoadBalancerSpec {
    /// How many; a second one with a virtual IP is not supported yet.
    #[schemars(range(min = 1, max = 1))]
    pub count: u8,
    /// Memory of each, at least 128MiB.
    pub memory: Memory,
    /// Processors of each.
    #[schemars(range(min = 1, max = 64))]
    pub cpus: u8,
    /// How fast a dead node is noticed, everywhere where that is set. `fast`: regent's settings, measured.
    /// `kubeadm-docs`: the sample of kubeadm's high availability guide, and stock Kubernetes timers.
    pub tuning: Tuning,
}

impl Default for LoadBalancerSpec {
    fn default() -> Self {
        Self {
            count: 1,
            memory: Memory::mib(256),
            cpus: 1,
            tuning: Tuning::default(),
        }
    }
}

/// Address ranges; they never overlap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(default, deny_unknown_fields, inline)]
pub struct NetworkSpec {
    /// The nodes' network. Its first address is the gateway; load balancers have the addresses from 11, control-plane
    /// nodes from 21, workers from 31.
    #[schemars(schema_with = "range_schema")]
    pub cidr: Ipv4Net,
    /// Pods; each node gets a /24 of it, control-plane nodes from the first, workers from the 17th.
    #[schemars(schema_with = "range_schema")]
    pub pod_subnet: Ipv4Net,
    /// Services; /12 to /24.
    #[schemars(schema_with = "range_schema")]
    pub service_subnet: Ipv4Net,
    /// Further names and addresses in the API servers' certificates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("examples" = ["[api.example.com]"]))]
    pub extra_sans: Vec<String>,
}

impl Default for NetworkSpec {
    /// Nodes in the range for benchmarks (RFC 2544), which no real network uses; pods and services as everywhere.
    fn default() -> Self {
        Self {
            cidr: Ipv4Net::new_assert(Ipv4Addr::new(198, 18, 0, 0), 24),
            pod_subnet: Ipv4Net::new_assert(Ipv4Addr::new(10, 244, 0, 0), 16),
            service_subnet: Ipv4Net::new_assert(Ipv4Addr::new(10, 96, 0, 0), 12),
            extra_sans: Vec::new(),
        }
    }
}

/// What runs the nodes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(default, deny_unknown_fields, inline)]
pub struct HypervisorSpec {
    /// Which kind of node: `lxc` for system containers, `qemu` for virtual machines, `auto` for virtual machines
    /// where the processor really runs them, which is tried once, and else containers. With `qemu` a machine that cannot
    /// is emulated: ten times slower or worse, and no cluster of several control-plane nodes on two cores.
    pub driver: DriverChoice,
    /// Which libvirt: `private` for a daemon of the lab's own, or the URI of one that runs already, `lxc:///system` or
    /// `qemu:///system`. The latter must run QEMU as root (`user` in its qemu.conf): a lab's files are root's alone.
    /// `qemu+ssh://root@HOST/system` is the same on another host: `[USER@]HOST[:PORT]` as `ssh` takes it, then `keyfile`,
    /// `command` and `socket` as in libvirt's URIs. The user must be root there.
    pub connect: Connect,
}
