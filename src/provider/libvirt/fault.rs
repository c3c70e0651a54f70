//! Faults are injected and undone, and waited for.

use std::time::{Duration, Instant};

use super::{DomainState, Fault, Hypervisor, ProviderError};
use crate::name::NodeName;

type Result<T> = std::result::Result<T, ProviderError>;

/// libvirt tells of a node's end within some ms of it; a machine that is busy starting others is slower.
const SETTLE: Duration = Duration::from_secs(15);

/// A question to libvirt takes a millisecond.
const POLL: Duration = Duration::from_millis(25);

/// systemd gives a unit 90 s to stop before it kills it; a little more for what comes after. An emulated machine with
/// a dozen containers took longer than the 90 s already.
const POWER_OFF: Duration = Duration::from_secs(200);

impl Hypervisor {
    pub(super) async fn impose(&self, node: &NodeName, fault: Fault) -> Result<Instant> {
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

    pub(super) async fn undo(&self, node: &NodeName) -> Result<()> {
        self.bury(node).await?;
        let name = node.clone();
        self.blocking(move |inner| inner.heal(&name)).await
    }

    /// Waits until libvirt has heard of the death of a node that is dead; it would not start it before. One that does not hear of it
    /// is told: seen once in some hundred cuts, a container whose processes were gone and that libvirt had running minutes later.
    pub(super) async fn bury(&self, node: &NodeName) -> Result<()> {
        let name = node.clone();
        let unheard = self
            .blocking(move |inner| {
                let domain = inner.domain(&name);
                let state = inner.libvirt.state(&domain)?;
                Ok(state.is_active() && inner.driver.find(&inner.place, &domain)?.is_none())
            })
            .await?;
        if !unheard {
            return Ok(());
        }
        match self.settle(node, DomainState::Off, SETTLE).await {
            Err(ProviderError::Deadline { .. }) => {
                let name = node.clone();
                self.blocking(move |inner| inner.libvirt.destroy(&inner.domain(&name)))
                    .await?;
                self.settle(node, DomainState::Off, SETTLE).await
            }
            told => told,
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
