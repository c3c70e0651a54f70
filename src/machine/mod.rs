//! What this machine has and lacks for a lab. Changes nothing, but that it remembers whether a guest booted.

mod examine;
mod facts;
mod guest;

pub use examine::{Finding, State, complete_path, examine, for_labs, for_machines};
pub(crate) use guest::WORD;
pub use guest::{Guests, TRIAL, accelerator, emulation_doubt, guests, try_guest};
