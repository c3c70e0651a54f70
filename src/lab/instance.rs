//! A lab that exists: entered, found again, used.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddrV4;
use std::os::unix::fs::DirBuilderExt as _;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use camino::Utf8PathBuf;

use super::holder::{self, Holder};
use super::host::Host;
use super::lock::{Lock, LockError};
use super::network;
use super::place::{Place, log_in};
use super::record::{self, Connection, Record};
use super::{ActiveFault, LabError, LabPaths, LockFile, RemoteHost, Secrets, down, remote};
use crate::event::Events;
use crate::image::NodeImage;
use crate::name::{LabId, NodeName};
use crate::plan::Plan;
use crate::provider;
use crate::spec::{Connect, Driver};

/// A lab that exists on this machine.
#[derive(Debug)]
pub struct Lab {
    place: Place,
    secrets: Secrets,
    record: Mutex<Record>,
    /// Held while this process may change the lab.
    lock: Option<Lock>,
}

/// How long those that change a lab wait for each other. Somebody at a terminal wants to know who is in the way.
const PATIENCE: Duration = Duration::from_secs(2);

impl Lab {
    /// Makes the lab exist (directory, secrets, namespaces, daemons) and takes its lock until it is dropped.
    /// Idempotent; daemons that have died are started again.
    pub fn enter(paths: &LabPaths, plan: &Plan, events: &Events) -> Result<Self, LabError> {
        private_directory(paths.root())?;
        let lock = lock_or_borrow(paths)?;
        // Again: a `down` may have removed it between the first time and the lock.
        private_directory(paths.root())?;
        // What is damaged stops it here, before anything is written.
        let known = Record::read(paths)?;
        check_complete(paths, known.as_ref(), Secrets::load(paths)?.as_ref())?;
        let mut record = match known.clone() {
            Some(record) => record,
            None => Record::new(
                paths,
                Connection {
                    holder: None,
                    uri: None,
                    driver: plan.driver,
                    reachable: Vec::new(),
                },
            )?,
        };
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
        record.connection.driver = plan.driver;
        record.connection.uri = uri;
        record.connection.reachable = reachable;
        let identity = (&record.id, &record.connection);
        Host::new().register(paths, &plan.connect, identity, events)?;
        // Before anything that it stands for: whoever finds the lab half-made must know that it is one.
        record.regent = env!("CARGO_PKG_VERSION").to_owned();
        record.operation = record::operation(plan);
        record.write(paths)?;
        let secrets = Secrets::ensure(paths, plan.nodes.iter().map(|node| &node.name))?;
        if record.connection.uri.is_none() {
            let holder = ensure_holder(paths, known.as_ref(), plan.driver, events)?;
            if record.connection.holder != Some(holder.0) {
                record.connection.holder = Some(holder.0);
                record.write(paths)?;
            }
            for daemon in holder.ensure_daemons()? {
                events.note(format!("{daemon} runs in the lab"));
            }
        }
        Ok(Self {
            place: record.place(paths, remote),
            secrets,
            record: Mutex::new(record),
            lock: Some(lock),
        })
    }

    /// Finds the lab, if it exists and is alive, to look at it: without changing it and without its lock. Logs in to the
    /// host that has its nodes, where that is another one.
    pub fn find(paths: &LabPaths) -> Result<Option<Self>, LabError> {
        let (Some(record), secrets) = (Record::read(paths)?, Secrets::load(paths)?) else {
            return Ok(None);
        };
        let Connection { holder, uri, .. } = &record.connection;
        match (holder, uri) {
            (Some(holder), _) if !holder.is_alive() => return Ok(None),
            // An `up` that has not come to start it.
            (None, None) => return Ok(None),
            _ => {}
        }
        let Some(secrets) = secrets else {
            return Err(LabError::Incomplete {
                missing: paths.secrets(),
                present: paths.record(),
            });
        };
        let remote = log_in(
            paths,
            uri.as_deref(),
            &record.connection.reachable,
            &Events::none(),
        )?;
        Ok(Some(Self {
            place: record.place(paths, remote),
            secrets,
            record: Mutex::new(record),
            lock: None,
        }))
    }

    /// Finds the lab, as [`find`](Self::find) does, to change it: with its lock, until it is dropped.
    ///
    /// # Errors
    /// When somebody else holds it, who is named, or as for [`find`](Self::find).
    pub fn hold(paths: &LabPaths) -> Result<Option<Self>, LabError> {
        if Record::read(paths)?.is_none() {
            return Ok(None);
        }
        // Before it is found: whoever held it may have changed what is on record.
        let lock = lock_or_borrow(paths)?;
        Ok(Self::find(paths)?.map(|lab| Self {
            lock: Some(lock),
            ..lab
        }))
    }

    /// Lets commands that this process begins change the lab, one at a time, while it waits for them. Everybody else is told who
    /// holds the lab as before.
    ///
    /// # Errors
    /// When that cannot be noted in the lab's directory.
    pub fn lend(&self) -> Result<Lent, LabError> {
        let path = self.place.paths.lock_below();
        File::create(&path).map_err(LabError::io("making", &path))?;
        Ok(Lent(path))
    }

    /// The kind of nodes that a lab has, alive or not; none if there is no lab.
    pub fn driver(paths: &LabPaths) -> Result<Option<Driver>, LabError> {
        Ok(Record::read(paths)?.map(|record| record.connection.driver))
    }

    /// What tells the lab from every other.
    pub fn id(&self) -> &LabId {
        &self.place.id
    }

    /// What is recorded of the lab, as this process knows it.
    pub fn record(&self) -> Record {
        self.recorded().clone()
    }

    /// Records what the nodes boot, before the first of them is made.
    ///
    /// # Errors
    /// When it cannot be written, or this process does not hold the lab.
    pub fn boots(&self, image: &NodeImage, lock_file: Option<&LockFile>) -> Result<(), LabError> {
        self.change(|record| {
            record.image = Some(image.clone());
            record.lock_file = lock_file.cloned();
        })
    }

    /// Records that the cluster is what this plan says.
    ///
    /// # Errors
    /// As for [`boots`](Self::boots).
    pub fn brought_to(&self, plan: &Plan) -> Result<(), LabError> {
        self.change(|record| {
            record.plan = Some(plan.clone());
            record.operation = None;
        })
    }

    /// Records a fault that is about to be injected, so that it is known even if this process is killed in the middle.
    ///
    /// # Errors
    /// As for [`boots`](Self::boots).
    pub fn fault_injected(&self, fault: ActiveFault) -> Result<(), LabError> {
        self.change(|record| {
            let same = |known: &ActiveFault| known.node == fault.node && known.fault == fault.fault;
            record.faults.retain(|known| !same(known));
            record.faults.push(fault);
        })
    }

    /// Records that a fault of a node, or with `None` every one, was reverted.
    ///
    /// # Errors
    /// As for [`boots`](Self::boots).
    pub fn fault_reverted(&self, node: &NodeName, fault: Option<&str>) -> Result<(), LabError> {
        let reverted = |known: &ActiveFault| {
            known.node == *node && fault.is_none_or(|fault| known.fault == fault)
        };
        if !self.recorded().faults.iter().any(reverted) {
            return Ok(());
        }
        self.change(|record| record.faults.retain(|known| !reverted(known)))
    }

    fn recorded(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the record, here and on the disk.
    fn change(&self, change: impl FnOnce(&mut Record)) -> Result<(), LabError> {
        if self.lock.is_none() {
            let root = self.place.paths.root().to_owned();
            return Err(LabError::NotHeld { root });
        }
        let mut record = self.recorded();
        let mut changed = record.clone();
        change(&mut changed);
        if changed != *record {
            changed.write(&self.place.paths)?;
            *record = changed;
        }
        Ok(())
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

    /// What a provider needs of the lab.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Stack of a thread that works on a cluster, in bytes: as much as a main thread has. In an unoptimised build a request
    /// to the API takes a good part of the usual 2 MiB: one has overflowed them.
    pub const STACK: usize = 8 << 20;

    /// A tokio runtime whose threads stand in the lab's network namespace; what is spawned on it reaches the
    /// nodes. The future that is given to `block_on` itself runs on the calling thread, which must have called
    /// [`Lab::enter_network`] if that future opens connections.
    pub fn runtime(&self) -> Result<tokio::runtime::Runtime, LabError> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        // Two: what runs here waits for nodes most of the time, and the nodes need the processors.
        builder
            .worker_threads(2)
            .thread_name("regent-lab")
            .thread_stack_size(Self::STACK)
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
        Connect::Uri(uri) => match provider::answers(uri) {
            Ok(()) => Ok(None),
            Err(source) => Err(LabError::Libvirt {
                uri: uri.clone(),
                source: Box::new(source),
            }),
        },
        Connect::Remote(uri) => log_in(paths, Some(uri.as_str()), reachable, events),
    }
}

/// Returns the lab's holder; starts one, after ending what is left of others, if none is on record and alive.
fn ensure_holder(
    paths: &LabPaths,
    record: Option<&Record>,
    driver: Driver,
    events: &Events,
) -> Result<Holder, LabError> {
    let connection = record.map(|record| &record.connection);
    // One that was made for the other kind of nodes, and never had any, is of no use.
    let recorded = connection.filter(|connection| connection.driver == driver);
    let recorded = recorded.and_then(|connection| connection.holder);
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

/// Refuses a lab that has nodes and has lost its record or its secrets: made anew, either would lock regent out of them.
fn check_complete(
    paths: &LabPaths,
    record: Option<&Record>,
    secrets: Option<&Secrets>,
) -> Result<(), LabError> {
    let nodes = paths.root().join("nodes");
    let mut made = nodes.read_dir_utf8().into_iter().flatten();
    let missing = match (record, secrets) {
        (None, _) => paths.record(),
        (_, None) => paths.secrets(),
        (Some(_), Some(_)) => return Ok(()),
    };
    match made.next() {
        Some(_) => Err(LabError::Incomplete {
            missing,
            present: nodes,
        }),
        None => Ok(()),
    }
}

/// Takes the lab's lock; where whoever holds it has [lent](Lab::lend) the lab and began this process, another one below it, so
/// that only one of those that it began changes the lab.
fn lock_or_borrow(paths: &LabPaths) -> Result<Lock, LabError> {
    let below = paths.lock_below();
    let refused = Lock::take(&paths.lock(), Duration::ZERO).err();
    if below.exists() && refused.is_some_and(|error| error.is_held_by_an_ancestor()) {
        return lock_at(below);
    }
    lock(paths)
}

/// A lab that is lent, until this is dropped.
#[derive(Debug)]
pub struct Lent(Utf8PathBuf);

impl Drop for Lent {
    fn drop(&mut self) {
        // Whoever still changes the lab keeps the next holder out.
        let _ = Lock::take(&self.0, Duration::ZERO).map(Lock::remove);
    }
}

/// Takes the lab's lock, which nobody borrows.
pub(super) fn lock(paths: &LabPaths) -> Result<Lock, LabError> {
    let lock = lock_at(paths.lock())?;
    let below = paths.lock_below();
    if below.exists() {
        // Whoever lent it was killed, or did not wait; the command goes on.
        let removed = lock_at(below.clone())?.remove();
        removed.map_err(LabError::io("removing", &below))?;
    }
    Ok(lock)
}

fn lock_at(path: Utf8PathBuf) -> Result<Lock, LabError> {
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

#[cfg(test)]
mod tests;
