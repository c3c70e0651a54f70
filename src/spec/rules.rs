//! The rules between values: what each value alone allows, but not together, or not on this machine.

use ipnet::Ipv4Net;

use super::diagnostic::{Mark, ValueError};
use super::reader::Positions;
use super::units::Memory;
use super::{ClusterSpec, Driver, DriverChoice, Machine};

/// Ranges that no network of a cluster may touch (RFC 6890, RFC 5771).
const RESERVED: [(&str, &str); 5] = [
    ("0.0.0.0/8", "\"this network\""),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
];

/// The first host of the workers in the nodes' network; gateway, load balancers and control-plane nodes stand before.
const FIRST_WORKER_HOST: u64 = 31;

/// The last host that a control-plane node can have: nine of them from host 21.
const LAST_CONTROL_PLANE_HOST: u64 = 29;

/// The first worker's /24 in the pod range, counted from 0; control-plane nodes stand before.
const FIRST_WORKER_SUBNET: u64 = 16;

/// What a control-plane node, a worker and a load balancer use at least with nothing to do: the default cluster (3, 2,
/// 1) was measured at 2 GB in all.
const IDLE_USE: [Memory; 3] = [Memory::mib(500), Memory::mib(200), Memory::mib(50)];

/// How far the nodes' limits may exceed the machine's memory before it is worth a warning. Limits are ceilings: the
/// default cluster uses a fifth of its own.
const OVERCOMMIT: u64 = 2;

/// Checks everything that takes more than one value. Values that were reported already are not looked at.
pub(super) fn check(spec: &ClusterSpec, at: &Positions, machine: &Machine) -> Vec<Mark> {
    let mut marks = Vec::new();
    marks.extend(quorum(spec, at));
    marks.extend(driver(spec, at));
    marks.extend(ranges(spec, at));
    marks.extend(node_room(spec, at));
    marks.extend(pod_room(spec, at));
    marks.extend(service_size(spec, at));
    if let Some(available) = machine.available_memory {
        marks.extend(memory(spec, at, Memory(available)));
    }
    marks
}

fn quorum(spec: &ClusterSpec, at: &Positions) -> Option<Mark> {
    let count = spec.control_plane.count;
    if !count.is_multiple_of(2) {
        return None;
    }
    let quorum = count / 2 + 1;
    let losses = match count - quorum {
        0 => "no loss".to_owned(),
        1 => "1 loss".to_owned(),
        losses => format!("{losses} losses"),
    };
    let message = format!(
        "{count} control-plane nodes survive {losses}: etcd needs a quorum of {quorum} of {count}"
    );
    let hint = format!(
        "take {} nodes for as many losses, or {} for one more",
        count - 1,
        count + 1
    );
    let span = at.of("controlPlane.count")?;
    Some(ValueError::new(message).hint(hint).at(span).warning())
}

fn driver(spec: &ClusterSpec, at: &Positions) -> Option<Mark> {
    if spec.hypervisor.driver != DriverChoice::Fixed(Driver::Qemu) {
        return None;
    }
    let error = ValueError::new("hypervisor.driver: `qemu` is not supported yet");
    let hint = "write `lxc`, or `auto` to have virtual machines as soon as they are";
    Some(error.hint(hint).at(at.of("hypervisor.driver")?))
}

/// No range may be reserved, or overlap another.
fn ranges(spec: &ClusterSpec, at: &Positions) -> Vec<Mark> {
    let network = &spec.network;
    let ranges: Vec<_> = [
        ("network.cidr", network.cidr),
        ("network.podSubnet", network.pod_subnet),
        ("network.serviceSubnet", network.service_subnet),
    ]
    .into_iter()
    .filter(|(path, _)| !at.is_wrong(path))
    .collect();
    let mut marks = Vec::new();
    for (path, range) in &ranges {
        let touched = RESERVED.iter().find(|(reserved, _)| {
            reserved
                .parse::<Ipv4Net>()
                .is_ok_and(|reserved| overlap(&reserved, range))
        });
        if let (Some((reserved, use_)), Some(span)) = (touched, at.of(path)) {
            let error = ValueError::new(format!("{path}: {range} overlaps {reserved} ({use_})"));
            marks.push(
                error
                    .hint("take a private range, such as `10.0.0.0/16` or `192.168.0.0/24`")
                    .at(span),
            );
        }
    }
    for (i, (path, range)) in ranges.iter().enumerate() {
        for (other_path, other) in &ranges[..i] {
            if !overlap(range, other) {
                continue;
            }
            let error = ValueError::new(format!("{path} {range} overlaps {other_path} {other}"));
            let (own, others) = (at.of(path), at.of(other_path));
            let hint = match (&own, &others) {
                (Some(_), Some(_)) => "move one of the two".to_owned(),
                (Some(_), None) => {
                    format!("{other_path} has its default; move this range, or set that one too")
                }
                _ => format!("{path} has its default; move this range, or set that one too"),
            };
            let Some(span) = own.clone().or(others.clone()) else {
                continue;
            };
            marks.push(
                error
                    .hint(hint)
                    .at(span)
                    .related(own.and(others), "the other range"),
            );
        }
    }
    marks
}

fn overlap(a: &Ipv4Net, b: &Ipv4Net) -> bool {
    a.contains(b) || b.contains(a)
}

/// The nodes' network must have an address for the last worker, below its broadcast address.
fn node_room(spec: &ClusterSpec, at: &Positions) -> Option<Mark> {
    let workers = u64::from(spec.workers.count);
    let last = match workers {
        0 => LAST_CONTROL_PLANE_HOST,
        workers => FIRST_WORKER_HOST + workers - 1,
    };
    let cidr = spec.network.cidr;
    if at.is_wrong("network.cidr") || at.is_wrong("workers.count") || last < size(32, cidr) - 1 {
        return None;
    }
    let error = ValueError::new(format!(
        "network.cidr: {cidr} has no room for {}",
        nodes(workers)
    ));
    let hint = format!(
        "workers have the addresses from {FIRST_WORKER_HOST}: take a /{} or larger",
        prefix(32, last + 2)
    );
    let span = at.of("network.cidr").or(at.of("workers.count"))?;
    Some(
        error
            .hint(hint)
            .at(span)
            .related(at.of("workers.count"), "as many workers as this"),
    )
}

/// The pod range must have a /24 for the last node.
fn pod_room(spec: &ClusterSpec, at: &Positions) -> Option<Mark> {
    let range = spec.network.pod_subnet;
    if at.is_wrong("network.podSubnet") {
        return None;
    }
    // The controller manager hands out at most 2^16 subnets of one range.
    if range.prefix_len() < 8 {
        let error = ValueError::new(format!(
            "network.podSubnet: {range} is too large to give each node a /24"
        ));
        return Some(
            error
                .hint("take a /8 or smaller; /16 is usual")
                .at(at.of("network.podSubnet")?),
        );
    }
    let workers = u64::from(spec.workers.count);
    let needed = match workers {
        0 => u64::from(spec.control_plane.count),
        workers => FIRST_WORKER_SUBNET + workers,
    };
    if at.is_wrong("workers.count")
        || at.is_wrong("controlPlane.count")
        || needed <= size(24, range)
    {
        return None;
    }
    let error = ValueError::new(format!(
        "network.podSubnet: {range} has no /24 for each of {}",
        nodes(workers)
    ));
    let hint = format!(
        "workers have the /24s from the {}th: take a /{} or larger",
        FIRST_WORKER_SUBNET + 1,
        prefix(24, needed)
    );
    let span = at.of("network.podSubnet").or(at.of("workers.count"))?;
    Some(
        error
            .hint(hint)
            .at(span)
            .related(at.of("workers.count"), "as many workers as this"),
    )
}

/// Kubernetes takes no service range larger than /12; smaller than /24 leaves no room for services.
fn service_size(spec: &ClusterSpec, at: &Positions) -> Option<Mark> {
    let range = spec.network.service_subnet;
    let (size, hint) = match range.prefix_len() {
        ..12 => ("large", "Kubernetes takes a /12 or smaller"),
        12..=24 => return None,
        _ => ("small", "take a /24 or larger"),
    };
    let error = ValueError::new(format!("network.serviceSubnet: {range} is too {size}"));
    let span = at
        .of("network.serviceSubnet")
        .filter(|_| !at.is_wrong("network.serviceSubnet"))?;
    Some(error.hint(hint).at(span))
}

/// How many blocks of the prefix length `unit` are in `range`; 0 if it is smaller than one.
fn size(unit: u8, range: Ipv4Net) -> u64 {
    unit.checked_sub(range.prefix_len())
        .map_or(0, |bits| 1 << bits)
}

/// The prefix length of the smallest range with `count` blocks of the prefix length `unit`.
fn prefix(unit: u32, count: u64) -> u32 {
    unit - count.next_power_of_two().ilog2()
}

fn nodes(workers: u64) -> String {
    match workers {
        0 => "the control-plane nodes".to_owned(),
        1 => "1 worker beside the control plane".to_owned(),
        workers => format!("{workers} workers beside the control plane"),
    }
}

/// No node may have more memory than the machine, and the machine must have what the idle nodes use. Limits that
/// exceed the machine's memory by far are worth a warning.
fn memory(spec: &ClusterSpec, at: &Positions, available: Memory) -> Vec<Mark> {
    let roles = [
        (
            "controlPlane",
            spec.control_plane.count,
            spec.control_plane.memory,
        ),
        ("workers", spec.workers.count, spec.workers.memory),
        (
            "loadBalancer",
            spec.load_balancer.count,
            spec.load_balancer.memory,
        ),
    ];
    let is_wrong = |role: &str| {
        ["count", "memory"]
            .iter()
            .any(|key| at.is_wrong(&format!("{role}.{key}")))
    };
    if roles.iter().any(|(role, ..)| is_wrong(role)) {
        return Vec::new();
    }
    let mut marks = Vec::new();
    for (role, count, memory) in roles {
        let path = format!("{role}.memory");
        if let Some(span) = at.of(&path).filter(|_| count > 0 && memory > available) {
            let error = ValueError::new(format!("{path}: {memory} is more than this machine has"));
            marks.push(
                error
                    .hint(format!("{} are available", rounded(available)))
                    .at(span),
            );
        }
    }
    if !marks.is_empty() {
        return marks;
    }
    let sum = |of: fn(u64, Memory) -> u64, amounts: [Memory; 3]| {
        let each = roles.iter().zip(amounts);
        Memory(
            each.map(|((_, count, _), amount)| of(u64::from(*count), amount))
                .sum(),
        )
    };
    let idle = sum(|count, amount| count * amount.0, IDLE_USE);
    let limits = sum(
        |count, amount| count * amount.0,
        roles.map(|(.., memory)| memory),
    );
    let places = [
        "controlPlane.count",
        "workers.count",
        "controlPlane.memory",
        "workers.memory",
        "name",
    ];
    let Some(span) = places.iter().find_map(|path| at.of(path)) else {
        return marks;
    };
    if idle > available {
        let error = ValueError::new(format!(
            "the machine has too little memory for the cluster: {} available",
            rounded(available)
        ));
        let hint = format!(
            "the nodes use {} with nothing to do: take fewer nodes, or free some memory",
            rounded(idle)
        );
        marks.push(error.hint(hint).at(span));
    } else if limits.0 > available.0.saturating_mul(OVERCOMMIT) {
        let error = ValueError::new(format!(
            "the nodes may use up to {} together, {} are available",
            rounded(limits),
            rounded(available)
        ));
        let hint = "that works while most of them are idle; else give them less memory, or take fewer nodes";
        marks.push(error.hint(hint).at(span).warning());
    }
    marks
}

/// An amount in words: GiB with one decimal.
fn rounded(memory: Memory) -> String {
    format!("{:.1} GiB", memory.0 as f64 / f64::from(1 << 30))
}
