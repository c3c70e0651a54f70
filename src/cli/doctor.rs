//! `regent doctor`

use std::fmt::Write;

use clap::Args;

use super::context::Context;
use super::failure::{Failure, Kind, Outcome};
use crate::machine::{self, Finding, State};
use crate::provider::examine_host;

/// Check everything that this machine needs, and say how to mend it
///
/// Looks at another host as well where cluster.yaml has its nodes there.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regent doctor                    what is there, what is missing, the command that mends it
  regent doctor --json             the same for programs")]
pub struct Doctor {}

impl Doctor {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        if rustix::process::geteuid().is_root()
            && let Err(failure) = context.try_guest()
        {
            if failure.kind() == Kind::Interrupted {
                return Err(failure);
            }
            let why = failure.summary();
            context.events().warn(format!(
                "cannot try whether the processor runs guests: {why}"
            ));
        }
        let mut findings = machine::examine(&context.global.state, &context.global.store);
        findings.extend(other_host(context));
        context.print(&table(&findings), &findings)?;
        let missing = findings
            .iter()
            .filter(|finding| matches!(finding.state, State::Missing { .. }))
            .count();
        if missing == 0 {
            return Ok(Outcome::Done);
        }
        Err(
            Failure::machine(format!("this machine lacks {missing} of what a lab needs"))
                .hint("`sudo ./setup` in regent's source directory installs all of it"),
        )
    }
}

/// Looks at the host that the command's file names, if there is such a file and it names another one.
fn other_host(context: &Context) -> Option<Finding> {
    let uri = context.plan().ok()?.connect.remote()?.clone();
    let subject = "other host".to_owned();
    let state = match context.blocking("nothing was changed", move || examine_host(&uri)) {
        Ok(what) => State::Fine { what },
        Err(failure) => State::Missing {
            what: failure.summary(),
            mend: failure.hints().join("; "),
        },
    };
    Some(Finding { subject, state })
}

fn table(findings: &[Finding]) -> String {
    let mut text = String::new();
    for Finding { subject, state } in findings {
        let (mark, what, mend) = match state {
            State::Fine { what } => ("ok", what, None),
            State::Doubtful { what, mend } => ("doubtful", what, Some(mend)),
            State::Missing { what, mend } => ("missing", what, Some(mend)),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{mark:<9} {subject:<18} {what}");
        if let Some(mend) = mend {
            let _ = writeln!(text, "{:<28} → {mend}", "");
        }
    }
    text
}
