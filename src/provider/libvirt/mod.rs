//! Nodes on libvirt: domains and networks; the only user of `virt`.
//!
//! [`Hypervisor`] is the one door. Behind it, [`driver`] is what containers and virtual machines do each in their own
//! way; all else is the same for both.

mod api;
mod closing;
mod connection;
mod console;
mod domains;
mod driver;
mod error;
mod events;
mod fault;
mod host;
mod identity;
mod lxc;
mod qemu;
mod remote;
mod storage;
mod throttle;
mod upload;

pub use api::{Boot, DomainChange, DomainState, Hypervisor, NodeMedia};
pub(crate) use domains::{answers, sweep};
pub use error::ProviderError;
pub use fault::{Fault, SLOW_DISK, Strength};
pub use remote::examine_host;
