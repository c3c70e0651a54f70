//! The types of `cluster.yaml`.

use std::time::Duration;

use camino::Utf8PathBuf;
use ipnet::Ipv4Net;

use crate::name::ClusterName;

/// `cluster.yaml`, whole and valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSpec {
    /// Always `regent/v1`.
    pub api_version: ApiVersion,
    /// The cluster's name, and the lab's.
    pub name: ClusterName,
    /// The Kubernetes version of every node.
    pub kubernetes: KubernetesVersion,
    /// Control-plane nodes.
    pub control_plane: ControlPlaneSpec,
    /// Workers.
    pub workers: WorkerSpec,
    /// The load balancer in front of the API servers.
    pub load_balancer: LoadBalancerSpec,
    /// Address ranges.
    pub network: NetworkSpec,
    /// What runs the nodes.
    pub hypervisor: HypervisorSpec,
    /// How further control-plane nodes get the cluster's certificates.
    pub certificates: CertificateMode,
    /// Directory of manifests to apply last, relative to the file; files in name order.
    pub manifests: Option<Utf8PathBuf>,
    /// What a verification may cost.
    pub budgets: Budgets,
}

/// The version of the file's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiVersion {
    /// `regent/v1`
    V1,
}

/// A Kubernetes version that regent can build: `1.35.4`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KubernetesVersion {
    /// `1`
    pub major: u16,
    /// `35`
    pub minor: u16,
    /// `4`
    pub patch: u16,
}

impl std::fmt::Display for KubernetesVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// An amount of memory in bytes; written `2GiB`, `512MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Memory(pub u64);

/// Control-plane nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlPlaneSpec {
    /// How many; 1 to 9, odd for a useful quorum.
    pub count: u8,
    /// Memory of each.
    pub memory: Memory,
    /// Processors of each.
    pub cpus: u8,
}

/// Workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerSpec {
    /// How many; may be 0.
    pub count: u8,
    /// Memory of each.
    pub memory: Memory,
    /// Processors of each.
    pub cpus: u8,
}

/// The load balancer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadBalancerSpec {
    /// How many; 1 for now.
    pub count: u8,
    /// Memory of each.
    pub memory: Memory,
    /// Processors of each.
    pub cpus: u8,
    /// Which settings.
    pub tuning: Tuning,
}

/// How fast a dead node is noticed, everywhere where that is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tuning {
    /// `fast`: regent's settings, measured; see `docs/failure-model.md`.
    Fast,
    /// `kubeadm-docs`: the sample of kubeadm's high availability guide, and stock Kubernetes timers.
    KubeadmDocs,
}

/// Address ranges; they never overlap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkSpec {
    /// The nodes' network. Its first address is the gateway (the lab's side of the bridge).
    pub cidr: Ipv4Net,
    /// Pods; each node gets a /24 of it.
    pub pod_subnet: Ipv4Net,
    /// Services.
    pub service_subnet: Ipv4Net,
}

/// What runs the nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HypervisorSpec {
    /// Which kind of node.
    pub driver: DriverChoice,
    /// Which libvirt.
    pub connect: Connect,
}

/// The wish for a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriverChoice {
    /// qemu where hardware virtualisation runs a guest, else lxc.
    Auto,
    /// This one.
    Fixed(Driver),
}

/// A kind of node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Driver {
    /// Virtual machines.
    Qemu,
    /// System containers.
    Lxc,
}

/// Which libvirt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connect {
    /// A daemon of the lab's own.
    Private,
    /// An existing daemon, by URI.
    Uri(String),
}

/// How further control-plane nodes get the cluster's certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateMode {
    /// `kubeadm init --upload-certs`, and a key minted for each join.
    Upload,
    /// The eight shared files streamed from node to node.
    Copy,
}

/// What a verification may cost before its verdict is `fail`. Outage and longest gap are defined in `docs/failure-model.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budgets {
    /// Outage of new TLS connections.
    pub new_connection_outage: Duration,
    /// Outage of the reused connection.
    pub reused_connection_outage: Duration,
    /// Outage of linearizable reads.
    pub read_outage: Duration,
    /// Outage of writes.
    pub write_outage: Duration,
    /// Longest silence of the watch.
    pub watch_gap: Duration,
    /// From the loss of a worker until its pods are Ready elsewhere.
    pub pods_elsewhere: Duration,
    /// From the start of a killed node until it is Ready.
    pub node_ready: Duration,
}
