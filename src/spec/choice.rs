//! Values of `cluster.yaml` that are a choice among words.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

use super::diagnostic::ValueError;
use super::suggest::{closest, list};

/// Defines the words of an enum: `Display`, `FromStr`, `Serialize` and the schema from one table.
macro_rules! words {
    ($type:ident, $what:literal, $($word:literal => $value:expr),+ $(,)?) => {
        impl $type {
            const WORDS: &'static [(&'static str, Self)] = &[$(($word, $value)),+];
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let word = Self::WORDS.iter().find(|(_, value)| value == self);
                f.pad(word.map_or("", |(word, _)| word))
            }
        }

        impl FromStr for $type {
            type Err = ValueError;
            fn from_str(text: &str) -> Result<Self, ValueError> {
                choose(text, $what, Self::WORDS)
            }
        }

        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "enum": [$($word),+] })
            }
        }
    };
}

fn choose<T: Copy>(text: &str, what: &str, words: &[(&'static str, T)]) -> Result<T, ValueError> {
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let all = words.iter().map(|(word, _)| *word);
    let hint = match closest(text, all.clone()) {
        Some(word) => format!("did you mean `{word}`?"),
        None => format!("write {}", list(all, "or")),
    };
    Err(ValueError::new(format!("`{text}` is not {what}")).hint(hint))
}

/// The version of the file's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiVersion {
    /// `regent/v1`
    V1,
}

words!(ApiVersion, "a version of this file's format", "regent/v1" => Self::V1);

/// How fast a dead node is noticed, everywhere where that is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Tuning {
    /// `fast`: regent's settings, measured; see `docs/failure-model.md`.
    #[default]
    Fast,
    /// `kubeadm-docs`: the sample of kubeadm's high availability guide, and stock Kubernetes timers.
    KubeadmDocs,
}

words!(Tuning, "a tuning", "fast" => Self::Fast, "kubeadm-docs" => Self::KubeadmDocs);

/// How further control-plane nodes get the cluster's certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CertificateMode {
    /// `kubeadm init --upload-certs`, and a key minted for each join.
    #[default]
    Upload,
    /// The eight shared files streamed from node to node.
    Copy,
}

words!(CertificateMode, "a way to share certificates", "upload" => Self::Upload, "copy" => Self::Copy);

/// The wish for a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DriverChoice {
    /// qemu where hardware virtualisation runs a guest, else lxc.
    #[default]
    Auto,
    /// This one.
    Fixed(Driver),
}

words!(
    DriverChoice, "a driver",
    "auto" => Self::Auto,
    "qemu" => Self::Fixed(Driver::Qemu),
    "lxc" => Self::Fixed(Driver::Lxc),
);

/// A kind of node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Driver {
    /// Virtual machines.
    Qemu,
    /// System containers.
    Lxc,
}

words!(Driver, "a driver", "qemu" => Self::Qemu, "lxc" => Self::Lxc);

/// A driver and why it was taken. Printed, and part of the evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DriverDecision {
    /// The driver.
    pub driver: Driver,
    /// Why, as a clause: `the file asks for it`.
    pub reason: &'static str,
}

impl DriverChoice {
    /// Decides. Pure: what is known of the machine will come as an argument when there is more than one driver.
    pub const fn resolve(self) -> DriverDecision {
        match self {
            Self::Fixed(driver) => DriverDecision {
                driver,
                reason: "cluster.yaml asks for it",
            },
            Self::Auto => DriverDecision {
                driver: Driver::Lxc,
                reason: "the only driver so far; virtual machines come next",
            },
        }
    }
}

/// Which libvirt.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Connect {
    /// A daemon of the lab's own.
    #[default]
    Private,
    /// An existing daemon, by URI.
    Uri(String),
}

impl fmt::Display for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Private => "private",
            Self::Uri(uri) => uri,
        })
    }
}

impl FromStr for Connect {
    type Err = ValueError;
    /// Accepts `private`, and `lxc:///system` with or without a query (such as `?socket=PATH`).
    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text == "private" {
            return Ok(Self::Private);
        }
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        if base == "lxc:///system" && query.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Self::Uri(text.to_owned()));
        }
        let scheme = text.split(':').next().unwrap_or_default();
        let message = match scheme {
            _ if !text.contains("://") => {
                format!("`{text}` is neither `private` nor a libvirt URI")
            }
            "qemu" => "virtual machines are not supported yet".to_owned(),
            "lxc" => format!("`{text}` is not the system's LXC driver"),
            _ if scheme.contains('+') => {
                "a libvirt on another machine is not supported yet".to_owned()
            }
            _ => format!("`{scheme}` is not a driver that regent knows"),
        };
        Err(ValueError::new(message).hint("write `private` or `lxc:///system`"))
    }
}

impl Serialize for Connect {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Connect {
    fn schema_name() -> Cow<'static, str> {
        "Connect".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": r"^(private|lxc:///system(\?[!-~]*)?)$",
            "examples": ["private", "lxc:///system"],
        })
    }
}
