//! Every help text, as a snapshot: the command line is an interface.

use clap::CommandFactory;
use regent::cli::args::Cli;

#[test]
fn help_of_every_command() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots/help"));
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| walk(Cli::command().term_width(100), "regent"));
}

fn walk(mut command: clap::Command, name: &str) {
    command.build();
    let help = command.render_long_help().to_string();
    assert!(help.contains("Example"), "`{name}` has no example");
    insta::assert_snapshot!(name.replace(' ', "-"), help);
    for sub in command.get_subcommands() {
        if sub.get_name() != "help" {
            let full = format!("{name} {}", sub.get_name());
            walk(sub.clone(), &full);
        }
    }
}
