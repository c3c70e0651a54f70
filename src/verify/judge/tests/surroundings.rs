//! What is told of the nodes, event by event.

use super::*;

/// The good run, with nothing seen but these: milliseconds from the fault, and what.
fn seen(events: &[(i64, Occurrence)]) -> Evidence {
    let mut evidence = evidence();
    let at = |ms: i64| Moment(FAULT.0.saturating_add_signed(ms * 1000));
    let seen = events.iter().map(|(ms, what)| Observation {
        at: at(*ms),
        blur_ms: 0,
        what: what.clone(),
    });
    evidence.events = seen.collect();
    evidence
}

fn domain(node: &str, change: &str, running: bool) -> Occurrence {
    Occurrence::Domain {
        node: node.to_owned(),
        change: change.to_owned(),
        running,
    }
}

fn ready(node: &str, ready: &str) -> Occurrence {
    Occurrence::Node {
        node: node.to_owned(),
        ready: ready.to_owned(),
    }
}

#[test]
fn a_fault_lasts_until_it_is_reverted() {
    let told = |kind: &str, events: &[(i64, Occurrence)]| {
        let mut evidence = seen(events);
        kind.clone_into(&mut evidence.run.fault.kind);
        meddling(&evidence)
    };
    let not_last = |what: &str| {
        vec![format!(
            "the fault did not last: m2 {what} after the fault, before it was to be reverted"
        )]
    };
    // A node without power stays without, until it is given back.
    for (kind, ms, what, expected) in [
        ("power-cut", 40, domain("m2", "started", true), "0.0 s"),
        ("pause", 12_000, domain("m2", "started", true), "12.0 s"),
        ("power-cut", 30_000, domain("m2", "started", true), ""),
        // What ends, and what is about to end, is not revived.
        ("power-cut", 12_000, domain("m2", "stopped", false), ""),
        ("power-cut", 12_000, domain("m2", "shutdown", true), ""),
        // A restart means to start it again, and a cut link leaves it running.
        ("restart", 12_000, domain("m2", "started", true), ""),
        ("link-down", 12_000, domain("m2", "started", true), ""),
    ] {
        let case = format!("{kind} {ms} {what:?}");
        let expected = match expected {
            "" => Vec::new(),
            when => not_last(&format!("started {when}")),
        };
        assert_eq!(told(kind, &[(ms, what)]), expected, "{case}");
    }
    // A node without its link stays NotReady from when that is noticed.
    for (first, second, expected) in [
        (
            (10_000, ready("m2", "Unknown")),
            (25_000, ready("m2", "True")),
            "25.0 s",
        ),
        (
            (10_000, ready("m2", "Unknown")),
            (30_000, ready("m2", "True")),
            "",
        ),
        (
            (10_000, ready("m2", "True")),
            (25_000, ready("m2", "True")),
            "",
        ),
        // Not the fault's doing.
        (
            (-1000, ready("m2", "Unknown")),
            (25_000, ready("m2", "True")),
            "",
        ),
        // Another node's condition says nothing of this one's.
        (
            (10_000, ready("w2", "Unknown")),
            (25_000, ready("m2", "True")),
            "",
        ),
        (
            (10_000, ready("m2", "Unknown")),
            (25_000, ready("w2", "True")),
            "",
        ),
    ] {
        let case = format!("{first:?} {second:?}");
        let expected = match expected {
            "" => Vec::new(),
            when => not_last(&format!("was Ready again {when}")),
        };
        assert_eq!(told("link-down", &[first, second]), expected, "{case}");
    }
}

#[test]
fn nobody_else_changes_a_node_while_the_load_flows() {
    for (ms, what, expected) in [
        (
            12_000,
            domain("m3", "started", true),
            "m3 started 12.0 s after the fault",
        ),
        (
            -1000,
            domain("m3", "stopped", false),
            "m3 stopped 1.0 s before the fault",
        ),
        (55_000, domain("m3", "stopped", false), ""),
    ] {
        let expected = match expected {
            "" => Vec::new(),
            what => vec![format!("something else changed the cluster: {what}")],
        };
        assert_eq!(meddling(&seen(&[(ms, what)])), expected);
    }
}

#[test]
fn a_bystander_is_told_once_with_what_it_became_first() {
    let found = bystanders(&seen(&[
        (-1, ready("w1", "Unknown")),
        (0, ready("w2", "Unknown")),
        (1000, ready("w2", "False")),
        (2000, ready("m2", "Unknown")),
        (3000, ready("w1", "True")),
    ]));
    let told =
        "w2 was not hit and yet not Ready (its condition became Unknown 0.0 s after the fault)";
    assert_eq!(found, [told]);
}

#[test]
fn a_fault_that_is_left_in_place_is_judged_by_what_was_seen() {
    let left = |spoil: fn(&mut Evidence)| {
        judged(|evidence| {
            evidence.run.phases.heal = None;
            evidence.run.phases.ready = None;
            evidence.run.after = None;
            evidence.events.retain(|event| event.at < HEAL);
            spoil(evidence);
        })
    };
    let verdict = left(|_| {});
    assert_eq!(verdict.verdict, Ruling::Pass, "{:?}", verdict.reasons);
    // Nobody waits for the node.
    let mut budgets = verdict.budgets.iter();
    assert!(budgets.all(|check| check.budget != Budget::NodeReady));
    let verdict = left(|evidence| {
        let reads = |sample: &&mut Sample| sample.probe == Probe::Read && sample.start > FAULT;
        for sample in evidence.samples.iter_mut().filter(reads) {
            sample.outcome = Outcome::Status(503);
        }
    });
    expect(&verdict, Ruling::Fail, "outage of reads: never");
}

#[test]
fn a_fault_of_no_node_waits_for_none() {
    let verdict = judged(|evidence| evidence.run.fault.node = None);
    let mut budgets = verdict.budgets.iter();
    assert!(budgets.all(|check| check.budget != Budget::NodeReady));
}
