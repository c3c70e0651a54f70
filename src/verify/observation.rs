//! What was seen to happen around a fault, on the same time axis as the samples.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::clock::Moment;

/// Something that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct Observation {
    /// When it was seen, or stamped by who saw it.
    #[serde(rename = "at_us")]
    pub at: Moment,
    /// How much earlier it may really have been, in milliseconds: the pause between two looks; 0 for what was told
    /// or stamped as it happened.
    pub blur_ms: u32,
    /// What it was.
    pub what: Occurrence,
}

/// What can be seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
pub enum Occurrence {
    /// A part of the run began.
    Phase {
        /// Which.
        phase: Phase,
    },
    /// A domain changed, as libvirt told.
    Domain {
        /// The node.
        node: String,
        /// libvirt's word for the change.
        change: String,
        /// Whether the domain runs now.
        running: bool,
    },
    /// The load balancer thinks otherwise of a server, or failed to check it.
    Server {
        /// The server's name in its configuration.
        server: String,
        /// What it thinks now.
        state: ServerState,
        /// Why, in its own words.
        reason: String,
    },
    /// The etcd members agree on another leader or term; no leader while there is none.
    Leader {
        /// The node of the leader.
        node: Option<String>,
        /// The raft term.
        term: u64,
    },
    /// An etcd member began or ceased to answer.
    Member {
        /// Its node.
        node: String,
        /// Whether it answers.
        answers: bool,
    },
    /// A lease has another holder.
    Lease {
        /// Its name in `kube-system`.
        lease: String,
        /// The node of the holder.
        holder: String,
    },
    /// A node's condition `Ready` changed.
    Node {
        /// Its name.
        node: String,
        /// `True`, `False` or `Unknown`.
        ready: String,
    },
    /// A pod of the verification's workload came, changed or went.
    Pod {
        /// Its name.
        pod: String,
        /// The node that it is bound to; empty before.
        node: String,
        /// What it is now.
        state: PodState,
    },
}

/// A part of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Load without a fault.
    Baseline,
    /// The fault.
    Fault,
    /// The fault is being undone.
    Heal,
    /// The node is back.
    Settle,
    /// The command that was run in a fault's place has ended.
    Ended,
    /// The load has ended, the data is checked.
    Check,
}

/// What the load balancer thinks of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerState {
    /// It gets connections.
    Up,
    /// It still gets connections, but a check failed.
    Failing,
    /// It gets none.
    Down,
}

/// What a pod is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PodState {
    /// Not Ready yet, or no longer.
    Waiting,
    /// Ready.
    Ready,
    /// Being deleted.
    Leaving,
    /// Gone.
    Gone,
}

impl Occurrence {
    /// Returns the word for its kind that [`crate::event::Event::Observed`] carries.
    pub fn subject(&self) -> &'static str {
        match self {
            Self::Phase { .. } => "fault",
            Self::Domain { .. } => "domain",
            Self::Server { .. } => "loadBalancer",
            Self::Leader { .. } | Self::Member { .. } => "etcd",
            Self::Lease { .. } => "lease",
            Self::Node { .. } => "node",
            Self::Pod { .. } => "pod",
        }
    }
}

impl fmt::Display for Occurrence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Phase { phase } => f.write_str(match phase {
                Phase::Baseline => "load flows",
                Phase::Fault => "fault",
                Phase::Heal => "healing",
                Phase::Settle => "node is back",
                Phase::Ended => "the command has ended",
                Phase::Check => "load ended, checking",
            }),
            Self::Domain { node, change, .. } => write!(f, "{node} {change}"),
            Self::Server {
                server,
                state,
                reason,
            } => {
                let state = match state {
                    ServerState::Up => "up",
                    ServerState::Failing => "failing",
                    ServerState::Down => "down",
                };
                write!(f, "{server} {state}: {reason}")
            }
            Self::Leader {
                node: Some(node),
                term,
            } => write!(f, "{node} leads in term {term}"),
            Self::Leader { node: None, term } => write!(f, "no leader in term {term}"),
            Self::Member { node, answers } => {
                let verb = if *answers {
                    "answers"
                } else {
                    "does not answer"
                };
                write!(f, "member {node} {verb}")
            }
            Self::Lease { lease, holder } => write!(f, "{lease} held by {holder}"),
            Self::Node { node, ready } => write!(f, "{node} Ready={ready}"),
            Self::Pod { pod, node, state } => {
                let state = match state {
                    PodState::Waiting => "waiting",
                    PodState::Ready => "Ready",
                    PodState::Leaving => "leaving",
                    PodState::Gone => "gone",
                };
                write!(f, "{pod} on {node}: {state}")
            }
        }
    }
}
