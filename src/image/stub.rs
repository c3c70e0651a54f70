//! Trees for tests.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Arc;

use crate::store::{Build, BuildError, Builder, Derivation, Encoding, at};

/// A tree that is written down: the path of each file with its text, or with `-> ` and the target of a symbolic link. The
/// path "" makes a single file; texts that begin with `#!` are executable.
#[derive(Debug)]
pub(super) struct Stub(pub &'static [(&'static str, &'static str)]);

impl Stub {
    pub(super) fn derivation(self, name: &str) -> Arc<Derivation> {
        Derivation::build(name, self).unwrap()
    }
}

impl Builder for Stub {
    fn encode(&self, encoding: &mut Encoding) {
        encoding.list(self.0.iter(), |encoding, (path, text)| {
            _ = encoding.text(path).text(text);
        });
    }

    fn build(&self, build: &Build<'_>) -> Result<(), BuildError> {
        for (path, text) in self.0 {
            let path = match *path {
                "" => build.out.clone(),
                path => build.out.join(path),
            };
            if let Some(directory) = path.parent() {
                fs::create_dir_all(directory).map_err(at(directory))?;
            }
            if let Some(target) = text.strip_prefix("-> ") {
                symlink(target, &path).map_err(at(&path))?;
                continue;
            }
            let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
            fs::write(&path, text).map_err(at(&path))?;
            fs::set_permissions(&path, PermissionsExt::from_mode(mode)).map_err(at(&path))?;
        }
        Ok(())
    }
}
