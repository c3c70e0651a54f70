//! What of a plan a running cluster cannot shed, remembered by the lab, so that a changed `cluster.yaml` that
//! cannot be reached is refused before anything is touched.

use std::collections::BTreeMap;
use std::fmt;

use camino::Utf8Path;
use serde::{Deserialize, Serialize};

use crate::name::NodeName;
use crate::plan::{NodeRole, Plan};
use crate::recipe::RecipeError;

/// The facts of a plan that are fixed once a cluster runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Shape {
    /// Facts by their path in `cluster.yaml`, as text.
    facts: BTreeMap<String, String>,
    /// Every node: role, processors, memory in bytes.
    nodes: BTreeMap<NodeName, String>,
}

/// A change that cannot be carried out on a running cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreachable {
    /// A fact has another value.
    Fact {
        /// Its path in `cluster.yaml`.
        key: String,
        /// The running cluster's value.
        now: String,
        /// The wanted value.
        wanted: String,
    },
    /// A node is no longer in the plan.
    Removed(NodeName),
    /// A node has another size.
    Resized {
        /// Which.
        node: NodeName,
        /// As it runs.
        now: String,
        /// As it is wanted.
        wanted: String,
    },
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fact { key, now, wanted } => {
                write!(f, "`{key}` is {now} and cannot become {wanted}")
            }
            Self::Removed(node) => write!(f, "node {node} cannot be taken out"),
            Self::Resized { node, now, wanted } => {
                write!(f, "node {node} is {now} and cannot become {wanted}")
            }
        }
    }
}

impl Shape {
    /// Takes the shape of a plan.
    pub fn of(plan: &Plan) -> Self {
        let network = &plan.network;
        let facts = [
            ("kubernetes", plan.kubernetes.to_string()),
            ("certificates", format!("{:?}", plan.certificates)),
            ("loadBalancer.tuning", format!("{:?}", plan.tuning)),
            ("network.cidr", network.cidr.to_string()),
            ("network.podSubnet", network.pod_subnet.to_string()),
            ("network.serviceSubnet", network.service_subnet.to_string()),
            ("hypervisor.driver", format!("{:?}", plan.driver)),
            ("hypervisor.connect", format!("{:?}", plan.connect)),
        ];
        let size = |role: NodeRole, cpus: u8, memory: u64| {
            format!("{role:?} with {cpus} cpus and {memory} bytes")
        };
        Self {
            facts: facts
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect(),
            nodes: plan
                .nodes
                .iter()
                .map(|node| (node.name.clone(), size(node.role, node.cpus, node.memory.0)))
                .collect(),
        }
    }

    /// Returns every change from `self` to `wanted` that a running cluster cannot make. New nodes are no such change.
    pub fn unreachable(&self, wanted: &Self) -> Vec<Unreachable> {
        let mut found = Vec::new();
        for (key, now) in &self.facts {
            if let Some(new) = wanted.facts.get(key).filter(|new| *new != now) {
                found.push(Unreachable::Fact {
                    key: key.clone(),
                    now: now.clone(),
                    wanted: new.clone(),
                });
            }
        }
        for (node, now) in &self.nodes {
            match wanted.nodes.get(node) {
                None => found.push(Unreachable::Removed(node.clone())),
                Some(new) if new != now => found.push(Unreachable::Resized {
                    node: node.clone(),
                    now: now.clone(),
                    wanted: new.clone(),
                }),
                Some(_) => {}
            }
        }
        found
    }

    /// Reads the shape that the lab remembers; none for a lab where nothing was made yet.
    pub fn read(path: &Utf8Path) -> Result<Option<Self>, RecipeError> {
        let file = |source| RecipeError::File {
            path: path.to_owned(),
            source,
        };
        match std::fs::read(path) {
            Ok(bytes) => Ok(Some(
                serde_json::from_slice(&bytes).map_err(|error| file(error.into()))?,
            )),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(file(error)),
        }
    }

    /// Remembers the shape.
    pub fn write(&self, path: &Utf8Path) -> Result<(), RecipeError> {
        let file = |source| RecipeError::File {
            path: path.to_owned(),
            source,
        };
        let bytes = serde_json::to_vec_pretty(self).map_err(|error| file(error.into()))?;
        crate::lab::write_private(path, &bytes).map_err(file)
    }
}
