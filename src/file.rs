//! Files of ours: written whole or not at all, and a damaged one is an error that names it, never an empty value.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

/// Why a file of ours could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The system did not give it.
    #[error("reading {path}")]
    Io {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is there and does not say what it should: cut short, or changed by another hand.
    #[error("{path} is damaged: {why}")]
    Damaged {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong, in the parser's words.
        why: String,
    },
    /// A later regent wrote it.
    #[error("{path} has version {found}, and this regent knows none after {known}")]
    Later {
        /// The file.
        path: Utf8PathBuf,
        /// What it says.
        found: u64,
        /// The version that this regent writes.
        known: u32,
    },
}

impl ReadError {
    /// The file.
    pub fn path(&self) -> &Utf8Path {
        match self {
            Self::Io { path, .. } | Self::Damaged { path, .. } | Self::Later { path, .. } => path,
        }
    }
}

/// Reads a file of ours that holds JSON; none if there is no such file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Utf8Path) -> Result<Option<T>, ReadError> {
    let Some(text) = read(path)? else {
        return Ok(None);
    };
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(damaged(path))
}

/// The same of a file whose format has a `version`.
pub(crate) fn read_versioned<T: DeserializeOwned>(
    path: &Utf8Path,
    known: u32,
) -> Result<Option<T>, ReadError> {
    #[derive(Deserialize)]
    struct Version {
        version: u64,
    }
    let Some(text) = read(path)? else {
        return Ok(None);
    };
    // That it is JSON at all comes first: a file that was cut short has no version to speak of.
    serde_json::from_slice::<IgnoredAny>(&text).map_err(damaged(path))?;
    // Then the version: the fields of a later one are unknown.
    let Version { version } = serde_json::from_slice(&text).map_err(damaged(path))?;
    if version > known.into() {
        return Err(ReadError::Later {
            path: path.to_owned(),
            found: version,
            known,
        });
    }
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(damaged(path))
}

fn read(path: &Utf8Path) -> Result<Option<Vec<u8>>, ReadError> {
    match fs::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ReadError::Io {
            path: path.to_owned(),
            source,
        }),
    }
}

fn damaged(path: &Utf8Path) -> impl FnOnce(serde_json::Error) -> ReadError {
    move |error| ReadError::Damaged {
        path: path.to_owned(),
        why: error.to_string(),
    }
}

/// Writes a value as JSON, as [`write_whole`] does, readable by us only.
pub(crate) fn write_json<T: Serialize>(path: &Utf8Path, value: &T) -> io::Result<()> {
    write_whole(path, &serde_json::to_vec_pretty(value)?, 0o600)
}

/// Writes a file so that it is there whole or not at all, even when the machine stops: under another name beside it,
/// synced, renamed over it, and the directory synced. Its mode does not depend on the umask.
pub(crate) fn write_whole(path: &Utf8Path, content: &[u8], mode: u32) -> io::Result<()> {
    let directory = path
        .parent()
        .filter(|parent| !parent.as_str().is_empty())
        .unwrap_or(Utf8Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".regent-")
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(directory)?;
    file.write_all(content)?;
    file.as_file()
        .set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct Known {
        version: u32,
        word: String,
    }

    #[test]
    fn what_is_cut_short_or_of_a_later_version_is_an_error_that_names_the_file() {
        let scratch = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(scratch.path()).unwrap().join("x.json");
        assert_eq!(read_versioned::<Known>(&path, 1).unwrap(), None);
        let value = Known {
            version: 1,
            word: "a".to_owned(),
        };
        write_json(&path, &value).unwrap();
        assert_eq!(read_versioned(&path, 1).unwrap(), Some(value));
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let error = read_versioned::<Known>(&path, 1).unwrap_err();
            assert!(matches!(error, ReadError::Damaged { .. }), "{cut}");
            assert!(error.to_string().contains(path.as_str()));
            read_json::<Known>(&path).unwrap_err();
        }
        fs::write(&path, r#"{"version": 2, "other": 1}"#).unwrap();
        let error = read_versioned::<Known>(&path, 1).unwrap_err();
        assert!(matches!(
            error,
            ReadError::Later {
                found: 2,
                known: 1,
                ..
            }
        ));
        fs::write(&path, r#"{"word": "a"}"#).unwrap();
        let error = read_versioned::<Known>(&path, 1).unwrap_err();
        assert!(error.to_string().contains("version"), "{error}");
    }

    #[test]
    fn a_file_has_its_mode_and_nothing_is_left_beside_it() {
        let scratch = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(scratch.path()).unwrap().join("x");
        for (content, mode) in [("a", 0o644), ("bc", 0o600)] {
            write_whole(&path, content.as_bytes(), mode).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
            let found = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(found & 0o777, mode);
        }
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    }
}
