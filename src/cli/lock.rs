//! `regent lock`

use clap::Args;
use serde_json::json;

use super::context::Context;
use super::failure::{Failure, Outcome};
use crate::image;

/// Check the lock file, or write it anew
///
/// `regent.lock` names every fetched input with version and hash. Without `--update` nothing changes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regent lock                      does the lock fit the recipes?
  regent lock --update             take what the mirrors have today")]
pub struct Lock {
    /// Resolve everything again and write the file
    #[arg(long)]
    update: bool,
}

impl Lock {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let (lock, path) = image::Lock::current()?;
        if self.update {
            let events = context.events();
            let path = context.blocking("regent.lock is as it was", move || {
                Ok::<_, Failure>(image::resolve(&lock, &events)?.save()?)
            })?;
            context.print(&format!("wrote {path}\n"), &json!({ "wrote": path }))?;
            return Ok(Outcome::Done);
        }
        let packages = lock.packages.len();
        let problems = context.blocking("nothing was changed", move || lock.check())?;
        if problems.is_empty() {
            let path = path.unwrap_or_else(|| "the built-in regent.lock".into());
            context.print(
                &format!("{path}: {packages} packages, all as the recipes want and on a mirror\n"),
                &json!({ "lock": path, "packages": packages }),
            )?;
            return Ok(Outcome::Done);
        }
        let text: String = problems
            .iter()
            .map(|problem| format!("{problem}\n"))
            .collect();
        context.print(&text, &problems)?;
        Err(Failure::operation("the lock file does not fit")
            .hint("`regent lock --update` writes it anew from what the mirrors have")
            .hint("a mirror that keeps old versions helps too: name it in REGENT_DEBIAN_MIRRORS"))
    }
}
