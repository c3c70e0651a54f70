//! Fingerprints of what was written, kept where it was written, so that a later look knows whether it is still so.

use sha2::{Digest, Sha256};

use crate::plan::NodePlan;

/// Returns the fingerprint of a node's planned files: SHA-256 over path, mode and content, each with its length.
pub(super) fn of_node(node: &NodePlan) -> String {
    let mut hash = Sha256::new();
    for file in &node.files {
        feed(&mut hash, file.path.as_str());
        hash.update(file.mode.to_be_bytes());
        feed(&mut hash, &file.content);
    }
    hex(&hash.finalize())
}

/// Returns the fingerprint of a list of manifests.
pub(super) fn of_manifests(manifests: &[(String, String)]) -> String {
    let mut hash = Sha256::new();
    for (name, text) in manifests {
        feed(&mut hash, name);
        feed(&mut hash, text);
    }
    hex(&hash.finalize())
}

fn feed(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_be_bytes());
    hash.update(text.as_bytes());
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
