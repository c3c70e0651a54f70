//! The long scenarios, `just soak`: what one failover does not show.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use futures::FutureExt;
use regent::verify::{self, Target};

use crate::cluster::{Cluster, Seen};
use crate::failpoints;
use crate::leader_lost;
use crate::operations;
use crate::runner::{Run, Scenario};

/// Every long scenario.
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "each_failpoint_from_nothing",
        run: Run::Alone(failpoints::each_failpoint_from_nothing),
    },
    Scenario {
        name: "operations_killed_at_every_point",
        run: Run::Alone(operations::operations_killed_at_every_point),
    },
    Scenario {
        name: "the_leader_is_lost_amid_operations",
        run: Run::Alone(leader_lost::the_leader_is_lost_amid_operations),
    },
    Scenario {
        name: "no_false_alarm_under_full_load",
        run: Run::Shared(|cluster| no_false_alarm_under_full_load(cluster).boxed_local()),
    },
    Scenario {
        name: "ten_leaders_lost_in_a_row",
        run: Run::Shared(|cluster| ten_leaders_lost_in_a_row(cluster).boxed_local()),
    },
];

/// How often the leader is lost.
const LOSSES: usize = 10;

/// How long the processors are kept busy.
const BUSY: Duration = Duration::from_secs(600);

/// Spinning threads for each processor: as many again as the machine can run beside the cluster's own work.
const SPINNERS: usize = 2;

/// What holds once must hold each time: the leader's power is cut again and again, and every cut is within budget.
async fn ten_leaders_lost_in_a_row(cluster: &Cluster) -> Seen {
    for loss in 1..=LOSSES {
        let seen = cluster
            .survives(verify::Scenario::power_cut(Target::EtcdLeader))
            .await
            .map_err(|error| format!("loss {loss} of {LOSSES}: {error}"))?;
        println!("        {loss} of {LOSSES}: {seen}");
    }
    Ok(format!("{LOSSES} of {LOSSES}"))
}

/// A machine with more to do than it can is slow, not dead: the load balancer must not take a server out.
async fn no_false_alarm_under_full_load(cluster: &Cluster) -> Seen {
    let began = Instant::now();
    let spinners = Spinners::start();
    // The load is the subject, so there is nothing to wait for but its time.
    tokio::time::sleep(BUSY).await;
    drop(spinners);
    let log = cluster.balancer_log(began.elapsed()).await?;
    let alarms: Vec<_> = log.lines().filter(|line| line.contains(" DOWN")).collect();
    let failures = log.matches("failed, reason").count();
    match alarms.first() {
        None => Ok(format!(
            "no server was taken out in {} s; {failures} single checks failed",
            BUSY.as_secs()
        )),
        Some(first) => Err(format!("{} false alarms, the first: {first}", alarms.len()).into()),
    }
}

/// Threads that keep every processor busy until this is dropped.
struct Spinners {
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Spinners {
    fn start() -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let stop = Arc::new(AtomicBool::new(false));
        let spin = |_| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })
        };
        let threads = (0..processors * SPINNERS).map(spin).collect();
        Self { stop, threads }
    }
}

impl Drop for Spinners {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A thread that only spins does not panic.
            let _ = thread.join();
        }
    }
}
