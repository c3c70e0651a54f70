//! Lock files that say who holds them and can be removed without a race.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use jiff::Timestamp;

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
