//! What can go wrong between this machine and another host.

use std::io;
use std::time::Duration;

/// Why another host could not be worked on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// There is no `ssh` here.
    #[error("`{program}` cannot be run")]
    Program {
        /// What was run.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// SSH did not let us in, or did not get there.
    #[error("cannot log in to {host} by SSH: {said}")]
    Login {
        /// The host.
        host: String,
        /// What SSH said.
        said: String,
        /// What its user can try by hand.
        attempt: String,
    },
    /// Whoever logs in there is not root.
    #[error("whoever logs in to {host} is not root there")]
    NotRoot {
        /// The host.
        host: String,
    },
    /// The connection ended.
    #[error("the SSH connection to {host} ended: {said}")]
    Lost {
        /// The host.
        host: String,
        /// What SSH said.
        said: String,
    },
    /// No answer came.
    #[error("{host} did not answer within {waited:.1?}")]
    Silent {
        /// The host.
        host: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// Something was done there and failed.
    #[error("{doing} on {host}: {said}")]
    Refused {
        /// The host.
        host: String,
        /// `killing a machine`…
        doing: &'static str,
        /// What the host said.
        said: String,
    },
    /// The way from here to the nodes could not be made.
    #[error("{doing}")]
    Relay {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

impl RemoteError {
    /// Returns what turns an error of the system into one that says what was being done.
    pub(super) fn relay(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Relay { doing, source }
    }
}
