//! etcd: every member asked at once, and the answers put together.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::{join_all, select_ok};
use tokio::time::timeout;

use super::Patience;
use crate::etcd::{self, Client, Consistency, Identity, MemberList, MemberStatus};
use crate::name::NodeName;
use crate::node::{Node, NodeError};
use crate::plan::{NodePlan, NodeRole};
use crate::provider::DomainState;
use crate::recipe::RecipeError;
use crate::recipe::lookup::leaving;
use crate::recipe::world::Etcd;
use crate::site::Site;

/// What one node's member says: of itself, of all, and of all by a quorum.
struct Said {
    node: NodeName,
    status: Option<MemberStatus>,
    own: Option<MemberList>,
    agreed: Option<MemberList>,
}

/// The control-plane nodes that may have a member: those that are planned, and those that are on their way out.
fn control_plane<'a>(
    site: &'a Site,
    leaving: &'a [NodePlan],
) -> impl Iterator<Item = &'a NodePlan> {
    let leaving = leaving.iter();
    let leaving = leaving.filter(|node| node.role == NodeRole::ControlPlane);
    site.plan.control_plane().chain(leaving)
}

/// Asks the members on every control-plane node that runs.
pub(super) async fn seen(
    site: &Site,
    domains: &BTreeMap<NodeName, DomainState>,
    patience: Patience,
) -> Etcd {
    let leaving = leaving(site);
    let running: Vec<_> = control_plane(site, &leaving)
        .filter(|node| domains.get(&node.name) == Some(&DomainState::Running))
        .collect();
    match timeout(patience.node, identity(site, &running)).await {
        Ok(Some(identity)) => match Client::new(&identity, patience.etcd) {
            Ok(client) => put_together(ask(&client, &running).await),
            Err(_) => Etcd::default(),
        },
        Ok(None) | Err(_) => Etcd::default(),
    }
}

/// A client of etcd's members, with the certificate of whichever control-plane node answers first.
///
/// # Errors
/// When none has it and answers.
pub(in crate::recipe) async fn client(
    site: &Site,
    patience: Duration,
) -> Result<Client, RecipeError> {
    let nodes: Vec<_> = site.plan.control_plane().collect();
    let found = timeout(patience, identity(site, &nodes)).await;
    let identity = found.ok().flatten().ok_or_else(|| {
        RecipeError::Mismatch("no control-plane node has etcd's client certificate".to_owned())
    })?;
    Ok(Client::new(&identity, patience)?)
}

/// Looks at etcd alone, but for the members on some nodes: what an action does before it removes anything.
pub(in crate::recipe) async fn look(site: &Site, but: &[&NodeName]) -> Etcd {
    let patience = Patience::to_act(site.plan.driver).etcd;
    let leaving = leaving(site);
    let nodes: Vec<_> = control_plane(site, &leaving)
        .filter(|node| !but.contains(&&node.name))
        .collect();
    match client(site, patience).await {
        Ok(client) => put_together(ask(&client, &nodes).await),
        Err(_) => Etcd::default(),
    }
}

/// The health check's client certificate, which kubeadm leaves on every control-plane node. It stays in memory.
async fn identity(site: &Site, nodes: &[&NodePlan]) -> Option<Identity> {
    let fetches: Vec<_> = nodes
        .iter()
        .filter_map(|node| site.nodes.get(&node.name))
        .map(|node| Box::pin(fetch(node)))
        .collect();
    if fetches.is_empty() {
        return None;
    }
    Some(select_ok(fetches).await.ok()?.0)
}

async fn fetch(node: &Node) -> Result<Identity, NodeError> {
    let [authority, certificate, key] = Identity::FILES;
    let (authority, certificate, key) =
        futures::try_join!(node.read(authority), node.read(certificate), node.read(key))?;
    Ok(Identity {
        authority,
        certificate,
        key,
    })
}

async fn ask(client: &Client, nodes: &[&NodePlan]) -> Vec<Said> {
    let asked = nodes.iter().map(|node| async {
        let at = etcd::client_address(node.address);
        let (status, own, agreed) = futures::join!(
            client.status(at),
            client.members(at, Consistency::Serializable),
            client.members(at, Consistency::Linearizable),
        );
        Said {
            node: node.name.clone(),
            status: status.ok(),
            own: own.ok(),
            agreed: agreed.ok(),
        }
    });
    join_all(asked).await
}

/// The cluster is the one that most members agree on; where none do, the one that the most advanced remembers.
fn put_together(said: Vec<Said>) -> Etcd {
    let agreed = said.iter().filter_map(|said| said.agreed.as_ref());
    let by_quorum = agreed.max_by_key(|list| {
        let cluster = list.cluster;
        said.iter()
            .filter(|said| {
                said.agreed
                    .as_ref()
                    .is_some_and(|list| list.cluster == cluster)
            })
            .count()
    });
    let remembered = || {
        let with_index = said
            .iter()
            .filter_map(|said| Some((said.status.as_ref()?.raft_index, said.own.as_ref()?)));
        with_index
            .max_by_key(|(index, _)| *index)
            .map(|(_, list)| list)
    };
    let list = by_quorum.or_else(remembered).cloned();
    Etcd {
        quorum: by_quorum.is_some(),
        cluster: list.as_ref().map_or(0, |list| list.cluster),
        members: list.map(|list| list.members),
        statuses: said
            .into_iter()
            .filter_map(|said| Some((said.node, said.status?)))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::Member;

    fn said(node: &str, cluster: u64, index: u64, agreed: bool) -> Said {
        let list = MemberList {
            cluster,
            members: vec![Member {
                id: index,
                name: node.to_owned(),
                peer: String::new(),
                learner: false,
            }],
        };
        Said {
            node: node.parse().unwrap(),
            status: Some(MemberStatus {
                id: 1,
                cluster,
                leader: 1,
                term: 2,
                revision: index,
                raft_index: index,
                learner: false,
                version: String::new(),
                errors: vec![],
                size: 0,
            }),
            own: Some(list.clone()),
            agreed: agreed.then_some(list),
        }
    }

    #[test]
    fn the_cluster_is_what_most_members_agree_on() {
        // m1 was begun anew by mistake and agrees with itself.
        let etcd = put_together(vec![
            said("m1", 9, 99, true),
            said("m2", 7, 5, true),
            said("m3", 7, 5, true),
        ]);
        assert!(etcd.quorum);
        assert_eq!(etcd.cluster, 7);
        assert!(etcd.stray(&"m1".parse().unwrap()));
        // No quorum: what the most advanced remembers.
        let etcd = put_together(vec![said("m1", 7, 4, false), said("m2", 7, 5, false)]);
        assert!(!etcd.quorum);
        assert_eq!(etcd.members.unwrap()[0].name, "m2");
        assert_eq!(put_together(vec![]), Etcd::default());
    }
}
