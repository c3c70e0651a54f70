//! Domains and networks: the only user of `virt`.

mod api;
mod error;
mod events;
mod identity;
mod libvirt;
mod lxc;

pub(crate) use api::sweep;
pub use api::{DomainChange, DomainState, Fault, Hypervisor, NodeMedia, Weakness};
pub use error::HypervisorError;
