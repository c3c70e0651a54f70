//! The load: clients of five kinds, open loop, on a thread of their own, from outside the cluster.

mod connection;
mod endpoint;
mod kinds;
mod thread;
mod watcher;

pub(super) use connection::{Answer, get, send};
pub(super) use kinds::{Metadata, Object};
pub(super) use endpoint::{Endpoint, EndpointError, Identity};
pub(super) use thread::{Order, Probes, ProbesError, Recording};

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
