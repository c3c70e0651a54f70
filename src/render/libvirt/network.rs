//! The nodes' network.

use serde::Serialize;

use super::element::Address;
use crate::plan::NetworkPlan;
use crate::xml::{self, XmlError};

/// Writes the network's document: a bridge with the gateway's address. Nodes have static addresses and know each
/// other's, so neither DHCP nor DNS runs; there is no `forward`, so nothing leaves the machine.
pub fn network(network: &NetworkPlan) -> Result<String, XmlError> {
    xml::to_string(
        "network",
        &Network {
            name: &network.name,
            uuid: network.uuid.to_string(),
            bridge: Bridge {
                name: &network.bridge,
                stp: "off",
                delay: "0",
            },
            mac: Address {
                address: network.mac.to_string(),
            },
            dns: Enable { enable: "no" },
            ip: Ip {
                address: network.gateway.to_string(),
                prefix: network.cidr.prefix_len().to_string(),
            },
        },
    )
}

#[derive(Serialize)]
struct Network<'a> {
    name: &'a str,
    uuid: String,
    bridge: Bridge<'a>,
    mac: Address,
    dns: Enable,
    ip: Ip,
}

#[derive(Serialize)]
struct Bridge<'a> {
    #[serde(rename = "@name")]
    name: &'a str,
    #[serde(rename = "@stp")]
    stp: &'static str,
    #[serde(rename = "@delay")]
    delay: &'static str,
}

#[derive(Serialize)]
struct Enable {
    #[serde(rename = "@enable")]
    enable: &'static str,
}

#[derive(Serialize)]
struct Ip {
    #[serde(rename = "@address")]
    address: String,
    #[serde(rename = "@prefix")]
    prefix: String,
}
