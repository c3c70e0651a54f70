//! The one consumer of events, with three faces: bars on a terminal, plain lines otherwise, JSON lines with
//! `--json`. Also appends every event to the lab's record.

mod bars;
mod consumer;
mod line;
mod record;

pub use consumer::{Face, Show};
pub use line::{duration, line};
