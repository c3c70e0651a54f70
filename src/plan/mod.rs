//! What will be, derived from the file alone: names, addresses, identifiers, files, steps. No I/O, no chance, no time.

mod types;

pub use types::{MacAddress, NetworkPlan, NodePlan, NodeRole, Plan, PlannedFile, Uuid};
