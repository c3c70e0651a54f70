//! What a store knows about its paths.

use std::fs;

use camino::Utf8Path;
use serde::{Deserialize, Serialize};

use super::error::{FileError, at};
use super::{Sha256, StorePath};
use crate::file::write_whole;

/// What was registered about a path when it was made. A path without registration does not count as present.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Registration {
    /// The path.
    pub path: StorePath,
    /// The hash of the whole tree: types, modes, owners, contents.
    pub tree: Sha256,
    /// The hash of what `lstat` says about every entry, for a quick look at every use.
    pub fingerprint: Sha256,
    /// How many files, directories and links there are.
    pub entries: u64,
    /// The bytes in files.
    pub bytes: u64,
    /// The paths that it was built from.
    pub inputs: Vec<StorePath>,
}

impl Registration {
    /// Reads a registration; none where there is none, or none that can be read: the path is then built again.
    pub(super) fn load(file: &Utf8Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(file).ok()?).ok()
    }

    /// Writes a registration, whole or not at all.
    pub(super) fn save(&self, file: &Utf8Path) -> Result<(), FileError> {
        let mut text = serde_json::to_vec_pretty(self)
            .map_err(std::io::Error::from)
            .map_err(at(file))?;
        text.push(b'\n');
        write_atomically(file, &text)
    }
}

/// Writes a file that everybody may read, whole or not at all.
pub(crate) fn write_atomically(file: &Utf8Path, content: &[u8]) -> Result<(), FileError> {
    write_whole(file, content, 0o644).map_err(at(file))
}
