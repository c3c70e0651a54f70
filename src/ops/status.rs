//! A lab at a glance: what is seen, and what is on record that explains it.

use serde::Serialize;

use crate::event::chain;
use crate::kubernetes::Kubernetes;
use crate::lab::{ActiveFault, Record};
use crate::recipe::{self, Status};
use crate::site::Site;

/// A lab at a glance.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// What is seen.
    #[serde(flatten)]
    pub status: Status,
    /// The faults that were injected and not reverted, each with the command that reverts it.
    pub faults: Vec<ActiveFault>,
    /// What is being done to the cluster, or was begun and has not ended well.
    pub operation: Option<String>,
    /// Where the file differs from what runs.
    pub differs: Option<String>,
}

/// Looks at everything; what does not answer is left out, not waited for. Runs on the lab's runtime.
pub async fn report(site: &Site, record: &Record, differs: Option<String>) -> Report {
    let kubernetes = match site.kubeconfig().exists() {
        true => Some(Kubernetes::connect(&site.kubeconfig()).await),
        false => None,
    };
    let (kubernetes, refused) = match kubernetes {
        Some(Ok(kubernetes)) => (Some(kubernetes), None),
        Some(Err(error)) => (None, Some(chain(&error))),
        None => (None, None),
    };
    let mut status = recipe::status(site, kubernetes.as_ref()).await;
    if let Some(refused) = refused {
        // Without a client the recipe takes it that there is no kubeconfig, and there is one.
        for check in &mut status.checks {
            if check.name == "API" && check.missing.is_some() {
                check.missing = Some(refused.clone());
            }
        }
    }
    Report {
        status,
        faults: record.faults.clone(),
        operation: operation(record),
        differs,
    }
}

/// What is on record as being done, in words.
fn operation(record: &Record) -> Option<String> {
    let operation = record.operation.as_ref()?;
    let since = operation.since.strftime("%F %T UTC");
    Some(match operation.is_running() {
        true => format!("`{}` is at work since {since}", operation.what),
        false => format!(
            "`{}`, begun {since}, has not ended well: `regent up` goes on",
            operation.what
        ),
    })
}
