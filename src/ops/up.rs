//! `up`, up to where the recipe begins: what cannot be is refused before anything is built or touched.

use camino::{Utf8Path, Utf8PathBuf};

use super::OpsError;
use super::error::maker;
use crate::event::Events;
use crate::image::{self, NodeImage};
use crate::lab::{Lab, LabPaths, LockFile, Record};
use crate::plan::Plan;
use crate::recipe;

/// Refuses what the lab's running cluster cannot become, and another image than its nodes boot.
///
/// # Errors
/// When it is refused, or a file of the lab is damaged.
pub fn check(paths: &LabPaths, store: &Utf8Path, plan: &Plan) -> Result<(), OpsError> {
    recipe::check_reachable(paths, plan)?;
    let Some(record) = Record::read(paths)? else {
        return Ok(());
    };
    let Some(image) = &record.image else {
        return Ok(());
    };
    let wanted = image::names(store, plan.kubernetes, plan.driver)?;
    let parts = differing(&image.parts, &wanted);
    if parts.is_empty() {
        return Ok(());
    }
    Err(OpsError::OtherImage {
        parts,
        recorded: maker(&record.regent, record.lock_file.as_ref()),
        current: maker(env!("CARGO_PKG_VERSION"), Some(&lock_file()?)),
    })
}

/// Makes the lab exist and takes it, to bring it to `plan`: records what its nodes boot, and keeps that in the store
/// until the lab is down.
///
/// # Errors
/// When somebody else holds it, a file of it is damaged, or the machine lacks something.
pub fn enter(
    paths: &LabPaths,
    store: &Utf8Path,
    plan: &Plan,
    image: &NodeImage,
    events: &Events,
) -> Result<Lab, OpsError> {
    let lock_file = lock_file()?;
    let lab = Lab::enter(paths, plan, events)?;
    lab.boots(image, Some(&lock_file))?;
    image::retain(store, image, paths.root())?;
    Ok(lab)
}

/// The lock file in force.
fn lock_file() -> Result<LockFile, OpsError> {
    let (path, sha256) = image::Lock::identity().map_err(image::ImageError::from)?;
    Ok(LockFile {
        path,
        sha256: sha256.to_string(),
    })
}

/// The names of the parts that are not the same in both, in order.
fn differing(recorded: &[(String, Utf8PathBuf)], wanted: &[(String, Utf8PathBuf)]) -> Vec<String> {
    let all = recorded.iter().chain(wanted);
    let only_in_one = all.filter(|part| !(recorded.contains(part) && wanted.contains(part)));
    let mut names: Vec<String> = only_in_one.map(|(name, _)| name.clone()).collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derive::{self, Beside};
    use crate::lab::tests::recorded;
    use crate::spec::{ClusterSpec, Driver};

    /// The running nodes' lower directories and backing files are what they boot, whatever lies in the current directory.
    #[test]
    fn case_gc() {
        let scratch = tempfile::tempdir().unwrap();
        let state = Utf8Path::from_path(scratch.path()).unwrap();
        let store = state.join("store");
        let spec = ClusterSpec::new("demo".parse().unwrap());
        let plan = derive::plan(&spec, Driver::Lxc, Beside::default());
        let paths = LabPaths::new(state, &plan.cluster);
        std::fs::create_dir_all(paths.root()).unwrap();
        check(&paths, &store, &plan).unwrap();

        let mut record = recorded(Some(&plan), None);
        let mut image = NodeImage {
            root: "/store/root".into(),
            containerd: "/store/containerd".into(),
            machine: None,
            parts: image::names(&store, plan.kubernetes, plan.driver).unwrap(),
        };
        let write = |record: &Record| {
            crate::file::write_json(&paths.record(), record).unwrap();
        };
        record.image = Some(image.clone());
        write(&record);
        check(&paths, &store, &plan).unwrap();

        image.parts[0].1 = "/store/other".into();
        let name = image.parts[0].0.clone();
        record.image = Some(image);
        record.lock_file = Some(LockFile {
            path: Some("/elsewhere/regent.lock".into()),
            sha256: "ab".repeat(32),
        });
        write(&record);
        let said = check(&paths, &store, &plan).unwrap_err().to_string();
        assert!(said.contains(&name), "{said}");
        assert!(said.contains("/elsewhere/regent.lock"), "{said}");
        // It only looked: nothing was made, least of all a store.
        assert!(!store.exists());
        assert_eq!(Record::read(&paths).unwrap(), Some(record));
    }
}
