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
mod place;
pub(crate) mod process;
mod record;
mod remote;
pub mod residue;
mod secrets;

#[cfg(test)]
pub(crate) mod tests;

pub use error::LabError;
pub use instance::{Lab, Lent};
pub use paths::LabPaths;
pub(crate) use place::Place;
pub use record::{ActiveFault, LockFile, Operation, Record};
pub use remote::RemoteError;
pub(crate) use remote::RemoteHost;
pub use secrets::{NodeKeys, Secrets};
