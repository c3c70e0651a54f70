//! `regent restore`

use std::time::Instant;

use camino::Utf8PathBuf;
use clap::Args;
use serde_json::json;

use super::context::Context;
use super::failure::{Failure, Outcome};
use super::lab;
use super::node::NodeArg;
use super::show::duration;
use crate::ops::Hold;
use crate::recipe::{self, OpenedBackup};

/// Bring back a cluster whose etcd has lost its quorum for good
///
/// What the member with the most has left becomes a cluster of one, and the other nodes join it with empty disks. What was
/// acknowledged and is not in it is lost: so the nodes whose data is gone have to be named. Nodes that are merely off are
/// started first, and if that brings the quorum back nothing is given up. One that is named and does not come back is ended for
/// certain, its disk is kept, and a new one takes its place.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regent restore                                 who is left, what would be lost; nothing is done
  regent restore --accept-data-loss m2,m3        go on without what only m2 and m3 had
  regent restore --from demo-20261127T120000Z.age --identity key.txt
                                                 nobody has data any more: from a backup")]
pub struct Restore {
    /// The nodes whose etcd data is gone for good
    #[arg(long, value_name = "NODES", value_delimiter = ',')]
    accept_data_loss: Vec<NodeArg>,

    /// A backup that etcd begins from where no node has its data any more
    #[arg(long, value_name = "FILE", requires = "identity")]
    from: Option<Utf8PathBuf>,

    /// The age key that the backup is encrypted to; it stays on this machine
    #[arg(long, value_name = "FILE", requires = "from")]
    identity: Option<Utf8PathBuf>,
}

/// What an interrupted one leaves.
const LEFT: &str =
    "what was begun is kept: `regent restore` again goes on, or `regent up` once etcd has a quorum";

impl Restore {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let begin = Instant::now();
        let lost = self.accept_data_loss.into_iter().map(NodeArg::into_name);
        let lost = lost.collect();
        let restored = context.on_site(LEFT, Hold::Change, async |site| {
            for name in &lost {
                lab::node(&site, name)?;
            }
            let image = lab::boots(&site)?;
            let files = self.from.as_ref().zip(self.identity.as_ref());
            let backup = files
                .map(|(from, identity)| OpenedBackup::open(from, identity, &image, &site.plan))
                .transpose()?;
            Ok(recipe::restore(&site, &image, &lost, backup).await?)
        })?;
        let elapsed = begin.elapsed();
        let from = restored
            .survivor
            .as_ref()
            .map_or(String::new(), |survivor| {
                let revision = survivor.revision;
                let revision = revision.map_or(String::new(), |revision| {
                    format!(", up to revision {revision}")
                });
                format!(", with what {} had{revision}", survivor.node)
            });
        context.print(
            &format!("the cluster is up ({}){from}\n", duration(elapsed)),
            &json!({
                "restored": restored.outcome == recipe::Outcome::Changed,
                "seconds": elapsed.as_secs_f64(),
                "survivor": restored.survivor,
            }),
        )?;
        Ok(Outcome::Done)
    }
}
