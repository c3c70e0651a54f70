//! `regent exec`

use clap::Args;

use super::context::Context;
use super::failure::{Failure, Outcome};

/// Run a program inside the lab's network, with KUBECONFIG set
///
/// The program takes regent's place: signals reach it directly, and its exit code is the exit code.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regent exec -- helm list -A
  regent exec -- curl -sk https://198.18.0.10:6443/readyz
  regent exec -- bash              a shell in the lab's network")]
pub struct Exec {
    /// The program and its arguments
    #[arg(
        value_name = "CMD",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    command: Vec<std::ffi::OsString>,
}

impl Exec {
    pub(super) fn run(self, _context: &Context) -> Result<Outcome, Failure> {
        Err(Failure::operation("not wired yet"))
    }
}
