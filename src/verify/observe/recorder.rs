//! Where observations go: into the evidence, and live to whoever watches.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::event::{Event, Events};
use crate::verify::clock::{Clock, Moment};
use crate::verify::observation::{Observation, Occurrence};

/// More observations than this are not kept: a run has a few hundred, a flapping cluster must not fill the memory.
const MOST: usize = 10_000;

/// Collects observations from every side. Cheap to clone.
#[derive(Clone)]
pub(in crate::verify) struct Recorder {
    pub(in crate::verify) clock: Clock,
    events: Events,
    seen: Arc<Mutex<Vec<Observation>>>,
}

impl Recorder {
    pub(in crate::verify) fn new(clock: Clock, events: Events) -> Self {
        Self {
            clock,
            events,
            seen: Arc::default(),
        }
    }

    /// Notes something that happened at most `blur` before `at`.
    pub(in crate::verify) fn note(&self, at: Moment, blur: Duration, what: Occurrence) {
        self.events.emit(Event::Observed {
            subject: what.subject().to_owned(),
            what: format!("{:.2} s: {what}", at.0 as f64 / 1e6),
        });
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() < MOST {
            seen.push(Observation {
                at,
                blur_ms: u32::try_from(blur.as_millis()).unwrap_or(u32::MAX),
                what,
            });
        }
    }

    /// Notes something that happens now.
    pub(in crate::verify) fn now(&self, what: Occurrence) {
        self.note(self.clock.now(), Duration::ZERO, what);
    }

    /// Returns everything that was noted, in the order of time.
    pub(in crate::verify) fn all(&self) -> Vec<Observation> {
        let mut all = self
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        all.sort_by_key(|observation| observation.at);
        all
    }
}

/// What was last seen of each thing, so that only changes are noted.
pub(super) struct Known<V>(BTreeMap<String, V>);

impl<V: PartialEq + Clone> Known<V> {
    pub(super) fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Whether `value` is news about `key`.
    pub(super) fn news(&mut self, key: &str, value: &V) -> bool {
        if self.0.get(key) == Some(value) {
            return false;
        }
        self.0.insert(key.to_owned(), value.clone());
        true
    }

    /// Forgets and returns the keys that are not in `present`.
    pub(super) fn gone(&mut self, present: &[&str]) -> Vec<(String, V)> {
        let gone = |key: &String| !present.contains(&key.as_str());
        let keys: Vec<String> = self.0.keys().filter(|key| gone(key)).cloned().collect();
        keys.into_iter()
            .filter_map(|key| self.0.remove_entry(&key))
            .collect()
    }
}
