//! What will be, derived from the file alone: names, addresses, identifiers, files, steps. No I/O, no chance, no time.

mod derive;
mod difference;
mod files;
mod identity;
mod summary;
mod types;

#[cfg(test)]
mod tests;

pub use derive::{Beside, derive};
pub use difference::{Change, Reach, difference};
pub use files::{FilesError, files};
pub use summary::summary;
pub use types::{
    ImageArchive, MacAddress, NetworkPlan, NodePlan, NodeRole, Plan, PlannedFile, Uuid,
};
