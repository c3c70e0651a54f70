//! What a builder is, and what it is given.

use std::fmt;
use std::process::Command;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};

use super::error::BuildError;
use super::{Derivation, Encoding, Lane, Sandboxed, StoreError};
use crate::program;

/// How to build an output. Pure data: equal encodings build equal outputs.
pub trait Builder: fmt::Debug + Send + Sync {
    /// Appends the kind and version of the builder, and all its arguments. A change of what `build` does is
    /// a new version, else old outputs would pass for new ones.
    fn encode(&self, encoding: &mut Encoding);

    /// The derivations whose outputs it reads.
    fn inputs(&self) -> Vec<Arc<Derivation>> {
        Vec::new()
    }

    /// The programs of the machine that it runs.
    fn tools(&self) -> &'static [Tool] {
        &[]
    }

    /// What it waits for most.
    fn lane(&self) -> Lane {
        Lane::Other
    }

    /// Makes `build.out`: a file or a directory.
    fn build(&self, build: &Build<'_>) -> Result<(), BuildError>;
}

/// What a builder is given: where to read and where to write.
#[derive(Debug)]
pub struct Build<'a> {
    pub(super) root: &'a Utf8Path,
    pub(super) name: &'a str,
    /// What the builder makes. Does not exist yet.
    pub out: Utf8PathBuf,
    /// An empty directory on the same file system, removed afterwards.
    pub scratch: Utf8PathBuf,
    /// Outlives the build, to make the next one faster; never changes what is built.
    pub cache: Utf8PathBuf,
    /// Everything that the builder's programs say.
    pub log: Utf8PathBuf,
}

impl Build<'_> {
    /// Where an input's output is.
    pub fn input(&self, derivation: &Derivation) -> Utf8PathBuf {
        self.root.join(derivation.path().as_str())
    }

    /// The name of what is built.
    pub fn name(&self) -> &str {
        self.name
    }

    /// A program to run: in namespaces of its own without network, with a clean environment.
    pub fn command(&self, program: impl Into<String>) -> Sandboxed<'_> {
        Sandboxed::new(&self.log, &self.scratch, program.into())
    }
}

/// A program of the machine that a builder runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tool {
    /// Its name.
    pub program: &'static str,
    /// The oldest version that will do, as `PROGRAM version` prints it after `go`; none if any will.
    pub oldest_go: Option<(u32, u32)>,
    /// The command that installs it.
    pub mend: &'static str,
}

impl Tool {
    /// A program of which any version will do.
    pub const fn any(program: &'static str, mend: &'static str) -> Self {
        Self {
            program,
            oldest_go: None,
            mend,
        }
    }

    /// Checks that it is there, and new enough.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let missing = |found: String| StoreError::Tool {
            program: self.program,
            found,
            mend: self.mend,
        };
        let Some(path) = program::find(self.program) else {
            return Err(missing("is not installed".into()));
        };
        let Some(oldest) = self.oldest_go else {
            return Ok(());
        };
        let output = Command::new(path)
            .env("GOTOOLCHAIN", "local")
            .arg("version")
            .output();
        let text = output
            .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
            .unwrap_or_default();
        match go_version(&text) {
            Some(version) if version >= oldest => Ok(()),
            _ => Err(missing(format!(
                "is {text:?}, older than {}.{}",
                oldest.0, oldest.1
            ))),
        }
    }
}

/// The version in `go version go1.26.8 linux/amd64`, or in `…go1.27rc1…`.
fn go_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text
        .split(' ')
        .nth(2)?
        .strip_prefix("go")?
        .split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_says_its_version() {
        assert_eq!(go_version("go version go1.26.8 linux/amd64"), Some((1, 26)));
        assert_eq!(
            go_version("go version go1.27rc1 linux/amd64"),
            Some((1, 27))
        );
        assert_eq!(go_version(""), None);
    }

    #[test]
    fn a_missing_tool_names_what_mends_it() {
        let error = Tool::any("no-such-program", "apt-get install it")
            .check()
            .unwrap_err();
        assert!(
            matches!(
                error,
                StoreError::Tool {
                    mend: "apt-get install it",
                    ..
                }
            ),
            "{error:?}"
        );
    }
}
