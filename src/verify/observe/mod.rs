//! What happens around a fault, seen from several sides at once and noted on the run's time axis.

mod balancer;
mod recorder;
mod watchers;

pub(super) use recorder::Recorder;
pub(super) use watchers::{Observers, Watched, ready};
