//! Domains and networks: the only user of `virt`.

mod api;

pub use api::{DomainChange, DomainState, Fault, Hypervisor, HypervisorError, NodeMedia, Weakness};
