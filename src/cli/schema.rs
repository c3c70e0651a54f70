//! `regent schema`

use clap::Args;

use super::context::Context;
use super::failure::{Failure, Outcome};

/// Print the JSON Schema of cluster.yaml
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  regent schema > cluster.schema.json

In an editor with a YAML language server, put this first in cluster.yaml:
  # yaml-language-server: $schema=cluster.schema.json")]
pub struct Schema {}

impl Schema {
    pub(super) fn run(self, _context: &Context) -> Result<Outcome, Failure> {
        Err(Failure::operation("not wired yet"))
    }
}
