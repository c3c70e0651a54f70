//! What one kind of client saw, before and after the fault.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::verify::clock::{Moment, millis};
use crate::verify::evidence::RunRecord;
use crate::verify::outage::{
    Outage, Window, degraded, latency, lateness, longest_gap, longest_hang, outage,
};
use crate::verify::sample::{Probe, Sample};
use crate::verify::verdict::{HealingReport, ProbeReport};

/// One probe's samples, seen through the run's phases.
pub(super) struct View<'a> {
    pub(super) probe: Probe,
    samples: &'a [Sample],
    fault: Window,
    healing: Option<Window>,
    /// Whether what happened lasts as long as the window, as a command does. From its first to its last effect is then no
    /// outage; the longest time without a good answer is.
    lasting: bool,
}

impl<'a> View<'a> {
    pub(super) fn new(probe: Probe, samples: &'a [Sample], run: &RunRecord) -> Self {
        let phases = run.phases;
        // Without a fault there is nothing to see after it: the whole window is empty.
        let from = phases.fault.unwrap_or(phases.end);
        let to = phases.heal.unwrap_or(phases.end);
        let healing = phases.heal.map(|from| Window {
            from,
            to: phases.end,
        });
        Self {
            probe,
            samples,
            fault: Window { from, to },
            healing,
            lasting: run.operation.is_some(),
        }
    }

    /// Returns the figure that the probe's budget limits; none if it never ended.
    ///
    /// That is the outage of the fault (of the watch: its longest gap). While the node comes back it is the longest gap
    /// for every probe: a machine that is busy with booting makes slow samples here and there, and the time from the
    /// first to the last of them is no outage.
    pub(super) fn cost(&self) -> Option<Duration> {
        let ends = |window| outage(self.samples, window).is_none_or(|outage| outage.over);
        if !ends(self.fault) || !self.healing.is_none_or(ends) {
            return None;
        }
        let gap = |window| longest_gap(self.samples, window).length();
        let fault = match self.probe {
            Probe::Watch => gap(self.fault),
            _ => self.outage(),
        };
        let busy = self.healing.or(self.lasting.then_some(self.fault));
        let partial = match busy.and_then(|window| degraded(self.samples, window)) {
            // The watch's samples come in bursts, after each of its interruptions.
            _ if self.probe == Probe::Watch => Duration::ZERO,
            None => Duration::ZERO,
            Some(found) if found.over => found.length,
            Some(_) => return None,
        };
        let healing = self.healing.map_or(Duration::ZERO, gap);
        Some(fault.max(healing).max(partial))
    }

    /// How long the clients were without the cluster.
    fn outage(&self) -> Duration {
        match outage(self.samples, self.fault) {
            Some(_) if self.lasting => longest_gap(self.samples, self.fault).length(),
            outage => length(outage),
        }
    }

    pub(super) fn report(&self) -> ProbeReport {
        let outage = outage(self.samples, self.fault);
        let gap = longest_gap(self.samples, self.fault);
        let since = |from: Moment| {
            self.samples
                .iter()
                .filter(move |sample| sample.start >= from)
        };
        let mut after = latency(since(self.fault.from));
        // One that was caught in flight hangs with the others.
        let to = self.samples.iter().map(|sample| sample.start).max();
        let whole = Window {
            from: self.fault.from,
            to: to.unwrap_or_default().after(Duration::from_micros(1)),
        };
        let hang = longest_hang(self.samples, whole).unwrap_or_default();
        after.max_ms = after.max_ms.max(millis(hang));
        let before = self
            .samples
            .iter()
            .filter(|sample| sample.end < self.fault.from);
        let mut failures = BTreeMap::new();
        for sample in self.samples.iter().filter(|s| s.bad() && !s.slow()) {
            *failures.entry(sample.outcome.to_string()).or_default() += 1;
        }
        ProbeReport {
            samples: self.samples.len() as u64,
            failed: failures.values().sum(),
            slow: self.samples.iter().filter(|sample| sample.slow()).count() as u64,
            outage_ms: millis(self.outage()),
            recovered: outage.is_none_or(|outage| outage.over),
            cleared_ms: outage.map_or(0.0, |outage| millis(outage.cleared.since(self.fault.from))),
            longest_gap_ms: millis(gap.length()),
            longest_gap_at_ms: gap.from.millis_from(self.fault.from),
            p50_ms: after.p50_ms,
            p99_ms: after.p99_ms,
            max_ms: after.max_ms,
            failures,
            baseline: latency(before),
            healing: self.healing.map(|window| self.healing_report(window)),
            late_starts: lateness(self.samples),
        }
    }

    fn healing_report(&self, window: Window) -> HealingReport {
        let outage = outage(self.samples, window);
        HealingReport {
            outage_ms: millis(length(outage)),
            recovered: outage.is_none_or(|outage| outage.over),
            longest_gap_ms: millis(longest_gap(self.samples, window).length()),
        }
    }
}

fn length(outage: Option<Outage>) -> Duration {
    outage.map_or(Duration::ZERO, |outage| outage.window.length())
}
