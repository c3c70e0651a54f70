//! What the load did to the cluster's data: every write, every delivery of the watch, and what a quorum read showed
//! in the end. Kept as `history.jsonl`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Moment;
use crate::sample::Outcome;

/// The whole history of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct History {
    /// What of the load each API server had when it began.
    pub covered: Vec<Covered>,
    /// Every write that was begun, in the order of their turns.
    pub writes: Vec<Write>,
    /// Every delivery of a watch, in the order of arrival.
    pub deliveries: Vec<Delivery>,
    /// Every end of a watch's connection, in order.
    pub interruptions: Vec<Interruption>,
    /// What a quorum read after healing showed; none if it could not be done.
    pub stored: Option<Vec<Stored>>,
    /// What etcd itself held then: what a quorum said, and what each member had at the same revision. Empty if it could
    /// not be read.
    pub kept: Vec<Kept>,
}

/// What of the load an API server had when it began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Covered {
    /// Its node; also the name of the watch that began on it, wherever it went on.
    pub server: String,
    /// How many kept connections ended at it.
    pub kept: usize,
    /// Whether a watch began on it.
    pub watched: bool,
}

/// One write: a `POST` of a `ConfigMap` with a name that no other write has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Write {
    /// The `ConfigMap`'s name.
    pub name: String,
    /// What it holds.
    pub content: String,
    /// When the write began.
    #[serde(rename = "start_us")]
    pub start: Moment,
    /// When its fate was known to the client.
    #[serde(rename = "end_us")]
    pub end: Moment,
    /// Its fate, as far as the client knows.
    pub fate: Fate,
}

/// What a client knows of its write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// The API server said that it is stored, at this resource version.
    Acknowledged(u64),
    /// It is certain that it was not stored: the API server refused it, or nothing was ever sent.
    Rejected(String),
    /// It may or may not have been stored: no answer, or one that leaves it open.
    Indeterminate(String),
}

/// Says what a client knows of a write from the answer that it got.
///
/// A status of 400 to 499 is a refusal, except for 408 and 409: the first is a timeout, and the second means, for a name
/// that is used once, that a layer below repeated the request. Nothing sent is a refusal too. Everything else may
/// have been stored.
pub fn fate(outcome: Outcome, version: Option<u64>) -> Fate {
    match (outcome, version) {
        (Outcome::Good, Some(version)) => Fate::Acknowledged(version),
        (Outcome::Status(400..=407 | 410..=499), _) => Fate::Rejected(outcome.to_string()),
        _ if outcome.unsent() => Fate::Rejected(outcome.to_string()),
        _ => Fate::Indeterminate(outcome.to_string()),
    }
}

/// Something that a watch delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    /// Which watch, by the API server that it began on.
    pub watch: String,
    /// When it arrived.
    #[serde(rename = "at_us")]
    pub at: Moment,
    /// How it arrived.
    pub how: How,
    /// The `ConfigMap`'s name.
    pub name: String,
    /// Its resource version.
    pub version: u64,
    /// What it holds.
    pub content: String,
}

/// How something reached the watcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// As the watch's event that it was added.
    Added,
    /// As the watch's event that it was changed. Nobody changes what was written.
    Modified,
    /// As the watch's event that it was deleted. Nobody deletes what was written.
    Deleted,
    /// In a list, because the API server no longer knew the watcher's place (410 Gone).
    Relisted,
}

/// The end of a watch's connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interruption {
    /// Which watch, by the API server that it began on.
    pub watch: String,
    /// When it was noticed.
    #[serde(rename = "at_us")]
    pub at: Moment,
    /// When the next connection was accepted; none if none was.
    #[serde(rename = "resumed_us")]
    pub resumed: Option<Moment>,
    /// From which resource version it went on.
    pub from: u64,
    /// Why it ended.
    pub why: String,
}

/// A `ConfigMap` that the quorum read showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    /// Its name.
    pub name: String,
    /// Its resource version.
    pub version: u64,
    /// What it holds.
    pub content: String,
}

/// What etcd held of the load's namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// The node of the member that was asked for what it has itself; none for what a quorum agreed on.
    pub member: Option<String>,
    /// The revision that was read.
    pub revision: u64,
    /// The names, and the revision that wrote each last, which is its resource version.
    pub keys: BTreeMap<String, u64>,
}

/// A line of `history.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Line {
    /// What of the load an API server had when it began.
    Covered(Covered),
    /// A write.
    Write(Write),
    /// A delivery of a watch.
    Delivery(Delivery),
    /// The end of a watch's connection.
    Interruption(Interruption),
    /// A `ConfigMap` that the quorum read showed.
    Stored(Stored),
    /// What etcd held.
    Kept(Kept),
    /// The quorum read was done; what it showed stands in the `stored` lines.
    Read {
        /// How many there are.
        count: usize,
    },
}

impl History {
    /// Returns the lines of `history.jsonl`.
    pub fn lines(&self) -> impl Iterator<Item = Line> {
        let stored = self.stored.iter().flatten().cloned().map(Line::Stored);
        let read = self
            .stored
            .as_ref()
            .map(|all| Line::Read { count: all.len() });
        let writes = self.writes.iter().cloned().map(Line::Write);
        let deliveries = self.deliveries.iter().cloned().map(Line::Delivery);
        let interruptions = self.interruptions.iter().cloned().map(Line::Interruption);
        let covered = self.covered.iter().cloned().map(Line::Covered);
        covered
            .chain(writes)
            .chain(deliveries)
            .chain(interruptions)
            .chain(stored)
            .chain(read)
            .chain(self.kept.iter().cloned().map(Line::Kept))
    }

    /// Puts a line of `history.jsonl` back.
    pub fn add(&mut self, line: Line) {
        match line {
            Line::Covered(covered) => self.covered.push(covered),
            Line::Write(write) => self.writes.push(write),
            Line::Delivery(delivery) => self.deliveries.push(delivery),
            Line::Interruption(interruption) => self.interruptions.push(interruption),
            Line::Stored(stored) => self.stored.get_or_insert_default().push(stored),
            Line::Kept(kept) => self.kept.push(kept),
            Line::Read { .. } => {
                self.stored.get_or_insert_default();
            }
        }
    }
}
