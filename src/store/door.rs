//! A store on disk: its directories and locks.

use std::fs::{self, File, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};

use super::error::{FileError, StoreError, at};
use super::{Registration, StorePath, tree};
use crate::event::Events;

/// How long to wait for another regent that builds the same path: three times what everything takes from nothing.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

/// How often to try a held lock again.
const RETRY: Duration = Duration::from_millis(100);

/// A store on disk. Any number of processes may use it at once.
#[derive(Debug, Clone)]
pub struct Store {
    root: Utf8PathBuf,
}

impl Store {
    /// Opens the store at `root` (`REGENT_STORE`), and makes its directories if they are missing.
    ///
    /// # Errors
    /// When a directory cannot be made.
    pub fn open(root: &Utf8Path) -> Result<Self, StoreError> {
        // Builders run elsewhere: what they are told must not depend on where regent stands.
        let root = camino::absolute_utf8(root).map_err(at(root))?;
        let store = Self { root };
        for directory in [".registry", ".locks", ".tmp", ".logs", ".cache", ".roots"] {
            let path = store.root.join(directory);
            fs::create_dir_all(&path).map_err(at(&path))?;
        }
        Ok(store)
    }

    /// Where the store is.
    pub fn root(&self) -> &Utf8Path {
        &self.root
    }

    /// Where a path is, or would be.
    pub fn output(&self, path: &StorePath) -> Utf8PathBuf {
        self.root.join(path.as_str())
    }

    /// Every registered path, in the order of their names, then hashes.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub fn list(&self) -> Result<Vec<Registration>, StoreError> {
        let mut all = Vec::new();
        for name in names(&self.directory(".registry"))? {
            let path = name
                .strip_suffix(".json")
                .and_then(|path| path.parse().ok());
            all.extend(path.and_then(|path: StorePath| self.registration(&path)));
        }
        all.sort_by(|a, b| (a.path.name(), &a.path).cmp(&(b.path.name(), &b.path)));
        Ok(all)
    }

    pub(super) fn directory(&self, name: &str) -> Utf8PathBuf {
        self.root.join(name)
    }

    pub(super) fn registry_file(&self, path: &StorePath) -> Utf8PathBuf {
        self.root.join(".registry").join(format!("{path}.json"))
    }

    pub(super) fn registration(&self, path: &StorePath) -> Option<Registration> {
        Registration::load(&self.registry_file(path))
            .filter(|registration| registration.path == *path)
    }

    /// Whether a path is present and looks as it was registered. Reads no content.
    pub(super) fn is_valid(&self, path: &StorePath) -> bool {
        self.registration(path).is_some_and(|registration| {
            tree::fingerprint(self.output(path).as_std_path())
                .is_ok_and(|now| now == registration.fingerprint)
        })
    }

    /// Takes the lock of a path, if nobody else has it.
    pub(super) fn try_lock(&self, path: &StorePath) -> Result<Option<File>, StoreError> {
        let file = self.lock_file(path.as_str());
        Ok(try_held(&open_lock(&file)?, File::try_lock).map_err(at(&file))?)
    }

    /// Takes the lock of a path; says so when it has to wait.
    pub(super) fn lock(&self, path: &StorePath, events: &Events) -> Result<File, StoreError> {
        let file = self.lock_file(path.as_str());
        let waiting = || {
            events.note(format!(
                "another regent is building {}; waiting for it",
                path.name()
            ));
        };
        wait_for(&file, File::try_lock, waiting)?.ok_or_else(|| StoreError::Held {
            path: path.clone(),
            lock: file,
            waited: PATIENCE,
        })
    }

    /// Keeps collections away while something is realised (`exclusive` false), or everything else (`exclusive` true).
    pub(super) fn hold(&self, exclusive: bool, events: &Events) -> Result<File, StoreError> {
        let file = self.lock_file("store");
        let attempt = if exclusive {
            File::try_lock
        } else {
            File::try_lock_shared
        };
        let waiting = || events.note("another regent uses the store; waiting for it");
        wait_for(&file, attempt, waiting)?.ok_or(StoreError::Busy {
            lock: file,
            waited: PATIENCE,
        })
    }

    fn lock_file(&self, name: &str) -> Utf8PathBuf {
        self.root.join(".locks").join(name)
    }

    /// Moves whatever is at a path out of the way and removes it, with its registration.
    pub(super) fn discard(&self, path: &StorePath) -> Result<(), StoreError> {
        let registration = self.registry_file(path);
        remove(&registration)?;
        let output = self.output(path);
        if fs::symlink_metadata(&output).is_ok() {
            // In one step, so that no half-removed path is ever seen.
            let aside = self.temporary(path)?;
            let target = aside.path().join("discarded");
            fs::rename(&output, &target).map_err(at(&output))?;
        }
        Ok(())
    }

    /// A directory for making or unmaking a path; it goes when dropped, or is swept by a later run.
    pub(super) fn temporary(&self, path: &StorePath) -> Result<tempfile::TempDir, StoreError> {
        let directory = self.directory(".tmp");
        Ok(tempfile::Builder::new()
            .prefix(&format!("{path}."))
            .tempdir_in(&directory)
            .map_err(at(&directory))?)
    }

    /// Removes what killed builds left.
    pub(super) fn sweep(&self) -> Result<(), StoreError> {
        for name in names(&self.directory(".tmp"))? {
            let path = name
                .rsplit_once('.')
                .and_then(|(path, _)| path.parse::<StorePath>().ok());
            // Whoever holds the lock is at work in its directory.
            let lock = path.as_ref().map(|path| self.try_lock(path)).transpose()?;
            if !matches!(lock, Some(None)) {
                remove(&self.directory(".tmp").join(name))?;
            }
        }
        Ok(())
    }
}

/// Removes a file or a tree; it may be missing already.
pub(crate) fn remove(path: &Utf8Path) -> Result<(), FileError> {
    let is_directory = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
    let removed = if is_directory {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(at(path)(error)),
        _ => Ok(()),
    }
}

/// The names in a directory, sorted; names that are not UTF-8 are none of the store's.
pub(super) fn names(directory: &Utf8Path) -> Result<Vec<String>, FileError> {
    let read = || {
        let entries =
            fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
        let mut names: Vec<String> = entries
            .filter_map(Result::transpose)
            .collect::<std::io::Result<_>>()?;
        names.sort();
        Ok(names)
    };
    read().map_err(at(directory))
}

type Attempt = fn(&File) -> Result<(), TryLockError>;

fn open_lock(file: &Utf8Path) -> Result<File, FileError> {
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(file)
        .map_err(at(file))
}

fn try_held(lock: &File, attempt: Attempt) -> std::io::Result<Option<File>> {
    match attempt(lock) {
        Ok(()) => lock.try_clone().map(Some),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Tries until it has the lock or runs out of patience; calls `waiting` once if the first try fails.
fn wait_for(
    file: &Utf8Path,
    attempt: Attempt,
    waiting: impl FnOnce(),
) -> Result<Option<File>, FileError> {
    let lock = open_lock(file)?;
    let begun = Instant::now();
    let mut waiting = Some(waiting);
    loop {
        if let Some(held) = try_held(&lock, attempt).map_err(at(file))? {
            return Ok(Some(held));
        }
        if begun.elapsed() > PATIENCE {
            return Ok(None);
        }
        if let Some(waiting) = waiting.take() {
            waiting();
        }
        thread::sleep(RETRY);
    }
}
