//! `regent store`

use clap::{Args, Subcommand};

use super::context::Context;
use super::failure::{Failure, Outcome};

/// Look after the store of built and fetched things
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regent store build               everything the cluster's nodes boot
  regent store build --check       build it again and compare the bits
  regent store verify              is every path what it was?
  regent store gc                  remove what no lab and no lock file needs")]
pub struct Store {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Build what the cluster's nodes boot
    #[command(after_help = "\
Examples:
  regent store build
  regent store build --check       build again, compare the bits; exit code 4 if they differ")]
    Build {
        /// Build again what is there, and compare the bits
        #[arg(long)]
        check: bool,
    },
    /// List what is there
    #[command(after_help = "Example:\n  regent store list --json | jq .")]
    List,
    /// Compare every path with its hash; remove the damaged ones
    #[command(after_help = "Example:\n  regent store verify")]
    Verify,
    /// Remove what nothing needs
    #[command(after_help = "Example:\n  regent store gc")]
    Gc,
}

impl Store {
    pub(super) fn run(self, _context: &Context) -> Result<Outcome, Failure> {
        Err(Failure::operation("not wired yet"))
    }
}
