//! A lab's record, for tests of what works on one.

use super::process::ProcessId;
use super::record::{Connection, operation};
use super::{LabPaths, Record};
use crate::plan::Plan;
use crate::spec::Driver;

/// The record of a private lab, held by this process, that was brought to one plan and is on its way to another.
pub(crate) fn recorded(plan: Option<&Plan>, target: Option<&Plan>) -> Record {
    let cluster = plan.or(target).unwrap().cluster.clone();
    let connection = Connection {
        holder: ProcessId::of(std::process::id()),
        uri: None,
        driver: Driver::Lxc,
        reachable: vec![],
    };
    let mut record = Record::new(&LabPaths::new("/state".into(), &cluster), connection).unwrap();
    record.plan = plan.cloned();
    record.operation = target.and_then(operation);
    record
}

/// Makes the files of a lab whose nodes are somebody else's to run; nothing is known of a cluster yet.
pub(crate) fn kept(paths: &LabPaths, plan: &Plan) {
    super::instance::private_directory(paths.root()).unwrap();
    let connection = Connection {
        holder: None,
        // Never asked: a lab is found by its record.
        uri: Some("lxc:///system".to_owned()),
        driver: plan.driver,
        reachable: vec![],
    };
    let record = Record::new(paths, connection).unwrap();
    record.write(paths).unwrap();
    super::Secrets::ensure(paths, plan.nodes.iter().map(|node| &node.name)).unwrap();
}
