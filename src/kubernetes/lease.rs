//! Leases: who lives, and who leads.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1 as coordination;
use kube::api::{Api, Patch, PatchParams};

use super::{Kubernetes, KubernetesError, failed};

/// A lease that a kubelet renews.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lease {
    /// When it was renewed last, by the clock of who holds it.
    pub renewed: Option<Timestamp>,
    /// For how long that counts.
    pub seconds: i32,
}

impl Kubernetes {
    /// Returns every kubelet's lease, by the node's name.
    pub async fn leases(&self) -> Result<BTreeMap<String, Lease>, KubernetesError> {
        let api: Api<coordination::Lease> = Api::namespaced(self.0.clone(), "kube-node-lease");
        let leases = self.list(api, "", "list the leases").await?;
        let read = |lease: coordination::Lease| {
            let spec = lease.spec.unwrap_or_default();
            let lease_of = Lease {
                renewed: spec.renew_time.map(|time| time.0),
                seconds: spec.lease_duration_seconds.unwrap_or(40),
            };
            (lease.metadata.name.unwrap_or_default(), lease_of)
        };
        Ok(leases.into_iter().map(read).collect())
    }

    /// Gives up what the controller manager and the scheduler of a node lead that has ended for certain: the others take over within
    /// two seconds, and need not wait until the lease runs out, 15 s in which nobody signs a certificate, schedules a pod or
    /// notices a dead node. It is what client-go's leader election does at an end in peace (`release` in its leaderelection.go).
    pub async fn release_leases(&self, node: &str) -> Result<(), KubernetesError> {
        let api: Api<coordination::Lease> = Api::namespaced(self.0.clone(), "kube-system");
        let failed = failed("give up a lease");
        for name in ["kube-controller-manager", "kube-scheduler"] {
            let Some(lease) = api.get_opt(name).await.map_err(failed)? else {
                continue;
            };
            let holder = lease.spec.and_then(|spec| spec.holder_identity);
            if !holder.is_some_and(|holder| holder.starts_with(&format!("{node}_"))) {
                continue;
            }
            let given_up = serde_json::json!({
                "metadata": { "resourceVersion": lease.metadata.resource_version },
                "spec": { "holderIdentity": "", "leaseDurationSeconds": 1 },
            });
            let patch = Patch::Merge(given_up);
            match api.patch(name, &PatchParams::default(), &patch).await {
                // Somebody has taken it meanwhile.
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                told => drop(told.map_err(failed)?),
            }
        }
        Ok(())
    }

    /// Returns who holds a lease of `kube-system`; none if nobody does.
    pub async fn lease_holder(&self, name: &str) -> Result<Option<String>, KubernetesError> {
        let api: Api<coordination::Lease> = Api::namespaced(self.0.clone(), "kube-system");
        let lease = api.get_opt(name).await.map_err(failed("show a lease"))?;
        Ok(lease
            .and_then(|lease| lease.spec)
            .and_then(|spec| spec.holder_identity))
    }
}
