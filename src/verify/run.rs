//! A run: healthy, load, fault, heal, checks, verdict.

use camino::Utf8Path;

use super::evidence::{Evidence, EvidenceError};
use super::scenario::Scenario;
use super::verdict::{Verdict, judge};
use crate::site::Site;

/// Why a run came to no verdict at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The evidence could not be kept.
    #[error("cannot keep the evidence")]
    Evidence(#[from] EvidenceError),
}

/// Does `scenario` to the cluster and leaves the evidence in the directory `out`, which is made. Call it on the lab's
/// runtime. Progress goes to the site's events.
///
/// A cluster that is sick before is left alone: the verdict is then `void`. Whatever the verdict, a fault that was
/// injected is healed first (unless the scenario says otherwise).
pub async fn run(
    _site: &Site,
    _scenario: &Scenario,
    _out: &Utf8Path,
) -> Result<Verdict, VerifyError> {
    unimplemented!()
}

/// Judges the evidence in a directory again, and writes nothing.
pub fn evaluate(directory: &Utf8Path) -> Result<Verdict, EvidenceError> {
    Ok(judge(&Evidence::read(directory)?))
}
