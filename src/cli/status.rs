//! `regent status`

use clap::Args;

use super::context::Context;
use super::failure::{Failure, Outcome};

/// Show the nodes, the load balancer's servers and the etcd members
///
/// Shows what can be seen: a dead node or API server leaves gaps, not an error.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regent status                    a table
  regent status --json | jq .nodes for programs")]
pub struct Status {}

impl Status {
    pub(super) fn run(self, _context: &Context) -> Result<Outcome, Failure> {
        Err(Failure::operation("not wired yet"))
    }
}
