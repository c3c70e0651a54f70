//! etcd alone on virtual machines: whatever happens to the leader's machine, what was acknowledged is on every member.
//!
//! Only safety is asserted, and recovery within a generous bound: an emulated machine is ten times slower than a real
//! one or worse.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use regent::image::NodeImage;
use regent::plan::NodePlan;
use regent::provider::Fault;

use crate::cluster::Seen;
use crate::lab::{Result, Running, State, holder, planned_machines};

/// An emulated member needs seconds for an election that takes a real one a moment; so do its peers.
const TIMERS: &str = "--heartbeat-interval 500 --election-timeout 5000";

/// Longer than two elections with these timers.
const BACK: Duration = Duration::from_secs(90);

/// A boot beside two busy machines, and catching up.
const CAUGHT_UP: Duration = Duration::from_secs(240);

/// Between two writes, and between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// Three members, a writer that never stops, and the leader's machine loses power, is killed, is unplugged, stands still.
pub fn etcd_keeps_its_word(image: &NodeImage) -> Seen {
    let (state, plan) = (State::new()?, planned_machines("iota", 3)?);
    let members: Vec<_> = plan.control_plane().collect();
    let running = Running::start(state.path(), &plan, image)?;
    for member in &members {
        running.switch_on(member)?;
    }
    for member in &members {
        running.answers(member)?;
        assert_eq!(
            running.run(member, "hostname")?,
            format!("{}\n", member.name)
        );
        begin(&running, member, &members)?;
    }
    let etcd = Etcd {
        program: program(image)?,
        holder: holder(&state.lab(&plan))?,
        members: members.iter().map(|node| endpoint(node)).collect(),
    };
    let writer = Writer::start(&etcd);
    writer.more(5, CAUGHT_UP)?;

    let mut seen = Vec::new();
    for fault in [Fault::PowerCut, Fault::Kill, Fault::LinkDown, Fault::Pause] {
        let leader = etcd.leader(&members)?;
        running.inject(leader, fault)?;
        let silent = writer.more(5, BACK)?;
        running.heal(leader)?;
        etcd.agree(&writer)?;
        seen.push(format!("{} {} {silent:.1?}", fault.verb(), leader.name));
    }
    let (acknowledged, unknown) = writer.stop();
    drop(running);
    state.down(&plan)?;
    state.nothing_is_left()?;
    Ok(format!(
        "{acknowledged} acknowledged, all on every member, {unknown} unknown; five more after: {}",
        seen.join(", ")
    ))
}

/// Starts a member, which starts with its machine from now on.
fn begin(running: &Running, node: &NodePlan, members: &[&NodePlan]) -> Result {
    let peer = |node: &NodePlan| format!("http://{}:2380", node.address);
    let cluster: Vec<_> = members
        .iter()
        .map(|node| format!("{}={}", node.name, peer(node)))
        .collect();
    let (name, client, peer) = (&node.name, endpoint(node), peer(node));
    // Synced: the machine will lose power.
    running.run(
        node,
        &format!(
            "mkdir -p /run/image && cd /run\n\
             ctr -n k8s.io images mount $(ctr -n k8s.io images ls -q | grep '/etcd:' | head -n 1) /run/image >/dev/null\n\
             install $(find /run/image -name etcd -type f | head -n 1) /usr/local/bin/etcd\n\
             umount /run/image\n\
             cat >/etc/systemd/system/etcd.service <<'end'\n\
             [Unit]\n\
             StartLimitIntervalSec=0\n\
             [Service]\n\
             ExecStart=/usr/local/bin/etcd --name {name} --data-dir /var/lib/etcd/data {TIMERS} \
             --listen-client-urls {client} --advertise-client-urls {client} \
             --listen-peer-urls {peer} --initial-advertise-peer-urls {peer} --initial-cluster {}\n\
             Restart=always\n\
             RestartSec=1\n\
             [Install]\n\
             WantedBy=multi-user.target\n\
             end\n\
             systemctl disable --now containerd 2>/dev/null\n\
             systemctl enable --now --no-block etcd 2>/dev/null\n\
             sync\n",
            cluster.join(",")
        ),
    )?;
    Ok(())
}

fn endpoint(node: &NodePlan) -> String {
    format!("http://{}:2379", node.address)
}

/// The `etcdctl` of the store: it runs here, at the speed of this machine.
fn program(image: &NodeImage) -> Result<Utf8PathBuf> {
    let found = image
        .parts
        .iter()
        .find(|(name, _)| name.starts_with("etcdctl-"));
    Ok(found.ok_or("no etcdctl in the store")?.1.clone())
}

/// The members, by their clients' addresses.
#[derive(Debug, Clone)]
struct Etcd {
    program: Utf8PathBuf,
    holder: u64,
    members: Vec<String>,
}

impl Etcd {
    /// Runs etcdctl in the lab's network against some members; what it printed, and whether it ended well.
    fn control(&self, members: &[String], args: &[&str]) -> Result<(String, bool)> {
        let output = Command::new("nsenter")
            .arg(format!("--net=/proc/{}/ns/net", self.holder))
            .arg(self.program.as_str())
            .arg(format!("--endpoints={}", members.join(",")))
            .args(["--dial-timeout=2s", "--command-timeout=4s"])
            .args(args)
            .stdin(Stdio::null())
            .output()?;
        Ok((
            String::from_utf8_lossy(&output.stdout).into_owned(),
            output.status.success(),
        ))
    }

    /// The node whose member leads, by what the members themselves say.
    fn leader<'a>(&self, nodes: &[&'a NodePlan]) -> Result<&'a NodePlan> {
        let begun = Instant::now();
        loop {
            let (said, _) = self.control(&self.members, &["endpoint", "status", "-w", "json"])?;
            let all: Vec<serde_json::Value> = serde_json::from_str(&said).unwrap_or_default();
            let leads = all.iter().find(|member| {
                let status = &member["Status"];
                status["leader"] != 0 && status["leader"] == status["header"]["member_id"]
            });
            let node = leads.and_then(|member| {
                let mut nodes = nodes.iter().copied();
                nodes.find(|node| member["Endpoint"] == endpoint(node).as_str())
            });
            match node {
                Some(node) => return Ok(node),
                None if begun.elapsed() > BACK => return Err(format!("no leader: {said}").into()),
                None => thread::sleep(PAUSE),
            }
        }
    }

    /// Waits until every member shows, from its own store, all that was acknowledged until now.
    fn agree(&self, writer: &Writer) -> Result {
        let acknowledged = writer.acknowledged();
        for member in &self.members {
            let begun = Instant::now();
            loop {
                let all = ["get", "w-", "--prefix", "--keys-only", "--consistency=s"];
                let (said, _) = self.control(std::slice::from_ref(member), &all)?;
                let stored: BTreeSet<_> = said.lines().collect();
                let missing = acknowledged
                    .iter()
                    .filter(|key| !stored.contains(key.as_str()))
                    .count();
                if missing == 0 {
                    break;
                }
                if begun.elapsed() > CAUGHT_UP {
                    return Err(format!("{member} lacks {missing} acknowledged writes").into());
                }
                thread::sleep(PAUSE);
            }
        }
        Ok(())
    }
}

/// Writes one key after the other until it is stopped.
struct Writer {
    ledger: Arc<Ledger>,
    thread: JoinHandle<()>,
}

/// What became of the writes. A write that was not acknowledged may have been stored or not.
#[derive(Default)]
struct Ledger {
    stop: AtomicBool,
    acknowledged: Mutex<Vec<String>>,
    unknown: Mutex<usize>,
}

impl Writer {
    fn start(etcd: &Etcd) -> Self {
        let ledger = Arc::new(Ledger::default());
        let (etcd, shared) = (etcd.clone(), Arc::clone(&ledger));
        let write = move || {
            for number in 0.. {
                if shared.stop.load(Ordering::Relaxed) {
                    return;
                }
                let key = format!("w-{number:06}");
                match etcd.control(&etcd.members, &["put", &key, "written"]) {
                    Ok((said, true)) if said.trim() == "OK" => lock(&shared.acknowledged).push(key),
                    _ => *lock(&shared.unknown) += 1,
                }
                thread::sleep(PAUSE);
            }
        };
        Self {
            ledger,
            thread: thread::spawn(write),
        }
    }

    fn acknowledged(&self) -> Vec<String> {
        lock(&self.ledger.acknowledged).clone()
    }

    /// Waits until so many more are acknowledged; how long that took.
    fn more(&self, count: usize, deadline: Duration) -> Result<Duration> {
        let (begun, before) = (Instant::now(), self.acknowledged().len());
        while self.acknowledged().len() < before + count {
            if begun.elapsed() > deadline {
                let now = self.acknowledged().len() - before;
                return Err(format!("only {now} writes in {deadline:?}").into());
            }
            thread::sleep(PAUSE);
        }
        Ok(begun.elapsed())
    }

    /// Ends it; how many were acknowledged, and of how many nobody knows.
    fn stop(self) -> (usize, usize) {
        self.ledger.stop.store(true, Ordering::Relaxed);
        // A writer that panicked has stopped as well, and what it noted counts.
        let _ = self.thread.join();
        (
            lock(&self.ledger.acknowledged).len(),
            *lock(&self.ledger.unknown),
        )
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
