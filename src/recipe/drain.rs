//! A node on its way out: its pods move, then what the others ask for on it ends in order.

use std::time::{Duration, Instant};

use crate::event::chain;
use crate::kubernetes::{Fate, Hosted, Kubernetes, KubernetesError, Leaving, NodeStatus};
use crate::name::NodeName;
use crate::plan::NodeRole;
use crate::recipe::RecipeError;
use crate::recipe::lookup::known;
use crate::site::Site;

/// A pod has 30 s to end if it says nothing else, and another one must be Ready before a disruption budget lets the next
/// go.
const DRAINED: Duration = Duration::from_secs(180);

const PAUSE: Duration = Duration::from_millis(500);

/// Has every pod leave that another node can have, as disruption budgets allow, and then the API server, scheduler and
/// controller manager. A node that is not ready any more is left as it is: nobody there ends a pod.
pub(super) async fn drain(
    site: &Site,
    kubernetes: &Kubernetes,
    node: &NodeName,
) -> Result<(), RecipeError> {
    let pods = kubernetes.hosted(node.as_str()).await?;
    let lost = pods.iter().filter(|pod| pod.fate == Fate::Lost);
    let lost: Vec<_> = lost.map(ToString::to_string).collect();
    if !lost.is_empty() {
        return Err(RecipeError::WouldLose {
            node: node.clone(),
            pods: lost,
        });
    }
    kubernetes.leave(node.as_str(), Leaving::Draining).await?;
    let evicting = Kubernetes::connect_to_evict(&site.kubeconfig()).await?;
    let began = Instant::now();
    loop {
        // A question that the API did not answer is asked again.
        let left = match evict(&evicting, node).await {
            Ok(left) => left,
            Err(error) => vec![chain(&error)],
        };
        if left.is_empty() {
            break;
        }
        let nodes = kubernetes.nodes().await?;
        let ready = |known: &NodeStatus| known.name == node.as_str() && known.ready;
        if !nodes.iter().any(ready) {
            return Ok(());
        }
        if began.elapsed() > DRAINED {
            return Err(RecipeError::Drain {
                node: node.clone(),
                after: began.elapsed(),
                left,
            });
        }
        tokio::time::sleep(PAUSE).await;
    }
    withdraw(site, kubernetes, node).await?;
    Ok(kubernetes.leave(node.as_str(), Leaving::Drained).await?)
}

/// Asks every pod to leave that is still there; returns those, each with what is known of why.
async fn evict(kubernetes: &Kubernetes, node: &NodeName) -> Result<Vec<String>, KubernetesError> {
    let mut left = Vec::new();
    for pod in kubernetes.hosted(node.as_str()).await? {
        match pod.fate {
            Fate::Stays => {}
            Fate::Leaves => left.push(format!("{pod} has not ended")),
            Fate::Replaced => left.push(asked(kubernetes, &pod).await?),
            // It came after the node was looked at: whoever put it there may take it away.
            Fate::Lost => left.push(format!("{pod} has no controller that would make it again")),
        }
    }
    Ok(left)
}

async fn asked(kubernetes: &Kubernetes, pod: &Hosted) -> Result<String, KubernetesError> {
    Ok(match kubernetes.evict(pod).await? {
        None => format!("{pod} was asked to leave"),
        Some(why) => format!("{pod} may not leave: {why}"),
    })
}

/// Ends what others ask for on a control-plane node. Told to end, an API server takes itself out of the `kubernetes`
/// Service, and the two others give up their leases, all within a second; cut, they are missed until that runs out, 15 s
/// later. An API server then waits for its watches to end, up to a minute: nobody waits for that. etcd runs on: it is still
/// a member.
const WITHDRAW: &str = r#"
systemctl stop kubelet
ctr() { /usr/bin/env ctr --namespace k8s.io "$@"; }
named='labels."io.kubernetes.container.name"~="^kube-(apiserver|scheduler|controller-manager)$"'
for container in $(ctr containers list --quiet "$named"); do
    # One that has ended before has no task.
    ctr tasks kill --signal SIGTERM "$container" 2>/dev/null || true
done
"#;

/// An API server that cannot take itself out is taken out by the others when its lease ends, which is then waited for.
const WITHDRAWN: Duration = Duration::from_secs(20);

async fn withdraw(
    site: &Site,
    kubernetes: &Kubernetes,
    node: &NodeName,
) -> Result<(), RecipeError> {
    let planned = known(site, node)?;
    match site.node(node) {
        Some(session) if planned.role == NodeRole::ControlPlane => {
            session.script(WITHDRAW).run().await?;
        }
        _ => return Ok(()),
    }
    let began = Instant::now();
    // Whether it is out is of the cluster's clients inside; with the node it goes in any case.
    while kubernetes.is_served_by(planned.address).await? && began.elapsed() < WITHDRAWN {
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}
