//! `regent schema`

use clap::Args;

use super::context::Context;
use super::failure::{Failure, Outcome};
use crate::spec;

/// Print the JSON Schema of cluster.yaml
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  regent schema > cluster.schema.json

In an editor with a YAML language server, put this first in cluster.yaml:
  # yaml-language-server: $schema=cluster.schema.json")]
pub struct Schema {}

impl Schema {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let schema =
            serde_json::to_string_pretty(&spec::json_schema()).map_err(Failure::operation)?;
        context.print_raw(format!("{schema}\n").as_bytes())?;
        Ok(Outcome::Done)
    }
}
