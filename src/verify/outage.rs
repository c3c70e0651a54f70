//! How long a service was away, and how fast it was: pure functions over samples.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::clock::{Moment, micros, millis};
use super::sample::Sample;

/// A stretch of a run's time axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Its first moment.
    pub from: Moment,
    /// The first moment after it.
    pub to: Moment,
}

impl Window {
    /// Returns its length.
    pub fn length(self) -> Duration {
        self.to.since(self.from)
    }

    /// Whether a moment lies in it.
    pub fn contains(self, moment: Moment) -> bool {
        self.from <= moment && moment < self.to
    }
}

/// An outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// From the start of the first bad sample to the end of the first good one after the last bad one.
    pub window: Window,
    /// False if no good sample came after the last bad one; then `window` ends with the observation.
    pub over: bool,
    /// When the last of the bad samples was answered or given up. A request that was caught in the outage may hang on
    /// long after the service is back.
    pub cleared: Moment,
}

/// Returns the outage of one probe within `window`, which begins with the fault (or with its healing).
///
/// From the start of the first bad sample to the end of the first good sample after the last bad one. Samples are in
/// the order in which they began: the outage is the time in which it was bad luck to begin. One that was already in
/// flight as the window began belongs to it, and counts from there.
pub fn outage(samples: &[Sample], window: Window) -> Option<Outage> {
    if window.length().is_zero() {
        return None;
    }
    let bad = || {
        samples
            .iter()
            .filter(|sample| sample.bad() && sample.start < window.to && sample.end >= window.from)
    };
    let first = bad().map(|sample| sample.start).min()?;
    let last = bad().map(|sample| sample.start).max()?;
    let cleared = bad().map(|sample| sample.end).max()?;
    let good = samples
        .iter()
        .filter(|sample| !sample.bad() && sample.start > last)
        .min_by_key(|sample| (sample.start, sample.end));
    let observed = samples.iter().map(|sample| sample.end).max()?;
    Some(Outage {
        window: Window {
            from: first.max(window.from),
            // One that was given up as the window began may have been the only one.
            to: good.map_or(observed, |sample| sample.end).max(window.from),
        },
        over: good.is_some(),
        cleared,
    })
}

/// Returns the longest time without a completed good sample that touches `window`.
///
/// The time before the first and after the last good sample counts too, up to the edges of the window.
pub fn longest_gap(samples: &[Sample], window: Window) -> Window {
    let good = samples.iter().filter(|sample| !sample.bad());
    longest_between(good.map(|sample| sample.end).collect(), window)
}

/// Returns the longest time between two of these moments that touches `window`, as [`longest_gap`] counts it.
pub(super) fn longest_between(mut ends: Vec<Moment>, window: Window) -> Window {
    ends.sort_unstable();
    let before = ends.iter().rev().find(|end| **end <= window.from);
    let after = ends.iter().find(|end| **end >= window.to);
    let mut last = before.copied().unwrap_or(window.from);
    let mut longest = Window {
        from: last,
        to: last,
    };
    let inside = ends.iter().filter(|end| window.contains(**end));
    for end in inside.chain([after.unwrap_or(&window.to)]) {
        let gap = Window {
            from: last,
            to: *end,
        };
        if gap.length() > longest.length() {
            longest = gap;
        }
        last = *end;
    }
    longest
}

/// Returns the longest that any sample hung, good or bad, that was not answered before `window`. One that was in flight
/// as the window began counts from there.
pub fn longest_hang<'a>(
    samples: impl IntoIterator<Item = &'a Sample>,
    window: Window,
) -> Option<Duration> {
    samples
        .into_iter()
        .filter(|sample| sample.end >= window.from && sample.start < window.to)
        .map(|sample| sample.end.since(sample.scheduled.max(window.from)))
        .max()
}

/// Returns the longest stretch of `within` in which no sample was begun: the tester stood still.
pub fn longest_pause(samples: &[Sample], within: Window) -> Window {
    let mut starts: Vec<Moment> = samples.iter().map(|sample| sample.start).collect();
    starts.retain(|start| within.contains(*start));
    starts.sort_unstable();
    let edges = [within.from].into_iter().chain(starts.clone());
    let pauses = edges
        .zip(starts.into_iter().chain([within.to]))
        .map(|(from, to)| Window { from, to });
    pauses.max_by_key(|pause| pause.length()).unwrap_or(within)
}

/// How long samples took, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct Latency {
    /// Half of the samples took at most this.
    pub p50_ms: f64,
    /// 99 of 100 samples took at most this.
    pub p99_ms: f64,
    /// The longest took this.
    pub max_ms: f64,
}

/// Returns the latency of all samples, good and bad: each ran on its own, so none hides another.
pub fn latency<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Latency {
    let (p50_ms, p99_ms, max_ms) = quantiles(samples.into_iter().map(Sample::latency));
    Latency {
        p50_ms,
        p99_ms,
        max_ms,
    }
}

/// How late samples started, in milliseconds. A late start is this machine's fault, not the cluster's: it blurs what
/// is measured by as much.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct Lateness {
    /// Half of the samples started at most this late.
    pub p50_ms: f64,
    /// 99 of 100 samples started at most this late.
    pub p99_ms: f64,
    /// The latest started this late.
    pub max_ms: f64,
    /// How many started over 50 ms late: later than the next one's turn at 20 Hz.
    pub over50_ms: u64,
}

/// Returns how late samples started.
pub fn lateness<'a>(samples: impl IntoIterator<Item = &'a Sample> + Clone) -> Lateness {
    let late = |sample: &Sample| sample.start.since(sample.scheduled);
    let (p50_ms, p99_ms, max_ms) = quantiles(samples.clone().into_iter().map(late));
    let limit = Duration::from_millis(50);
    let over = samples.into_iter().filter(|sample| late(sample) > limit);
    Lateness {
        p50_ms,
        p99_ms,
        max_ms,
        over50_ms: over.count() as u64,
    }
}

/// Returns median, 99th percentile and maximum in milliseconds; zeros for no spans.
fn quantiles(spans: impl Iterator<Item = Duration>) -> (f64, f64, f64) {
    // Three significant digits: 1 ms of a second. No span of a run is longer than an hour.
    const HOUR: u64 = 3_600_000_000;
    let Ok(mut histogram) = Histogram::<u64>::new_with_bounds(1, HOUR, 3) else {
        return (0.0, 0.0, 0.0);
    };
    for span in spans {
        // Zero is no value of the histogram.
        histogram.saturating_record(micros(span).max(1));
    }
    if histogram.is_empty() {
        return (0.0, 0.0, 0.0);
    }
    let at = |quantile| millis(Duration::from_micros(histogram.value_at_quantile(quantile)));
    (at(0.5), at(0.99), at(1.0))
}

mod degraded;

pub use degraded::{Degraded, degraded};

#[cfg(test)]
mod tests;
