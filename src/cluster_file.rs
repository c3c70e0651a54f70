//! `cluster.yaml` on the disk: read, with what it names beside it, and planned.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};

use crate::beside::{self, BesideError};
use crate::derive::{self, Beside};
use crate::lab::LabError;
use crate::name::ClusterName;
use crate::plan::Plan;
use crate::spec::{self, Diagnostics, Driver, DriverChoice, DriverDecision, Machine};
use crate::yaml::{self, Value};

/// A file that is valid, and its plan.
#[derive(Debug)]
pub struct ClusterFile {
    /// What will be.
    pub plan: Plan,
    /// Which kind of node was wished for.
    pub choice: DriverChoice,
    /// Which it is, and why.
    pub driver: DriverDecision,
    /// What the user should look at.
    pub warnings: Diagnostics,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterFileError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What stands beside it is of no use.
    #[error(transparent)]
    Beside(#[from] BesideError),
    /// What kind of node the cluster has, or would have, cannot be found out.
    #[error(transparent)]
    Lab(LabError),
    /// The file is wrong.
    #[error("the cluster's file has {}", mistakes(.0))]
    Wrong(Diagnostics),
}

impl ClusterFile {
    /// Reads the file at `path`, which must fit into `machine`. Where it leaves the driver open, `auto` decides for the
    /// cluster.
    ///
    /// # Errors
    /// When the file, a manifest or a patch cannot be read, or is wrong.
    pub fn read(
        path: &Utf8Path,
        machine: &Machine,
        auto: impl FnOnce(&ClusterName) -> Result<DriverDecision, LabError>,
    ) -> Result<Self, ClusterFileError> {
        Self::read_with(path, machine, auto, true)
    }

    /// The same without what stands beside the file: neither manifests nor patches nor archives are looked at.
    ///
    /// # Errors
    /// When the file cannot be read or is wrong.
    pub fn read_alone(
        path: &Utf8Path,
        machine: &Machine,
        auto: impl FnOnce(&ClusterName) -> Result<DriverDecision, LabError>,
    ) -> Result<Self, ClusterFileError> {
        Self::read_with(path, machine, auto, false)
    }

    fn read_with(
        path: &Utf8Path,
        machine: &Machine,
        auto: impl FnOnce(&ClusterName) -> Result<DriverDecision, LabError>,
        whole: bool,
    ) -> Result<Self, ClusterFileError> {
        let text = std::fs::read_to_string(path).map_err(unreadable(path))?;
        let loaded = spec::load(&text, path.as_str(), machine).map_err(ClusterFileError::Wrong)?;
        let beside = match whole {
            true => beside::read(&loaded.spec, path)?,
            false => Beside::default(),
        };
        let hypervisor = &loaded.spec.hypervisor;
        let choice = hypervisor.driver;
        let mut failed = None;
        let driver = choice.resolve(&hypervisor.connect, || {
            auto(&loaded.spec.name).unwrap_or_else(|error| {
                failed = Some(error);
                DriverDecision {
                    driver: Driver::Lxc,
                    reason: String::new(),
                }
            })
        });
        if let Some(error) = failed {
            return Err(ClusterFileError::Lab(error));
        }
        Ok(Self {
            choice,
            plan: derive::plan(&loaded.spec, driver.driver, beside),
            driver,
            warnings: loaded.warnings,
        })
    }
}

/// Reads the cluster's name from a file, whatever else is wrong with it and whatever it names.
///
/// # Errors
/// When the file cannot be read, or the name cannot be found in it.
pub fn name(path: &Utf8Path) -> Result<ClusterName, ClusterFileError> {
    let text = std::fs::read_to_string(path).map_err(unreadable(path))?;
    if let Some(name) = name_in(&text) {
        return Ok(name);
    }
    match spec::load(&text, path.as_str(), &Machine::default()) {
        Ok(loaded) => Ok(loaded.spec.name),
        Err(diagnostics) => Err(ClusterFileError::Wrong(diagnostics)),
    }
}

fn name_in(text: &str) -> Option<ClusterName> {
    if let Ok(Some(root)) = yaml::parse(text)
        && let Value::Mapping(entries) = root.value
    {
        let is_name = |key: &Value| matches!(key, Value::Scalar { text, .. } if text == "name");
        let mut named = entries.into_iter().filter(|(key, _)| is_name(&key.value));
        return match (named.next()?.1.value, named.next()) {
            (Value::Scalar { text, .. }, None) => text.parse().ok(),
            // Twice is as good as never.
            _ => None,
        };
    }
    // No YAML any more: a line that says nothing else.
    let mut named = text.lines().filter_map(|line| line.strip_prefix("name:"));
    let said = named.next()?.split('#').next()?.trim();
    match named.next() {
        None => said.trim_matches(['"', '\'']).parse().ok(),
        Some(_) => None,
    }
}

/// How many mistakes there are, in words.
fn mistakes(diagnostics: &Diagnostics) -> String {
    match diagnostics.errors() {
        1 => "a mistake".to_owned(),
        errors => format!("{errors} mistakes"),
    }
}

fn unreadable(path: &Utf8Path) -> impl FnOnce(io::Error) -> ClusterFileError {
    let path = path.to_owned();
    move |source| ClusterFileError::Read { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auto(_: &ClusterName) -> Result<DriverDecision, LabError> {
        Ok(DriverDecision {
            driver: Driver::Lxc,
            reason: String::new(),
        })
    }

    fn write(directory: &Utf8Path, name: &str, text: &str) -> Utf8PathBuf {
        let path = directory.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn manifests_stand_beside_the_file() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = Utf8Path::from_path(scratch.path()).unwrap();
        let text = "apiVersion: regent/v1\nname: demo\nmanifests: apps\n";
        let file = write(directory, "cluster.yaml", text);
        let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
        write(directory, "apps/a.yaml", map);
        let read = ClusterFile::read(&file, &Machine::default(), auto).unwrap();
        assert_eq!(read.plan.manifests, [("a.yaml".to_owned(), map.to_owned())]);
    }

    /// `down` and `status` need the name and nothing else.
    #[test]
    fn a_name_is_found_in_a_file_that_is_broken_elsewhere() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = Utf8Path::from_path(scratch.path()).unwrap();
        for text in [
            "apiVersion: regent/v1\nname: demo\n",
            "name: demo\nmanifests: nowhere\ncontrolPlane: {count: 99}\n",
            "name: \"demo\" # mine\nworkers: [\n",
            "workers:\n\tcount: 2\nname: demo\n",
            "{name: demo}",
        ] {
            let file = write(directory, "cluster.yaml", text);
            assert_eq!(name(&file).unwrap().as_str(), "demo", "{text}");
        }
        for text in [
            "",
            "name: Demo\n",
            "name: a\nname: b\n",
            "workers: [\n",
            "- name: demo\n",
        ] {
            let file = write(directory, "cluster.yaml", text);
            name(&file).unwrap_err();
        }
    }

    #[test]
    fn a_file_can_be_read_without_its_manifests() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = Utf8Path::from_path(scratch.path()).unwrap();
        let text = "apiVersion: regent/v1\nname: demo\nmanifests: nowhere\n";
        let file = write(directory, "cluster.yaml", text);
        let read = ClusterFile::read_alone(&file, &Machine::default(), auto).unwrap();
        assert_eq!(read.plan.manifests, []);
        ClusterFile::read(&file, &Machine::default(), auto).unwrap_err();
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = Utf8Path::from_path(scratch.path()).unwrap();
        let absent = directory.join("cluster.yaml");
        let error = ClusterFile::read(&absent, &Machine::default(), auto).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot read {absent}"));
        let text = "apiVersion: regent/v1\nname: demo\nmanifests: apps\n";
        let file = write(directory, "cluster.yaml", text);
        let error = ClusterFile::read(&file, &Machine::default(), auto).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("cannot read {}", directory.join("apps"))
        );
    }
}
