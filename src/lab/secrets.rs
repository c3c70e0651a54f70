//! What only this lab may know. Generated once from the operating system's randomness, kept 0600, never printed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::name::NodeName;
use crate::node::KeyPair;

/// The lab's secrets. `Debug` shows nothing of them.
#[derive(Clone, Serialize, Deserialize)]
pub struct Secrets {
    /// regent's own key, authorised for root on every node.
    pub client: KeyPair,
    /// Each node's host key.
    pub hosts: NodeKeys,
}

/// Each node's host key.
pub type NodeKeys = BTreeMap<NodeName, KeyPair>;

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(…)")
    }
}
