//! The named checks that say whether a cluster is as it should be; `up`, `status` and `verify` share them. They
//! work while parts are down: that is when they are asked.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use crate::hypervisor::DomainState;
use crate::kubernetes::{Kubernetes, not_ready};
use crate::name::NodeName;
use crate::plan::NodeRole;
use crate::recipe::lookup::session;
use crate::recipe::{RecipeError, control_plane, etcd};
use crate::site::Site;

/// One check's outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What was checked: `domains`, `load balancer`, `etcd`, `API`, `nodes`, `DNS`.
    pub name: &'static str,
    /// What is missing, in one line; empty when the check holds.
    pub missing: Option<String>,
}

impl Check {
    /// Whether the check holds.
    pub fn ok(&self) -> bool {
        self.missing.is_none()
    }
}

/// Runs every check, all at the same time, in the order in which they depend on each other.
pub async fn check(site: &Site, kubernetes: &Kubernetes) -> Vec<Check> {
    let (domains, balancer, members, ready, nodes, dns) = futures::join!(
        domains(site),
        balancer(site),
        members(site),
        ready(kubernetes),
        nodes(site, kubernetes),
        dns(kubernetes),
    );
    let named = [
        ("domains", domains),
        ("load balancer", balancer),
        ("etcd", members),
        ("API", ready),
        ("nodes", nodes),
        ("DNS", dns),
    ];
    named
        .into_iter()
        .map(|(name, missing)| Check { name, missing })
        .collect()
}

/// Returns nothing when the list is empty, else `WHAT: a, b`.
fn some<T: ToString>(what: &str, names: impl IntoIterator<Item = T>) -> Option<String> {
    let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    if names.is_empty() {
        None
    } else {
        Some(format!("{what}: {}", names.join(", ")))
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

async fn domains(site: &Site) -> Option<String> {
    match site.hypervisor.nodes().await {
        Err(error) => Some(chain(&error)),
        Ok(found) => {
            let running: BTreeSet<_> = found
                .iter()
                .filter(|(_, state)| *state == DomainState::Running)
                .map(|(name, _)| name)
                .collect();
            some(
                "not running",
                site.plan
                    .nodes
                    .iter()
                    .map(|node| &node.name)
                    .filter(|name| !running.contains(name)),
            )
        }
    }
}

async fn balancer(site: &Site) -> Option<String> {
    let mut missing = Vec::new();
    for node in site.plan.load_balancers() {
        match servers_up(site, &node.name).await {
            Err(error) => missing.push(chain(&error)),
            Ok(up) => {
                let down = site
                    .plan
                    .control_plane()
                    .map(|node| &node.name)
                    .filter(|name| !up.contains(name));
                missing.extend(some("server not up", down));
            }
        }
    }
    if missing.is_empty() {
        None
    } else {
        Some(missing.join("; "))
    }
}

/// haproxy answers on its socket in milliseconds.
const HAPROXY: Duration = Duration::from_secs(10);

/// Returns the servers whose health checks hold, as the load balancer on `node` sees them.
pub async fn servers_up(site: &Site, node: &NodeName) -> Result<BTreeSet<NodeName>, RecipeError> {
    let script = "echo 'show stat -1 4 -1' | socat -t5 - UNIX-CONNECT:/run/haproxy/admin.sock";
    let text = session(site, node)?
        .script(script)
        .deadline(HAPROXY)
        .run()
        .await?;
    Ok(servers(&text))
}

/// Reads haproxy's statistics (CSV with a header line): servers with the status `UP` of a health check.
fn servers(csv: &str) -> BTreeSet<NodeName> {
    let mut lines = csv.lines();
    let header: Vec<_> = lines
        .next()
        .unwrap_or_default()
        .trim_start_matches("# ")
        .split(',')
        .collect();
    let column = |name: &str| header.iter().position(|&field| field == name);
    let (Some(name), Some(status)) = (column("svname"), column("status")) else {
        return BTreeSet::new();
    };
    lines
        .filter_map(|line| {
            let fields: Vec<_> = line.split(',').collect();
            fields
                .get(status)
                .filter(|status| status.starts_with("UP"))?;
            fields.get(name)?.parse().ok()
        })
        .collect()
}

async fn members(site: &Site) -> Option<String> {
    let seen = async {
        let on = control_plane::member(site).await?;
        Ok::<_, RecipeError>((
            etcd::members(site, &on).await?,
            etcd::status(site, &on).await?,
        ))
    };
    let (members, statuses) = match seen.await {
        Ok(seen) => seen,
        Err(error) => return Some(chain(&error)),
    };
    let healthy = |name: &NodeName| {
        members.iter().any(|member| {
            member.name == name.as_str()
                && !member.learner
                && statuses
                    .iter()
                    .any(|status| status.id == member.id && status.leader != 0)
        })
    };
    let missing = some(
        "no healthy voting member",
        site.plan
            .control_plane()
            .map(|node| &node.name)
            .filter(|name| !healthy(name)),
    );
    missing.or_else(|| {
        let unplanned = members.iter().filter(|member| {
            !site
                .plan
                .control_plane()
                .any(|node| etcd::peer_url(node) == member.peer)
        });
        some("unplanned member", unplanned.map(|member| &member.peer))
    })
}

async fn ready(kubernetes: &Kubernetes) -> Option<String> {
    if kubernetes.ready().await {
        None
    } else {
        Some("/readyz through the load balancer is not ok".to_owned())
    }
}

async fn nodes(site: &Site, kubernetes: &Kubernetes) -> Option<String> {
    let wanted = site
        .plan
        .nodes
        .iter()
        .filter(|node| node.role != NodeRole::LoadBalancer)
        .map(|node| &node.name);
    match kubernetes.nodes().await {
        Err(error) => Some(chain(&error)),
        Ok(nodes) => some("not ready", not_ready(&nodes, wanted)),
    }
}

async fn dns(kubernetes: &Kubernetes) -> Option<String> {
    match kubernetes.rollout("kube-system", "coredns").await {
        Err(error) => Some(chain(&error)),
        Ok(None) => Some("no deployment kube-system/coredns".to_owned()),
        Ok(Some(rollout)) if rollout.complete() => None,
        Ok(Some(rollout)) => Some(format!(
            "coredns {} of {}",
            rollout.available, rollout.wanted
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_those_with_a_good_check() {
        let csv = "# pxname,svname,qcur,status,weight\n\
                   masters,m1,0,UP,1\nmasters,m2,0,DOWN 1/2,1\nmasters,m3,0,UP 2/3,1\nany,m2,0,no check,1\n";
        let up: Vec<_> = servers(csv)
            .into_iter()
            .map(|name| name.to_string())
            .collect();
        assert_eq!(up, ["m1", "m3"]);
        assert!(servers("").is_empty());
        assert!(servers("# pxname,other\nmasters,m1\n").is_empty());
    }
}
