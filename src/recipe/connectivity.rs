//! Proof that every node reaches every other on every port the recipe needs, before kubeadm begins: afterwards a
//! missing connection shows only as a timeout somewhere else.

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;
use std::time::Duration;

use futures::future::try_join_all;

use crate::name::NodeName;
use crate::plan::{NodePlan, NodeRole, Plan};
use crate::recipe::RecipeError;
use crate::recipe::lookup::session;
use crate::site::Site;

/// A connection that the recipe needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// Who connects.
    pub from: NodeName,
    /// Who listens.
    pub to: NodeName,
    /// On which TCP port.
    pub port: u16,
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {} port {}", self.from, self.to, self.port)
    }
}

/// The API server; also the load balancer's frontend.
const API: u16 = 6443;
/// etcd's clients and peers: kubeadm on a joining node speaks to every member, members speak to each other.
const ETCD: [u16; 2] = [2379, 2380];
/// kubelet: logs, exec, metrics, asked by the API servers.
const KUBELET: u16 = 10250;

/// Returns every link that the recipe needs, from the ports listed in Kubernetes' "Ports and Protocols" reference.
pub(super) fn links(plan: &Plan) -> Vec<Link> {
    let mut links = Vec::new();
    for from in &plan.nodes {
        for to in plan.nodes.iter().filter(|to| to.name != from.name) {
            links.extend(ports(from, to).map(|port| Link {
                from: from.name.clone(),
                to: to.name.clone(),
                port,
            }));
        }
    }
    links
}

fn ports(from: &NodePlan, to: &NodePlan) -> impl Iterator<Item = u16> {
    use NodeRole::{ControlPlane, LoadBalancer, Worker};
    let api = matches!(
        (from.role, to.role),
        (_, ControlPlane) | (ControlPlane | Worker, LoadBalancer)
    );
    let etcd = matches!((from.role, to.role), (ControlPlane, ControlPlane));
    let kubelet = matches!((from.role, to.role), (ControlPlane, ControlPlane | Worker));
    let ports = [
        (api, API),
        (etcd, ETCD[0]),
        (etcd, ETCD[1]),
        (kubelet, KUBELET),
    ];
    ports
        .into_iter()
        .filter_map(|(needed, port)| needed.then_some(port))
}

/// A connection on the same network takes milliseconds; one repeated SYN (1 s) is forgiven.
const CONNECT_SECONDS: u32 = 2;

/// Listeners end by themselves, in case nobody ends them: long enough for every node to have tried every link.
const LISTEN_SECONDS: u32 = 30;

/// Listens on every port that nothing serves yet, lets every node try every link, and names those that fail.
pub(super) async fn prove(site: &Site) -> Result<(), RecipeError> {
    let links = links(&site.plan);
    let mut served: BTreeMap<&NodeName, Vec<u16>> = BTreeMap::new();
    let mut tried: BTreeMap<&NodeName, Vec<&Link>> = BTreeMap::new();
    for link in &links {
        let ports = served.entry(&link.to).or_default();
        if !ports.contains(&link.port) {
            ports.push(link.port);
        }
        tried.entry(&link.from).or_default().push(link);
    }
    try_join_all(
        served
            .iter()
            .map(|(node, ports)| run(site, node, listen(ports))),
    )
    .await?;
    let failed = try_join_all(tried.iter().map(|(node, links)| async {
        let output = run(site, node, connect(&site.plan, links)).await?;
        Ok::<_, RecipeError>(failures(links, &output))
    }))
    .await;
    try_join_all(
        served
            .keys()
            .map(|node| run(site, node, unlisten(&format!("{}-*", prefix())))),
    )
    .await?;
    let failed: Vec<Link> = failed?.into_iter().flatten().collect();
    if failed.is_empty() {
        Ok(())
    } else {
        Err(RecipeError::Connectivity(failed))
    }
}

async fn run(site: &Site, node: &NodeName, script: String) -> Result<String, RecipeError> {
    let deadline = Duration::from_secs(u64::from(LISTEN_SECONDS));
    Ok(session(site, node)?
        .script(script)
        .deadline(deadline)
        .run()
        .await?)
}

/// What this process's listeners are called: what a killed one has left, or is still doing on a node, is not in the way.
fn prefix() -> String {
    format!("regent-listen-{}", std::process::id())
}

/// A transient unit for each listener: it has a name to be stopped by, and an end of its own. Those of a run that was
/// killed would end at any moment.
fn listen(ports: &[u16]) -> String {
    let mut script = unlisten("regent-listen-*");
    let prefix = prefix();
    for port in ports {
        let _ = writeln!(
            script,
            "ss -Hltn 'sport = :{port}' | grep -q . || systemd-run --quiet --collect \
             --unit={prefix}-{port} -p RuntimeMaxSec={LISTEN_SECONDS} \
             socat -u TCP-LISTEN:{port},fork,reuseaddr OPEN:/dev/null"
        );
        let _ = writeln!(
            script,
            "n=0; until ss -Hltn 'sport = :{port}' | grep -q .; do n=$((n+1)); [ $n -lt 100 ]; sleep 0.05; done"
        );
    }
    script
}

fn unlisten(units: &str) -> String {
    format!("systemctl stop '{units}.service' 2>/dev/null || true\n")
}

/// Tries all links at once and prints `TO PORT` for each that fails.
fn connect(plan: &Plan, links: &[&Link]) -> String {
    let mut script = String::new();
    for link in links {
        if let Some(to) = plan.node(&link.to) {
            let (address, port) = (to.address, link.port);
            let _ = writeln!(
                script,
                "(socat -u OPEN:/dev/null TCP:{address}:{port},connect-timeout={CONNECT_SECONDS} 2>/dev/null || echo {} {port}) &",
                link.to
            );
        }
    }
    script.push_str("wait\n");
    script
}

fn failures(links: &[&Link], output: &str) -> Vec<Link> {
    let failed: Vec<&str> = output.lines().collect();
    links
        .iter()
        .filter(|link| failed.contains(&&*format!("{} {}", link.to, link.port)))
        .map(|&link| link.clone())
        .collect()
}
