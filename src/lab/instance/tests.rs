use super::*;
use crate::derive::{self, Beside};
use crate::lab::tests::kept;
use crate::spec::ClusterSpec;
use camino::Utf8Path;

/// A process that the holder began is refused as anybody is, unless the lab is lent.
#[test]
fn a_lab_is_lent_for_a_while() {
    let scratch = tempfile::tempdir().unwrap();
    let state = Utf8Path::from_path(scratch.path()).unwrap();
    let spec = ClusterSpec::new("demo".parse().unwrap());
    let plan = derive::plan(&spec, crate::spec::Driver::Lxc, Beside::default());
    let paths = LabPaths::new(state, &plan.cluster);
    kept(&paths, &plan);
    let lab = Lab::hold(&paths).unwrap().unwrap();
    // The lock says that the process which began this one has it.
    let holder = format!(
        "process {} (test) since then",
        std::os::unix::process::parent_id()
    );
    fs::write(paths.lock(), holder).unwrap();
    let busy = |told: Result<Option<Lab>, LabError>| matches!(told, Err(LabError::Busy { .. }));
    assert!(busy(Lab::hold(&paths)));
    let lent = lab.lend().unwrap();
    let borrowed = Lab::hold(&paths).unwrap().unwrap();
    assert!(busy(Lab::hold(&paths)), "two at once");
    drop(borrowed);
    drop(lent);
    assert!(busy(Lab::hold(&paths)));
    // A command that goes on without whoever lent it the lab keeps it; afterwards nothing is lent.
    let lent = lab.lend().unwrap();
    let borrowed = Lab::hold(&paths).unwrap().unwrap();
    drop(lent);
    drop(lab);
    let refused = Lab::hold(&paths).unwrap_err().to_string();
    assert!(refused.contains(paths.lock_below().as_str()), "{refused}");
    assert!(busy(lock(&paths).map(|_| None)), "taken down");
    drop(borrowed);
    drop(Lab::hold(&paths).unwrap());
    assert!(!paths.lock_below().exists());
}

#[test]
fn case_secrets_a_lab_with_nodes_never_gets_new_keys_or_a_new_record() {
    let scratch = tempfile::tempdir().unwrap();
    let state = Utf8Path::from_path(scratch.path()).unwrap();
    let paths = LabPaths::new(state, &"demo".parse().unwrap());
    private_directory(paths.root()).unwrap();
    // An `up` that was killed early goes on.
    check_complete(&paths, None, None).unwrap();
    private_directory(&paths.node(&"m1".parse().unwrap())).unwrap();
    let error = check_complete(&paths, None, None).unwrap_err();
    let said = error.to_string();
    assert!(said.contains(paths.record().as_str()), "{said}");
    let connection = Connection {
        holder: None,
        uri: None,
        driver: Driver::Lxc,
        reachable: vec![],
    };
    let record = Record::new(&paths, connection).unwrap();
    let error = check_complete(&paths, Some(&record), None).unwrap_err();
    let said = error.to_string();
    assert!(said.contains(paths.secrets().as_str()), "{said}");
}

#[test]
fn case_second_up() {
    let scratch = tempfile::tempdir().unwrap();
    let state = Utf8Path::from_path(scratch.path()).unwrap();
    let paths = LabPaths::new(state, &"demo".parse().unwrap());
    private_directory(paths.root()).unwrap();
    assert!(Lab::hold(&paths).unwrap().is_none());
    let spec = ClusterSpec::new("demo".parse().unwrap());
    kept(&paths, &derive::plan(&spec, Driver::Lxc, Beside::default()));
    let m1: NodeName = "m1".parse().unwrap();
    let fault = || ActiveFault::now(m1.clone(), "pause", "regent node resume m1");

    let looking = Lab::find(&paths).unwrap().unwrap();
    let error = looking.fault_injected(fault()).unwrap_err();
    assert!(matches!(error, LabError::NotHeld { .. }));

    let holding = Lab::hold(&paths).unwrap().unwrap();
    let error = Lab::hold(&paths).unwrap_err().to_string();
    let id = std::process::id();
    assert!(error.contains(&format!("process {id} (")), "{error}");
    assert!(error.contains(") since "), "{error}");
    Lab::find(&paths).unwrap().unwrap();

    holding.fault_injected(fault()).unwrap();
    holding.fault_injected(fault()).unwrap();
    assert_eq!(Record::read(&paths).unwrap().unwrap().faults.len(), 1);
    holding.fault_reverted(&m1, Some("kill")).unwrap();
    assert_eq!(Record::read(&paths).unwrap().unwrap().faults.len(), 1);
    holding.fault_reverted(&m1, None).unwrap();
    assert_eq!(Record::read(&paths).unwrap().unwrap().faults.len(), 0);
    drop(holding);
    Lab::hold(&paths).unwrap().unwrap();
}
