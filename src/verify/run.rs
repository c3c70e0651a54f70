//! A run: healthy, load, fault, heal, checks, verdict.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use camino::Utf8Path;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::api::{ANCHOR, Api, ApiError};
use super::budget::{limits, limits_of_operation};
use super::clock::Clock;
use super::error::VerifyError;
use super::etcd::Etcd;
use super::evidence::{
    Evidence, EvidenceError, FaultRecord, Phases, Proof, RUN_SCHEMA, RunRecord, Subject, Tester,
    Workload,
};
use super::history::{History, Kept, Stored};
use super::inject::Injector;
use super::inside::{Clients, ClientsError, Question};
use super::judge::judge;
use super::observation::{Occurrence, Phase, ServerState};
use super::observe::{Observers, Recorder, Watched};
use super::operation::Operation;
use super::precondition;
use super::recovery::recovery;
use super::report;
use super::scenario::{Fault, Scenario, Target};

use super::subject::subject;
use super::verdict::{Ruling, Verdict};
use super::{bundle, data, kubeconfig, left, workload};
use crate::event::{Event, chain};
use crate::kubernetes::VERIFICATION;
use crate::plan::{NodeRole, Plan};
use crate::provider::ProviderError;
use crate::recipe;
use crate::site::Site;
use regent_load::{Endpoint, Order, Probes, ProbesError, Recording, Server};

/// A request of the observers and checks. Longer than any outage that a budget allows, and far below a run's phases.
const PATIENCE: Duration = Duration::from_secs(3);

/// The cluster has this long to answer the final quorum read: writes are back within seconds after a fault.
const FINAL_READ: Duration = Duration::from_secs(60);

/// After the revert everything that held before has to hold again within this: a worker's pods have moved by then, and
/// controllers and kubelets have reported since.
const AS_BEFORE: Duration = Duration::from_secs(60);

/// A load with more bad samples than this share is not worth a fault. The verdict looks closer.
const TOO_BAD: f64 = 0.1;

/// What may come on top of the scenario's own times before the load ends by itself: proofs and a node's return.
const SLACK: Duration = Duration::from_secs(300);

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

    /// Makes what the load needs; returns the resource version from which its watch begins.
    async fn stage(&mut self) -> Result<u64, StageError> {
        let from = self.api.make_namespace(&self.namespace).await?;
        let clients = Clients::of(self.site, &self.namespace);
        clients.start(&self.api).await?;
        self.record.inside = clients.nodes().cloned().collect();
        if self.loses_worker() {
            let replicas = workload::replicas(&self.site.plan);
            workload::make(&self.api, &self.namespace, replicas).await?;
            self.record.workload = Some(Workload { replicas });
        }
        Ok(from)
    }

    /// What the clients inside saw. They go with the load's namespace.
    async fn inside(&mut self) -> Vec<Question> {
        let clients = Clients::of(self.site, &self.namespace);
        let hit = self.record.hit(&self.recorder.all());
        let (asked, unread) = clients.read(&hit, &self.recorder.clock).await;
        let unread = unread.iter().map(|error| chain(error));
        self.record.violations.extend(unread);
        asked
    }

    /// Whether the fault hits a worker, so that pods must move.
    fn loses_worker(&self) -> bool {
        let Fault::Node { fault, target } = &self.scenario.fault else {
            return false;
        };
        match target {
            _ if !fault.takes_the_node() => false,
            Target::AnyWorker => true,
            Target::Node(name) => {
                let planned = self.site.plan.node(name);
                planned.is_some_and(|planned| planned.role == NodeRole::Worker)
            }
            Target::EtcdLeader | Target::EtcdFollower => false,
        }
    }

    async fn watched(&self) -> Result<Watched, ProviderError> {
        let balancers = self.site.plan.load_balancers();
        Ok(Watched {
            domains: self.site.provider.changes().await?,
            balancers: balancers
                .filter_map(|node| self.site.node(&node.name).cloned())
                .collect(),
            etcd: self.etcd.clone(),
            api: self.api.clone(),
            pods: self
                .record
                .workload
                .as_ref()
                .map(|_| self.namespace.clone()),
        })
    }

    /// Notes which servers are up before anything happens; from then on the load balancer's journal tells.
    async fn note_servers(&self) {
        for balancer in self.site.plan.load_balancers() {
            let up = recipe::servers_up(self.site, &balancer.name).await;
            for server in up.unwrap_or_default() {
                self.recorder.now(Occurrence::Server {
                    server: server.to_string(),
                    state: ServerState::Up,
                    reason: "at the beginning".to_owned(),
                });
            }
        }
    }

    async fn load(&self, from: u64) -> Result<Probes, ProbesError> {
        let scenario = self.scenario;
        let servers = self.site.plan.control_plane().map(|node| Server {
            name: node.name.to_string(),
            address: SocketAddr::new(node.address.into(), 6443),
        });
        let order = Order {
            endpoint: self.endpoint.clone(),
            servers: servers.collect(),
            namespace: self.namespace.clone(),
            anchor: ANCHOR.to_owned(),
            from,
            run: self.record.name.clone(),
            load: scenario.load,
            clock: self.recorder.clock,
            longest: scenario.baseline + self.longest_hold() + scenario.settle + SLACK,
        };
        let lab = std::sync::Arc::clone(&self.site.lab);
        Probes::start(order, move || lab.enter_network()).await
    }

    /// The fault, its hold, its healing. What goes wrong here stands in the record: the run goes on to its checks.
    async fn inject(&mut self) {
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
    fn longest_hold(&self) -> Duration {
        match self.record.workload {
            Some(_) => self.site.plan.budgets.pods_elsewhere.0 * 3 / 2,
            None => self.scenario.hold,
        }
    }

    /// Reads everything that was written through etcd's quorum, as soon as the cluster lets it.
    async fn final_read(&mut self) -> Option<Vec<Stored>> {
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
    async fn kept(&mut self) -> Vec<Kept> {
        let away = self.record.fault.node.clone();
        let away = away.filter(|_| self.record.phases.fault.is_some() && !self.scenario.heal);
        let (kept, trouble) = data::read(&self.etcd, &self.namespace, away.as_ref()).await;
        self.record.trouble.extend(trouble);
        kept
    }

    /// Judges, writes everything, and cleans up behind a run that passed. The data of one that did not stays for
    /// whoever looks into it.
    async fn finish(
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
