//! What a run's surroundings say: whether anybody else had a hand in it, what became of the nodes that were not hit,
//! and whether the evidence is of one run.

use std::collections::BTreeSet;

use crate::verify::clock::Moment;
use crate::verify::evidence::{Evidence, RunRecord};
use crate::verify::history::Covered;
use crate::verify::observation::Occurrence;
use crate::verify::outage::Window;

/// Faults after which the domain of the node must not run until they are reverted.
const ENDS_DOMAIN: [&str; 4] = ["power-cut", "kill", "stop", "pause"];

/// Says what changed the cluster's nodes besides the fault: the node that was hit was started before its time, or
/// another one was stopped or started.
pub(super) fn meddling(evidence: &Evidence) -> Vec<String> {
    let run = &evidence.run;
    let (Some(fault), Some(hit)) = (run.phases.fault, run.fault.node.as_ref()) else {
        return Vec::new();
    };
    let hold = Window {
        from: run.phases.applied.unwrap_or(fault),
        to: run.phases.heal.unwrap_or(run.phases.end),
    };
    let stays_off = ENDS_DOMAIN.contains(&run.fault.kind.as_str());
    let load = Window {
        from: run.phases.load,
        to: run.phases.end,
    };
    let mut reasons = Vec::new();
    // A node that lives without its link has to become Ready again only after the revert.
    let mut lost = false;
    for event in &evidence.events {
        let (at, held) = (after(event.at, fault), hold.contains(event.at));
        match &event.what {
            Occurrence::Domain {
                node,
                change,
                running,
            } => {
                let own = node == hit.as_str();
                // The word `shutdown` comes before an end that is meant.
                let revived = *running && change != "shutdown";
                if own && revived && stays_off && held {
                    reasons.push(format!(
                        "the fault did not last: {node} {change} {at}, before it was to be reverted"
                    ));
                }
                if !own && load.contains(event.at) {
                    reasons.push(format!(
                        "something else changed the cluster: {node} {change} {at}"
                    ));
                }
            }
            Occurrence::Node { node, ready } if node == hit.as_str() => {
                if ready == "True" && lost && held {
                    reasons.push(format!(
                        "the fault did not last: {node} was Ready again {at}, before it was to be reverted"
                    ));
                }
                lost = ready != "True" && held;
            }
            _ => {}
        }
    }
    reasons
}

/// Says which nodes that were not hit did not stay Ready.
pub(super) fn bystanders(evidence: &Evidence) -> Vec<String> {
    let run = &evidence.run;
    let Some(fault) = run.phases.fault else {
        return Vec::new();
    };
    let hit = run.hit(&evidence.events);
    let mut told = BTreeSet::new();
    let mut reasons = Vec::new();
    for event in &evidence.events {
        let Occurrence::Node { node, ready } = &event.what else {
            continue;
        };
        let bystander = !hit.iter().any(|hit| hit.as_str() == node) && ready != "True";
        if bystander && event.at >= fault && told.insert(node) {
            reasons.push(format!(
                "{node} was not hit and yet not Ready (its condition became {ready} {})",
                after(event.at, fault)
            ));
        }
    }
    reasons
}

/// Says which API servers had no load: what became of their clients was not seen.
pub(super) fn uncovered(evidence: &Evidence) -> Vec<String> {
    let covered = &evidence.history.covered;
    if covered.is_empty() {
        return vec!["nobody knows which API servers had clients".to_owned()];
    }
    let lacking = |what: &str, lacks: fn(&Covered) -> bool| {
        let servers = covered.iter().filter(|server| lacks(server));
        let servers: Vec<_> = servers.map(|server| server.server.as_str()).collect();
        let servers = servers.join(", ");
        (!servers.is_empty()).then(|| format!("no {what} on the API server of {servers}"))
    };
    let found = [
        lacking("kept connection", |server| server.kept == 0),
        lacking("watch", |server| !server.watched),
    ];
    found.into_iter().flatten().collect()
}

/// Says what was wrong with the command that was run.
pub(super) fn failed(run: &RunRecord) -> Option<String> {
    run.operation.as_ref()?.failure()
}

/// Says whether the history is of another run: every write carries the name of the run that made it.
pub(super) fn foreign(evidence: &Evidence) -> Option<String> {
    let own = &evidence.run.name;
    let of_run = |content: &str| {
        let rest = content.strip_prefix(own.as_str());
        rest.is_some_and(|rest| rest.starts_with(' '))
    };
    let writes = &evidence.history.writes;
    let others: Vec<_> = writes.iter().filter(|w| !of_run(&w.content)).collect();
    let first = others.first()?;
    Some(format!(
        "the evidence is of another run: {} of {} writes do not carry the name {own} ({} says `{}`)",
        others.len(),
        writes.len(),
        first.name,
        first.content.chars().take(80).collect::<String>(),
    ))
}

/// Says which preconditions did not hold again after the revert.
pub(super) fn not_as_before(run: &RunRecord) -> Vec<String> {
    match &run.after {
        Some(missing) => missing
            .iter()
            .map(|what| format!("not as before the fault: {what}"))
            .collect(),
        None if run.phases.heal.is_some() || run.operation.is_some() => {
            vec!["nobody looked whether everything was as before the fault".to_owned()]
        }
        None => Vec::new(),
    }
}

fn after(at: Moment, fault: Moment) -> String {
    let seconds = at.millis_from(fault) / 1e3;
    if seconds < 0.0 {
        format!("{:.1} s before the fault", -seconds)
    } else {
        format!("{seconds:.1} s after the fault")
    }
}
