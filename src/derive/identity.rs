//! Identifiers by hash: the same for the same names, on any machine.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use crate::plan::{MacAddress, Uuid};
use crate::sha256::hex;

/// Hashes a purpose and a cluster's, and perhaps a node's, name. No name has a NUL in it, so no two inputs meet.
fn hash(purpose: &str, parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"regent/v1");
    for part in [purpose].iter().chain(parts) {
        hash.update(b"\0");
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

/// Returns the UUID of what these names name: version 8 (RFC 9562), that is, by a rule of its own.
pub(super) fn uuid(parts: &[&str]) -> Uuid {
    let digest = hash("uuid", parts);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[6] = 0x80 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    Uuid(bytes)
}

/// Returns the bridge's interface name: `rg` and 10 hexadecimal digits, 12 of the 15 characters that Linux allows.
pub(super) fn bridge(cluster: &str) -> String {
    let digest = hash("bridge", &[cluster]);
    format!("rg{}", hex(&digest[..5]))
}

/// The MAC addresses of one cluster, no two the same.
#[derive(Default)]
pub(super) struct MacAddresses(BTreeSet<MacAddress>);

impl MacAddresses {
    /// Returns a locally administered unicast address by hash; on a collision (2^-40 for a pair) the next hash.
    pub(super) fn draw(&mut self, parts: &[&str]) -> MacAddress {
        let mut attempt = 0_u32;
        loop {
            let number = attempt.to_string();
            let parts: Vec<&str> = parts.iter().copied().chain([number.as_str()]).collect();
            let [a, b, c, d, e, ..] = hash("mac", &parts);
            let mac = MacAddress([0x02, a, b, c, d, e]);
            if self.0.insert(mac) {
                return mac;
            }
            attempt += 1;
        }
    }
}
