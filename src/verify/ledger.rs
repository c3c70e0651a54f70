//! Whether the cluster kept its word: pure checks over a history.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::clock::Moment;
use super::history::{Delivery, Fate, History, How, Stored, Write};
use super::sample::{Outcome, Probe, Sample};

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

/// The ledger of writes against the quorum read after healing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct Ledger {
    /// How many writes were begun.
    pub writes: u64,
    /// How many were acknowledged.
    pub acknowledged: u64,
    /// How many were refused or never sent.
    pub rejected: u64,
    /// How many may or may not have been stored.
    pub indeterminate: u64,
    /// How many of these the quorum read showed. They are allowed to be there, and allowed not to be.
    pub indeterminate_stored: u64,
    /// Whether the quorum read could be done.
    pub read: bool,
    /// How many acknowledged writes it did not show.
    pub lost: u64,
    /// Their names.
    pub lost_names: Vec<String>,
    /// Acknowledged writes that it showed with another content or resource version.
    pub altered: Vec<String>,
    /// Rejected writes that it showed.
    pub resurrected: Vec<String>,
    /// Acknowledged writes whose resource version is not above that of a write acknowledged before they began.
    pub misordered: Vec<String>,
    /// Linearizable reads that did not find a write acknowledged before they began.
    pub stale_reads: u64,
}

impl Ledger {
    /// Whether the quorum read was done and nothing contradicts it.
    pub fn sound(&self) -> bool {
        self.read
            && self.lost == 0
            && self.altered.is_empty()
            && self.resurrected.is_empty()
            && self.misordered.is_empty()
            && self.stale_reads == 0
    }
}

/// Checks every write against the quorum read, and every read against the writes.
pub fn ledger(history: &History, samples: &[Sample]) -> Ledger {
    let stored: BTreeMap<&str, &Stored> = history
        .stored
        .iter()
        .flatten()
        .map(|stored| (stored.name.as_str(), stored))
        .collect();
    let mut ledger = Ledger {
        writes: history.writes.len() as u64,
        read: history.stored.is_some(),
        misordered: misordered(&history.writes),
        // Reads ask only for writes that were acknowledged before, so "not found" is never right.
        stale_reads: samples
            .iter()
            .filter(|s| s.probe == Probe::Read && s.outcome == Outcome::Status(404))
            .count() as u64,
        ..Ledger::default()
    };
    for write in &history.writes {
        let found = stored.get(write.name.as_str());
        let name = || write.name.clone();
        match (&write.fate, found) {
            (Fate::Acknowledged(version), found) => {
                ledger.acknowledged += 1;
                match found {
                    Some(found) if found.content == write.content && found.version == *version => {}
                    Some(_) => ledger.altered.push(name()),
                    None if ledger.read => ledger.lost_names.push(name()),
                    None => {}
                }
            }
            (Fate::Rejected(_), found) => {
                ledger.rejected += 1;
                ledger.resurrected.extend(found.map(|_| name()));
            }
            (Fate::Indeterminate(_), found) => {
                ledger.indeterminate += 1;
                ledger.indeterminate_stored += u64::from(found.is_some());
            }
        }
    }
    ledger.lost = ledger.lost_names.len() as u64;
    ledger
}

/// Returns the acknowledged writes whose resource version is not above that of some write acknowledged before they
/// began. The order of a linearizable store cannot contradict real time.
fn misordered(writes: &[Write]) -> Vec<String> {
    let acknowledged = || {
        writes.iter().filter_map(|write| match write.fate {
            Fate::Acknowledged(version) => Some((write, version)),
            _ => None,
        })
    };
    let mut by_end: Vec<(Moment, u64)> = acknowledged().map(|(w, v)| (w.end, v)).collect();
    by_end.sort_unstable();
    let mut by_start: Vec<_> = acknowledged().collect();
    by_start.sort_by_key(|(write, _)| write.start);
    let mut ended = by_end.into_iter().peekable();
    let mut highest = 0;
    let mut found = Vec::new();
    for (write, version) in by_start {
        while let Some((_, earlier)) = ended.next_if(|(end, _)| *end < write.start) {
            highest = highest.max(earlier);
        }
        if version <= highest {
            found.push(write.name.clone());
        }
    }
    found
}

/// What the watch delivered, against the acknowledged writes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct WatchReport {
    /// How many writes it delivered.
    pub delivered: u64,
    /// How often its connection ended and was made again.
    pub reconnections: u64,
    /// How many writes came only by listing anew, because the API server no longer knew the watcher's place.
    pub relisted: u64,
    /// Acknowledged writes that it never delivered.
    pub missed: Vec<String>,
    /// Writes that it delivered more than once.
    pub duplicated: Vec<String>,
    /// Writes that it delivered after one with a higher resource version.
    pub disordered: Vec<String>,
    /// Writes that it delivered with another content or resource version than acknowledged, or as changed or deleted.
    pub altered: Vec<String>,
    /// Rejected writes that it delivered.
    pub resurrected: Vec<String>,
}

impl WatchReport {
    /// Whether every acknowledged write came exactly once, in order and as it was written, and no rejected one.
    pub fn sound(&self) -> bool {
        self.relisted == 0
            && self.missed.is_empty()
            && self.duplicated.is_empty()
            && self.disordered.is_empty()
            && self.altered.is_empty()
            && self.resurrected.is_empty()
    }
}

/// Checks that the watch delivered each acknowledged write exactly once and in order across its connections.
pub fn watch(history: &History) -> WatchReport {
    let writes: BTreeMap<&str, &Write> = history
        .writes
        .iter()
        .map(|write| (write.name.as_str(), write))
        .collect();
    let mut report = WatchReport {
        reconnections: history.interruptions.len() as u64,
        ..WatchReport::default()
    };
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    let mut highest = 0;
    for delivery in &history.deliveries {
        let Some(write) = writes.get(delivery.name.as_str()) else {
            continue;
        };
        let name = || delivery.name.clone();
        let times = seen.entry(&delivery.name).or_default();
        *times += 1;
        match *times {
            1 => report.delivered += 1,
            2 => report.duplicated.push(name()),
            _ => {}
        }
        report.relisted += u64::from(delivery.how == How::Relisted);
        if *times == 1 && delivery.how == How::Added && delivery.version <= highest {
            report.disordered.push(name());
        }
        highest = highest.max(delivery.version);
        if !faithful(write, delivery) {
            report.altered.push(name());
        }
        if matches!(write.fate, Fate::Rejected(_)) {
            report.resurrected.push(name());
        }
    }
    let acknowledged = history
        .writes
        .iter()
        .filter(|write| matches!(write.fate, Fate::Acknowledged(_)));
    report.missed = acknowledged
        .filter(|write| !seen.contains_key(write.name.as_str()))
        .map(|write| write.name.clone())
        .collect();
    report
}

fn faithful(write: &Write, delivery: &Delivery) -> bool {
    let version = match write.fate {
        Fate::Acknowledged(version) => version == delivery.version,
        _ => true,
    };
    version
        && write.content == delivery.content
        && matches!(delivery.how, How::Added | How::Relisted)
}

/// Returns the watch's samples: one for each acknowledged write, from its acknowledgement to its delivery. A delivery
/// that overtook the acknowledgement took no time; one that never came is closed at `ended`.
pub fn watch_samples(history: &History, ended: Moment) -> Vec<Sample> {
    let mut arrivals: BTreeMap<&str, Moment> = BTreeMap::new();
    for delivery in &history.deliveries {
        arrivals.entry(&delivery.name).or_insert(delivery.at);
    }
    let acknowledged = history
        .writes
        .iter()
        .filter(|write| matches!(write.fate, Fate::Acknowledged(_)));
    acknowledged
        .map(|write| {
            let arrival = arrivals.get(write.name.as_str());
            Sample {
                probe: Probe::Watch,
                scheduled: write.end,
                start: write.end,
                end: arrival.map_or(ended, |at| *at).max(write.end),
                outcome: arrival.map_or(Outcome::Closed, |_| Outcome::Good),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests;
