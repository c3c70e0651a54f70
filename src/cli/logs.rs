//! `regent logs`

use clap::Args;

use super::context::Context;
use super::failure::{Failure, Outcome};
use super::lab;
use crate::ops::Hold;

/// Show a node's journal
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regent logs m1                   the last 200 lines
  regent logs m1 --unit kubelet --unit containerd --lines 50
  regent logs lb1 --unit haproxy")]
pub struct Logs {
    /// The node: `m1`, `w2`, `lb1`; `master1` means `m1`
    node: super::node::NodeArg,
    /// Only this systemd unit; may be repeated
    #[arg(long, short, value_name = "UNIT")]
    unit: Vec<String>,
    /// How many lines, from the end
    #[arg(long, short = 'n', default_value_t = 200)]
    lines: u32,
}

impl Logs {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let name = self.node.into_name();
        let mut journal = vec![
            "journalctl".to_owned(),
            "--no-pager".to_owned(),
            format!("--lines={}", self.lines),
        ];
        journal.extend(self.unit.iter().map(|unit| format!("--unit={unit}")));
        if context.global.json {
            journal.push("--output=json".to_owned());
        }
        let output = context.on_site("nothing was changed", Hold::Look, async |site| {
            let journal = lab::node(&site, &name)?.command(&journal).run().await;
            journal.map_err(|error| {
                Failure::from(error).hint("`regent status` shows whether the node runs")
            })
        })?;
        // With --json the journal's own lines are JSON.
        context.print_raw(output.as_bytes())?;
        Ok(Outcome::Done)
    }
}
