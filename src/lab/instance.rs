//! A lab that exists: entered, found again, used.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddrV4;
use std::os::unix::fs::DirBuilderExt as _;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use super::holder::{self, HOST, Holder, LAB};
use super::host::{self, Host};
use super::lock::{Lock, LockError};
use super::network;
use super::process::ProcessId;
use super::{LabError, LabPaths, RemoteHost, Secrets, down, mounts, remote};
use crate::event::Events;
use crate::hypervisor;
use crate::name::NodeName;
use crate::plan::Plan;
use crate::spec::{Connect, Driver, RemoteUri};

/// A lab that exists on this machine.
#[derive(Debug)]
pub struct Lab {
    place: Place,
    secrets: Secrets,
    /// Held while this process may change the lab.
    _lock: Option<Lock>,
}

/// Where a lab's nodes live and how to get there: what the hypervisor needs of a lab. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) paths: LabPaths,
    /// The lab's libvirt.
    pub(crate) uri: String,
    /// None in a libvirt that is not the lab's own: the nodes then live in the host's namespaces.
    pub(crate) holder: Option<Holder>,
    /// The host that has the nodes, where it is another one.
    pub(crate) remote: Option<Arc<RemoteHost>>,
}

/// `lab.json`: what is running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The process that holds a private lab.
    pub(super) holder: Option<ProcessId>,
    /// The libvirt that the nodes are in, where it is not the lab's own.
    pub(super) uri: Option<String>,
    /// The kind of its nodes.
    pub(super) driver: Driver,
    /// What is reached of nodes on another host.
    #[serde(default)]
    pub(super) reachable: Vec<SocketAddrV4>,
}

/// How long `up` and `down` wait for each other. Somebody at a terminal wants to know who is in the way.
const PATIENCE: Duration = Duration::from_secs(2);

impl Lab {
    /// Makes the lab exist (directory, secrets, namespaces, daemons) and takes its lock until it is dropped.
    /// Idempotent; daemons that have died are started again.
    pub fn enter(paths: &LabPaths, plan: &Plan, events: &Events) -> Result<Self, LabError> {
        private_directory(paths.root())?;
        let lock = lock(paths)?;
        // Again: a `down` may have removed it between the first time and the lock.
        private_directory(paths.root())?;
        let uri = match &plan.connect {
            Connect::Private => None,
            Connect::Uri(uri) => Some(uri.clone()),
            Connect::Remote(uri) => Some(uri.to_string()),
        };
        let reachable = match plan.connect.remote() {
            Some(_) => remote::reachable(plan),
            None => Vec::new(),
        };
        let remote = match reach(paths, plan, &reachable, events) {
            Ok(remote) => remote,
            Err(error) => {
                // Refused, as it should be, where there is a lab already.
                if fs::remove_dir(paths.root()).is_ok() {
                    let _ = lock.remove();
                    let _ = paths.root().parent().map(fs::remove_dir);
                }
                return Err(error);
            }
        };
        Host::new().register(paths, &plan.connect, events)?;
        let secrets = Secrets::ensure(paths, plan.nodes.iter().map(|node| &node.name))?;
        let holder = match uri {
            None => Some(ensure_holder(paths, plan.driver, events)?),
            Some(_) => None,
        };
        let record = Record {
            holder: holder.map(|holder| holder.0),
            uri,
            driver: plan.driver,
            reachable,
        };
        host::write(&paths.record(), &record)?;
        if let Some(holder) = holder {
            for daemon in holder.ensure_daemons()? {
                events.note(format!("{daemon} runs in the lab"));
            }
        }
        Ok(Self {
            place: record.place(paths, remote),
            secrets,
            _lock: Some(lock),
        })
    }

    /// Finds the lab, if it exists and is alive, without changing it and without its lock. Logs in to the host that has
    /// its nodes, where that is another one.
    pub fn find(paths: &LabPaths) -> Result<Option<Self>, LabError> {
        let (Some(record), Some(secrets)) = (
            host::read::<Record>(&paths.record())?,
            Secrets::load(paths)?,
        ) else {
            return Ok(None);
        };
        if record.holder.is_some_and(|holder| !holder.is_alive()) {
            return Ok(None);
        }
        let (uri, events) = (record.uri.as_deref(), Events::none());
        let remote = log_in(paths, uri, &record.reachable, &events)?;
        Ok(Some(Self {
            place: record.place(paths, remote),
            secrets,
            _lock: None,
        }))
    }

    /// The kind of nodes that a lab has, alive or not; none if there is no lab.
    pub fn driver(paths: &LabPaths) -> Result<Option<Driver>, LabError> {
        Ok(host::read::<Record>(&paths.record())?.map(|record| record.driver))
    }

    /// Takes the lab down, whatever state it is in: from names, not from memory. Nothing of it is left. Idempotent.
    pub fn down(paths: &LabPaths, events: &Events) -> Result<(), LabError> {
        down::down(paths, events)
    }

    /// The lab's paths.
    pub fn paths(&self) -> &LabPaths {
        &self.place.paths
    }

    /// The lab's secrets.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// The URI of the lab's libvirt.
    pub fn libvirt_uri(&self) -> String {
        self.place.uri.clone()
    }

    /// Whether the lab's own libvirtd takes connections; true where libvirt is not the lab's own.
    pub fn libvirtd_answers(&self) -> bool {
        self.place.holder.is_none_or(Holder::libvirtd_answers)
    }

    /// What the hypervisor needs of the lab.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// A tokio runtime whose threads stand in the lab's network namespace; what is spawned on it reaches the
    /// nodes. The future that is given to `block_on` itself runs on the calling thread, which must have called
    /// [`Lab::enter_network`] if that future opens connections.
    pub fn runtime(&self) -> Result<tokio::runtime::Runtime, LabError> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        // Two: what runs here waits for nodes most of the time, and the nodes need the processors.
        builder
            .worker_threads(2)
            .thread_name("regent-lab")
            .enable_all();
        if let Some(namespace) = self.network()? {
            // Tried on a thread of its own first: a thread that starts cannot say that it failed.
            std::thread::scope(|scope| scope.spawn(|| network::enter(&namespace)).join())
                .unwrap_or_else(|_| Err(io::Error::other("the thread ended")))
                .map_err(self.io("entering the network of"))?;
            builder.on_thread_start(move || {
                #[expect(
                    clippy::expect_used,
                    reason = "the same call with the same open file has just worked"
                )]
                network::enter(&namespace).expect("the lab's network namespace can be entered");
            });
        }
        builder.build().map_err(self.io("making a runtime for"))
    }

    /// A command that will run inside the lab's network namespace, and in all others where regent runs. Where the nodes
    /// are [elsewhere](Self::is_remote), they are reached only as long as this lab is in memory.
    pub fn command(&self, program: &str) -> Command {
        let remote = self.place.remote.as_ref().and_then(|host| host.network());
        let namespace = match (self.place.holder, remote) {
            (Some(holder), _) => format!("/proc/{}/ns/net", holder.0.pid),
            (None, Some(namespace)) => remote::descriptor(namespace),
            (None, None) => return Command::new(program),
        };
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={namespace}"))
            .args(["--", program]);
        command
    }

    /// Whether the nodes are on another host.
    pub fn is_remote(&self) -> bool {
        self.place.remote.is_some()
    }

    /// Puts the calling thread into the lab's network namespace for the rest of its life.
    pub fn enter_network(&self) -> Result<(), LabError> {
        match self.network()? {
            Some(namespace) => {
                network::enter(&namespace).map_err(self.io("entering the network of"))
            }
            None => Ok(()),
        }
    }

    /// The network namespace in which the nodes are reached; none for this process's own.
    fn network(&self) -> Result<Option<File>, LabError> {
        let remote = self.place.remote.as_ref().and_then(|host| host.network());
        match (self.place.holder, remote) {
            (Some(holder), _) => network::of(holder.0).map(Some),
            (None, remote) => remote.map(File::try_clone).transpose(),
        }
        .map_err(self.io("opening the network of"))
    }

    fn io(&self, doing: &'static str) -> impl FnOnce(io::Error) -> LabError {
        LabError::io(doing, self.place.paths.root())
    }
}

impl Record {
    pub(super) fn place(&self, paths: &LabPaths, remote: Option<Arc<RemoteHost>>) -> Place {
        let holder = self.holder.map(Holder);
        // A driver's name is libvirt's word for it.
        let driver = self.driver;
        let uri = match (&self.uri, holder) {
            (Some(uri), _) => remote
                .as_ref()
                .map_or_else(|| uri.clone(), |host| host.libvirt_uri()),
            (None, Some(holder)) => format!(
                "{driver}:///system?socket={}/libvirt-sock",
                holder.runtime_directory()
            ),
            (None, None) => format!("{driver}:///system"),
        };
        Place {
            paths: paths.clone(),
            uri,
            holder,
            remote,
        }
    }
}

/// Makes sure of a libvirt that is not the lab's own before anything else is done, so that nothing is left on this machine
/// if it is out of reach; logs in to its host, where that is another one.
fn reach(
    paths: &LabPaths,
    plan: &Plan,
    reachable: &[SocketAddrV4],
    events: &Events,
) -> Result<Option<Arc<RemoteHost>>, LabError> {
    match &plan.connect {
        Connect::Private => Ok(None),
        Connect::Uri(uri) => match hypervisor::answers(uri) {
            Ok(()) => Ok(None),
            Err(source) => Err(LabError::Libvirt {
                uri: uri.clone(),
                source: Box::new(source),
            }),
        },
        Connect::Remote(uri) => log_in(paths, Some(uri.as_str()), reachable, events),
    }
}

/// Logs in to the host of a libvirt, where that is not this machine.
pub(super) fn log_in(
    paths: &LabPaths,
    uri: Option<&str>,
    reachable: &[SocketAddrV4],
    events: &Events,
) -> Result<Option<Arc<RemoteHost>>, LabError> {
    // What is on record was valid once.
    let uri = uri.and_then(|uri| uri.parse::<RemoteUri>().ok());
    let host = uri.map(|uri| RemoteHost::log_in(&uri, reachable, paths.root(), events));
    Ok(host.transpose()?.map(Arc::new))
}

impl Place {
    /// Returns a node's directory, as the lab's libvirt sees it.
    pub(crate) fn node(&self, node: &NodeName) -> Utf8PathBuf {
        match self.holder {
            Some(_) => Utf8PathBuf::from(LAB).join("nodes").join(node.as_str()),
            None => self.paths.node(node),
        }
    }

    /// Returns a path of the host, as the lab's libvirt sees it.
    pub(crate) fn host(&self, path: &camino::Utf8Path) -> Utf8PathBuf {
        match self.holder {
            Some(_) => Utf8PathBuf::from(format!("{HOST}{path}")),
            None => path.to_owned(),
        }
    }

    /// Returns where something is mounted in the mount namespace of the lab's libvirt.
    pub(crate) fn mounts(&self) -> io::Result<Vec<Utf8PathBuf>> {
        let process = self
            .holder
            .map_or_else(std::process::id, |holder| holder.0.pid);
        Ok(mounts::of(process)?
            .into_iter()
            .map(|mount| mount.point)
            .collect())
    }

    /// Returns a command that runs where the lab's libvirt runs.
    pub(crate) fn command(&self, program: &str) -> Command {
        match self.holder {
            Some(holder) => holder.command(program),
            None => Command::new(program),
        }
    }
}

/// Returns the lab's holder; starts one, after ending what is left of others, if none is on record and alive.
fn ensure_holder(paths: &LabPaths, driver: Driver, events: &Events) -> Result<Holder, LabError> {
    let record = host::read::<Record>(&paths.record())?;
    // One that was made for the other kind of nodes, and never had any, is of no use.
    let recorded = record.filter(|record| record.driver == driver);
    let recorded = recorded.and_then(|record| record.holder);
    if let Some(process) = recorded.filter(|process| process.is_alive()) {
        return Ok(Holder(process));
    }
    // Started by a `regent` that was killed before it could write its record: nobody knows how far it came.
    holder::end(paths)?;
    if recorded.is_some() {
        events
            .warn("the lab had ended, by a boot or a kill; its nodes start again from their disks");
    }
    Holder::start(paths, driver)
}

/// Takes the lab's lock.
pub(super) fn lock(paths: &LabPaths) -> Result<Lock, LabError> {
    let path = paths.lock();
    Lock::take(&path, PATIENCE).map_err(|error| match error {
        LockError::Held(holder) => LabError::Busy { path, holder },
        LockError::Io(error) => LabError::io("locking", &path)(error),
    })
}

/// Makes a directory, and those above it, that only root may enter.
pub(super) fn private_directory(path: &camino::Utf8Path) -> Result<(), LabError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(LabError::io("making", path))
}
