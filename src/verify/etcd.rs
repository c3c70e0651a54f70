//! etcd's members, asked directly and all at once through their JSON gateway, so that the loss of any of them leaves
//! the others' answers.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use hyper::Method;
use serde::Deserialize;
use serde_json::json;

use crate::etcd;
use crate::name::NodeName;
use crate::node::{Node, NodeError};
use crate::plan::Plan;
use regent_load::{Endpoint, EndpointError, Identity, send};

/// etcd's port for clients.
const PORT: u16 = 2379;

/// A member that has not answered by then does not: the healthy ones take milliseconds, and the next question follows.
const PATIENCE: Duration = Duration::from_millis(1000);

/// Why etcd cannot be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EtcdError {
    /// The client certificate could not be fetched from a control-plane node.
    #[error("cannot fetch etcd's client certificate")]
    Certificate(#[from] NodeError),
    /// The client certificate is of no use.
    #[error("cannot use etcd's client certificate")]
    Endpoint(#[from] EndpointError),
    /// The same, for reading what its members hold.
    #[error("cannot use etcd's client certificate")]
    Client(#[from] etcd::EtcdError),
}

/// The members by their nodes.
#[derive(Debug, Clone)]
pub(super) struct Etcd {
    members: BTreeMap<NodeName, Endpoint>,
    /// For what they hold.
    pub(super) client: etcd::Client,
    pub(super) addresses: BTreeMap<NodeName, SocketAddr>,
}

/// What a member says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) member: u64,
    /// 0 while it knows none.
    pub(super) leader: u64,
    pub(super) term: u64,
    pub(super) version: String,
}

/// What the members say together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct View {
    pub(super) members: BTreeMap<NodeName, Option<Status>>,
}

impl Etcd {
    /// Fetches the health check's client certificate, which kubeadm leaves on every control-plane node, from `node`.
    /// It stays in memory.
    pub(super) async fn connect(plan: &Plan, node: &Node) -> Result<Self, EtcdError> {
        let pki = "/etc/kubernetes/pki/etcd";
        let identity = Identity {
            authority: node.read(&format!("{pki}/ca.crt")).await?,
            certificate: node.read(&format!("{pki}/healthcheck-client.crt")).await?,
            key: node.read(&format!("{pki}/healthcheck-client.key")).await?,
        };
        let address = |address: Ipv4Addr| SocketAddr::from((address, PORT));
        let any = Endpoint::new(address(Ipv4Addr::LOCALHOST), &identity)?;
        let addresses: BTreeMap<_, _> = plan
            .control_plane()
            .map(|node| (node.name.clone(), address(node.address)))
            .collect();
        let members = addresses.iter();
        Ok(Self {
            members: members
                .map(|(node, address)| (node.clone(), any.at(*address)))
                .collect(),
            client: etcd::Client::new(
                &etcd::Identity {
                    authority: identity.authority,
                    certificate: identity.certificate,
                    key: identity.key,
                },
                PATIENCE,
            )?,
            addresses,
        })
    }

    /// Asks every member; those that do not answer in time say nothing.
    pub(super) async fn view(&self) -> View {
        let asked = self
            .members
            .iter()
            .map(|(node, endpoint)| async { (node.clone(), status(endpoint).await) });
        View {
            members: futures::future::join_all(asked).await.into_iter().collect(),
        }
    }
}

impl View {
    /// Returns the newest term that a member knows.
    pub(super) fn term(&self) -> u64 {
        let terms = self.members.values().flatten().map(|status| status.term);
        terms.max().unwrap_or(0)
    }

    /// Returns the node that leads in the newest term, as far as its members agree on one that is known.
    pub(super) fn leader(&self) -> Option<&NodeName> {
        let term = self.term();
        let leader = self
            .members
            .values()
            .flatten()
            .find(|status| status.term == term && status.leader != 0)?
            .leader;
        let led = |status: &Option<Status>| status.as_ref().is_some_and(|s| s.member == leader);
        Some(self.members.iter().find(|(_, status)| led(status))?.0)
    }
}

async fn status(endpoint: &Endpoint) -> Option<Status> {
    let ask = send(endpoint, Method::POST, "/v3/maintenance/status", json!({}));
    let answer = tokio::time::timeout(PATIENCE, ask).await.ok()?.ok()?;
    parse(&answer.body)
}

/// Reads a status; the gateway writes 64-bit numbers as strings and leaves out zeros.
fn parse(body: &[u8]) -> Option<Status> {
    #[derive(Deserialize)]
    struct Said {
        header: Header,
        #[serde(default)]
        leader: String,
        #[serde(default, rename = "raftTerm")]
        term: String,
        #[serde(default)]
        version: String,
    }
    #[derive(Deserialize)]
    struct Header {
        member_id: String,
    }
    let said: Said = serde_json::from_slice(body).ok()?;
    Some(Status {
        member: said.header.member_id.parse().ok()?,
        leader: said.leader.parse().unwrap_or(0),
        term: said.term.parse().unwrap_or(0),
        version: said.version,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Member, leader and term of a member that answers.
    type Said = Option<(u64, u64, u64)>;

    fn view(members: &[(&str, Said)]) -> View {
        let status = |(member, leader, term)| Status {
            member,
            leader,
            term,
            version: "3.6.6".to_owned(),
        };
        let members = members
            .iter()
            .map(|(node, said)| (node.parse().unwrap(), said.map(status)));
        View {
            members: members.collect(),
        }
    }

    #[test]
    fn a_status_is_read_as_the_gateway_writes_it() {
        let body = br#"{"header":{"cluster_id":"1","member_id":"9372538179322589801","revision":"5","raft_term":"2"},
            "version":"3.6.6","dbSize":"20480","leader":"10501334649042878790","raftIndex":"9","raftTerm":"2"}"#;
        let status = parse(body).unwrap();
        assert_eq!(status.member, 9_372_538_179_322_589_801);
        assert_eq!(status.leader, 10_501_334_649_042_878_790);
        assert_eq!(status.term, 2);
        // An election is on: no leader, which the gateway leaves out.
        let body = br#"{"header":{"member_id":"7"},"version":"3.6.6","raftTerm":"3"}"#;
        assert_eq!(parse(body).unwrap().leader, 0);
        assert_eq!(parse(b"404 page not found"), None);
    }

    #[test]
    fn the_leader_is_the_newest_terms() {
        let all = view(&[
            ("m1", Some((1, 2, 5))),
            ("m2", Some((2, 2, 5))),
            ("m3", Some((3, 2, 5))),
        ]);
        assert_eq!(all.leader().unwrap().as_str(), "m2");
        // m1 has not heard of the new term yet.
        let split = view(&[
            ("m1", Some((1, 2, 5))),
            ("m2", None),
            ("m3", Some((3, 3, 6))),
        ]);
        assert_eq!((split.leader().unwrap().as_str(), split.term()), ("m3", 6));
        // The old leader is dead, nobody is elected yet, or it is one that did not answer.
        assert_eq!(
            view(&[("m1", Some((1, 0, 6))), ("m2", None)]).leader(),
            None
        );
        assert_eq!(
            view(&[("m1", Some((1, 2, 5))), ("m2", None)]).leader(),
            None
        );
        assert_eq!(view(&[("m1", None)]).leader(), None);
    }
}
