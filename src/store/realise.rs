//! Making paths exist.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use camino::{Utf8Path, Utf8PathBuf};

use super::builder::Build;
use super::derivation::How;
use super::error::{BuildError, FileError, StoreError, at};
use super::fetch::{Fetcher, Progress};
use super::{Derivation, Download, Mirrors, Registration, Store, StorePath, Tree, schedule, tree};
use crate::event::{Event, Events};

/// The part of a derivation's temporary directory that becomes the output.
const OUT: &str = "out";

impl Store {
    /// Makes the derivation's path exist, whole, and returns where it is.
    ///
    /// What is present and looks right is used as it is: that takes a few milliseconds for a path, and what it was
    /// made of is not looked at. What is missing or damaged is made, inputs first.
    ///
    /// # Errors
    /// When something cannot be fetched or built; nothing that passes for whole is left of it.
    pub fn realise(
        &self,
        top: &Arc<Derivation>,
        events: &Events,
    ) -> Result<Utf8PathBuf, StoreError> {
        self.realise_all(std::slice::from_ref(top), events)?;
        Ok(self.output(top.path()))
    }

    /// Makes the paths of several derivations exist.
    ///
    /// # Errors
    /// As for [`realise`](Self::realise).
    pub fn realise_all(&self, tops: &[Arc<Derivation>], events: &Events) -> Result<(), StoreError> {
        let _no_collection = self.hold(false, events)?;
        self.sweep()?;
        let missing = self.missing(tops);
        if missing.is_empty() {
            return Ok(());
        }
        for tool in missing.iter().flat_map(|derivation| tools(derivation)) {
            tool.check()?;
        }
        let downloads = missing.iter().filter_map(|derivation| download(derivation));
        let bytes = downloads.map(|download| download.size).sum();
        // A machine that has everything but a binary needs no mirror.
        let fetcher = if bytes > 0 {
            Some(Fetcher::new(Mirrors::of_this_machine()?)?)
        } else {
            None
        };
        let progress = Progress::new("Debian packages", bytes, events);
        schedule::run(missing, |derivation| {
            match (download(derivation), &fetcher) {
                (Some(download), Some(fetcher)) => {
                    self.download(derivation, download, fetcher, &progress, events)
                }
                _ => self.make(derivation, events),
            }
        })
    }

    /// The derivations to make, inputs first, each once. Never looks below what is present.
    fn missing(&self, tops: &[Arc<Derivation>]) -> Vec<Arc<Derivation>> {
        fn visit(
            store: &Store,
            derivation: &Arc<Derivation>,
            seen: &mut BTreeSet<StorePath>,
            into: &mut Vec<Arc<Derivation>>,
        ) {
            if seen.insert(derivation.path().clone()) && !store.is_valid(derivation.path()) {
                derivation
                    .inputs()
                    .iter()
                    .for_each(|input| visit(store, input, seen, into));
                into.push(Arc::clone(derivation));
            }
        }
        let (mut seen, mut missing) = Default::default();
        tops.iter()
            .for_each(|top| visit(self, top, &mut seen, &mut missing));
        missing
    }

    /// Builds one derivation whose inputs are present.
    fn make(&self, derivation: &Derivation, events: &Events) -> Result<(), StoreError> {
        let path = derivation.path();
        let _lock = self.lock(path, events)?;
        if self.is_valid(path) {
            // Another regent was faster.
            return Ok(());
        }
        self.make_way(path, events)?;
        let begun = Instant::now();
        events.emit(Event::BuildStarted {
            derivation: derivation.name().to_owned(),
        });
        let temporary = self.temporary(path)?;
        let out = self.build_in(
            derivation,
            temporary.path(),
            self.directory(".cache").as_std_path(),
            "log",
        )?;
        self.register(derivation, &out)?;
        events.emit(Event::BuildFinished {
            derivation: derivation.name().to_owned(),
            elapsed: begun.elapsed(),
        });
        Ok(())
    }

    /// Runs the builder in the directory `temporary`, and returns where its normalised output is.
    pub(super) fn build_in(
        &self,
        derivation: &Derivation,
        temporary: &Path,
        cache: &Path,
        log: &str,
    ) -> Result<Utf8PathBuf, StoreError> {
        let temporary = utf8(temporary.to_path_buf())?;
        let build = Build {
            root: self.root(),
            name: derivation.name(),
            out: temporary.join(OUT),
            scratch: temporary.join("scratch"),
            cache: utf8(cache.to_path_buf())?,
            log: self
                .directory(".logs")
                .join(format!("{}.{log}", derivation.path())),
        };
        let How::Build(builder) = &derivation.how else {
            return Ok(self.output(derivation.path()));
        };
        let run = || {
            // Others may look into the store; builders' own users must be able to pass.
            fs::set_permissions(&temporary, PermissionsExt::from_mode(0o755))
                .map_err(at(&temporary))?;
            fs::create_dir(&build.scratch).map_err(at(&build.scratch))?;
            fs::write(&build.log, "").map_err(at(&build.log))?;
            builder.build(&build)?;
            tree::normalise(build.out.as_std_path()).map_err(at(&build.out))?;
            Ok(())
        };
        run().map_err(|source: BuildError| StoreError::Build {
            derivation: derivation.name().to_owned(),
            source,
        })?;
        Ok(build.out)
    }

    /// Registers a finished output and moves it to its place: from then on the path exists.
    fn register(&self, derivation: &Derivation, out: &Utf8Path) -> Result<(), StoreError> {
        let path = derivation.path();
        let tree = Tree::read(out.as_std_path()).map_err(at(out))?;
        let registration = Registration {
            path: path.clone(),
            tree: tree.hash(),
            fingerprint: tree::fingerprint(out.as_std_path()).map_err(at(out))?,
            entries: tree.entries(),
            bytes: tree.bytes(),
            inputs: derivation
                .inputs()
                .iter()
                .map(|input| input.path().clone())
                .collect(),
        };
        persist(out)?;
        registration.save(&self.registry_file(path))?;
        let output = self.output(path);
        fs::rename(out, &output).map_err(at(&output))?;
        File::open(self.root())
            .and_then(|root| root.sync_all())
            .map_err(at(self.root()))?;
        Ok(())
    }

    /// Removes what stands where a path will be made, and says so.
    fn make_way(&self, path: &StorePath, events: &Events) -> Result<(), StoreError> {
        if fs::symlink_metadata(self.output(path)).is_ok() {
            events.warn(format!(
                "{} in the store is damaged; making it again",
                path.name()
            ));
        }
        self.discard(path)
    }

    fn download(
        &self,
        derivation: &Derivation,
        download: &Download,
        fetcher: &Fetcher,
        progress: &Progress<'_>,
        events: &Events,
    ) -> Result<(), StoreError> {
        let path = derivation.path();
        let _lock = self.lock(path, events)?;
        if self.is_valid(path) {
            progress.add(download.size);
            return Ok(());
        }
        self.make_way(path, events)?;
        let temporary = self.temporary(path)?;
        let out = utf8(temporary.path().join(OUT))?;
        fetcher.fetch(download, &out, progress)?;
        tree::normalise(out.as_std_path()).map_err(at(&out))?;
        self.register(derivation, &out)
    }
}

fn download(derivation: &Derivation) -> Option<&Download> {
    match &derivation.how {
        How::Fetch(download) => Some(download),
        How::Build(_) => None,
    }
}

fn tools(derivation: &Derivation) -> &'static [super::Tool] {
    match &derivation.how {
        How::Build(builder) => builder.tools(),
        How::Fetch(_) => &[],
    }
}

/// A path below the store's root, which is UTF-8.
fn utf8(path: PathBuf) -> Result<Utf8PathBuf, FileError> {
    Utf8PathBuf::try_from(path).map_err(|error| {
        let path = error.as_path().to_path_buf();
        at(path)(error.into_io_error())
    })
}

/// Puts a file or a tree on disk for good.
fn persist(out: &Utf8Path) -> Result<(), FileError> {
    let sync = || {
        let file = File::open(out)?;
        // One call for a tree of thousands of files, instead of one for each.
        if file.metadata()?.is_dir() {
            Ok(rustix::fs::syncfs(&file)?)
        } else {
            file.sync_all()
        }
    };
    sync().map_err(at(out))
}
