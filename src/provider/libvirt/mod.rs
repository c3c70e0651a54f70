//! Nodes on libvirt: domains and networks; the only user of `virt`.
//!
//! [`connect`] is the one door. Behind it, [`driver`] is what containers and virtual machines do each in their own
//! way; all else is the same for both.

mod closing;
mod connection;
mod console;
mod domains;
mod driver;
mod events;
mod fault;
mod host;
mod hypervisor;
mod identity;
mod lxc;
mod qemu;
mod remote;
mod storage;
mod throttle;
mod upload;

use super::{
    Answer, Boot, DomainChange, DomainState, Fault, NodeMedia, Provider, ProviderError, SLOW_DISK,
    Strength,
};

pub(crate) use domains::{answers, sweep};
use hypervisor::Hypervisor;
pub use hypervisor::connect;
pub use remote::examine_host;
