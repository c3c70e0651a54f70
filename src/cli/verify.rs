//! `regent verify`

use clap::Args;

use super::context::Context;
use super::failure::{Failure, Outcome};

/// Inject a fault under load, measure the outage, and judge
///
/// Ends with exit code 0 for the verdict `pass`, 1 for `fail` (a budget or an invariant is broken) and for `void`
/// (the run proves nothing: the fault did not bite, the load was too low, or the cluster was sick before).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regent verify                    cut the power of the etcd leader's node")]
pub struct Verify {}

impl Verify {
    pub(super) fn run(self, _context: &Context) -> Result<Outcome, Failure> {
        Err(Failure::operation("not wired yet"))
    }
}
