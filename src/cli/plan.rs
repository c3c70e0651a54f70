//! `regent plan`

use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;
use serde_json::json;

use super::context::Context;
use super::failure::{Failure, Outcome};
use crate::plan;
use crate::recipe;
use crate::render;
use crate::spec::Machine;

/// Show what `up` would make: nodes, addresses, files, steps
///
/// The same file and lock give the same bytes on any machine.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regent plan                      a readable summary
  regent plan --out plan/          every file that will be generated, for a diff or a review")]
pub struct Plan {
    /// Write every generated file into this directory
    #[arg(long, value_name = "DIR")]
    out: Option<Utf8PathBuf>,
}

impl Plan {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let file = context.file(&Machine::default())?;
        context.warn(&file.warnings);
        let steps: Vec<String> = recipe::steps(&file.plan)
            .iter()
            .map(recipe::Action::describe)
            .collect();
        let Some(out) = self.out else {
            let summary = plan::summary(&file.plan, &steps);
            context.print(
                &summary,
                &json!({ "summary": summary, "driver": file.driver }),
            )?;
            return Ok(Outcome::Done);
        };
        let files = render::files(&file.plan, &steps).map_err(Failure::operation)?;
        for (path, text) in &files {
            write(&out.join(path), text)?;
        }
        let written = files.len();
        context.print(
            &format!("wrote {written} files into {out}\n"),
            &json!({ "wrote": written, "directory": out }),
        )?;
        Ok(Outcome::Done)
    }
}

fn write(path: &Utf8Path, text: &str) -> Result<(), Failure> {
    path.parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| std::fs::write(path, text))
        .map_err(|error| Failure::operation(format!("cannot write {path}: {error}")))
}
