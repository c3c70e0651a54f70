//! Faults under load: probes, write ledger, history checker, budgets, reports.
//!
//! [`run`] does a [`Scenario`] to a [`crate::site::Site`] and leaves its [`Evidence`] in a directory; [`judge`] turns
//! evidence into a [`Verdict`] and is pure, so [`evaluate`] comes to the same verdict from the files at any later
//! time. What is measured and how it is defined stands in `docs/failure-model.md`, the files in `docs/evidence.md`.

mod clock;
mod outage;
mod sample;
mod scenario;

pub use clock::{Clock, Moment};
pub use outage::{Latency, Lateness, Window, latency, lateness, longest_gap, outage};
pub use sample::{Outcome, Probe, Sample};
pub use scenario::{Fault, Load, Scenario, Target};
