//! `cluster.yaml` on the disk: read, with the manifests that it names, and planned.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};

use crate::name::ClusterName;
use crate::plan::{self, Plan};
use crate::spec::{self, Diagnostics, DriverChoice, DriverDecision, Machine};

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
    /// The file is wrong.
    #[error("{} mistakes in the cluster's file", .0.errors())]
    Wrong(Diagnostics),
}

impl ClusterFile {
    /// Reads the file at `path`, which must fit into `machine`. Where it leaves the driver open, `auto` decides for the
    /// cluster.
    ///
    /// # Errors
    /// When the file or a manifest cannot be read, or the file is wrong.
    pub fn read(
        path: &Utf8Path,
        machine: &Machine,
        auto: impl FnOnce(&ClusterName) -> DriverDecision,
    ) -> Result<Self, ClusterFileError> {
        let text = std::fs::read_to_string(path).map_err(unreadable(path))?;
        let loaded = spec::load(&text, path.as_str(), machine).map_err(ClusterFileError::Wrong)?;
        let manifests = match &loaded.spec.manifests {
            Some(directory) => manifests(&path.with_file_name(directory))?,
            None => Vec::new(),
        };
        let hypervisor = &loaded.spec.hypervisor;
        let choice = hypervisor.driver;
        let driver = choice.resolve(&hypervisor.connect, || auto(&loaded.spec.name));
        Ok(Self {
            choice,
            plan: plan::derive(&loaded.spec, driver.driver, manifests),
            driver,
            warnings: loaded.warnings,
        })
    }
}

/// The manifests of a directory, as name and text, in the order of their names whatever the locale.
fn manifests(directory: &Utf8Path) -> Result<Vec<(String, String)>, ClusterFileError> {
    let mut manifests = Vec::new();
    for entry in directory.read_dir_utf8().map_err(unreadable(directory))? {
        let path = entry.map_err(unreadable(directory))?.into_path();
        if matches!(path.extension(), Some("yaml" | "yml" | "json")) {
            let text = std::fs::read_to_string(&path).map_err(unreadable(&path))?;
            manifests.push((path.file_name().unwrap_or_default().to_owned(), text));
        }
    }
    manifests.sort();
    Ok(manifests)
}

fn unreadable(path: &Utf8Path) -> impl FnOnce(io::Error) -> ClusterFileError {
    let path = path.to_owned();
    move |source| ClusterFileError::Read { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Driver;

    fn auto(_: &ClusterName) -> DriverDecision {
        DriverDecision {
            driver: Driver::Lxc,
            reason: String::new(),
        }
    }

    fn write(directory: &Utf8Path, name: &str, text: &str) -> Utf8PathBuf {
        let path = directory.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn manifests_stand_beside_the_file_and_come_in_order() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = Utf8Path::from_path(scratch.path()).unwrap();
        let text = "apiVersion: regent/v1\nname: demo\nmanifests: apps\n";
        let file = write(directory, "cluster.yaml", text);
        write(directory, "apps/20-b.yml", "b");
        write(directory, "apps/10-a.yaml", "a");
        write(directory, "apps/README.md", "not a manifest");
        let read = ClusterFile::read(&file, &Machine::default(), auto).unwrap();
        let expected = [("10-a.yaml", "a"), ("20-b.yml", "b")];
        assert_eq!(
            read.plan.manifests,
            expected.map(|(name, text)| (name.to_owned(), text.to_owned()))
        );
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
