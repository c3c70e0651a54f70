//! The gateway's JSON: 64-bit numbers are text, bytes are base64, and what is zero or empty is left out.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, de};

use super::{KeyValue, Member, MemberList, MemberStatus};

#[derive(Deserialize)]
struct Header {
    #[serde(default, deserialize_with = "number")]
    cluster_id: u64,
    #[serde(default, deserialize_with = "number")]
    member_id: u64,
    #[serde(default, deserialize_with = "number")]
    revision: u64,
}

pub(super) fn members(body: &[u8]) -> serde_json::Result<MemberList> {
    #[derive(Deserialize)]
    struct List {
        header: Header,
        #[serde(default)]
        members: Vec<Listed>,
    }
    #[derive(Deserialize)]
    struct Listed {
        #[serde(rename = "ID", deserialize_with = "number")]
        id: u64,
        #[serde(default)]
        name: String,
        #[serde(default, rename = "peerURLs")]
        peers: Vec<String>,
        #[serde(default, rename = "isLearner")]
        learner: bool,
    }
    let list: List = serde_json::from_slice(body)?;
    let member = |listed: Listed| Member {
        id: listed.id,
        name: listed.name,
        peer: listed.peers.into_iter().next().unwrap_or_default(),
        learner: listed.learner,
    };
    Ok(MemberList {
        cluster: list.header.cluster_id,
        members: list.members.into_iter().map(member).collect(),
    })
}

pub(super) fn status(body: &[u8]) -> serde_json::Result<MemberStatus> {
    #[derive(Deserialize)]
    struct Said {
        header: Header,
        #[serde(default)]
        version: String,
        #[serde(default, deserialize_with = "number")]
        leader: u64,
        #[serde(default, rename = "raftTerm", deserialize_with = "number")]
        term: u64,
        #[serde(default, rename = "raftIndex", deserialize_with = "number")]
        index: u64,
        #[serde(default, rename = "isLearner")]
        learner: bool,
        #[serde(default)]
        errors: Vec<String>,
        #[serde(default, rename = "dbSize", deserialize_with = "number")]
        size: u64,
    }
    let said: Said = serde_json::from_slice(body)?;
    Ok(MemberStatus {
        id: said.header.member_id,
        cluster: said.header.cluster_id,
        leader: said.leader,
        term: said.term,
        revision: said.header.revision,
        raft_index: said.index,
        learner: said.learner,
        version: said.version,
        errors: said.errors,
        size: said.size,
    })
}

/// Which members have which alarms.
pub(super) fn alarms(body: &[u8]) -> serde_json::Result<Vec<(u64, String)>> {
    #[derive(Deserialize)]
    struct List {
        #[serde(default)]
        alarms: Vec<Raised>,
    }
    #[derive(Deserialize)]
    struct Raised {
        #[serde(default, rename = "memberID", deserialize_with = "number")]
        member: u64,
        #[serde(default)]
        alarm: String,
    }
    let list: List = serde_json::from_slice(body)?;
    let alarms = list.alarms.into_iter();
    Ok(alarms.map(|raised| (raised.member, raised.alarm)).collect())
}

pub(super) fn range(body: &[u8]) -> serde_json::Result<(u64, Vec<KeyValue>)> {
    #[derive(Deserialize)]
    struct Range {
        header: Header,
        #[serde(default)]
        kvs: Vec<Stored>,
    }
    #[derive(Deserialize)]
    struct Stored {
        #[serde(default, deserialize_with = "bytes")]
        key: Vec<u8>,
        #[serde(default, deserialize_with = "bytes")]
        value: Vec<u8>,
        #[serde(default, deserialize_with = "number")]
        create_revision: u64,
        #[serde(default, deserialize_with = "number")]
        mod_revision: u64,
        #[serde(default, deserialize_with = "number")]
        version: u64,
    }
    let range: Range = serde_json::from_slice(body)?;
    let stored = |stored: Stored| KeyValue {
        key: stored.key,
        value: stored.value,
        create_revision: stored.create_revision,
        mod_revision: stored.mod_revision,
        version: stored.version,
    };
    Ok((
        range.header.revision,
        range.kvs.into_iter().map(stored).collect(),
    ))
}

/// etcd's own words in an error; the body as it is where there are none.
pub(super) fn message(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        message: String,
    }
    match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) => refusal.message,
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    }
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(de::Error::custom)
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    STANDARD.decode(text).map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_as_the_gateway_writes_it() {
        let body = br#"{"header":{"cluster_id":"1","member_id":"9372538179322589801","revision":"5","raft_term":"2"},
            "version":"3.6.6","dbSize":"20480","leader":"10501334649042878790","raftIndex":"9","raftTerm":"2",
            "errors":["memberID:1 alarm:NOSPACE "]}"#;
        let said = status(body).unwrap();
        assert_eq!(
            (said.cluster, said.id, said.revision),
            (1, 9_372_538_179_322_589_801, 5)
        );
        assert_eq!(said.leader, 10_501_334_649_042_878_790);
        assert_eq!((said.term, said.raft_index), (2, 9));
        assert_eq!((said.errors.len(), said.size), (1, 20480));
        // An election is on: no leader, which the gateway leaves out.
        let electing = br#"{"header":{"member_id":"7"},"version":"3.6.6","raftTerm":"3"}"#;
        assert_eq!(status(electing).unwrap().leader, 0);
        status(b"404 page not found").unwrap_err();
    }

    #[test]
    fn members_are_read_with_those_that_never_started() {
        let body = br#"{"header":{"cluster_id":"7","member_id":"1","raft_term":"2"},"members":[
            {"ID":"1","name":"m1","peerURLs":["https://198.18.0.12:2380"],"clientURLs":["https://198.18.0.12:2379"]},
            {"ID":"2","peerURLs":["https://198.18.0.13:2380"],"isLearner":true}]}"#;
        let list = members(body).unwrap();
        assert_eq!(list.cluster, 7);
        assert_eq!((list.members[0].id, list.members[0].learner), (1, false));
        assert_eq!(
            (&*list.members[1].name, list.members[1].learner),
            ("", true)
        );
    }

    #[test]
    fn keys_are_read_with_their_revisions() {
        let body = br#"{"header":{"revision":"12"},"kvs":[{"key":"YQ==","create_revision":"3","mod_revision":"5","version":"2","value":"Yg=="}],"count":"1"}"#;
        let (revision, keys) = range(body).unwrap();
        assert_eq!(revision, 12);
        assert_eq!(
            (&*keys[0].key, &*keys[0].value),
            (b"a".as_slice(), b"b".as_slice())
        );
        assert_eq!(
            (
                keys[0].create_revision,
                keys[0].mod_revision,
                keys[0].version
            ),
            (3, 5, 2)
        );
        assert_eq!(range(br#"{"header":{"revision":"1"}}"#).unwrap().1, []);
    }

    #[test]
    fn alarms_are_read_with_their_members() {
        let body = br#"{"header":{"revision":"12"},"alarms":[{"memberID":"7","alarm":"NOSPACE"}]}"#;
        assert_eq!(alarms(body).unwrap(), [(7, "NOSPACE".to_owned())]);
        assert_eq!(alarms(br#"{"header":{"revision":"12"}}"#).unwrap(), []);
    }

    #[test]
    fn a_refusal_is_told_in_etcds_words() {
        let body = br#"{"error":"etcdserver: unhealthy cluster","code":14,"message":"etcdserver: unhealthy cluster"}"#;
        assert_eq!(message(body), "etcdserver: unhealthy cluster");
        assert_eq!(message(b"bad gateway\n"), "bad gateway");
    }
}
