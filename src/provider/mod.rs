//! What runs nodes.

mod api;
mod error;
mod fault;
mod libvirt;
#[cfg(test)]
pub(crate) mod memory;

pub use api::{Answer, Boot, DomainChange, DomainState, NodeMedia, Provider};
pub use error::ProviderError;
pub use fault::{Fault, SLOW_DISK, Strength};
pub(crate) use libvirt::{answers, sweep};
pub use libvirt::{connect, examine_host};
