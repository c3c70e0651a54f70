//! `regent kubeconfig`

use clap::Args;

use super::context::Context;
use super::failure::{Failure, Outcome};

/// Print the administrator's kubeconfig
///
/// Its endpoint is the load balancer's address, which only the lab's network reaches: see `regent exec`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regent kubeconfig > admin.conf
  regent kubeconfig --path         where it is kept")]
pub struct Kubeconfig {
    /// Print the file's path, not its content
    #[arg(long)]
    path: bool,
}

impl Kubeconfig {
    pub(super) fn run(self, _context: &Context) -> Result<Outcome, Failure> {
        Err(Failure::operation("not wired yet"))
    }
}
