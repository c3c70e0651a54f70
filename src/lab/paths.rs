//! Where a lab keeps what.

use camino::{Utf8Path, Utf8PathBuf};
use jiff::Timestamp;

use crate::name::{ClusterName, NodeName};

/// The paths of one lab, `STATE/labs/CLUSTER/…`; pure, nothing is created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabPaths {
    root: Utf8PathBuf,
    cluster: ClusterName,
}

impl LabPaths {
    /// The lab of `cluster` under the state directory `state` (`REGENT_STATE`).
    pub fn new(state: &Utf8Path, cluster: &ClusterName) -> Self {
        Self {
            root: state.join("labs").join(cluster.as_str()),
            cluster: cluster.clone(),
        }
    }

    /// The cluster that the lab runs.
    pub fn cluster(&self) -> &ClusterName {
        &self.cluster
    }

    /// The state directory, which labs share.
    pub fn state(&self) -> Utf8PathBuf {
        let labs = self.root.parent().unwrap_or(&self.root);
        labs.parent().unwrap_or(labs).to_owned()
    }

    /// The lab's directory, 0700; removed whole by `down`.
    pub fn root(&self) -> &Utf8Path {
        &self.root
    }

    /// Keys and tokens, one file (JSON, 0600).
    pub fn secrets(&self) -> Utf8PathBuf {
        self.root.join("secrets.json")
    }

    /// What the lab is, and what it was last brought to (JSON, 0600; see [`Record`](super::Record)).
    pub fn record(&self) -> Utf8PathBuf {
        self.root.join("lab.json")
    }

    /// Locked exclusively by whoever changes the lab.
    pub fn lock(&self) -> Utf8PathBuf {
        // Outside the lab's directory, so that `down` can hold it while it removes the directory.
        self.root.with_extension("lock")
    }

    /// There while the process that has [`lock`](Self::lock) lends the lab, and locked by whoever it began that changes it.
    pub fn lock_below(&self) -> Utf8PathBuf {
        self.root.join("below.lock")
    }

    /// The administrator's kubeconfig (0600), endpoint: the load balancer.
    pub fn kubeconfig(&self) -> Utf8PathBuf {
        self.root.join("kubeconfig")
    }

    /// What kubeadm had made on nodes before the cluster got its endpoint: files, 0600.
    pub fn saved(&self) -> Utf8PathBuf {
        self.root.join("before-endpoint")
    }

    /// A node's directory. Of a container: overlay (`upper`, `work`, `root`), data directories (`var/…`). Of a virtual
    /// machine: disk, credentials, console log.
    pub fn node(&self, node: &NodeName) -> Utf8PathBuf {
        self.root.join("nodes").join(node.as_str())
    }

    /// Where the disk of a node lies that was given up: nothing boots from it, and `down` removes it with the lab.
    pub fn set_aside(&self, node: &NodeName, at: Timestamp) -> Utf8PathBuf {
        let name = format!("{node}-{}", at.strftime("%Y%m%dT%H%M%SZ"));
        self.root.join("set-aside").join(name)
    }

    /// The private daemon's directories: `etc lib run log cache`.
    pub fn libvirt(&self) -> Utf8PathBuf {
        self.root.join("libvirt")
    }

    /// Every event of every command on this lab, one JSON object a line.
    pub fn events(&self) -> Utf8PathBuf {
        self.root.join("events.jsonl")
    }
}
