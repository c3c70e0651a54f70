//! A domain that is a virtual machine.

use std::fmt;

use camino::Utf8Path;

use super::document::{
    Backend, Controller, Cpu, Device, Devices, Disk, DiskDriver, Domain, Entry, Features, File, Os,
    Rng, Serial, Sysinfo, Target, Video,
};
use super::element::{Interface, Kind, Link, Memory, Metadata, Model};
use super::files::{CREDENTIALS, MachineFiles};
use crate::name::{LabId, NodeName};
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
    pub fn domain_type(self) -> &'static str {
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
    /// What is the node's own.
    pub files: &'a MachineFiles,
}

/// The disk's name, for libvirt and in the guest.
pub const DISK_TARGET: &str = "vda";

/// Writes the document of a node that is a virtual machine. Its architecture is the host's.
///
/// Credentials are files that QEMU reads, handed over by its firmware configuration device (`fw_cfg`), so that no key
/// stands in the document or among QEMU's arguments, which every user of the host may read.
pub fn qemu_domain(
    lab: Option<&LabId>,
    plan: &Plan,
    node: &NodePlan,
    machine: &Machine<'_>,
) -> Result<String, XmlError> {
    let Machine {
        accelerator, files, ..
    } = *machine;
    let entries = CREDENTIALS
        .iter()
        .zip(&files.credentials)
        .map(|(name, file)| Entry {
            name: format!("opt/io.systemd.credentials/{name}"),
            file: file.to_string(),
        })
        .collect();
    xml::to_string(
        "domain",
        &Domain {
            kind: accelerator.domain_type(),
            name: &node.domain,
            uuid: Some(node.uuid.to_string()),
            metadata: Metadata::of(lab, plan, node),
            memory: Memory::of(node),
            vcpu: node.cpus,
            sysinfo: Some(Sysinfo {
                kind: "fwcfg",
                entries,
            }),
            os: Os::of(
                machine.kernel,
                machine.initrd,
                accelerator.kernel_arguments(),
            ),
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
                list: devices(plan, node, files),
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

fn devices<'a>(plan: &'a Plan, node: &NodePlan, files: &MachineFiles) -> Vec<Device<'a>> {
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
                file: files.disk.to_string(),
            },
            target: Target {
                dev: DISK_TARGET,
                bus: "virtio",
            },
        }),
        Device::Interface(Interface::of(plan, node).virtio()),
        // The guest's kernel and systemd write here, from the first line on: for the day when a boot fails.
        Device::Serial(Serial::to(&files.console)),
        // Keys are made while the machine is young and has seen little.
        Device::Rng(Rng {
            model: "virtio",
            backend: Backend {
                model: "random",
                source: "/dev/urandom",
            },
        }),
    ]
    .into_iter()
    .chain(unwanted())
    .collect()
}

/// What libvirt would add. A node's memory is what was planned, always.
fn unwanted<'a>() -> [Device<'a>; 3] {
    [
        Device::Controller(Controller {
            kind: "usb",
            model: "none",
        }),
        Device::Video(Video {
            model: Kind { kind: "none" },
        }),
        Device::Memballoon(Model { model: "none" }),
    ]
}

/// Writes the document of a machine that only shows whether `kvm` runs guests where libvirt is: kernel and initrd, whose
/// first process says a word on the console and switches off. It has a node's tag, as node `name`, so that it is found
/// if it is left behind.
pub fn trial_domain(
    lab: Option<&LabId>,
    plan: &Plan,
    name: &NodeName,
    machine: &Machine<'_>,
) -> Result<String, XmlError> {
    let accelerator = machine.accelerator;
    let devices = [Device::Serial(Serial::to(&machine.files.console))];
    xml::to_string(
        "domain",
        &Domain {
            kind: accelerator.domain_type(),
            name: &format!("{}-{name}", plan.cluster),
            uuid: None,
            metadata: Metadata::tag(lab, plan, name),
            memory: Memory::mib(256),
            vcpu: 1,
            sysinfo: None,
            os: Os::of(
                machine.kernel,
                machine.initrd,
                format!("{} regent.probe panic=-1", accelerator.kernel_arguments()),
            ),
            features: Features { acpi: (), apic: () },
            cpu: Cpu {
                mode: accelerator.processor(),
            },
            on_poweroff: "destroy",
            // A processor that cannot go on resets.
            on_reboot: "destroy",
            on_crash: "destroy",
            devices: Devices {
                list: devices.into_iter().chain(unwanted()).collect(),
            },
        },
    )
}
