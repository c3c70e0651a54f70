//! A fault is reverted, and the node is waited for.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::{ANSWER, InjectError, Injector, PAUSE};
use crate::fault;
use crate::name::NodeName;
use crate::plan::NodeRole;
use crate::recipe;
use crate::verify::api::Api;
use crate::verify::observe::ready;

/// A cut node was Ready after 30 to 90 s in hand trials. The budget judges; this only ends the waiting.
pub(super) const RETURN: Duration = Duration::from_secs(240);

impl Injector<'_> {
    /// Reverts the fault and waits until the node is Ready and serves: its kubelet has renewed its lease since, and a
    /// control-plane node's own API server and etcd member answer.
    pub(in crate::verify) async fn revert(&self, node: &NodeName) -> Result<(), InjectError> {
        let asleep = self.api.heartbeat(node.as_str()).await.ok().flatten();
        fault::revert(self.site, node).await?;
        let mut missing = "nothing seen yet";
        let back = async {
            while let Err(what) = self.back(node, asleep.as_deref()).await {
                missing = what;
                tokio::time::sleep(PAUSE).await;
            }
        };
        let waited = tokio::time::timeout(RETURN, back).await;
        waited.map_err(|_| InjectError::Return {
            node: node.clone(),
            missing,
        })
    }

    async fn back(&self, node: &NodeName, asleep: Option<&str>) -> Result<(), &'static str> {
        let planned = self.site.plan.node(node).ok_or("it is not in the plan")?;
        if planned.role == NodeRole::LoadBalancer {
            // It has no kubelet.
            let answers = self.serves(planned.address).await.is_ok();
            let up = recipe::servers_up(self.site, node).await.ok();
            let members = self.site.plan.control_plane().map(|node| &node.name);
            return balances(answers, up.as_ref(), members);
        }
        let heartbeat = self.api.heartbeat(node.as_str()).await.ok().flatten();
        if heartbeat.is_none() || heartbeat.as_deref() == asleep {
            return Err("its kubelet has not renewed its lease");
        }
        let nodes = self
            .api
            .nodes()
            .await
            .map_err(|_| "the API does not list the nodes")?;
        let named = |found: &&k8s_openapi::api::core::v1::Node| {
            found.metadata.name.as_deref() == Some(node.as_str())
        };
        if nodes.iter().find(named).map(ready) != Some("True") {
            return Err("it is not Ready");
        }
        if planned.role == NodeRole::ControlPlane {
            self.serves(planned.address).await?;
            let view = self.etcd.view().await;
            if view
                .members
                .get(node)
                .is_none_or(|status| status.as_ref().is_none_or(|status| status.leader == 0))
            {
                return Err("its etcd member does not answer or has no leader");
            }
        }
        Ok(())
    }

    async fn serves(&self, address: Ipv4Addr) -> Result<(), &'static str> {
        let own = Api::new(self.endpoint.at(SocketAddr::from((address, 6443))), ANSWER);
        if own.ready().await {
            Ok(())
        } else {
            Err("its own API server is not ready")
        }
    }
}

/// Whether a load balancer does its work: it hands connections on, and uses every control-plane node. `up` is none if it
/// could not be asked.
fn balances<'a>(
    answers: bool,
    up: Option<&BTreeSet<NodeName>>,
    mut members: impl Iterator<Item = &'a NodeName>,
) -> Result<(), &'static str> {
    let up = up.ok_or("its haproxy does not answer")?;
    if !members.all(|member| up.contains(member)) {
        return Err("its haproxy does not use every control-plane node yet");
    }
    if !answers {
        return Err("no API server answers through it");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_lb_target() {
        let names = |names: &[&str]| -> Vec<NodeName> {
            let parsed = names.iter().map(|name| name.parse().unwrap());
            parsed.collect()
        };
        let members = names(&["m1", "m2", "m3"]);
        for (answers, up, missing) in [
            (true, Some(&["m1", "m2", "m3"][..]), None),
            (
                true,
                Some(&["m1", "m3"]),
                Some("use every control-plane node"),
            ),
            (true, Some(&[]), Some("use every control-plane node")),
            (true, None, Some("haproxy does not answer")),
            (
                false,
                Some(&["m1", "m2", "m3"]),
                Some("no API server answers"),
            ),
        ] {
            let up: Option<BTreeSet<_>> = up.map(|up| names(up).into_iter().collect());
            let found = balances(answers, up.as_ref(), members.iter()).err();
            let same = match (found, missing) {
                (Some(found), Some(missing)) => found.contains(missing),
                (found, missing) => found == missing,
            };
            assert!(same, "{answers} {up:?}: {found:?}");
        }
    }
}
