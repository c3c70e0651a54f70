//! The sections of `cluster.yaml`: what a valid file says. A new key is one more declaration here.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use ipnet::Ipv4Net;

use super::backup::{Period, Recipient, on_nodes, recipient};
use super::budgets::Budgets;
use super::choice::{ApiVersion, CertificateMode, Connect, DriverChoice, Endpoint, Tuning};
use super::flags::{ExtraArgs, extra_args};
use super::lists::{Taint, archives, labels, sans, taints};
use super::rule::{
    at_least, cluster_name, directory, ipv4_range, nested, one_load_balancer, whole, word,
};
use super::section::{Key, Section, section};
use super::units::{KubernetesVersion, Memory};
use crate::name::ClusterName;

/// The most control-plane nodes: etcd advises against more than 7, and 9 addresses are kept for them.
pub(super) const MAX_CONTROL_PLANE: u8 = 9;

section! {
    /// One highly available Kubernetes cluster.
    ClusterSpec::new(name: ClusterName) {
        /// The version of the file's format.
        api_version "apiVersion": ApiVersion = ApiVersion::V1,
            word().required("begin the file with `apiVersion: regent/v1`");
        /// The cluster's name, and the lab's: lower-case letters, digits and `-`, at most 20 characters.
        name "name": ClusterName = name, cluster_name().required("name the cluster, such as `name: demo`");
        /// The Kubernetes version of every node.
        kubernetes "kubernetes": KubernetesVersion = KubernetesVersion::default(), word();
        /// Control-plane nodes: API server, controller manager, scheduler and a stacked etcd member each.
        control_plane "controlPlane": ControlPlaneSpec = ControlPlaneSpec::defaults(), nested();
        /// Workers: only pods.
        workers "workers": WorkerSpec = WorkerSpec::defaults(), nested();
        /// The layer-4 load balancer in front of the API servers.
        load_balancer "loadBalancer": LoadBalancerSpec = LoadBalancerSpec::defaults(), nested();
        /// Address ranges; they may not overlap.
        network "network": NetworkSpec = NetworkSpec::defaults(), nested();
        /// What runs the nodes.
        hypervisor "hypervisor": HypervisorSpec = HypervisorSpec::defaults(), nested();
        /// How further control-plane nodes get the cluster's certificates.
        certificates "certificates": CertificateMode = CertificateMode::Upload, word();
        /// What kubeadm is told besides.
        kubeadm "kubeadm": KubeadmSpec = KubeadmSpec::defaults(), nested();
        /// Archives of container images that every node has, relative to the file: OCI layouts or `docker save`, as tar files.
        /// New ones, and new nodes, are loaded by `up`.
        images "images": Vec<Utf8PathBuf> = Vec::new(), archives(), omit "Vec::is_empty";
        /// Directory of manifests to apply last, relative to the file; files in name order. None by default.
        manifests "manifests": Option<Utf8PathBuf> = None, directory("manifests"), omit "Option::is_none";
        /// Backups of etcd and of the cluster's keys, encrypted.
        backup "backup": BackupSpec = BackupSpec::defaults(), nested(), omit "BackupSpec::is_none";
        /// What a verification may cost before its verdict is `fail`; written `500ms`, `2s` or `1m`, an hour at most.
        /// The defaults here are those of `tuning: fast`.
        budgets "budgets": Budgets = Budgets::of(Tuning::default()), nested(),
            from |spec| Budgets::of(spec.load_balancer.tuning);
    }
}

section! {
    /// Control-plane nodes.
    ControlPlaneSpec::defaults() {
        /// How many. An even number survives no more losses than the odd number below it.
        count "count": u8 = 3, whole(1..=MAX_CONTROL_PLANE);
        /// What nodes and clients reach the API servers by: `loadBalancer`, or `none`, the address of the only control-plane
        /// node, as plain `kubeadm init` has it, without a load balancer. Without `none` `up` later gives a running cluster its
        /// load balancer, and further control-plane nodes, in place.
        endpoint "endpoint": Endpoint = Endpoint::default(), word();
        /// Memory of each.
        // kubeadm refuses less (`ControlPlaneMem`).
        memory "memory": Memory = Memory::gib(2), at_least(Memory::mib(1700));
        /// Processors of each.
        // Two are kubeadm's own limit (`ControlPlaneNumCPU`).
        cpus "cpus": u8 = 2, whole(2..=64);
        /// Labels of their Nodes. Those of `kubernetes.io` are Kubernetes' own.
        labels "labels": BTreeMap<String, String> = BTreeMap::new(), labels(), omit "BTreeMap::is_empty";
        /// Taints of their Nodes, beside kubeadm's own for control-plane nodes.
        taints "taints": Vec<Taint> = Vec::new(), taints(), omit "Vec::is_empty";
    }
}

section! {
    /// Workers.
    WorkerSpec::defaults() {
        /// How many; as many as `network` has room for.
        // As many as a /24 has addresses for.
        count "count": u8 = 2, whole(0..=224);
        /// Memory of each.
        // kubelet, containerd and the cluster's own pods, with room for a few more.
        memory "memory": Memory = Memory::gib(2), at_least(Memory::mib(512));
        /// Processors of each.
        cpus "cpus": u8 = 2, whole(1..=64);
        /// Labels of their Nodes. Those of `kubernetes.io` are Kubernetes' own.
        labels "labels": BTreeMap<String, String> = BTreeMap::new(), labels(), omit "BTreeMap::is_empty";
        /// Taints of their Nodes.
        taints "taints": Vec<Taint> = Vec::new(), taints(), omit "Vec::is_empty";
    }
}

section! {
    /// The load balancer.
    LoadBalancerSpec::defaults() {
        /// How many; a second one with a virtual IP is not supported yet.
        count "count": u8 = 1, one_load_balancer();
        /// Memory of each.
        // haproxy and an SSH server, with room.
        memory "memory": Memory = Memory::mib(256), at_least(Memory::mib(128));
        /// Processors of each.
        cpus "cpus": u8 = 1, whole(1..=64);
        /// How fast a dead node is noticed, everywhere where that is set. `fast`: regent's settings, measured.
        /// `kubeadm-docs`: the sample of kubeadm's high availability guide, and stock Kubernetes timers.
        tuning "tuning": Tuning = Tuning::default(), word();
    }
}

section! {
    /// Address ranges; they never overlap.
    NetworkSpec::defaults() {
        /// The nodes' network. Its first address is the gateway; load balancers have the addresses from 11, control-plane
        /// nodes from 21, workers from 31.
        // The range for benchmarks (RFC 2544), which no real network uses.
        cidr "cidr": Ipv4Net = range([198, 18, 0, 0], 24), ipv4_range();
        /// Pods; each node gets a /24 of it, control-plane nodes from the first, workers from the 17th.
        pod_subnet "podSubnet": Ipv4Net = range([10, 244, 0, 0], 16), ipv4_range();
        /// Services; /12 to /24.
        service_subnet "serviceSubnet": Ipv4Net = range([10, 96, 0, 0], 12), ipv4_range();
        /// Further names and addresses in the API servers' certificates.
        extra_sans "extraSans": Vec<String> = Vec::new(), sans(), omit "Vec::is_empty";
    }
}

impl ClusterSpec {
    /// How many load balancers there are: none where there is no endpoint but a node's own.
    pub fn load_balancers(&self) -> u8 {
        match self.control_plane.endpoint {
            Endpoint::LoadBalancer => self.load_balancer.count,
            Endpoint::None => 0,
        }
    }
}

fn range(address: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(address.into(), prefix)
}

section! {
    /// What runs the nodes.
    HypervisorSpec::defaults() {
        /// Which kind of node: `lxc` for system containers, `qemu` for virtual machines, `auto` for virtual machines
        /// where the processor really runs them, which is tried once, and else containers. With `qemu` a machine that cannot
        /// is emulated: ten times slower or worse, and no cluster of several control-plane nodes on two cores.
        driver "driver": DriverChoice = DriverChoice::Auto, word();
        /// Which libvirt: `private` for a daemon of the lab's own, or the URI of one that runs already, `lxc:///system` or
        /// `qemu:///system`. The latter must run QEMU as root (`user` in its qemu.conf): a lab's files are root's alone.
        /// `qemu+ssh://root@HOST/system` is the same on another host: `[USER@]HOST[:PORT]` as `ssh` takes it, then `keyfile`,
        /// `command` and `socket` as in libvirt's URIs. The user must be root there.
        connect "connect": Connect = Connect::Private, word();
    }
}

section! {
    /// What kubeadm is told besides. Settled for a cluster's life.
    KubeadmSpec::defaults() {
        /// Flags of `apiServer`, `controllerManager`, `scheduler`, `etcd` and `kubelet`, each a map without the leading `--`.
        /// What regent depends on is refused.
        extra_args "extraArgs": ExtraArgs = ExtraArgs::default(), extra_args(), omit "ExtraArgs::is_empty";
        /// Directory of kubeadm's patches, relative to the file: files named `TARGET[SUFFIX][+TYPE].yaml` or `.json`, as `kubeadm
        /// init` takes them. They change what kubeadm writes on every node. None by default.
        patches "patches": Option<Utf8PathBuf> = None, directory("patches"), omit "Option::is_none";
    }
}

section! {
    /// Backups of etcd and of the cluster's keys, encrypted.
    BackupSpec::defaults() {
        /// Whom they are encrypted to: an age recipient, as `age-keygen` prints it. Without one there are none.
        recipient "recipient": Option<Recipient> = None, recipient(), omit "Option::is_none";
        /// How often the control-plane node with etcd's leader makes one. It needs no regent for that.
        every "every": Period = Period::hours(6), word();
        /// How many of them each control-plane node keeps.
        keep "keep": u8 = 14, whole(1..=u8::MAX);
        /// Their directory on the control-plane nodes: let it be a mount of something that outlives them.
        to "to": Utf8PathBuf = "/var/lib/regent/backups".into(), on_nodes("/var/lib/regent/backups");
    }
}

impl BackupSpec {
    /// Whether there are no backups. What else is said of them is refused then.
    fn is_none(&self) -> bool {
        self.recipient.is_none()
    }
}

/// The top level, as if it were a section of a key without name.
pub(super) static ROOT: Key = Key {
    name: "",
    doc: ClusterSpec::ABOUT,
    what: || nested::<ClusterSpec>().what,
};

/// The top level and every section below it.
pub(super) fn sections() -> impl Iterator<Item = &'static Key> {
    let below = ClusterSpec::KEYS
        .iter()
        .filter(|key| !key.keys().is_empty());
    std::iter::once(&ROOT).chain(below)
}
