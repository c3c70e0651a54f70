//! `lab.json`: what a lab is, and what it was last brought to. Written by `up`; the faults in it by who injects them.

use std::net::SocketAddrV4;

use camino::{Utf8Path, Utf8PathBuf};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::process::ProcessId;
use super::{LabError, LabPaths, lock};
use crate::file;
use crate::image::NodeImage;
use crate::name::{ClusterName, LabId, NodeName};
use crate::plan::Plan;
use crate::spec::Driver;

/// The version of the file's format that this regent writes.
const VERSION: u32 = 2;

/// What is recorded of a lab. One that cannot be read is an error: nothing counts as absent because of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    version: u32,
    /// What tells the lab from every other.
    pub id: LabId,
    /// Its cluster.
    pub cluster: ClusterName,
    /// How its nodes are reached.
    pub(super) connection: Connection,
    /// The version of the regent that wrote this.
    pub regent: String,
    /// The plan that the cluster was last brought to, whole; none while the first `up` has not ended well.
    pub plan: Option<Plan>,
    /// What each of its nodes boots, and what that is made of; none before the first is made.
    pub image: Option<NodeImage>,
    /// The lock file that the image was made by.
    pub lock_file: Option<LockFile>,
    /// What `up` is doing, or was when it ended early.
    pub operation: Option<Operation>,
    /// The faults that were injected and not reverted.
    pub faults: Vec<ActiveFault>,
}

/// How a lab's nodes are reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Connection {
    /// The process that holds a private lab.
    pub(super) holder: Option<ProcessId>,
    /// The libvirt that the nodes are in, where it is not the lab's own.
    pub(super) uri: Option<String>,
    /// The kind of its nodes.
    pub(super) driver: Driver,
    /// What is reached of nodes on another host.
    pub(super) reachable: Vec<SocketAddrV4>,
}

/// A lock file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockFile {
    /// Where it was; none for the one that is built in.
    pub path: Option<Utf8PathBuf>,
    /// The SHA-256 of its text, in hexadecimal.
    pub sha256: String,
}

/// Something that takes a while and changes the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Operation {
    /// The command, such as `regent up`.
    pub what: String,
    /// The process that does it, or did.
    pub(super) process: ProcessId,
    /// When it began.
    pub since: Timestamp,
    /// The plan that it brings the cluster to.
    pub target: Option<Plan>,
}

impl Operation {
    /// Whether the process that does it still lives.
    pub fn is_running(&self) -> bool {
        self.process.is_alive()
    }
}

/// A fault that is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ActiveFault {
    /// The node that has it.
    pub node: NodeName,
    /// Its name, such as `power-cut`.
    pub fault: String,
    /// The command that injected it, such as `regent verify`.
    pub by: String,
    /// Since when.
    pub since: Timestamp,
    /// The command that reverts it, such as `regent node heal m1`.
    pub revert: String,
}

impl ActiveFault {
    /// A fault that this process injects now.
    pub fn now(node: NodeName, fault: impl Into<String>, revert: impl Into<String>) -> Self {
        Self {
            node,
            fault: fault.into(),
            by: lock::program(),
            since: Timestamp::now(),
            revert: revert.into(),
        }
    }
}

impl Record {
    /// The record of a lab that is made now.
    pub(super) fn new(paths: &LabPaths, connection: Connection) -> Result<Self, LabError> {
        let source = Utf8Path::new("/dev/urandom");
        let id = std::fs::File::open(source)
            .and_then(|mut random| LabId::draw(&mut random))
            .map_err(LabError::io("reading", source))?;
        Ok(Self {
            version: VERSION,
            id,
            cluster: paths.cluster().clone(),
            connection,
            regent: env!("CARGO_PKG_VERSION").to_owned(),
            plan: None,
            image: None,
            lock_file: None,
            operation: None,
            faults: Vec::new(),
        })
    }

    /// Reads a lab's record, running or not; none where there is no such lab.
    ///
    /// # Errors
    /// When it is damaged, of a later regent, or cannot be read.
    pub fn read(paths: &LabPaths) -> Result<Option<Self>, LabError> {
        Ok(file::read_versioned(&paths.record(), VERSION)?)
    }

    /// Writes it, whole.
    pub(super) fn write(&self, paths: &LabPaths) -> Result<(), LabError> {
        let path = paths.record();
        file::write_json(&path, self).map_err(LabError::io("writing", &path))
    }

    /// The plan that stands for what runs: the one that the cluster was last brought to, or, before the first `up` has
    /// ended well, the one that it is being brought to.
    pub fn running(&self) -> Option<&Plan> {
        self.plan.as_ref().or_else(|| self.target())
    }

    /// The plan that an `up` which has not ended well was bringing the cluster to.
    pub fn target(&self) -> Option<&Plan> {
        self.operation.as_ref()?.target.as_ref()
    }
}

/// Takes a plan as the one that is being brought about, for an operation of this process.
pub(super) fn operation(target: &Plan) -> Option<Operation> {
    Some(Operation {
        what: lock::program(),
        process: ProcessId::of(std::process::id())?,
        since: Timestamp::now(),
        target: Some(target.clone()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derive;
    use crate::file::ReadError;
    use crate::spec::ClusterSpec;

    fn scratch() -> (tempfile::TempDir, LabPaths) {
        let directory = tempfile::tempdir().unwrap();
        let state = Utf8Path::from_path(directory.path()).unwrap();
        let paths = LabPaths::new(state, &"demo".parse().unwrap());
        std::fs::create_dir_all(paths.root()).unwrap();
        (directory, paths)
    }

    fn record(paths: &LabPaths) -> Record {
        let connection = Connection {
            holder: ProcessId::of(std::process::id()),
            uri: None,
            driver: Driver::Lxc,
            reachable: vec!["198.18.0.11:22".parse().unwrap()],
        };
        let spec = ClusterSpec::new("demo".parse().unwrap());
        let manifests = vec![("a.yaml".to_owned(), "kind: X\n".to_owned())];
        let beside = derive::Beside {
            manifests,
            ..derive::Beside::default()
        };
        let plan = derive::plan(&spec, Driver::Lxc, beside);
        let mut record = Record::new(paths, connection).unwrap();
        record.operation = operation(&plan);
        record.plan = Some(plan);
        record.lock_file = Some(LockFile {
            path: None,
            sha256: "ab".repeat(32),
        });
        record.image = Some(NodeImage {
            root: "/store/root".into(),
            containerd: "/store/containerd".into(),
            machine: None,
            parts: vec![("node-root".to_owned(), "/store/root".into())],
        });
        let node = "m1".parse().unwrap();
        record.faults = vec![ActiveFault::now(node, "pause", "regent node resume m1")];
        record
    }

    #[test]
    fn a_record_reads_back_whole_and_no_two_labs_have_one_identifier() {
        let (_directory, paths) = scratch();
        assert_eq!(Record::read(&paths).unwrap(), None);
        let record = record(&paths);
        record.write(&paths).unwrap();
        assert_eq!(Record::read(&paths).unwrap(), Some(record.clone()));
        assert!(record.operation.as_ref().unwrap().is_running());
        assert_ne!(self::record(&paths).id, record.id);
    }

    /// A record that was cut short anywhere, made by the first regent, or by a later one, is never an absent lab.
    #[test]
    fn case_secrets_a_damaged_record_is_an_error_and_nothing_is_written() {
        let (_directory, paths) = scratch();
        record(&paths).write(&paths).unwrap();
        let whole = std::fs::read_to_string(paths.record()).unwrap();
        let first = r#"{"holder": {"pid": 1, "started": 2}, "uri": null, "driver": "lxc"}"#;
        let later = whole.replace("\"version\": 2", "\"version\": 3");
        let foreign = whole.replace("\"faults\"", "\"flaws\"");
        for damage in ["", "{", &whole[..whole.len() / 2], first, &later, &foreign] {
            std::fs::write(paths.record(), damage).unwrap();
            let error = Record::read(&paths).unwrap_err();
            assert!(error.to_string().contains(paths.record().as_str()));
            assert_eq!(
                matches!(&error, LabError::File(ReadError::Later { .. })),
                damage == later
            );
            assert_eq!(std::fs::read_to_string(paths.record()).unwrap(), damage);
        }
    }

    #[test]
    fn what_runs_is_what_was_reached_and_else_what_is_on_its_way() {
        let (_directory, paths) = scratch();
        let mut record = record(&paths);
        let mut wanted = record.plan.clone().unwrap();
        wanted.nodes.pop();
        record.operation = operation(&wanted);
        assert_eq!(record.running(), record.plan.as_ref());
        record.plan = None;
        assert_eq!(record.running(), Some(&wanted));
        record.operation = None;
        assert_eq!(record.running(), None);
    }
}
