//! From the wish to the plan.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::identity::{MacAddresses, bridge, uuid};
use crate::name::NodeName;
use crate::plan::{
    BackupPlan, ImageArchive, NetworkPlan, NodePlan, NodeRole, PATCHES, Plan, PlannedFile,
};
use crate::render;
use crate::spec::{ClusterSpec, Driver, Endpoint, Memory, layout};

/// What a role's nodes are called, and where the first of them stands in the nodes' range and in the pod range.
struct Places {
    prefix: &'static str,
    address: u32,
    pods: Option<u32>,
}

fn places(role: NodeRole) -> Places {
    let (prefix, address, pods) = match role {
        NodeRole::LoadBalancer => ("lb", layout::FIRST_LOAD_BALANCER_HOST, None),
        NodeRole::ControlPlane => (
            "m",
            layout::FIRST_CONTROL_PLANE_HOST,
            Some(layout::FIRST_CONTROL_PLANE_SUBNET),
        ),
        NodeRole::Worker => (
            "w",
            layout::FIRST_WORKER_HOST,
            Some(layout::FIRST_WORKER_SUBNET),
        ),
    };
    Places {
        prefix,
        address,
        pods,
    }
}

/// What stands beside a cluster's file and belongs to it: name and text, in the order of the names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Beside {
    /// The manifests.
    pub manifests: Vec<(String, String)>,
    /// kubeadm's patches.
    pub patches: Vec<(String, String)>,
    /// Archives of images.
    pub images: Vec<ImageArchive>,
}

/// Derives the plan of a valid spec, for the driver that was chosen and what was found beside the file. The same
/// arguments give the same plan, always and everywhere.
///
/// What belongs to a node follows from its cluster's name, its role and its number alone, so adding a node changes
/// nothing of another but the two files that must name it: `/etc/hosts` and `10-lab.network`, which routes to its pods. A further
/// control-plane node also stands in the load balancers' `haproxy.cfg`.
pub fn plan(spec: &ClusterSpec, driver: Driver, beside: Beside) -> Plan {
    let mut macs = MacAddresses::default();
    let network = network(spec, &mut macs);
    let load_balancer = &spec.load_balancer;
    let control_plane = &spec.control_plane;
    let workers = &spec.workers;
    let mut nodes = Vec::new();
    for (role, count, memory, cpus) in [
        (
            NodeRole::LoadBalancer,
            spec.load_balancers(),
            load_balancer.memory,
            load_balancer.cpus,
        ),
        (
            NodeRole::ControlPlane,
            control_plane.count,
            control_plane.memory,
            control_plane.cpus,
        ),
        (
            NodeRole::Worker,
            workers.count,
            workers.memory,
            workers.cpus,
        ),
    ] {
        for number in 1..=count {
            nodes.push(node(spec, &mut macs, role, number, memory, cpus));
        }
    }
    let mut plan = Plan {
        cluster: spec.name.clone(),
        kubernetes: spec.kubernetes,
        endpoint: control_plane.endpoint,
        tuning: spec.load_balancer.tuning,
        certificates: spec.certificates,
        driver,
        connect: spec.hypervisor.connect.clone(),
        network,
        nodes,
        extra_sans: spec.network.extra_sans.clone(),
        extra_args: spec.kubeadm.extra_args.clone(),
        patches: beside.patches,
        images: beside.images,
        backup: backup(spec),
        manifests: beside.manifests,
        budgets: spec.budgets,
    };
    for node in &mut plan.nodes {
        let (labels, taints) = match node.role {
            NodeRole::LoadBalancer => continue,
            NodeRole::ControlPlane => (&control_plane.labels, &control_plane.taints),
            NodeRole::Worker => (&workers.labels, &workers.taints),
        };
        (node.labels, node.taints) = (labels.clone(), taints.clone());
    }
    let files: Vec<_> = plan
        .nodes
        .iter()
        .map(|node| node_files(&plan, node))
        .collect();
    for (node, files) in plan.nodes.iter_mut().zip(files) {
        node.files = files;
    }
    plan
}

fn backup(spec: &ClusterSpec) -> Option<BackupPlan> {
    let backup = &spec.backup;
    Some(BackupPlan {
        recipient: backup.recipient.clone()?,
        every: backup.every,
        keep: backup.keep,
        to: backup.to.clone(),
    })
}

fn network(spec: &ClusterSpec, macs: &mut MacAddresses) -> NetworkPlan {
    let cluster = spec.name.as_str();
    let cidr = spec.network.cidr.trunc();
    let endpoint = match spec.control_plane.endpoint {
        Endpoint::LoadBalancer => layout::FIRST_LOAD_BALANCER_HOST,
        Endpoint::None => layout::FIRST_CONTROL_PLANE_HOST,
    };
    NetworkPlan {
        name: format!("regent-{cluster}"),
        bridge: bridge(cluster),
        uuid: uuid(&[cluster]),
        mac: macs.draw(&[cluster]),
        cidr,
        gateway: host(cidr, layout::GATEWAY_HOST),
        endpoint: host(cidr, endpoint),
        pod_subnet: spec.network.pod_subnet.trunc(),
        service_subnet: spec.network.service_subnet.trunc(),
    }
}

fn node(
    spec: &ClusterSpec,
    macs: &mut MacAddresses,
    role: NodeRole,
    number: u8,
    memory: Memory,
    cpus: u8,
) -> NodePlan {
    let places = places(role);
    let index = u32::from(number) - 1;
    #[expect(
        clippy::expect_used,
        reason = "a letter or two and a number of at most three digits are a node name"
    )]
    let name: NodeName = format!("{}{number}", places.prefix)
        .parse()
        .expect("a letter and digits");
    let identity = [spec.name.as_str(), name.as_str()];
    NodePlan {
        domain: format!("{}-{name}", spec.name),
        role,
        number,
        uuid: uuid(&identity),
        mac: macs.draw(&identity),
        address: host(spec.network.cidr, places.address + index),
        pod_subnet: places
            .pods
            .map(|first| pods(spec.network.pod_subnet, first + index)),
        memory,
        cpus,
        labels: BTreeMap::new(),
        taints: Vec::new(),
        files: Vec::new(),
        name,
    }
}

/// Returns the `n`-th address of a range. A valid spec's range is large enough.
fn host(range: Ipv4Net, n: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(range.network().to_bits().wrapping_add(n))
}

/// Returns the `n`-th /24 of a range, from 0. A valid spec's range is large enough.
fn pods(range: Ipv4Net, n: u32) -> Ipv4Net {
    Ipv4Net::new_assert(host(range, n << 8), 24)
}

fn node_files(plan: &Plan, node: &NodePlan) -> Vec<PlannedFile> {
    let file = |path: &str, content: String| PlannedFile {
        path: path.into(),
        mode: 0o644,
        content,
    };
    let mut files = vec![
        file("/etc/hosts", render::network::hosts(plan)),
        file("/etc/resolv.conf", render::network::resolver(plan)),
    ];
    if node.role == NodeRole::LoadBalancer {
        let config = render::haproxy::config(plan);
        files.push(file("/etc/haproxy/haproxy.cfg", config));
    }
    if let Some(subnet) = node.pod_subnet {
        let conflist = render::cni::conflist(subnet);
        files.push(file("/etc/cni/net.d/10-regent.conflist", conflist));
    }
    if let (Some(backup), NodeRole::ControlPlane) = (&plan.backup, node.role) {
        let [script, service, timer] = render::backup::FILES;
        files.push(PlannedFile {
            mode: 0o755,
            ..file(script, render::backup::script(&plan.cluster, backup))
        });
        files.push(file(service, render::backup::service()));
        files.push(file(timer, render::backup::timer(backup)));
    }
    if node.role != NodeRole::LoadBalancer {
        let patches = plan.patches.iter().map(|(name, text)| PlannedFile {
            mode: 0o600,
            ..file(&format!("{PATCHES}/{name}"), text.clone())
        });
        files.extend(patches);
    }
    let interface = render::network::interface(plan, node);
    files.push(file("/etc/systemd/network/10-lab.network", interface));
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}
