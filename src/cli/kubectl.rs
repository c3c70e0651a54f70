//! `regent kubectl`

use clap::Args;

use super::context::Context;
use super::failure::{Failure, Outcome};

/// Run the cluster's own kubectl inside the lab's network
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regent kubectl get nodes -o wide
  regent kubectl apply -f app.yaml
  regent -f edge.yaml kubectl get pods -A")]
pub struct Kubectl {
    /// kubectl's arguments
    #[arg(
        value_name = "ARG",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    args: Vec<std::ffi::OsString>,
}

impl Kubectl {
    pub(super) fn run(self, _context: &Context) -> Result<Outcome, Failure> {
        Err(Failure::operation("not wired yet"))
    }
}
