//! Lock files that say who holds them and can be removed without a race.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use jiff::Timestamp;

use super::process::ProcessId;

/// An exclusive lock. Given back when it is dropped, or when its process ends in any way.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    path: Utf8PathBuf,
}

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum LockError {
    /// Somebody else has it: `process 4711 (regent up) since 2026-11-26 11:05:09 UTC`.
    #[error("held by {0}")]
    Held(String),
    /// The file could not be opened, locked or written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl LockError {
    /// Whether whoever has it began this process, or began who did.
    pub(super) fn is_held_by_an_ancestor(&self) -> bool {
        let Self::Held(holder) = self else {
            return false;
        };
        let pid = holder.strip_prefix("process ").and_then(|rest| {
            let (pid, _) = rest.split_once(' ')?;
            pid.parse().ok()
        });
        let own = ProcessId::of(std::process::id());
        pid.zip(own)
            .is_some_and(|(pid, own)| own.descends_from(pid))
    }
}

impl Lock {
    /// Takes the lock, waiting at most `patience` for whoever holds it. The file's directory must exist.
    pub(super) fn take(path: &Utf8Path, patience: Duration) -> Result<Self, LockError> {
        let deadline = Instant::now() + patience;
        loop {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(path)?;
            match file.try_lock() {
                Ok(()) => {
                    // Its last holder may have removed the file between our open and our lock.
                    if std::fs::metadata(path).is_ok_and(|now| same(&file, &now)) {
                        file.set_len(0)?;
                        file.rewind()?;
                        let since = Timestamp::now().strftime("%F %T UTC");
                        write!(
                            file,
                            "process {} ({}) since {since}",
                            std::process::id(),
                            program()
                        )?;
                        return Ok(Self {
                            file,
                            path: path.to_owned(),
                        });
                    }
                }
                Err(TryLockError::Error(error)) => return Err(error.into()),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    // flock(2) has no timeout.
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(TryLockError::WouldBlock) => {
                    let mut holder = String::new();
                    file.read_to_string(&mut holder)?;
                    return Err(LockError::Held(holder));
                }
            }
        }
    }

    /// Removes the file and gives the lock back.
    pub(super) fn remove(self) -> io::Result<()> {
        std::fs::remove_file(&self.path)?;
        self.file.unlock()
    }
}

fn same(file: &File, now: &std::fs::Metadata) -> bool {
    file.metadata()
        .is_ok_and(|ours| (ours.dev(), ours.ino()) == (now.dev(), now.ino()))
}

/// The longest command line that is shown.
const COMMAND: usize = 160;

/// Returns this process's command line, such as `regent -f lab.yaml up`. What takes a lab has no secret among its arguments.
pub(super) fn program() -> String {
    let mut arguments = std::env::args();
    let program = arguments.next().unwrap_or_default();
    let program = program.rsplit('/').next().unwrap_or_default().to_owned();
    let words: Vec<_> = std::iter::once(program).chain(arguments).collect();
    let line = words.join(" ");
    match line.char_indices().nth(COMMAND) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shell that began this test, or a process that did not.
    #[test]
    fn whoever_has_it_is_an_ancestor_or_is_not() {
        let held = |pid: u32| LockError::Held(format!("process {pid} (regent verify) since then"));
        let parent = std::os::unix::process::parent_id();
        assert!(held(parent).is_held_by_an_ancestor());
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        assert!(!held(child.id()).is_held_by_an_ancestor());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!held(std::process::id()).is_held_by_an_ancestor());
        assert!(!LockError::Held("nobody".to_owned()).is_held_by_an_ancestor());
    }

    #[test]
    fn a_second_taker_is_told_who_holds_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(directory.path()).unwrap().join("lock");
        let lock = Lock::take(&path, Duration::ZERO).unwrap();
        let error = Lock::take(&path, Duration::from_millis(20)).unwrap_err();
        let (said, id) = (error.to_string(), std::process::id());
        assert!(said.starts_with(&format!("held by process {id} (")));
        assert!(
            said.contains(") since 20") && said.ends_with(" UTC"),
            "{said}"
        );
        lock.remove().unwrap();
        assert!(!path.exists());
        drop(Lock::take(&path, Duration::ZERO).unwrap());
        Lock::take(&path, Duration::ZERO).unwrap();
    }
}
