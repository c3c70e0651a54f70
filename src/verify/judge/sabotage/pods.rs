//! What pods depend on.

use super::*;

/// Changes what pods on a node, or with `None` on every one, were answered from so many milliseconds after the fault on.
fn inside(
    evidence: &mut Evidence,
    on: Option<&str>,
    of: Dependency,
    (from_ms, to_ms): (u64, u64),
    change: impl Fn(usize, &mut Question),
) {
    let window = FAULT.0 + from_ms * 1000..FAULT.0 + to_ms * 1000;
    let asked = evidence.inside.iter_mut().filter(|asked| {
        asked.of == of
            && on.is_none_or(|node| asked.node.as_str() == node)
            && window.contains(&asked.start.0)
    });
    for (number, asked) in asked.enumerate() {
        change(number, asked);
    }
}

fn unanswered(asked: &mut Question) {
    asked.end = Moment(asked.start.0 + 5 * S);
    "timeout".clone_into(&mut asked.outcome);
}

/// What pods went through decides as much as what clients outside did.
#[test]
fn what_pods_depend_on_is_part_of_the_claim() {
    each(&[
        (
            "DNS is dead for half a minute",
            |evidence| {
                inside(
                    evidence,
                    None,
                    Dependency::ClusterDns,
                    (0, 31_000),
                    |_, asked| {
                        unanswered(asked);
                    },
                );
            },
            Ruling::Fail,
            "silence of cluster DNS",
        ),
        (
            "half of one node's DNS questions go unanswered",
            |evidence| {
                let when = (0, 20_000);
                inside(
                    evidence,
                    Some("w2"),
                    Dependency::ClusterDns,
                    when,
                    |number, asked| {
                        if number % 2 == 0 {
                            unanswered(asked);
                        }
                    },
                );
            },
            Ruling::Fail,
            "cluster DNS: 33 % of the questions",
        ),
        (
            "the kubernetes Service never comes back on one node",
            |evidence| {
                let when = (5_000, 60_000);
                inside(
                    evidence,
                    Some("m1"),
                    Dependency::KubernetesService,
                    when,
                    |_, asked| {
                        unanswered(asked);
                    },
                );
            },
            Ruling::Fail,
            "silence of the kubernetes Service: never",
        ),
        (
            "answers take four seconds",
            |evidence| {
                let when = (0, 10_000);
                inside(evidence, None, Dependency::PodService, when, |_, asked| {
                    asked.end = Moment(asked.start.0 + 4 * S);
                });
            },
            Ruling::Fail,
            "silence from pod to Service",
        ),
        (
            "DNS was sick before",
            |evidence| {
                for asked in &mut evidence.inside {
                    if asked.of == Dependency::ClusterDns && asked.start.0 < S {
                        "rcode2".clone_into(&mut asked.outcome);
                    }
                }
            },
            Ruling::Void,
            "questions of cluster DNS on m1 had no good answer",
        ),
        (
            "a client stops with the fault",
            |evidence| {
                evidence
                    .inside
                    .retain(|asked| asked.node.as_str() != "w1" || asked.start < FAULT);
            },
            Ruling::Void,
            "the client inside the cluster on w1 stopped",
        ),
        (
            "nobody asked",
            |evidence| evidence.run.inside.clear(),
            Ruling::Void,
            "no client inside the cluster",
        ),
        (
            "the clients' words are not there",
            |evidence| evidence.inside.clear(),
            Ruling::Void,
            "the client inside the cluster on m1 stopped: 0 of 570 questions of cluster DNS",
        ),
    ]);
}

fn every_tenth(number: usize, asked: &mut Question) {
    if number.is_multiple_of(10) {
        unanswered(asked);
    }
}

/// Drops so many of the questions of one client, spread over the run.
fn thin_out(evidence: &mut Evidence, drop: usize) {
    let mut number = 0;
    evidence.inside.retain(|asked| {
        let own = asked.node.as_str() == "w1" && asked.of == Dependency::ClusterDns;
        number += usize::from(own);
        !own || !number.is_multiple_of(3) || number > 3 * drop
    });
}

/// From so many microseconds before the end on, DNS on one node is silent.
fn silent_at_the_end(evidence: &mut Evidence, us: u64) {
    let from = Moment(evidence.run.phases.end.0 - us);
    for asked in &mut evidence.inside {
        if asked.node.as_str() == "w2" && asked.of == Dependency::ClusterDns {
            if asked.start >= from {
                unanswered(asked);
            } else if asked.start.after(Duration::from_millis(100)) >= from {
                asked.end = from;
            }
        }
    }
}

fn sick_before(evidence: &mut Evidence, number: u64) {
    for asked in &mut evidence.inside {
        if asked.of == Dependency::ClusterDns && asked.start.0 < number * 100_000 {
            "rcode2".clone_into(&mut asked.outcome);
        }
    }
    // One that ended with the fault is not of before.
    let mut last = evidence.inside[0].clone();
    (last.start, last.end) = (Moment(FAULT.0 - 50_000), FAULT);
    "timeout".clone_into(&mut last.outcome);
    evidence.inside.push(last);
}

/// What pods go through, and how it is done to a good run.
type Allowed = (&'static str, fn(&mut Evidence));

/// Where the limits of what pods may go through lie.
#[test]
fn what_pods_may_go_through() {
    const DNS: Dependency = Dependency::ClusterDns;
    let allowed: [Allowed; 5] = [
        ("a tenth of half a minute's questions", |evidence| {
            inside(evidence, Some("w2"), DNS, (0, 30_000), every_tenth);
        }),
        ("two of a hundred before", |evidence| {
            sick_before(evidence, 2);
        }),
        ("nine tenths of 570 were asked", |evidence| {
            thin_out(evidence, 650 - 513);
        }),
        ("sick before the load", |evidence| {
            evidence.run.phases.load = Moment(S);
            sick_before(evidence, 10);
        }),
        ("sick after the end", |evidence| {
            let mut last = evidence.inside[0].clone();
            last.start = evidence.run.phases.end;
            unanswered(&mut last);
            evidence.inside.push(last);
        }),
    ];
    for (name, spoil) in allowed {
        let mut evidence = evidence();
        spoil(&mut evidence);
        let verdict = judge(&evidence);
        assert_eq!(
            verdict.verdict,
            Ruling::Pass,
            "{name}: {:?}",
            verdict.reasons
        );
        // Of the node that is reported, what was asked under load.
        let report = &verdict.inside[&DNS];
        let phases = evidence.run.phases;
        let asked = evidence.inside.iter().filter(|asked| {
            (asked.of, &asked.node) == (DNS, &report.node)
                && (phases.load..phases.end).contains(&asked.start)
        });
        assert_eq!(report.questions, asked.count() as u64, "{name}");
    }
    each(&[
        (
            "more than a tenth of half a minute's questions",
            |evidence| {
                inside(evidence, Some("w2"), DNS, (0, 30_000), every_tenth);
                inside(evidence, Some("w2"), DNS, (100, 200), |_, asked| {
                    unanswered(asked);
                });
            },
            Ruling::Fail,
            "cluster DNS: 10 % of the questions of the 30 s after the fault had no good answer on w2, at most 10 % may",
        ),
        (
            "three of a hundred before",
            |evidence| sick_before(evidence, 3),
            Ruling::Void,
            "3 of 100 questions of cluster DNS on m1 had no good answer",
        ),
        (
            "less than nine tenths of 570 were asked",
            |evidence| thin_out(evidence, 650 - 512),
            Ruling::Void,
            "w1 stopped: 512 of 570 questions",
        ),
        (
            "a client that began with the fault",
            |evidence| {
                evidence
                    .inside
                    .retain(|asked| asked.node.as_str() != "w1" || asked.start >= FAULT);
            },
            Ruling::Void,
            "w1 stopped: 550 of 570 questions",
        ),
        (
            "the last good answer came eight seconds before the end",
            |evidence| silent_at_the_end(evidence, 8 * S),
            Ruling::Fail,
            "silence of cluster DNS: never",
        ),
        (
            "the last good answer came a little later",
            |evidence| silent_at_the_end(evidence, 8 * S - 1000),
            Ruling::Fail,
            "silence of cluster DNS: 8.00 s",
        ),
    ]);
}
