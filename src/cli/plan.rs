//! `regent plan`

use camino::Utf8PathBuf;
use clap::Args;

use super::context::Context;
use super::failure::{Failure, Outcome};

/// Show what `up` would make: nodes, addresses, files, steps
///
/// The same file and lock give the same bytes on any machine.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regent plan                      a readable summary
  regent plan --out plan/          every file that will be generated, for a diff or a review")]
pub struct Plan {
    /// Write every generated file into this directory
    #[arg(long, value_name = "DIR")]
    out: Option<Utf8PathBuf>,
}

impl Plan {
    pub(super) fn run(self, _context: &Context) -> Result<Outcome, Failure> {
        Err(Failure::operation("not wired yet"))
    }
}
