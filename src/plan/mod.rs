//! What will be: names, addresses, identifiers, files, steps; and how one plan differs from another. No I/O, no chance,
//! no time.

mod difference;
mod summary;
mod types;

pub use difference::{Change, ENDPOINT, Reach, difference};
pub(crate) use summary::steps;
pub use summary::summary;
pub use types::{
    BackupPlan, ImageArchive, MacAddress, NetworkPlan, NodePlan, NodeRole, PATCHES, Plan,
    PlannedFile, Uuid,
};
