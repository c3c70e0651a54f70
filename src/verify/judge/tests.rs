use super::*;
use crate::verify::evidence::Workload;
use crate::verify::fixture::{FAULT, HEAL, evidence};
use crate::verify::observation::{Observation, Occurrence, PodState};
use crate::verify::sample::Outcome;

mod figures;
mod limits;
mod surroundings;

/// Judges the good run after `spoil` has changed it.
fn judged(spoil: impl FnOnce(&mut Evidence)) -> Verdict {
    let mut evidence = evidence();
    spoil(&mut evidence);
    judge(&evidence)
}

fn expect(verdict: &Verdict, ruling: Ruling, reason: &str) {
    assert_eq!(verdict.verdict, ruling, "{:?}", verdict.reasons);
    let named = verdict.reasons.iter().any(|found| found.contains(reason));
    assert!(named, "no `{reason}` in {:?}", verdict.reasons);
}

#[test]
fn a_good_run_passes() {
    let verdict = judged(|_| {});
    assert_eq!(
        (verdict.verdict, &verdict.reasons),
        (Ruling::Pass, &Vec::new())
    );
    assert!(verdict.budgets.iter().all(|check| check.held));
    // One for each probe, one for the longest of all requests, three inside, and the node's return; no pods were to move.
    assert_eq!(verdict.budgets.len(), 10);
}

#[test]
fn a_lost_write_fails_whatever_else_is_true() {
    let verdict = judged(|evidence| {
        evidence.history.stored.as_mut().unwrap().remove(7);
        evidence.run.proofs.clear();
    });
    expect(
        &verdict,
        Ruling::Fail,
        "acknowledged writes lost: 1 (w-000007)",
    );
}

#[test]
fn a_broken_budget_fails() {
    let verdict = judged(|evidence| {
        evidence.run.budgets_ms.insert(Budget::WriteOutage, 1000);
    });
    expect(&verdict, Ruling::Fail, "outage of writes");
}

#[test]
fn an_outage_that_never_ends_fails() {
    let verdict = judged(|evidence| {
        let reads = |sample: &&mut Sample| sample.probe == Probe::Read && sample.start > FAULT;
        for sample in evidence.samples.iter_mut().filter(reads) {
            sample.outcome = Outcome::Status(503);
        }
    });
    expect(&verdict, Ruling::Fail, "outage of reads: never");
    assert!(!verdict.probes[&Probe::Read].recovered);
}

#[test]
fn a_gap_while_healing_counts_on_its_own() {
    let spoil = |evidence: &mut Evidence, from_ms: u64, to_ms: u64| {
        let (from, to) = (HEAL.0 + from_ms * 1000, HEAL.0 + to_ms * 1000);
        let hit = |sample: &&mut Sample| {
            sample.probe == Probe::NewConnection && (from..to).contains(&sample.start.0)
        };
        for sample in evidence.samples.iter_mut().filter(hit) {
            sample.outcome = Outcome::Connect;
        }
    };
    let within = judged(|evidence| spoil(evidence, 2000, 3000));
    assert_eq!(within.verdict, Ruling::Pass, "{:?}", within.reasons);
    let report = &within.probes[&Probe::NewConnection];
    assert!(report.outage_ms < 2000.0 && report.healing.unwrap().outage_ms > 900.0);
    let beyond = judged(|evidence| spoil(evidence, 2000, 5000));
    expect(&beyond, Ruling::Fail, "outage of new connections");
}

#[test]
fn a_fault_that_did_not_bite_makes_the_run_void() {
    let verdict = judged(|evidence| evidence.run.proofs[1].holds = false);
    expect(
        &verdict,
        Ruling::Void,
        "the fault did not bite: not so that m2 no longer answers",
    );
    let verdict = judged(|evidence| evidence.run.proofs.clear());
    expect(&verdict, Ruling::Void, "the fault did not bite");
    let verdict = judged(|evidence| evidence.run.phases.fault = None);
    expect(&verdict, Ruling::Void, "no fault was injected");
    assert!(verdict.budgets.is_empty());
}

#[test]
fn a_cluster_that_was_sick_before_makes_the_run_void() {
    let verdict = judged(|evidence| evidence.run.sick.push("nodes: not ready: w2".to_owned()));
    expect(&verdict, Ruling::Void, "sick before: nodes: not ready: w2");
    let verdict = judged(|evidence| {
        for sample in evidence.samples.iter_mut().take(100) {
            sample.outcome = Outcome::Timeout;
        }
    });
    expect(
        &verdict,
        Ruling::Void,
        "samples of new connections were bad",
    );
}

#[test]
fn a_single_stall_before_the_fault_is_forgiven() {
    let verdict = judged(|evidence| evidence.samples[40].outcome = Outcome::Timeout);
    assert_eq!(verdict.verdict, Ruling::Pass, "{:?}", verdict.reasons);
}

#[test]
fn too_low_a_load_makes_the_run_void() {
    let verdict = judged(|evidence| {
        evidence
            .samples
            .retain(|s| s.scheduled.0 % 200_000 < 100_000);
    });
    expect(&verdict, Ruling::Void, "the load was too low");
    let verdict = judged(|evidence| {
        for sample in evidence.samples.iter_mut().step_by(5) {
            sample.scheduled = Moment(sample.scheduled.0.saturating_sub(400_000));
        }
    });
    expect(&verdict, Ruling::Void, "started over 250 ms late");
}

#[test]
fn without_the_final_read_nothing_is_proven() {
    let verdict = judged(|evidence| evidence.history.stored = None);
    expect(
        &verdict,
        Ruling::Fail,
        "the quorum read after healing was not done",
    );
}

#[test]
fn what_went_wrong_afterwards_fails() {
    let verdict = judged(|evidence| {
        evidence.run.phases.ready = None;
        evidence
            .run
            .trouble
            .push("m2 was not back after 240 s: it is not Ready".to_owned());
    });
    expect(&verdict, Ruling::Fail, "m2 was not back");
    expect(&verdict, Ruling::Fail, "node Ready again: never");
}

#[test]
fn the_clusters_reactions_are_read_off_the_observations() {
    let found = judged(|_| {}).recovery;
    assert_eq!(found.server_down_ms, Some(1580.0));
    assert_eq!(found.leader_ms, Some(1400.0));
    assert_eq!(found.leases_ms, Some(15_300.0));
    assert_eq!(found.not_ready_ms, Some(21_000.0));
    assert_eq!(found.node_ready_ms, Some(20_000.0));
    assert_eq!(found.pods_elsewhere_ms, None);
}

#[test]
fn a_lost_workers_pods_are_followed() {
    let pod = |at_s: u64, pod: &str, node: &str, state| Observation {
        at: Moment(FAULT.0 + at_s * 1_000_000),
        blur_ms: 500,
        what: Occurrence::Pod {
            pod: pod.to_owned(),
            node: node.to_owned(),
            state,
        },
    };
    let verdict = judged(|evidence| {
        evidence.run.fault.node = Some("w1".parse().unwrap());
        evidence.run.workload = Some(Workload { replicas: 2 });
        let mut before = pod(0, "a", "w1", PodState::Ready);
        before.at = Moment(0);
        let mut other = pod(0, "b", "w2", PodState::Ready);
        other.at = Moment(0);
        evidence.events.extend([
            before,
            other,
            pod(20, "a", "w1", PodState::Waiting),
            pod(26, "a", "w1", PodState::Leaving),
            pod(26, "c", "w2", PodState::Waiting),
            pod(28, "c", "w2", PodState::Ready),
        ]);
        evidence.events.sort_by_key(|event| event.at);
    });
    assert_eq!(verdict.recovery.evicted_ms, Some(26_000.0));
    assert_eq!(verdict.recovery.pods_elsewhere_ms, Some(28_000.0));
    let pods = verdict
        .budgets
        .iter()
        .find(|check| check.budget == Budget::PodsElsewhere);
    assert!(pods.unwrap().held);
}

#[test]
fn a_verdict_survives_its_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = camino::Utf8Path::from_path(directory.path()).unwrap();
    let evidence = evidence();
    evidence.write(path).unwrap();
    assert_eq!(Evidence::read(path).unwrap(), evidence);
    assert_eq!(crate::verify::evaluate(path).unwrap(), judge(&evidence));
    let json = serde_json::to_string(&judge(&evidence)).unwrap();
    assert_eq!(
        serde_json::from_str::<Verdict>(&json).unwrap(),
        judge(&evidence)
    );
}

#[test]
fn damaged_evidence_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = camino::Utf8Path::from_path(directory.path()).unwrap();
    evidence().write(path).unwrap();
    std::fs::write(path.join("events.jsonl"), "{}\n").unwrap();
    let error = crate::verify::evaluate(path).unwrap_err().to_string();
    assert!(
        error.contains("events.jsonl does not belong to run.json"),
        "{error}"
    );
    // Even where somebody has written the hash anew.
    let run = std::fs::read_to_string(path.join("run.json")).unwrap();
    let mut run: serde_json::Value = serde_json::from_str(&run).unwrap();
    run["files"]["events.jsonl"] = crate::verify::subject::digest("{}\n").into();
    std::fs::write(path.join("run.json"), run.to_string()).unwrap();
    let error = crate::verify::evaluate(path).unwrap_err().to_string();
    assert!(
        error.ends_with("events.jsonl:1 is no evidence that this regent knows"),
        "{error}"
    );
}
