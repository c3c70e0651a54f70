//! The cluster as a command has left it: by what the lab's record says then.

use std::sync::Arc;

use super::etcd::{Etcd, EtcdError};
use crate::lab::{Lab, LabError};
use crate::recipe::{self, RecipeError};
use crate::site::{Site, SiteError};

/// Why what was left cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub(super) enum LeftError {
    /// There is no lab any more.
    #[error("after the command there is no such cluster")]
    Gone,
    /// A file of the lab is damaged.
    #[error("the lab cannot be opened after the command")]
    Lab(#[from] LabError),
    /// Its provider does not answer.
    #[error("the lab cannot be used after the command")]
    Site(#[from] SiteError),
    /// No control-plane node is whole.
    #[error("no member of the cluster can be asked after the command")]
    Recipe(#[from] RecipeError),
    /// etcd cannot be asked.
    #[error("etcd cannot be asked after the command")]
    Etcd(#[from] EtcdError),
}

/// Opens the lab again, to look at it: this process holds it all the time.
pub(super) async fn open(before: &Site) -> Result<(Site, Etcd), LeftError> {
    let lab = Lab::find(before.lab.paths())?.ok_or(LeftError::Gone)?;
    let plan = lab.record().running().cloned().ok_or(LeftError::Gone)?;
    let (parts, events) = (before.parts.clone(), before.events.clone());
    let site = Site::open(plan, Arc::new(lab), parts, events).await?;
    let member = recipe::member(&site).await?;
    let node = site.node(&member).ok_or(LeftError::Gone)?;
    let etcd = Etcd::connect(&site.plan, node).await?;
    Ok((site, etcd))
}
