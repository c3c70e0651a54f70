//! The rules of address ranges: not reserved, apart from each other, and with room for every node.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::ClusterSpec;
use super::diagnostic::{Mark, ValueError};
use super::layout::{FIRST_CONTROL_PLANE_HOST, FIRST_WORKER_HOST, FIRST_WORKER_SUBNET};
use super::reader::Positions;
use super::types::MAX_CONTROL_PLANE;

const CIDR: &str = "network.cidr";
const PODS: &str = "network.podSubnet";
const SERVICES: &str = "network.serviceSubnet";
const WORKERS: &str = "workers.count";

/// Ranges that no network of a cluster may touch (RFC 6890).
const RESERVED: [(Ipv4Net, &str); 5] = [
    (
        Ipv4Net::new_assert(Ipv4Addr::new(0, 0, 0, 0), 8),
        "\"this network\"",
    ),
    (
        Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8),
        "loopback",
    ),
    (
        Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16),
        "link-local",
    ),
    (
        Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 4),
        "multicast",
    ),
    (
        Ipv4Net::new_assert(Ipv4Addr::new(240, 0, 0, 0), 4),
        "reserved",
    ),
];

pub(super) fn check(spec: &ClusterSpec, at: &Positions) -> Vec<Mark> {
    let network = &spec.network;
    let ranges = [
        (CIDR, network.cidr),
        (PODS, network.pod_subnet),
        (SERVICES, network.service_subnet),
    ];
    let mut marks = Vec::new();
    for (i, (path, range)) in ranges
        .iter()
        .enumerate()
        .filter(|(_, (path, _))| !at.is_wrong(path))
    {
        marks.extend(reserved(at, path, range));
        for (other_path, other) in ranges[..i].iter().filter(|(path, _)| !at.is_wrong(path)) {
            marks.extend(overlapping(at, (path, range), (other_path, other)));
        }
    }
    let is_sound = |paths: &[&str]| !paths.iter().any(|path| at.is_wrong(path));
    if is_sound(&[CIDR, WORKERS]) {
        marks.extend(node_room(spec, at));
    }
    if is_sound(&[PODS, WORKERS, "controlPlane.count"]) {
        marks.extend(pod_room(spec, at));
    }
    if is_sound(&[SERVICES]) {
        marks.extend(service_size(spec, at));
    }
    marks
}

fn reserved(at: &Positions, path: &str, range: &Ipv4Net) -> Option<Mark> {
    let (reserved, use_) = RESERVED
        .iter()
        .find(|(reserved, _)| overlap(reserved, range))?;
    let error = ValueError::new(format!("{path}: {range} overlaps {reserved} ({use_})"));
    let hint = "take a private range, such as `10.0.0.0/16` or `192.168.0.0/24`";
    Some(error.hint(hint).at(at.of(path)?))
}

fn overlapping(at: &Positions, one: (&str, &Ipv4Net), other: (&str, &Ipv4Net)) -> Option<Mark> {
    let ((path, range), (other_path, other_range)) = (one, other);
    if !overlap(range, other_range) {
        return None;
    }
    let error = ValueError::new(format!(
        "{path} {range} overlaps {other_path} {other_range}"
    ));
    let default = |path| format!("{path} has its default; move this range, or set that one too");
    match (at.of(path), at.of(other_path)) {
        (Some(span), Some(other)) => {
            let mark = error.hint("move one of the two").at(span);
            Some(mark.related(other, "the other range"))
        }
        (Some(span), None) => Some(error.hint(default(other_path)).at(span)),
        (None, other) => Some(error.hint(default(path)).at(other?)),
    }
}

fn overlap(a: &Ipv4Net, b: &Ipv4Net) -> bool {
    a.contains(b) || b.contains(a)
}

/// The nodes' network must have an address for the last node, below its broadcast address.
fn node_room(spec: &ClusterSpec, at: &Positions) -> Option<Mark> {
    let cidr = spec.network.cidr;
    let last = match u32::from(spec.workers.count) {
        // The place of the last control-plane node that there may be.
        0 => FIRST_CONTROL_PLANE_HOST + u32::from(MAX_CONTROL_PLANE) - 1,
        workers => FIRST_WORKER_HOST + workers - 1,
    };
    let needed = u64::from(last) + 2;
    if needed <= blocks(32, cidr) {
        return None;
    }
    let error = ValueError::new(format!("{CIDR}: {cidr} has no room for {}", nodes(spec)));
    let hint = format!(
        "control-plane nodes have the addresses from {FIRST_CONTROL_PLANE_HOST}, workers from {FIRST_WORKER_HOST}: \
         take a /{} or larger",
        prefix(32, needed)
    );
    Some(beside_workers(error.hint(hint).at(at.of(CIDR)?), at))
}

/// The pod range must have a /24 for the last node.
fn pod_room(spec: &ClusterSpec, at: &Positions) -> Option<Mark> {
    let range = spec.network.pod_subnet;
    // The controller manager hands out at most 2^16 subnets of one range (`clusterSubnetMaxDiff`).
    if range.prefix_len() < 8 {
        let error = ValueError::new(format!(
            "{PODS}: {range} is too large to give each node a /24"
        ));
        return Some(
            error
                .hint("take a /8 or smaller; /16 is usual")
                .at(at.of(PODS)?),
        );
    }
    let needed = match spec.workers.count {
        0 => u64::from(spec.control_plane.count),
        workers => u64::from(FIRST_WORKER_SUBNET) + u64::from(workers),
    };
    if needed <= blocks(24, range) {
        return None;
    }
    let error = ValueError::new(format!(
        "{PODS}: {range} has no /24 for each of {}",
        nodes(spec)
    ));
    let hint = format!(
        "control-plane nodes have the first {FIRST_WORKER_SUBNET}, workers those behind: take a /{} or larger",
        prefix(24, needed)
    );
    Some(beside_workers(error.hint(hint).at(at.of(PODS)?), at))
}

/// Kubernetes takes no service range larger than /12; smaller than /24 leaves no room for services.
fn service_size(spec: &ClusterSpec, at: &Positions) -> Option<Mark> {
    let range = spec.network.service_subnet;
    let (size, hint) = match range.prefix_len() {
        ..12 => ("large", "Kubernetes takes a /12 or smaller"),
        12..=24 => return None,
        _ => ("small", "take a /24 or larger"),
    };
    let error = ValueError::new(format!("{SERVICES}: {range} is too {size}"));
    Some(error.hint(hint).at(at.of(SERVICES)?))
}

fn beside_workers(mark: Mark, at: &Positions) -> Mark {
    match at.of(WORKERS) {
        Some(workers) => mark.related(workers, "as many workers as this"),
        None => mark,
    }
}

fn nodes(spec: &ClusterSpec) -> String {
    match spec.workers.count {
        0 => "the control-plane nodes".to_owned(),
        1 => "1 worker beside the control plane".to_owned(),
        workers => format!("{workers} workers beside the control plane"),
    }
}

/// How many blocks of the prefix length `unit` are in `range`; 0 if it is smaller than one.
fn blocks(unit: u8, range: Ipv4Net) -> u64 {
    unit.checked_sub(range.prefix_len())
        .map_or(0, |bits| 1 << bits)
}

/// The prefix length of the smallest range with `count` blocks of the prefix length `unit`.
fn prefix(unit: u32, count: u64) -> u32 {
    unit - count.next_power_of_two().ilog2()
}
