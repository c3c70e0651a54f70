//! Why the store could not do something.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use super::{Sha256, StorePath};

/// A file operation that failed.
#[derive(Debug, thiserror::Error)]
#[error("{}: {}", .path.display(), reason(.source))]
pub struct FileError {
    /// Where.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

impl FileError {
    /// Whether the disk is full.
    pub fn is_full(&self) -> bool {
        matches!(
            self.source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    }
}

fn reason(source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::StorageFull => "the disk is full".into(),
        _ => source.to_string(),
    }
}

/// Returns what turns an I/O error at `path` into one that names it.
pub(crate) fn at(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> FileError {
    move |source| FileError {
        path: path.as_ref().to_path_buf(),
        source,
    }
}

/// Why a path could not be realised, verified or collected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A file operation in the store failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file in which the store remembers something cannot be read as one. Nothing is removed then.
    #[error(transparent)]
    Record(#[from] crate::file::ReadError),
    /// A program that a builder needs is missing or too old.
    #[error("`{program}` {found}; building the images needs it")]
    Tool {
        /// The program.
        program: &'static str,
        /// `is not installed`, or what is installed instead.
        found: String,
        /// The command that mends it.
        mend: &'static str,
    },
    /// A builder failed; nothing of its output is left.
    #[error("cannot build {derivation}")]
    Build {
        /// The derivation's name.
        derivation: String,
        /// Why.
        #[source]
        source: BuildError,
    },
    /// A download failed.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Another regent has held the lock of a path for too long.
    #[error("another regent has been building {path} for {} minutes; its lock is {lock}", .waited.as_secs() / 60)]
    Held {
        /// The path that it builds.
        path: StorePath,
        /// The lock file.
        lock: Utf8PathBuf,
        /// How long this one has waited.
        waited: Duration,
    },
    /// Another regent has used the store for too long, or a collection has.
    #[error("another regent has been using the store for {} minutes; its lock is {lock}", .waited.as_secs() / 60)]
    Busy {
        /// The lock file.
        lock: Utf8PathBuf,
        /// How long this one has waited.
        waited: Duration,
    },
}

impl StoreError {
    /// Whether the disk is full.
    pub fn is_full(&self) -> bool {
        match self {
            Self::File(error)
            | Self::Build {
                source: BuildError::File(error),
                ..
            } => error.is_full(),
            Self::Build {
                source: BuildError::Full { .. },
                ..
            } => true,
            Self::Fetch(FetchError::File(error)) => error.is_full(),
            _ => false,
        }
    }
}

/// Why a builder failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The disk filled up while a program ran.
    #[error("the disk of {path} is full")]
    Full {
        /// A path on that disk.
        path: Utf8PathBuf,
    },
    /// A program could not be started.
    #[error("cannot start `{program}`")]
    Start {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A program failed.
    #[error("`{program}` ended with {status}; the end of {log}:\n{tail}")]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// Everything that it said.
        log: Utf8PathBuf,
        /// The last lines of that.
        tail: String,
    },
    /// A program ran for too long.
    #[error("`{program}` was stopped after {} minutes; the end of {log}:\n{tail}", .deadline.as_secs() / 60)]
    Deadline {
        /// The program.
        program: String,
        /// The deadline.
        deadline: Duration,
        /// Everything that it said.
        log: Utf8PathBuf,
        /// The last lines of that.
        tail: String,
    },
    /// What was fetched or made is not what the lock file or the recipe says.
    #[error("{what} is {found}, not {expected}")]
    Unexpected {
        /// What differs.
        what: String,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
}

/// Why a locked file could not be downloaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is no mirror to ask.
    #[error("no Debian mirror is known: name one in REGENT_DEBIAN_MIRRORS")]
    NoMirror,
    /// Every mirror answers that it does not have the file.
    #[error(
        "{file} has left every mirror ({mirrors}): lock what they have now with `regent lock --update`, or name a mirror that keeps it, such as a snapshot service, in REGENT_DEBIAN_MIRRORS"
    )]
    Gone {
        /// The file's path on a mirror.
        file: String,
        /// The mirrors asked, separated by spaces.
        mirrors: String,
    },
    /// No mirror gave the file, and not all because they do not have it.
    #[error("cannot download {file}: {last}")]
    Unreachable {
        /// The file's path on a mirror.
        file: String,
        /// The last failure, with the mirror that it came from.
        last: String,
    },
    /// A mirror gave something else; no other gave the right thing.
    #[error("{url} has sha256 {found}, the lock file says {expected}")]
    Mismatch {
        /// Where it came from.
        url: String,
        /// What the lock file says.
        expected: Sha256,
        /// What came.
        found: Sha256,
    },
}

/// The last lines of a log, for an error.
pub(super) fn tail(log: &Utf8Path) -> String {
    // Enough to hold a compiler's or dpkg's complaint, and short enough to read.
    const LINES: usize = 20;
    let bytes = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
