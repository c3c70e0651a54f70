//! Out of the cluster and into it again: etcd's members and the API's Nodes. Each action looks again before it removes
//! anything: what was decided from may have changed since.

use std::time::{Duration, Instant};

use crate::etcd;
use crate::event::chain;
use crate::kubernetes::Kubernetes;
use crate::name::NodeName;
use crate::plan::NodeRole;
use crate::recipe::kubeadm::{self, Spare};
use crate::recipe::lookup::{leaving, planned, session};
use crate::recipe::observe::{Patience, client, is_without_rights, look_at_etcd};
use crate::recipe::{RecipeError, control_plane};
use crate::site::Site;

/// etcd refuses a change of members until it has been connected to all of them for 5 s.
const REFUSED: Duration = Duration::from_secs(20);

fn kept(node: &NodeName, why: impl Into<String>) -> RecipeError {
    RecipeError::Kept {
        node: node.clone(),
        why: why.into(),
    }
}

/// Takes the member with that peer URL out of etcd, if the others have a quorum without it and say so now. Does nothing
/// where there is none.
pub(super) async fn forget(site: &Site, node: &NodeName, peer: &str) -> Result<(), RecipeError> {
    let (began, leaving) = (Instant::now(), leaving(site));
    loop {
        let seen = look_at_etcd(site, &[]).await;
        let Some(members) = seen.members.as_ref().filter(|_| seen.quorum) else {
            return Err(kept(node, "etcd has no quorum now"));
        };
        let Some(member) = members.iter().find(|member| member.peer == peer) else {
            return Ok(());
        };
        seen.can_lose(member).map_err(|why| kept(node, why))?;
        // Asked of another: one that is taken out ends.
        let other = site.plan.control_plane().find(|other| {
            let status = seen.statuses.get(&other.name);
            etcd::peer_url(other.address) != *peer
                && status.is_some_and(|status| status.cluster == seen.cluster)
        });
        let other = other.ok_or_else(|| kept(node, "no other member answers"))?;
        let client = client(site, Patience::to_act(site.plan.driver).api).await?;
        let mut going = leaving.iter().chain(&site.plan.nodes);
        let going = going.find(|node| etcd::peer_url(node.address) == *peer);
        if let (true, Some(going), Some(to)) = (seen.leads(member), going, seen.member(other)) {
            // Without it the others elect one when it is gone, a second later.
            let at = etcd::client_address(going.address);
            let _ = client.move_leader(at, to.id).await;
        }
        match client
            .remove(etcd::client_address(other.address), member.id)
            .await
        {
            Ok(()) => return Ok(()),
            Err(error) if began.elapsed() > REFUSED => return Err(kept(node, chain(&error))),
            Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
}

/// Clears away what kubeadm left on a node. Where that may be etcd's data, a quorum of others must say now that they do not
/// count it; where etcd never ran, the cluster's CA is spared.
pub(super) async fn reset(site: &Site, node: &NodeName) -> Result<(), RecipeError> {
    let plan = planned(site, node)?;
    if plan.role != NodeRole::ControlPlane {
        return kubeadm::reset(site, node, Spare::Nothing).await;
    }
    // Not the node's own word: its etcd may be a cluster of its own.
    let others = look_at_etcd(site, &[node]).await;
    let peer = etcd::peer_url(plan.address);
    match others.members.filter(|_| others.quorum) {
        Some(members) if members.iter().any(|member| member.peer == peer) => {
            Err(kept(node, "etcd still counts its member"))
        }
        Some(_) => kubeadm::reset(site, node, Spare::Nothing).await,
        None if kubeadm::has_data(site, node).await? => {
            Err(kept(node, "no quorum of other members answers"))
        }
        None => kubeadm::reset(site, node, Spare::Authority).await,
    }
}

/// Removes a node that nobody asked for, with its disk, if neither etcd nor the API knows it.
pub(super) async fn remove(
    site: &Site,
    kubernetes: Option<&Kubernetes>,
    node: &NodeName,
) -> Result<(), RecipeError> {
    if site.plan.node(node).is_some() {
        return Err(kept(node, "it is planned"));
    }
    let seen = look_at_etcd(site, &[]).await;
    match (&seen.members, kubernetes) {
        (Some(_), _) if !seen.quorum => return Err(kept(node, "etcd has no quorum now")),
        (Some(members), _) if members.iter().any(|member| member.name == node.as_str()) => {
            return Err(kept(node, "etcd still counts its member"));
        }
        (None, Some(_)) => return Err(kept(node, "etcd does not answer")),
        _ => {}
    }
    site.provider.remove_node(node).await?;
    Ok(site.lab.fault_reverted(node, None)?)
}

/// A kubelet that starts registers its Node within seconds; its API server may have to start first.
const REGISTERED: Duration = Duration::from_secs(60);

/// Starts the node's kubelet, and with it its static pods.
pub(super) async fn start_kubelet(site: &Site, node: &NodeName) -> Result<(), RecipeError> {
    session(site, node)?
        .script("systemctl enable --quiet containerd kubelet\nsystemctl start containerd\nsystemctl restart kubelet")
        .run()
        .await?;
    Ok(())
}

/// Restarts the node's kubelet, which registers its Node only when it starts, and waits until the API knows it.
pub(super) async fn register(
    site: &Site,
    kubernetes: &Kubernetes,
    node: &NodeName,
) -> Result<(), RecipeError> {
    start_kubelet(site, node).await?;
    let began = Instant::now();
    loop {
        let last = match kubernetes.nodes().await {
            Ok(nodes) if nodes.iter().any(|known| known.name == node.as_str()) => return Ok(()),
            Ok(_) => "the API does not know it".to_owned(),
            Err(error) => chain(&error),
        };
        if began.elapsed() > REGISTERED {
            return Err(RecipeError::Unregistered {
                node: node.clone(),
                after: began.elapsed(),
                last,
            });
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// Gives a Node what kubeadm gives those of control-plane nodes. Only called where the label is missing: who has taken the
/// taint away by hand keeps it so.
pub(super) async fn mark(site: &Site, node: &NodeName) -> Result<(), RecipeError> {
    let on = control_plane::member(site).await?;
    let script = format!(
        "export KUBECONFIG=/etc/kubernetes/admin.conf role=node-role.kubernetes.io/control-plane\n\
         kubectl label --overwrite node {node} $role= node.kubernetes.io/exclude-from-external-load-balancers=\n\
         kubectl taint --overwrite node {node} $role=:NoSchedule\n"
    );
    session(site, &on)?.script(script).run().await?;
    Ok(())
}

/// Members start within seconds of their nodes; those of a whole cluster that was cut need an election, and on a busy
/// machine half a minute.
const ANSWERED: (Duration, Duration) = (Duration::from_secs(75), Duration::from_secs(300));

/// Waits until a quorum agrees and the members on these nodes answer, or their time is over: what is then missing is seen by
/// the next look.
pub(super) async fn await_etcd(site: &Site, nodes: &[NodeName]) -> Result<(), RecipeError> {
    let limit = match site.plan.driver {
        crate::spec::Driver::Lxc => ANSWERED.0,
        crate::spec::Driver::Qemu => ANSWERED.1,
    };
    let began = Instant::now();
    while began.elapsed() < limit {
        let seen = look_at_etcd(site, &[]).await;
        let mut nodes = nodes.iter().filter_map(|name| site.plan.node(name));
        let answers = |node| seen.member(node).is_none_or(|member| seen.answers(member));
        if seen.quorum && nodes.all(answers) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    Ok(())
}

/// The API follows etcd within seconds; a load balancer that has just started must check it first.
const SERVED: (Duration, Duration) = (Duration::from_secs(90), Duration::from_secs(400));

/// Waits until the API answers through the load balancer.
pub(super) async fn await_api(site: &Site, kubernetes: &Kubernetes) -> Result<(), RecipeError> {
    let limit = match site.plan.driver {
        crate::spec::Driver::Lxc => SERVED.0,
        crate::spec::Driver::Qemu => SERVED.1,
    };
    let began = Instant::now();
    loop {
        match kubernetes.nodes().await {
            Ok(_) => return Ok(()),
            Err(error) if error.is_forbidden() && is_without_rights(kubernetes).await => {
                return Ok(());
            }
            Err(error) if began.elapsed() > limit => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(300)).await,
        }
    }
}
