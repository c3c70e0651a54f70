//! What is done to a cluster, and under which load.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use regent_load::Load;
use serde::{Deserialize, Serialize};

use crate::fault;
use crate::name::{NameError, NodeName};
use crate::provider;

/// A fault, when it is healed, and the load around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// What is done.
    pub fault: Fault,
    /// The load before the fault: shows that the cluster is healthy and gives the figures to compare with.
    pub baseline: Duration,
    /// From the fault to its healing. Not for a lost worker: see [`Scenario::new`].
    pub hold: Duration,
    /// Whether the fault is undone afterwards; without, the run ends after `hold`.
    pub heal: bool,
    /// The load after the node is back.
    pub settle: Duration,
    /// The load.
    pub load: Load,
}

impl Scenario {
    /// A scenario of `fault` with the usual times.
    ///
    /// A hold of 30 s is longer than every timer that a lost control-plane node sets off (leases and the `kubernetes`
    /// Service: 15 s). A lost worker is held until its pods are Ready elsewhere, or well past their budget.
    pub fn new(fault: Fault) -> Self {
        let hold = match &fault {
            Fault::Node { .. } => 30,
            Fault::RestartLoadBalancer => 10,
            Fault::Command(_) => 0,
        };
        Self {
            fault,
            baseline: Duration::from_secs(10),
            hold: Duration::from_secs(hold),
            heal: true,
            settle: Duration::from_secs(5),
            load: Load::default(),
        }
    }

    /// A power cut.
    pub fn power_cut(target: Target) -> Self {
        Self::new(Fault::Node {
            fault: fault::Fault::Outside(provider::Fault::PowerCut),
            target,
        })
    }

    /// A soft kill, by libvirt's destroy: a container's processes are killed one by one and its peers hear of it.
    pub fn kill(target: Target) -> Self {
        Self::new(Fault::Node {
            fault: fault::Fault::Outside(provider::Fault::Kill),
            target,
        })
    }

    /// Returns the fault's name, as in its table, or `restart`.
    pub fn kind(&self) -> &'static str {
        match &self.fault {
            Fault::RestartLoadBalancer => "restart",
            Fault::Command(_) => "during",
            Fault::Node { fault, .. } => fault.name(),
        }
    }

    /// Returns the target as it is written.
    pub fn target(&self) -> String {
        match &self.fault {
            Fault::RestartLoadBalancer => "load-balancer".to_owned(),
            Fault::Command(command) => command.clone(),
            Fault::Node { target, .. } => target.to_string(),
        }
    }

    /// Returns the intention in words: `power-cut of etcd-leader`. What really happened is said by the evidence.
    pub fn words(&self) -> String {
        format!("{} of {}", self.kind(), self.target())
    }

    /// Returns a name for files: `power-cut-etcd-leader`, `during-regent-up`.
    pub fn slug(&self) -> String {
        let target = self.target();
        // Of a command its first words, of a path its last part, without what a name of a file should not have.
        let word = |word: &str| -> String {
            let last = word.rsplit('/').next().unwrap_or_default();
            let fit = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
            last.chars().filter(fit).collect()
        };
        let words = target.split_whitespace().take(4).map(word);
        let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
        format!("{}-{}", self.kind(), words.join("-"))
    }

    /// A restart of the load balancer's service.
    pub fn restart_load_balancer() -> Self {
        Self::new(Fault::RestartLoadBalancer)
    }
}

impl Default for Scenario {
    /// The power cut of the control-plane node that holds the etcd leader.
    fn default() -> Self {
        Self::power_cut(Target::EtcdLeader)
    }
}

/// What is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Something happens to a node.
    Node {
        /// What.
        fault: fault::Fault,
        /// To which.
        target: Target,
    },
    /// The load balancer's service is restarted: every connection ends, and nobody listens for a moment.
    RestartLoadBalancer,
    /// A command is run.
    Command(String),
}

/// Which node a fault hits. Written `etcd-leader`, `etcd-follower`, `any-worker`, or a node's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Target {
    /// The control-plane node that holds the etcd leader as the fault strikes.
    EtcdLeader,
    /// The first control-plane node that does not.
    EtcdFollower,
    /// The worker that runs the most of the verification's pods, the first among equals.
    AnyWorker,
    /// This one.
    Node(NodeName),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EtcdLeader => "etcd-leader",
            Self::EtcdFollower => "etcd-follower",
            Self::AnyWorker => "any-worker",
            Self::Node(name) => name.as_str(),
        })
    }
}

impl FromStr for Target {
    type Err = NameError;
    fn from_str(word: &str) -> Result<Self, NameError> {
        Ok(match word {
            "etcd-leader" => Self::EtcdLeader,
            "etcd-follower" => Self::EtcdFollower,
            "any-worker" => Self::AnyWorker,
            name => Self::Node(name.parse()?),
        })
    }
}

impl TryFrom<String> for Target {
    type Error = NameError;
    fn try_from(word: String) -> Result<Self, NameError> {
        word.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_named_after_what_is_done() {
        assert_eq!(Scenario::default().slug(), "power-cut-etcd-leader");
        let during = |command: &str| Scenario::new(Fault::Command(command.to_owned())).slug();
        assert_eq!(during("regent replace m1"), "during-regent-replace-m1");
        assert_eq!(
            during("/opt/bin/regent -f ../a/x.yaml up; echo $HOME"),
            "during-regent--f-x.yaml-up"
        );
    }
}
