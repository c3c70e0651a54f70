//! The nodes' network.

use serde::Serialize;

use super::element::{Address, NetworkTag, TAG};
use crate::name::LabId;
use crate::plan::NetworkPlan;
use crate::xml::{self, XmlError};

/// Writes the network's document: a bridge with the gateway's address. Nodes have static addresses and know each
/// other's, so neither DHCP nor DNS runs; there is no `forward`, so nothing leaves the machine.
///
/// It carries the lab's identifier; in a document that is only shown, none.
pub fn network(lab: Option<&LabId>, network: &NetworkPlan) -> Result<String, XmlError> {
    xml::to_string(
        "network",
        &Network {
            name: &network.name,
            uuid: network.uuid.to_string(),
            metadata: lab.map(|lab| Metadata {
                tag: NetworkTag {
                    xmlns: TAG.into(),
                    lab: lab.clone(),
                },
            }),
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
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata>,
    bridge: Bridge<'a>,
    mac: Address,
    dns: Enable,
    ip: Ip,
}

#[derive(Serialize)]
struct Metadata {
    #[serde(rename = "regent:network")]
    tag: NetworkTag,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derive::{self, Beside};
    use crate::render::libvirt::network_tag;
    use crate::spec::{ClusterSpec, Driver};

    #[test]
    fn case_foreign_a_network_carries_its_lab_s_identifier_and_not_only_a_name() {
        let spec = ClusterSpec::new("demo".parse().unwrap());
        let plan = derive::plan(&spec, Driver::Lxc, Beside::default());
        let id = LabId::draw(&mut [7u8; 16].as_slice()).unwrap();
        let document = network(Some(&id), &plan.network).unwrap();
        assert_eq!(network_tag(&document), Some(id));
        let shown = network(None, &plan.network).unwrap();
        assert_eq!(network_tag(&shown), None);
        assert!(!shown.contains("metadata"));
    }
}
