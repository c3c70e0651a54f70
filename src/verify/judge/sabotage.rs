//! Sabotage: for each promise a good run in which exactly that is broken, and what the verdict must say. A check without
//! its sabotage does not count. Runs of real clusters broken on purpose are in `vmtests/`.

use super::*;
use crate::verify::evidence::EvidenceError;
use crate::verify::fixture::{FAULT, HEAL, evidence};
use crate::verify::history::Fate;
use crate::verify::observation::Occurrence;
use crate::verify::sample::Outcome;
use crate::verify::{Delivery, Observation, Question};

mod data;
mod operation;
mod pods;

const S: u64 = 1_000_000;

/// What is broken, how the verdict must come out, and what it must say.
type Sabotage = (&'static str, fn(&mut Evidence), Ruling, &'static str);

/// Does each sabotage to a run that is good without it.
fn each(table: &[Sabotage]) {
    let good = judge(&evidence());
    assert_eq!((good.verdict, good.reasons), (Ruling::Pass, Vec::new()));
    for (name, spoil, ruling, reason) in table {
        let mut evidence = evidence();
        spoil(&mut evidence);
        evidence.events.sort_by_key(|event| event.at);
        let verdict = judge(&evidence);
        assert_eq!(verdict.verdict, *ruling, "{name}: {:?}", verdict.reasons);
        let said = verdict.reasons.iter().any(|said| said.contains(reason));
        assert!(said, "{name}: no `{reason}` in {:?}", verdict.reasons);
    }
}

/// Changes every sample of a probe that begins in these milliseconds after a moment.
fn samples(
    evidence: &mut Evidence,
    probe: Probe,
    (origin, from_ms, to_ms): (Moment, u64, u64),
    change: impl Fn(usize, &mut Sample),
) {
    let window = origin.0 + from_ms * 1000..origin.0 + to_ms * 1000;
    let hit = evidence
        .samples
        .iter_mut()
        .filter(|sample| sample.probe == probe && window.contains(&sample.start.0));
    for (number, sample) in hit.enumerate() {
        change(number, sample);
    }
}

/// Lets each so-many-th request of a probe fail.
fn fail_each(evidence: &mut Evidence, probe: Probe, each: usize, when: (Moment, u64, u64)) {
    samples(evidence, probe, when, |number, sample| {
        if number % each == 0 {
            sample.outcome = Outcome::Status(503);
        }
    });
}

fn saw(evidence: &mut Evidence, at: u64, what: Occurrence) {
    let at = Moment(at);
    evidence.events.push(Observation {
        at,
        blur_ms: 0,
        what,
    });
}

fn node(node: &str, ready: &str) -> Occurrence {
    Occurrence::Node {
        node: node.to_owned(),
        ready: ready.to_owned(),
    }
}

fn domain(node: &str, change: &str, running: bool) -> Occurrence {
    Occurrence::Domain {
        node: node.to_owned(),
        change: change.to_owned(),
        running,
    }
}

fn settled(history: &mut crate::verify::History, nth: usize) -> String {
    let mut acknowledged = history
        .writes
        .iter()
        .filter(|write| matches!(write.fate, Fate::Acknowledged(_)));
    acknowledged.nth(nth).unwrap().name.clone()
}

#[test]
fn case_partial() {
    each(&[
        (
            "every second request fails from the revert on",
            |evidence| fail_each(evidence, Probe::NewConnection, 2, (HEAL, 0, 60_000)),
            Ruling::Fail,
            "outage of new connections: never",
        ),
        (
            "every tenth request fails from the revert on",
            |evidence| fail_each(evidence, Probe::Read, 10, (HEAL, 0, 60_000)),
            Ruling::Fail,
            "outage of reads: never",
        ),
        (
            "half of the requests fail for longer than the budget",
            |evidence| fail_each(evidence, Probe::Write, 2, (HEAL, 4_000, 8_000)),
            Ruling::Fail,
            "outage of writes: 3.",
        ),
        (
            "half of the requests fail, twice, too long altogether",
            |evidence| {
                fail_each(evidence, Probe::Read, 2, (HEAL, 2_000, 4_000));
                fail_each(evidence, Probe::Read, 2, (HEAL, 14_000, 16_000));
            },
            Ruling::Fail,
            "outage of reads: 3.",
        ),
        (
            "half of the requests fail in the hold, long after the fault",
            |evidence| fail_each(evidence, Probe::Read, 2, (FAULT, 20_000, 24_000)),
            Ruling::Fail,
            "outage of reads",
        ),
    ]);
    // What the boot of a node costs a small machine is no outage.
    let mut evidence = evidence();
    fail_each(&mut evidence, Probe::Read, 40, (HEAL, 0, 20_000));
    fail_each(&mut evidence, Probe::Write, 2, (HEAL, 6_000, 8_000));
    let verdict = judge(&evidence);
    assert_eq!(verdict.verdict, Ruling::Pass, "{:?}", verdict.reasons);
}

#[test]
fn case_stall() {
    each(&[(
        "tester stopped for 3 s at the fault",
        |evidence| {
            let until = Moment(FAULT.0 + 3 * S);
            for sample in &mut evidence.samples {
                if sample.scheduled >= FAULT && sample.scheduled < until {
                    let took = sample.end.since(sample.start);
                    sample.start = until;
                    sample.end = until.after(took);
                }
            }
        },
        Ruling::Void,
        "the tester stood still: no sample of writes was begun for 3.0",
    )]);
    // Even a shorter stop is not hidden: a request waits from its turn on.
    let mut sample = evidence().samples[0];
    sample.scheduled = FAULT;
    sample.start = Moment(FAULT.0 + 3 * S);
    sample.end = Moment(FAULT.0 + 3 * S + 1000);
    sample.outcome = Outcome::Good;
    assert!(sample.slow() && sample.latency().as_millis() == 3001);
}

#[test]
fn case_hang() {
    each(&[(
        "two clients on kept connections hang until they give up, and nobody else does",
        |evidence| {
            samples(
                evidence,
                Probe::ReusedConnection,
                (FAULT, 0, 100),
                |_, sample| {
                    sample.end = sample.start.after(Duration::from_secs(10));
                    sample.outcome = Outcome::Timeout;
                },
            );
        },
        Ruling::Fail,
        "longest hanging request: 10.0",
    )]);
    each(&[
        (
            "one API server's watch is silent for 10 s, and the others are well",
            |evidence| {
                let silent = FAULT..FAULT.after(Duration::from_secs(10));
                for delivery in &mut evidence.history.deliveries {
                    if delivery.watch == "m1" && silent.contains(&delivery.at) {
                        delivery.at = silent.end;
                    }
                }
            },
            Ruling::Fail,
            "watch: 10.",
        ),
        (
            "no watch on one API server",
            |evidence| evidence.history.covered[2].watched = false,
            Ruling::Void,
            "no watch on the API server of m3",
        ),
        (
            "no kept connection on two API servers",
            |evidence| {
                for covered in &mut evidence.history.covered[..2] {
                    covered.kept = 0;
                }
            },
            Ruling::Void,
            "no kept connection on the API server of m1, m2",
        ),
        (
            "nobody looked where connections ended",
            |evidence| evidence.history.covered.clear(),
            Ruling::Void,
            "nobody knows which API servers had clients",
        ),
    ]);
}

#[test]
fn case_write_hang() {
    let hanging = |seconds: f64| {
        let mut evidence = evidence();
        let when = (FAULT, 200, 260);
        samples(&mut evidence, Probe::Write, when, |_, sample| {
            sample.end = sample.start.after(Duration::from_secs_f64(seconds));
        });
        judge(&evidence)
    };
    // What etcd's request timeout makes of a write that was handed to the lost leader.
    let caught = hanging(7.3);
    assert_eq!(caught.verdict, Ruling::Pass, "{:?}", caught.reasons);
    let figure = |verdict: &Verdict| {
        let mut budgets = verdict.budgets.iter();
        let check = budgets.find(|check| check.budget == Budget::HangingRequests);
        check.unwrap().measured_ms.unwrap()
    };
    assert!((7_300.0..7_400.0).contains(&figure(&caught)));
    let hung = hanging(10.0);
    assert_eq!(hung.verdict, Ruling::Fail);
    assert!((10_000.0..10_100.0).contains(&figure(&hung)));
}

#[test]
fn case_after() {
    each(&[
        (
            "revived server still DOWN in haproxy",
            |evidence| {
                let missing = "load balancer: lb1 does not use m2".to_owned();
                evidence.run.after = Some(vec![missing]);
            },
            Ruling::Fail,
            "not as before the fault: load balancer: lb1 does not use m2",
        ),
        (
            "nobody looked",
            |evidence| evidence.run.after = None,
            Ruling::Fail,
            "nobody looked",
        ),
        (
            "a bystander NotReady",
            |evidence| saw(evidence, FAULT.0 + 21 * S, node("w2", "Unknown")),
            Ruling::Fail,
            "w2 was not hit and yet not Ready (its condition became Unknown 21.0 s after the fault)",
        ),
        (
            "the load balancer goes on sending to the dead server",
            |evidence| fail_each(evidence, Probe::NewConnection, 3, (FAULT, 0, 30_000)),
            Ruling::Fail,
            "outage of new connections",
        ),
    ]);
}

#[test]
fn runs_that_show_nothing() {
    each(&[
        (
            "node revived in the hold",
            |evidence| saw(evidence, FAULT.0 + 12 * S, domain("m2", "started", true)),
            Ruling::Void,
            "the fault did not last: m2 started 12.0 s after the fault",
        ),
        (
            "unplugged node plugged in again in the hold",
            |evidence| {
                evidence.run.fault.kind = "link-down".to_owned();
                saw(evidence, FAULT.0 + 25 * S, node("m2", "True"));
            },
            Ruling::Void,
            "the fault did not last: m2 was Ready again 25.0 s after the fault",
        ),
        (
            "a watcher saw the fault reverted before its time",
            |evidence| {
                let seen = "the fault did not last: m2's link was up after 3.0 s".to_owned();
                evidence.run.violations.push(seen);
            },
            Ruling::Void,
            "m2's link was up",
        ),
        (
            "another node stopped meanwhile",
            |evidence| saw(evidence, FAULT.0 + 12 * S, domain("m3", "stopped", false)),
            Ruling::Void,
            "something else changed the cluster: m3 stopped 12.0 s after the fault",
        ),
        (
            "fault that did not take effect",
            |evidence| evidence.run.proofs[1].holds = false,
            Ruling::Void,
            "the fault did not bite",
        ),
        (
            "load at a tenth",
            |evidence| {
                let turn = |sample: &Sample| sample.scheduled.0 / 50_000;
                evidence.samples.retain(|s| turn(s).is_multiple_of(10));
            },
            Ruling::Void,
            "the load was too low",
        ),
        (
            "load asked for at a tenth",
            |evidence| {
                let turn = |sample: &Sample| sample.scheduled.0 / 50_000;
                evidence.samples.retain(|s| turn(s).is_multiple_of(10));
                evidence.run.load.rate_hz = 2;
            },
            Ruling::Void,
            "2 samples a second of each probe",
        ),
        (
            "history of another run",
            |evidence| evidence.run.name = "20261122T202600Z-other-kill-m1".to_owned(),
            Ruling::Void,
            "the evidence is of another run",
        ),
    ]);
}

#[test]
fn evidence_of_another_cluster_is_refused() {
    let [own, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let path = |dir: &tempfile::TempDir| camino::Utf8PathBuf::try_from(dir.path().to_owned());
    let (own, other) = (path(&own).unwrap(), path(&other).unwrap());
    std::fs::create_dir_all(&own).unwrap();
    std::fs::create_dir_all(&other).unwrap();
    let mut foreign = evidence();
    foreign.run.cluster = "other".parse().unwrap();
    foreign.samples.truncate(4000);
    foreign.events.truncate(5);
    foreign.history.deliveries.truncate(5);
    for file in ["samples.jsonl", "events.jsonl", "history.jsonl", "run.json"] {
        evidence().write(&own).unwrap();
        foreign.write(&other).unwrap();
        assert_eq!(Evidence::read(&own).unwrap(), evidence());
        std::fs::copy(other.join(file), own.join(file)).unwrap();
        let refused = crate::verify::evaluate(&own).unwrap_err();
        assert!(
            matches!(refused, EvidenceError::Foreign { .. }),
            "{file}: {refused}"
        );
    }
}
