//! One running cluster's place on this machine: its state directory, its secrets, and in private
//! mode its namespaces and its libvirt daemon.

pub(crate) mod cgroup;
mod down;
mod error;
pub(crate) mod holder;
mod host;
mod instance;
pub(crate) mod links;
mod lock;
mod mounts;
pub(crate) mod network;
mod paths;
mod private_file;
pub(crate) mod process;
mod remote;
pub mod residue;
mod secrets;

pub use error::LabError;
pub use instance::Lab;
pub(crate) use instance::Place;
pub use paths::LabPaths;
pub use private_file::write_private;
pub use remote::RemoteError;
pub(crate) use remote::RemoteHost;
pub use secrets::{NodeKeys, Secrets};
