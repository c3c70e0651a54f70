//! The figures themselves, where a limit would not tell a wrong one.

use super::*;
use crate::verify::RunRecord;
use crate::verify::outage::Latency;
use crate::verify::verdict::{HealingReport, ProbeReport};

#[test]
fn the_figures_of_the_good_run() {
    let verdict = judged(|_| {});
    let measured = verdict
        .budgets
        .iter()
        .map(|check| (check.budget, check.measured_ms.unwrap()));
    assert_eq!(
        measured.collect::<Vec<_>>(),
        [
            (Budget::NewConnectionOutage, 957.2),
            // The time between two answers while the node came back: there was no outage.
            (Budget::ReusedConnectionOutage, 52.0),
            (Budget::ReadOutage, 1223.9),
            (Budget::WriteOutage, 1211.4),
            (Budget::WatchGap, 1249.8),
            (Budget::HangingRequests, 1525.0),
            (Budget::ClusterDnsSilence, 100.0),
            (Budget::KubernetesServiceSilence, 200.0),
            (Budget::PodServiceSilence, 200.0),
            (Budget::NodeReady, 20_000.0),
        ]
    );
    assert_eq!(verdict.watch.reconnections, 1);
    // Every third question of 15 of 30 seconds. The first of two nodes that had it as bad is named.
    assert_eq!(
        verdict.inside[&Dependency::KubernetesService],
        InsideReport {
            node: "m1".parse().unwrap(),
            questions: 650,
            failed: 50,
            silence_ms: 200.0,
            silence_at_ms: 102.0,
            unanswered_share: 50.0 / 300.0,
            recovered: true,
        }
    );
}

#[test]
fn what_a_probe_saw() {
    let ms = |ms: u64| Moment(ms * 1000);
    let sample = |start: u64, took: u64, outcome| Sample {
        probe: Probe::Read,
        scheduled: ms(start),
        start: ms(start),
        end: ms(start + took),
        outcome,
    };
    let samples = [
        sample(8000, 10, Outcome::Good),
        // Answered as the fault struck: no longer of before.
        sample(9000, 1000, Outcome::Good),
        // Caught in flight.
        sample(9500, 3000, Outcome::Timeout),
        sample(10_000, 20, Outcome::Closed),
        sample(10_500, 1500, Outcome::Good),
        sample(11_000, 30, Outcome::Good),
        sample(50_000, 10, Outcome::Good),
    ];
    let phases = Phases {
        load: ms(0),
        fault: Some(FAULT),
        applied: Some(FAULT),
        heal: Some(HEAL),
        ready: Some(HEAL),
        end: ms(60_000),
    };
    let run = RunRecord {
        phases,
        ..crate::verify::fixture::evidence().run
    };
    let found = View::new(Probe::Read, &samples, &run).report();
    // Of the four from the fault on.
    assert!((found.p99_ms - 1500.0).abs() < 1.0, "{found:?}");
    let expected = ProbeReport {
        samples: 7,
        failed: 2,
        slow: 1,
        outage_ms: 1030.0,
        recovered: true,
        cleared_ms: 2500.0,
        longest_gap_ms: 38_980.0,
        longest_gap_at_ms: 1030.0,
        p50_ms: 20.0,
        p99_ms: found.p99_ms,
        max_ms: 2500.0,
        failures: BTreeMap::from([("closed".to_owned(), 1), ("timeout".to_owned(), 1)]),
        baseline: Latency {
            p50_ms: 10.0,
            p99_ms: 10.0,
            max_ms: 10.0,
        },
        healing: Some(HealingReport {
            outage_ms: 0.0,
            recovered: true,
            longest_gap_ms: 38_980.0,
        }),
        late_starts: found.late_starts,
    };
    assert_eq!(found, expected);
}

#[test]
fn a_missed_budget_is_told_in_seconds() {
    let verdict = judged(|evidence| {
        evidence.run.budgets_ms.insert(Budget::WriteOutage, 1200);
    });
    let told = "outage of writes: 1.21 s, the budget is 1.2 s";
    assert_eq!(verdict.reasons, [told]);
}
