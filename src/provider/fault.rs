//! What can be done to a node from outside it.

use serde::{Deserialize, Serialize};

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
