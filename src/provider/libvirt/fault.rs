//! What can be done to a node, and its undoing.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{DomainState, Hypervisor, ProviderError};
use crate::name::NodeName;

/// What can be done to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fault {
    /// Power cut: nothing is said to anyone, everything ends at once.
    PowerCut,
    /// libvirt's destroy. A container's processes are killed one by one, and peers hear FIN or RST; a virtual machine
    /// ends with QEMU, which is asked to first.
    Kill,
    /// Orderly shutdown.
    Stop,
    /// The node's processors stop, memory stays.
    Pause,
    /// The cable is out: the node lives and hears nobody.
    LinkDown,
    /// The reset button: a new boot, without a word to anyone.
    Reset,
    /// The disk answers [`SLOW_DISK`] requests a second.
    SlowDisk,
}

/// What is left of a slowed disk, in requests a second: a worn-out spinning disk, far below what etcd needs (its tuning
/// guide asks for 50 sequential ones at the least).
pub const SLOW_DISK: u64 = 10;

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 7] = [
        Self::PowerCut,
        Self::Kill,
        Self::Stop,
        Self::Pause,
        Self::LinkDown,
        Self::Reset,
        Self::SlowDisk,
    ];

    /// The verb, for messages: `cut`, `kill`, `stop`…
    pub fn verb(self) -> &'static str {
        match self {
            Self::PowerCut => "cut",
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Pause => "pause",
            Self::LinkDown => "unplug",
            Self::Reset => "reset",
            Self::SlowDisk => "slow down",
        }
    }
}

/// How far a fault does on a driver what its name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Strength {
    /// It does.
    Full,
    /// Not quite, and in which way. Stands in the evidence.
    Weaker(&'static str),
    /// It cannot be done, and why.
    Missing(&'static str),
}

type Result<T> = std::result::Result<T, ProviderError>;

/// libvirt tells of a node's end within some ms of it; a machine that is busy starting others is slower.
const SETTLE: Duration = Duration::from_secs(15);

/// A question to libvirt takes a millisecond.
const POLL: Duration = Duration::from_millis(25);

/// systemd gives a unit 90 s to stop before it kills it; a little more for what comes after. An emulated machine with
/// a dozen containers took longer than the 90 s already.
const POWER_OFF: Duration = Duration::from_secs(200);

impl Hypervisor {
    /// Does it to the node, and returns when it is done: for a cut, kill or stop the node's process is gone.
    /// Returns the instant just before the fault was applied.
    pub async fn inject(&self, node: &NodeName, fault: Fault) -> Result<Instant> {
        let name = node.clone();
        let before = self
            .blocking(move |inner| inner.inject(&name, fault))
            .await?;
        match fault {
            // Whoever cuts the power wants to know now; libvirt finds out by itself. The others change no state.
            Fault::PowerCut | Fault::LinkDown | Fault::Reset | Fault::SlowDisk => {}
            Fault::Kill => self.settle(node, DomainState::Off, SETTLE).await?,
            Fault::Stop => {
                self.settle(node, DomainState::Off, POWER_OFF).await?;
            }
            Fault::Pause => {
                self.settle(node, DomainState::Paused, SETTLE).await?;
            }
        }
        Ok(before)
    }

    /// Undoes whatever was done: starts a dead node from its kept disk, resumes a paused one, plugs its cable in and
    /// gives it back its disk.
    pub async fn heal(&self, node: &NodeName) -> Result<()> {
        self.bury(node).await?;
        let name = node.clone();
        self.blocking(move |inner| inner.heal(&name)).await
    }

    /// How far `fault` does with this driver what its name says.
    pub fn strength(&self, fault: Fault) -> Strength {
        self.driver().strength(fault)
    }

    /// Where `fault` is weaker with this driver than its name says.
    pub fn weakness(&self, fault: Fault) -> Option<&'static str> {
        match self.strength(fault) {
            Strength::Weaker(how) => Some(how),
            Strength::Full | Strength::Missing(_) => None,
        }
    }

    /// Waits until libvirt has heard of the death of a node that is dead; it would not start it before.
    pub(super) async fn bury(&self, node: &NodeName) -> Result<()> {
        let name = node.clone();
        let unheard = self
            .blocking(move |inner| {
                let domain = inner.domain(&name);
                let state = inner.libvirt.state(&domain)?;
                Ok(state.is_active() && inner.driver.find(&inner.place, &domain)?.is_none())
            })
            .await?;
        match unheard {
            true => self.settle(node, DomainState::Off, SETTLE).await,
            false => Ok(()),
        }
    }

    /// Waits for a node's domain to reach a state.
    async fn settle(&self, node: &NodeName, wanted: DomainState, patience: Duration) -> Result<()> {
        let begun = Instant::now();
        loop {
            let name = node.clone();
            let state = self.blocking(move |inner| inner.libvirt.state(&inner.domain(&name)));
            let last = state.await?;
            if last == wanted {
                return Ok(());
            }
            if begun.elapsed() > patience {
                return Err(ProviderError::Deadline {
                    node: node.clone(),
                    wanted,
                    last,
                    waited: patience,
                });
            }
            tokio::time::sleep(POLL).await;
        }
    }
}
