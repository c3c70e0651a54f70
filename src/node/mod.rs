//! A reachable machine: commands and files over SSH. The only user of `russh`.

mod keys;
mod session;

pub use keys::KeyPair;
pub use session::{Command, Node, NodeError, NodeFile, Output};
