//! From the wish to the plan: names, addresses, identifiers, and every file's text. No I/O, no chance, no time.

mod identity;
mod plan;

#[cfg(test)]
mod tests;

pub use plan::{Beside, plan};
