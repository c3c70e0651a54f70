//! What clients do, outside and inside, and who watches.

use std::net::SocketAddr;
use std::time::Duration;

use regent_load::{Order, Probes, ProbesError, Server};

use super::{Run, StageError};
use crate::event::chain;
use crate::plan::NodeRole;
use crate::provider::ProviderError;
use crate::recipe;
use crate::verify::api::ANCHOR;
use crate::verify::evidence::Workload;
use crate::verify::inside::{Clients, Question};
use crate::verify::observation::{Occurrence, ServerState};
use crate::verify::observe::Watched;
use crate::verify::scenario::{Fault, Target};
use crate::verify::workload;

/// What may come on top of the scenario's own times before the load ends by itself: proofs and a node's return.
const SLACK: Duration = Duration::from_secs(300);

impl Run<'_> {
    /// Makes what the load needs; returns the resource version from which its watch begins.
    pub(super) async fn stage(&mut self) -> Result<u64, StageError> {
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
    pub(super) async fn inside(&mut self) -> Vec<Question> {
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

    pub(super) async fn watched(&self) -> Result<Watched, ProviderError> {
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
    pub(super) async fn note_servers(&self) {
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

    pub(super) async fn load(&self, from: u64) -> Result<Probes, ProbesError> {
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
}
