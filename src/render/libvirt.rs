//! Writers of libvirt's documents: the network, and a domain of each kind.

use camino::Utf8Path;
use serde::{Deserialize, Serialize};

use crate::name::{ClusterName, NodeName};
use crate::plan::{NetworkPlan, NodePlan, Plan};
use crate::xml::{self, XmlError};

/// The XML name space of regent's tag in a domain's metadata. A name, nothing is fetched from it.
pub const TAG: &str = "urn:regent:libvirt:1";

/// Where an LXC node's `/var/lib` directories live that cannot be on its overlay: an overlay cannot hold the
/// upper layers of another one (containerd), and etcd and the kubelet want a real disk.
pub const DATA_DIRECTORIES: [&str; 3] = ["containerd", "etcd", "kubelet"];

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

/// Writes the document of a node that is a system container. `directory` is the node's directory as libvirt sees it.
pub fn lxc_domain(plan: &Plan, node: &NodePlan, directory: &Utf8Path) -> Result<String, XmlError> {
    let bind = |source: String, target: String| {
        Device::Filesystem(Filesystem {
            kind: "mount",
            access_mode: "passthrough",
            source: Directory { dir: source },
            target: Directory { dir: target },
        })
    };
    let mut devices = vec![bind(format!("{directory}/root"), "/".to_owned())];
    devices.extend(DATA_DIRECTORIES.map(|name| {
        bind(
            format!("{directory}/var/{name}"),
            format!("/var/lib/{name}"),
        )
    }));
    devices.push(Device::Interface(Interface {
        kind: "network",
        mac: Address {
            address: node.mac.to_string(),
        },
        source: NetworkSource {
            network: &plan.network.name,
        },
    }));
    // The kubelet reads the kernel's log for out-of-memory kills and does not start without it.
    devices.push(Device::Hostdev(Hostdev {
        mode: "capabilities",
        kind: "misc",
        source: Character { char: "/dev/kmsg" },
    }));
    devices.push(Device::Console(Console { kind: "pty" }));
    xml::to_string(
        "domain",
        &Domain {
            kind: "lxc",
            name: &node.domain,
            uuid: node.uuid.to_string(),
            metadata: Metadata {
                tag: Tag {
                    xmlns: TAG.into(),
                    cluster: plan.cluster.clone(),
                    node: node.name.clone(),
                },
            },
            memory: Memory {
                unit: "bytes",
                value: node.memory.0,
            },
            vcpu: node.cpus,
            os: Os {
                kind: "exe",
                init: "/usr/lib/regent/node-init",
                environment: Environment {
                    name: "REGENT_CGROUP",
                    value: &node.domain,
                },
            },
            // Of its own: the network. All capabilities: containerd, the kubelet and kube-proxy mount, make
            // devices and set up networks.
            features: Features {
                privnet: (),
                capabilities: Policy { policy: "allow" },
            },
            on_poweroff: "destroy",
            on_reboot: "restart",
            // A node that dies stays dead until somebody heals it.
            on_crash: "destroy",
            devices: Devices { list: devices },
        },
    )
}

/// Reads the tag from a domain's document; none if it is not one of ours.
pub fn tag(domain: &str) -> Option<(ClusterName, NodeName)> {
    #[derive(Deserialize)]
    struct Document {
        metadata: Holder,
    }
    #[derive(Deserialize)]
    struct Holder {
        // The prefix is dropped in reading; libvirt keeps ours in any case.
        node: Tag,
    }
    let tag = xml::from_str::<Document>(domain).ok()?.metadata.node;
    (tag.xmlns == TAG).then_some((tag.cluster, tag.node))
}

/// Reads the host's ends of a running domain's interfaces from its document.
pub fn interfaces(domain: &str) -> Result<Vec<String>, XmlError> {
    #[derive(Deserialize)]
    struct Document {
        devices: List,
    }
    #[derive(Deserialize)]
    struct List {
        #[serde(default, rename = "interface")]
        interfaces: Vec<Interface>,
    }
    #[derive(Deserialize)]
    struct Interface {
        target: Option<Target>,
    }
    #[derive(Deserialize)]
    struct Target {
        #[serde(rename = "@dev")]
        device: String,
    }
    let document: Document = xml::from_str(domain)?;
    let targets = document
        .devices
        .interfaces
        .into_iter()
        .filter_map(|interface| interface.target);
    Ok(targets.map(|target| target.device).collect())
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
struct Address {
    #[serde(rename = "@address")]
    address: String,
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

#[derive(Serialize)]
struct Domain<'a> {
    #[serde(rename = "@type")]
    kind: &'static str,
    name: &'a str,
    uuid: String,
    metadata: Metadata,
    memory: Memory,
    vcpu: u8,
    os: Os<'a>,
    features: Features,
    on_poweroff: &'static str,
    on_reboot: &'static str,
    on_crash: &'static str,
    devices: Devices<'a>,
}

#[derive(Serialize)]
struct Metadata {
    #[serde(rename = "regent:node")]
    tag: Tag,
}

#[derive(Serialize, Deserialize)]
struct Tag {
    #[serde(rename = "@xmlns:regent")]
    xmlns: std::borrow::Cow<'static, str>,
    #[serde(rename = "@cluster")]
    cluster: ClusterName,
    #[serde(rename = "@name")]
    node: NodeName,
}

#[derive(Serialize)]
struct Memory {
    #[serde(rename = "@unit")]
    unit: &'static str,
    #[serde(rename = "$text")]
    value: u64,
}

#[derive(Serialize)]
struct Os<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    init: &'static str,
    #[serde(rename = "initenv")]
    environment: Environment<'a>,
}

#[derive(Serialize)]
struct Environment<'a> {
    #[serde(rename = "@name")]
    name: &'static str,
    #[serde(rename = "$text")]
    value: &'a str,
}

#[derive(Serialize)]
struct Features {
    privnet: (),
    capabilities: Policy,
}

#[derive(Serialize)]
struct Policy {
    #[serde(rename = "@policy")]
    policy: &'static str,
}

#[derive(Serialize)]
struct Devices<'a> {
    #[serde(rename = "$value")]
    list: Vec<Device<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Device<'a> {
    Filesystem(Filesystem),
    Interface(Interface<'a>),
    Hostdev(Hostdev),
    Console(Console),
}

#[derive(Serialize)]
struct Filesystem {
    #[serde(rename = "@type")]
    kind: &'static str,
    #[serde(rename = "@accessmode")]
    access_mode: &'static str,
    source: Directory,
    target: Directory,
}

#[derive(Serialize)]
struct Directory {
    #[serde(rename = "@dir")]
    dir: String,
}

#[derive(Serialize)]
struct Interface<'a> {
    #[serde(rename = "@type")]
    kind: &'static str,
    mac: Address,
    source: NetworkSource<'a>,
}

#[derive(Serialize)]
struct NetworkSource<'a> {
    #[serde(rename = "@network")]
    network: &'a str,
}

#[derive(Serialize)]
struct Hostdev {
    #[serde(rename = "@mode")]
    mode: &'static str,
    #[serde(rename = "@type")]
    kind: &'static str,
    source: Character,
}

#[derive(Serialize)]
struct Character {
    char: &'static str,
}

#[derive(Serialize)]
struct Console {
    #[serde(rename = "@type")]
    kind: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As libvirt gives a document back: with elements of its own, and others' tags.
    fn document(metadata: &str) -> String {
        format!(
            "<domain type='lxc' id='91'>
              <name>demo-m1</name>
              <metadata>{metadata}<x:other xmlns:x='urn:x' name='m1'/></metadata>
              <devices>
                <emulator>/usr/lib/libvirt/libvirt_lxc</emulator>
                <interface type='network'><mac address='52:54:00:00:00:01'/><target dev='vnet0'/></interface>
                <interface type='network'><target dev='vnet2'/></interface>
                <console type='pty' tty='/dev/pts/1'><target type='lxc' port='0'/></console>
              </devices>
            </domain>"
        )
    }

    #[test]
    fn the_tag_is_ours_or_none() {
        let ours = format!("<regent:node xmlns:regent='{TAG}' cluster='demo' name='m1'/>");
        let expected = ("demo".parse().unwrap(), "m1".parse().unwrap());
        assert_eq!(tag(&document(&ours)), Some(expected));
        assert_eq!(tag(&document("")), None);
        assert_eq!(tag(&document(&ours.replace(TAG, "urn:other"))), None);
        assert_eq!(tag(&document(&ours.replace("demo", "../demo"))), None);
        assert_eq!(
            tag("<domain type='lxc'><name>demo-m1</name></domain>"),
            None
        );
    }

    #[test]
    fn a_running_domain_has_the_host_s_ends_of_its_interfaces() {
        assert_eq!(interfaces(&document("")).unwrap(), ["vnet0", "vnet2"]);
        let off = document("").replace("<target dev='vnet0'/>", "");
        assert_eq!(interfaces(&off).unwrap(), ["vnet2"]);
    }
}
