//! What the cluster has in the end, and the verdict.

use std::time::{Duration, Instant};

use camino::Utf8Path;
use regent_load::Recording;

use super::{Held, PATIENCE, Run};
use crate::event::chain;
use crate::verify::api::Api;
use crate::verify::error::VerifyError;
use crate::verify::evidence::Evidence;
use crate::verify::history::{History, Kept, Stored};
use crate::verify::judge::judge;
use crate::verify::verdict::{Ruling, Verdict};
use crate::verify::{bundle, data, report};

/// The cluster has this long to answer the final quorum read: writes are back within seconds after a fault.
const FINAL_READ: Duration = Duration::from_secs(60);

impl Run<'_> {
    /// Reads everything that was written through etcd's quorum, as soon as the cluster lets it.
    pub(super) async fn final_read(&mut self) -> Option<Vec<Stored>> {
        let end = Instant::now() + FINAL_READ;
        // Larger than any single answer so far.
        let api = Api::new(self.endpoint.clone(), 5 * PATIENCE);
        loop {
            match api.stored(&self.namespace).await {
                Ok(stored) => return Some(stored),
                Err(error) if Instant::now() > end || self.site.interrupt.is_cancelled() => {
                    self.record.trouble.push(error.to_string());
                    return None;
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
            }
        }
    }

    /// Reads what etcd itself holds, of every member that is not to be away.
    pub(super) async fn kept(&mut self) -> Vec<Kept> {
        let away = self.record.fault.node.clone();
        let away = away.filter(|_| self.record.phases.fault.is_some() && !self.scenario.heal);
        let (kept, trouble) = data::read(&self.etcd, &self.namespace, away.as_ref()).await;
        self.record.trouble.extend(trouble);
        kept
    }

    /// Judges, writes everything, and cleans up behind a run that passed. The data of one that did not stays for
    /// whoever looks into it.
    pub(super) async fn finish(
        self,
        (recording, held): (Recording, Held),
        out: &Utf8Path,
    ) -> Result<Verdict, VerifyError> {
        let evidence = Evidence {
            run: self.record,
            samples: recording.samples,
            events: self.recorder.all(),
            history: History {
                covered: recording.covered,
                writes: recording.writes,
                deliveries: recording.deliveries,
                interruptions: recording.interruptions,
                stored: held.stored,
                kept: held.kept,
            },
            inside: held.inside,
        };
        evidence.write(out)?;
        let verdict = judge(&evidence);
        report::write(&evidence, &verdict, out)?;
        let site = self.left.as_ref().unwrap_or(self.site);
        if verdict.verdict != Ruling::Pass
            && let Err(error) = bundle::collect(site, &self.etcd, out).await
        {
            // The verdict stands without it.
            self.site.events.warn(chain(&error));
        }
        // Its pods would be a load on whatever comes next. Where the API is gone they stay, and the next run has another name.
        let _ = self.api.remove_namespace(&self.namespace).await;
        Ok(verdict)
    }
}
