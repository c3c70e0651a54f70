//! The load of a verification: clients of five kinds, open loop, on a thread of their own, from outside the cluster.
//!
//! A crate of its own so that it alone is optimised in every build: it shares the processors with the cluster that it
//! measures. [`Probes::start`] takes an [`Order`] and runs until [`Probes::stop`], which returns the [`Recording`]:
//! [`Sample`]s, and the [`Write`]s and [`Delivery`]s of the history. Everything is timed by one [`Clock`].

pub mod clock;
mod connection;
mod cover;
mod endpoint;
pub mod history;
mod kinds;
mod rate;
pub mod sample;
mod thread;
mod watcher;

pub use clock::{Clock, Moment};
pub use connection::{Answer, get, send};
pub use cover::Server;
pub use endpoint::{Endpoint, EndpointError, Identity};
pub use history::{Covered, Delivery, Fate, History, How, Interruption, Kept, Stored, Write, fate};
pub use kinds::{Data, Metadata, Object};
pub use rate::Load;
pub use sample::{Outcome, Probe, SLOW, Sample, UnknownOutcome};
pub use thread::{Order, Probes, ProbesError, Recording};
