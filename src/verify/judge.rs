//! From evidence to a verdict: a pure function.

use std::collections::BTreeMap;
use std::time::Duration;

use super::budget::{self, Budget, BudgetCheck};
use super::clock::Moment;
use super::evidence::{Evidence, Phases};
use super::inside::Dependency;
use super::ledger::{Ledger, WatchReport, ledger, watch, watch_samples};
use super::outage::{Window, longest_hang, longest_pause};
use super::recovery::{Recovery, recovery};
use super::sample::{Probe, Sample};
use super::verdict::{InsideReport, Ruling, Verdict};
use regent_load::Load;

/// The format of `verdict.json`. The number goes up when a field changes its meaning or goes away.
const SCHEMA: &str = "regent/verdict/v1";

/// A cluster with more bad samples than this share before the fault was sick before: what is measured afterwards would
/// not be the fault's doing. One stall of a busy machine among the 200 samples of a baseline is still forgiven.
const SICK_SHARE: f64 = 0.02;

/// With fewer samples than this share of the schedule the load was too low to say anything.
const LOAD_SHARE: f64 = 0.9;

/// More samples than this share that start later than [`TOO_LATE`] blur every figure: the load was too low.
const LATE_SHARE: f64 = 0.1;

/// With fewer samples a second an outage is seen only roughly: a fifth of a second is a tenth of the strictest default
/// budget.
const LOWEST_RATE: u32 = 5;

/// Without a sample begun for longer, the tester itself stood still. Twenty turns are missed then at the usual rate.
const STALLED: Duration = Duration::from_secs(1);

/// A quarter of a second is an eighth of the strictest default budget.
const TOO_LATE: Duration = Duration::from_millis(250);

/// Judges a run by its evidence alone.
pub fn judge(evidence: &Evidence) -> Verdict {
    let run = &evidence.run;
    let mut lanes: BTreeMap<Probe, Vec<Sample>> = BTreeMap::new();
    for sample in &evidence.samples {
        lanes.entry(sample.probe).or_default().push(*sample);
    }
    lanes.insert(
        Probe::Watch,
        watch_samples(&evidence.history, run.phases.end),
    );
    let lane = |probe| lanes.get(&probe).map_or(&[][..], Vec::as_slice);
    let views: Vec<View> = Probe::ALL
        .into_iter()
        .map(|probe| View::new(probe, lane(probe), run))
        .collect();

    let ledger = ledger(&evidence.history, &evidence.samples);
    let watch = watch(&evidence.history);
    let recovery = recovery(run, &evidence.events);
    let inside = inside::reports(evidence);
    let budgets = budget_checks(evidence, &views, &inside, &recovery);

    let elsewhere = bystanders(evidence);
    let broken = broken_promises(&ledger, &watch);
    let void = void_reasons(evidence, &lanes);
    let missed = [
        missed_budgets(evidence, &ledger, &budgets),
        inside::too_many(run, &inside),
        elsewhere,
    ]
    .concat();
    // Data that is gone is gone, however the run went. Everything else counts only in a run that shows something.
    let (verdict, reasons) = if !broken.is_empty() {
        (Ruling::Fail, [broken, void, missed].concat())
    } else if !void.is_empty() {
        (Ruling::Void, void)
    } else if !missed.is_empty() {
        (Ruling::Fail, missed)
    } else {
        (Ruling::Pass, Vec::new())
    };
    Verdict {
        schema: SCHEMA.to_owned(),
        verdict,
        reasons,
        run: run.name.clone(),
        cluster: run.cluster.clone(),
        started: run.started,
        fault: run.fault.clone(),
        operation: run.operation.clone(),
        proofs: run.proofs.clone(),
        phases: run.phases,
        load: run.load,
        tester: run.tester,
        probes: views
            .iter()
            .map(|view| (view.probe, view.report()))
            .collect(),
        inside,
        ledger,
        watch,
        recovery,
        budgets,
        events: evidence.events.clone(),
        subject: run.subject.clone(),
    }
}

fn budget_checks(
    evidence: &Evidence,
    views: &[View],
    inside: &BTreeMap<Dependency, InsideReport>,
    recovery: &Recovery,
) -> Vec<BudgetCheck> {
    let run = &evidence.run;
    if run.phases.fault.is_none() {
        return Vec::new();
    }
    let span = |ms: Option<f64>| ms.map(|ms| Duration::from_secs_f64(ms / 1e3));
    let mut costs: Vec<(Budget, Option<Duration>)> = views
        .iter()
        .map(|view| (Budget::of(view.probe), view.cost()))
        .collect();
    let from = run.phases.fault.unwrap_or(run.phases.end);
    let to = run.phases.end;
    costs.push((
        Budget::HangingRequests,
        longest_hang(&evidence.samples, Window { from, to }).or(Some(Duration::ZERO)),
    ));
    costs.extend(
        inside
            .iter()
            .map(|(of, report)| (Budget::inside(*of), inside::cost(report))),
    );
    if run.workload.is_some() {
        costs.push((Budget::PodsElsewhere, span(recovery.pods_elsewhere_ms)));
    }
    if run.phases.heal.is_some() && run.fault.node.is_some() {
        costs.push((Budget::NodeReady, span(recovery.node_ready_ms)));
    }
    costs
        .into_iter()
        .filter_map(|(budget, cost)| budget::check(&run.budgets_ms, budget, cost))
        .collect()
}

/// Says what contradicts the cluster's promises about data.
fn broken_promises(ledger: &Ledger, watch: &WatchReport) -> Vec<String> {
    let found = [
        ("acknowledged writes lost", ledger.lost_names.as_slice()),
        ("acknowledged writes altered", &ledger.altered),
        ("rejected writes stored", &ledger.resurrected),
        ("writes ordered against real time", &ledger.misordered),
        (
            "stored writes that the watch never delivered",
            &watch.missed,
        ),
        (
            "writes that the watch delivered more than once",
            &watch.duplicated,
        ),
        (
            "writes that the watch delivered out of order",
            &watch.disordered,
        ),
        ("writes that the watch delivered altered", &watch.altered),
        (
            "rejected writes that the watch delivered",
            &watch.resurrected,
        ),
    ];
    let mut reasons: Vec<String> = found
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| format!("{what}: {} ({})", names.len(), some_of(names)))
        .collect();
    for (member, names) in &ledger.in_etcd {
        let whose = match member.as_str() {
            "quorum" => "what a quorum of etcd holds".to_owned(),
            member => format!("what etcd's member {member} holds"),
        };
        reasons.push(format!(
            "{whose} is not what was answered: {} ({})",
            names.len(),
            some_of(names)
        ));
    }
    if ledger.stale_reads > 0 {
        reasons.push(format!(
            "{} linearizable reads did not find a write acknowledged before",
            ledger.stale_reads
        ));
    }
    if watch.relisted > 0 {
        reasons.push(format!(
            "the watch lost its place (410 Gone), {} writes came only by listing anew",
            watch.relisted
        ));
    }
    reasons
}

/// Names the first three: enough to begin to search with.
fn some_of(names: &[String]) -> String {
    let first = names.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(3) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// Says why the run shows nothing.
fn void_reasons(evidence: &Evidence, lanes: &BTreeMap<Probe, Vec<Sample>>) -> Vec<String> {
    let run = &evidence.run;
    let mut reasons: Vec<String> = run
        .sick
        .iter()
        .map(|what| format!("the cluster was sick before: {what}"))
        .collect();
    let Some(fault) = run.phases.fault else {
        reasons.push("no fault was injected".to_owned());
        return reasons;
    };
    reasons.extend(run.violations.iter().cloned());
    reasons.extend(meddling(evidence));
    reasons.extend(foreign(evidence));
    reasons.extend(inside::void(evidence, fault));
    reasons.extend(uncovered(evidence));
    if run.load.rate_hz < LOWEST_RATE {
        reasons.push(format!(
            "the load was too low: {} samples a second of each probe, at least {LOWEST_RATE} are wanted",
            run.load.rate_hz
        ));
    }
    for proof in run.proofs.iter().filter(|proof| !proof.holds) {
        reasons.push(format!(
            "the fault did not bite: not so that {}",
            proof.what
        ));
    }
    if run.proofs.is_empty() {
        reasons.push("the fault did not bite: nothing shows it".to_owned());
    }
    for probe in Probe::ALL {
        let samples = lanes.get(&probe).map_or(&[][..], Vec::as_slice);
        let before: Vec<_> = samples.iter().filter(|sample| sample.end < fault).collect();
        let bad = before.iter().filter(|sample| sample.bad()).count();
        if bad as f64 > SICK_SHARE * before.len() as f64 {
            let (title, all) = (probe.title(), before.len());
            reasons.push(format!(
                "the cluster was sick before: {bad} of {all} samples of {title} were bad"
            ));
        }
        if before.is_empty() {
            reasons.push(format!(
                "the load was too low: no {} before the fault",
                probe.title()
            ));
        } else if probe != Probe::Watch {
            // The watch's samples follow the writes; it has no schedule of its own.
            reasons.extend(low_load(probe, samples, run.load, run.phases));
            reasons.extend(stalled(probe, samples, run.phases, fault));
        }
    }
    reasons
}

/// A tester that stood still saw nothing, and what it sees afterwards is not as others saw it.
fn stalled(probe: Probe, samples: &[Sample], phases: Phases, fault: Moment) -> Option<String> {
    let pause = longest_pause(
        samples,
        Window {
            from: phases.load,
            to: phases.end,
        },
    );
    (pause.length() > STALLED).then(|| {
        format!(
            "the tester stood still: no sample of {} was begun for {:.2} s, {:.2} s from the fault on",
            probe.title(),
            pause.length().as_secs_f64(),
            pause.from.millis_from(fault) / 1e3
        )
    })
}

fn low_load(probe: Probe, samples: &[Sample], load: Load, phases: Phases) -> Option<String> {
    let title = probe.title();
    let wanted = phases.end.since(phases.load).as_secs_f64() / load.period().as_secs_f64();
    let begun = samples
        .iter()
        .filter(|sample| sample.scheduled < phases.end)
        .count();
    if (begun as f64) < LOAD_SHARE * wanted {
        return Some(format!(
            "the load was too low: {begun} of {wanted:.0} samples of {title} were begun"
        ));
    }
    let late = samples
        .iter()
        .filter(|sample| sample.start.since(sample.scheduled) > TOO_LATE)
        .count();
    (late as f64 > LATE_SHARE * begun as f64).then(|| {
        format!(
            "the load was too low: {late} of {begun} samples of {title} started over {} ms late",
            TOO_LATE.as_millis()
        )
    })
}

/// Says which budgets were not held, and what else is missing for a pass.
fn missed_budgets(evidence: &Evidence, ledger: &Ledger, budgets: &[BudgetCheck]) -> Vec<String> {
    let mut reasons: Vec<String> = budgets
        .iter()
        .filter(|check| !check.held)
        .map(|check| {
            let limit = check.limit_ms as f64 / 1e3;
            let measured = match check.measured_ms {
                Some(ms) => format!("{:.2} s", ms / 1e3),
                None => "never".to_owned(),
            };
            format!(
                "{}: {measured}, the budget is {limit} s",
                check.budget.title()
            )
        })
        .collect();
    if !ledger.read {
        reasons
            .push("the quorum read after healing was not done, so no write is proven".to_owned());
    }
    if !ledger.etcd_read {
        reasons.push("etcd itself was not read after healing, so no write is proven".to_owned());
    }
    reasons.extend(failed(&evidence.run));
    reasons.extend(evidence.run.trouble.iter().cloned());
    reasons.extend(not_as_before(&evidence.run));
    reasons
}

mod inside;
mod surroundings;
mod view;

use surroundings::{bystanders, failed, foreign, meddling, not_as_before, uncovered};
use view::View;

#[cfg(test)]
mod sabotage;
#[cfg(test)]
mod tests;
