//! What a run's evidence amounts to.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::budget::BudgetCheck;
use super::evidence::{FaultRecord, Phases, Proof, Subject, Tester};
use super::inside::Dependency;
use super::ledger::{Ledger, WatchReport};
use super::observation::Observation;
use super::operation::OperationRecord;
use super::outage::{Latency, Lateness};
use super::recovery::Recovery;
use super::sample::Probe;
use crate::name::{ClusterName, NodeName};
use regent_load::Load;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ruling {
    /// The fault bit, the load was high enough, every budget held, and nothing acknowledged is missing.
    Pass,
    /// A budget or an invariant was broken.
    Fail,
    /// The run shows nothing: the fault did not bite, the load was too low, or the cluster was sick before.
    Void,
}

/// A run's verdict, with what it rests on. Its JSON form is `verdict.json`, described in `docs/evidence.md`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct Verdict {
    /// `regent/verdict/v1`.
    pub schema: String,
    /// How the run ended.
    pub verdict: Ruling,
    /// Why, where it is not a pass: one sentence each, the weightiest first.
    pub reasons: Vec<String>,
    /// The run's name.
    pub run: String,
    /// The cluster.
    pub cluster: ClusterName,
    /// When the run began.
    pub started: Timestamp,
    /// What was done.
    pub fault: FaultRecord,
    /// The command that was run, if that is what was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationRecord>,
    /// What shows that it bit.
    pub proofs: Vec<Proof>,
    /// When the parts of the run began.
    pub phases: Phases,
    /// The load.
    pub load: Load,
    /// What the measuring itself cost.
    pub tester: Tester,
    /// What the clients saw.
    pub probes: BTreeMap<Probe, ProbeReport>,
    /// What clients inside the cluster went through, on the node that had the worst of it.
    pub inside: BTreeMap<Dependency, InsideReport>,
    /// What became of the writes.
    pub ledger: Ledger,
    /// What the watch delivered.
    pub watch: WatchReport,
    /// How long the cluster took to notice and to mend.
    pub recovery: Recovery,
    /// The budgets that apply to this fault.
    pub budgets: Vec<BudgetCheck>,
    /// Everything that was seen to happen.
    pub events: Vec<Observation>,
    /// What was under test.
    pub subject: Subject,
}

/// What one kind of client saw.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct ProbeReport {
    /// How many samples were begun.
    pub samples: u64,
    /// How many of them failed.
    pub failed: u64,
    /// How many of them succeeded after more than a second.
    pub slow: u64,
    /// From the first bad sample after the fault to the first good one after the last bad one, until healing.
    pub outage_ms: f64,
    /// False if no good sample came any more.
    pub recovered: bool,
    /// From the fault until the last of the outage's bad samples was answered or given up; 0 without an outage. Longer
    /// than the outage where requests hang on that were caught in it.
    pub cleared_ms: f64,
    /// The longest time without a completed good sample, from the fault until healing.
    pub longest_gap_ms: f64,
    /// When that began, from the fault.
    pub longest_gap_at_ms: f64,
    /// Half of the samples from the fault on took at most this.
    pub p50_ms: f64,
    /// 99 of 100 samples from the fault on took at most this.
    pub p99_ms: f64,
    /// The longest from the fault on took this.
    pub max_ms: f64,
    /// How the samples that did not succeed ended: `connect`, `tls`, `closed`, `timeout`, `http503`…
    pub failures: BTreeMap<String, u64>,
    /// The latency before the fault.
    pub baseline: Latency,
    /// The same as above from healing on.
    pub healing: Option<HealingReport>,
    /// How late the samples started: this machine's share in the figures.
    pub late_starts: Lateness,
}

/// What a client inside the cluster saw of one thing that it depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct InsideReport {
    /// The node that had the worst of it.
    pub node: NodeName,
    /// How many questions were asked there.
    pub questions: u64,
    /// How many of them had no good answer, or one after more than a second.
    pub failed: u64,
    /// The longest time without a good answer, from the fault on.
    pub silence_ms: f64,
    /// When that began, from the fault.
    pub silence_at_ms: f64,
    /// The share of the questions of the half minute after the fault that had no good answer, on whichever node it was
    /// highest; of a command, of the half minute in which it was highest.
    pub unanswered_share: f64,
    /// False if no good answer came any more on some node.
    pub recovered: bool,
}

impl InsideReport {
    /// The worse of two nodes, figure by figure.
    pub(super) fn worse(self, other: Self) -> Self {
        let share = self.unanswered_share.max(other.unanswered_share);
        let recovered = self.recovered && other.recovered;
        let worse = if other.silence_ms > self.silence_ms {
            other
        } else {
            self
        };
        Self {
            unanswered_share: share,
            recovered,
            ..worse
        }
    }
}

/// What one kind of client saw while the node came back.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct HealingReport {
    /// As [`ProbeReport::outage_ms`].
    pub outage_ms: f64,
    /// As [`ProbeReport::recovered`].
    pub recovered: bool,
    /// As [`ProbeReport::longest_gap_ms`].
    pub longest_gap_ms: f64,
}
