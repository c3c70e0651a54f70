//! Looking: what stands on the machine and in the cluster right now. Changes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;

use crate::hypervisor::DomainState;
use crate::kubernetes::Kubernetes;
use crate::name::NodeName;
use crate::node::{Node, NodeError};
use crate::plan::NodeRole;
use crate::recipe::setup::BOOT;
use crate::recipe::{RecipeError, health, manifests};
use crate::site::Site;

/// Everything that [`super::next`] decides from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observed {
    /// Every planned node.
    pub nodes: BTreeMap<NodeName, NodeSeen>,
    /// Whether regent holds the administrator's kubeconfig.
    pub kubeconfig: bool,
    /// Whether every check of [`health::check`] holds; only looked at once every node is a member.
    pub healthy: bool,
    /// The fingerprint of the manifests applied last; only looked at once the cluster is healthy.
    pub manifests: Option<String>,
}

/// One node, as seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSeen {
    /// libvirt's view.
    pub domain: DomainState,
    /// The view from inside; none while the node does not run.
    pub guest: Option<Guest>,
}

/// A node from inside.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Guest {
    /// The fingerprint of the planned files it was configured with.
    pub configured: Option<String>,
    /// How far it is on its way into the cluster.
    pub stage: Stage,
    /// SHA-256 of the cluster's CA certificate, where the node has it.
    pub ca: Option<String>,
    /// On a load balancer: whether haproxy runs with the configuration and CA that are on its disk.
    pub balancing: bool,
}

/// How far a node is on its way into the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stage {
    /// kubeadm has not begun.
    #[default]
    Blank,
    /// kubeadm is at work, begun by this regent or one that died.
    Busy,
    /// kubeadm began and did not finish: what it left must go first.
    Broken,
    /// kubeadm finished.
    Member,
}

/// Prints one `key=value` a line; every key is optional. Reads only.
const LOOK: &str = r#"
cd /var/lib/regent 2>/dev/null && cat configured 2>/dev/null | sed 's/^/configured=/'
[ -f /etc/kubernetes/pki/ca.crt ] && sha256sum /etc/kubernetes/pki/ca.crt | sed 's/^/ca=/; s/ .*//'
[ -f /etc/haproxy/cluster-ca.crt ] && sha256sum /etc/haproxy/cluster-ca.crt | sed 's/^/ca=/; s/ .*//'
if systemctl is-active -q regent-kubeadm; then echo stage=busy
elif [ -e /var/lib/regent/member ]; then echo stage=member
elif [ -e /etc/kubernetes/kubelet.conf ] || [ -e /etc/kubernetes/admin.conf ] || [ -e /etc/kubernetes/bootstrap-kubelet.conf ]; then echo stage=broken
fi
if systemctl is-active -q haproxy && sha256sum -c --status /run/regent/haproxy.sums 2>/dev/null; then echo balancing=yes; fi
exit 0
"#;

/// A look takes well under a second; a node that needs longer is as good as gone.
const LOOK_DEADLINE: Duration = Duration::from_secs(15);

/// Looks at every node, and at the cluster where there is one.
pub async fn observe(
    site: &Site,
    kubernetes: Option<&Kubernetes>,
) -> Result<Observed, RecipeError> {
    let domains: BTreeMap<_, _> = site.hypervisor.nodes().await?.into_iter().collect();
    let looks = site.plan.nodes.iter().map(|node| {
        let domain = domains
            .get(&node.name)
            .copied()
            .unwrap_or(DomainState::Undefined);
        let session = site.nodes.get(&node.name);
        async move {
            let guest = match (domain, session) {
                (DomainState::Running, Some(session)) => Some(look(session).await?),
                _ => None,
            };
            Ok::<_, NodeError>((node.name.clone(), NodeSeen { domain, guest }))
        }
    });
    let nodes: BTreeMap<_, _> = join_all(looks)
        .await
        .into_iter()
        .collect::<Result<_, _>>()?;
    let mut observed = Observed {
        nodes,
        kubeconfig: site.lab.paths().kubeconfig().exists(),
        ..Observed::default()
    };
    if let (true, Some(kubernetes)) = (observed.all_members(site), kubernetes) {
        observed.healthy = health::check(site, kubernetes)
            .await
            .iter()
            .all(|check| check.ok());
        if observed.healthy {
            observed.manifests = manifests::applied(kubernetes).await?;
        }
    }
    Ok(observed)
}

impl Observed {
    fn all_members(&self, site: &Site) -> bool {
        let mut members = site
            .plan
            .nodes
            .iter()
            .filter(|node| node.role != NodeRole::LoadBalancer);
        members.all(|node| self.stage(&node.name) == Some(Stage::Member))
    }

    /// The stage of a node that runs.
    pub fn stage(&self, node: &NodeName) -> Option<Stage> {
        self.guest(node).map(|guest| guest.stage)
    }

    /// A node from inside, where it runs.
    pub fn guest(&self, node: &NodeName) -> Option<&Guest> {
        self.nodes.get(node)?.guest.as_ref()
    }
}

async fn look(node: &Node) -> Result<Guest, NodeError> {
    // It may still be booting: whoever started it, an `up` that was interrupted or a user, need not have waited.
    node.wait_reachable(BOOT).await?;
    let text = node.script(LOOK).deadline(LOOK_DEADLINE).run().await?;
    Ok(Guest::from_look(&text))
}

impl Guest {
    fn from_look(text: &str) -> Self {
        let value = |key: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
                .map(str::to_owned)
        };
        Self {
            configured: value("configured"),
            ca: value("ca"),
            balancing: value("balancing").is_some(),
            stage: match value("stage").as_deref() {
                Some("busy") => Stage::Busy,
                Some("member") => Stage::Member,
                Some("broken") => Stage::Broken,
                _ => Stage::Blank,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_read_key_by_key() {
        assert_eq!(Guest::from_look(""), Guest::default());
        let guest = Guest::from_look("configured=abc\nca=def\nstage=broken\nbalancing=yes\n");
        assert_eq!(guest.configured.as_deref(), Some("abc"));
        assert_eq!(guest.ca.as_deref(), Some("def"));
        assert_eq!(guest.stage, Stage::Broken);
        assert!(guest.balancing);
    }
}
