//! One running cluster's place on this machine: its state directory, its secrets, and in private
//! mode its namespaces and its libvirt daemon.

mod instance;
mod paths;
mod private_file;
mod secrets;

pub use instance::{Lab, LabError};
pub use paths::LabPaths;
pub use private_file::write_private;
pub use secrets::{NodeKeys, Secrets};
