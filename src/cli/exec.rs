//! `regent exec`

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};

use clap::Args;

use super::context::Context;
use super::failure::{Failure, Outcome};
use crate::lab::Lab;
use crate::machine;
use crate::ops::Hold;

/// Run a program inside the lab's network, with KUBECONFIG set
///
/// The program takes regent's place: signals reach it directly, and its exit code is the exit code.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regent exec -- helm list -A
  regent exec -- kubectl get --raw '/readyz?verbose'
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
        let lab = context.opened(Hold::Look)?.lab;
        let mut words = self.command.into_iter();
        let program = words.next().unwrap_or_default();
        become_program(&lab, &program, words)
    }
}

/// Replaces this process by a program in the lab's network, with `KUBECONFIG` set, so that signals and the exit
/// code need no forwarding; returns only if that failed. Nodes on another host are reached through this process: there
/// the program runs below it, and its exit code is passed on.
pub(super) fn become_program(
    lab: &Lab,
    program: &str,
    args: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Result<Outcome, Failure> {
    let failed = |error: io::Error| Failure::operation(format!("cannot run `{program}`: {error}"));
    let mut command = lab.command(program);
    command
        .args(args)
        .env("KUBECONFIG", lab.paths().kubeconfig());
    for variable in machine::proxies() {
        // Proxies are for downloads: no lab is reached through one.
        command.env_remove(variable);
    }
    // The user's own, for the user's program.
    machine::restore_umask();
    if !lab.is_remote() {
        return Err(failed(command.exec()));
    }
    let status = command.status().map_err(failed)?;
    // As a shell tells of a program that a signal has ended.
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    let code = code.and_then(|code| u8::try_from(code).ok());
    Ok(Outcome::Program(code.unwrap_or(u8::MAX)))
}
