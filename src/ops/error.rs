//! Why a use case could not be begun.

use crate::image::ImageError;
use crate::lab::{LabError, LockFile};
use crate::name::ClusterName;
use crate::recipe::RecipeError;

/// Why a use case could not be begun. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpsError {
    /// The lab could not be found, held or entered.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// There is no such lab, or it has ended.
    #[error("no lab `{0}` is running")]
    NotRunning(ClusterName),
    /// The plan is not one that the running cluster can become.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// What nodes would boot cannot be found out.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The running nodes boot something else than this regent and this lock file would make.
    #[error(
        "the lab's nodes boot what {recorded} made; {current} makes other ones of {}; nothing was changed", .parts.join(", ")
    )]
    OtherImage {
        /// The parts that differ.
        parts: Vec<String>,
        /// Whose image they boot.
        recorded: String,
        /// Whose they would boot now.
        current: String,
    },
}

/// A regent and a lock file, in words.
pub(super) fn maker(regent: &str, lock: Option<&LockFile>) -> String {
    let Some(LockFile { path, sha256 }) = lock else {
        return format!("regent {regent}");
    };
    let hash = sha256.get(..12).unwrap_or(sha256);
    match path {
        Some(path) => format!("regent {regent} with {path} (sha256 {hash}…)"),
        None => format!("regent {regent} with its built-in lock file (sha256 {hash}…)"),
    }
}
