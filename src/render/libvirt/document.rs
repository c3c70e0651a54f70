//! The elements of a virtual machine's document.

use camino::Utf8Path;
use serde::Serialize;

use super::element::{Interface, Kind, Memory, Metadata, Model};

#[derive(Serialize)]
pub(super) struct Domain<'a> {
    #[serde(rename = "@type")]
    pub(super) kind: &'static str,
    pub(super) name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) uuid: Option<String>,
    pub(super) metadata: Metadata,
    pub(super) memory: Memory,
    pub(super) vcpu: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sysinfo: Option<Sysinfo>,
    pub(super) os: Os<'a>,
    pub(super) features: Features,
    pub(super) cpu: Cpu,
    pub(super) on_poweroff: &'static str,
    pub(super) on_reboot: &'static str,
    pub(super) on_crash: &'static str,
    pub(super) devices: Devices<'a>,
}

#[derive(Serialize)]
pub(super) struct Sysinfo {
    #[serde(rename = "@type")]
    pub(super) kind: &'static str,
    #[serde(rename = "entry")]
    pub(super) entries: Vec<Entry>,
}

#[derive(Serialize)]
pub(super) struct Entry {
    #[serde(rename = "@name")]
    pub(super) name: String,
    #[serde(rename = "@file")]
    pub(super) file: String,
}

#[derive(Serialize)]
pub(super) struct Os<'a> {
    #[serde(rename = "type")]
    pub(super) kind: Type,
    pub(super) kernel: &'a str,
    pub(super) initrd: &'a str,
    #[serde(rename = "cmdline")]
    pub(super) arguments: String,
}

impl<'a> Os<'a> {
    pub(super) fn of(kernel: &'a Utf8Path, initrd: &'a Utf8Path, arguments: String) -> Self {
        Self {
            kind: Type {
                machine: "q35",
                value: "hvm",
            },
            kernel: kernel.as_str(),
            initrd: initrd.as_str(),
            arguments,
        }
    }
}

#[derive(Serialize)]
pub(super) struct Type {
    #[serde(rename = "@machine")]
    pub(super) machine: &'static str,
    #[serde(rename = "$text")]
    pub(super) value: &'static str,
}

#[derive(Serialize)]
pub(super) struct Features {
    pub(super) acpi: (),
    pub(super) apic: (),
}

#[derive(Serialize)]
pub(super) struct Cpu {
    #[serde(rename = "@mode")]
    pub(super) mode: &'static str,
}

#[derive(Serialize)]
pub(super) struct Devices<'a> {
    #[serde(rename = "$value")]
    pub(super) list: Vec<Device<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Device<'a> {
    Disk(Disk),
    Interface(Interface<'a>),
    Serial(Serial),
    Rng(Rng),
    Controller(Controller),
    Video(Video),
    Memballoon(Model),
}

#[derive(Serialize)]
pub(super) struct Disk {
    #[serde(rename = "@type")]
    pub(super) kind: &'static str,
    #[serde(rename = "@device")]
    pub(super) device: &'static str,
    pub(super) driver: DiskDriver,
    pub(super) source: File,
    pub(super) target: Target,
}

#[derive(Serialize)]
pub(super) struct DiskDriver {
    #[serde(rename = "@name")]
    pub(super) name: &'static str,
    #[serde(rename = "@type")]
    pub(super) kind: &'static str,
    #[serde(rename = "@cache")]
    pub(super) cache: &'static str,
    #[serde(rename = "@io")]
    pub(super) io: &'static str,
    #[serde(rename = "@discard")]
    pub(super) discard: &'static str,
}

#[derive(Serialize)]
pub(super) struct File {
    #[serde(rename = "@file")]
    pub(super) file: String,
}

#[derive(Serialize)]
pub(super) struct Target {
    #[serde(rename = "@dev")]
    pub(super) dev: &'static str,
    #[serde(rename = "@bus")]
    pub(super) bus: &'static str,
}

#[derive(Serialize)]
pub(super) struct Serial {
    #[serde(rename = "@type")]
    pub(super) kind: &'static str,
    pub(super) source: Log,
}

impl Serial {
    pub(super) fn to(log: &Utf8Path) -> Self {
        Self {
            kind: "file",
            source: Log {
                path: log.to_string(),
                append: "on",
            },
        }
    }
}

#[derive(Serialize)]
pub(super) struct Log {
    #[serde(rename = "@path")]
    pub(super) path: String,
    #[serde(rename = "@append")]
    pub(super) append: &'static str,
}

#[derive(Serialize)]
pub(super) struct Rng {
    #[serde(rename = "@model")]
    pub(super) model: &'static str,
    pub(super) backend: Backend,
}

#[derive(Serialize)]
pub(super) struct Backend {
    #[serde(rename = "@model")]
    pub(super) model: &'static str,
    #[serde(rename = "$text")]
    pub(super) source: &'static str,
}

#[derive(Serialize)]
pub(super) struct Controller {
    #[serde(rename = "@type")]
    pub(super) kind: &'static str,
    #[serde(rename = "@model")]
    pub(super) model: &'static str,
}

#[derive(Serialize)]
pub(super) struct Video {
    pub(super) model: Kind,
}
