//! Faults come into force and go out of it.

use std::time::{Duration, Instant};

use super::{Fault, Impairment};
use crate::lab::{ActiveFault, LabError};
use crate::name::NodeName;
use crate::node::NodeError;
use crate::provider::{ProviderError, Strength};
use crate::site::Site;

/// How long a node that is given back may take until it answers: an emulated machine boots for a minute or more.
const BOOT: Duration = Duration::from_secs(180);

/// Why a fault was not injected or reverted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FaultError {
    /// The provider refused.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The node did not do it, or cannot be reached.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The lab's record could not be written.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// The cluster has no such node.
    #[error("the cluster has no node `{0}`")]
    NoNode(NodeName),
    /// It cannot be done here.
    #[error("{node}: {fault} is missing: {why}")]
    Missing {
        /// The node.
        node: NodeName,
        /// The fault's name.
        fault: &'static str,
        /// Why it cannot.
        why: &'static str,
    },
}

/// Injects a fault; returns the instant just before. It is on record before it is in force.
///
/// # Errors
/// When it cannot be done, or was not.
pub async fn inject(site: &Site, name: &NodeName, fault: Fault) -> Result<Instant, FaultError> {
    if let Strength::Missing(why) = fault.strength(&*site.provider, site.plan.driver) {
        return Err(FaultError::Missing {
            node: name.clone(),
            fault: fault.name(),
            why,
        });
    }
    let faults = site.lab.record().faults;
    let recorded = faults
        .iter()
        .any(|known| known.node == *name && known.fault == fault.name());
    if fault.lasts() && !recorded {
        let revert = fault.reverted_by(name);
        let active = ActiveFault::now(name.clone(), fault.name(), revert);
        site.lab.fault_injected(active)?;
    }
    let injected = match fault {
        Fault::Outside(fault) => {
            let injected = site.provider.inject(name, fault).await;
            injected.map_err(FaultError::from)
        }
        Fault::Within(impairment) => {
            let node = site
                .node(name)
                .ok_or_else(|| FaultError::NoNode(name.clone()))?;
            let before = Instant::now();
            let imposed = impairment.impose(node, site.plan.network.gateway).await;
            imposed.map(|()| before).map_err(FaultError::from)
        }
    };
    if let Err(FaultError::Provider(ProviderError::State { .. } | ProviderError::Missing { .. })) =
        injected
        && !recorded
    {
        // Refused before anything was done.
        site.lab.fault_reverted(name, Some(fault.name()))?;
    }
    injected
}

/// Reverts whatever was done to a node, and returns when it answers again.
///
/// # Errors
/// When it was not, or the node does not answer.
pub async fn revert(site: &Site, name: &NodeName) -> Result<(), FaultError> {
    let node = site
        .node(name)
        .ok_or_else(|| FaultError::NoNode(name.clone()))?;
    site.provider.heal(name).await?;
    node.wait_reachable(BOOT).await?;
    Impairment::lift(node, site.plan.driver).await?;
    Ok(site.lab.fault_reverted(name, None)?)
}

/// Records that a node was started: what that reverts is no longer in force.
///
/// # Errors
/// When the record cannot be written.
pub fn reverted(site: &Site, name: &NodeName) -> Result<(), LabError> {
    for fault in Fault::ALL.iter().filter(|fault| fault.ends_with_a_start()) {
        site.lab.fault_reverted(name, Some(fault.name()))?;
    }
    Ok(())
}
