//! The one language between what works and what shows: terminal, JSON lines, reports.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::name::NodeName;

/// Something that happened. Secrets never stand in an event.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(
    tag = "event",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
#[non_exhaustive]
pub enum Event {
    /// A derivation is being built or fetched.
    BuildStarted {
        /// The derivation's name, such as `kubelet-1.35.4`.
        derivation: String,
    },
    /// A derivation's output is in the store.
    BuildFinished {
        /// The derivation's name.
        derivation: String,
        /// How long it took.
        #[serde(serialize_with = "seconds", rename = "seconds")]
        elapsed: Duration,
    },
    /// Bytes or parts of a long operation that are done.
    Progress {
        /// What is in progress; the same text from the first report to the last.
        what: String,
        /// How much is done.
        done: u64,
        /// How much there is, in the same unit as `done`.
        total: u64,
    },
    /// A step began.
    StepStarted {
        /// The step's name, such as `init` or `join`.
        step: String,
        /// The node it works on; none for a step of the whole cluster.
        node: Option<NodeName>,
    },
    /// A step ended well.
    StepFinished {
        /// The step's name.
        step: String,
        /// The node it worked on.
        node: Option<NodeName>,
        /// How long it took.
        #[serde(serialize_with = "seconds", rename = "seconds")]
        elapsed: Duration,
    },
    /// A step was found already done.
    StepUnchanged {
        /// The step's name.
        step: String,
        /// The node it is about.
        node: Option<NodeName>,
    },
    /// A domain changed its state, as libvirt reports it.
    Domain {
        /// The node.
        node: NodeName,
        /// libvirt's word for it: `started`, `stopped`, `suspended`, `resumed`…
        change: String,
    },
    /// Something during a verification: a fault injected or healed, a leader elected, a server marked down…
    Observed {
        /// What kind of thing, such as `fault`, `etcd`, `loadBalancer`, `lease`, `node`.
        subject: String,
        /// What happened, in one line.
        what: String,
    },
    /// Something the user should know and need not act on.
    Note {
        /// One line.
        text: String,
    },
    /// Something the user should look at.
    Warning {
        /// One line.
        text: String,
    },
}

/// Returns an error with its causes, in one line.
pub fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    let causes: Vec<_> = causes.map(ToString::to_string).collect();
    causes.join(": ")
}

fn seconds<S: serde::Serializer>(elapsed: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((elapsed.as_secs_f64() * 1e3).round() / 1e3)
}

/// Where events go. Cheap to clone; callable from any thread.
#[derive(Clone)]
pub struct Events(Arc<dyn Fn(Event) + Send + Sync>);

impl Events {
    /// Sends every event to `sink`, on the thread that emits it: the sink must not block.
    pub fn new(sink: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(sink))
    }

    /// Drops every event.
    pub fn none() -> Self {
        Self::new(drop)
    }

    /// Emits one event.
    pub fn emit(&self, event: Event) {
        (self.0)(event);
    }

    /// Emits a [`Event::Note`].
    pub fn note(&self, text: impl Into<String>) {
        self.emit(Event::Note { text: text.into() });
    }

    /// Emits a [`Event::Warning`].
    pub fn warn(&self, text: impl Into<String>) {
        self.emit(Event::Warning { text: text.into() });
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events")
    }
}
