//! `regent exec`

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;

use clap::Args;

use super::context::Context;
use super::failure::{Failure, Outcome};
use crate::lab::Lab;

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
    command: Vec<String>,
}

impl Exec {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let lab = context.lab(&context.plan()?)?;
        let mut words = self.command.into_iter();
        let program = words.next().unwrap_or_default();
        Err(become_program(&lab, &program, words))
    }
}

/// Replaces this process by a program in the lab's network, with `KUBECONFIG` set, so that signals and the exit
/// code need no forwarding. Returns only if that failed.
pub(super) fn become_program(
    lab: &Lab,
    program: &str,
    args: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Failure {
    let error = lab
        .command(program)
        .args(args)
        .env("KUBECONFIG", lab.paths().kubeconfig())
        .exec();
    Failure::operation(format!("cannot run `{program}`: {error}"))
}
