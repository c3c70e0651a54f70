//! A verdict in words, for a terminal.

use std::fmt::Write;

use super::sample::Probe;
use super::subject::ACCELERATOR;
use super::verdict::{Ruling, Verdict};
use crate::render::libvirt::Accelerator;

/// Returns the verdict in one line:
/// `PASS etcd leader m2 lost power: new connections 1.1 s, writes 1.8 s, 0 of 259 acknowledged writes lost`.
pub fn headline(verdict: &Verdict) -> String {
    let word = word(verdict.verdict);
    let words = &verdict.fault.words;
    if verdict.verdict == Ruling::Void {
        let why = verdict.reasons.first().map_or("", String::as_str);
        return format!("{word} {words}: {why}");
    }
    let outages = Probe::ALL
        .into_iter()
        .filter(|probe| *probe != Probe::Watch)
        .filter_map(|probe| {
            let report = verdict.probes.get(&probe)?;
            let outage = match (report.recovered, report.outage_ms) {
                (false, _) => "never back".to_owned(),
                (true, 0.0) => "no outage".to_owned(),
                (true, ms) => seconds(ms),
            };
            Some(format!("{} {outage}", probe.title()))
        })
        .collect::<Vec<_>>()
        .join(", ");
    let ledger = &verdict.ledger;
    let data = if ledger.read {
        format!(
            "{} of {} acknowledged writes lost",
            ledger.lost, ledger.acknowledged
        )
    } else {
        format!("{} acknowledged writes not checked", ledger.acknowledged)
    };
    let emulated = if is_emulated(verdict) {
        " (emulated: real machines take other times)"
    } else {
        ""
    };
    format!("{word} {words}: {outages}, {data}{emulated}")
}

/// Whether the nodes' processors were emulated, so that no time in the verdict is that of a real machine.
pub(super) fn is_emulated(verdict: &Verdict) -> bool {
    let accelerator = verdict.subject.versions.get(ACCELERATOR);
    accelerator.is_some_and(|accelerator| *accelerator == Accelerator::Emulated.to_string())
}

/// Returns the verdict as a short text: the headline, its reasons, and what was measured.
pub fn summary(verdict: &Verdict) -> String {
    let mut text = headline(verdict);
    text.push('\n');
    for reason in &verdict.reasons {
        let _ = writeln!(text, "  {reason}");
    }
    let _ = writeln!(
        text,
        "\n  {:<18} {:>8} {:>7} {:>5} {:>9} {:>9} {:>9} {:>9} {:>9} {:>11}",
        "probe",
        "samples",
        "failed",
        "slow",
        "outage",
        "longest",
        "gap",
        "p50",
        "p99",
        "late (p99)"
    );
    for (probe, report) in &verdict.probes {
        let _ = writeln!(
            text,
            "  {:<18} {:>8} {:>7} {:>5} {:>9} {:>9} {:>9} {:>9} {:>9} {:>11}",
            probe.title(),
            report.samples,
            report.failed,
            report.slow,
            seconds(report.outage_ms),
            seconds(report.max_ms),
            seconds(report.longest_gap_ms),
            milliseconds(report.p50_ms),
            milliseconds(report.p99_ms),
            milliseconds(report.late_starts.p99_ms),
        );
    }
    if !verdict.inside.is_empty() {
        let _ = writeln!(
            text,
            "\n  {:<18} {:>9} {:>7} {:>9} {:>16} {:>10}",
            "inside, worst node", "questions", "failed", "silence", "unanswered, 30 s", "node"
        );
    }
    for (of, report) in &verdict.inside {
        let _ = writeln!(
            text,
            "  {:<18} {:>9} {:>7} {:>9} {:>16} {:>10}",
            of.title(),
            report.questions,
            report.failed,
            seconds(report.silence_ms),
            format!("{:.0} %", report.unanswered_share * 100.0),
            report.node,
        );
    }
    text.push('\n');
    for line in facts(verdict) {
        let _ = writeln!(text, "  {line}");
    }
    text
}

/// Returns what else was found, one line each.
pub(super) fn facts(verdict: &Verdict) -> Vec<String> {
    let (ledger, watch, recovery) = (&verdict.ledger, &verdict.watch, &verdict.recovery);
    let operation = verdict.operation.as_ref();
    let ended = operation.and_then(|operation| operation.status);
    let took = verdict.phases.fault.zip(verdict.phases.applied);
    let mut lines: Vec<_> = ended
        .zip(took)
        .map(|(status, (from, to))| {
            format!(
                "command: ended with {status} after {}",
                seconds(to.millis_from(from))
            )
        })
        .into_iter()
        .collect();
    lines.extend([
        format!(
            "writes: {} acknowledged, {} rejected, {} indeterminate ({} of them stored), {} lost, {} stale reads",
            ledger.acknowledged,
            ledger.rejected,
            ledger.indeterminate,
            ledger.indeterminate_stored,
            ledger.lost,
            ledger.stale_reads,
        ),
        format!(
            "watch: {} delivered, {} missed, {} duplicated, {} reconnections",
            watch.delivered,
            watch.missed.len(),
            watch.duplicated.len(),
            watch.reconnections,
        ),
    ]);
    let times = [
        ("load balancer took it out", recovery.server_down_ms),
        ("new etcd leader", recovery.leader_ms),
        ("leases moved", recovery.leases_ms),
        ("NotReady", recovery.not_ready_ms),
        ("pods evicted", recovery.evicted_ms),
        ("pods Ready elsewhere", recovery.pods_elsewhere_ms),
        ("node Ready again after its start", recovery.node_ready_ms),
    ];
    let seen: Vec<_> = times
        .into_iter()
        .filter_map(|(what, ms)| Some(format!("{what} {}", seconds(ms?))))
        .collect();
    if !seen.is_empty() {
        lines.push(format!("cluster: {}", seen.join(", ")));
    }
    lines.push(format!(
        "probes took {:.1} % of one core",
        verdict.tester.cpu_share * 100.0
    ));
    if let Some(weakness) = &verdict.fault.weakness {
        lines.push(format!("note: {weakness}"));
    }
    lines
}

/// Returns the ruling's word for people.
pub(super) fn word(ruling: Ruling) -> &'static str {
    match ruling {
        Ruling::Pass => "PASS",
        Ruling::Fail => "FAIL",
        Ruling::Void => "VOID",
    }
}

pub(super) fn seconds(ms: f64) -> String {
    format!("{:.2} s", ms / 1e3)
}

pub(super) fn milliseconds(ms: f64) -> String {
    format!("{ms:.1} ms")
}
