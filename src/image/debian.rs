//! Debian trees, built from exactly the locked packages.

use std::fs;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};

use crate::store::{
    Build, BuildError, Builder, Derivation, Encoding, FileError, Sandboxed, Tool, at, remove,
};

/// Packages installed and configured, by `mmdebstrap` from a repository that holds nothing else.
#[derive(Debug)]
pub(super) struct DebianRoot {
    /// The packages' names.
    pub names: Vec<String>,
    /// The packages.
    pub packages: Vec<Arc<Derivation>>,
    /// What is removed again.
    pub strip: Vec<String>,
}

impl Builder for DebianRoot {
    fn encode(&self, encoding: &mut Encoding) {
        encoding
            .text("debian-root/1")
            .texts(&self.names)
            .texts(&self.strip);
    }

    fn inputs(&self) -> Vec<Arc<Derivation>> {
        self.packages.clone()
    }

    fn tools(&self) -> &'static [Tool] {
        const { &[Tool::any("mmdebstrap", "apt-get install mmdebstrap"), DPKG] }
    }

    fn build(&self, build: &Build<'_>) -> Result<(), BuildError> {
        let repository = build.scratch.join("repository");
        fs::create_dir(&repository).map_err(at(&repository))?;
        for package in &self.packages {
            let link = repository.join(package.name());
            fs::hard_link(build.input(package), &link).map_err(at(&link))?;
        }
        build
            .command("sh")
            .directory(&repository)
            .args(["-euc", INDEX])
            .run()?;
        build
            .command("mmdebstrap")
            .args(["--mode=root", "--variant=essential", "--format=directory"])
            .arg("--aptopt=APT::Sandbox::User \"root\"")
            // What counts is on disk before the tree is registered.
            .arg("--dpkgopt=force-unsafe-io")
            .arg(format!("--include={}", self.names.join(",")))
            // No suite: everything in the repository is wanted.
            .args([
                "",
                build.out.as_str(),
                &format!("deb [trusted=yes] copy:{repository} ./"),
            ])
            .run()?;
        Ok(strip(&build.out, &self.strip)?)
    }
}

/// Writes the index of a flat repository.
const INDEX: &str = r#"
for package in *.deb; do
	dpkg-deb --field "$package"
	printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$package" "$(stat -c %s "$package")" "$(sha256sum "$package" | cut -d ' ' -f 1)"
done >Packages
"#;

const DPKG: Tool = Tool::any("dpkg-deb", "apt-get install dpkg");

/// Packages unpacked side by side, not configured: programs and libraries for a container image or for other builders.
#[derive(Debug)]
pub(super) struct Unpacked {
    /// The packages, in the order in which they are unpacked.
    pub packages: Vec<Arc<Derivation>>,
    /// What is removed again.
    pub strip: Vec<String>,
}

impl Builder for Unpacked {
    fn encode(&self, encoding: &mut Encoding) {
        encoding.text("unpacked/1").texts(&self.strip);
    }

    fn inputs(&self) -> Vec<Arc<Derivation>> {
        self.packages.clone()
    }

    fn tools(&self) -> &'static [Tool] {
        const { &[DPKG] }
    }

    fn build(&self, build: &Build<'_>) -> Result<(), BuildError> {
        fs::create_dir(&build.out).map_err(at(&build.out))?;
        let unpack =
            "out=$1; shift; for package; do dpkg-deb --extract \"$package\" \"$out\"; done";
        let packages = self
            .packages
            .iter()
            .map(|package| build.input(package).into_string());
        build
            .command("sh")
            .args(["-euc", unpack, "sh", build.out.as_str()])
            .args(packages)
            .run()?;
        Ok(strip(&build.out, &self.strip)?)
    }
}

/// A program in a tree of unpacked packages, to be run by the tree's own loader with the tree's own libraries: the
/// machine's have no part in what it makes.
pub(super) fn program<'a>(build: &'a Build<'_>, tree: &Derivation, path: &str) -> Sandboxed<'a> {
    let tree = build.input(tree);
    let libraries = tree.join("usr/lib/x86_64-linux-gnu");
    build
        .command(libraries.join("ld-linux-x86-64.so.2"))
        .args(["--inhibit-cache", "--library-path", libraries.as_str()])
        .arg(tree.join(path))
}

/// Removes what the patterns name: paths below `root`, of which the last part may end with `*`.
fn strip(root: &Utf8Path, patterns: &[String]) -> Result<(), FileError> {
    for pattern in patterns {
        let path = root.join(pattern);
        let (Some(prefix), Some(directory)) = (pattern.strip_suffix('*'), path.parent()) else {
            remove(&path)?;
            continue;
        };
        let prefix = prefix.rsplit('/').next().unwrap_or_default();
        for entry in entries(directory)? {
            if entry
                .file_name()
                .is_some_and(|name| name.starts_with(prefix))
            {
                remove(&entry)?;
            }
        }
    }
    Ok(())
}

/// What is in a directory; nothing if there is none.
fn entries(directory: &Utf8Path) -> Result<Vec<Utf8PathBuf>, FileError> {
    if !directory.exists() {
        return Ok(Vec::new());
    }
    let read = || {
        directory
            .read_dir_utf8()?
            .map(|entry| Ok(entry?.into_path()))
            .collect()
    };
    let entries: std::io::Result<Vec<Utf8PathBuf>> = read();
    entries.map_err(at(directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stripping_removes_what_is_named_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap();
        for file in [
            "etc/apt/sources.list",
            "etc/ssh/ssh_host_rsa_key",
            "etc/ssh/sshd_config",
            "var/log/a/b",
            "var/log/c",
        ] {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), "").unwrap();
        }
        let patterns = [
            "etc/apt",
            "etc/ssh/ssh_host_*",
            "var/log/*",
            "no/such/*",
            "none",
        ]
        .map(str::to_owned);
        strip(root, &patterns).unwrap();
        let left = |path: &str| {
            entries(&root.join(path))
                .unwrap()
                .iter()
                .map(|e| e.file_name().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(left("etc"), ["ssh"]);
        assert_eq!(left("etc/ssh"), ["sshd_config"]);
        assert_eq!(left("var"), ["log"]);
        assert_eq!(left("var/log"), Vec::<String>::new());
    }
}
