//! Removing what nothing needs.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::door::{names, remove};
use super::error::{FileError, StoreError};
use super::registry::write_atomically;
use super::{Sha256, Store, StorePath};
use crate::event::Events;

/// What a collection removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Collected {
    /// The paths that went.
    pub removed: Vec<StorePath>,
    /// The bytes in their files. Files that another path shares as hard links stay on the disk.
    pub bytes: u64,
}

/// Paths that a directory needs, for as long as it exists.
#[derive(Debug, Serialize, Deserialize)]
struct Root {
    directory: Utf8PathBuf,
    paths: Vec<StorePath>,
}

impl Store {
    /// Keeps `paths` from being collected for as long as `directory` exists. Replaces what was kept for it before.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub fn retain(&self, directory: &Utf8Path, paths: &[StorePath]) -> Result<(), StoreError> {
        let root = Root {
            directory: directory.to_owned(),
            paths: paths.to_vec(),
        };
        let file = self.directory(".roots").join(format!(
            "{}.json",
            Sha256::of(directory.as_str().as_bytes())
        ));
        let text = serde_json::to_vec_pretty(&root)
            .map_err(std::io::Error::from)
            .map_err(super::error::at(&file))?;
        Ok(write_atomically(&file, &text)?)
    }

    /// Removes every path that is neither in `keep` nor retained for a directory, the caches of the builders, and
    /// what killed builds left.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn collect(&self, keep: &[StorePath], events: &Events) -> Result<Collected, StoreError> {
        let _exclusive = self.hold(true, events)?;
        self.sweep()?;
        let mut kept: BTreeSet<StorePath> = keep.iter().cloned().collect();
        kept.extend(self.retained()?);
        let sizes = self.list()?;
        let mut collected = Collected {
            removed: Vec::new(),
            bytes: 0,
        };
        for path in self.present()?.difference(&kept) {
            self.discard(path)?;
            for log in ["log", "check.log"] {
                remove(&self.directory(".logs").join(format!("{path}.{log}")))?;
            }
            let size = sizes.iter().find(|registration| registration.path == *path);
            collected.bytes += size.map_or(0, |registration| registration.bytes);
            collected.removed.push(path.clone());
        }
        for name in names(&self.directory(".cache"))? {
            remove(&self.directory(".cache").join(name))?;
        }
        Ok(collected)
    }

    /// Every path that is there or is registered.
    fn present(&self) -> Result<BTreeSet<StorePath>, FileError> {
        let outputs = names(self.root())?;
        let registered = names(&self.directory(".registry"))?;
        let registered = registered
            .iter()
            .filter_map(|name| name.strip_suffix(".json"));
        Ok(outputs
            .iter()
            .map(String::as_str)
            .chain(registered)
            .filter_map(|name| name.parse().ok())
            .collect())
    }

    /// What directories that still exist need; forgets those that do not.
    fn retained(&self) -> Result<Vec<StorePath>, StoreError> {
        let mut paths = Vec::new();
        for name in names(&self.directory(".roots"))? {
            let file = self.directory(".roots").join(name);
            match crate::file::read_json::<Root>(&file)? {
                Some(root) if root.directory.exists() => paths.extend(root.paths),
                // Its lab is gone, or another collection was faster.
                Some(_) => remove(&file)?,
                None => {}
            }
        }
        Ok(paths)
    }
}
