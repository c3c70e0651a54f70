//! `regent logs`

use clap::Args;

use super::context::Context;
use super::failure::{Failure, Outcome};

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
    pub(super) fn run(self, _context: &Context) -> Result<Outcome, Failure> {
        Err(Failure::operation("not wired yet"))
    }
}
