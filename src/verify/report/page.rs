//! The report: one page that needs nothing else.

use std::time::Duration;

use camino::Utf8Path;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, context};

use super::junit::junit;
use super::lanes::lanes;
use super::svg::draw;
use crate::verify::clock::Moment;
use crate::verify::error::VerifyError;
use crate::verify::evidence::{Evidence, pretty, write_file};
use crate::verify::outage::Window;
use crate::verify::summary::{facts, headline, is_emulated, word};
use crate::verify::verdict::Verdict;

const TEMPLATE: &str = include_str!("report.html");

/// The close-up shows this much before the fault, and at least this much after it.
const BEFORE: Duration = Duration::from_secs(1);
const AFTER: Duration = Duration::from_secs(5);

/// Writes `verdict.json`, `junit.xml`, `timeline.svg` and `report.html`.
pub(in crate::verify) fn write(
    evidence: &Evidence,
    verdict: &Verdict,
    out: &Utf8Path,
) -> Result<(), VerifyError> {
    write_file(out, "verdict.json", &pretty(verdict))?;
    write_file(out, "junit.xml", &junit(verdict)?)?;
    write_file(
        out,
        "timeline.svg",
        &draw(&lanes(evidence), &evidence.run, whole(evidence)),
    )?;
    write_file(out, "report.html", &page(evidence, verdict)?)?;
    Ok(())
}

/// Returns the page.
pub(super) fn page(evidence: &Evidence, verdict: &Verdict) -> Result<String, minijinja::Error> {
    let lanes = lanes(evidence);
    let phases = evidence.run.phases;
    let timeline = draw(&lanes, &evidence.run, whole(evidence));
    let closeup = closeup(evidence, verdict).map(|window| draw(&lanes, &evidence.run, window));
    let origin = phases.fault.unwrap_or(phases.load);
    let events: Vec<Value> = evidence
        .events
        .iter()
        .map(|event| {
            context! {
                at => format!("{:+.3}", event.at.millis_from(origin) / 1e3),
                blur => event.blur_ms,
                subject => event.what.subject(),
                what => event.what.to_string(),
            }
        })
        .collect();
    let mut environment = Environment::new();
    // A name that ends in .html turns escaping on.
    environment.add_template("report.html", TEMPLATE)?;
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    environment.add_filter("s", |ms: f64| format!("{:.2} s", ms / 1e3));
    environment.add_filter("ms", |ms: f64| format!("{ms:.1} ms"));
    environment.get_template("report.html")?.render(context! {
        v => Value::from(Serde(verdict)),
        word => word(verdict.verdict),
        headline => headline(verdict),
        emulated => is_emulated(verdict),
        probes => probes(verdict),
        inside => inside(verdict),
        budgets => budgets(verdict),
        facts => facts(verdict),
        events,
        timeline => Value::from_safe_string(timeline),
        closeup => closeup.map(Value::from_safe_string),
    })
}

fn probes(verdict: &Verdict) -> Vec<Value> {
    let rows = verdict.probes.iter();
    rows.map(|(probe, report)| context! { title => probe.title(), r => Value::from(Serde(report)) })
        .collect()
}

fn inside(verdict: &Verdict) -> Vec<Value> {
    let rows = verdict.inside.iter();
    rows.map(|(of, report)| {
        let unanswered = format!("{:.0} %", report.unanswered_share * 100.0);
        context! { title => of.title(), unanswered, r => Value::from(Serde(report)) }
    })
    .collect()
}

fn budgets(verdict: &Verdict) -> Vec<Value> {
    let rows = verdict.budgets.iter();
    rows.map(|check| context! { title => check.budget.title(), c => Value::from(Serde(check)) })
        .collect()
}

fn whole(evidence: &Evidence) -> Window {
    let phases = evidence.run.phases;
    Window {
        from: phases.load,
        to: phases.end.max(phases.load.after(Duration::from_secs(1))),
    }
}

/// The seconds around the fault, in which everything happens; none where that is nearly the whole run.
fn closeup(evidence: &Evidence, verdict: &Verdict) -> Option<Window> {
    let phases = evidence.run.phases;
    let fault = phases.fault?;
    let longest = verdict
        .probes
        .values()
        .map(|report| report.outage_ms)
        .fold(0.0, f64::max);
    let outage = Duration::from_secs_f64(longest / 1e3);
    let from = fault
        .0
        .saturating_sub(u64::try_from(BEFORE.as_micros()).unwrap_or(0));
    let window = Window {
        from: Moment(from),
        to: fault.after(AFTER.max(outage * 3 / 2)).min(phases.end),
    };
    (window.length() * 2 < phases.end.since(phases.load)).then_some(window)
}
