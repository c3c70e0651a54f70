//! The table.

use std::time::Duration;

use super::Impairment;
use crate::name::NodeName;
use crate::provider::{self, Provider, Strength};
use crate::spec::Driver;

/// Something that can be done to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// By what runs it, from outside.
    Outside(provider::Fault),
    /// By its own system, from within.
    Within(Impairment),
}

impl Fault {
    /// Every fault, those with an amount in their usual one.
    pub const ALL: [Self; 11] = [
        Self::Outside(provider::Fault::PowerCut),
        Self::Outside(provider::Fault::Kill),
        Self::Outside(provider::Fault::Stop),
        Self::Outside(provider::Fault::Pause),
        Self::Outside(provider::Fault::LinkDown),
        Self::Outside(provider::Fault::Reset),
        Self::Outside(provider::Fault::SlowDisk),
        Self::Within(Impairment::PacketLoss(20)),
        Self::Within(Impairment::PacketDelay(Duration::from_millis(200))),
        Self::Within(Impairment::DiskFull),
        Self::Within(Impairment::ClockAhead(Duration::from_secs(300))),
    ];

    /// Its name: of `regent verify --fault`, in evidence, and in a lab's record.
    pub fn name(self) -> &'static str {
        match self {
            Self::Outside(provider::Fault::PowerCut) => "power-cut",
            Self::Outside(provider::Fault::Kill) => "kill",
            Self::Outside(provider::Fault::Stop) => "stop",
            Self::Outside(provider::Fault::Pause) => "pause",
            Self::Outside(provider::Fault::LinkDown) => "link-down",
            Self::Outside(provider::Fault::Reset) => "reset",
            Self::Outside(provider::Fault::SlowDisk) => "slow-disk",
            Self::Within(Impairment::PacketLoss(_)) => "packet-loss",
            Self::Within(Impairment::PacketDelay(_)) => "packet-delay",
            Self::Within(Impairment::DiskFull) => "disk-full",
            Self::Within(Impairment::ClockAhead(_)) => "clock-ahead",
        }
    }

    /// What has become of a node, in words: `m1 has lost power`.
    pub fn of(self, node: impl std::fmt::Display) -> String {
        let what = match self {
            Self::Outside(provider::Fault::PowerCut) => "has lost power",
            Self::Outside(provider::Fault::Kill) => "was killed",
            Self::Outside(provider::Fault::Stop) => "was shut down",
            Self::Outside(provider::Fault::Pause) => "is paused",
            Self::Outside(provider::Fault::LinkDown) => "is unplugged",
            Self::Outside(provider::Fault::Reset) => "was reset",
            Self::Outside(provider::Fault::SlowDisk) => "has a slow disk",
            Self::Within(Impairment::PacketLoss(percent)) => {
                return format!("{node} loses {percent} % of the packets that it receives");
            }
            Self::Within(Impairment::PacketDelay(delay)) => {
                return format!("{node} sends every packet {} ms late", delay.as_millis());
            }
            Self::Within(Impairment::DiskFull) => "has a full disk",
            Self::Within(Impairment::ClockAhead(ahead)) => {
                return format!("{node}'s clock is {} s ahead", ahead.as_secs());
            }
        };
        format!("{node} {what}")
    }

    /// Whether it is in force until it is reverted; a reset is over as soon as it is done.
    pub fn lasts(self) -> bool {
        self != Self::Outside(provider::Fault::Reset)
    }

    /// Whether a start of the node reverts it.
    pub fn ends_with_a_start(self) -> bool {
        use provider::Fault::{Kill, Pause, PowerCut, Stop};
        matches!(self, Self::Outside(PowerCut | Kill | Stop | Pause))
    }

    /// Whether the cluster loses the node by it, so that its pods must move.
    pub fn takes_the_node(self) -> bool {
        self.ends_with_a_start() || self == Self::Outside(provider::Fault::LinkDown)
    }

    /// The command that reverts it.
    pub fn reverted_by(self, node: &NodeName) -> String {
        match self.ends_with_a_start() {
            true => format!("regent node start {node}"),
            false => format!("regent node heal {node}"),
        }
    }

    /// How far it does with a provider what its name says.
    pub fn strength(self, provider: &dyn Provider, driver: Driver) -> Strength {
        match self {
            Self::Outside(fault) => provider.strength(fault),
            Self::Within(impairment) => impairment.strength(driver),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_fault_has_a_row_of_its_own() {
        let names: BTreeSet<_> = Fault::ALL.iter().map(|fault| fault.name()).collect();
        assert_eq!(names.len(), Fault::ALL.len());
        let words: BTreeSet<_> = Fault::ALL.iter().map(|fault| fault.of("m1")).collect();
        assert_eq!(words.len(), Fault::ALL.len());
        let outside = Fault::ALL
            .iter()
            .filter(|fault| matches!(fault, Fault::Outside(_)));
        assert_eq!(outside.count(), provider::Fault::ALL.len());
        let model = include_str!("../../docs/failure-model.md");
        for name in names {
            assert!(
                model.contains(&format!("`{name}`")),
                "the failure model has no {name}"
            );
        }
    }
}
