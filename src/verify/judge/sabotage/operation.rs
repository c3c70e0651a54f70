//! Runs whose fault is a command.

use super::*;
use crate::spec::{Budgets, Tuning};
use crate::verify::OperationRecord;
use crate::verify::budget::limits_of_operation;

fn limits(budget: Duration) -> BTreeMap<Budget, u64> {
    limits_of_operation(&Budgets::of(Tuning::Fast), budget)
}

/// A run in which `regent up` replaces m2; clients lose what they lose in the good run with a fault.
fn replaced(evidence: &mut Evidence) {
    let run = &mut evidence.run;
    run.fault.kind = "during".to_owned();
    run.fault.node = None;
    run.operation = Some(OperationRecord {
        command: "regent up".to_owned(),
        status: Some(0),
        last_line: "the cluster is up".to_owned(),
    });
    (run.phases.heal, run.phases.ready) = (None, None);
    run.budgets_ms = limits(Duration::from_secs(2));
    evidence.inside.retain(|asked| asked.good());
    saw(evidence, FAULT.0 + S, domain("m2", "stopped", false));
    saw(evidence, FAULT.0 + 9 * S, domain("m2", "started", true));
    saw(evidence, FAULT.0 + 10 * S, node("m2", "Unknown"));
}

fn operation(evidence: &mut Evidence) -> &mut OperationRecord {
    replaced(evidence);
    evidence.run.operation.as_mut().unwrap()
}

#[test]
fn a_command_that_costs_too_much_fails() {
    let mut good = evidence();
    replaced(&mut good);
    let verdict = judge(&good);
    assert_eq!(
        (verdict.verdict, verdict.reasons),
        (Ruling::Pass, Vec::new())
    );
    assert_eq!(verdict.operation, good.run.operation);

    each(&[
        (
            "the command fails",
            |evidence| {
                let operation = operation(evidence);
                (operation.status, operation.last_line) = (Some(4), "error: m2".to_owned());
            },
            Ruling::Fail,
            "`regent up` ended with 4: error: m2",
        ),
        (
            "the command is not run to its end",
            |evidence| operation(evidence).status = None,
            Ruling::Fail,
            "did not come to its end",
        ),
        (
            "reads fail for longer than the budget, long after the beginning",
            |evidence| {
                replaced(evidence);
                fail_each(evidence, Probe::Read, 1, (FAULT, 20_000, 23_000));
            },
            Ruling::Fail,
            "outage of reads: 4.",
        ),
        (
            "half of the requests fail for longer than the budget",
            |evidence| {
                replaced(evidence);
                fail_each(evidence, Probe::Write, 2, (FAULT, 20_000, 24_000));
            },
            Ruling::Fail,
            "outage of writes",
        ),
        (
            "a request fails where none may",
            |evidence| {
                replaced(evidence);
                evidence.run.budgets_ms = limits(Duration::ZERO);
            },
            Ruling::Fail,
            "outage of writes",
        ),
        (
            "a node that the command did not touch is not Ready",
            |evidence| {
                replaced(evidence);
                saw(evidence, FAULT.0 + 12 * S, node("w1", "Unknown"));
            },
            Ruling::Fail,
            "w1 was not hit and yet not Ready",
        ),
        (
            "an acknowledged write is gone",
            |evidence| {
                replaced(evidence);
                let name = settled(&mut evidence.history, 100);
                let stored = evidence.history.stored.as_mut().unwrap();
                stored.retain(|stored| stored.name != name);
            },
            Ruling::Fail,
            "acknowledged writes lost: 1",
        ),
        (
            "the cluster is not well afterwards",
            |evidence| {
                replaced(evidence);
                evidence.run.after = Some(vec!["etcd: no quorum".to_owned()]);
            },
            Ruling::Fail,
            "not as before the fault: etcd: no quorum",
        ),
        (
            "nobody looked afterwards",
            |evidence| {
                replaced(evidence);
                evidence.run.after = None;
            },
            Ruling::Fail,
            "nobody looked",
        ),
        (
            "half of one node's DNS questions go unanswered, late in a long command",
            |evidence| {
                replaced(evidence);
                let late = Moment(FAULT.0 + 30 * S)..Moment(FAULT.0 + 50 * S);
                let asked = evidence.inside.iter_mut().filter(|asked| {
                    asked.of == Dependency::ClusterDns
                        && asked.node.as_str() == "w2"
                        && late.contains(&asked.start)
                });
                for asked in asked.step_by(2) {
                    asked.end = Moment(asked.start.0 + 5 * S);
                    "timeout".clone_into(&mut asked.outcome);
                }
            },
            Ruling::Fail,
            "cluster DNS: 33 % of the questions of the worst 30 s of the command",
        ),
        (
            "the load stops half-way",
            |evidence| {
                replaced(evidence);
                let half = Moment(FAULT.0 + 20 * S);
                evidence.samples.retain(|sample| sample.scheduled < half);
            },
            Ruling::Void,
            "the load was too low",
        ),
    ]);
}

/// Two requests that fail half a minute apart are two short outages, and none of half a minute.
#[test]
fn a_long_command_is_no_long_outage() {
    let mut evidence = evidence();
    replaced(&mut evidence);
    for second in [15_000, 45_000] {
        fail_each(
            &mut evidence,
            Probe::NewConnection,
            1,
            (FAULT, second, second + 300),
        );
    }
    let verdict = judge(&evidence);
    assert_eq!(verdict.verdict, Ruling::Pass, "{:?}", verdict.reasons);
    let seen = &verdict.probes[&Probe::NewConnection];
    assert!((300.0..1000.0).contains(&seen.outage_ms), "{seen:?}");
}
