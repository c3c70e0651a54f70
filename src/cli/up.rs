//! `regent up`

use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::context::Context;
use super::failure::{Failure, Outcome};
use super::show::duration;
use crate::image;
use crate::lab::Lab;
use crate::recipe;
use crate::spec::Machine;

/// Make the cluster exist and be healthy
///
/// Builds what the store lacks, starts the lab, and brings every node to Ready. On a healthy cluster it changes
/// nothing and says so; after an interruption it goes on where it was.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regent up                        the cluster of ./cluster.yaml
  regent -f examples/ha.yaml up    another file
  regent up --json | jq -c .       one event a line")]
pub struct Up {}

/// What an interrupted `up` leaves.
const LEFT: &str =
    "what was begun is kept: `regent up` goes on from there, `regent down` removes it";

impl Up {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let begin = Instant::now();
        let mut file = context.file(&Machine::default())?;
        let paths = context.paths(&file.plan);
        if !paths.root().exists() {
            // A lab that runs has its memory already.
            file = context.file(&Machine::observe())?;
        }
        context.warn(&file.warnings);
        context.need_root()?;
        let plan = file.plan;
        recipe::check_reachable(&paths, &plan)?;
        context.events().note(format!(
            "nodes are {} ({})",
            file.driver.driver, file.driver.reason
        ));
        let image = context.image(&plan)?;
        context.show.record(&paths.events());
        let lab = {
            let (plan, events) = (plan.clone(), context.events());
            context.blocking(LEFT, move || Lab::enter(&paths, &plan, &events))?
        };
        // A collection of garbage must not take away what nodes stand on.
        image::retain(&context.global.store, plan.kubernetes, lab.paths().root())?;
        let outcome = context.on_lab(Arc::new(lab), plan, image.parts.clone(), async |site| {
            context.or_interrupt(LEFT, recipe::up(&site, &image)).await
        })?;
        let (word, text) = match outcome {
            recipe::Outcome::Unchanged => (
                "unchanged",
                "the cluster is as planned, nothing was changed",
            ),
            recipe::Outcome::Changed => ("changed", "the cluster is up"),
        };
        let elapsed = begin.elapsed();
        context.print(
            &format!("{text} ({})\n", duration(elapsed)),
            &json!({ "up": word, "seconds": elapsed.as_secs_f64() }),
        )?;
        Ok(Outcome::Done)
    }
}
