//! Where another host keeps what its virtual machines are made of: a storage pool, which is a directory there.

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::name::{ClusterName, NodeName};
use crate::xml::{self, XmlError};

/// The pool's name.
pub const POOL: &str = "regent";

/// The pool's identifier, `regent volumes` in ASCII: libvirt keeps no other mark of whose a pool is.
pub const POOL_UUID: &str = "72656765-6e74-2076-6f6c-756d65730000";

/// The pool's directory there.
pub const DIRECTORY: &str = "/var/lib/regent/volumes";

/// A volume's path there.
pub fn path(volume: &str) -> Utf8PathBuf {
    Utf8Path::new(DIRECTORY).join(volume)
}

/// The name of a volume that is a domain's own.
pub fn of_domain(domain: &str, name: &str) -> String {
    format!("{domain}.{name}")
}

/// Whether a volume is a domain's own, and the domain of the cluster.
pub fn is_of_cluster(volume: &str, cluster: &ClusterName) -> bool {
    volume
        .strip_prefix(cluster.as_str())
        .and_then(|rest| rest.strip_prefix('-'))
        .and_then(|rest| rest.split_once('.'))
        // A node's name has no hyphen, or `a-b-m1` could be of cluster `a` as well as of `a-b`.
        .is_some_and(|(node, _)| !node.contains('-') && node.parse::<NodeName>().is_ok())
}

/// Writes the pool's document. Whoever runs QEMU may look for a name in it that they know, and nothing more.
pub fn pool() -> Result<String, XmlError> {
    xml::to_string(
        "pool",
        &Pool {
            kind: "dir",
            name: POOL,
            uuid: POOL_UUID,
            target: Target {
                path: Some(DIRECTORY),
                format: None,
                permissions: Permissions { mode: "0711" },
            },
        },
    )
}

/// Reads the identifier from a pool's document.
pub fn pool_uuid(pool: &str) -> Result<String, XmlError> {
    #[derive(Deserialize)]
    struct Document {
        uuid: String,
    }
    Ok(xml::from_str::<Document>(pool)?.uuid)
}

/// Writes the document of a volume that is a file of so many bytes, as it is: for everybody to read, or for its owner
/// alone.
pub fn raw_volume(name: &str, bytes: u64, secret: bool) -> Result<String, XmlError> {
    let mode = if secret { "0600" } else { "0644" };
    volume(name, bytes, "raw", mode, None)
}

/// Writes the document of a volume that shows another one, `below`, and keeps what is written to it for itself.
pub fn overlay_volume(name: &str, bytes: u64, below: &Utf8Path) -> Result<String, XmlError> {
    let below = Backing {
        path: below.as_str(),
        format: Format { kind: "raw" },
    };
    volume(name, bytes, "qcow2", "0600", Some(below))
}

fn volume(
    name: &str,
    bytes: u64,
    format: &'static str,
    mode: &'static str,
    below: Option<Backing<'_>>,
) -> Result<String, XmlError> {
    xml::to_string(
        "volume",
        &Volume {
            name,
            capacity: Bytes {
                unit: "bytes",
                value: bytes,
            },
            // What is not written takes no room.
            allocation: Bytes {
                unit: "bytes",
                value: 0,
            },
            target: Target {
                path: None,
                format: Some(Format { kind: format }),
                permissions: Permissions { mode },
            },
            below,
        },
    )
}

#[derive(Serialize)]
struct Pool {
    #[serde(rename = "@type")]
    kind: &'static str,
    name: &'static str,
    uuid: &'static str,
    target: Target,
}

#[derive(Serialize)]
struct Target {
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Format>,
    permissions: Permissions,
}

#[derive(Serialize)]
struct Permissions {
    mode: &'static str,
}

#[derive(Serialize)]
struct Format {
    #[serde(rename = "@type")]
    kind: &'static str,
}

#[derive(Serialize)]
struct Volume<'a> {
    name: &'a str,
    capacity: Bytes,
    allocation: Bytes,
    target: Target,
    #[serde(rename = "backingStore", skip_serializing_if = "Option::is_none")]
    below: Option<Backing<'a>>,
}

#[derive(Serialize)]
struct Bytes {
    #[serde(rename = "@unit")]
    unit: &'static str,
    #[serde(rename = "$text")]
    value: u64,
}

#[derive(Serialize)]
struct Backing<'a> {
    path: &'a str,
    format: Format,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_name_their_cluster() {
        let demo = "demo".parse().unwrap();
        assert!(is_of_cluster("demo-m1.disk.qcow2", &demo));
        assert!(is_of_cluster("demo-lb1.network.network.10-lab", &demo));
        for other in [
            "demo-b-m1.disk.qcow2",
            "0123456789abcdef0123456789abcdef-machine-disk-1.35.4",
            "0123456789abcdef0123456789abcdef-kernel-6.12.94+deb13",
            "demo-m1",
            "demo",
        ] {
            assert!(!is_of_cluster(other, &demo), "{other}");
        }
        assert!(is_of_cluster("demo-b-m1.x", &"demo-b".parse().unwrap()));
    }

    #[test]
    fn a_pool_is_known_again() {
        assert_eq!(pool_uuid(&pool().unwrap()).unwrap(), POOL_UUID);
        pool_uuid("<pool/>").unwrap_err();
    }
}
