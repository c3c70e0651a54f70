//! What labs share on a machine: their names, and the host's settings that they need.
//!
//! Lives in `/run/regent`, which a boot empties together with the settings: `labs/CLUSTER.json` for each
//! lab, `settings.json` with the values to put back. Everything here happens under one short lock.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::lock::{Lock, LockError};
use super::record::Connection;
use super::{LabError, LabPaths, holder};
use crate::event::Events;
use crate::file::{ReadError, read_json, write_json};
use crate::name::{ClusterName, LabId};
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
    /// What tells it from every other.
    id: LabId,
    /// How its nodes are reached, for a lab whose own record cannot be read any more.
    connection: Connection,
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
        (id, connection): (&LabId, &Connection),
        events: &Events,
    ) -> Result<(), LabError> {
        let shared = *connect != Connect::Private;
        let lock = self.lock()?;
        let file = self.registration(paths.cluster());
        if let Some(other) = read_json::<Registration>(&file)?
            && other.root != paths.root()
            && other.is_alive()
        {
            return Err(LabError::NameTaken {
                cluster: paths.cluster().clone(),
                root: other.root,
            });
        }
        let root = paths.root().to_owned();
        let registration = Registration {
            root,
            shared,
            id: id.clone(),
            connection: connection.clone(),
        };
        write(&file, &registration)?;
        let raised = match connect {
            Connect::Private | Connect::Uri(_) => self.raise(events),
            Connect::Remote(_) => Ok(()),
        };
        drop(lock);
        raised
    }

    /// Whether the cluster's name is this lab's, or nobody's.
    pub(super) fn is_ours(&self, paths: &LabPaths) -> Result<bool, LabError> {
        let other = read_json::<Registration>(&self.registration(paths.cluster()))?;
        Ok(other.is_none_or(|other| other.root == paths.root() || !other.is_alive()))
    }

    /// What the machine knows of a lab whose own record cannot be read: its identifier, and how its nodes are reached.
    pub(super) fn registered(
        &self,
        paths: &LabPaths,
    ) -> Result<Option<(LabId, Connection)>, LabError> {
        let known = read_json::<Registration>(&self.registration(paths.cluster()))?;
        let ours = known.filter(|known| known.root == paths.root());
        Ok(ours.map(|known| (known.id, known.connection)))
    }

    /// Gives the name back and, when no lab is left, the settings their old values.
    pub(super) fn unregister(&self, paths: &LabPaths, events: &Events) -> Result<(), LabError> {
        if !self.registry.exists() && !self.registry.with_extension("lock").exists() {
            return Ok(());
        }
        let lock = self.lock()?;
        let ours = self.registration(paths.cluster());
        let remove = match read_json::<Registration>(&ours) {
            Ok(registration) => registration.is_some_and(|other| other.root == paths.root()),
            Err(error @ ReadError::Io { .. }) => return Err(error.into()),
            Err(error) => {
                events.warn(format!("{error}; removed, since this lab had the name"));
                true
            }
        };
        if remove {
            fs::remove_file(&ours).map_err(LabError::io("removing", &ours))?;
        }
        if self.living(events)? {
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
                let root = read_json::<Registration>(entry.path()).ok()??.root;
                (!root.starts_with(state)).then_some((cluster, root))
            })
            .collect()
    }

    /// Whether any registered lab lives; registrations of dead ones are dropped. One that cannot be read may be of a
    /// living lab.
    fn living(&self, events: &Events) -> Result<bool, LabError> {
        let directory = self.registry.join("labs");
        let mut living = false;
        for entry in directory
            .read_dir_utf8()
            .map_err(LabError::io("reading", &directory))?
        {
            let file = entry
                .map_err(LabError::io("reading", &directory))?
                .into_path();
            match read_json::<Registration>(&file) {
                Ok(Some(lab)) if lab.is_alive() => living = true,
                Ok(_) => fs::remove_file(&file).map_err(LabError::io("removing", &file))?,
                Err(error) => {
                    events.warn(format!(
                        "{error}; taken for a lab that lives, so this machine's settings stay raised"
                    ));
                    living = true;
                }
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
        let mut old: BTreeMap<String, u64> = read_json(&settings)?.unwrap_or_default();
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
        let old: BTreeMap<String, u64> = match read_json(&self.registry.join("settings.json")) {
            Ok(old) => old.unwrap_or_default(),
            Err(error) => {
                events.warn(format!("{error}; so raised settings are not put back"));
                return Ok(());
            }
        };
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

/// Writes a file of ours.
fn write<T: Serialize>(file: &Utf8Path, value: &T) -> Result<(), LabError> {
    write_json(file, value).map_err(LabError::io("writing", file))
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

    fn identity() -> (LabId, Connection) {
        let connection = Connection {
            holder: None,
            uri: Some("lxc:///system".to_owned()),
            driver: crate::spec::Driver::Lxc,
            reachable: vec![],
        };
        (LabId::placeholder(), connection)
    }

    #[test]
    fn case_secrets_a_damaged_registration_is_an_error_but_keeps_nobody_from_going() {
        let directory = tempfile::tempdir().unwrap();
        let directory = Utf8Path::from_path(directory.path()).unwrap();
        let host = host(directory);
        let [one, other] =
            [("a", "one"), ("a", "other")].map(|(state, cluster)| lab(directory, state, cluster));
        let shared = Connect::Uri("lxc:///system".to_owned());
        let (id, connection) = identity();
        let register =
            |paths: &LabPaths| host.register(paths, &shared, (&id, &connection), &Events::none());
        register(&one).unwrap();
        register(&other).unwrap();
        let known = host.registered(&one).unwrap();
        assert_eq!(known, Some((id.clone(), connection.clone())));

        let file = host.registration(one.cluster());
        fs::write(&file, "{\"root\":").unwrap();
        for error in [
            register(&one).unwrap_err(),
            host.is_ours(&one).unwrap_err(),
            host.registered(&one).unwrap_err(),
        ] {
            assert!(error.to_string().contains(file.as_str()), "{error}");
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "{\"root\":");
        // Somebody else's damaged one counts as a lab that lives.
        host.unregister(&other, &Events::none()).unwrap();
        assert!(file.exists());
        assert_eq!(host.setting(INOTIFY.0).unwrap(), 8192);
        host.unregister(&one, &Events::none()).unwrap();
        assert!(!host.registry.exists());
        assert_eq!(host.setting(INOTIFY.0).unwrap(), 128);
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
        let (id, connection) = identity();
        let register = |paths: &LabPaths, connect: &Connect| {
            host.register(paths, connect, (&id, &connection), &events)
        };

        let shared = Connect::Uri("lxc:///system".to_owned());

        let far = Connect::Remote("qemu+ssh://host/system".parse().unwrap());
        register(&one, &far).unwrap();
        assert_eq!(setting(), 128);
        register(&one, &shared).unwrap();
        register(&other, &shared).unwrap();
        assert_eq!(setting(), 8192);
        let error = register(&same, &shared).unwrap_err();
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
        let (id, connection) = identity();
        host.register(&one, &shared, (&id, &connection), &Events::none())
            .unwrap();
        fs::write(host.sysctl.join(INOTIFY.0), "9999").unwrap();
        host.unregister(&one, &Events::none()).unwrap();
        assert_eq!(host.setting(INOTIFY.0).unwrap(), 9999);
    }
}
