//! Partial failure: a service that answers some requests and not others.

use std::time::Duration;

use super::Window;
use crate::verify::clock::Moment;
use crate::verify::sample::Sample;

/// A stretch of this length is looked at at once: long enough for a share of 20 samples a second to mean something.
const SPAN: Duration = Duration::from_secs(5);

/// With more bad samples than this share of a stretch, the service is not back. A hundred samples lie in five seconds,
/// and the boot of a node on a busy machine makes some slow ones here and there.
const SHARE: f64 = 0.05;

/// Whether it is over is seen in the last second.
const TAIL: Duration = Duration::from_secs(1);

/// A service that answers some requests and not others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Degraded {
    /// For how long altogether, from the first bad sample of a stretch that is not clean to the first good one after
    /// its last; coming back counts again.
    pub length: Duration,
    /// False if the window's last second was not clean either.
    pub over: bool,
}

/// Returns for how long within `window` more than one in twenty requests failed: every stretch of five seconds is looked
/// at that begins with a sample.
pub fn degraded(samples: &[Sample], window: Window) -> Option<Degraded> {
    let mut inside: Vec<Sample> = samples
        .iter()
        .filter(|sample| window.contains(sample.start))
        .copied()
        .collect();
    inside.sort_by_key(|sample| (sample.start, sample.end));
    let mut found: Option<Degraded> = None;
    let mut counted = window.from;
    let mut end = 0;
    for begin in 0..inside.len() {
        let from = inside[begin].start;
        while inside.get(end).is_some_and(|s| s.start.since(from) < SPAN) {
            end += 1;
        }
        let last = end == inside.len();
        let stretch = &inside[begin..end];
        let bad = stretch.iter().filter(|sample| sample.bad()).count();
        if bad as f64 > SHARE * stretch.len() as f64 {
            let (first, next) = bounds(stretch, &inside[end..], window.to);
            let from = first.max(counted);
            let so_far = found.map_or(Duration::ZERO, |found| found.length);
            found = Some(Degraded {
                length: so_far + next.since(from),
                over: true,
            });
            counted = counted.max(next);
        }
        if last {
            break;
        }
    }
    let tail = |sample: &&Sample| window.to.since(sample.start) < TAIL;
    let all = inside.iter().filter(tail).count();
    let bad = inside.iter().filter(tail).filter(|s| s.bad()).count();
    found.map(|found| Degraded {
        over: bad as f64 <= SHARE * all as f64,
        ..found
    })
}

/// Returns from when to when it was bad luck to begin: from the first bad sample to the first good one after the last.
fn bounds(stretch: &[Sample], rest: &[Sample], to: Moment) -> (Moment, Moment) {
    let first = stretch.iter().find(|sample| sample.bad());
    let last = stretch.iter().rposition(Sample::bad).unwrap_or(0);
    let next = stretch[last..]
        .iter()
        .skip(1)
        .chain(rest)
        .find(|sample| !sample.bad());
    (
        first.map_or(to, |sample| sample.start),
        next.map_or(to, |sample| sample.start),
    )
}
