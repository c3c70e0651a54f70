//! What distinguishes one plan from another, in the words and units of `cluster.yaml`. Pure.

use std::collections::BTreeSet;
use std::fmt;

use super::{
    BackupPlan, ImageArchive, NetworkPlan, NodePlan, NodeRole, PATCHES, Plan, PlannedFile,
};
use crate::name::NodeName;
use crate::spec::{Budgets, Endpoint};

/// The key of a [`Change`] of what the API servers are reached by.
pub const ENDPOINT: &str = "controlPlane.endpoint";

/// One thing that two plans say differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its path in `cluster.yaml`, or what else names it.
    pub key: String,
    /// What the first plan says.
    pub now: String,
    /// What the second says.
    pub wanted: String,
    /// Whether a running cluster can become so.
    pub reach: Reach,
}

/// Whether a running cluster can become what another plan says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// `up` brings it there.
    Up,
    /// It is settled for a cluster's life.
    Never,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} → {}", self.key, self.now, self.wanted)
    }
}

/// Returns what `wanted` says differently from `now`, in the order of the file's keys; nothing if the two are the same.
/// What follows from another difference is left out: files that name a new node, addresses in another range.
pub fn difference(now: &Plan, wanted: &Plan) -> Vec<Change> {
    // Every field by name, so that a new one cannot be forgotten here.
    let Plan {
        cluster,
        kubernetes,
        endpoint,
        tuning,
        certificates,
        driver,
        connect,
        network,
        nodes,
        extra_sans,
        extra_args,
        patches,
        images,
        backup,
        manifests,
        budgets,
    } = now;
    let mut found = Found::default();
    let never = Reach::Never;
    found.compare("name", cluster, &wanted.cluster, never);
    found.compare("kubernetes", kubernetes, &wanted.kubernetes, never);
    // A cluster that clients know by a load balancer's address cannot do without it.
    let there = match wanted.endpoint {
        Endpoint::LoadBalancer => Reach::Up,
        Endpoint::None => never,
    };
    found.compare(ENDPOINT, endpoint, &wanted.endpoint, there);
    for role in [NodeRole::ControlPlane, NodeRole::Worker] {
        found.role(role, nodes, &wanted.nodes);
    }
    // Its load balancer comes with the endpoint, and its address.
    let same = *endpoint == wanted.endpoint;
    if same {
        found.role(NodeRole::LoadBalancer, nodes, &wanted.nodes);
    }
    found.compare("loadBalancer.tuning", tuning, &wanted.tuning, never);
    found.network(network, &wanted.network, same);
    let sans = (
        or_none(extra_sans.clone()),
        or_none(wanted.extra_sans.clone()),
    );
    found.compare("network.extraSans", &sans.0, &sans.1, never);
    found.compare("hypervisor.driver", driver, &wanted.driver, never);
    found.compare("hypervisor.connect", connect, &wanted.connect, never);
    found.compare("certificates", certificates, &wanted.certificates, never);
    found.compare("kubeadm.extraArgs", extra_args, &wanted.extra_args, never);
    found.patches(patches, &wanted.patches);
    // What is left of a node follows from the above, unless another regent made the plan.
    if found.0.is_empty() {
        found.identities(nodes, &wanted.nodes);
        found.files(nodes, &wanted.nodes);
    }
    found.images(images, &wanted.images);
    found.backup(backup.as_ref(), wanted.backup.as_ref());
    found.manifests(manifests, &wanted.manifests);
    found.budgets(budgets, &wanted.budgets);
    found.0
}

#[derive(Default)]
struct Found(Vec<Change>);

impl Found {
    fn compare<T: PartialEq + fmt::Display>(
        &mut self,
        key: impl Into<String>,
        now: &T,
        wanted: &T,
        reach: Reach,
    ) {
        if now != wanted {
            self.add(key, now, wanted, reach);
        }
    }

    fn add(
        &mut self,
        key: impl Into<String>,
        now: &impl ToString,
        wanted: &impl ToString,
        reach: Reach,
    ) {
        self.0.push(Change {
            key: key.into(),
            now: now.to_string(),
            wanted: wanted.to_string(),
            reach,
        });
    }

    fn network(&mut self, now: &NetworkPlan, wanted: &NetworkPlan, same_endpoint: bool) {
        let NetworkPlan {
            name,
            bridge,
            uuid,
            mac,
            cidr,
            gateway,
            endpoint,
            pod_subnet,
            service_subnet,
        } = now;
        let never = Reach::Never;
        self.compare("network.cidr", cidr, &wanted.cidr, never);
        self.compare("network.podSubnet", pod_subnet, &wanted.pod_subnet, never);
        self.compare(
            "network.serviceSubnet",
            service_subnet,
            &wanted.service_subnet,
            never,
        );
        if cidr == &wanted.cidr {
            self.compare("the network's gateway", gateway, &wanted.gateway, never);
        }
        if cidr == &wanted.cidr && same_endpoint {
            self.compare("the endpoint's address", endpoint, &wanted.endpoint, never);
        }
        self.compare("the network's name", name, &wanted.name, never);
        self.compare("the network's bridge", bridge, &wanted.bridge, never);
        self.compare("the network's UUID", uuid, &wanted.uuid, never);
        self.compare("the network's MAC address", mac, &wanted.mac, never);
    }

    /// Compares how many nodes a role has, and what they are like.
    fn role(&mut self, role: NodeRole, now: &[NodePlan], wanted: &[NodePlan]) {
        let of = |nodes: &[NodePlan]| -> BTreeSet<NodeName> {
            let nodes = nodes.iter().filter(|node| node.role == role);
            nodes.map(|node| node.name.clone()).collect()
        };
        let (old, new) = (of(now), of(wanted));
        let key = section(role);
        let counts = (old.len(), new.len());
        self.compare(format!("{key}.count"), &counts.0, &counts.1, Reach::Up);
        if old.len() == new.len() && old != new {
            self.add(key, &list(&old), &list(&new), Reach::Never);
        }
        let pairs: Vec<_> = both(now, wanted)
            .filter(|(node, _)| node.role == role)
            .collect();
        // A machine is made with them, and anew with others; without a load balancer nobody reaches the API meanwhile.
        let size = match role {
            NodeRole::LoadBalancer => Reach::Never,
            NodeRole::ControlPlane | NodeRole::Worker => Reach::Up,
        };
        let never = Reach::Never;
        self.measures(&pairs, "memory", size, |node| node.memory.to_string());
        self.measures(&pairs, "cpus", size, |node| node.cpus.to_string());
        self.measures(&pairs, "labels", never, |node| {
            let words = node
                .labels
                .iter()
                .map(|(key, value)| format!("{key}={value}"));
            or_none(words.collect())
        });
        self.measures(&pairs, "taints", never, |node| {
            or_none(node.taints.iter().map(ToString::to_string).collect())
        });
    }

    /// Compares one measure of a role's nodes: as the role's, where it is the same for all of them.
    fn measures(
        &mut self,
        pairs: &[(&NodePlan, &NodePlan)],
        what: &str,
        reach: Reach,
        measure: impl Fn(&NodePlan) -> String,
    ) {
        let measured: Vec<_> = pairs
            .iter()
            .map(|(now, wanted)| (measure(now), measure(wanted)))
            .collect();
        if let (Some((node, _)), Some(first)) = (pairs.first(), measured.first())
            && measured.iter().all(|pair| pair == first)
        {
            let key = format!("{}.{what}", section(node.role));
            return self.compare(key, &first.0, &first.1, reach);
        }
        for ((node, _), (now, wanted)) in pairs.iter().zip(&measured) {
            self.compare(format!("{}'s {what}", node.name), now, wanted, reach);
        }
    }

    fn identities(&mut self, now: &[NodePlan], wanted: &[NodePlan]) {
        for (now, wanted) in both(now, wanted) {
            let NodePlan {
                name,
                domain,
                role,
                number,
                uuid,
                mac,
                address,
                pod_subnet,
                // Compared with its role's others, and below.
                memory: _,
                cpus: _,
                labels: _,
                taints: _,
                files: _,
            } = now;
            let never = Reach::Never;
            let pods = |net: &Option<ipnet::Ipv4Net>| {
                net.map_or_else(|| "none".to_owned(), |net| net.to_string())
            };
            let roles = (section(*role), section(wanted.role));
            self.compare(format!("{name}'s role"), &roles.0, &roles.1, never);
            self.compare(format!("{name}'s domain"), domain, &wanted.domain, never);
            self.compare(format!("{name}'s number"), number, &wanted.number, never);
            self.compare(format!("{name}'s UUID"), uuid, &wanted.uuid, never);
            self.compare(format!("{name}'s MAC address"), mac, &wanted.mac, never);
            self.compare(format!("{name}'s address"), address, &wanted.address, never);
            let (old, new) = (pods(pod_subnet), pods(&wanted.pod_subnet));
            self.compare(format!("{name}'s pods"), &old, &new, never);
        }
    }

    fn files(&mut self, now: &[NodePlan], wanted: &[NodePlan]) {
        let paths: BTreeSet<_> = now
            .iter()
            .chain(wanted)
            .flat_map(|node| node.files.iter().map(|file| &file.path))
            // Those are compared one by one.
            .filter(|path| !path.starts_with(PATCHES))
            .collect();
        for path in paths {
            let of = |node: &NodePlan| -> Option<PlannedFile> {
                node.files.iter().find(|file| file.path == *path).cloned()
            };
            let nodes: BTreeSet<_> = both(now, wanted)
                .filter(|(now, wanted)| of(now) != of(wanted))
                .map(|(node, _)| node.name.clone())
                .collect();
            if !nodes.is_empty() {
                let key = format!("{path} on {}", list(&nodes));
                self.add(key, &"as it is", &"as this regent writes it", Reach::Up);
            }
        }
    }

    fn patches(&mut self, now: &[(String, String)], wanted: &[(String, String)]) {
        for (name, words) in differing(now, wanted) {
            let key = format!("kubeadm.patches, {name}");
            self.add(key, &words.0, &words.1, Reach::Never);
        }
    }

    fn images(&mut self, now: &[ImageArchive], wanted: &[ImageArchive]) {
        let of = |all: &[ImageArchive]| {
            let all = all.iter();
            all.map(|one| (one.file.to_string(), one.sha256.clone()))
                .collect::<Vec<_>>()
        };
        for (name, words) in differing(&of(now), &of(wanted)) {
            self.add(format!("images, {name}"), &words.0, &words.1, Reach::Up);
        }
    }

    fn backup(&mut self, now: Option<&BackupPlan>, wanted: Option<&BackupPlan>) {
        let words = |plan: Option<&BackupPlan>| {
            plan.map_or("none".to_owned(), |plan| {
                let BackupPlan {
                    recipient,
                    every,
                    keep,
                    to,
                } = plan;
                format!("every {every} to {recipient}, {keep} in {to}")
            })
        };
        self.compare("backup", &words(now), &words(wanted), Reach::Up);
    }

    fn manifests(&mut self, now: &[(String, String)], wanted: &[(String, String)]) {
        for (name, words) in differing(now, wanted) {
            self.add(format!("manifest {name}"), &words.0, &words.1, Reach::Up);
        }
    }

    fn budgets(&mut self, now: &Budgets, wanted: &Budgets) {
        for ((key, now), (_, wanted)) in now.limits().zip(wanted.limits()) {
            self.compare(format!("budgets.{key}"), &now, &wanted, Reach::Up);
        }
    }
}

/// The files of a directory that differ: name, and how it is and shall be in words.
fn differing<'a>(
    now: &'a [(String, String)],
    wanted: &'a [(String, String)],
) -> Vec<(&'a String, (&'static str, &'static str))> {
    let text = |all: &'a [(String, String)], name: &str| {
        let found = all.iter().find(|(known, _)| known == name);
        found.map(|(_, text)| text)
    };
    let names: BTreeSet<_> = now.iter().chain(wanted).map(|(name, _)| name).collect();
    let differs = names.into_iter().filter_map(|name| {
        let words = match (text(now, name), text(wanted, name)) {
            (Some(now), Some(wanted)) if now == wanted => return None,
            (Some(_), Some(_)) => ("as applied", "changed"),
            (Some(_), None) => ("as applied", "gone"),
            (None, _) => ("not there", "new"),
        };
        Some((name, words))
    });
    differs.collect()
}

/// Words in one line; `none` if there are none.
fn or_none(words: Vec<String>) -> String {
    match words.is_empty() {
        true => "none".to_owned(),
        false => words.join(", "),
    }
}

/// The nodes that both have.
fn both<'a>(
    now: &'a [NodePlan],
    wanted: &'a [NodePlan],
) -> impl Iterator<Item = (&'a NodePlan, &'a NodePlan)> {
    now.iter().filter_map(|node| {
        let other = wanted.iter().find(|other| other.name == node.name)?;
        Some((node, other))
    })
}

/// A role's section of `cluster.yaml`.
fn section(role: NodeRole) -> &'static str {
    match role {
        NodeRole::LoadBalancer => "loadBalancer",
        NodeRole::ControlPlane => "controlPlane",
        NodeRole::Worker => "workers",
    }
}

fn list(names: &BTreeSet<NodeName>) -> String {
    let names: Vec<_> = names.iter().map(NodeName::as_str).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests;
