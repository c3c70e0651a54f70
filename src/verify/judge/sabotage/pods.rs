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
            "the client inside the cluster on m1 stopped: 0 of",
        ),
    ]);
}
