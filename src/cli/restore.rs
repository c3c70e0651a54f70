//! `regent restore`

use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::context::Context;
use super::failure::{Failure, Outcome};
use super::lab;
use super::node::NodeArg;
use super::show::duration;
use crate::ops::Hold;
use crate::recipe;

/// Bring back a cluster whose etcd has lost its quorum for good
///
/// What the member with the most has left becomes a cluster of one, and the other nodes join it with empty disks. What was
/// acknowledged and is not in it is lost: so the nodes whose data is gone have to be named. Nodes that are merely off are
/// started first, and if that brings the quorum back nothing is given up.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regent restore                                 who is left, what would be lost; nothing is done
  regent restore --accept-data-loss m2,m3        go on without what only m2 and m3 had")]
pub struct Restore {
    /// The nodes whose etcd data is gone for good
    #[arg(long, value_name = "NODES", value_delimiter = ',')]
    accept_data_loss: Vec<NodeArg>,
}

/// What an interrupted one leaves.
const LEFT: &str =
    "what was begun is kept: `regent restore` again goes on, or `regent up` once etcd has a quorum";

impl Restore {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let begin = Instant::now();
        let lost = self.accept_data_loss.into_iter().map(NodeArg::into_name);
        let lost = lost.collect();
        let outcome = context.on_site(LEFT, Hold::Change, async |site| {
            for name in &lost {
                lab::node(&site, name)?;
            }
            let image = lab::boots(&site)?;
            Ok(recipe::restore(&site, &image, &lost).await?)
        })?;
        let elapsed = begin.elapsed();
        let changed = outcome == recipe::Outcome::Changed;
        context.print(
            &format!("the cluster is up ({})\n", duration(elapsed)),
            &json!({ "restored": changed, "seconds": elapsed.as_secs_f64() }),
        )?;
        Ok(Outcome::Done)
    }
}
