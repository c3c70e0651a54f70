//! Evidence as a good run leaves it, made up, for tests: the etcd leader m2 of three loses power after 10 s, is
//! started after 30 s more and is back 20 s later.

use std::collections::BTreeMap;

use super::budget::limits;
use super::clock::Moment;
use super::evidence::{
    Evidence, FaultRecord, Phases, Proof, RUN_SCHEMA, RunRecord, Subject, Tester,
};
use super::history::{Covered, Delivery, Fate, History, How, Interruption, Kept, Stored, Write};
use super::inside::{Dependency, Question};
use super::observation::{Observation, Occurrence, Phase, ServerState};
use super::sample::{Outcome, Probe, Sample};
use crate::spec::{Budgets, Limit};
use regent_load::Load;

const MS: u64 = 1000;
const S: u64 = 1_000_000;

const NAME: &str = "20261122T202500Z-demo-power-cut-etcd-leader";

pub(super) const FAULT: Moment = Moment(10 * S);
pub(super) const HEAL: Moment = Moment(40 * S);
const READY: Moment = Moment(60 * S);
const END: Moment = Moment(65 * S);

pub(super) fn evidence() -> Evidence {
    let samples = samples();
    let history = history(&samples);
    Evidence {
        run: run(),
        samples,
        events: events(),
        history,
        inside: inside(),
    }
}

/// What pods on the nodes that are not hit ask, ten times a second. A third of the connections to the API go to the dead
/// server until its lease ends, and a fifth of those to pods until its node is NotReady.
fn inside() -> Vec<Question> {
    let mut asked = Vec::new();
    for turn in 0..END.0 / (100 * MS) {
        let start = Moment(turn * 100 * MS);
        let after = i64::try_from(start.0).unwrap() - i64::try_from(FAULT.0).unwrap();
        for node in ["m1", "m3", "w1", "w2"] {
            for of in Dependency::ALL {
                let dead = match of {
                    Dependency::ClusterDns => false,
                    Dependency::KubernetesService => {
                        turn.is_multiple_of(3) && (0..15_000_000).contains(&after)
                    }
                    Dependency::PodService => {
                        turn.is_multiple_of(5) && (0..20_000_000).contains(&after)
                    }
                };
                let (took, outcome) = match dead {
                    true => (5 * S, "timeout"),
                    false => (2 * MS, "good"),
                };
                asked.push(Question {
                    node: node.parse().unwrap(),
                    of,
                    start,
                    end: Moment(start.0 + took),
                    outcome: outcome.to_owned(),
                });
            }
        }
    }
    asked
}

fn run() -> RunRecord {
    let proof = |what: &str| Proof {
        what: what.to_owned(),
        holds: true,
    };
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    RunRecord {
        schema: RUN_SCHEMA.to_owned(),
        name: NAME.to_owned(),
        cluster: "demo".parse().unwrap(),
        started: "2026-11-22T20:25:00Z".parse().unwrap(),
        fault: FaultRecord {
            kind: "power-cut".to_owned(),
            target: "etcd-leader".to_owned(),
            node: Some("m2".parse().unwrap()),
            words: "etcd leader m2 lost power".to_owned(),
            weakness: Some("the page cache survives".to_owned()),
        },
        operation: None,
        load: Load::default(),
        phases: Phases {
            load: Moment(0),
            fault: Some(FAULT),
            applied: Some(Moment(FAULT.0 + 40 * MS)),
            heal: Some(HEAL),
            ready: Some(READY),
            end: END,
        },
        sick: Vec::new(),
        proofs: vec![
            proof("libvirt reported that m2 no longer runs"),
            proof("m2 no longer answers"),
            proof("the init process that m2 booted with is gone"),
        ],
        violations: Vec::new(),
        trouble: Vec::new(),
        after: Some(Vec::new()),
        workload: None,
        inside: ["m1", "m2", "m3", "w1", "w2"]
            .map(|node| node.parse().unwrap())
            .to_vec(),
        tester: Tester { cpu_share: 0.031 },
        budgets_ms: limits(&Budgets {
            new_connection_outage: Limit::seconds(2),
            reused_connection_outage: Limit::seconds(2),
            read_outage: Limit::seconds(3),
            write_outage: Limit::seconds(3),
            watch_gap: Limit::seconds(4),
            hanging_requests: Limit::seconds(9),
            cluster_dns_silence: Limit::seconds(3),
            kubernetes_service_silence: Limit::seconds(3),
            pod_service_silence: Limit::seconds(3),
            pods_elsewhere: Limit::seconds(40),
            node_ready: Limit::seconds(30),
        }),
        subject: Subject {
            versions: BTreeMap::from([pair("kubernetes", "1.35.4"), pair("regent", "0.1.0")]),
            hashes: BTreeMap::from([pair(
                "lb1:/etc/haproxy/haproxy.cfg",
                &"0123456789abcdef".repeat(4),
            )]),
        },
    }
}

/// How long after its start a sample of a probe that begins `after` microseconds after the fault ends, and how.
fn fate_of(probe: Probe, turn: u64, after: i64) -> (u64, Outcome) {
    let usual = match probe {
        Probe::NewConnection => 6,
        Probe::ReusedConnection => 1,
        Probe::Read => 2,
        Probe::Write | Probe::Watch => 5,
    };
    let usual = usual * MS + turn * 7919 % (3 * MS);
    let hanging = (-5_000..1_500_000).contains(&after);
    match probe {
        // A third of the new connections meet the dead node; haproxy turns them to another after 0.6 s.
        Probe::NewConnection if hanging && turn.is_multiple_of(3) => (610 * MS, Outcome::Good),
        Probe::NewConnection if hanging && turn % 9 == 1 => (1_050 * MS, Outcome::Good),
        // The one connection went to another node.
        Probe::ReusedConnection => (usual, Outcome::Good),
        // No leader for 1.2 s, and what went to the dead node hangs until haproxy drops it.
        _ if (0..1_200_000).contains(&after) && turn.is_multiple_of(3) => {
            (u64::try_from(1_600_000 - after).unwrap(), Outcome::Closed)
        }
        Probe::Read | Probe::Write if (0..1_200_000).contains(&after) => {
            (u64::try_from(1_250_000 - after).unwrap(), Outcome::Good)
        }
        _ => (usual, Outcome::Good),
    }
}

fn samples() -> Vec<Sample> {
    let mut samples = Vec::new();
    for turn in 0..END.0 / (50 * MS) {
        for (lane, probe) in Probe::ALL[..4].iter().enumerate() {
            let scheduled = Moment(turn * 50 * MS + lane as u64 * 12_500);
            let start = Moment(scheduled.0 + 300 + turn * 31 % 900);
            let after = i64::try_from(start.0).unwrap() - i64::try_from(FAULT.0).unwrap();
            let (took, outcome) = fate_of(*probe, turn, after);
            samples.push(Sample {
                probe: *probe,
                scheduled,
                start,
                end: Moment(start.0 + took),
                outcome,
            });
        }
    }
    samples
}

fn history(samples: &[Sample]) -> History {
    let written = samples.iter().filter(|sample| sample.probe == Probe::Write);
    let mut order: Vec<(usize, &Sample)> = written.clone().enumerate().collect();
    order.sort_by_key(|(_, sample)| sample.end);
    let version = |turn: usize| {
        let place = order.iter().position(|(number, _)| *number == turn);
        1000 + place.unwrap() as u64
    };
    let mut history = History {
        covered: ["m1", "m2", "m3"]
            .map(|server| Covered {
                server: server.to_owned(),
                kept: 6,
                watched: true,
            })
            .to_vec(),
        interruptions: vec![Interruption {
            watch: "m2".to_owned(),
            at: Moment(FAULT.0 + 1_600 * MS),
            resumed: Some(Moment(FAULT.0 + 1_650 * MS)),
            from: 1200,
            why: "closed".to_owned(),
        }],
        stored: Some(Vec::new()),
        ..History::default()
    };
    for (turn, sample) in written.enumerate() {
        let name = format!("w-{turn:06}");
        let content = format!("{NAME} {turn}");
        let (fate, version) = match sample.outcome {
            Outcome::Good => (Fate::Acknowledged(version(turn)), version(turn)),
            other => (Fate::Indeterminate(other.to_string()), version(turn)),
        };
        // Every other one of the open writes was stored after all.
        if matches!(fate, Fate::Acknowledged(_)) || turn % 2 == 0 {
            for (watch, ms) in [("m1", 1), ("m2", 2), ("m3", 1)] {
                history.deliveries.push(Delivery {
                    watch: watch.to_owned(),
                    at: Moment(sample.end.0 + ms * MS),
                    how: How::Added,
                    name: name.clone(),
                    version,
                    content: content.clone(),
                });
            }
            history.stored.as_mut().unwrap().push(Stored {
                name: name.clone(),
                version,
                content: content.clone(),
            });
        }
        history.writes.push(Write {
            name,
            content,
            start: sample.start,
            end: sample.end,
            fate,
        });
    }
    let keys: BTreeMap<_, _> = history
        .stored
        .iter()
        .flatten()
        .map(|stored| (stored.name.clone(), stored.version))
        .collect();
    history.kept = [None, Some("m1"), Some("m2"), Some("m3")]
        .map(|member| Kept {
            member: member.map(str::to_owned),
            revision: 9000,
            keys: keys.clone(),
        })
        .to_vec();
    history.deliveries.sort_by_key(|delivery| delivery.version);
    history
}

fn events() -> Vec<Observation> {
    let mut events = Vec::new();
    let mut note = |at_ms: i64, blur_ms: u32, what: Occurrence| {
        let at = Moment(u64::try_from(i64::try_from(FAULT.0).unwrap() + at_ms * 1000).unwrap());
        events.push(Observation { at, blur_ms, what });
    };
    let leader = |node: Option<&str>, term| Occurrence::Leader {
        node: node.map(str::to_owned),
        term,
    };
    let lease = |lease: &str, holder: &str| Occurrence::Lease {
        lease: lease.to_owned(),
        holder: holder.to_owned(),
    };
    let node = |node: &str, ready: &str| Occurrence::Node {
        node: node.to_owned(),
        ready: ready.to_owned(),
    };
    let server = |server: &str, state, reason: &str| Occurrence::Server {
        server: server.to_owned(),
        state,
        reason: reason.to_owned(),
    };
    let domain = |change: &str, running| Occurrence::Domain {
        node: "m2".to_owned(),
        change: change.to_owned(),
        running,
    };
    let phase = |phase| Occurrence::Phase { phase };
    note(-10_000, 0, phase(Phase::Baseline));
    note(-9_800, 500, leader(Some("m2"), 4));
    for name in ["m1", "m2", "m3", "w1", "w2"] {
        note(-9_700, 500, node(name, "True"));
    }
    note(-9_600, 500, lease("kube-controller-manager", "m2"));
    note(-9_600, 500, lease("kube-scheduler", "m1"));
    note(0, 0, phase(Phase::Fault));
    note(35, 0, domain("stopped", false));
    note(
        720,
        0,
        server("m2", ServerState::Failing, "Layer4 timeout, status: 2/3 UP"),
    );
    note(900, 500, leader(None, 5));
    note(1_400, 500, leader(Some("m3"), 5));
    note(
        1_580,
        0,
        server(
            "m2",
            ServerState::Down,
            "Layer4 timeout, check duration: 300ms",
        ),
    );
    note(15_300, 500, lease("kube-controller-manager", "m3"));
    note(21_000, 500, node("m2", "Unknown"));
    note(30_000, 0, phase(Phase::Heal));
    note(30_900, 0, domain("started", true));
    note(48_000, 500, node("m2", "True"));
    note(
        49_000,
        0,
        server("m2", ServerState::Up, "Layer7 check passed, code: 200"),
    );
    note(50_000, 0, phase(Phase::Settle));
    note(55_000, 0, phase(Phase::Check));
    events
}
