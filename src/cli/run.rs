//! From arguments to an exit code.

use std::ffi::OsString;

use camino::Utf8PathBuf;
use clap::Parser;

use super::args::{Cli, Command, Global};
use super::context::Context;
use super::failure::{Failure, Outcome};
use super::interrupt;
use super::show::{Face, Show};

/// Parses `args`, runs the command, shows what went wrong, and returns the process's exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let args: Vec<OsString> = args.into_iter().collect();
    // Parsing itself may fail, and even then the error must have the form that was asked for.
    let json = args.iter().any(|arg| arg == "--json");
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => return parse_failure(error, json),
    };
    let context = match context(cli.global) {
        Ok(context) => context,
        Err(failure) => return failure.report(json),
    };
    let result = dispatch(cli.command, &context);
    context.show.flush();
    match result {
        Ok(Outcome::Done) => 0,
        Ok(Outcome::NotPassed) => 1,
        Ok(Outcome::Program(code)) => code,
        Err(failure) => failure.report(context.global.json),
    }
}

/// Help and version are no failure, and go to standard output.
fn parse_failure(error: clap::Error, json: bool) -> u8 {
    if json && error.use_stderr() {
        let text = error.render().to_string();
        return Failure::usage(text.trim_start_matches("error: ").trim_end()).report(json);
    }
    // Nobody is left to tell when the stream is closed.
    let _ = error.print();
    u8::try_from(error.exit_code()).unwrap_or(2)
}

fn context(global: Global) -> Result<Context, Failure> {
    let absolute = |path: &Utf8PathBuf| {
        camino::absolute_utf8(path)
            .map_err(|error| Failure::usage(format!("`{path}` is not a usable path: {error}")))
    };
    Ok(Context {
        global: Global {
            state: absolute(&global.state)?,
            store: absolute(&global.store)?,
            ..global
        },
        interrupt: interrupt::listen(global.json)?,
        show: Show::start(Face::choose(global.json))?,
    })
}

fn dispatch(command: Command, context: &Context) -> Result<Outcome, Failure> {
    match command {
        Command::Init(command) => command.run(context),
        Command::Doctor(command) => command.run(context),
        Command::Plan(command) => command.run(context),
        Command::Up(command) => command.run(context),
        Command::Status(command) => command.run(context),
        Command::Verify(command) => command.run(context),
        Command::Kubectl(command) => command.run(context),
        Command::Kubeconfig(command) => command.run(context),
        Command::Exec(command) => command.run(context),
        Command::Ssh(command) => command.run(context),
        Command::Logs(command) => command.run(context),
        Command::Node(command) => command.run(context),
        Command::Replace(command) => command.run(context),
        Command::Etcd(command) => command.run(context),
        Command::Backup(command) => command.run(context),
        Command::Restore(command) => command.run(context),
        Command::Rollback(command) => command.run(context),
        Command::Down(command) => command.run(context),
        Command::Store(command) => command.run(context),
        Command::Lock(command) => command.run(context),
        Command::Schema(command) => command.run(context),
        Command::Completions(command) => command.run(context),
    }
}
