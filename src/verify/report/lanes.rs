//! The swim lanes of the timeline: pure, from evidence.

use std::collections::{BTreeMap, BTreeSet};

use crate::verify::clock::Moment;
use crate::verify::evidence::Evidence;
use crate::verify::inside::Dependency;
use crate::verify::ledger::watch_samples;
use crate::verify::observation::{Occurrence, PodState, ServerState};
use crate::verify::sample::{Outcome, Probe, Sample};

/// A row of the timeline.
pub(super) struct Lane {
    pub(super) label: String,
    pub(super) content: Content,
}

pub(super) enum Content {
    /// One mark for each sample.
    Samples(Vec<Sample>),
    /// States, one after the other.
    States(Vec<State>),
}

/// A stretch in which something was so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub(super) from: Moment,
    pub(super) to: Moment,
    pub(super) look: Look,
    /// Written into the stretch where it has room.
    pub(super) label: String,
    /// Shown by a pointer.
    pub(super) title: String,
}

/// How a state looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Good,
    Doubtful,
    Bad,
    /// Neither good nor bad: the number picks a colour.
    Plain(usize),
}

/// Returns every lane that has something to show: clients, load balancer, etcd, leases, nodes, domains, pods.
pub(super) fn lanes(evidence: &Evidence) -> Vec<Lane> {
    let mut lanes: Vec<Lane> = Probe::ALL
        .into_iter()
        .map(|probe| samples(evidence, probe))
        .collect();
    let states = [
        by_key(evidence, server),
        by_key(evidence, leader),
        by_key(evidence, lease),
        by_key(evidence, node),
        by_key(evidence, domain),
    ];
    lanes.extend(Dependency::ALL.into_iter().map(|of| inside(evidence, of)));
    lanes.extend(states.into_iter().flatten());
    lanes.extend(pods(evidence));
    lanes
}

fn samples(evidence: &Evidence, probe: Probe) -> Lane {
    let samples = match probe {
        Probe::Watch => watch_samples(&evidence.history, evidence.run.phases.end),
        _ => {
            let own = evidence
                .samples
                .iter()
                .filter(|sample| sample.probe == probe);
            own.copied().collect()
        }
    };
    Lane {
        label: probe.title().to_owned(),
        content: Content::Samples(samples),
    }
}

/// What pods on all nodes that were not hit went through, one upon the other.
fn inside(evidence: &Evidence, of: Dependency) -> Lane {
    let asked = evidence.inside.iter().filter(|asked| asked.of == of);
    let samples = asked.map(|asked| Sample {
        probe: Probe::NewConnection,
        scheduled: asked.start,
        start: asked.start,
        end: asked.end,
        outcome: match asked.outcome.as_str() {
            "good" => Outcome::Good,
            "refused" | "unreachable" => Outcome::Connect,
            other => other.parse().unwrap_or(Outcome::Body),
        },
    });
    Lane {
        label: format!("inside: {of}"),
        content: Content::Samples(samples.collect()),
    }
}

/// What an observation says about one thing: the lane's label, and how the thing is from then on.
struct News {
    lane: String,
    look: Look,
    label: String,
}

/// Makes a lane of states for every thing that `read` finds news about. A state lasts until the next news.
fn by_key(evidence: &Evidence, read: impl Fn(&Evidence, &Occurrence) -> Option<News>) -> Vec<Lane> {
    let end = evidence.run.phases.end;
    let mut lanes: BTreeMap<String, Vec<State>> = BTreeMap::new();
    for event in &evidence.events {
        let Some(news) = read(evidence, &event.what) else {
            continue;
        };
        let states = lanes.entry(news.lane).or_default();
        if let Some(last) = states.last_mut() {
            last.to = event.at;
        }
        let at = event
            .at
            .millis_from(evidence.run.phases.fault.unwrap_or_default())
            / 1e3;
        let blur = match event.blur_ms {
            0 => String::new(),
            ms => format!(" (at most {ms} ms earlier)"),
        };
        states.push(State {
            from: event.at,
            to: end.max(event.at),
            look: news.look,
            label: news.label,
            title: format!("{at:+.2} s{blur}: {}", event.what),
        });
    }
    let lane = |(label, states)| Lane {
        label,
        content: Content::States(states),
    };
    lanes.into_iter().map(lane).collect()
}

fn server(_: &Evidence, what: &Occurrence) -> Option<News> {
    let Occurrence::Server { server, state, .. } = what else {
        return None;
    };
    let (look, label) = match state {
        ServerState::Up => (Look::Good, "up"),
        ServerState::Failing => (Look::Doubtful, "failing"),
        ServerState::Down => (Look::Bad, "down"),
    };
    Some(News {
        lane: format!("LB server {server}"),
        look,
        label: label.to_owned(),
    })
}

fn leader(evidence: &Evidence, what: &Occurrence) -> Option<News> {
    let Occurrence::Leader { node, term } = what else {
        return None;
    };
    Some(News {
        lane: "etcd leader".to_owned(),
        look: node
            .as_ref()
            .map_or(Look::Bad, |node| colour(evidence, node)),
        label: format!("{} · term {term}", node.as_deref().unwrap_or("none")),
    })
}

fn lease(evidence: &Evidence, what: &Occurrence) -> Option<News> {
    let Occurrence::Lease { lease, holder } = what else {
        return None;
    };
    Some(News {
        lane: format!("lease {}", lease.trim_start_matches("kube-")),
        look: colour(evidence, holder),
        label: holder.clone(),
    })
}

fn node(_: &Evidence, what: &Occurrence) -> Option<News> {
    let Occurrence::Node { node, ready } = what else {
        return None;
    };
    let (look, label) = if ready == "True" {
        (Look::Good, "Ready")
    } else {
        (Look::Bad, "NotReady")
    };
    Some(News {
        lane: format!("node {node}"),
        look,
        label: label.to_owned(),
    })
}

fn domain(_: &Evidence, what: &Occurrence) -> Option<News> {
    let Occurrence::Domain {
        node,
        change,
        running,
    } = what
    else {
        return None;
    };
    Some(News {
        lane: format!("domain {node}"),
        look: if *running { Look::Good } else { Look::Bad },
        label: change.clone(),
    })
}

/// Gives every node a colour of its own, the same in every lane.
fn colour(evidence: &Evidence, node: &str) -> Look {
    let mut nodes = BTreeSet::new();
    for event in &evidence.events {
        match &event.what {
            Occurrence::Leader {
                node: Some(name), ..
            }
            | Occurrence::Lease { holder: name, .. } => {
                nodes.insert(name.as_str());
            }
            _ => {}
        }
    }
    Look::Plain(nodes.iter().position(|name| *name == node).unwrap_or(0))
}

/// One lane with the number of Ready pods of the workload.
fn pods(evidence: &Evidence) -> Option<Lane> {
    let wanted = evidence.run.workload.as_ref()?.replicas as usize;
    let mut now: BTreeMap<&str, PodState> = BTreeMap::new();
    let mut states: Vec<State> = Vec::new();
    for event in &evidence.events {
        let Occurrence::Pod { pod, state, .. } = &event.what else {
            continue;
        };
        now.insert(pod, *state);
        let ready = now
            .values()
            .filter(|state| **state == PodState::Ready)
            .count();
        if let Some(last) = states.last_mut() {
            last.to = event.at;
        }
        states.push(State {
            from: event.at,
            to: evidence.run.phases.end.max(event.at),
            look: if ready >= wanted {
                Look::Good
            } else {
                Look::Doubtful
            },
            label: format!("{ready} of {wanted}"),
            title: event.what.to_string(),
        });
    }
    states.retain(|state| state.from < state.to);
    Some(Lane {
        label: "pods Ready".to_owned(),
        content: Content::States(states),
    })
}
