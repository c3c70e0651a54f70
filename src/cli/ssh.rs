//! `regent ssh`

use clap::Args;

use super::context::Context;
use super::failure::{Failure, Outcome};

/// Log in to a node, or run a command there
///
/// Uses the system's `ssh` with the lab's key and the node's pinned host key.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regent ssh m1                    a shell
  regent ssh m1 uptime
  regent ssh w1 'journalctl -u kubelet | tail'")]
pub struct Ssh {
    /// The node: `m1`, `w2`, `lb1`; `master1` means `m1`
    node: super::node::NodeArg,
    /// The command and its arguments
    #[arg(
        value_name = "CMD",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    command: Vec<std::ffi::OsString>,
}

impl Ssh {
    pub(super) fn run(self, _context: &Context) -> Result<Outcome, Failure> {
        Err(Failure::operation("not wired yet"))
    }
}
