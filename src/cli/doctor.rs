//! `regent doctor`

use clap::Args;

use super::context::Context;
use super::failure::{Failure, Outcome};

/// Check everything that this machine needs, and say how to mend it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regent doctor                    what is there, what is missing, the command that mends it
  regent doctor --json             the same for programs")]
pub struct Doctor {}

impl Doctor {
    pub(super) fn run(self, _context: &Context) -> Result<Outcome, Failure> {
        Err(Failure::operation("not wired yet"))
    }
}
