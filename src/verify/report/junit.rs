//! The verdict as JUnit XML, which every CI system shows.

use serde::Serialize;

use crate::verify::verdict::{Ruling, Verdict};
use crate::xml::{self, XmlError};

#[derive(Serialize)]
struct Suites {
    testsuite: Suite,
}

#[derive(Serialize)]
struct Suite {
    #[serde(rename = "@name")]
    name: String,
    #[serde(rename = "@tests")]
    tests: usize,
    #[serde(rename = "@failures")]
    failures: usize,
    #[serde(rename = "@skipped")]
    skipped: usize,
    #[serde(rename = "@timestamp")]
    timestamp: String,
    #[serde(rename = "@time")]
    time: String,
    testcase: Vec<Case>,
}

#[derive(Serialize)]
struct Case {
    #[serde(rename = "@classname")]
    class: String,
    #[serde(rename = "@name")]
    name: String,
    #[serde(rename = "@time")]
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Message>,
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<Message>,
}

#[derive(Serialize)]
struct Message {
    #[serde(rename = "@message")]
    message: String,
}

/// One case for the run as a whole, and one for each budget, the ledger and the watch. Those of a void run are
/// skipped; the run itself then fails, so that a void run does not turn a pipeline green.
pub(super) fn junit(verdict: &Verdict) -> Result<String, XmlError> {
    let void = verdict.verdict == Ruling::Void;
    let seconds = |ms: f64| format!("{:.3}", ms / 1e3);
    let case = |name: String, time: f64, broken: Option<String>| {
        let message = |message| Message { message };
        Case {
            class: format!("regent.{}", verdict.cluster),
            name,
            time: seconds(time),
            failure: broken.filter(|_| !void).map(message),
            skipped: void.then(|| message("the run is void".to_owned())),
        }
    };
    let length = verdict.phases.end.since(verdict.phases.load).as_secs_f64() * 1e3;
    let whole = (verdict.verdict != Ruling::Pass).then(|| verdict.reasons.join("; "));
    let mut cases = vec![Case {
        skipped: None,
        failure: whole.map(|message| Message { message }),
        ..case(verdict.fault.words.clone(), length, None)
    }];
    for check in &verdict.budgets {
        let measured = check.measured_ms.unwrap_or(0.0);
        let broken = (!check.held).then(|| match check.measured_ms {
            Some(ms) => format!(
                "{} s, the budget is {} s",
                seconds(ms),
                seconds(check.limit_ms as f64)
            ),
            None => format!("never, the budget is {} s", seconds(check.limit_ms as f64)),
        });
        cases.push(case(check.budget.title().to_owned(), measured, broken));
    }
    let ledger = (!verdict.ledger.sound()).then(|| "see verdict.json, ledger".to_owned());
    cases.push(case(
        "no acknowledged write is lost".to_owned(),
        0.0,
        ledger,
    ));
    let watch = (!verdict.watch.sound()).then(|| "see verdict.json, watch".to_owned());
    cases.push(case(
        "the watch delivers each write once and in order".to_owned(),
        0.0,
        watch,
    ));
    let suite = Suite {
        name: verdict.run.clone(),
        tests: cases.len(),
        failures: cases.iter().filter(|case| case.failure.is_some()).count(),
        skipped: cases.iter().filter(|case| case.skipped.is_some()).count(),
        timestamp: verdict.started.to_string(),
        time: seconds(length),
        testcase: cases,
    };
    xml::to_string("testsuites", &Suites { testsuite: suite })
}
