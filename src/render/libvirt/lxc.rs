//! A domain that is a system container.

use camino::Utf8Path;
use serde::Serialize;

use super::element::{Interface, Kind, Memory, Metadata};
use crate::name::LabId;
use crate::plan::{NodePlan, Plan};
use crate::xml::{self, XmlError};

/// Where an LXC node's `/var/lib` directories live that cannot be on its overlay: an overlay cannot hold the
/// upper layers of another one (containerd), and etcd and the kubelet want a real disk.
pub const DATA_DIRECTORIES: [&str; 3] = ["containerd", "etcd", "kubelet"];

/// Writes the document of a node that is a system container. `directory` is the node's directory as libvirt sees it.
pub fn lxc_domain(
    lab: Option<&LabId>,
    plan: &Plan,
    node: &NodePlan,
    directory: &Utf8Path,
) -> Result<String, XmlError> {
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
    devices.push(Device::Interface(Interface::of(plan, node)));
    // The kubelet reads the kernel's log for out-of-memory kills and does not start without it.
    devices.push(Device::Hostdev(Hostdev {
        mode: "capabilities",
        kind: "misc",
        source: Character { char: "/dev/kmsg" },
    }));
    devices.push(Device::Console(Kind { kind: "pty" }));
    xml::to_string(
        "domain",
        &Domain {
            kind: "lxc",
            name: &node.domain,
            uuid: node.uuid.to_string(),
            metadata: Metadata::of(lab, plan, node),
            memory: Memory::of(node),
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
    Console(Kind),
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
