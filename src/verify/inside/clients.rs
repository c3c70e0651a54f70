//! The pods that ask: made before the load, read over SSH after it. What is tested is not what tells.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use futures::future::join_all;
use ipnet::Ipv4Net;
use serde_json::{Value, json};

use super::{Dependency, Question, questions};
use crate::name::NodeName;
use crate::node::{Node, NodeError};
use crate::plan::{NodeRole, Plan};
use crate::site::Site;
use crate::spec::Driver;
use crate::verify::api::{Api, ApiError};
use crate::verify::clock::Clock;

/// The image of the clients, which every node has (`images/go/probe`).
const IMAGE: &str = "regent.internal/probe:1";

/// The label of the clients.
const LABEL: &str = "regent-inside";

/// What the cluster's DNS is asked for.
const NAME: &str = "kubernetes.default.svc.cluster.local";

/// Between two questions of a kind: a thirtieth of the strictest budget.
pub(in crate::verify) const EVERY: Duration = Duration::from_millis(100);

/// A question that hangs longer than any budget says nothing more.
const GIVEN_UP: Duration = Duration::from_secs(5);

/// Pods that do nothing start in 2 to 4 s, and a Service's rules follow within 2 s; a busy machine may take ten times as
/// long.
const PATIENCE: Duration = Duration::from_secs(60);

/// So many good answers in a row show that a client has begun.
const SETTLED: usize = 5;

/// Why there are no clients inside.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(in crate::verify) enum ClientsError {
    /// The API refused.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// A client did not get good answers.
    #[error("the client in the cluster on {node} got no good answers within {} s: {last}", PATIENCE.as_secs())]
    NotGood {
        /// Its node.
        node: NodeName,
        /// What was missing at the last look.
        last: String,
    },
    /// What a client has seen could not be read.
    #[error("what the client in the cluster on {node} saw cannot be read")]
    Unread {
        /// Its node.
        node: NodeName,
        /// Why.
        source: NodeError,
    },
}

/// One client on every node that runs pods.
pub(in crate::verify) struct Clients<'a> {
    site: &'a Site,
    namespace: &'a str,
}

impl<'a> Clients<'a> {
    /// The clients of a run.
    pub(in crate::verify) fn of(site: &'a Site, namespace: &'a str) -> Self {
        Self { site, namespace }
    }

    /// The nodes that have one.
    pub(in crate::verify) fn nodes(&self) -> impl Iterator<Item = &'a NodeName> {
        let planned = self.site.plan.nodes.iter();
        planned
            .filter(|node| node.role != NodeRole::LoadBalancer)
            .map(|node| &node.name)
    }

    /// Makes them, and waits until each gets good answers to everything.
    pub(in crate::verify) async fn start(&self, api: &Api) -> Result<(), ClientsError> {
        let service = api.make_service(self.namespace, service()).await?;
        for node in self.nodes() {
            let pod = pod(node, &self.site.plan, service);
            api.make_pod(self.namespace, pod, PATIENCE).await?;
        }
        let begun = join_all(self.nodes().map(|node| self.begun(node))).await;
        begun.into_iter().collect()
    }

    async fn begun(&self, node: &NodeName) -> Result<(), ClientsError> {
        let mut last = "nothing seen yet".to_owned();
        let good = async {
            while let Err(missing) = self.answered(node).await {
                last = missing;
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, good).await;
        waited.map_err(|_| ClientsError::NotGood {
            node: node.clone(),
            last,
        })
    }

    /// Whether a client's last answers are good; what is missing otherwise.
    async fn answered(&self, node: &NodeName) -> Result<(), String> {
        let log = self.log(node, "tail -n 60").await;
        let log = log.map_err(|error| error.to_string())?;
        let asked = questions(&log, node, &Clock::start(), 0);
        for of in Dependency::ALL {
            let mut last = asked.iter().rev().filter(|asked| asked.of == of);
            let good = last.by_ref().take(SETTLED).filter(|asked| asked.good());
            if good.count() < SETTLED {
                let how = asked.iter().rev().find(|asked| asked.of == of);
                let how = how.map_or("no answer", |asked| asked.outcome.as_str());
                return Err(format!("{of}: {how}"));
            }
        }
        Ok(())
    }

    /// Reads what the clients saw, but for those on the nodes of `hit`; what could not be read is told beside it.
    pub(in crate::verify) async fn read(
        &self,
        hit: &BTreeSet<NodeName>,
        clock: &Clock,
    ) -> (Vec<Question>, Vec<ClientsError>) {
        let others = self.nodes().filter(|node| !hit.contains(*node));
        let read = join_all(others.map(|node| async move {
            let ahead = self.ahead(node).await?;
            let log = self.log(node, "cat").await?;
            Ok((node, questions(&log, node, clock, ahead)))
        }));
        let (mut asked, mut unread) = (Vec::new(), Vec::new());
        for (node, read) in self
            .nodes()
            .filter(|node| !hit.contains(*node))
            .zip(read.await)
        {
            match read {
                Ok((_, questions)) => asked.extend(questions),
                Err(source) => unread.push(ClientsError::Unread {
                    node: node.clone(),
                    source,
                }),
            }
        }
        (asked, unread)
    }

    async fn log(&self, node: &NodeName, how: &str) -> Result<String, NodeError> {
        let Some(session) = self.site.node(node) else {
            return Ok(String::new());
        };
        let pod = pod_name(node);
        let script = format!(
            "set -- /var/log/pods/{}_{pod}_*/*/*.log\n[ ! -e \"$1\" ] || {how} \"$@\"\n",
            self.namespace
        );
        session.script(script).deadline(PATIENCE).run().await
    }

    /// How far a node's clock is ahead of this machine's, in microseconds. A container's is the same one.
    async fn ahead(&self, node: &NodeName) -> Result<i64, NodeError> {
        let session: Option<&Node> = self.site.node(node);
        let Some(session) = session.filter(|_| self.site.plan.driver == Driver::Qemu) else {
            return Ok(0);
        };
        let before = jiff::Timestamp::now().as_microsecond();
        let said = session.script("date +%s%N").run().await?;
        let after = jiff::Timestamp::now().as_microsecond();
        let there = said.trim().parse::<i64>().unwrap_or_default() / 1000;
        Ok(there - (before + after) / 2)
    }
}

/// An address of the cluster's Services, counted from the first of their range: kubeadm gives the first to the API and the
/// tenth to DNS.
fn service_address(range: Ipv4Net, number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(range.network().to_bits().saturating_add(number))
}

fn pod_name(node: &NodeName) -> String {
    format!("inside-{node}")
}

fn service() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": LABEL},
        "spec": {"selector": {"app": LABEL}, "ports": [{"port": 80, "targetPort": 8080}]},
    })
}

fn pod(node: &NodeName, plan: &Plan, service: Ipv4Addr) -> Value {
    let range = plan.network.service_subnet;
    let arguments = [
        format!("-dns={}:53", service_address(range, 10)),
        format!("-name={NAME}"),
        format!("-api={}:443", service_address(range, 1)),
        format!("-service={service}:80"),
        format!("-every={}ms", EVERY.as_millis()),
        format!("-patience={}ms", GIVEN_UP.as_millis()),
    ];
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": pod_name(node), "labels": {"app": LABEL}},
        "spec": {
            "nodeName": node,
            "terminationGracePeriodSeconds": 0,
            // It stays where it is, whatever becomes of its node.
            "tolerations": [{"operator": "Exists"}],
            "containers": [{
                "name": "probe",
                "image": IMAGE,
                "imagePullPolicy": "Never",
                "args": arguments,
            }],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derive::{self, Beside};
    use crate::spec::ClusterSpec;

    #[test]
    fn a_client_asks_what_its_cluster_has() {
        let plan = derive::plan(
            &ClusterSpec::new("demo".parse().unwrap()),
            Driver::Lxc,
            Beside::default(),
        );
        let pod = pod(&"w1".parse().unwrap(), &plan, Ipv4Addr::new(10, 96, 7, 7));
        let arguments = &pod["spec"]["containers"][0]["args"];
        assert_eq!(arguments[0], "-dns=10.96.0.10:53");
        assert_eq!(arguments[2], "-api=10.96.0.1:443");
        assert_eq!(arguments[3], "-service=10.96.7.7:80");
        assert_eq!(pod["spec"]["nodeName"], "w1");
    }
}
