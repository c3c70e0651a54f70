//! The use cases: which lab, held how strongly, and what is done with it. The command line and `vmtests` call the same.
//!
//! Every command but `up` works on what is recorded of a lab, and needs of `cluster.yaml` nothing but the name. What
//! changes a cluster holds its lab from start to end, and nobody else does meanwhile; looking is free.

mod error;
mod open;
mod status;
mod up;

pub use error::OpsError;
pub use open::{Hold, Opened, open};
pub use status::{Report, report};
pub use up::{check, enter};
