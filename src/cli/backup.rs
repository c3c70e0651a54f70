//! `regent backup`

use camino::Utf8PathBuf;
use clap::Args;
use serde_json::json;

use super::context::Context;
use super::failure::{Failure, Outcome};
use crate::file;
use crate::ops::Hold;
use crate::recipe;

/// Make a backup of etcd and of the cluster's keys now
///
/// A control-plane node makes it, as it does on its own where `backup.every` says so, and keeps it beside those: etcd's snapshot,
/// `/etc/kubernetes` of that node, and the lab's record, checked and encrypted with age to the file's `backup.recipient`. The
/// same file is written here.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  age-keygen -o key.txt                          once; its recipient goes into the file as `backup: {recipient: age1…}`
  regent backup                                  into this directory, named after the cluster and the time
  regent backup --out /mnt/backups/today.age")]
pub struct Backup {
    /// Where to write it
    #[arg(long, value_name = "FILE")]
    out: Option<Utf8PathBuf>,
}

/// What an interrupted one leaves.
const LEFT: &str = "a backup that was not finished is none; `regent backup` begins anew";

impl Backup {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let (node, made, content) = context.on_site(LEFT, Hold::Change, async |site| {
            if site.plan.backup.is_none() {
                return Err(Failure::usage(
                    "nobody is named to whom a backup is encrypted",
                )
                .hint(
                    "`age-keygen -o key.txt` makes a key and prints its recipient: write `backup: {recipient: age1…}`, then `regent up`",
                ));
            }
            Ok(recipe::back_up(&site).await?)
        })?;
        let out = match (&self.out, made.path.file_name()) {
            (Some(out), _) => out.clone(),
            (None, name) => Utf8PathBuf::from(name.unwrap_or("backup.age")),
        };
        file::write_whole(&out, &content, 0o600)
            .map_err(|error| Failure::operation(format!("cannot write {out}: {error}")))?;
        context.print(
            &format!(
                "{out}: etcd up to revision {}, {:.1} MiB; {node} keeps it too, in {}\n",
                made.revision,
                content.len() as f64 / f64::from(1 << 20),
                made.path
            ),
            &json!({
                "file": out,
                "revision": made.revision,
                "sha256": made.sha256,
                "bytes": content.len(),
                "node": node,
                "onNode": made.path,
            }),
        )?;
        Ok(Outcome::Done)
    }
}
