//! `regent node`

use std::str::FromStr;

use clap::{Args, Subcommand};
use serde_json::json;

use super::context::Context;
use super::failure::{Failure, Outcome};
use super::lab;

use crate::hypervisor::Fault;
use crate::name::{NameError, NodeName};

/// Do something to a node, as a fault would
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regent node cut m1               power cut: peers hear nothing
  regent node start m1             from its kept disk
  regent node pause w2             and `regent node resume w2`")]
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
    /// Kill every process; peers see connections closed
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
        let (target, fault, done) = match self.verb {
            Verb::Cut(target) => (target, Some(Fault::PowerCut), "has lost power"),
            Verb::Kill(target) => (target, Some(Fault::Kill), "is killed"),
            Verb::Stop(target) => (target, Some(Fault::Stop), "is shut down"),
            Verb::Pause(target) => (target, Some(Fault::Pause), "is paused"),
            Verb::Start(target) => (target, None, "is started"),
            Verb::Resume(target) => (target, None, "is resumed"),
        };
        let name = target.node.into_name();
        context.on_site(
            "`regent status` shows what became of the node",
            async |site| {
                lab::node(&site, &name)?;
                match fault {
                    Some(fault) => {
                        site.hypervisor.inject(&name, fault).await?;
                        if let Some(weakness) = site.hypervisor.weakness(fault) {
                            site.events.note(weakness.0);
                        }
                    }
                    None => site.hypervisor.heal(&name).await?,
                }
                Ok(())
            },
        )?;
        context.print(
            &format!("{name} {done}\n"),
            &json!({ "node": name, "done": done }),
        )?;
        Ok(Outcome::Done)
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
