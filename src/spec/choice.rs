//! Values of `cluster.yaml` that are a choice among words.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde_json::{Value, json};

use super::diagnostic::ValueError;
use super::remote::{self, RemoteUri};
use super::rule::{Spelling, serde_as_spelt};
use super::suggest::{closest, list};

/// Defines the words of an enum: `Display`, `FromStr`, serde's traits and the schema from one table.
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

        impl Spelling for $type {
            fn schema() -> Value {
                json!({"type": "string", "enum": [$($word),+]})
            }
        }

        serde_as_spelt!($type, $what);
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

/// What nodes and clients reach the API servers by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Endpoint {
    /// `loadBalancer`: the load balancer's address, which stays as control-plane nodes come and go.
    #[default]
    LoadBalancer,
    /// `none`: the only control-plane node's own, as with `kubeadm init` without `controlPlaneEndpoint`.
    None,
}

words!(Endpoint, "an endpoint", "loadBalancer" => Self::LoadBalancer, "none" => Self::None);

/// How further control-plane nodes get the cluster's certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateMode {
    /// `kubeadm init --upload-certs`, and a key minted for each join.
    Upload,
    /// The eight shared files streamed from node to node.
    Copy,
}

words!(CertificateMode, "a way to share certificates", "upload" => Self::Upload, "copy" => Self::Copy);

/// The wish for a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriverChoice {
    /// qemu where hardware virtualisation runs a guest, else lxc.
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
    /// Why, as a clause: `cluster.yaml asks for it`.
    pub reason: String,
}

impl DriverChoice {
    /// Decides. `machine` says what is best on this machine; it is asked only where the file leaves it open.
    pub fn resolve(
        self,
        connect: &Connect,
        machine: impl FnOnce() -> DriverDecision,
    ) -> DriverDecision {
        match (self, connect.driver()) {
            (Self::Fixed(driver), _) => DriverDecision {
                driver,
                reason: "cluster.yaml asks for it".to_owned(),
            },
            (Self::Auto, Some(driver)) => DriverDecision {
                driver,
                reason: format!("the libvirt at {connect} runs nothing else"),
            },
            (Self::Auto, None) => machine(),
        }
    }
}

/// Which libvirt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connect {
    /// A daemon of the lab's own.
    Private,
    /// An existing daemon of this machine, by URI.
    Uri(String),
    /// One of another host.
    Remote(RemoteUri),
}

impl Connect {
    /// The kind of nodes that the libvirt runs; none for one of the lab's own, which runs what is wanted.
    pub fn driver(&self) -> Option<Driver> {
        match self {
            Self::Private => None,
            Self::Uri(uri) if uri.starts_with("qemu:") => Some(Driver::Qemu),
            Self::Uri(_) => Some(Driver::Lxc),
            Self::Remote(_) => Some(Driver::Qemu),
        }
    }

    /// The URI of a libvirt on another host.
    pub fn remote(&self) -> Option<&RemoteUri> {
        match self {
            Self::Remote(uri) => Some(uri),
            Self::Private | Self::Uri(_) => None,
        }
    }
}

impl fmt::Display for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Private => "private",
            Self::Uri(uri) => uri,
            Self::Remote(uri) => uri.as_str(),
        })
    }
}

impl FromStr for Connect {
    type Err = ValueError;
    /// Accepts `private`, `lxc:///system` or `qemu:///system` with or without a query (such as `?socket=PATH`), and a
    /// [`RemoteUri`].
    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text == "private" {
            return Ok(Self::Private);
        }
        let scheme = text.split(':').next().unwrap_or_default();
        if scheme == remote::SCHEME {
            return text.parse().map(Self::Remote);
        }
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        let known = matches!(base, "lxc:///system" | "qemu:///system");
        if known && query.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Self::Uri(text.to_owned()));
        }
        let other = "write `qemu+ssh://root@HOST/system` for virtual machines on another host";
        let (message, hint) = match scheme {
            _ if !text.contains("://") => (
                format!("`{text}` is neither `private` nor a libvirt URI"),
                LOCAL,
            ),
            "lxc" | "qemu" => (
                format!("`{text}` is not the system's {scheme} driver"),
                LOCAL,
            ),
            _ if scheme.starts_with("lxc+") => (
                "containers are made of files of their host, so it must be this machine".to_owned(),
                other,
            ),
            _ if scheme.starts_with("qemu+") => (
                format!("`{scheme}` does not reach nodes: they are reached by SSH"),
                other,
            ),
            _ => (
                format!("`{scheme}` is not a driver that regent knows"),
                LOCAL,
            ),
        };
        Err(ValueError::new(message).hint(hint))
    }
}

/// What may be written where there is no thought of another host.
const LOCAL: &str = "write `private`, `lxc:///system` or `qemu:///system`";

impl Spelling for Connect {
    fn schema() -> Value {
        let pattern = format!(
            r"^(private|(lxc|qemu):///system(\?[!-~]*)?|{})$",
            remote::PATTERN
        );
        json!({
            "type": "string",
            "pattern": pattern,
            "examples": ["private", "lxc:///system", "qemu:///system", "qemu+ssh://root@host/system"],
        })
    }
}

serde_as_spelt!(Connect, "a libvirt");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_asks_the_machine_only_where_the_file_leaves_it_open() {
        let machine = || DriverDecision {
            driver: Driver::Qemu,
            reason: "the machine".to_owned(),
        };
        let of = |choice: &str, connect: &str| {
            let (choice, connect): (DriverChoice, Connect) =
                (choice.parse().unwrap(), connect.parse().unwrap());
            let decision = choice.resolve(&connect, machine);
            (decision.driver, decision.reason == "the machine")
        };
        assert_eq!(of("auto", "private"), (Driver::Qemu, true));
        assert_eq!(of("lxc", "private"), (Driver::Lxc, false));
        assert_eq!(of("auto", "lxc:///system"), (Driver::Lxc, false));
        assert_eq!(
            of("auto", "qemu:///system?socket=/x"),
            (Driver::Qemu, false)
        );
        assert_eq!(
            of("auto", "qemu+ssh://root@host/system"),
            (Driver::Qemu, false)
        );
    }

    #[test]
    fn words_are_read_back() {
        let text = serde_json::to_string(&Driver::Qemu).unwrap();
        assert_eq!(serde_json::from_str::<Driver>(&text).unwrap(), Driver::Qemu);
        serde_json::from_str::<Driver>("\"kvm\"").unwrap_err();
    }
}
