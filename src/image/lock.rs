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
    /// The format; 1.
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
    /// Whether the image of kube-proxy has it too.
    pub kube_proxy: bool,
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

    /// Parses a lock file; `path` is for the error.
    ///
    /// # Errors
    /// When it is not a lock file, or of a later format.
    pub fn parse(text: &str, path: &Utf8Path) -> Result<Self, LockError> {
        let wrong = |source| LockError::Parse {
            path: path.to_owned(),
            source,
        };
        let lock: Self = serde_json::from_str(text).map_err(wrong)?;
        if lock.version != 1 {
            return Err(wrong(serde::de::Error::custom(format!(
                "version {}, not 1",
                lock.version
            ))));
        }
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
        let all: BTreeSet<&str> = self
            .packages
            .iter()
            .map(|package| package.name.as_str())
            .collect();
        let base: BTreeSet<&str> = self
            .kube_proxy()
            .map(|package| package.name.as_str())
            .collect();
        let missing_in = |set: BTreeSet<&str>, wanted: &[String]| -> Vec<String> {
            wanted
                .iter()
                .filter(|name| !set.contains(name.as_str()))
                .cloned()
                .collect()
        };
        let mut missing = missing_in(all, &recipe.node);
        missing.extend(missing_in(base, &recipe.kube_proxy));
        problems.extend(
            missing
                .into_iter()
                .map(|package| Problem::Missing { package }),
        );
        problems
    }

    /// The packages of kube-proxy's image.
    pub(super) fn kube_proxy(&self) -> impl Iterator<Item = &LockedPackage> {
        self.packages.iter().filter(|package| package.kube_proxy)
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
            kube_proxy: false,
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
            version: 1,
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
            &good.replace("\"version\": 1", "\"version\": 2"),
            &good.replace("size", "length"),
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
    fn the_committed_lock_fits_the_recipes_and_names_no_host() {
        let lock = Lock::parse(embedded::LOCK, Utf8Path::new("regent.lock")).unwrap();
        assert_eq!(lock.problems(&super::super::recipe::debian().unwrap()), []);
        assert!(!embedded::LOCK.contains("://"));
        assert_eq!(lock.to_text().unwrap(), embedded::LOCK);
    }
}
