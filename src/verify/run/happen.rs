//! What happens to the cluster: a fault with its hold and its healing, or a command.

use std::time::{Duration, Instant};

use super::Run;
use crate::event::chain;
use crate::verify::evidence::Proof;
use crate::verify::inject::Injector;
use crate::verify::left;
use crate::verify::observation::Phase;
use crate::verify::operation::Operation;
use crate::verify::recovery::recovery;

impl Run<'_> {
    /// The fault, its hold, its healing. What goes wrong here stands in the record: the run goes on to its checks.
    pub(super) async fn inject(&mut self) {
        let injector = Injector {
            site: self.site,
            etcd: &self.etcd,
            api: &self.api,
            endpoint: &self.endpoint,
            namespace: &self.namespace,
        };
        let began = self.step(self.what());
        match injector.choose(self.scenario).await {
            Ok(chosen) => self.record.fault = chosen,
            Err(error) => return self.record.sick.push(chain(&error)),
        }
        self.phase(Phase::Fault);
        if let Some(operation) = self.operation {
            return self.operate(operation, began).await;
        }
        let applied = injector.inject(self.scenario, &self.record.fault).await;
        self.record.phases.applied = Some(self.recorder.clock.now());
        match applied {
            Ok(applied) => {
                self.record.phases.fault = Some(self.recorder.clock.at(applied.before));
                self.record.proofs = applied.proofs;
            }
            Err(error) => self.record.trouble.push(chain(&error)),
        }
        self.done("fault", began);

        let node = self.record.fault.node.clone();
        if let Some(fault) = self.record.phases.fault {
            let began = self.step("hold");
            self.hold(self.recorder.clock.instant(fault)).await;
            if let Some(node) = &node
                && let Err(why) = injector.lasts(self.scenario, node).await
            {
                self.record.violations.push(why);
            }
            self.done("hold", began);
        }
        if let Some(node) = node.filter(|_| self.scenario.heal) {
            let began = self.step("heal");
            self.record.phases.heal = Some(self.recorder.clock.now());
            self.phase(Phase::Heal);
            match injector.revert(&node).await {
                Ok(()) => self.record.phases.ready = Some(self.recorder.clock.now()),
                Err(error) => self.record.trouble.push(chain(&error)),
            }
            self.done("heal", began);
            self.phase(Phase::Settle);
            self.pause(self.scenario.settle).await;
        }
    }

    /// The step in which it happens.
    fn what(&self) -> &'static str {
        match self.operation {
            Some(_) => "command",
            None => "fault",
        }
    }

    /// The command, and the load after it.
    async fn operate(&mut self, operation: &Operation, began: Instant) {
        let lent = match self.site.lab.lend() {
            Ok(lent) => lent,
            Err(error) => return self.record.sick.push(chain(&error)),
        };
        let ended = operation.run(self.site.events.clone(), &self.site.interrupt);
        let ended = ended.await;
        drop(lent);
        match ended {
            Ok(ended) => {
                self.record.phases.fault = Some(self.recorder.clock.at(ended.begun));
                self.record.phases.applied = Some(self.recorder.clock.now());
                self.record.proofs = vec![Proof {
                    what: self.record.fault.words.clone(),
                    holds: true,
                }];
                self.record.trouble.extend(ended.trouble);
                self.record.operation = Some(ended.record);
            }
            Err(error) => {
                let why = format!("the command could not be run: {error}");
                return self.record.sick.push(why);
            }
        }
        self.done(self.what(), began);
        match left::open(self.site).await {
            Ok((site, etcd)) => (self.left, self.etcd) = (Some(site), etcd),
            Err(error) => self.record.trouble.push(chain(&error)),
        }
        self.phase(Phase::Ended);
        self.pause(self.scenario.settle).await;
    }

    /// Holds the fault; a lost worker until its pods are Ready elsewhere.
    async fn hold(&self, from: Instant) {
        let end = from + self.longest_hold();
        loop {
            let rest = end.saturating_duration_since(Instant::now());
            self.pause(rest.min(Duration::from_secs(1))).await;
            let mut so_far = self.record.clone();
            so_far.phases.end = self.recorder.clock.now();
            let moved = recovery(&so_far, &self.recorder.all())
                .pods_elsewhere_ms
                .is_some();
            if moved || Instant::now() >= end || self.site.interrupt.is_cancelled() {
                return;
            }
        }
    }

    /// The hold, at most: for a lost worker half as long again as its pods may take, to see by how much they miss it.
    pub(super) fn longest_hold(&self) -> Duration {
        match self.record.workload {
            Some(_) => self.site.plan.budgets.pods_elsewhere.0 * 3 / 2,
            None => self.scenario.hold,
        }
    }
}
