//! One request of one probe, and how it went.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Moment;

/// A sample that takes longer than this is bad even when it succeeds.
pub const SLOW: Duration = Duration::from_secs(1);

/// A kind of client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// A new TCP connection and a full TLS handshake, then `GET /readyz`.
    NewConnection,
    /// `GET /readyz` on one kept connection; what finds it busy waits for it.
    ReusedConnection,
    /// A linearizable `GET` of the newest acknowledged write.
    Read,
    /// `POST` of a `ConfigMap` with a name of its own.
    Write,
    /// A watch of those `ConfigMaps`: one sample for each acknowledged write, from its acknowledgement to its delivery.
    Watch,
}

impl Probe {
    /// Every kind, in the order of reports.
    pub const ALL: [Self; 5] = [
        Self::NewConnection,
        Self::ReusedConnection,
        Self::Read,
        Self::Write,
        Self::Watch,
    ];

    /// Returns the kind's name for people, in the plural.
    pub fn title(self) -> &'static str {
        match self {
            Self::NewConnection => "new connections",
            Self::ReusedConnection => "reused connection",
            Self::Read => "reads",
            Self::Write => "writes",
            Self::Watch => "watch",
        }
    }
}

/// How a sample ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Outcome {
    /// The expected answer came. (Whether it came in time is [`Sample::bad`]'s matter.)
    Good,
    /// The TCP connection was not made. Nothing was sent.
    Connect,
    /// The TLS handshake failed. No request was sent.
    Tls,
    /// The connection ended before the answer was whole.
    Closed,
    /// No answer within the client's timeout.
    Timeout,
    /// An answer with another status than the expected one.
    Status(u16),
    /// An answer with the expected status and a body that makes no sense.
    Body,
}

impl Outcome {
    /// Whether it is certain that no request reached the API server.
    pub fn unsent(self) -> bool {
        matches!(self, Self::Connect | Self::Tls)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good => f.write_str("good"),
            Self::Connect => f.write_str("connect"),
            Self::Tls => f.write_str("tls"),
            Self::Closed => f.write_str("closed"),
            Self::Timeout => f.write_str("timeout"),
            Self::Status(code) => write!(f, "http{code}"),
            Self::Body => f.write_str("body"),
        }
    }
}

/// A word that is no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no outcome of a sample")]
pub struct UnknownOutcome(String);

impl FromStr for Outcome {
    type Err = UnknownOutcome;
    fn from_str(word: &str) -> Result<Self, UnknownOutcome> {
        let unknown = || UnknownOutcome(word.to_owned());
        Ok(match word {
            "good" => Self::Good,
            "connect" => Self::Connect,
            "tls" => Self::Tls,
            "closed" => Self::Closed,
            "timeout" => Self::Timeout,
            "body" => Self::Body,
            other => {
                let code = other.strip_prefix("http").ok_or_else(unknown)?;
                Self::Status(code.parse().map_err(|_| unknown())?)
            }
        })
    }
}

impl TryFrom<String> for Outcome {
    type Error = UnknownOutcome;
    fn try_from(word: String) -> Result<Self, UnknownOutcome> {
        word.parse()
    }
}

impl From<Outcome> for String {
    fn from(outcome: Outcome) -> Self {
        outcome.to_string()
    }
}

/// One request. `scheduled <= start <= end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// Which kind of client.
    pub probe: Probe,
    /// When its turn was.
    #[serde(rename = "scheduled_us")]
    pub scheduled: Moment,
    /// When it really began; later than `scheduled` when this machine was busy.
    #[serde(rename = "start_us")]
    pub start: Moment,
    /// When its outcome was known.
    #[serde(rename = "end_us")]
    pub end: Moment,
    /// How it ended.
    pub outcome: Outcome,
}

impl Sample {
    /// Returns how long it took from its turn on: a client that could not begin in time waited too, and a tester that
    /// stood still does not hide what it missed.
    pub fn latency(&self) -> Duration {
        self.end.since(self.scheduled)
    }

    /// Whether it succeeded, but too late.
    pub fn slow(&self) -> bool {
        self.outcome == Outcome::Good && self.latency() > SLOW
    }

    /// Whether it failed or took over a second.
    pub fn bad(&self) -> bool {
        self.outcome != Outcome::Good || self.latency() > SLOW
    }
}
