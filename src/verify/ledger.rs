//! Whether the cluster kept its word: pure checks over a history.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::clock::Moment;
use super::history::{Delivery, Fate, History, How, Stored, Write};
use super::sample::{Outcome, Probe, Sample};

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
    /// By etcd member (`quorum` for what a quorum of them agreed on): acknowledged writes that it does not have as they were
    /// acknowledged, rejected ones that it has, and whatever it has otherwise than the quorum at the same revision.
    pub in_etcd: BTreeMap<String, Vec<String>>,
    /// Whether etcd itself was read.
    pub etcd_read: bool,
    /// Linearizable reads that did not find a write acknowledged before they began.
    pub stale_reads: u64,
}

impl Ledger {
    /// Whether the quorum read was done, of the API and of etcd itself, and nothing contradicts it.
    pub fn sound(&self) -> bool {
        self.read
            && self.etcd_read
            && self.lost == 0
            && self.altered.is_empty()
            && self.resurrected.is_empty()
            && self.misordered.is_empty()
            && self.in_etcd.is_empty()
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
        in_etcd: in_etcd(history),
        etcd_read: history.kept.iter().any(|kept| kept.member.is_none()),
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

/// Compares what etcd itself held with what was answered, and each member with the quorum.
fn in_etcd(history: &History) -> BTreeMap<String, Vec<String>> {
    let quorum = history.kept.iter().find(|kept| kept.member.is_none());
    let mut found = BTreeMap::new();
    for kept in &history.kept {
        let mut wrong: BTreeSet<&str> = BTreeSet::new();
        for write in &history.writes {
            let version = kept.keys.get(&write.name);
            let kept_word = match &write.fate {
                Fate::Acknowledged(acknowledged) => version == Some(acknowledged),
                Fate::Rejected(_) => version.is_none(),
                Fate::Indeterminate(_) => true,
            };
            if !kept_word {
                wrong.insert(&write.name);
            }
        }
        for quorum in quorum.into_iter().filter(|q| q.revision == kept.revision) {
            let names = quorum.keys.keys().chain(kept.keys.keys());
            let other = names.filter(|name| quorum.keys.get(*name) != kept.keys.get(*name));
            wrong.extend(other.map(String::as_str));
        }
        if !wrong.is_empty() {
            let member = kept.member.as_deref().unwrap_or("quorum");
            let wrong = wrong.into_iter().map(str::to_owned).collect();
            found.insert(member.to_owned(), wrong);
        }
    }
    found
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

/// What the watches delivered, against the acknowledged writes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct WatchReport {
    /// How many writes every one of them delivered.
    pub delivered: u64,
    /// How often a connection of theirs ended and was made again.
    pub reconnections: u64,
    /// How many writes came only by listing anew, because the API server no longer knew the watcher's place.
    pub relisted: u64,
    /// Acknowledged writes that one of them never delivered, and stored ones that nobody had acknowledged.
    pub missed: Vec<String>,
    /// Writes that one of them delivered more than once.
    pub duplicated: Vec<String>,
    /// Writes that one of them delivered after one with a higher resource version.
    pub disordered: Vec<String>,
    /// Writes that one of them delivered with another content or resource version than acknowledged, or as changed or
    /// deleted.
    pub altered: Vec<String>,
    /// Rejected writes that one of them delivered.
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

/// Checks that each watch delivered each acknowledged write exactly once and in order across its connections.
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
    let stored: BTreeMap<&str, u64> = history
        .stored
        .iter()
        .flatten()
        .map(|stored| (stored.name.as_str(), stored.version))
        .collect();
    let mut everywhere: Option<BTreeSet<&str>> = None;
    for watch in watches(history) {
        let own = history.deliveries.iter().filter(|one| one.watch == watch);
        let seen = delivered(own, &writes, &stored, &mut report);
        everywhere = Some(match everywhere {
            Some(all) => all.intersection(&seen).copied().collect(),
            None => seen,
        });
    }
    report.delivered = everywhere.map_or(0, |all| all.len() as u64);
    // What several watches did wrong is told once.
    let WatchReport {
        missed,
        duplicated,
        disordered,
        altered,
        resurrected,
        ..
    } = &mut report;
    for names in [missed, duplicated, disordered, altered, resurrected] {
        names.sort_unstable();
        names.dedup();
    }
    report
}

/// The names of the watches that were begun.
fn watches(history: &History) -> impl Iterator<Item = &str> {
    let begun = history.covered.iter().filter(|covered| covered.watched);
    begun.map(|covered| covered.server.as_str())
}

/// Enters into the report what one watch delivered; the writes that it did.
fn delivered<'a>(
    deliveries: impl Iterator<Item = &'a Delivery>,
    writes: &BTreeMap<&str, &Write>,
    stored: &BTreeMap<&str, u64>,
    report: &mut WatchReport,
) -> BTreeSet<&'a str> {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut highest = 0;
    for delivery in deliveries {
        let Some(write) = writes.get(delivery.name.as_str()) else {
            continue;
        };
        let name = || delivery.name.clone();
        report.relisted += u64::from(delivery.how == How::Relisted);
        if !seen.insert(&delivery.name) {
            report.duplicated.push(name());
        } else if delivery.how == How::Added && delivery.version <= highest {
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
    // What nobody acknowledged and yet was stored has to come too. Only the watch's end excuses it: such a write may be
    // stored after everything else, when nobody listens any more.
    let due = |write: &Write| match write.fate {
        Fate::Acknowledged(_) => true,
        Fate::Rejected(_) => false,
        Fate::Indeterminate(_) => stored
            .get(write.name.as_str())
            .is_some_and(|version| highest == 0 || *version < highest),
    };
    let missed = writes
        .values()
        .filter(|write| due(write) && !seen.contains(write.name.as_str()));
    report.missed.extend(missed.map(|write| write.name.clone()));
    seen
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

/// Returns the watch's samples: one for each acknowledged write, from its acknowledgement to its delivery by the last watch
/// that delivered it. A delivery that overtook the acknowledgement took no time; one that some watch never made is closed
/// at `ended`.
pub fn watch_samples(history: &History, ended: Moment) -> Vec<Sample> {
    let begun: BTreeSet<&str> = watches(history).collect();
    let mut arrivals: BTreeMap<&str, BTreeMap<&str, Moment>> = BTreeMap::new();
    for delivery in &history.deliveries {
        let own = arrivals.entry(&delivery.name).or_default();
        own.entry(&delivery.watch).or_insert(delivery.at);
    }
    let last = |name: &str| {
        let own = arrivals.get(name)?;
        let times: Option<Vec<_>> = begun.iter().map(|watch| own.get(watch)).collect();
        times?.into_iter().max().copied()
    };
    let acknowledged = history
        .writes
        .iter()
        .filter(|write| matches!(write.fate, Fate::Acknowledged(_)));
    acknowledged
        .map(|write| {
            let arrival = last(&write.name);
            Sample {
                probe: Probe::Watch,
                scheduled: write.end,
                start: write.end,
                end: arrival.unwrap_or(ended).max(write.end),
                outcome: arrival.map_or(Outcome::Closed, |_| Outcome::Good),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests;
