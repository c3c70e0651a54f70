//! Names and routes: how a node finds the others.

use crate::plan::{NodePlan, Plan};
use crate::spec::Endpoint;

/// Writes `/etc/hosts`, the same on every node: there is no DNS server that a node depends on.
///
/// A node's name stands only beside its own address, never beside 127.0.1.1: kubelet takes the node's InternalIP from
/// it, and kubeadm puts what it resolves to into certificates.
pub fn hosts(plan: &Plan) -> String {
    let mut text = String::from("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n");
    if plan.endpoint == Endpoint::LoadBalancer {
        text.push_str(&format!(
            "{} {}\n",
            plan.network.endpoint,
            plan.endpoint_name()
        ));
    }
    for node in &plan.nodes {
        text.push_str(&format!("{} {}\n", node.address, node.name));
    }
    text
}

/// Writes `/etc/resolv.conf`: the gateway, where no server listens, so that a question about a name outside the lab
/// is refused at once. Without the file kubelet starts no pod; without a server in it CoreDNS does not start.
pub fn resolver(plan: &Plan) -> String {
    format!("nameserver {}\n", plan.network.gateway)
}

/// Writes `/etc/systemd/network/10-lab.network`: a node's address and where its traffic goes.
///
/// * The interface is found by its MAC address: its name depends on what runs the node.
/// * A default route, though it may lead nowhere: without one kubeadm finds no address to bind to, and packets to
///   service addresses are refused before kube-proxy's rules see them.
/// * A route to each other node's pods. This is the whole pod network: no daemon, no overlay, nothing that must run
///   before the first pod. In networkd's hands the routes survive a reboot. A load balancer has them too, or its
///   answers to a pod that asks for the control plane endpoint would find no way back.
pub fn interface(plan: &Plan, node: &NodePlan) -> String {
    let network = &plan.network;
    let mut text = format!(
        "[Match]\nMACAddress={}\n\n[Network]\nAddress={}/{}\nGateway={}\nLinkLocalAddressing=no\n",
        node.mac,
        node.address,
        network.cidr.prefix_len(),
        network.gateway
    );
    for other in plan.nodes.iter().filter(|other| other.name != node.name) {
        if let Some(pods) = other.pod_subnet {
            text.push_str(&format!(
                "\n# {}\n[Route]\nDestination={pods}\nGateway={}\n",
                other.name, other.address
            ));
        }
    }
    text
}
