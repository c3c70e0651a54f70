//! The types of a plan.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};

use camino::Utf8PathBuf;
use ipnet::Ipv4Net;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::name::{ClusterName, NodeName};
use crate::spec::{
    Budgets, CertificateMode, Connect, Driver, Endpoint, ExtraArgs, KubernetesVersion, Memory,
    Period, Recipient, Taint, Tuning,
};

/// Where kubeadm's patches are on a node: not below `/etc/kubernetes`, which `kubeadm reset` empties.
pub const PATCHES: &str = "/etc/regent/patches";

/// Everything that can be known about a cluster before anything runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    /// The cluster's name, and the lab's.
    pub cluster: ClusterName,
    /// The Kubernetes version of every node.
    pub kubernetes: KubernetesVersion,
    /// What the API servers are reached by.
    #[serde(default)]
    pub endpoint: Endpoint,
    /// How fast a dead node is noticed.
    pub tuning: Tuning,
    /// How further control-plane nodes get the cluster's certificates.
    pub certificates: CertificateMode,
    /// The kind of node, already decided.
    pub driver: Driver,
    /// Which libvirt.
    pub connect: Connect,
    /// The nodes' network.
    pub network: NetworkPlan,
    /// Every node: load balancers, control-plane nodes, workers, each in the order of their numbers.
    pub nodes: Vec<NodePlan>,
    /// Further names and addresses in the API servers' certificates.
    #[serde(default)]
    pub extra_sans: Vec<String>,
    /// Further flags of kubeadm's components.
    #[serde(default)]
    pub extra_args: ExtraArgs,
    /// kubeadm's patches, in order: file name and text.
    #[serde(default)]
    pub patches: Vec<(String, String)>,
    /// Archives of images that every node which runs pods has.
    #[serde(default)]
    pub images: Vec<ImageArchive>,
    /// Backups; none where the file names nobody to encrypt them to.
    #[serde(default)]
    pub backup: Option<BackupPlan>,
    /// The manifests to apply last, in order: file name and text.
    pub manifests: Vec<(String, String)>,
    /// What a verification may cost.
    pub budgets: Budgets,
}

/// Backups that control-plane nodes make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackupPlan {
    /// Whom they are encrypted to.
    pub recipient: Recipient,
    /// How often.
    pub every: Period,
    /// How many of them are kept on a node.
    pub keep: u8,
    /// Their directory on the nodes.
    pub to: Utf8PathBuf,
}

impl Plan {
    /// Returns the nodes of a role, in order.
    pub fn nodes_with(&self, role: NodeRole) -> impl Iterator<Item = &NodePlan> {
        self.nodes.iter().filter(move |node| node.role == role)
    }

    /// Returns the control-plane nodes, in order.
    pub fn control_plane(&self) -> impl Iterator<Item = &NodePlan> {
        self.nodes_with(NodeRole::ControlPlane)
    }

    /// Returns the workers, in order.
    pub fn workers(&self) -> impl Iterator<Item = &NodePlan> {
        self.nodes_with(NodeRole::Worker)
    }

    /// Returns the load balancers, in order.
    pub fn load_balancers(&self) -> impl Iterator<Item = &NodePlan> {
        self.nodes_with(NodeRole::LoadBalancer)
    }

    /// Returns the node of that name.
    pub fn node(&self, name: &NodeName) -> Option<&NodePlan> {
        self.nodes.iter().find(|node| node.name == *name)
    }

    /// Returns where the API servers are reached, `ADDRESS:6443`: the control plane endpoint, else the only API server.
    pub fn endpoint(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.network.endpoint, 6443)
    }

    /// Returns the host name of the control plane endpoint, `<cluster>-api`: in every node's `/etc/hosts` and in the
    /// API servers' certificates.
    pub fn endpoint_name(&self) -> String {
        format!("{}-api", self.cluster)
    }

    /// Returns what kubeadm calls `controlPlaneEndpoint`; none where the only API server stands for itself.
    pub fn control_plane_endpoint(&self) -> Option<String> {
        match self.endpoint {
            Endpoint::LoadBalancer => Some(self.endpoint().to_string()),
            Endpoint::None => None,
        }
    }
}

/// The nodes' network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetworkPlan {
    /// libvirt's name for it: `regent-<cluster>`.
    pub name: String,
    /// The bridge's interface name: `rg` and a hash of the cluster's name, 15 characters at most (`IFNAMSIZ`).
    pub bridge: String,
    /// libvirt's identifier, by hash of the cluster's name.
    pub uuid: Uuid,
    /// The bridge's MAC address.
    pub mac: MacAddress,
    /// The nodes' range.
    pub cidr: Ipv4Net,
    /// The lab's own address on the bridge: the first of the range, every node's default route.
    pub gateway: Ipv4Addr,
    /// The address at which the API servers are reached.
    pub endpoint: Ipv4Addr,
    /// The range of pods.
    pub pod_subnet: Ipv4Net,
    /// The range of services.
    pub service_subnet: Ipv4Net,
}

/// An archive of container images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageArchive {
    /// As the cluster's file names it.
    pub file: Utf8PathBuf,
    /// Where it was found; empty in a plan that was read back.
    #[serde(skip)]
    pub source: Utf8PathBuf,
    /// The SHA-256 of its bytes.
    pub sha256: String,
    /// Its images, by their whole names.
    pub names: BTreeSet<String>,
}

/// What a node is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NodeRole {
    /// haproxy in front of the API servers.
    LoadBalancer,
    /// API server, controller manager, scheduler and an etcd member.
    ControlPlane,
    /// Only pods.
    Worker,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodePlan {
    /// `lb1`, `m1`…, `w1`…
    pub name: NodeName,
    /// libvirt's name for its domain: `<cluster>-<node>`.
    pub domain: String,
    /// What it is for.
    pub role: NodeRole,
    /// Its number within its role, from 1.
    pub number: u8,
    /// libvirt's identifier, by hash.
    pub uuid: Uuid,
    /// Its interface's MAC address, by hash, locally administered.
    pub mac: MacAddress,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its /24 of the pod range; none for a load balancer.
    pub pod_subnet: Option<Ipv4Net>,
    /// Its memory.
    pub memory: Memory,
    /// Its processors.
    pub cpus: u8,
    /// Labels of its Node.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Taints of its Node, beside kubeadm's own.
    #[serde(default)]
    pub taints: Vec<Taint>,
    /// Files that the recipe writes before the node joins, by path. None holds a secret.
    pub files: Vec<PlannedFile>,
}

/// A file on a node. Owner and group are root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlannedFile {
    /// Absolute path on the node.
    pub path: Utf8PathBuf,
    /// Permission bits.
    pub mode: u32,
    /// Content.
    pub content: String,
}

/// A MAC address; displays as `52:54:00:12:34:56`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress(pub [u8; 6]);

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// A UUID; displays with hyphens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// Reads `N` bytes from hexadecimal digits in pairs, with nothing else between them than `separator`.
fn bytes<const N: usize>(text: &str, separator: char) -> Option<[u8; N]> {
    let digits: Vec<char> = text.chars().filter(|c| *c != separator).collect();
    let mut bytes = [0; N];
    if digits.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        let value = pair
            .iter()
            .try_fold(0, |value, digit| Some(value * 16 + digit.to_digit(16)?))?;
        *byte = u8::try_from(value).ok()?;
    }
    Some(bytes)
}

impl Serialize for MacAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MacAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let read = bytes(&text, ':').map(Self);
        read.ok_or_else(|| D::Error::custom(format_args!("`{text}` is not a MAC address")))
    }
}

impl Serialize for Uuid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Uuid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let read = bytes(&text, '-').map(Self);
        read.ok_or_else(|| D::Error::custom(format_args!("`{text}` is not a UUID")))
    }
}
