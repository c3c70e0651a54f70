//! Fingerprints of what was written, kept where it was written, so that a later look knows whether it is still so.

use crate::plan::NodePlan;
use crate::sha256::Sha256;

/// Returns the fingerprint of a node's planned files: SHA-256 over path, mode and content, each with its length.
pub(super) fn of_node(node: &NodePlan) -> String {
    let mut all = Vec::new();
    for file in &node.files {
        feed(&mut all, file.path.as_str());
        all.extend(file.mode.to_be_bytes());
        feed(&mut all, &file.content);
    }
    Sha256::of(&all).to_string()
}

/// Returns the fingerprint of a list of manifests.
pub(super) fn of_manifests(manifests: &[(String, String)]) -> String {
    let mut all = Vec::new();
    for (name, text) in manifests {
        feed(&mut all, name);
        feed(&mut all, text);
    }
    Sha256::of(&all).to_string()
}

fn feed(all: &mut Vec<u8>, text: &str) {
    all.extend((text.len() as u64).to_be_bytes());
    all.extend(text.as_bytes());
}
