//! `regent lock`

use clap::Args;

use super::context::Context;
use super::failure::{Failure, Outcome};

/// Check the lock file, or write it anew
///
/// `regent.lock` names every fetched input with version and hash. Without `--update` nothing changes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regent lock                      does the lock fit the recipes?
  regent lock --update             take what the mirrors have today")]
pub struct Lock {
    /// Resolve everything again and write the file
    #[arg(long)]
    update: bool,
}

impl Lock {
    pub(super) fn run(self, _context: &Context) -> Result<Outcome, Failure> {
        Err(Failure::operation("not wired yet"))
    }
}
