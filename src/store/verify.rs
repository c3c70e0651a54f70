//! Is every path what it was; does building it again give the same?

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::derivation::How;
use super::error::{StoreError, at};
use super::{Derivation, Registration, Store, StorePath, Tree};
use crate::event::{Event, Events};

/// What a verification found about a path.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The path.
    pub path: StorePath,
    /// Whether it still is what was registered.
    pub sound: bool,
}

/// What building a path again gave.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Checked {
    /// The path.
    pub path: StorePath,
    /// The first entry that differs, below the path; none if all bits are the same.
    pub first_difference: Option<PathBuf>,
}

impl Store {
    /// Reads every registered path and compares it with its hash. Damaged paths are removed: whoever needs them next
    /// makes them again.
    ///
    /// # Errors
    /// When the registry cannot be read, or a damaged path cannot be removed.
    pub fn verify(&self, events: &Events) -> Result<Vec<Finding>, StoreError> {
        let _exclusive = self.hold(true, events)?;
        let registrations = self.list()?;
        let total = registrations
            .iter()
            .map(|registration| registration.bytes)
            .sum();
        let mut done = 0;
        let mut findings = Vec::new();
        for registration in registrations {
            let sound = self.is_sound(&registration);
            if !sound {
                self.discard(&registration.path)?;
            }
            done += registration.bytes;
            events.emit(Event::Progress {
                what: "verify the store".into(),
                done,
                total,
            });
            findings.push(Finding {
                path: registration.path,
                sound,
            });
        }
        Ok(findings)
    }

    fn is_sound(&self, registration: &Registration) -> bool {
        let tree = Tree::read(self.output(&registration.path).as_std_path());
        // A time that changed is no damage to the content, but it would raise an alarm at every use.
        tree.is_ok_and(|tree| tree.hash() == registration.tree) && self.is_valid(&registration.path)
    }

    /// Builds derivations again, with empty caches, and compares the bits. What was downloaded is checked by its
    /// hash already.
    ///
    /// # Errors
    /// As for [`realise`](Self::realise).
    pub fn check(
        &self,
        derivations: &[Arc<Derivation>],
        events: &Events,
    ) -> Result<Vec<Checked>, StoreError> {
        let is_build = |derivation: &&Arc<Derivation>| matches!(derivation.how, How::Build(_));
        let builds: Vec<Arc<Derivation>> = derivations.iter().filter(is_build).cloned().collect();
        let Some(last) = builds.last() else {
            return Ok(Vec::new());
        };
        let inputs: Vec<_> = builds
            .iter()
            .flat_map(|derivation| derivation.inputs())
            .collect();
        self.realise_all(&[builds.clone(), inputs].concat(), events)?;
        let _no_collection = self.hold(false, events)?;
        // The lock keeps others from sweeping the directory.
        let _lock = self.lock(last.path(), events)?;
        let temporary = self.temporary(last.path())?;
        let cache = temporary.path().join("cache");
        std::fs::create_dir(&cache).map_err(at(&cache))?;
        let check = |derivation| self.check_one(derivation, temporary.path(), &cache, events);
        builds.iter().map(|derivation| check(derivation)).collect()
    }

    fn check_one(
        &self,
        derivation: &Derivation,
        temporary: &Path,
        cache: &Path,
        events: &Events,
    ) -> Result<Checked, StoreError> {
        let begun = Instant::now();
        let name = format!("{} again", derivation.name());
        events.emit(Event::BuildStarted {
            derivation: name.clone(),
        });
        let temporary = tempfile::tempdir_in(temporary).map_err(at(temporary))?;
        let out = self.build_in(derivation, temporary.path(), cache, "check.log")?;
        let again = Tree::read(out.as_std_path()).map_err(at(&out))?;
        let output = self.output(derivation.path());
        let first = Tree::read(output.as_std_path()).map_err(at(&output))?;
        events.emit(Event::BuildFinished {
            derivation: name,
            elapsed: begun.elapsed(),
        });
        Ok(Checked {
            path: derivation.path().clone(),
            first_difference: first.first_difference(&again),
        })
    }
}
