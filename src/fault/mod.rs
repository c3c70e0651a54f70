//! What can be done to a node to see what its cluster makes of it: one table for `regent node` and `regent verify`.
//!
//! [`Fault`] names each, how it is injected and reverted, and where it is weaker than its name. Some are the provider's
//! ([`provider::Fault`](crate::provider::Fault)), from outside; others the node's own system does ([`Impairment`]). What is
//! in force stands in the lab's record from before it is injected until it is reverted, so that a regent that is killed
//! leaves nothing behind that nobody knows of.

mod force;
mod impairment;
mod table;

pub use force::{FaultError, inject, revert, reverted};
pub use impairment::Impairment;
pub use table::Fault;
