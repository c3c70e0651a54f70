//! The pod network of one node.

use ipnet::Ipv4Net;
use serde::Serialize;

/// Writes the CNI configuration list of a node whose pods live in `subnet`: the reference plugins `bridge`,
/// `host-local` and `portmap`.
///
/// * `isGateway`: the bridge has the subnet's first address and is the pods' default route.
/// * `ipMasq` off: pods are routed (see [`super::network::interface`]), so every node sees the pod's own address.
/// * `hairpinMode`: a pod may reach itself through its service.
/// * 1.0.0 is the newest version that Debian's plugins (1.1.1) speak.
pub fn conflist(subnet: Ipv4Net) -> String {
    let list = ConfList {
        cni_version: "1.0.0",
        name: "regent",
        plugins: (
            Bridge {
                r#type: "bridge",
                bridge: "cni0",
                is_gateway: true,
                ip_masq: false,
                hairpin_mode: true,
                ipam: Ipam {
                    r#type: "host-local",
                    ranges: [[Range { subnet }]],
                    routes: [Route { dst: "0.0.0.0/0" }],
                },
            },
            PortMap {
                r#type: "portmap",
                capabilities: Capabilities {
                    port_mappings: true,
                },
            },
        ),
    };
    #[expect(
        clippy::expect_used,
        reason = "structs of strings and booleans always have a form in JSON"
    )]
    let mut text = serde_json::to_string_pretty(&list).expect("plain structs");
    text.push('\n');
    text
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConfList {
    cni_version: &'static str,
    name: &'static str,
    plugins: (Bridge, PortMap),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bridge {
    r#type: &'static str,
    bridge: &'static str,
    is_gateway: bool,
    ip_masq: bool,
    hairpin_mode: bool,
    ipam: Ipam,
}

#[derive(Serialize)]
struct Ipam {
    r#type: &'static str,
    ranges: [[Range; 1]; 1],
    routes: [Route; 1],
}

#[derive(Serialize)]
struct Range {
    subnet: Ipv4Net,
}

#[derive(Serialize)]
struct Route {
    dst: &'static str,
}

#[derive(Serialize)]
struct PortMap {
    r#type: &'static str,
    capabilities: Capabilities,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Capabilities {
    port_mappings: bool,
}
