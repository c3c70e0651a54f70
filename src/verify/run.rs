//! A run: healthy, load, fault, heal, checks, verdict.

mod end;
mod happen;
mod load;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use camino::Utf8Path;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::api::{Api, ApiError};
use super::budget::{limits, limits_of_operation};
use super::clock::Clock;
use super::error::VerifyError;
use super::etcd::Etcd;
use super::evidence::{
    Evidence, EvidenceError, FaultRecord, Phases, RUN_SCHEMA, RunRecord, Subject, Tester,
};
use super::history::{Kept, Stored};
use super::inside::{ClientsError, Question};
use super::judge::judge;
use super::observation::{Occurrence, Phase};
use super::observe::{Observers, Recorder};
use super::operation::Operation;
use super::precondition;
use super::scenario::Scenario;
use super::subject::subject;
use super::verdict::Verdict;
use super::{kubeconfig, workload};
use crate::event::Event;
use crate::kubernetes::VERIFICATION;
use crate::plan::Plan;
use crate::recipe;
use crate::site::Site;
use regent_load::{Endpoint, ProbesError, Recording};

/// A request of the observers and checks. Longer than any outage that a budget allows, and far below a run's phases.
const PATIENCE: Duration = Duration::from_secs(3);

/// After the revert everything that held before has to hold again within this: a worker's pods have moved by then, and
/// controllers and kubelets have reported since.
const AS_BEFORE: Duration = Duration::from_secs(60);

/// A load with more bad samples than this share is not worth a fault. The verdict looks closer.
const TOO_BAD: f64 = 0.1;

/// Returns the usual name of a run, and of its directory: `20261122T202500Z-demo-power-cut-etcd-leader`.
pub fn run_name(at: Timestamp, plan: &Plan, scenario: &Scenario) -> String {
    let at = at
        .to_zoned(TimeZone::UTC)
        .strftime("%Y%m%dT%H%M%SZ")
        .to_string();
    format!("{at}-{}-{}", plan.cluster, scenario.slug())
}

/// Judges the evidence in a directory again, and writes nothing.
pub fn evaluate(directory: &Utf8Path) -> Result<Verdict, EvidenceError> {
    Ok(judge(&Evidence::read(directory)?))
}

/// What stands in the evidence of a run that was ended early.
const INTERRUPTED: &str = "the run was interrupted";

/// Does `scenario` to the cluster and leaves the evidence in the directory `out`, which is made; its name becomes the
/// run's. Call it on the lab's runtime. Progress goes to the site's events.
///
/// A cluster that is sick before is left alone: the verdict is then `void`. A fault that was injected is healed before
/// this returns (unless the scenario says otherwise); a caller that drops the future heals the node itself. A site whose
/// `interrupt` is cancelled ends the run early: the fault is healed, the evidence is what there is, the verdict `void`.
pub async fn run(site: &Site, scenario: &Scenario, out: &Utf8Path) -> Result<Verdict, VerifyError> {
    make(out)?;
    let mut run = Run::prepare(site, scenario, out).await?;
    let history = run.perform().await?;
    run.finish(history, out).await
}

/// The load before a command and after it.
const AROUND: Duration = Duration::from_secs(10);

/// Runs a command under load, and judges what it cost the cluster's clients, as [`run`] does with a fault: `budget` is how long
/// any kind of client may be without the cluster; zero: no request may fail. The command may change the cluster; what
/// holds afterwards is compared with what the lab's record says then.
///
/// # Errors
/// As for [`run`].
pub async fn during(
    site: &Site,
    operation: &Operation,
    budget: Duration,
    out: &Utf8Path,
) -> Result<Verdict, VerifyError> {
    let scenario = Scenario {
        settle: AROUND,
        ..operation.scenario()
    };
    make(out)?;
    let mut run = Run::prepare(site, &scenario, out).await?;
    run.operation = Some(operation);
    run.record.budgets_ms = limits_of_operation(&site.plan.budgets, budget);
    let history = run.perform().await?;
    run.finish(history, out).await
}

fn make(out: &Utf8Path) -> Result<(), EvidenceError> {
    std::fs::create_dir_all(out).map_err(|source| EvidenceError::Write {
        path: out.to_owned(),
        source,
    })
}

/// Why a run could not be prepared.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
enum StageError {
    Api(#[from] ApiError),
    Workload(#[from] workload::WorkloadError),
    Clients(#[from] ClientsError),
}

/// What the cluster held in the end.
#[derive(Default)]
struct Held {
    stored: Option<Vec<Stored>>,
    kept: Vec<Kept>,
    inside: Vec<Question>,
}

/// A run under way.
struct Run<'a> {
    site: &'a Site,
    scenario: &'a Scenario,
    recorder: Recorder,
    endpoint: Endpoint,
    api: Api,
    etcd: Etcd,
    namespace: String,
    record: RunRecord,
    operation: Option<&'a Operation>,
    /// The cluster as a command has left it.
    left: Option<Site>,
}

impl<'a> Run<'a> {
    async fn prepare(
        site: &'a Site,
        scenario: &'a Scenario,
        out: &Utf8Path,
    ) -> Result<Self, VerifyError> {
        let path = site.kubeconfig();
        let text = std::fs::read_to_string(&path).map_err(|source| VerifyError::Kubeconfig {
            path: path.clone(),
            source,
        })?;
        let planned = SocketAddr::from((site.plan.network.endpoint, 6443));
        let endpoint = kubeconfig::endpoint(&text, planned)?;
        let member = recipe::member(site).await?;
        let node = site.node(&member).ok_or(ProbesError::Died)?;
        let etcd = Etcd::connect(&site.plan, node).await?;
        let clock = Clock::start();
        let recorder = Recorder::new(clock, site.events.clone());
        Ok(Self {
            site,
            scenario,
            recorder,
            api: Api::new(endpoint.clone(), PATIENCE),
            endpoint,
            etcd,
            namespace: format!("{VERIFICATION}{}", clock.wall().as_second()),
            record: blank_record(site, scenario, clock, out),
            operation: None,
            left: None,
        })
    }

    /// Everything up to the final read. Returns what the load did, with the final read.
    async fn perform(&mut self) -> Result<(Recording, Held), VerifyError> {
        let began = self.step("check");
        self.record.sick = precondition::missing(self.site).await;
        self.record.subject = subject(self.site, &self.api, &self.etcd).await;
        let from = match self.stage().await {
            Ok(from) => from,
            Err(error) => {
                self.record.sick.push(error.to_string());
                0
            }
        };
        self.done("check", began);
        if !self.record.sick.is_empty() {
            return Ok((Recording::default(), Held::default()));
        }

        let observers = Observers::start(self.watched().await?, &self.recorder).await;
        self.note_servers().await;
        let probes = self.load(from).await?;
        self.phase(Phase::Baseline);
        let began = Instant::now();
        self.pause(self.scenario.baseline).await;
        self.done("baseline", began);

        let (good, bad) = probes.counts();
        if self.site.interrupt.is_cancelled() {
            // Nothing was done to the cluster yet, and nothing will be.
        } else if good == 0 || bad as f64 > TOO_BAD * (good + bad) as f64 {
            let all = good + bad;
            self.record
                .sick
                .push(format!("{bad} of {all} samples were bad before the fault"));
        } else {
            self.inject().await;
        }

        if self.site.interrupt.is_cancelled() {
            // The verdict is void, and the evidence what there is.
            self.record.sick.push(INTERRUPTED.to_owned());
        }

        let began = self.step("judge");
        self.phase(Phase::Check);
        let recording = probes.stop().await?;
        self.record.phases.load = recording.began;
        self.record.phases.end = recording.ended;
        self.record.tester.cpu_share = recording.cpu_share;
        let stored = self.final_read().await;
        let kept = self.kept().await;
        if self.record.phases.fault.is_some() && self.scenario.heal {
            let site = self.left.as_ref().unwrap_or(self.site);
            let after = precondition::await_preconditions(site, AS_BEFORE).await;
            self.record.after = Some(after);
        }
        drop(observers);
        let inside = self.inside().await;
        self.done("judge", began);
        Ok((
            recording,
            Held {
                stored,
                kept,
                inside,
            },
        ))
    }

    /// Waits, unless somebody wants the run to end early.
    async fn pause(&self, time: Duration) {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.site.interrupt.cancelled() => {}
        }
    }

    fn step(&self, step: &str) -> Instant {
        self.site.events.emit(Event::StepStarted {
            step: step.to_owned(),
            node: None,
        });
        Instant::now()
    }

    fn done(&self, step: &str, began: Instant) {
        self.site.events.emit(Event::StepFinished {
            step: step.to_owned(),
            node: None,
            elapsed: began.elapsed(),
        });
    }

    fn phase(&self, phase: Phase) {
        self.recorder.now(Occurrence::Phase { phase });
    }
}

/// The record of a run of which nothing is known yet.
fn blank_record(site: &Site, scenario: &Scenario, clock: Clock, out: &Utf8Path) -> RunRecord {
    RunRecord {
        schema: RUN_SCHEMA.to_owned(),
        name: out.file_name().unwrap_or("run").to_owned(),
        cluster: site.plan.cluster.clone(),
        started: clock.wall(),
        fault: FaultRecord {
            kind: scenario.kind().to_owned(),
            target: scenario.target(),
            node: None,
            words: scenario.words(),
            weakness: None,
        },
        operation: None,
        load: scenario.load,
        phases: Phases {
            load: clock.now(),
            fault: None,
            applied: None,
            heal: None,
            ready: None,
            end: clock.now(),
        },
        sick: Vec::new(),
        proofs: Vec::new(),
        violations: Vec::new(),
        trouble: Vec::new(),
        after: None,
        workload: None,
        inside: Vec::new(),
        tester: Tester::default(),
        budgets_ms: limits(&site.plan.budgets),
        subject: Subject::default(),
    }
}
