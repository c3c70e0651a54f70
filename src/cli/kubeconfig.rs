//! `regent kubeconfig`

use clap::Args;
use serde_json::json;

use super::context::Context;
use super::failure::{Failure, Outcome};

/// Print the administrator's kubeconfig
///
/// Its endpoint is the load balancer's address, which only the lab's network reaches: see `regent exec`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regent kubeconfig > admin.conf
  regent kubeconfig --path         where it is kept")]
pub struct Kubeconfig {
    /// Print the file's path, not its content
    #[arg(long)]
    path: bool,
}

impl Kubeconfig {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let path = context.paths(&context.name()?).kubeconfig();
        if self.path {
            context.print(&format!("{path}\n"), &json!({ "path": path }))?;
            return Ok(Outcome::Done);
        }
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Failure::operation(format!("cannot read {path}: {error}"))
                .hint(format!("regent -f {} up", context.global.file))
        })?;
        context.print(&text, &json!({ "path": path, "kubeconfig": text }))?;
        Ok(Outcome::Done)
    }
}
