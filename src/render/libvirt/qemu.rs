//! A domain that is a virtual machine.

use std::fmt;

use camino::Utf8Path;
use serde::Serialize;

use super::element::{Interface, Kind, Link, Memory, Metadata, Model};
use crate::plan::{NodePlan, Plan};
use crate::xml::{self, XmlError};

/// What runs a guest's processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// The machine's own processors, by Linux's KVM.
    Kvm,
    /// QEMU's translator: any machine can, at a tenth of the speed or less.
    Emulated,
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Kvm => "kvm",
            Self::Emulated => "emulated",
        })
    }
}

impl Accelerator {
    /// libvirt's word for it, a domain's `type`.
    pub(super) fn domain_type(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Emulated => "qemu",
        }
    }

    /// All features that it has: a guest never moves to another machine. Cryptography alone is six times as fast with
    /// them, also emulated.
    fn processor(self) -> &'static str {
        match self {
            Self::Kvm => "host-passthrough",
            Self::Emulated => "maximum",
        }
    }

    /// What the guest's kernel is told. Emulated, it is spared what costs most: precautions against a processor that
    /// it does not have, and a clock (the HPET, its own choice) that is a device to ask.
    fn kernel_arguments(self) -> String {
        // No `root`: the initrd knows. `panic` stays at its default: a kernel that panics halts, and a node that dies
        // stays dead.
        let common = "console=ttyS0";
        match self {
            Self::Kvm => common.to_owned(),
            Self::Emulated => format!("{common} mitigations=off tsc=reliable clocksource=tsc"),
        }
    }
}

/// What a virtual machine is made of, by paths as libvirt sees them.
#[derive(Debug, Clone, Copy)]
pub struct Machine<'a> {
    /// What runs its processors.
    pub accelerator: Accelerator,
    /// Linux.
    pub kernel: &'a Utf8Path,
    /// What Linux starts with, before there is a disk.
    pub initrd: &'a Utf8Path,
    /// The node's directory: [`DISK`], [`CONSOLE`], and [`CREDENTIALS`] below `credentials`.
    pub directory: &'a Utf8Path,
}

/// The node's disk, in its directory.
pub const DISK: &str = "disk.qcow2";

/// The disk's name, for libvirt and in the guest.
pub const DISK_TARGET: &str = "vda";

/// What the node's serial console said, in its directory.
pub const CONSOLE: &str = "console.log";

/// What a node is told about itself, by the names that systemd (systemd.system-credentials(7)) takes it under: its
/// host name, who may log in, its address and routes, and lines of tmpfiles.d(5) for all other files.
pub const CREDENTIALS: [&str; 4] = [
    "system.hostname",
    "ssh.authorized_keys.root",
    "network.network.10-lab",
    "tmpfiles.extra",
];

/// Writes the document of a node that is a virtual machine. Its architecture is the host's.
///
/// Credentials are files that QEMU reads, handed over by its firmware configuration device (`fw_cfg`), so that no key
/// stands in the document or among QEMU's arguments, which every user of the host may read.
pub fn qemu_domain(
    plan: &Plan,
    node: &NodePlan,
    machine: &Machine<'_>,
) -> Result<String, XmlError> {
    let Machine {
        accelerator,
        directory,
        ..
    } = *machine;
    let entries = CREDENTIALS.map(|name| Entry {
        name: format!("opt/io.systemd.credentials/{name}"),
        file: directory.join("credentials").join(name).into_string(),
    });
    xml::to_string(
        "domain",
        &Domain {
            kind: accelerator.domain_type(),
            name: &node.domain,
            uuid: node.uuid.to_string(),
            metadata: Metadata::of(plan, node),
            memory: Memory::of(node),
            vcpu: node.cpus,
            sysinfo: Sysinfo {
                kind: "fwcfg",
                entries,
            },
            os: Os {
                kind: Type {
                    machine: "q35",
                    value: "hvm",
                },
                kernel: machine.kernel.as_str(),
                initrd: machine.initrd.as_str(),
                arguments: accelerator.kernel_arguments(),
            },
            // Without ACPI the guest would not hear its power button, nor find fw_cfg.
            features: Features { acpi: (), apic: () },
            cpu: Cpu {
                mode: accelerator.processor(),
            },
            on_poweroff: "destroy",
            on_reboot: "restart",
            // A node that dies stays dead until somebody heals it.
            on_crash: "destroy",
            devices: Devices {
                list: devices(plan, node, directory),
            },
        },
    )
}

/// Writes a node's interface alone, plugged in or out: all else must be as in its domain's document.
pub fn qemu_link(plan: &Plan, node: &NodePlan, link: Link) -> Result<String, XmlError> {
    xml::to_string(
        "interface",
        &Interface::of(plan, node).virtio().linked(link),
    )
}

fn devices<'a>(plan: &'a Plan, node: &NodePlan, directory: &Utf8Path) -> Vec<Device<'a>> {
    vec![
        Device::Disk(Disk {
            kind: "file",
            device: "disk",
            driver: DiskDriver {
                name: "qemu",
                kind: "qcow2",
                // A sync in the guest ends only when the host has synced the file (fdatasync), qcow2's own tables
                // included. What etcd was told is stored then survives the end of QEMU, and of the host as far as the
                // host's disk keeps its word. Not `unsafe`, which leaves those tables in QEMU's memory; not `none`,
                // which would read the disk that all nodes share once for each, past the host's page cache.
                cache: "writeback",
                // `native` needs a cache mode without the page cache.
                io: "threads",
                discard: "unmap",
            },
            source: File {
                file: directory.join(DISK).into_string(),
            },
            target: Target {
                dev: DISK_TARGET,
                bus: "virtio",
            },
        }),
        Device::Interface(Interface::of(plan, node).virtio()),
        // The guest's kernel and systemd write here, from the first line on: for the day when a boot fails.
        Device::Serial(Serial {
            kind: "file",
            source: Log {
                path: directory.join(CONSOLE).into_string(),
                append: "on",
            },
        }),
        // Keys are made while the machine is young and has seen little.
        Device::Rng(Rng {
            model: "virtio",
            backend: Backend {
                model: "random",
                source: "/dev/urandom",
            },
        }),
        // libvirt would add these.
        Device::Controller(Controller {
            kind: "usb",
            model: "none",
        }),
        Device::Video(Video {
            model: Kind { kind: "none" },
        }),
        // The node's memory is what was planned, always.
        Device::Memballoon(Model { model: "none" }),
    ]
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
    sysinfo: Sysinfo,
    os: Os<'a>,
    features: Features,
    cpu: Cpu,
    on_poweroff: &'static str,
    on_reboot: &'static str,
    on_crash: &'static str,
    devices: Devices<'a>,
}

#[derive(Serialize)]
struct Sysinfo {
    #[serde(rename = "@type")]
    kind: &'static str,
    #[serde(rename = "entry")]
    entries: [Entry; CREDENTIALS.len()],
}

#[derive(Serialize)]
struct Entry {
    #[serde(rename = "@name")]
    name: String,
    #[serde(rename = "@file")]
    file: String,
}

#[derive(Serialize)]
struct Os<'a> {
    #[serde(rename = "type")]
    kind: Type,
    kernel: &'a str,
    initrd: &'a str,
    #[serde(rename = "cmdline")]
    arguments: String,
}

#[derive(Serialize)]
struct Type {
    #[serde(rename = "@machine")]
    machine: &'static str,
    #[serde(rename = "$text")]
    value: &'static str,
}

#[derive(Serialize)]
struct Features {
    acpi: (),
    apic: (),
}

#[derive(Serialize)]
struct Cpu {
    #[serde(rename = "@mode")]
    mode: &'static str,
}

#[derive(Serialize)]
struct Devices<'a> {
    #[serde(rename = "$value")]
    list: Vec<Device<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Device<'a> {
    Disk(Disk),
    Interface(Interface<'a>),
    Serial(Serial),
    Rng(Rng),
    Controller(Controller),
    Video(Video),
    Memballoon(Model),
}

#[derive(Serialize)]
struct Disk {
    #[serde(rename = "@type")]
    kind: &'static str,
    #[serde(rename = "@device")]
    device: &'static str,
    driver: DiskDriver,
    source: File,
    target: Target,
}

#[derive(Serialize)]
struct DiskDriver {
    #[serde(rename = "@name")]
    name: &'static str,
    #[serde(rename = "@type")]
    kind: &'static str,
    #[serde(rename = "@cache")]
    cache: &'static str,
    #[serde(rename = "@io")]
    io: &'static str,
    #[serde(rename = "@discard")]
    discard: &'static str,
}

#[derive(Serialize)]
struct File {
    #[serde(rename = "@file")]
    file: String,
}

#[derive(Serialize)]
struct Target {
    #[serde(rename = "@dev")]
    dev: &'static str,
    #[serde(rename = "@bus")]
    bus: &'static str,
}

#[derive(Serialize)]
struct Serial {
    #[serde(rename = "@type")]
    kind: &'static str,
    source: Log,
}

#[derive(Serialize)]
struct Log {
    #[serde(rename = "@path")]
    path: String,
    #[serde(rename = "@append")]
    append: &'static str,
}

#[derive(Serialize)]
struct Rng {
    #[serde(rename = "@model")]
    model: &'static str,
    backend: Backend,
}

#[derive(Serialize)]
struct Backend {
    #[serde(rename = "@model")]
    model: &'static str,
    #[serde(rename = "$text")]
    source: &'static str,
}

#[derive(Serialize)]
struct Controller {
    #[serde(rename = "@type")]
    kind: &'static str,
    #[serde(rename = "@model")]
    model: &'static str,
}

#[derive(Serialize)]
struct Video {
    model: Kind,
}
