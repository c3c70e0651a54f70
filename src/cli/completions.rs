//! `regent completions`

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::args::Cli;
use super::context::Context;
use super::failure::{Failure, Outcome};

/// Print a completion script
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regent completions bash > /etc/bash_completion.d/regent
  regent completions zsh > ~/.zfunc/_regent")]
pub struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "regent", &mut script);
        context.print_raw(&script)?;
        Ok(Outcome::Done)
    }
}
