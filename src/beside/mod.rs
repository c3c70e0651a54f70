//! What stands beside a cluster's file and belongs to it: manifests, kubeadm's patches, archives of images. All of it is
//! looked at before anything is built.

mod images;
mod manifests;
mod patches;

use std::fmt;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};

use crate::derive::Beside;
use crate::spec::ClusterSpec;

/// What is wrong with a file, and where. Displays as `FILE:LINE: MESSAGE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file.
    pub file: Utf8PathBuf,
    /// The line, from 1; 0 of a whole file.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Mistake {
    fn of_file(file: &Utf8Path, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: 0,
            message: message.into(),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            message,
        } = self;
        match line {
            0 => write!(f, "{file}: {message}"),
            line => write!(f, "{file}:{line}: {message}"),
        }
    }
}

/// Why what stands beside the file is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BesideError {
    /// A file or the directory cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The directory is the one of the cluster's file, which is no manifest.
    #[error("`manifests` names the directory of the cluster's file itself, {0}")]
    Own(Utf8PathBuf),
    /// The API server, kubeadm or containerd would not take these.
    #[error("{}", lines(.0))]
    Wrong(Vec<Mistake>),
}

fn lines(mistakes: &[Mistake]) -> String {
    let lines: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// Reads what the file at `path` names.
///
/// # Errors
/// When something cannot be read, or could never be applied.
pub fn read(spec: &ClusterSpec, path: &Utf8Path) -> Result<Beside, BesideError> {
    let manifests = match &spec.manifests {
        Some(directory) => manifests::read(&path.with_file_name(directory), path)?,
        None => Vec::new(),
    };
    let patches = match &spec.kubeadm.patches {
        Some(directory) => patches::read(&path.with_file_name(directory))?,
        None => Vec::new(),
    };
    let images = images::read(&path.with_file_name(""), &spec.images)?;
    Ok(Beside {
        manifests,
        patches,
        images,
    })
}

fn unreadable(path: &Utf8Path) -> impl FnOnce(io::Error) -> BesideError {
    let path = path.to_owned();
    move |source| BesideError::Read { path, source }
}

/// What a directory holds, in the order of the names whatever the locale.
fn entries(directory: &Utf8Path) -> Result<Vec<(String, Utf8PathBuf)>, BesideError> {
    let named = |entry: camino::Utf8DirEntry| (entry.file_name().to_owned(), entry.into_path());
    let entries = directory.read_dir_utf8().map_err(unreadable(directory))?;
    let entries: io::Result<Vec<_>> = entries.map(|entry| entry.map(named)).collect();
    let mut entries = entries.map_err(unreadable(directory))?;
    entries.sort();
    Ok(entries)
}

/// What was found, unless something of it is wrong.
fn sound<T>(found: T, mistakes: Vec<Mistake>) -> Result<T, BesideError> {
    match mistakes.is_empty() {
        true => Ok(found),
        false => Err(BesideError::Wrong(mistakes)),
    }
}
