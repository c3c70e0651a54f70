//! Configuration as code: the spec's manifests, applied last.

use std::time::Duration;

use crate::kubernetes::{Kubernetes, KubernetesError};
use crate::recipe::lookup::session;
use crate::recipe::{RecipeError, control_plane, fingerprint};
use crate::site::Site;

/// The ConfigMap in `kube-system` that remembers what was applied.
const RECORD: &str = "regent";
const KEY: &str = "manifests";

/// A large set of manifests with custom resources takes several round trips.
const APPLY: Duration = Duration::from_secs(120);

/// Returns the fingerprint of the manifests applied last.
pub(super) async fn applied(kubernetes: &Kubernetes) -> Result<Option<String>, KubernetesError> {
    kubernetes.config_value("kube-system", RECORD, KEY).await
}

/// Applies the plan's manifests in order (server-side, so that a second time changes nothing) and remembers them.
pub(super) async fn apply(site: &Site, kubernetes: &Kubernetes) -> Result<(), RecipeError> {
    let member = control_plane::member(site).await?;
    let all: Vec<&str> = site
        .plan
        .manifests
        .iter()
        .map(|(_, text)| text.as_str())
        .collect();
    session(site, &member)?
        .command([
            "kubectl",
            "--kubeconfig=/etc/kubernetes/admin.conf",
            "apply",
            "--server-side",
            "--force-conflicts",
            "-f",
            "-",
        ])
        .stdin(all.join("\n---\n"))
        .deadline(APPLY)
        .run()
        .await?;
    let fingerprint = fingerprint::of_manifests(&site.plan.manifests);
    Ok(kubernetes
        .set_config_value("kube-system", RECORD, KEY, &fingerprint)
        .await?)
}
