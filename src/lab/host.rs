//! What labs share on a machine: their names, and the host's settings that they need.
//!
//! Lives in `/run/regent`, which a boot empties together with the settings: `labs/CLUSTER.json` for each
//! lab, `settings.json` with the values to put back. Everything here happens under one short lock.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::lock::{Lock, LockError};
use super::{LabError, LabPaths, holder, write_private};
use crate::event::Events;
use crate::name::ClusterName;
use crate::spec::Connect;

/// The setting that nodes exhaust: the default of 128 is used up by four nodes, and kube-proxy then dies
/// with "too many open files". 8192 is enough for any lab that fits a machine.
const INOTIFY: (&str, u64) = ("fs/inotify/max_user_instances", 8192);

/// Whoever holds the machine's lock does a handful of small file operations.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the machine's labs are registered, and its settings.
#[derive(Debug, Clone)]
pub(super) struct Host {
    registry: Utf8PathBuf,
    sysctl: Utf8PathBuf,
}

/// A lab's registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Registration {
    /// The lab's directory.
    root: Utf8PathBuf,
    /// Whether nothing but the directory says that it lives: its nodes are in somebody else's libvirt.
    shared: bool,
}

impl Registration {
    /// Whether the lab it stands for still exists in some form.
    fn is_alive(&self) -> bool {
        (self.shared && self.root.exists()) || !holder::marked(&self.root).is_empty()
    }
}

impl Host {
    /// This machine.
    pub(super) fn new() -> Self {
        Self {
            registry: "/run/regent".into(),
            sysctl: "/proc/sys".into(),
        }
    }

    /// Takes the cluster's name for the lab and raises what nodes on this machine need. Refused while another lab with
    /// that name lives: the names of its domains and cgroup directories would be the same.
    pub(super) fn register(
        &self,
        paths: &LabPaths,
        connect: &Connect,
        events: &Events,
    ) -> Result<(), LabError> {
        let shared = *connect != Connect::Private;
        let lock = self.lock()?;
        let file = self.registration(paths.cluster());
        if let Some(other) = read::<Registration>(&file)?
            && other.root != paths.root()
            && other.is_alive()
        {
            return Err(LabError::NameTaken {
                cluster: paths.cluster().clone(),
                root: other.root,
            });
        }
        let root = paths.root().to_owned();
        write(&file, &Registration { root, shared })?;
        let raised = match connect {
            Connect::Private | Connect::Uri(_) => self.raise(events),
            Connect::Remote(_) => Ok(()),
        };
        drop(lock);
        raised
    }

    /// Whether the cluster's name is this lab's, or nobody's.
    pub(super) fn is_ours(&self, paths: &LabPaths) -> Result<bool, LabError> {
        let other = read::<Registration>(&self.registration(paths.cluster()))?;
        Ok(other.is_none_or(|other| other.root == paths.root() || !other.is_alive()))
    }

    /// Gives the name back and, when no lab is left, the settings their old values.
    pub(super) fn unregister(&self, paths: &LabPaths, events: &Events) -> Result<(), LabError> {
        if !self.registry.exists() && !self.registry.with_extension("lock").exists() {
            return Ok(());
        }
        let lock = self.lock()?;
        let ours = self.registration(paths.cluster());
        if read::<Registration>(&ours)?.is_some_and(|other| other.root == paths.root()) {
            fs::remove_file(&ours).map_err(LabError::io("removing", &ours))?;
        }
        if self.living()? {
            return Ok(());
        }
        self.put_back(events)?;
        fs::remove_dir_all(&self.registry).map_err(LabError::io("removing", &self.registry))?;
        lock.remove()
            .map_err(LabError::io("removing the lock of", &self.registry))
    }

    /// Returns the registered labs of other state directories: cluster and directory.
    pub(super) fn elsewhere(&self, state: &Utf8Path) -> Vec<(ClusterName, Utf8PathBuf)> {
        let entries = self
            .registry
            .join("labs")
            .read_dir_utf8()
            .into_iter()
            .flatten()
            .flatten();
        entries
            .filter_map(|entry| {
                let cluster = entry.path().file_stem()?.parse().ok()?;
                let root = read::<Registration>(entry.path()).ok()??.root;
                (!root.starts_with(state)).then_some((cluster, root))
            })
            .collect()
    }

    /// Whether any registered lab lives; registrations of dead ones are dropped.
    fn living(&self) -> Result<bool, LabError> {
        let directory = self.registry.join("labs");
        let mut living = false;
        for entry in directory
            .read_dir_utf8()
            .map_err(LabError::io("reading", &directory))?
        {
            let file = entry
                .map_err(LabError::io("reading", &directory))?
                .into_path();
            if read::<Registration>(&file)?.is_some_and(|lab| lab.is_alive()) {
                living = true;
            } else {
                fs::remove_file(&file).map_err(LabError::io("removing", &file))?;
            }
        }
        Ok(living)
    }

    fn raise(&self, events: &Events) -> Result<(), LabError> {
        let (name, wanted) = INOTIFY;
        let file = self.sysctl.join(name);
        let current = self.setting(name)?;
        if current >= wanted {
            return Ok(());
        }
        let settings = self.registry.join("settings.json");
        let mut old: BTreeMap<String, u64> = read(&settings)?.unwrap_or_default();
        // What was there before the first lab is what counts, and it must be on record before it is gone.
        old.entry(name.to_owned()).or_insert(current);
        write(&settings, &old)?;
        match fs::write(&file, wanted.to_string()) {
            Ok(()) => events.note(format!(
                "raised {} from {current} to {wanted} on this machine; `down` puts it back",
                name.replace('/', ".")
            )),
            Err(error) => events.warn(format!(
                "{} is {current} and cannot be raised ({error}): more than three nodes need {wanted}",
                name.replace('/', ".")
            )),
        }
        Ok(())
    }

    fn put_back(&self, events: &Events) -> Result<(), LabError> {
        let old: BTreeMap<String, u64> =
            read(&self.registry.join("settings.json"))?.unwrap_or_default();
        for (name, value) in old {
            let current = self.setting(&name)?;
            // Whoever has set another value since then meant it.
            if current == INOTIFY.1 && current != value {
                let file = self.sysctl.join(&name);
                fs::write(&file, value.to_string()).map_err(LabError::io("writing", &file))?;
                events.note(format!("put {} back to {value}", name.replace('/', ".")));
            }
        }
        Ok(())
    }

    fn setting(&self, name: &str) -> Result<u64, LabError> {
        let file = self.sysctl.join(name);
        let text = fs::read_to_string(&file).map_err(LabError::io("reading", &file))?;
        let number = text
            .trim()
            .parse()
            .map_err(|_| io::Error::other(format!("`{}` is no number", text.trim())));
        number.map_err(LabError::io("reading", &file))
    }

    fn registration(&self, cluster: &ClusterName) -> Utf8PathBuf {
        self.registry.join("labs").join(format!("{cluster}.json"))
    }

    fn lock(&self) -> Result<Lock, LabError> {
        let labs = self.registry.join("labs");
        let path = self.registry.with_extension("lock");
        let lock = Lock::take(&path, PATIENCE).map_err(|error| match error {
            LockError::Held(holder) => LabError::Busy {
                path: path.clone(),
                holder,
            },
            LockError::Io(error) => LabError::io("locking", &path)(error),
        })?;
        // Made after locking: the last lab removes the directory together with the lock.
        fs::create_dir_all(&labs).map_err(LabError::io("making", &labs))?;
        Ok(lock)
    }
}

/// Reads a file of ours; none if it is not there or was cut short by a crash of the machine.
pub(super) fn read<T: DeserializeOwned>(file: &Utf8Path) -> Result<Option<T>, LabError> {
    match fs::read(file) {
        Ok(text) => Ok(serde_json::from_slice(&text).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(LabError::io("reading", file)(error)),
    }
}

/// Writes a file of ours, readable by us only, so that it is there whole or not at all.
pub(super) fn write<T: Serialize>(file: &Utf8Path, value: &T) -> Result<(), LabError> {
    serde_json::to_vec_pretty(value)
        .map_err(io::Error::from)
        .and_then(|text| write_private(file, &text))
        .map_err(LabError::io("writing", file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(directory: &Utf8Path) -> Host {
        let host = Host {
            registry: directory.join("regent"),
            sysctl: directory.join("sys"),
        };
        fs::create_dir_all(host.sysctl.join("fs/inotify")).unwrap();
        fs::write(host.sysctl.join(INOTIFY.0), "128\n").unwrap();
        host
    }

    fn lab(directory: &Utf8Path, state: &str, cluster: &str) -> LabPaths {
        let paths = LabPaths::new(&directory.join(state), &cluster.parse().unwrap());
        fs::create_dir_all(paths.root()).unwrap();
        paths
    }

    #[test]
    fn a_name_is_given_once_and_settings_go_back_with_the_last_lab() {
        let directory = tempfile::tempdir().unwrap();
        let directory = Utf8Path::from_path(directory.path()).unwrap();
        let host = host(directory);
        let events = Events::none();
        let [one, other, same] = [("a", "one"), ("a", "other"), ("b", "one")]
            .map(|(state, cluster)| lab(directory, state, cluster));
        let setting = || host.setting(INOTIFY.0).unwrap();

        let shared = Connect::Uri("lxc:///system".to_owned());

        let far = Connect::Remote("qemu+ssh://host/system".parse().unwrap());
        host.register(&one, &far, &events).unwrap();
        assert_eq!(setting(), 128);
        host.register(&one, &shared, &events).unwrap();
        host.register(&other, &shared, &events).unwrap();
        assert_eq!(setting(), 8192);
        let error = host.register(&same, &shared, &events).unwrap_err();
        assert!(matches!(error, LabError::NameTaken { root, .. } if root == one.root()));
        assert!(!host.is_ours(&same).unwrap());

        host.unregister(&same, &events).unwrap();
        host.unregister(&one, &events).unwrap();
        assert_eq!(setting(), 8192);
        // A lab whose directory somebody has removed does not count.
        fs::remove_dir_all(other.root()).unwrap();
        host.unregister(&one, &events).unwrap();
        assert_eq!(setting(), 128);
        assert!(!host.registry.exists() && !host.registry.with_extension("lock").exists());
    }

    #[test]
    fn a_value_that_somebody_else_has_set_stays() {
        let directory = tempfile::tempdir().unwrap();
        let directory = Utf8Path::from_path(directory.path()).unwrap();
        let host = host(directory);
        let one = lab(directory, "a", "one");
        let shared = Connect::Uri("lxc:///system".to_owned());
        host.register(&one, &shared, &Events::none()).unwrap();
        fs::write(host.sysctl.join(INOTIFY.0), "9999").unwrap();
        host.unregister(&one, &Events::none()).unwrap();
        assert_eq!(host.setting(INOTIFY.0).unwrap(), 9999);
    }
}
