//! `regent node`

use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use super::context::Context;
use super::failure::{Failure, Outcome};
use super::lab;

use crate::fault::{self, Fault, Impairment};
use crate::name::{NameError, NodeName};
use crate::ops::Hold;
use crate::provider::{self, Strength};
use crate::site::Site;

/// Do something to a node, as a fault would
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regent node cut m1               power cut: peers hear nothing
  regent node start m1             from its kept disk
  regent node pause w2             and `regent node resume w2`
  regent node unplug m1            its cable is out, and it lives
  regent node lose-packets m1      a fifth of what it receives
  regent node heal m1              undo all of it

What a driver cannot do it says; docs/failure-model.md has the table.")]
pub struct Node {
    #[command(subcommand)]
    verb: Verb,
}

/// What can be done to a node.
#[derive(Debug, Subcommand)]
enum Verb {
    /// Power cut: link down, then everything ends at once; peers hear nothing
    #[command(after_help = "Example:\n  regent node cut m1")]
    Cut(Target),
    /// End it by libvirt's destroy; peers of a container see connections closed
    #[command(after_help = "Example:\n  regent node kill m1")]
    Kill(Target),
    /// Shut down in an orderly way
    #[command(after_help = "Example:\n  regent node stop w1")]
    Stop(Target),
    /// Start a node that is off, from its kept disk
    #[command(after_help = "Example:\n  regent node start m1")]
    Start(Target),
    /// Stop its processors; memory stays
    #[command(after_help = "Example:\n  regent node pause m1")]
    Pause(Target),
    /// Let a paused node go on
    #[command(after_help = "Example:\n  regent node resume m1")]
    Resume(Target),
    /// Pull its cable out: it lives and hears nobody
    #[command(after_help = "Example:\n  regent node unplug m1")]
    Unplug(Target),
    /// Press its reset button (virtual machines)
    #[command(after_help = "Example:\n  regent node reset m1")]
    Reset(Target),
    /// Let its disk answer ten requests a second (virtual machines)
    #[command(after_help = "Example:\n  regent node slow-disk m1")]
    SlowDisk(Target),
    /// Fill its disk to the last block (virtual machines)
    #[command(after_help = "Example:\n  regent node fill-disk m1")]
    FillDisk(Target),
    /// Lose some of the packets that it receives
    #[command(after_help = "Example:\n  regent node lose-packets m1 --percent 30")]
    LosePackets {
        #[command(flatten)]
        target: Target,
        /// How many of a hundred
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u8).range(1..=100))]
        percent: u8,
    },
    /// Send every packet late (its kernel needs netem)
    #[command(after_help = "Example:\n  regent node delay-packets m1 --milliseconds 50")]
    DelayPackets {
        #[command(flatten)]
        target: Target,
        /// How late
        #[arg(long, default_value_t = 200)]
        milliseconds: u32,
    },
    /// Put its clock ahead (virtual machines)
    #[command(after_help = "Example:\n  regent node jump-clock m1 --seconds 3600")]
    JumpClock {
        #[command(flatten)]
        target: Target,
        /// How far
        #[arg(long, default_value_t = 300)]
        seconds: u32,
    },
    /// Undo whatever was done to it
    #[command(after_help = "Example:\n  regent node heal m1")]
    Heal(Target),
}

/// What is to be done to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    /// A fault is injected.
    Inject(Fault),
    /// It is started or resumed.
    Start,
    /// Whatever was done is reverted.
    Heal,
}

#[derive(Debug, Args)]
struct Target {
    /// The node: `m1`, `w2`, `lb1`; `master1` means `m1`
    node: NodeArg,
}

/// A node's name on the command line. `master1` and `worker1` are other words for `m1` and `w1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeArg(NodeName);

impl NodeArg {
    /// The node's own name.
    pub(super) fn into_name(self) -> NodeName {
        self.0
    }
}

impl FromStr for NodeArg {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let number = |word| {
            text.strip_prefix(word)
                .filter(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
        };
        if let Some(number) = number("master") {
            format!("m{number}").parse().map(Self)
        } else if let Some(number) = number("worker") {
            format!("w{number}").parse().map(Self)
        } else {
            text.parse().map(Self)
        }
    }
}

impl Node {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let (target, deed) = self.verb.deed();
        let name = target.node.into_name();
        context.on_site(
            "`regent status` shows what became of the node",
            Hold::Change,
            async |site| {
                lab::node(&site, &name)?;
                deed.carry_out(&site, &name).await
            },
        )?;
        let done = deed.done(&name);
        context.print(&format!("{done}\n"), &json!({ "node": name, "done": done }))?;
        Ok(Outcome::Done)
    }
}

impl Verb {
    /// What is meant, and to whom.
    fn deed(self) -> (Target, Deed) {
        use provider::Fault::{Kill, LinkDown, Pause, PowerCut, Reset, SlowDisk, Stop};
        let outside = |target, fault| (target, Deed::Inject(Fault::Outside(fault)));
        let within = |target, impairment| (target, Deed::Inject(Fault::Within(impairment)));
        match self {
            Self::Cut(target) => outside(target, PowerCut),
            Self::Kill(target) => outside(target, Kill),
            Self::Stop(target) => outside(target, Stop),
            Self::Pause(target) => outside(target, Pause),
            Self::Unplug(target) => outside(target, LinkDown),
            Self::Reset(target) => outside(target, Reset),
            Self::SlowDisk(target) => outside(target, SlowDisk),
            Self::FillDisk(target) => within(target, Impairment::DiskFull),
            Self::LosePackets { target, percent } => {
                within(target, Impairment::PacketLoss(percent))
            }
            Self::DelayPackets {
                target,
                milliseconds,
            } => {
                let delay = Duration::from_millis(milliseconds.into());
                within(target, Impairment::PacketDelay(delay))
            }
            Self::JumpClock { target, seconds } => {
                let ahead = Duration::from_secs(seconds.into());
                within(target, Impairment::ClockAhead(ahead))
            }
            Self::Start(target) | Self::Resume(target) => (target, Deed::Start),
            Self::Heal(target) => (target, Deed::Heal),
        }
    }
}

impl Deed {
    async fn carry_out(self, site: &Site, name: &NodeName) -> Result<(), Failure> {
        match self {
            Self::Inject(fault) => {
                fault::inject(site, name, fault).await?;
                if let Strength::Weaker(how) = fault.strength(&*site.provider, site.plan.driver) {
                    site.events.note(how);
                }
            }
            Self::Start => {
                site.provider.heal(name).await?;
                fault::reverted(site, name)?;
            }
            Self::Heal => fault::revert(site, name).await?,
        }
        Ok(())
    }

    /// What may be said afterwards.
    fn done(self, name: &NodeName) -> String {
        match self {
            Self::Inject(fault) => fault.of(name),
            Self::Start => format!("{name} runs"),
            Self::Heal => format!("{name} is healed: nothing of what was done to it is left"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn master_is_another_word() {
        let name = |text: &str| text.parse::<NodeArg>().map(|arg| arg.0.to_string());
        assert_eq!(name("master2").unwrap(), "m2");
        assert_eq!(name("worker1").unwrap(), "w1");
        assert_eq!(name("m3").unwrap(), "m3");
        assert_eq!(name("master").unwrap(), "master");
        assert_eq!(name("master-1").unwrap(), "master-1");
        name("m 1").unwrap_err();
    }
}
