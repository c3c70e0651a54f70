//! `regent up`

use clap::Args;

use super::context::Context;
use super::failure::{Failure, Outcome};

/// Make the cluster exist and be healthy
///
/// Builds what the store lacks, starts the lab, and brings every node to Ready. On a healthy cluster it changes
/// nothing and says so; after an interruption it goes on where it was.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regent up                        the cluster of ./cluster.yaml
  regent -f examples/ha.yaml up    another file
  regent up --json | jq -c .       one event a line")]
pub struct Up {}

impl Up {
    pub(super) fn run(self, _context: &Context) -> Result<Outcome, Failure> {
        Err(Failure::operation("not wired yet"))
    }
}
