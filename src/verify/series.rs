//! Several runs in a row, summed up: a pure function over their verdicts.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::summary::seconds;
use super::verdict::{Ruling, Verdict};

/// Several runs of one scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct Series {
    /// How many runs there were.
    pub runs: usize,
    /// How many of them passed.
    pub passed: usize,
    /// How many of them showed nothing; they have no part in the figures.
    pub void: usize,
    /// Every figure that some run has, in the order of the report.
    pub figures: Vec<Figure>,
}

/// A figure over several runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct Figure {
    /// What was measured.
    pub what: String,
    /// How many runs have it.
    pub runs: usize,
    /// In how many runs it never came to an end.
    pub never: usize,
    /// The smallest, in milliseconds.
    pub min_ms: f64,
    /// Half of the runs had at most this.
    pub median_ms: f64,
    /// The largest.
    pub max_ms: f64,
}

/// Sums up the verdicts of several runs.
pub fn series(verdicts: &[Verdict]) -> Series {
    let count = |ruling| verdicts.iter().filter(|v| v.verdict == ruling).count();
    let mut found: Vec<(String, Vec<f64>, usize)> = Vec::new();
    let shows = |verdict: &&Verdict| verdict.verdict != Ruling::Void;
    for (what, measured) in verdicts.iter().filter(shows).flat_map(figures) {
        let place = found.iter().position(|(known, ..)| *known == what);
        let place = place.unwrap_or_else(|| {
            found.push((what, Vec::new(), 0));
            found.len() - 1
        });
        let Some((_, values, never)) = found.get_mut(place) else {
            continue; // The place was found, or made, just before.
        };
        match measured {
            Some(ms) => values.push(ms),
            None => *never += 1,
        }
    }
    Series {
        runs: verdicts.len(),
        passed: count(Ruling::Pass),
        void: count(Ruling::Void),
        figures: found
            .into_iter()
            .map(|(what, values, never)| figure(what, values, never))
            .collect(),
    }
}

fn figure(what: String, mut values: Vec<f64>, never: usize) -> Figure {
    values.sort_by(f64::total_cmp);
    let at = |place: usize| values.get(place).copied().unwrap_or_default();
    let last = values.len().saturating_sub(1);
    Figure {
        what,
        runs: values.len() + never,
        never,
        min_ms: at(0),
        median_ms: f64::midpoint(at(last / 2), at(last.div_ceil(2))),
        max_ms: at(last),
    }
}

/// Returns a run's figures; none for what never came to an end. What was not seen at all is left out.
fn figures(verdict: &Verdict) -> Vec<(String, Option<f64>)> {
    let mut found = Vec::new();
    for (probe, report) in &verdict.probes {
        let title = probe.title();
        let outage = report.recovered.then_some(report.outage_ms);
        found.push((format!("{title}: outage"), outage));
        found.push((format!("{title}: longest"), Some(report.max_ms)));
        found.push((format!("{title}: longest gap"), Some(report.longest_gap_ms)));
    }
    let recovery = &verdict.recovery;
    let times = [
        ("load balancer took it out", recovery.server_down_ms),
        ("new etcd leader", recovery.leader_ms),
        ("leases moved", recovery.leases_ms),
        ("NotReady", recovery.not_ready_ms),
        ("pods evicted", recovery.evicted_ms),
        ("pods Ready elsewhere", recovery.pods_elsewhere_ms),
        ("node Ready again after its start", recovery.node_ready_ms),
    ];
    let seen = times
        .into_iter()
        .filter(|(_, ms)| ms.is_some())
        .map(|(what, ms)| (what.to_owned(), ms));
    found.extend(seen);
    found
}

impl Series {
    /// Returns it as a table for a terminal.
    pub fn text(&self) -> String {
        let mut text = format!("{} of {} runs passed", self.passed, self.runs);
        if self.void > 0 {
            let _ = write!(text, ", {} showed nothing and are left out", self.void);
        }
        let _ = writeln!(
            text,
            "\n\n  {:<33} {:>5} {:>9} {:>9} {:>9}",
            "figure", "runs", "min", "median", "max"
        );
        for figure in &self.figures {
            let never = match figure.never {
                0 => String::new(),
                never => format!("  never in {never}"),
            };
            let _ = writeln!(
                text,
                "  {:<33} {:>5} {:>9} {:>9} {:>9}{never}",
                figure.what,
                figure.runs,
                seconds(figure.min_ms),
                seconds(figure.median_ms),
                seconds(figure.max_ms),
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::fixture::evidence;
    use crate::verify::{Probe, judge};

    /// A run whose writes were out for this long.
    fn run(write_outage_ms: f64) -> Verdict {
        let mut verdict = judge(&evidence());
        let writes = verdict.probes.get_mut(&Probe::Write).unwrap();
        writes.outage_ms = write_outage_ms;
        verdict
    }

    fn writes(series: &Series) -> &Figure {
        let mut figures = series.figures.iter();
        figures.find(|f| f.what == "writes: outage").unwrap()
    }

    #[test]
    fn case_times_sums_up_every_run() {
        let found = series(&[run(1300.0), run(1100.0), run(1800.0)]);
        assert_eq!((found.runs, found.passed, found.void), (3, 3, 0));
        let outage = writes(&found);
        let figures = (outage.min_ms, outage.median_ms, outage.max_ms);
        assert_eq!(figures, (1100.0, 1300.0, 1800.0));
        let even = series(&[run(1.0), run(2.0), run(4.0), run(8.0)]);
        assert!((writes(&even).median_ms - 3.0).abs() < 1e-9);
        let text = found.text();
        assert!(text.starts_with("3 of 3 runs passed\n"), "{text}");
        let line = "  writes: outage                        3    1.10 s    1.30 s    1.80 s\n";
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn what_never_ended_and_what_shows_nothing_is_said() {
        let mut never = run(0.0);
        never.verdict = Ruling::Fail;
        never.probes.get_mut(&Probe::Write).unwrap().recovered = false;
        let mut void = run(9000.0);
        void.verdict = Ruling::Void;
        let found = series(&[run(1100.0), never, void]);
        assert_eq!((found.runs, found.passed, found.void), (3, 1, 1));
        let outage = writes(&found);
        assert_eq!((outage.runs, outage.never), (2, 1));
        assert!((outage.max_ms - 1100.0).abs() < 1e-9);
        assert!(found.text().contains("never in 1"));
    }

    #[test]
    fn no_run_has_no_figure() {
        assert!(series(&[]).figures.is_empty());
    }
}
