//! The named checks that say whether a cluster is as it should be; `up`, `status` and `verify` share them. Pure: they
//! judge what one look saw. What the API says of a node counts only if that node has reported since it booted, and of a pod
//! only if its containers are there: after a cut of everything the API still shows what was.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::event::chain;
use crate::kubernetes::{Kubernetes, PodStatus};
use crate::name::NodeName;
use crate::plan::{NodePlan, NodeRole, Plan};
use crate::provider::DomainState;
use crate::recipe::observe::{Patience, observe};
use crate::recipe::world::{Api, ApiSeen, Guest, Inside, World};
use crate::site::Site;

/// One check's outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What was checked: `domains`, `load balancer`, `etcd`, `API`, `nodes`, `DNS`, `kube-proxy`,
    /// `certificates`.
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

/// Looks, and runs every check, in the order in which they depend on each other.
pub async fn check(site: &Site, kubernetes: &Kubernetes) -> Vec<Check> {
    let patience = Patience::to_act(site.plan.driver);
    match observe(site, Some(kubernetes), patience).await {
        Ok(world) => world.checks,
        Err(error) => vec![Check {
            name: "domains",
            missing: Some(chain(&error)),
        }],
    }
}

/// The check that a cluster without a load balancer has no use for.
const BALANCER: &str = "load balancer";

/// Runs every check on what a look saw.
pub(super) fn checks(plan: &Plan, world: &World) -> Vec<Check> {
    let named = [
        ("domains", domains(plan, world)),
        (BALANCER, balancer(plan, world)),
        ("etcd", members(plan, world)),
        ("API", ready(world)),
        ("nodes", nodes(plan, world)),
        ("DNS", dns(world)),
        ("kube-proxy", proxies(plan, world)),
        ("certificates", certificates(plan, world)),
    ];
    let balanced = plan.load_balancers().next().is_some();
    named
        .into_iter()
        .filter(|(name, _)| *name != BALANCER || balanced)
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

/// All that is missing, in one line.
fn together(missing: impl IntoIterator<Item = Option<String>>) -> Option<String> {
    let missing: Vec<String> = missing.into_iter().flatten().collect();
    (!missing.is_empty()).then(|| missing.join("; "))
}

fn names<'a>(nodes: impl Iterator<Item = &'a NodePlan>) -> impl Iterator<Item = &'a NodeName> {
    nodes.map(|node| &node.name)
}

fn domains(plan: &Plan, world: &World) -> Option<String> {
    let off = names(plan.nodes.iter()).filter(|name| world.domain(name) != DomainState::Running);
    let silent = world
        .nodes
        .iter()
        .filter_map(|(name, inside)| match inside {
            Inside::Silent(why) => Some(format!("{name} ({why})")),
            Inside::Answers(_) => None,
        });
    let unplanned = world
        .domains
        .keys()
        .filter(|name| plan.node(name).is_none());
    together([
        some("not running", off),
        some("does not answer", silent),
        some("not in the file", unplanned),
    ])
}

fn balancer(plan: &Plan, world: &World) -> Option<String> {
    together(plan.load_balancers().map(|node| {
        let Some(guest) = world.guest(&node.name) else {
            return Some(format!("{} does not answer", node.name));
        };
        let down = names(plan.control_plane()).filter(|name| !guest.servers.contains(name));
        some("server not up", down)
    }))
}

/// Reads haproxy's statistics (CSV with a header line): servers with the status `UP` by a health check that was done. At
/// its start haproxy takes all for up, and says `INI` of their checks.
pub(super) fn servers(csv: &str) -> BTreeSet<NodeName> {
    let mut lines = csv.lines();
    let header: Vec<_> = lines
        .next()
        .unwrap_or_default()
        .trim_start_matches("# ")
        .split(',')
        .collect();
    let column = |name: &str| header.iter().position(|&field| field == name);
    let (Some(name), Some(status), Some(check)) =
        (column("svname"), column("status"), column("check_status"))
    else {
        return BTreeSet::new();
    };
    lines
        .filter_map(|line| {
            let fields: Vec<_> = line.split(',').collect();
            let up = fields.get(status)?.starts_with("UP");
            // With an asterisk while the next one is under way.
            let check = fields.get(check)?.trim_start_matches("* ");
            let done = !check.is_empty() && check != "INI";
            (up && done).then(|| fields.get(name)?.parse().ok())?
        })
        .collect()
}

fn members(plan: &Plan, world: &World) -> Option<String> {
    let etcd = &world.etcd;
    if etcd.members.is_none() {
        return Some("no member answers".to_owned());
    }
    if !etcd.quorum {
        let answering = etcd.voters().filter(|voter| etcd.answers(voter));
        let (answer, of) = (answering.count(), etcd.voters().count());
        let needed = of / 2 + 1;
        return Some(format!(
            "no quorum: {answer} of {of} voting members answer, and {needed} must; `regent up` starts what is off, and says what \
             else can be done"
        ));
    }
    let healthy = |node: &NodePlan| {
        let status = etcd.statuses.get(&node.name);
        let member = etcd.member(node).filter(|member| !member.learner);
        member.is_some_and(|member| {
            status.is_some_and(|status| {
                status.id == member.id && status.cluster == etcd.cluster && status.leader != 0
            })
        })
    };
    let missing = names(plan.control_plane().filter(|node| !healthy(node)));
    let unplanned = etcd.unplanned(&[plan]).into_iter();
    let alarms = etcd.statuses.iter().flat_map(|(node, status)| {
        let errors = status.errors.iter();
        errors.map(move |error| format!("{node} says {}", error.trim()))
    });
    together([
        some("no healthy voting member", missing),
        some("unplanned member", unplanned.map(|member| &member.peer)),
        some("alarm", alarms),
    ])
}

fn ready(world: &World) -> Option<String> {
    match &world.api {
        Api::Silent(why) => Some(why.clone()),
        Api::Answers(api) if api.ready => some("kubeadm's work is missing", &api.unfounded),
        Api::Answers(_) => Some("/readyz through the load balancer is not ok".to_owned()),
    }
}

/// Without an answer of the API nothing is known of what stands in it; that is said once, by its own check.
fn in_api(world: &World) -> Result<&ApiSeen, Option<String>> {
    world
        .api
        .seen()
        .ok_or_else(|| Some("the API does not say".to_owned()))
}

fn nodes(plan: &Plan, world: &World) -> Option<String> {
    let api = match in_api(world) {
        Ok(api) => api,
        Err(missing) => return missing,
    };
    let wanted = || {
        plan.nodes
            .iter()
            .filter(|node| node.role != NodeRole::LoadBalancer)
    };
    let ready = |name: &NodeName| api.node(name).is_some_and(|node| node.ready);
    let unready = names(wanted()).filter(|name| !ready(name));
    // Cordoned or tainted by hand is not sick.
    let unmarked = names(plan.control_plane())
        .filter(|name| api.node(name).is_some_and(|node| !node.control_plane));
    let old = names(wanted()).filter(|name| ready(name) && !world.reported(api, name));
    together([
        some("not ready", unready),
        some("has not reported since it booted", old),
        some("without the label of a control-plane node", unmarked),
    ])
}

fn dns(world: &World) -> Option<String> {
    let api = match in_api(world) {
        Ok(api) => api,
        Err(missing) => return missing,
    };
    let Some(rollout) = api.dns else {
        return Some("no deployment kube-system/coredns".to_owned());
    };
    let lives = api.dns_pods.iter().filter(|pod| lives(world, pod)).count();
    let lives = i32::try_from(lives).unwrap_or(i32::MAX);
    let available = rollout.available.min(lives);
    if !rollout.observed {
        Some("the deployment coredns has changed and its controller has not reported".to_owned())
    } else if available < rollout.wanted {
        Some(format!("coredns {available} of {}", rollout.wanted))
    } else {
        None
    }
}

/// Without it a node's Services are dead, or stay as they were.
fn proxies(plan: &Plan, world: &World) -> Option<String> {
    let api = match in_api(world) {
        Ok(api) => api,
        Err(missing) => return missing,
    };
    let hosts = plan.nodes.iter().filter(|node| node.pod_subnet.is_some());
    let without = hosts.filter(|node| {
        let mut pods = api.proxy_pods.iter();
        !pods.any(|pod| pod.node.as_deref() == Some(node.name.as_str()) && lives(world, pod))
    });
    some("does not run", names(without))
}

/// Whether a pod is ready now. One that the API shows as ready and whose containers are not on its node is of before: of
/// before the node's last boot, or of before it was reset and joined again.
fn lives(world: &World, pod: &PodStatus) -> bool {
    let node = pod.node.as_deref().and_then(|node| node.parse().ok());
    let guest = node.and_then(|node| world.guest(&node));
    let there = |container| guest.is_some_and(|guest| guest.containers.contains(container));
    let runs = !pod.containers.is_empty() && pod.containers.iter().all(there);
    pod.ready && !pod.terminating && runs
}

/// An expired certificate shows as errors everywhere else; here it is named.
fn certificates(plan: &Plan, world: &World) -> Option<String> {
    let expired = names(plan.nodes.iter()).flat_map(|name| {
        let ended = world.guest(name).into_iter().flat_map(Guest::ended);
        ended.map(move |(subject, end)| format!("{name}: {subject} ended {end}"))
    });
    some("expired", expired)
}

#[cfg(test)]
mod tests;
