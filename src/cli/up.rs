//! `regent up`

use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::context::Context;
use super::failure::{Failure, Outcome};
use super::show::duration;
use crate::lab::LabPaths;
use crate::machine::{self, Finding, State};
use crate::ops::{self, Hold, OpsError};
use crate::plan::Plan;
use crate::provider::examine_host;
use crate::recipe::{self, Preview, RecipeError};
use crate::spec::{Connect, Driver, DriverChoice, Machine};

/// Make the cluster exist and be healthy
///
/// Builds what the store lacks, starts the lab, and brings every node to Ready. On a healthy cluster it changes
/// nothing and says so; after an interruption it goes on where it was.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regent up                        the cluster of ./cluster.yaml
  regent up --dry-run              what it would do now, round by round
  regent -f examples/ha.yaml up    another file
  regent up --json | jq -c .       one event a line")]
pub struct Up {
    /// Look, show what would be done, in order, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// What an interrupted `up` leaves.
const LEFT: &str =
    "what was begun is kept: `regent up` goes on from there, `regent down` removes it";

impl Up {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let begin = Instant::now();
        let mut file = context.file(&Machine::default())?;
        let paths = context.paths(&file.plan.cluster);
        if !paths.root().exists() {
            if file.choice == DriverChoice::Auto && file.plan.connect == Connect::Private {
                context.need_root()?;
                context.try_guest()?;
            }
            // A lab that runs has its memory already.
            file = context.file(&Machine::observe())?;
        }
        context.warn(&file.warnings);
        context.need_root()?;
        let plan = file.plan;
        need_programs(context, &plan)?;
        if !paths.root().exists() && plan.driver == Driver::Lxc {
            refuse_missing(
                vec![machine::overlay(&context.global.state)],
                "`regent doctor` looks at what a lab needs",
            )?;
        }
        ops::check(&paths, &context.global.store, &plan)?;
        if self.dry_run {
            return preview(context, &paths, &plan);
        }
        context.events().note(format!(
            "nodes are {} ({})",
            file.driver.driver, file.driver.reason
        ));
        let image = context.image(&plan)?;
        if plan.connect.remote().is_none() {
            context.warn_of_emulation(&image)?;
        }
        context.show.record(&paths.events());
        let lab = {
            let (plan, image, events) = (plan.clone(), image.clone(), context.events());
            let store = context.global.store.clone();
            context.blocking(LEFT, move || {
                ops::enter(&paths, &store, &plan, &image, &events)
            })?
        };
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

/// Shows what `up` would do for `wanted`.
fn preview(context: &Context, paths: &LabPaths, wanted: &Plan) -> Result<Outcome, Failure> {
    let preview = match ops::open(paths, Hold::Look) {
        Ok(opened) => {
            let known = opened.known(wanted);
            let parts = opened.parts();
            context.on_lab(opened.lab, known, parts, async |site| {
                let preview = recipe::preview(&site, wanted);
                context.or_interrupt("nothing was changed", preview).await
            })?
        }
        Err(OpsError::NotRunning(_)) => Preview::of_first(wanted),
        Err(error) => return Err(error.into()),
    };
    context.print(&preview.to_string(), &preview)?;
    match preview.refusals.is_empty() {
        true => Ok(Outcome::Done),
        false => Err(RecipeError::Refused(preview.refusals).into()),
    }
}

/// Better said before an image is built: what such a lab needs, here or on the host that will have its nodes.
fn need_programs(context: &Context, plan: &Plan) -> Result<(), Failure> {
    match &plan.connect {
        Connect::Private => {
            refuse_missing(
                machine::for_labs(),
                "`./setup` installs all that a lab needs",
            )?;
        }
        Connect::Uri(_) => {}
        Connect::Remote(uri) => {
            let uri = uri.clone();
            context.blocking("nothing was done yet", move || examine_host(&uri))?;
            return Ok(());
        }
    }
    match plan.driver {
        Driver::Lxc => Ok(()),
        // Not installed by default.
        Driver::Qemu => refuse_missing(
            machine::for_machines(),
            "`REGENT_QEMU=1 ./setup` installs all that virtual machines need",
        ),
    }
}

fn refuse_missing(findings: Vec<Finding>, hint: &str) -> Result<(), Failure> {
    let missing = findings
        .into_iter()
        .find_map(|finding| match finding.state {
            State::Missing { what, mend } => Some(Failure::machine(what).hint(mend)),
            State::Fine { .. } | State::Doubtful { .. } => None,
        });
    missing.map_or(Ok(()), |failure| Err(failure.hint(hint)))
}
