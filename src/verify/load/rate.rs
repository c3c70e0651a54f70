//! How much is asked.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How much is asked of the cluster while it is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct Load {
    /// Samples a second of each probe. 20 resolves 50 ms; all probes together then cost under 5 % of a core.
    pub rate_hz: u32,
    /// After how many milliseconds a client gives up; 10 000 is what many HTTP clients take.
    pub timeout_ms: u32,
}

impl Load {
    /// Returns the time from one sample of a probe to its next.
    pub fn period(self) -> Duration {
        Duration::from_secs(1) / self.rate_hz.max(1)
    }

    /// Returns after how long a client gives up.
    pub fn timeout(self) -> Duration {
        Duration::from_millis(self.timeout_ms.into())
    }
}

impl Default for Load {
    fn default() -> Self {
        Self {
            rate_hz: 20,
            timeout_ms: 10_000,
        }
    }
}
