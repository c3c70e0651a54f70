//! `regent.lock`: every fetched input with its version and hash.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::embedded;
use super::recipe::DebianRecipe;
use crate::store::{FileError, Sha256, at, write_atomically};

/// `regent.lock`: what the builders may fetch. It names no mirror, so that any will do. The Go modules are locked
/// by the `go.sum` files below `images/go`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Lock {
    /// The format; 2.
    pub version: u32,
    /// The Go toolchain.
    pub go: LockedGo,
    /// The Debian release.
    pub suite: String,
    /// Every package, in the order of their names.
    pub packages: Vec<LockedPackage>,
}

/// The Go toolchain, as the module `golang.org/toolchain`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockedGo {
    /// Its version, such as `1.26.8`.
    pub version: String,
    /// The module's hash, as in a `go.sum` file.
    pub sum: String,
}

/// What a Debian package is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Purpose {
    /// A node's root file system.
    Node,
    /// The image of kube-proxy.
    KubeProxy,
    /// What a virtual machine runs before its root file system: kernel and initrd.
    Boot,
    /// Programs that shape a virtual machine's files and disk: no machine runs them, but their versions decide about bits.
    Tools,
}

/// A Debian package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockedPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `amd64` or `all`.
    pub architecture: String,
    /// What it is for.
    #[serde(rename = "for")]
    pub purposes: BTreeSet<Purpose>,
    /// Its file's path on a mirror.
    pub file: String,
    /// The file's length in bytes.
    pub size: u64,
    /// The file's hash.
    pub sha256: Sha256,
}

/// Why a lock file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// It cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is not a lock file.
    #[error("{path}: not a lock file that this regent understands")]
    Parse {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// Where the lock file does not fit the recipes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "problem", rename_all = "camelCase")]
#[non_exhaustive]
pub enum Problem {
    /// The recipes want another release.
    #[error("the recipes are for {wanted}, the lock file for {locked}")]
    Suite {
        /// What the recipes say.
        wanted: String,
        /// What the lock file says.
        locked: String,
    },
    /// The recipes want a package that is not locked.
    #[error("{package} is not in the lock file")]
    Missing {
        /// Its name.
        package: String,
    },
    /// A locked package has left every mirror.
    #[error("{file} has left every mirror")]
    Gone {
        /// Its file's path on a mirror.
        file: String,
    },
}

/// The format that this regent reads and writes.
const FORMAT: u32 = 2;

/// The one field that every format has.
#[derive(Deserialize)]
struct Format {
    version: u32,
}

/// How the name of the kernel's package begins; the release follows.
const KERNEL: &str = "linux-image-";

/// The lock file's name, in the current directory.
const NAME: &str = "regent.lock";

impl Lock {
    /// Returns the lock file in force, and where it is: `regent.lock` in the current directory if there is one,
    /// else the one that was compiled in.
    ///
    /// # Errors
    /// When the file cannot be read or understood.
    pub fn current() -> Result<(Self, Option<Utf8PathBuf>), LockError> {
        let path = Utf8Path::new(NAME);
        match std::fs::read_to_string(path) {
            Ok(text) => Ok((Self::parse(&text, path)?, Some(path.to_owned()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok((
                Self::parse(embedded::LOCK, Utf8Path::new("the built-in regent.lock"))?,
                None,
            )),
            Err(error) => Err(at(path)(error).into()),
        }
    }

    /// What tells the lock file in force from others: where it is, none for the one that was compiled in, and the hash of
    /// its text.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn identity() -> Result<(Option<Utf8PathBuf>, Sha256), LockError> {
        let path = Utf8Path::new(NAME);
        match std::fs::read(path) {
            Ok(text) => {
                let whole = camino::absolute_utf8(path).map_err(at(path))?;
                Ok((Some(whole), Sha256::of(&text)))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Ok((None, Sha256::of(embedded::LOCK.as_bytes())))
            }
            Err(error) => Err(at(path)(error).into()),
        }
    }

    /// Parses a lock file; `path` is for the error.
    ///
    /// # Errors
    /// When it is not a lock file, or of a later format.
    pub fn parse(text: &str, path: &Utf8Path) -> Result<Self, LockError> {
        let wrong = |source| LockError::Parse {
            path: path.to_owned(),
            source,
        };
        // The format first: another one's fields are no better known than its packages.
        let Format { version } = serde_json::from_str(text).map_err(wrong)?;
        if version != FORMAT {
            return Err(wrong(serde::de::Error::custom(format!(
                "version {version}, not {FORMAT}"
            ))));
        }
        let lock: Self = serde_json::from_str(text).map_err(wrong)?;
        Ok(lock)
    }

    /// Writes it to `regent.lock` in the current directory.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self) -> Result<Utf8PathBuf, LockError> {
        let path = Utf8Path::new(NAME);
        write_atomically(
            path,
            self.to_text()
                .map_err(|source| LockError::Parse {
                    path: path.to_owned(),
                    source,
                })?
                .as_bytes(),
        )?;
        Ok(path.to_owned())
    }

    /// Writes it as JSON, one package a line, so that a diff shows packages.
    fn to_text(&self) -> Result<String, serde_json::Error> {
        let mut text = format!(
            "{{\n\"version\": {},\n\"go\": {},\n",
            self.version,
            serde_json::to_string(&self.go)?
        );
        let _ = write!(
            text,
            "\"suite\": {},\n\"packages\": [\n",
            serde_json::to_string(&self.suite)?
        );
        let lines: Vec<String> = self
            .packages
            .iter()
            .map(serde_json::to_string)
            .collect::<Result<_, _>>()?;
        text.push_str(&lines.join(",\n"));
        text.push_str("\n]\n}\n");
        Ok(text)
    }

    /// Where it does not fit the recipe. Asks nobody.
    pub(super) fn problems(&self, recipe: &DebianRecipe) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.suite != recipe.suite {
            problems.push(Problem::Suite {
                wanted: recipe.suite.clone(),
                locked: self.suite.clone(),
            });
        }
        let wanted = [
            (Purpose::Node, &recipe.node),
            (Purpose::KubeProxy, &recipe.kube_proxy),
            (Purpose::Boot, &recipe.boot),
            (Purpose::Tools, &recipe.tools),
        ];
        for (purpose, names) in wanted {
            let locked: BTreeSet<&str> = self.of(purpose).map(|package| &*package.name).collect();
            let missing = names.iter().filter(|name| !locked.contains(name.as_str()));
            problems.extend(missing.cloned().map(|package| Problem::Missing { package }));
        }
        if self.kernel_release(recipe).is_none() {
            problems.push(Problem::Missing {
                package: recipe.kernel.clone(),
            });
        }
        problems
    }

    /// The packages for a purpose, in the order of their names.
    pub(super) fn of(&self, purpose: Purpose) -> impl Iterator<Item = &LockedPackage> {
        self.packages
            .iter()
            .filter(move |package| package.purposes.contains(&purpose))
    }

    /// The release of the locked kernel, such as `6.12.94+deb13-cloud-amd64`: the recipe names a package that only
    /// leads to the newest release of a flavour, the lock file has that release's own.
    pub(super) fn kernel_release(&self, recipe: &DebianRecipe) -> Option<&str> {
        let flavour = recipe.kernel.strip_prefix(KERNEL)?;
        self.of(Purpose::Boot)
            .filter_map(|package| package.name.strip_prefix(KERNEL))
            .find(|release| release.ends_with(flavour))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str) -> LockedPackage {
        LockedPackage {
            name: name.into(),
            version: "1:2.0-1".into(),
            architecture: "amd64".into(),
            purposes: [Purpose::Node].into(),
            file: format!("pool/main/x/{name}_2.0-1_amd64.deb"),
            size: 5,
            sha256: Sha256::of(name.as_bytes()),
        }
    }

    fn lock() -> Lock {
        let go = LockedGo {
            version: "1.26.8".into(),
            sum: "h1:x=".into(),
        };
        Lock {
            version: FORMAT,
            go,
            suite: "trixie".into(),
            packages: vec![package("a"), package("b")],
        }
    }

    #[test]
    fn a_lock_file_reads_back_and_has_one_package_a_line() {
        let text = lock().to_text().unwrap();
        assert_eq!(Lock::parse(&text, Utf8Path::new("x")).unwrap(), lock());
        assert_eq!(
            text.lines().filter(|line| line.contains("sha256")).count(),
            2
        );
    }

    #[test]
    fn what_is_not_a_lock_file_is_refused() {
        let good = lock().to_text().unwrap();
        for bad in [
            "",
            "{}",
            &good.replace("\"version\": 2", "\"version\": 1"),
            &good.replace("size", "length"),
            &good.replace("\"node\"", "\"nobody\""),
        ] {
            assert!(
                matches!(
                    Lock::parse(bad, Utf8Path::new("x")),
                    Err(LockError::Parse { .. })
                ),
                "{bad}"
            );
        }
    }

    #[test]
    fn what_a_package_is_for_decides_whether_it_fits() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let recipe = DebianRecipe {
            suite: "trixie".into(),
            component: "main".into(),
            architecture: "amd64".into(),
            node: names(&["a"]),
            kube_proxy: names(&["b"]),
            kernel: "linux-image-cloud-amd64".into(),
            boot: names(&[]),
            tools: names(&["b"]),
            strip: names(&[]),
        };
        let mut lock = lock();
        let missing = |lock: &Lock| {
            let problems = lock.problems(&recipe);
            problems.iter().map(Problem::to_string).collect::<Vec<_>>()
        };
        let lacks = |package: &str| format!("{package} is not in the lock file");
        // There is a package `b`, but for nodes only.
        let kernel = lacks("linux-image-cloud-amd64");
        assert_eq!(missing(&lock), [lacks("b"), lacks("b"), kernel.clone()]);
        lock.packages[1].purposes = [Purpose::KubeProxy, Purpose::Tools].into();
        assert_eq!(missing(&lock), [kernel.as_str()]);
        lock.packages
            .push(package("linux-image-6.12.1+deb13-cloud-amd64"));
        assert_eq!(missing(&lock), [kernel.as_str()]);
        lock.packages[2].purposes = [Purpose::Boot].into();
        assert_eq!(missing(&lock), [""; 0]);
        assert_eq!(
            lock.kernel_release(&recipe),
            Some("6.12.1+deb13-cloud-amd64")
        );
    }

    #[test]
    fn the_committed_lock_fits_the_recipes_and_names_no_host() {
        let lock = Lock::parse(embedded::LOCK, Utf8Path::new("regent.lock")).unwrap();
        assert_eq!(lock.problems(&super::super::recipe::debian().unwrap()), []);
        assert!(!embedded::LOCK.contains("://"));
        assert_eq!(lock.to_text().unwrap(), embedded::LOCK);
    }
}
