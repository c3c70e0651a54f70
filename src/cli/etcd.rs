//! `regent etcd`

use clap::{Args, Subcommand};
use serde_json::json;

use super::context::Context;
use super::failure::{Failure, Outcome};
use crate::ops::Hold;
use crate::recipe;

/// Look after the cluster's etcd
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regent etcd defrag               when `regent status` names the alarm NOSPACE, or the database has grown")]
pub struct Etcd {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make etcd's databases as small as what is in them, and end its space alarm
    ///
    /// The history is forgotten first; then one member after the other writes its database anew, the leader last, each only
    /// while the others have a quorum without it. A member answers nobody meanwhile.
    #[command(after_help = "\
Examples:
  regent etcd defrag
  regent verify --during 'regent etcd defrag'    and what it costs clients")]
    Defrag,
}

/// What an interrupted one leaves.
const LEFT: &str = "members that had their turn keep it; `regent etcd defrag` begins anew";

impl Etcd {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        match self.verb {
            Verb::Defrag => defrag(context),
        }
    }
}

fn defrag(context: &Context) -> Result<Outcome, Failure> {
    let (members, alarms) = context.on_site(LEFT, Hold::Change, async |site| {
        Ok(recipe::defragment(&site).await?)
    })?;
    let bytes: u64 = members
        .iter()
        .map(|member| member.before.saturating_sub(member.after))
        .sum();
    let ended = match alarms {
        0 => String::new(),
        1 => ", 1 alarm ended".to_owned(),
        alarms => format!(", {alarms} alarms ended"),
    };
    context.print(
        &format!(
            "{} members, {:.1} MiB given back{ended}\n",
            members.len(),
            bytes as f64 / f64::from(1 << 20)
        ),
        &json!({ "members": members, "alarmsEnded": alarms }),
    )?;
    Ok(Outcome::Done)
}
