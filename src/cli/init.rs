//! `regent init`

use std::fs::OpenOptions;
use std::io::{self, Write};

use clap::Args;
use serde_json::json;

use super::context::Context;
use super::failure::{Failure, Outcome};
use crate::spec::TEMPLATE;

/// Write a commented cluster.yaml
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regent init                      ./cluster.yaml: 3 control-plane nodes, 2 workers
  regent -f edge.yaml init         another file
  regent init --force              overwrite what is there")]
pub struct Init {
    /// Overwrite the file if it exists
    #[arg(long)]
    force: bool,
}

impl Init {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let path = &context.global.file;
        let mut options = OpenOptions::new();
        options.write(true);
        if self.force {
            options.create(true).truncate(true);
        } else {
            options.create_new(true);
        }
        let written = options
            .open(path)
            .and_then(|mut file| file.write_all(TEMPLATE.as_bytes()));
        match written {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(Failure::usage(format!("{path} exists already"))
                    .hint("`--force` overwrites it, `-f` names another file"));
            }
            Err(error) => {
                return Err(Failure::operation(format!("cannot write {path}: {error}")));
            }
        }
        context.print(
            &format!("wrote {path}; next: regent -f {path} up\n"),
            &json!({ "wrote": path }),
        )?;
        Ok(Outcome::Done)
    }
}
