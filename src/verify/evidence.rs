//! Everything that a run recorded, in memory and as files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::budget::Budget;
use super::clock::Moment;
use super::history::History;
use super::inside::Question;
use super::observation::{Observation, Occurrence};
use super::operation::OperationRecord;
use super::sample::Sample;
use super::subject::digest;
use crate::name::{ClusterName, NodeName};
use regent_load::Load;

/// The format of `run.json`.
pub(super) const RUN_SCHEMA: &str = "regent/run/v4";

const SAMPLES: &str = "samples.jsonl";
const EVENTS: &str = "events.jsonl";
const HISTORY: &str = "history.jsonl";
const INSIDE: &str = "inside.jsonl";

/// What was recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// What was done, when, and under which conditions: `run.json`.
    pub run: RunRecord,
    /// Every sample: `samples.jsonl`.
    pub samples: Vec<Sample>,
    /// Everything that was seen to happen: `events.jsonl`.
    pub events: Vec<Observation>,
    /// Every write and what became of it: `history.jsonl`.
    pub history: History,
    /// What clients inside the cluster asked, but for the one on the node that was hit: `inside.jsonl`.
    pub inside: Vec<Question>,
}

/// What `run.json` holds: the record, and the SHA-256 of each of the other files, so that files of different runs are not
/// taken for one.
#[derive(Serialize, Deserialize)]
struct RunFile {
    run: RunRecord,
    files: BTreeMap<String, String>,
}

/// What was done, when, and under which conditions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct RunRecord {
    /// `regent/run/v4`.
    pub schema: String,
    /// The run's name.
    pub name: String,
    /// The cluster.
    pub cluster: ClusterName,
    /// The wall-clock time of the epoch of every moment in the evidence.
    pub started: Timestamp,
    /// What was done.
    pub fault: FaultRecord,
    /// The load.
    pub load: Load,
    /// The command that was run, if that is what was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationRecord>,
    /// When the parts of the run began.
    pub phases: Phases,
    /// What was wrong with the cluster before the fault. Not empty: the run is void.
    pub sick: Vec<String>,
    /// What shows that the fault bit. One that does not hold, or none at all: the run is void.
    pub proofs: Vec<Proof>,
    /// What happened to the cluster between fault and revert, or to its nodes, that the fault did not do. Not empty: the
    /// run is void.
    pub violations: Vec<String>,
    /// What went wrong afterwards: a node that did not come back, a final read that failed.
    pub trouble: Vec<String>,
    /// Which preconditions did not hold again at the end; none if nobody looked, since the fault was left in place.
    pub after: Option<Vec<String>>,
    /// The pods whose move is measured when a worker is lost.
    pub workload: Option<Workload>,
    /// The nodes that have a client inside the cluster.
    pub inside: Vec<NodeName>,
    /// What the measuring itself cost.
    pub tester: Tester,
    /// What the run may cost, in milliseconds.
    pub budgets_ms: BTreeMap<Budget, u64>,
    /// What was under test.
    pub subject: Subject,
}

impl RunRecord {
    /// The nodes that what was done is about, of which nothing is promised meanwhile: the one that a fault hit, or those whose
    /// domains a command started or ended.
    pub(super) fn hit(&self, events: &[Observation]) -> BTreeSet<NodeName> {
        let from = self.phases.fault.filter(|_| self.operation.is_some());
        let worked_on = events.iter().filter_map(|event| match &event.what {
            Occurrence::Domain { node, .. } if from.is_some_and(|from| event.at >= from) => {
                node.parse().ok()
            }
            _ => None,
        });
        worked_on.chain(self.fault.node.clone()).collect()
    }
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct FaultRecord {
    /// `power-cut`, `kill`, `stop`, `pause`, `restart`…; `during` for a command.
    pub kind: String,
    /// The target as it was asked for.
    pub target: String,
    /// The node that it was.
    pub node: Option<NodeName>,
    /// The fault in words: `etcd leader m2 lost power`.
    pub words: String,
    /// Where the fault is weaker with this driver than its name says.
    pub weakness: Option<String>,
}

/// When the parts of a run began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phases {
    /// The load began to flow.
    #[serde(rename = "load_us")]
    pub load: Moment,
    /// Just before the fault was applied; none if it never was.
    #[serde(rename = "fault_us")]
    pub fault: Option<Moment>,
    /// The fault was applied in full.
    #[serde(rename = "applied_us")]
    pub applied: Option<Moment>,
    /// Just before the fault was undone; none if it was not.
    #[serde(rename = "heal_us")]
    pub heal: Option<Moment>,
    /// The node was Ready and serving again.
    #[serde(rename = "ready_us")]
    pub ready: Option<Moment>,
    /// The last sample was begun before this.
    #[serde(rename = "end_us")]
    pub end: Moment,
}

/// Something that shows, or fails to show, that the fault bit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// What was looked at.
    pub what: String,
    /// Whether it shows that the fault bit.
    pub holds: bool,
}

/// The pods whose move is measured when a worker is lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// How many there are to be.
    pub replicas: u32,
}

/// What the measuring itself cost.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct Tester {
    /// Processor time of the probes' thread over the run's time; 0.05 is 5 % of one core.
    pub cpu_share: f64,
}

/// What was under test: names, versions, hashes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct Subject {
    /// Versions: regent, kubernetes, and what the nodes say of themselves.
    pub versions: BTreeMap<String, String>,
    /// SHA-256 of every file that regent generated, by `NODE:PATH`, and the store path of what the nodes boot.
    pub hashes: BTreeMap<String, String>,
}

/// Why evidence could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// A file or directory could not be written.
    #[error("cannot write {path}")]
    Write {
        /// Which.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file could not be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is of another run, or was changed.
    #[error("{path} does not belong to run.json: it is of another run, or was changed since")]
    Foreign {
        /// Which.
        path: Utf8PathBuf,
    },
    /// A file is not what regent writes.
    #[error("{path}:{line} is no evidence that this regent knows")]
    Format {
        /// Which file.
        path: Utf8PathBuf,
        /// Which line, from 1.
        line: usize,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl Evidence {
    /// Writes `run.json`, `samples.jsonl`, `events.jsonl`, `history.jsonl` and `inside.jsonl` into `directory`.
    pub fn write(&self, directory: &Utf8Path) -> Result<(), EvidenceError> {
        let files = [
            (SAMPLES, lines(&self.samples)),
            (EVENTS, lines(&self.events)),
            (HISTORY, lines(self.history.lines())),
            (INSIDE, lines(&self.inside)),
        ];
        let hashes = files.iter();
        let run = RunFile {
            run: self.run.clone(),
            files: hashes
                .map(|(name, text)| ((*name).to_owned(), digest(text)))
                .collect(),
        };
        write_file(directory, "run.json", &pretty(&run))?;
        for (name, text) in &files {
            write_file(directory, name, text)?;
        }
        Ok(())
    }

    /// Reads what [`Evidence::write`] wrote, if all of it is of one run.
    pub fn read(directory: &Utf8Path) -> Result<Self, EvidenceError> {
        let path = directory.join("run.json");
        let text = read_file(&path)?;
        let RunFile { run, files } =
            serde_json::from_str(&text).map_err(|source| EvidenceError::Format {
                path,
                line: source.line(),
                source,
            })?;
        let read = |name: &str| {
            let path = directory.join(name);
            let text = read_file(&path)?;
            match files.get(name) {
                Some(hash) if *hash == digest(&text) => Ok((path, text)),
                _ => Err(EvidenceError::Foreign { path }),
            }
        };
        let mut history = History::default();
        for line in parse_lines(read(HISTORY)?)? {
            history.add(line);
        }
        Ok(Self {
            run,
            samples: parse_lines(read(SAMPLES)?)?,
            events: parse_lines(read(EVENTS)?)?,
            inside: parse_lines(read(INSIDE)?)?,
            history,
        })
    }
}

/// Writes a file of the evidence whole or not at all.
pub(super) fn write_file(
    directory: &Utf8Path,
    name: &str,
    text: &str,
) -> Result<(), EvidenceError> {
    let path = directory.join(name);
    let written = || -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        io::Write::write_all(&mut file, text.as_bytes())?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        file.as_file().set_permissions(mode)?;
        file.as_file().sync_all()?;
        file.persist(&path)?;
        Ok(())
    };
    written().map_err(|source| EvidenceError::Write { path, source })
}

fn read_file(path: &Utf8Path) -> Result<String, EvidenceError> {
    std::fs::read_to_string(path).map_err(|source| EvidenceError::Read {
        path: path.to_owned(),
        source,
    })
}

/// Writes JSON for people, with a line break at its end.
pub(super) fn pretty<T: Serialize>(value: &T) -> String {
    // The evidence's types have string keys and finite numbers only, so this cannot fail.
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}

fn lines<T: Serialize>(values: impl IntoIterator<Item = T>) -> String {
    let mut text = String::new();
    for value in values {
        // As above; writing to a string cannot fail either.
        let line = serde_json::to_string(&value).unwrap_or_default();
        let _ = writeln!(text, "{line}");
    }
    text
}

fn parse_lines<T: DeserializeOwned>(
    (path, text): (Utf8PathBuf, String),
) -> Result<Vec<T>, EvidenceError> {
    let parsed = text.lines().enumerate().map(|(index, line)| {
        serde_json::from_str(line).map_err(|source| EvidenceError::Format {
            path: path.clone(),
            line: index + 1,
            source,
        })
    });
    parsed.collect()
}
