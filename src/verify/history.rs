//! What the load did to the cluster's data: every write, every delivery of the watch, and what a quorum read showed
//! in the end. Kept as `history.jsonl`.

use serde::{Deserialize, Serialize};

use super::clock::Moment;

/// The whole history of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct History {
    /// Every write that was begun, in the order of their turns.
    pub writes: Vec<Write>,
    /// Every delivery of the watch, in the order of arrival.
    pub deliveries: Vec<Delivery>,
    /// Every end of a watch connection, in order.
    pub interruptions: Vec<Interruption>,
    /// What a quorum read after healing showed; none if it could not be done.
    pub stored: Option<Vec<Stored>>,
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

/// Something that the watch delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
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

/// The end of a watch connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interruption {
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

/// A line of `history.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub(super) enum Line {
    Write(Write),
    Delivery(Delivery),
    Interruption(Interruption),
    Stored(Stored),
    /// The quorum read was done; what it showed stands in the `stored` lines.
    Read {
        count: usize,
    },
}

impl History {
    /// Returns the lines of `history.jsonl`.
    pub(super) fn lines(&self) -> impl Iterator<Item = Line> {
        let stored = self.stored.iter().flatten().cloned().map(Line::Stored);
        let read = self
            .stored
            .as_ref()
            .map(|all| Line::Read { count: all.len() });
        let writes = self.writes.iter().cloned().map(Line::Write);
        let deliveries = self.deliveries.iter().cloned().map(Line::Delivery);
        let interruptions = self.interruptions.iter().cloned().map(Line::Interruption);
        writes
            .chain(deliveries)
            .chain(interruptions)
            .chain(stored)
            .chain(read)
    }

    /// Puts a line of `history.jsonl` back.
    pub(super) fn add(&mut self, line: Line) {
        match line {
            Line::Write(write) => self.writes.push(write),
            Line::Delivery(delivery) => self.deliveries.push(delivery),
            Line::Interruption(interruption) => self.interruptions.push(interruption),
            Line::Stored(stored) => self.stored.get_or_insert_default().push(stored),
            Line::Read { .. } => {
                self.stored.get_or_insert_default();
            }
        }
    }
}
