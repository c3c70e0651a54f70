//! Faults under load: probes, write ledger, history checker, budgets, reports.
//!
//! [`run`] does a [`Scenario`] to a [`crate::site::Site`] and leaves its [`Evidence`] in a directory; [`judge`] turns
//! evidence into a [`Verdict`] and is pure, so [`evaluate`] comes to the same verdict from the files at any later
//! time. What is measured and how it is defined stands in `docs/failure-model.md`, the files in `docs/evidence.md`.

mod api;
mod budget;
mod bundle;
mod clock;
mod error;
mod etcd;
mod evidence;
#[cfg(test)]
mod fixture;
mod history;
mod judge;
mod ledger;
mod observation;
mod observe;
mod outage;
mod probe;
mod recovery;
mod report;
mod run;
mod sample;
mod scenario;
mod strike;
mod subject;
mod summary;
mod verdict;
mod workload;

pub use budget::{Budget, BudgetCheck};
pub use clock::{Clock, Moment};
pub use error::VerifyError;
pub use etcd::EtcdError;
pub use evidence::{
    Evidence, EvidenceError, FaultRecord, Phases, Proof, RunRecord, Subject, Tester, Workload,
};
pub use history::{Delivery, Fate, History, How, Interruption, Stored, Write};
pub use judge::judge;
pub use ledger::{Ledger, WatchReport, fate, ledger, watch, watch_samples};
pub use observation::{Observation, Occurrence, Phase, PodState, ServerState};
pub use outage::{Latency, Lateness, Outage, Window, latency, lateness, longest_gap, outage};
pub use probe::{EndpointError, ProbesError};
pub use recovery::{Recovery, recovery};
pub use run::{evaluate, run, run_name};
pub use sample::{Outcome, Probe, SLOW, Sample, UnknownOutcome};
pub use scenario::{Fault, Load, Scenario, Target};
pub use summary::{headline, summary};
pub use verdict::{HealingReport, ProbeReport, Ruling, Verdict};
