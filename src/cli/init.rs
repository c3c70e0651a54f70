//! `regent init`

use clap::Args;

use super::context::Context;
use super::failure::{Failure, Outcome};

/// Write a commented cluster.yaml
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regent init                      ./cluster.yaml: 3 control-plane nodes, 2 workers
  regent -f edge.yaml init         another file
  regent init --force              overwrite what is there")]
pub struct Init {
    /// Overwrite the file if it exists
    #[arg(long)]
    force: bool,
}

impl Init {
    pub(super) fn run(self, _context: &Context) -> Result<Outcome, Failure> {
        Err(Failure::operation("not wired yet"))
    }
}
