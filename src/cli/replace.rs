//! `regent replace`

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

/// Make a sick node anew: its pods move, it leaves the cluster with its disk, a new one joins
///
/// A control-plane node goes only if etcd has a quorum without it. A node that is merely off, or whose disk is gone, needs
/// no more than `regent up`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regent replace m2                any control-plane node, also the first
  regent replace w1                a worker")]
pub struct Replace {
    /// The node: `m1`, `w2`; `master1` means `m1`
    node: NodeArg,
}

/// What an interrupted replacement leaves.
const LEFT: &str = "what was begun is kept: `regent up` brings the node back";

impl Replace {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let begin = Instant::now();
        let name = self.node.into_name();
        context.on_site(LEFT, Hold::Change, async |site| {
            lab::node(&site, &name)?;
            let image = lab::boots(&site)?;
            Ok(recipe::replace(&site, &image, &name).await?)
        })?;
        let elapsed = begin.elapsed();
        context.print(
            &format!("{name} is a new node ({})\n", duration(elapsed)),
            &json!({ "node": name, "replaced": true, "seconds": elapsed.as_secs_f64() }),
        )?;
        Ok(Outcome::Done)
    }
}
