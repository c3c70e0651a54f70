//! The rules of memory: what the nodes may use against what the machine has.

use super::diagnostic::{Mark, ValueError};
use super::reader::Positions;
use super::{ClusterSpec, Memory};

/// What a control-plane node, a worker and a load balancer use at least with nothing to do: the default cluster (3, 2,
/// 1) was measured at 2 GB in all, divided here by estimate.
const IDLE_USE: [Memory; 3] = [Memory::mib(500), Memory::mib(200), Memory::mib(50)];

/// How far the nodes' limits may exceed the machine's memory before it is worth a warning. Limits are ceilings: the
/// default cluster uses a fifth of its own.
const OVERCOMMIT: u64 = 2;

/// No node may have more memory than the machine, and the machine must have what the idle nodes use. Limits that
/// exceed the machine's memory by far are worth a warning.
pub(super) fn check(spec: &ClusterSpec, at: &Positions, available: Memory) -> Vec<Mark> {
    let (masters, workers, balancers) = (&spec.control_plane, &spec.workers, &spec.load_balancer);
    let roles = [
        ("controlPlane", masters.count, masters.memory),
        ("workers", workers.count, workers.memory),
        ("loadBalancer", spec.load_balancers(), balancers.memory),
    ];
    let is_wrong = |key: &str| {
        roles
            .iter()
            .any(|(role, ..)| at.is_wrong(&format!("{role}.{key}")))
    };
    if is_wrong("count") || is_wrong("memory") {
        return Vec::new();
    }
    let too_large = roles
        .iter()
        .filter(|(_, count, memory)| *count > 0 && *memory > available);
    let marks: Vec<_> = too_large
        .filter_map(|(role, _, memory)| {
            let path = format!("{role}.memory");
            let error = ValueError::new(format!("{path}: {memory} is more than this machine has"));
            Some(
                error
                    .hint(format!("{} are available", rounded(available)))
                    .at(at.of(&path)?),
            )
        })
        .collect();
    if !marks.is_empty() {
        return marks;
    }
    let sum = |amounts: [Memory; 3]| {
        let each = roles.iter().zip(amounts);
        Memory(
            each.map(|((_, count, _), amount)| u64::from(*count) * amount.0)
                .sum(),
        )
    };
    let (idle, limits) = (sum(IDLE_USE), sum(roles.map(|(.., memory)| memory)));
    together(at, idle, limits, available).into_iter().collect()
}

/// Judges all nodes together, at the first value that says how many or how large they are.
fn together(at: &Positions, idle: Memory, limits: Memory, available: Memory) -> Option<Mark> {
    let places = [
        "controlPlane.count",
        "workers.count",
        "controlPlane.memory",
        "workers.memory",
        "name",
    ];
    let span = places.iter().find_map(|path| at.of(path))?;
    let has = rounded(available);
    if idle > available {
        let error = ValueError::new(format!(
            "the machine has too little memory for the cluster: {has} available"
        ));
        let hint = format!(
            "the nodes use {} with nothing to do: take fewer nodes, or free some memory",
            rounded(idle)
        );
        return Some(error.hint(hint).at(span));
    }
    if limits.0 > available.0.saturating_mul(OVERCOMMIT) {
        let limits = rounded(limits);
        let error = ValueError::new(format!(
            "the nodes may use up to {limits} together, {has} are available"
        ));
        let hint = "that works while most of them are idle; else give them less memory, or take fewer nodes";
        return Some(error.hint(hint).at(span).warning());
    }
    None
}

/// An amount in words: GiB with one decimal.
fn rounded(memory: Memory) -> String {
    format!("{:.1} GiB", memory.0 as f64 / f64::from(1 << 30))
}
