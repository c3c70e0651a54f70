//! The load: clients of five kinds, open loop, on a thread of their own, from outside the cluster.

mod connection;
mod endpoint;
mod kinds;
mod thread;
mod watcher;

pub(super) use connection::{Answer, get, send};
pub use endpoint::EndpointError;
pub(super) use endpoint::{Endpoint, Identity};
pub(super) use kinds::{Metadata, Object};
pub use thread::ProbesError;
pub(super) use thread::{Order, Probes, Recording};

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
