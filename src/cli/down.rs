//! `regent down`

use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::context::Context;
use super::failure::{Failure, Outcome};
use super::show::duration;
use crate::lab::{Lab, LabPaths};
use crate::name::ClusterName;

/// Remove the lab: every process, mount, namespace, interface and file of it
///
/// Works whatever state the lab is in. The store and the evidence stay.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regent down                      the lab of ./cluster.yaml
  regent down --name demo          a lab whose file is gone")]
pub struct Down {
    /// The lab's name, instead of the file's `name`
    #[arg(long, value_name = "CLUSTER")]
    name: Option<ClusterName>,
}

impl Down {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let name = match self.name {
            Some(name) => name,
            None => context.name()?,
        };
        let begin = Instant::now();
        let paths = LabPaths::new(&context.global.state, &name);
        let events = context.events();
        context.blocking("`regent down` again goes on", move || {
            Lab::down(&paths, &events)
        })?;
        context.print(
            &format!(
                "nothing of the lab `{name}` is left ({})\n",
                duration(begin.elapsed())
            ),
            &json!({ "down": name, "seconds": begin.elapsed().as_secs_f64() }),
        )?;
        Ok(Outcome::Done)
    }
}
