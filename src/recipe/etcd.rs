//! The stacked etcd cluster, asked through `etcdctl` on a control-plane node.

use std::time::Duration;

use serde::Deserialize;

use crate::name::NodeName;
use crate::plan::NodePlan;
use crate::recipe::lookup::session;
use crate::recipe::{RecipeError, control_plane};
use crate::site::Site;

/// An etcd member, as the cluster knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its identifier.
    pub id: u64,
    /// Its name, which kubeadm makes the node's; empty until the member has started.
    pub name: String,
    /// Its peer URL; kubeadm gives each member one.
    pub peer: String,
    /// Whether it is a learner, without a vote.
    pub learner: bool,
}

/// What a member says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    /// Its identifier.
    pub id: u64,
    /// The identifier of the leader that it follows; 0 for none.
    pub leader: u64,
    /// Its term.
    pub term: u64,
}

/// `etcdctl` with the health check's client certificate, which kubeadm leaves on every control-plane node. It bounds
/// its own waits; etcd's own request timeout is 7 s.
const ETCDCTL: &str = "etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/kubernetes/pki/etcd/ca.crt \
     --cert=/etc/kubernetes/pki/etcd/healthcheck-client.crt --key=/etc/kubernetes/pki/etcd/healthcheck-client.key \
     --dial-timeout=2s --command-timeout=8s";

const DEADLINE: Duration = Duration::from_secs(15);

/// The peer URL that kubeadm gives the member on a node.
pub fn peer_url(node: &NodePlan) -> String {
    format!("https://{}:2380", node.address)
}

/// Lists the members, asking on a control-plane node that is a member of the cluster.
pub async fn members(site: &Site, on: &NodeName) -> Result<Vec<Member>, RecipeError> {
    #[derive(Deserialize)]
    struct List {
        members: Vec<Listed>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Listed {
        #[serde(rename = "ID")]
        id: u64,
        #[serde(default)]
        name: String,
        #[serde(default, rename = "peerURLs")]
        peers: Vec<String>,
        #[serde(default)]
        is_learner: bool,
    }
    let list: List = ask(site, on, "member list -w json").await?;
    let member = |listed: Listed| Member {
        id: listed.id,
        name: listed.name,
        peer: listed.peers.into_iter().next().unwrap_or_default(),
        learner: listed.is_learner,
    };
    Ok(list.members.into_iter().map(member).collect())
}

/// Asks every member for its status. Members that do not answer are missing from the list.
pub async fn status(site: &Site, on: &NodeName) -> Result<Vec<MemberStatus>, RecipeError> {
    #[derive(Deserialize)]
    struct Entry {
        #[serde(rename = "Status")]
        status: Said,
    }
    #[derive(Deserialize)]
    struct Said {
        header: Header,
        #[serde(default)]
        leader: u64,
        #[serde(default, rename = "raftTerm")]
        term: u64,
    }
    #[derive(Deserialize)]
    struct Header {
        member_id: u64,
    }
    // With a member down etcdctl prints the others and exits with 1.
    let list: Vec<Entry> = ask(site, on, "endpoint status --cluster -w json || true").await?;
    let status = |entry: Entry| MemberStatus {
        id: entry.status.header.member_id,
        leader: entry.status.leader,
        term: entry.status.term,
    };
    Ok(list.into_iter().map(status).collect())
}

/// Returns the name of the node that holds the leader, as the first control-plane node that answers sees it.
pub async fn leader(site: &Site) -> Result<Option<NodeName>, RecipeError> {
    let on = control_plane::member(site).await?;
    let leader = status(site, &on).await?.first().map(|status| status.leader);
    let members = members(site, &on).await?;
    let name = members
        .into_iter()
        .find(|member| Some(member.id) == leader)
        .map(|member| member.name);
    Ok(name.and_then(|name| name.parse().ok()))
}

/// Takes a member out of the cluster, by the peer URL of its node. Does nothing where there is none.
pub(super) async fn forget(site: &Site, on: &NodeName, node: &NodePlan) -> Result<(), RecipeError> {
    let peer = peer_url(node);
    for member in members(site, on)
        .await?
        .into_iter()
        .filter(|member| member.peer == peer)
    {
        let script = format!("{ETCDCTL} member remove {:x}", member.id);
        session(site, on)?
            .script(script)
            .deadline(DEADLINE)
            .run()
            .await?;
    }
    Ok(())
}

async fn ask<T: serde::de::DeserializeOwned>(
    site: &Site,
    on: &NodeName,
    what: &str,
) -> Result<T, RecipeError> {
    let text = session(site, on)?
        .script(format!("{ETCDCTL} {what}"))
        .deadline(DEADLINE)
        .run()
        .await?;
    serde_json::from_str(&text).map_err(|source| RecipeError::Answer {
        node: on.clone(),
        program: "etcdctl",
        source,
    })
}
