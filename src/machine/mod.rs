//! What this machine has and lacks for a lab. Looks, changes nothing.

mod examine;
mod facts;

pub use examine::{Finding, State, examine};
