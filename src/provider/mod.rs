//! What runs nodes.

mod libvirt;

pub use libvirt::{
    Boot, DomainChange, DomainState, Fault, Hypervisor, NodeMedia, ProviderError, SLOW_DISK,
    Strength, examine_host,
};
pub(crate) use libvirt::{answers, sweep};
