//! What this machine has and lacks for a lab. Changes nothing, but that it remembers whether a guest booted.

mod environment;
mod examine;
mod facts;
mod guest;

pub use environment::set_umask;
pub(crate) use environment::{proxies, restore_umask};
pub use examine::{Finding, State, examine, for_labs, for_machines, overlay};
pub(crate) use guest::WORD;
pub use guest::{Guests, TRIAL, accelerator, emulation_doubt, guests, try_guest};
