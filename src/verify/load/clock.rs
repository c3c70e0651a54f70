//! The one clock of a run.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A point on a run's time axis: microseconds since the run's epoch.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Moment(pub u64);

impl Moment {
    /// Returns the time from `earlier` to here; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// Returns the point `span` later.
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(micros(span)))
    }

    /// Returns the signed distance from `origin` in milliseconds, to 0.1 ms.
    pub fn millis_from(self, origin: Self) -> f64 {
        let ahead = millis(self.since(origin));
        if ahead > 0.0 {
            ahead
        } else {
            0.0 - millis(origin.since(self))
        }
    }
}

/// The monotonic clock that every sample and event of a run is measured with. Its wall-clock reading at the epoch
/// only serves to place what others stamped with wall-clock time (a journal) and to say when the run was.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    epoch: Instant,
    wall: Timestamp,
}

impl Clock {
    /// Starts a clock; its epoch is now.
    pub fn start() -> Self {
        Self {
            epoch: Instant::now(),
            wall: Timestamp::now(),
        }
    }

    /// Returns the wall-clock time of the epoch.
    pub fn wall(&self) -> Timestamp {
        self.wall
    }

    /// Returns the present moment.
    pub fn now(&self) -> Moment {
        self.at(Instant::now())
    }

    /// Places an instant on the axis; what was before the epoch is at the epoch.
    pub fn at(&self, instant: Instant) -> Moment {
        Moment(micros(instant.saturating_duration_since(self.epoch)))
    }

    /// Places a wall-clock time on the axis; what was before the epoch is at the epoch.
    pub fn at_wall(&self, time: Timestamp) -> Moment {
        let micros = time.as_microsecond() - self.wall.as_microsecond();
        Moment(u64::try_from(micros).unwrap_or(0))
    }

    /// Returns the instant of a moment.
    pub fn instant(&self, moment: Moment) -> Instant {
        self.epoch + Duration::from_micros(moment.0)
    }
}

/// Returns whole microseconds; what does not fit 64 bits (half a million years) saturates.
pub fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// Returns milliseconds, to 0.1 ms: finer is noise of the scheduler.
pub fn millis(span: Duration) -> f64 {
    (span.as_secs_f64() * 1e4).round() / 10.0
}
