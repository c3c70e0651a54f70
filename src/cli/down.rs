//! `regent down`

use clap::Args;

use super::context::Context;
use super::failure::{Failure, Outcome};

/// Remove the lab: every process, mount, namespace, interface and file of it
///
/// Works whatever state the lab is in. The store and the evidence stay.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regent down                      the lab of ./cluster.yaml
  regent down --name demo          a lab whose file is gone")]
pub struct Down {
    /// The lab's name, instead of the file's `name`
    #[arg(long, value_name = "CLUSTER")]
    name: Option<crate::name::ClusterName>,
}

impl Down {
    pub(super) fn run(self, _context: &Context) -> Result<Outcome, Failure> {
        Err(Failure::operation("not wired yet"))
    }
}
