//! The tasks that look.

use std::future::Future;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node as ApiNode;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::task::JoinSet;

use super::balancer::Journal;
use super::recorder::{Known, Recorder};
use crate::node::Node;
use crate::provider::{DomainChange, DomainState};
use crate::verify::api::Api;
use crate::verify::etcd::Etcd;
use crate::verify::observation::{Occurrence, PodState};
use crate::verify::workload;

/// Between two looks at etcd, nodes, leases and pods. Twice a second costs the cluster little and is finer than what
/// is looked at: elections take a second, leases 15 s.
const PAUSE: Duration = Duration::from_millis(500);

/// The leases that say who acts.
const LEASES: [&str; 2] = ["kube-scheduler", "kube-controller-manager"];

/// Tasks that look until they are dropped.
pub(in crate::verify) struct Observers {
    _tasks: JoinSet<()>,
}

/// What is looked at.
pub(in crate::verify) struct Watched {
    pub(in crate::verify) domains: Receiver<DomainChange>,
    pub(in crate::verify) balancers: Vec<Node>,
    pub(in crate::verify) etcd: Etcd,
    pub(in crate::verify) api: Api,
    /// The namespace whose pods count, if any do.
    pub(in crate::verify) pods: Option<String>,
}

impl Observers {
    /// Begins to look.
    pub(in crate::verify) async fn start(watched: Watched, recorder: &Recorder) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn(domains(watched.domains, recorder.clone()));
        for node in watched.balancers {
            let journal = Journal::open(node, recorder.clone()).await;
            tasks.spawn(journal.run());
        }
        let api = watched.api;
        tasks.spawn(watch(Members::new(watched.etcd), recorder.clone()));
        tasks.spawn(watch(Nodes(api.clone(), Known::new()), recorder.clone()));
        tasks.spawn(watch(Leases(api.clone(), Known::new()), recorder.clone()));
        if let Some(namespace) = watched.pods {
            let pods = Pods {
                api,
                namespace,
                known: Known::new(),
            };
            tasks.spawn(watch(pods, recorder.clone()));
        }
        Self { _tasks: tasks }
    }
}

async fn domains(mut changes: Receiver<DomainChange>, recorder: Recorder) {
    loop {
        match changes.recv().await {
            Ok(change) => recorder.note(
                recorder.clock.at(change.at),
                Duration::ZERO,
                Occurrence::Domain {
                    node: change.node.to_string(),
                    change: change.change.to_owned(),
                    running: change.state == DomainState::Running,
                },
            ),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// Something that can be looked at again and again.
trait Look: Send {
    /// Returns what changed since the last look; none if nothing could be seen.
    fn look(&mut self) -> impl Future<Output = Option<Vec<Occurrence>>> + Send;
}

/// Looks twice a second. What changed happened after the last look that saw something.
async fn watch(mut subject: impl Look, recorder: Recorder) {
    let mut ticks = tokio::time::interval(PAUSE);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut last = recorder.clock.now();
    loop {
        ticks.tick().await;
        let asked = recorder.clock.now();
        if let Some(news) = subject.look().await {
            let at = recorder.clock.now();
            for what in news {
                recorder.note(at, at.since(last), what);
            }
            last = asked;
        }
    }
}

struct Members {
    etcd: Etcd,
    answering: Known<bool>,
    leader: Known<(Option<String>, u64)>,
}

impl Members {
    fn new(etcd: Etcd) -> Self {
        Self {
            etcd,
            answering: Known::new(),
            leader: Known::new(),
        }
    }
}

impl Look for Members {
    async fn look(&mut self) -> Option<Vec<Occurrence>> {
        let view = self.etcd.view().await;
        let mut news = Vec::new();
        for (node, status) in &view.members {
            let answers = status.is_some();
            if self.answering.news(node.as_str(), &answers) {
                let node = node.to_string();
                news.push(Occurrence::Member { node, answers });
            }
        }
        let (node, term) = (view.leader().map(ToString::to_string), view.term());
        // With no answer at all there is nothing to say about a leader.
        if term > 0 && self.leader.news("", &(node.clone(), term)) {
            news.push(Occurrence::Leader { node, term });
        }
        Some(news)
    }
}

struct Nodes(Api, Known<String>);

impl Look for Nodes {
    async fn look(&mut self) -> Option<Vec<Occurrence>> {
        let mut news = Vec::new();
        for node in self.0.nodes().await.ok()? {
            let ready = ready(&node).to_owned();
            let node = node.metadata.name.unwrap_or_default();
            if self.1.news(&node, &ready) {
                news.push(Occurrence::Node { node, ready });
            }
        }
        Some(news)
    }
}

/// Returns the status of a node's condition `Ready`.
pub(in crate::verify) fn ready(node: &ApiNode) -> &str {
    let conditions = node.status.as_ref().and_then(|s| s.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    let ready = conditions.find(|condition| condition.type_ == "Ready");
    ready.map_or("Unknown", |condition| &condition.status)
}

struct Leases(Api, Known<String>);

impl Look for Leases {
    async fn look(&mut self) -> Option<Vec<Occurrence>> {
        let mut held = self.0.leases().await.ok()?;
        let mut news = Vec::new();
        for lease in LEASES {
            let Some(holder) = held.remove(lease) else {
                continue;
            };
            // `m2_8f6c…`: the node and a number of the process.
            let holder = holder.split('_').next().unwrap_or_default().to_owned();
            if self.1.news(lease, &holder) {
                let lease = lease.to_owned();
                news.push(Occurrence::Lease { lease, holder });
            }
        }
        Some(news)
    }
}

struct Pods {
    api: Api,
    namespace: String,
    known: Known<(String, PodState)>,
}

impl Look for Pods {
    async fn look(&mut self) -> Option<Vec<Occurrence>> {
        let pods = self.api.pods(&self.namespace).await.ok()?;
        let mut news = Vec::new();
        let mut present = Vec::new();
        for pod in &pods {
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            let (node, state) = (workload::node(pod).to_owned(), workload::state(pod));
            present.push(name);
            if self.known.news(name, &(node.clone(), state)) {
                let pod = name.to_owned();
                news.push(Occurrence::Pod { pod, node, state });
            }
        }
        let gone = self.known.gone(&present).into_iter();
        news.extend(gone.map(|(pod, (node, _))| Occurrence::Pod {
            pod,
            node,
            state: PodState::Gone,
        }));
        Some(news)
    }
}
