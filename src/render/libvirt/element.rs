//! Elements that documents of both kinds of domains have.

use serde::{Deserialize, Serialize};

use crate::name::{ClusterName, LabId, NodeName};
use crate::plan::{NodePlan, Plan};

/// The XML name space of regent's tag in a domain's metadata. A name, nothing is fetched from it.
pub const TAG: &str = "urn:regent:libvirt:1";

#[derive(Serialize)]
pub(super) struct Metadata {
    #[serde(rename = "regent:node")]
    tag: Tag,
}

impl Metadata {
    /// The tag that makes a domain a lab's; without one, in a document that is only shown.
    pub(super) fn of(lab: Option<&LabId>, plan: &Plan, node: &NodePlan) -> Self {
        Self::tag(lab, plan, &node.name)
    }

    /// The same for what is not a planned node.
    pub(super) fn tag(lab: Option<&LabId>, plan: &Plan, node: &NodeName) -> Self {
        Self {
            tag: Tag {
                xmlns: TAG.into(),
                lab: lab.cloned(),
                cluster: plan.cluster.clone(),
                node: node.clone(),
            },
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct Tag {
    #[serde(rename = "@xmlns:regent")]
    pub(super) xmlns: std::borrow::Cow<'static, str>,
    #[serde(rename = "@lab", default, skip_serializing_if = "Option::is_none")]
    pub(super) lab: Option<LabId>,
    #[serde(rename = "@cluster")]
    pub(super) cluster: ClusterName,
    #[serde(rename = "@name")]
    pub(super) node: NodeName,
}

/// What makes a network a lab's.
#[derive(Serialize, Deserialize)]
pub(super) struct NetworkTag {
    #[serde(rename = "@xmlns:regent")]
    pub(super) xmlns: std::borrow::Cow<'static, str>,
    #[serde(rename = "@lab")]
    pub(super) lab: LabId,
}

#[derive(Serialize)]
pub(super) struct Memory {
    #[serde(rename = "@unit")]
    unit: &'static str,
    #[serde(rename = "$text")]
    value: u64,
}

impl Memory {
    pub(super) fn of(node: &NodePlan) -> Self {
        Self {
            unit: "bytes",
            value: node.memory.0,
        }
    }

    pub(super) fn mib(mib: u64) -> Self {
        Self {
            unit: "bytes",
            value: mib << 20,
        }
    }
}

#[derive(Serialize)]
pub(super) struct Address {
    #[serde(rename = "@address")]
    pub(super) address: String,
}

#[derive(Serialize)]
pub(super) struct Interface<'a> {
    #[serde(rename = "@type")]
    kind: &'static str,
    mac: Address,
    source: NetworkSource<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<Kind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rom: Option<Rom>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<State>,
}

impl<'a> Interface<'a> {
    /// The node's interface on the cluster's network.
    pub(super) fn of(plan: &'a Plan, node: &NodePlan) -> Self {
        Self {
            kind: "network",
            mac: Address {
                address: node.mac.to_string(),
            },
            source: NetworkSource {
                network: &plan.network.name,
            },
            model: None,
            rom: None,
            link: None,
        }
    }

    /// As a virtio device. Without the ROM that boots from the network: nobody does, and it costs time.
    pub(super) fn virtio(self) -> Self {
        Self {
            model: Some(Kind { kind: "virtio" }),
            rom: Some(Rom { enabled: "no" }),
            ..self
        }
    }

    /// Plugged in, or out.
    pub(super) fn linked(self, state: Link) -> Self {
        let state = match state {
            Link::Up => "up",
            Link::Down => "down",
        };
        Self {
            link: Some(State { state }),
            ..self
        }
    }
}

/// Whether an interface's cable is plugged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// It is.
    Up,
    /// It is not: the guest sees no carrier.
    Down,
}

#[derive(Serialize)]
struct State {
    #[serde(rename = "@state")]
    state: &'static str,
}

#[derive(Serialize)]
struct NetworkSource<'a> {
    #[serde(rename = "@network")]
    network: &'a str,
}

/// An element that only says a type.
#[derive(Serialize)]
pub(super) struct Kind {
    #[serde(rename = "@type")]
    pub(super) kind: &'static str,
}

/// An element that only says a model.
#[derive(Serialize)]
pub(super) struct Model {
    #[serde(rename = "@model")]
    pub(super) model: &'static str,
}

#[derive(Serialize)]
struct Rom {
    #[serde(rename = "@enabled")]
    enabled: &'static str,
}
