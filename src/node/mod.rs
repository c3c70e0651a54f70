//! A reachable machine: commands and files over SSH. The only user of `russh`.

mod command;
mod error;
mod keys;
mod link;
mod push;
mod session;

#[cfg(test)]
pub(crate) mod sshd;
#[cfg(test)]
mod tests;

pub use command::{Command, Output};
pub use error::{CommandError, CommandFailure, NodeError};
pub use keys::KeyPair;
pub use push::NodeFile;
pub use session::Node;
