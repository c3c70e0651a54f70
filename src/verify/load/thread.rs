//! The thread that the probes live on.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{Clock, Moment};
use crate::connection::Connection;
use crate::cover::{self, Server};
use crate::endpoint::Endpoint;
use crate::history::fate;
use crate::history::{Covered, Delivery, Interruption, Write};
use crate::kinds::{Clients, FOR_EACH};
use crate::rate::Load;
use crate::sample::{Outcome, Probe, Sample};
use crate::watcher::Watcher;

/// The probes that have a schedule; the watches follow the writes.
const SCHEDULED: [Probe; 4] = [
    Probe::NewConnection,
    Probe::ReusedConnection,
    Probe::Read,
    Probe::Write,
];

/// How long the watches are waited for after the last write: well over the second after which a delivery is bad.
const DRAIN: Duration = Duration::from_secs(5);

/// What to do.
pub struct Order {
    /// Where requests go.
    pub endpoint: Endpoint,
    /// The API servers behind it.
    pub servers: Vec<Server>,
    /// Where the writes go.
    pub namespace: String,
    /// A `ConfigMap` there that exists.
    pub anchor: String,
    /// The resource version from which the watches begin.
    pub from: u64,
    /// Begins the content of every write.
    pub run: String,
    /// How much is asked.
    pub load: Load,
    /// What everything is timed by.
    pub clock: Clock,
    /// The load ends by itself after this long, whatever becomes of the run.
    pub longest: Duration,
}

/// What the probes recorded.
#[derive(Debug, Default)]
pub struct Recording {
    /// What of the load each API server had when it began.
    pub covered: Vec<Covered>,
    /// Every sample, in the order of their turns.
    pub samples: Vec<Sample>,
    /// Every write, in the order of their names.
    pub writes: Vec<Write>,
    /// What the watches delivered, in the order of arrival.
    pub deliveries: Vec<Delivery>,
    /// Every end of their connections.
    pub interruptions: Vec<Interruption>,
    /// When the load began.
    pub began: Moment,
    /// When the last sample had begun.
    pub ended: Moment,
    /// Processor time of the thread over the time of the run.
    pub cpu_share: f64,
}

/// Why the probes do not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbesError {
    /// The thread or its runtime could not be made.
    #[error("cannot start the probes' thread")]
    Thread(#[source] io::Error),
    /// The thread could not enter the lab's network.
    #[error("the probes cannot enter the lab's network")]
    Network(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The thread is gone.
    #[error("the probes' thread died")]
    Died,
}

/// Running probes. Dropping them ends the load and forgets what was recorded.
pub struct Probes {
    thread: Option<JoinHandle<Recording>>,
    stop: CancellationToken,
    counts: Arc<Counts>,
}

/// Running counts, for whoever watches from outside.
#[derive(Debug, Default)]
struct Counts {
    good: AtomicU64,
    bad: AtomicU64,
}

impl Probes {
    /// Starts the load from a thread that `enter` has put into the right network; returns when it flows.
    pub async fn start<E>(
        order: Order,
        enter: impl FnOnce() -> Result<(), E> + Send + 'static,
    ) -> Result<Self, ProbesError>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
    {
        let stop = CancellationToken::new();
        let counts = Arc::new(Counts::default());
        let (started, starting) = oneshot::channel();
        let (token, shared) = (stop.clone(), Arc::clone(&counts));
        let thread = std::thread::Builder::new()
            .name("probes".to_owned())
            .spawn(move || {
                go_first();
                let runtime = enter()
                    .map_err(|error| ProbesError::Network(error.into()))
                    .and_then(|()| {
                        let mut builder = tokio::runtime::Builder::new_current_thread();
                        builder.enable_all().build().map_err(ProbesError::Thread)
                    });
                match runtime {
                    Ok(runtime) => {
                        let local = tokio::task::LocalSet::new();
                        let begun = || drop(started.send(Ok(())));
                        local.block_on(&runtime, work(order, token, shared, begun))
                    }
                    Err(error) => {
                        let _ = started.send(Err(error));
                        Recording::default()
                    }
                }
            })
            .map_err(ProbesError::Thread)?;
        starting.await.map_err(|_| ProbesError::Died)??;
        Ok(Self {
            thread: Some(thread),
            stop,
            counts,
        })
    }

    /// Returns how many samples were good and bad until now.
    pub fn counts(&self) -> (u64, u64) {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (load(&self.counts.good), load(&self.counts.bad))
    }

    /// Ends the load and returns what was recorded, when the last sample is answered or given up and the watches had their
    /// time to deliver.
    pub async fn stop(mut self) -> Result<Recording, ProbesError> {
        self.stop.cancel();
        let thread = self.thread.take().ok_or(ProbesError::Died)?;
        let joined = tokio::task::spawn_blocking(move || thread.join()).await;
        joined
            .map_err(|_| ProbesError::Died)?
            .map_err(|_| ProbesError::Died)
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Everything that the tasks of the thread share.
struct Shared {
    clients: Clients,
    load: Load,
    clock: Clock,
    counts: Arc<Counts>,
    samples: RefCell<Vec<Sample>>,
    writes: RefCell<Vec<Write>>,
}

async fn work(
    order: Order,
    stop: CancellationToken,
    counts: Arc<Counts>,
    begun: impl FnOnce(),
) -> Recording {
    let (clock, load) = (order.clock, order.load);
    let patience = load.timeout();
    let mut open = cover::connections(&order.endpoint, &order.servers, FOR_EACH, patience).await;
    let covered = covered(&order.servers, &open);
    let first = open.iter_mut();
    let first: Vec<_> = first
        .filter_map(|(name, open)| Some((name.clone(), open.pop()?)))
        .collect();
    let clients = Clients::new(
        order.endpoint,
        &order.namespace,
        order.run,
        &order.anchor,
        &mut open,
    );
    let watches: Vec<_> = first
        .into_iter()
        .map(|(name, connection)| {
            let watcher = Rc::new(Watcher::new(
                name,
                clients.endpoint.clone(),
                clients.collection.clone(),
                clock,
                load.timeout(),
                order.from,
            ));
            let own = Rc::clone(&watcher);
            let task = tokio::task::spawn_local(async move { own.run(connection).await });
            (watcher, task)
        })
        .collect();
    let shared = Rc::new(Shared {
        clients,
        load,
        clock,
        counts,
        samples: RefCell::default(),
        writes: RefCell::default(),
    });
    begun();

    let began = clock.now();
    let busy = cpu_time();
    let tracker = TaskTracker::new();
    let schedules = SCHEDULED.into_iter().enumerate().map(|(index, probe)| {
        // Probes begin evenly spread over the period, so that they do not wait for one another.
        let first = began.after(load.period() * index as u32 / SCHEDULED.len() as u32);
        schedule(&shared, &tracker, probe, first, order.longest)
    });
    tokio::select! {
        _ = futures::future::join_all(schedules) => {}
        () = stop.cancelled() => {}
    }
    let ended = clock.now();
    tracker.close();
    tracker.wait().await;
    drain(&shared, &watches).await;
    let spent = cpu_time().saturating_sub(busy);

    let mut recording = Recording {
        covered,
        began,
        ended,
        cpu_share: spent.as_secs_f64() / clock.now().since(began).as_secs_f64().max(1e-3),
        samples: shared.samples.take(),
        writes: shared.writes.take(),
        ..Recording::default()
    };
    recording
        .samples
        .sort_by_key(|sample| (sample.scheduled, sample.probe));
    recording.writes.sort_by(|a, b| a.name.cmp(&b.name));
    for (watcher, task) in watches {
        task.abort();
        let _ = task.await;
        if let Some(watcher) = Rc::into_inner(watcher) {
            let got = watcher.into_got();
            recording.deliveries.extend(got.deliveries);
            recording.interruptions.extend(got.interruptions);
        }
    }
    recording.deliveries.sort_by_key(|delivery| delivery.at);
    recording.interruptions.sort_by_key(|end| end.at);
    recording
}

/// What of the open connections each server gets: one for a watch first, the others are kept.
fn covered(servers: &[Server], open: &BTreeMap<String, Vec<Connection>>) -> Vec<Covered> {
    let counted = servers.iter().map(|server| {
        let open = open.get(&server.name).map_or(0, Vec::len);
        Covered {
            server: server.name.clone(),
            kept: open.saturating_sub(1),
            watched: open > 0,
        }
    });
    counted.collect()
}

/// Begins a sample at each of its turns, whether or not earlier ones have ended.
async fn schedule(
    shared: &Rc<Shared>,
    tracker: &TaskTracker,
    probe: Probe,
    first: Moment,
    longest: Duration,
) {
    let turns = (longest.as_secs_f64() * f64::from(shared.load.rate_hz)) as u32;
    for turn in 0..turns {
        let scheduled = first.after(shared.load.period() * turn);
        tokio::time::sleep_until(shared.clock.instant(scheduled).into()).await;
        tracker.spawn_local(Rc::clone(shared).sample(probe, turn, scheduled));
    }
}

impl Shared {
    async fn sample(self: Rc<Self>, probe: Probe, turn: u32, scheduled: Moment) {
        let start = self.clock.now();
        let outcome = match probe {
            Probe::NewConnection => self.bounded(self.clients.new_connection()).await,
            Probe::ReusedConnection => self.bounded(self.clients.reused_connection()).await,
            Probe::Read => self.bounded(self.clients.read()).await,
            Probe::Write | Probe::Watch => self.write(turn, start).await,
        };
        let sample = Sample {
            probe,
            scheduled,
            start,
            end: self.clock.now(),
            outcome,
        };
        let count = if sample.bad() {
            &self.counts.bad
        } else {
            &self.counts.good
        };
        count.fetch_add(1, Ordering::Relaxed);
        self.samples.borrow_mut().push(sample);
    }

    async fn write(&self, turn: u32, start: Moment) -> Outcome {
        let name = format!("w-{turn:06}");
        let content = format!("{} {turn}", self.clients.run);
        let write = self.clients.write(&name, &content);
        let (outcome, version) = tokio::time::timeout(self.load.timeout(), write)
            .await
            .unwrap_or((Outcome::Timeout, None));
        if outcome == Outcome::Good {
            self.clients.acknowledged(&name);
        }
        self.writes.borrow_mut().push(Write {
            name,
            content,
            start,
            end: self.clock.now(),
            fate: fate(outcome, version),
        });
        outcome
    }

    async fn bounded(&self, request: impl Future<Output = Outcome>) -> Outcome {
        let bounded = tokio::time::timeout(self.load.timeout(), request).await;
        bounded.unwrap_or(Outcome::Timeout)
    }
}

/// Waits until every watch has delivered every acknowledged write, or long enough.
async fn drain<T>(shared: &Shared, watches: &[(Rc<Watcher>, T)]) {
    let complete = async {
        let names: Vec<String> = {
            let writes = shared.writes.borrow();
            let acknowledged = writes
                .iter()
                .filter(|write| matches!(write.fate, crate::history::Fate::Acknowledged(_)));
            acknowledged.map(|write| write.name.clone()).collect()
        };
        for (watcher, _) in watches {
            for name in names.iter().rev() {
                while !watcher.has(name) {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    };
    let _ = tokio::time::timeout(DRAIN, complete).await;
}

/// Lets the calling thread run before everything else: measuring must not wait for what is measured, on the same few
/// cores; it takes some percent of one. The lowest real-time priority does it; a nice value would not, where every
/// session is a scheduling group of its own (`CONFIG_SCHED_AUTOGROUP`). Without the right to do so, or without `chrt`
/// (util-linux), the run is as good, only its samples may start later; that is recorded.
fn go_first() {
    let thread = rustix::thread::gettid().as_raw_nonzero().to_string();
    let _ = Command::new("chrt")
        .args(["--rr", "--pid", "1", &thread])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

/// Returns the processor time of the calling thread.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}
