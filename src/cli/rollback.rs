//! `regent rollback`

use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::context::Context;
use super::failure::{Failure, Outcome};
use super::lab;
use super::show::duration;
use crate::ops::Hold;
use crate::recipe;

/// Take back an `up` that has not come to its end: the cluster becomes again what it was before
///
/// The same as `up` with the file as it was. A cluster on its way to a control plane endpoint goes back until etcd has a
/// second member, and says so afterwards. An `up` that has ended is taken back by editing the file, as far as a running
/// cluster can.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regent up                        killed, or failed, half-way
  regent rollback                  back to what the last `up` that ended well made")]
pub struct Rollback {}

/// What an interrupted one leaves.
const LEFT: &str = "what was begun is kept: `regent rollback` goes on, `regent up` goes forward";

impl Rollback {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let begin = Instant::now();
        context.on_site(LEFT, Hold::Change, async |site| {
            let record = site.lab.record();
            if record.plan.is_none() {
                return Err(
                    Failure::usage("no `up` of this cluster has come to its end yet")
                        .hint("`regent up` goes on, `regent down` removes what was begun"),
                );
            }
            if record.target().is_none() {
                return Err(Failure::usage(
                    "there is nothing to take back: the last `up` came to its end",
                )
                .hint("edit the file, then `regent up`"));
            }
            let image = lab::boots(&site)?;
            Ok(recipe::up(&site, &image).await.map(drop)?)
        })?;
        let elapsed = begin.elapsed();
        context.print(
            &format!(
                "the cluster is what it was before ({})\n",
                duration(elapsed)
            ),
            &json!({ "rollback": true, "seconds": elapsed.as_secs_f64() }),
        )?;
        Ok(Outcome::Done)
    }
}
