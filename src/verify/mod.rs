//! Faults under load: probes, write ledger, history checker, budgets, reports.
//!
//! [`run`] does a [`Scenario`] to a [`crate::site::Site`] and leaves its [`Evidence`] in a directory; [`judge`] turns
//! evidence into a [`Verdict`] and is pure, so [`evaluate`] comes to the same verdict from the files at any later
//! time. What is measured and how it is defined stands in `docs/failure-model.md`, the files in `docs/evidence.md`.

mod api;
mod budget;
mod bundle;
mod data;
mod error;
mod etcd;
mod evidence;
#[cfg(test)]
mod fixture;
mod inject;
mod inside;
mod judge;
mod kubeconfig;
mod ledger;
mod left;
#[cfg(test)]
mod load_tests;
mod observation;
mod observe;
mod operation;
mod outage;
mod precondition;
mod recovery;
mod report;
mod run;
mod scenario;
mod series;
mod subject;
mod summary;
mod verdict;
mod workload;

pub use budget::{Budget, BudgetCheck};
pub use error::VerifyError;
pub use etcd::EtcdError;
pub use evidence::{
    Evidence, EvidenceError, FaultRecord, Phases, Proof, RunRecord, Subject, Tester, Workload,
};
pub use inside::{Dependency, Question};
pub use judge::judge;
pub use kubeconfig::KubeconfigError;
pub use ledger::{Ledger, WatchReport, ledger, watch, watch_samples};
pub use observation::{Observation, Occurrence, Phase, PodState, ServerState};
pub use operation::{Operation, OperationRecord};
pub use outage::{
    Degraded, Latency, Lateness, Outage, Window, degraded, latency, lateness, longest_gap,
    longest_hang, longest_pause, outage,
};
pub use precondition::await_preconditions;
pub use recovery::{Recovery, recovery};
pub use regent_load::{
    Clock, Delivery, EndpointError, Fate, History, How, Interruption, Kept, Load, Moment, Outcome,
    Probe, ProbesError, SLOW, Sample, Stored, UnknownOutcome, Write, fate,
};
use regent_load::{clock, history, sample};
pub use run::{during, evaluate, run, run_name};
pub use scenario::{Fault, Scenario, Target};
pub use series::{Figure, Series, series};
pub use summary::{headline, summary};
pub use verdict::{HealingReport, ProbeReport, Ruling, Verdict};
