//! `regent lock --update`: what the mirrors have today.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};

use super::lock::{Lock, LockedPackage, Problem, Purpose};
use super::node_image::ImageError;
use super::recipe::{self, DebianRecipe};
use crate::event::Events;
use crate::store::{FetchError, FileError, Mirrors, at, is_offered};

/// Why the packages could not be resolved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// No mirror could be asked.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The recipes are wrong.
    #[error(transparent)]
    Image(#[from] Box<ImageError>),
    /// apt is missing or failed.
    #[error("`{command}` failed: {said}")]
    Apt {
        /// What was run.
        command: String,
        /// What it said.
        said: String,
    },
    /// apt answered in an unknown way.
    #[error("apt says nothing usable about {package}")]
    Answer {
        /// The package.
        package: String,
    },
}

/// The keys that sign Debian's archive.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Resolves the recipes' packages against the first mirror that answers, with apt in a directory of its own: it
/// checks the archive's signature and picks the versions. The Go toolchain stays as it is.
///
/// # Errors
/// When no mirror can be asked, or a package is not there.
pub fn resolve(lock: &Lock, events: &Events) -> Result<Lock, ResolveError> {
    let recipe = recipe::debian().map_err(Box::new)?;
    let mut failure = ResolveError::Fetch(FetchError::NoMirror);
    for mirror in Mirrors::of_this_machine()?.bases() {
        match resolve_at(mirror, &recipe) {
            Ok(packages) => {
                return Ok(Lock {
                    suite: recipe.suite,
                    packages,
                    ..lock.clone()
                });
            }
            Err(error) => {
                events.warn(format!("{mirror}: {error}"));
                failure = error;
            }
        }
    }
    Err(failure)
}

impl Lock {
    /// Where it does not fit the recipes or what the mirrors have.
    ///
    /// # Errors
    /// When the mirrors cannot be asked.
    pub fn check(&self) -> Result<Vec<Problem>, ResolveError> {
        let recipe = recipe::debian().map_err(Box::new)?;
        let mut problems = self.problems(&recipe);
        let files: Vec<&str> = self
            .packages
            .iter()
            .map(|package| package.file.as_str())
            .collect();
        for (file, offered) in files.iter().zip(is_offered(&files)?) {
            if !offered {
                problems.push(Problem::Gone {
                    file: (*file).to_owned(),
                });
            }
        }
        Ok(problems)
    }
}

fn resolve_at(mirror: &str, recipe: &DebianRecipe) -> Result<Vec<LockedPackage>, ResolveError> {
    let directory = tempfile::tempdir().map_err(at(std::env::temp_dir()))?;
    let root = Utf8PathBuf::try_from(directory.path().to_path_buf())
        .map_err(|error| at(directory.path())(error.into_io_error()))?;
    let apt = Apt::new(&root, mirror, recipe)?;
    apt.run("apt-get", &["update", "-qq", "--error-on=any"])?;
    let essential = "?essential".to_owned();
    let mut boot = apt.closure(recipe.boot.iter())?;
    boot.insert(apt.dependency(&recipe.kernel)?);
    let sets = [
        (
            Purpose::Node,
            apt.closure(recipe.node.iter().chain([&essential]))?,
        ),
        (Purpose::KubeProxy, apt.closure(recipe.kube_proxy.iter())?),
        (Purpose::Boot, boot),
        (Purpose::Tools, apt.closure(recipe.tools.iter())?),
    ];
    let mut purposes = BTreeMap::<String, BTreeSet<Purpose>>::new();
    for (purpose, set) in sets {
        for package in set {
            purposes.entry(package).or_default().insert(purpose);
        }
    }
    purposes
        .into_iter()
        .map(|(package, purposes)| apt.describe(&package, purposes))
        .collect()
}

/// apt in a directory of its own: it knows one mirror and no installed package.
struct Apt {
    config: Utf8PathBuf,
}

impl Apt {
    fn new(root: &Utf8Path, mirror: &str, recipe: &DebianRecipe) -> Result<Self, FileError> {
        for directory in [
            "etc/apt/apt.conf.d",
            "etc/apt/preferences.d",
            "etc/apt/sources.list.d",
            "etc/apt/trusted.gpg.d",
            "var/lib/apt/lists/partial",
            "var/cache/apt/archives/partial",
        ] {
            let path = root.join(directory);
            fs::create_dir_all(&path).map_err(at(&path))?;
        }
        let DebianRecipe {
            suite,
            component,
            architecture,
            ..
        } = recipe;
        let config = root.join("apt.conf");
        let files = [
            (root.join("status"), String::new()),
            (
                root.join("etc/apt/sources.list"),
                format!("deb [signed-by={KEYRING}] {mirror} {suite} {component}\n"),
            ),
            (
                config.clone(),
                format!(
                    "Dir \"{root}\";\nDir::State::status \"{root}/status\";\nAPT::Architecture \"{architecture}\";\n\
                     APT::Architectures {{ \"{architecture}\"; }};\nAPT::Install-Recommends \"false\";\n\
                     APT::Sandbox::User \"root\";\nAcquire::Languages \"none\";\nAcquire::Retries \"3\";\n"
                ),
            ),
        ];
        for (path, text) in files {
            fs::write(&path, text).map_err(at(&path))?;
        }
        Ok(Self { config })
    }

    /// The names and versions of `packages` and all that they depend on: `name=version`.
    fn closure<'a>(
        &self,
        packages: impl Iterator<Item = &'a String>,
    ) -> Result<BTreeSet<String>, ResolveError> {
        let mut arguments = vec!["install", "--simulate", "-qq"];
        arguments.extend(packages.map(String::as_str));
        let text = self.run("apt-get", &arguments)?;
        Ok(installed(&text))
    }

    /// The package that `package` depends on first, with the version that it wants: a virtual machine needs the
    /// kernel, and nothing of what a kernel depends on to be installed.
    fn dependency(&self, package: &str) -> Result<String, ResolveError> {
        let text = self.run("apt-cache", &["show", package])?;
        dependency(&text).ok_or_else(|| unusable(package))
    }

    fn describe(
        &self,
        package: &str,
        purposes: BTreeSet<Purpose>,
    ) -> Result<LockedPackage, ResolveError> {
        let text = self.run("apt-cache", &["show", package])?;
        described(&text, purposes).ok_or_else(|| unusable(package))
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<String, ResolveError> {
        let failed = |said: String| ResolveError::Apt {
            command: format!("{program} {}", arguments[0]),
            said,
        };
        let output = Command::new(program)
            .args(arguments)
            .env("APT_CONFIG", &self.config)
            .env("LC_ALL", "C.UTF-8")
            .output()
            .map_err(|error| failed(error.to_string()))?;
        if !output.status.success() {
            return Err(failed(
                String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            ));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// The packages of `Inst NAME (VERSION ORIGIN [ARCHITECTURE]) …` lines.
fn installed(text: &str) -> BTreeSet<String> {
    let package = |line: &str| {
        let (name, rest) = line.strip_prefix("Inst ")?.split_once(" (")?;
        let version = rest.split(' ').next()?;
        Some(format!("{name}={version}"))
    };
    text.lines().filter_map(package).collect()
}

/// The fields of the first stanza of `apt-cache show`.
fn fields(text: &str) -> BTreeMap<&str, &str> {
    let stanza = text.split("\n\n").next().unwrap_or_default();
    let lines = stanza.lines();
    lines.filter_map(|line| line.split_once(": ")).collect()
}

/// The first dependency on one version, `NAME (= VERSION)`, as `NAME=VERSION`.
fn dependency(text: &str) -> Option<String> {
    let (name, rest) = fields(text).get("Depends")?.split_once(" (= ")?;
    let (version, _) = rest.split_once(')')?;
    Some(format!("{name}={version}"))
}

/// Reads the answer of `apt-cache show`.
fn described(text: &str, purposes: BTreeSet<Purpose>) -> Option<LockedPackage> {
    let fields = fields(text);
    let field = |name: &str| fields.get(name).map(|value| (*value).to_owned());
    Some(LockedPackage {
        name: field("Package")?,
        version: field("Version")?,
        architecture: field("Architecture")?,
        purposes,
        file: field("Filename")?,
        size: field("Size")?.parse().ok()?,
        sha256: field("SHA256")?.parse().ok()?,
    })
}

fn unusable(package: &str) -> ResolveError {
    ResolveError::Answer {
        package: package.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apt_says_what_it_would_install() {
        let text = "NOTE: this is only a simulation\n\
                    Inst libc6 (2.41-12+deb13u4 Debian:13.7/stable [amd64]) []\n\
                    Inst base-files (13.8+deb13u7 Debian:13.7/stable [amd64])\n\
                    Conf libc6 (2.41-12+deb13u4 Debian:13.7/stable [amd64])\n";
        let names: Vec<String> = installed(text).into_iter().collect();
        assert_eq!(names, ["base-files=13.8+deb13u7", "libc6=2.41-12+deb13u4"]);
    }

    #[test]
    fn apt_describes_a_package() {
        let hash = crate::store::Sha256::of(b"deb");
        let text = format!(
            "Package: runc\nVersion: 1.1.15\nArchitecture: amd64\nDescription: runs: containers\n more: text\n\
             Filename: pool/main/r/runc/runc_1.1.15_amd64.deb\nSize: 42\nMD5sum: 0\nSHA256: {hash}\n\nPackage: other\n"
        );
        let purposes = BTreeSet::from([Purpose::Node]);
        let package = described(&text, purposes.clone()).unwrap();
        assert_eq!(
            (package.name.as_str(), package.size, package.sha256),
            ("runc", 42, hash)
        );
        assert_eq!(package.purposes, purposes);
        assert_eq!(described("Package: runc\n", purposes), None);
    }

    #[test]
    fn apt_says_which_kernel_is_the_newest() {
        let text = "Package: linux-image-cloud-amd64\nVersion: 6.12.94-1\n\
                    Depends: linux-image-6.12.94+deb13-cloud-amd64 (= 6.12.94-1)\nSize: 1\n\nDepends: other (= 1)\n";
        assert_eq!(
            dependency(text).as_deref(),
            Some("linux-image-6.12.94+deb13-cloud-amd64=6.12.94-1")
        );
        assert_eq!(dependency("Depends: linux-image\n"), None);
    }
}
