//! Clients inside the cluster: what a pod sees of the things that every workload depends on.

mod clients;

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::clock::{Clock, Moment};
use super::sample::SLOW;
use crate::name::NodeName;

pub(super) use clients::{Clients, ClientsError, EVERY};

/// What a pod depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dependency {
    /// The cluster's DNS: a Service's name, over UDP, without a second try.
    ClusterDns,
    /// The `kubernetes` Service: the API servers as pods reach them.
    KubernetesService,
    /// A Service whose backends are pods on every node.
    PodService,
}

impl Dependency {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::ClusterDns, Self::KubernetesService, Self::PodService];

    /// Its name in the clients' output and in the evidence.
    fn word(self) -> &'static str {
        match self {
            Self::ClusterDns => "cluster-dns",
            Self::KubernetesService => "kubernetes-service",
            Self::PodService => "pod-service",
        }
    }

    /// Its name, for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::ClusterDns => "cluster DNS",
            Self::KubernetesService => "kubernetes Service",
            Self::PodService => "pod to Service",
        }
    }
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}

/// A question that a pod asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct Question {
    /// The node that the pod is on.
    pub node: NodeName,
    /// What was asked.
    pub of: Dependency,
    /// When.
    #[serde(rename = "start_us")]
    pub start: Moment,
    /// When it was answered or given up.
    #[serde(rename = "end_us")]
    pub end: Moment,
    /// `good`, or why not: `timeout`, `refused`, `unreachable`, `closed`, `http503`, `rcode2`…
    pub outcome: String,
}

impl Question {
    /// Whether it was answered well, and within a second.
    pub fn good(&self) -> bool {
        self.outcome == "good" && self.end.since(self.start) <= SLOW
    }
}

/// Reads what a pod's log holds: lines of the runtime's log format, `TIME stdout F TEXT`. `ahead_us` is how far the clock
/// of the node is ahead of the run's, in microseconds. What is no answer of a client is left out.
fn questions(log: &str, node: &NodeName, clock: &Clock, ahead_us: i64) -> Vec<Question> {
    let read = |line: &str| {
        let (_, text) = line.split_once(" stdout F ")?;
        let mut words = text.split(' ');
        let (word, begin, took) = (words.next()?, words.next()?, words.next()?);
        let of = Dependency::ALL.into_iter().find(|of| of.word() == word)?;
        let begin = begin.parse::<i64>().ok()? / 1000 - ahead_us;
        let took = took.parse::<i64>().ok()?;
        let at = |micros| Some(clock.at_wall(Timestamp::from_microsecond(micros).ok()?));
        Some(Question {
            node: node.clone(),
            of,
            start: at(begin)?,
            end: at(begin.checked_add(took)?)?,
            outcome: words.next()?.to_owned(),
        })
    };
    let mut found: Vec<_> = log.lines().filter_map(read).collect();
    found.sort_by_key(|question| question.start);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_s_log_is_read_onto_the_run_s_axis() {
        let clock = Clock::start();
        let epoch = clock.wall().as_microsecond();
        let line = |text: String| format!("2026-11-26T18:00:00.1Z stdout F {text}\n");
        let log = [
            line(format!(
                "kubernetes-service {} 5000000 timeout",
                (epoch + 3_000_000) * 1000
            )),
            line(format!(
                "cluster-dns {} 700 good",
                (epoch + 2_000_000) * 1000
            )),
            line("cluster-dns soon 700 good".to_owned()),
            line("nonsense 1 2 good".to_owned()),
            "2026-11-26T18:00:00.1Z stderr F probe: gone\n".to_owned(),
            "cut sh".to_owned(),
        ]
        .concat();
        let node = "w1".parse().unwrap();
        let found = questions(&log, &node, &clock, 500_000);
        let ends: Vec<_> = found
            .iter()
            .map(|asked| (asked.of, asked.start.0, asked.end.0, asked.good()))
            .collect();
        assert_eq!(
            ends,
            [
                (Dependency::ClusterDns, 1_500_000, 1_500_700, true),
                (Dependency::KubernetesService, 2_500_000, 7_500_000, false),
            ]
        );
    }
}
