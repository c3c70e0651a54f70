//! The stacked etcd cluster, asked directly: each member through its JSON gateway, so that the loss of any of them leaves
//! the others' answers. The only client of etcd.
//!
//! ```text
//! Identity ─▶ Client ─ members, status, remove, range, compact, … ─▶ Member, MemberStatus, KeyValue
//! ```

mod client;
mod wire;

use std::net::{Ipv4Addr, SocketAddr};

use serde::Serialize;

pub use client::{Client, EtcdError, Identity};

/// etcd's port for clients.
pub const PORT: u16 = 2379;

/// An etcd member, as the cluster knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
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

/// The members of a cluster, as one of them lists them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberList {
    /// The cluster's identifier.
    pub cluster: u64,
    /// Every member, also those that do not live.
    pub members: Vec<Member>,
}

/// What a member says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberStatus {
    /// Its identifier.
    pub id: u64,
    /// The identifier of its cluster: one that was begun anew by mistake has another.
    pub cluster: u64,
    /// The identifier of the leader that it follows; 0 for none.
    pub leader: u64,
    /// Its term.
    pub term: u64,
    /// The newest revision that it has applied.
    pub revision: u64,
    /// The newest entry of its log.
    pub raft_index: u64,
    /// Whether it is a learner.
    pub learner: bool,
    /// etcd's version.
    pub version: String,
    /// Alarms and other errors, in etcd's words.
    pub errors: Vec<String>,
    /// How large its database is on the disk, in bytes.
    pub size: u64,
}

/// A key as one member stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValue {
    /// The key.
    pub key: Vec<u8>,
    /// The value; empty where only keys were asked for.
    pub value: Vec<u8>,
    /// The revision that made it.
    pub create_revision: u64,
    /// The revision that wrote it last.
    pub mod_revision: u64,
    /// How often it was written.
    pub version: u64,
}

/// How a question is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// By what a quorum agrees on now; no answer without one.
    Linearizable,
    /// By what the member that is asked has itself.
    Serializable,
}

/// The peer URL that kubeadm gives the member on the node of that address.
pub fn peer_url(address: Ipv4Addr) -> String {
    format!("https://{address}:2380")
}

/// Where the member on the node of that address answers clients.
pub fn client_address(address: Ipv4Addr) -> SocketAddr {
    SocketAddr::from((address, PORT))
}
