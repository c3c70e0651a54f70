//! What clients inside the cluster went through, on nodes that were not hit.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{LOAD_SHARE, SICK_SHARE};
use crate::name::NodeName;
use crate::verify::clock::{Moment, millis};
use crate::verify::evidence::{Evidence, RunRecord};
use crate::verify::inside::{Dependency, EVERY, Question};
use crate::verify::outage::{Window, longest_between};
use crate::verify::verdict::InsideReport;

/// For so long the share of questions counts that nobody answered well: a half minute.
const AFTERWARDS: Duration = Duration::from_secs(30);

/// A client that has said nothing for so long at the end has stopped: its last questions may hang.
const LAST_WORD: Duration = Duration::from_secs(8);

/// How many of the questions of the half minute after the fault may go without a good answer. DNS is asked of the pod
/// beside it, so next to none. Behind a Service a dead backend keeps its share until it is taken out: an API server until
/// its lease ends (15 s), a pod until its node is NotReady; with two backends that is every other question.
fn allowed(of: Dependency) -> f64 {
    match of {
        Dependency::ClusterDns => 0.1,
        Dependency::KubernetesService | Dependency::PodService => 0.6,
    }
}

/// Sums up each dependency, by the node that had the worst of it.
pub(super) fn reports(evidence: &Evidence) -> BTreeMap<Dependency, InsideReport> {
    let lanes = lanes(evidence);
    let of = |of: Dependency| {
        let own = lanes.iter().filter(move |((_, asked), _)| *asked == of);
        let reports = own.map(|((node, _), asked)| report(node, asked, &evidence.run));
        Some((of, reports.reduce(InsideReport::worse)?))
    };
    Dependency::ALL.into_iter().filter_map(of).collect()
}

/// The questions of nodes that were not hit, from the load's beginning on.
fn lanes(evidence: &Evidence) -> BTreeMap<(&NodeName, Dependency), Vec<&Question>> {
    let run = &evidence.run;
    let mut lanes: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for node in spared(evidence) {
        for of in Dependency::ALL {
            lanes.insert((node, of), Vec::new());
        }
    }
    for asked in &evidence.inside {
        let within = asked.start >= run.phases.load && asked.start < run.phases.end;
        if let Some(lane) = lanes.get_mut(&(&asked.node, asked.of)).filter(|_| within) {
            lane.push(asked);
        }
    }
    lanes
}

/// The nodes with a client that the fault did not hit.
fn spared(evidence: &Evidence) -> BTreeSet<&NodeName> {
    let hit = evidence.run.hit(&evidence.events);
    let nodes = evidence.run.inside.iter();
    nodes.filter(|node| !hit.contains(*node)).collect()
}

fn report(node: &NodeName, asked: &[&Question], run: &RunRecord) -> InsideReport {
    let phases = run.phases;
    let from = phases.fault.unwrap_or(phases.end);
    let answered = asked
        .iter()
        .filter(|asked| asked.good())
        .map(|asked| asked.end);
    let silence = longest_between(
        answered.clone().collect(),
        Window {
            from,
            to: phases.end,
        },
    );
    // The questions of the last second may still be on their way.
    let last = answered.max().unwrap_or_default();
    InsideReport {
        node: node.clone(),
        questions: asked.len() as u64,
        failed: asked.iter().filter(|asked| !asked.good()).count() as u64,
        silence_ms: millis(silence.length()),
        silence_at_ms: silence.from.millis_from(from),
        unanswered_share: unanswered_share(asked, run),
        recovered: phases.end.since(last) < LAST_WORD,
    }
}

/// The share of the questions of the half minute after the fault that had no good answer; of a command, which may have its effect
/// late, of the half minute in which it was highest.
fn unanswered_share(asked: &[&Question], run: &RunRecord) -> f64 {
    let from = run.phases.fault.unwrap_or(run.phases.end);
    let mut asked = asked.to_vec();
    // They were told in the order of their answers.
    asked.sort_by_key(|asked| asked.start);
    let share = |from: Moment| {
        let before = |moment| asked.partition_point(|asked| asked.start < moment);
        let within = &asked[before(from)..before(from.after(AFTERWARDS))];
        let bad = within.iter().filter(|asked| !asked.good()).count();
        bad as f64 / within.len().max(1) as f64
    };
    let last = match run.operation {
        Some(_) => run.phases.end.since(from).saturating_sub(AFTERWARDS),
        None => Duration::ZERO,
    };
    let each_second = (0..=last.as_secs()).map(|second| from.after(Duration::from_secs(second)));
    each_second.map(share).fold(0.0, f64::max)
}

/// What its budget limits: the longest time in which a client got no good answer; none if there came none any more.
pub(super) fn cost(report: &InsideReport) -> Option<Duration> {
    report
        .recovered
        .then(|| Duration::from_secs_f64(report.silence_ms / 1e3))
}

/// Says where too many questions went without a good answer, however they were spread.
pub(super) fn too_many(
    run: &RunRecord,
    reports: &BTreeMap<Dependency, InsideReport>,
) -> Vec<String> {
    let when = match run.operation {
        Some(_) => "the worst 30 s of the command",
        None => "the 30 s after the fault",
    };
    let over = reports
        .iter()
        .filter(|(of, report)| report.unanswered_share > allowed(**of));
    over.map(|(of, report)| {
        format!(
            "{of}: {:.0} % of the questions of {when} had no good answer on {}, at most {:.0} % may",
            report.unanswered_share * 100.0,
            report.node,
            allowed(*of) * 100.0,
        )
    })
    .collect()
}

/// Says why the clients inside show nothing: there are none, they stopped, or were sick before.
pub(super) fn void(evidence: &Evidence, fault: Moment) -> Vec<String> {
    let run = &evidence.run;
    let lanes = lanes(evidence);
    if lanes.is_empty() {
        return vec!["no client inside the cluster was on a node that was not hit".to_owned()];
    }
    let mut reasons = Vec::new();
    for ((node, of), asked) in lanes {
        let before: Vec<_> = asked.iter().filter(|asked| asked.end < fault).collect();
        let bad = before.iter().filter(|asked| !asked.good()).count();
        if bad as f64 > SICK_SHARE * before.len() as f64 {
            reasons.push(format!(
                "the cluster was sick before: {bad} of {} questions of {of} on {node} had no good answer",
                before.len()
            ));
        }
        let watched = run.phases.end.since(run.phases.load);
        let wanted = watched.saturating_sub(LAST_WORD).as_secs_f64() / EVERY.as_secs_f64();
        if before.is_empty() || (asked.len() as f64) < LOAD_SHARE * wanted {
            reasons.push(format!(
                "the client inside the cluster on {node} stopped: {} of {wanted:.0} questions of {of} were seen",
                asked.len()
            ));
        }
    }
    reasons
}
