//! What will be, derived from the file alone: names, addresses, identifiers, files, steps. No I/O, no chance, no time.

mod derive;
mod files;
mod identity;
mod step;
mod summary;
mod types;

#[cfg(test)]
mod tests;

pub use derive::derive;
pub use files::{FilesError, files};
pub use step::Step;
pub use summary::summary;
pub use types::{MacAddress, NetworkPlan, NodePlan, NodeRole, Plan, PlannedFile, Uuid};
