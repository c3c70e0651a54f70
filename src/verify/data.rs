//! What etcd itself holds at the end of a run: what a quorum says, and what each member has of it. The API server answers
//! a list from its watch cache, which proves nothing about etcd.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::etcd::Etcd;
use super::history::Kept;
use crate::etcd::{Client, Consistency, EtcdError};
use crate::name::NodeName;

/// A member that was away has what the others have within seconds; a busy machine may take ten times as long.
const CATCH_UP: Duration = Duration::from_secs(30);

/// A page of keys with their values takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// Keys a page: about a megabyte.
const PAGE: u64 = 1000;

/// Reads what a quorum has of the namespace's `ConfigMaps`, then what each member but `without` has at the same revision.
/// Returns what could be read, and what could not.
pub(super) async fn read(
    etcd: &Etcd,
    namespace: &str,
    without: Option<&NodeName>,
) -> (Vec<Kept>, Vec<String>) {
    let client = etcd.client.patient(PATIENCE);
    let living: Vec<_> = etcd
        .addresses
        .iter()
        .filter(|(node, _)| Some(*node) != without)
        .collect();
    let quorum = attempt(|| async {
        let mut last = None;
        for (_, at) in &living {
            match keys(&client, **at, namespace, Consistency::Linearizable, 0).await {
                Ok(found) => return Ok(found),
                Err(error) => last = Some(error),
            }
        }
        Err(last.map_or("no member".to_owned(), |error| error.to_string()))
    });
    let (revision, keys_of_quorum) = match quorum.await {
        Ok(found) => found,
        Err(why) => return (Vec::new(), vec![format!("etcd could not be read: {why}")]),
    };
    let own = living.iter().map(|(node, at)| {
        let client = &client;
        async move {
            let asked = || async {
                let how = Consistency::Serializable;
                let found = keys(client, **at, namespace, how, revision).await;
                found.map_err(|error| error.to_string())
            };
            (*node, attempt(asked).await)
        }
    });
    let mut kept = vec![Kept {
        member: None,
        revision,
        keys: keys_of_quorum,
    }];
    let mut trouble = Vec::new();
    for (node, found) in futures::future::join_all(own).await {
        match found {
            Ok((revision, keys)) => kept.push(Kept {
                member: Some(node.to_string()),
                revision,
                keys,
            }),
            Err(why) => trouble.push(format!(
                "{node}'s etcd member could not be read as it was at revision {revision}: {why}"
            )),
        }
    }
    (kept, trouble)
}

/// Tries until it succeeds, or says at the end why not.
async fn attempt<T, F: Future<Output = Result<T, String>>>(
    ask: impl Fn() -> F,
) -> Result<T, String> {
    let end = Instant::now() + CATCH_UP;
    loop {
        match ask().await {
            Err(_) if Instant::now() + PAUSE < end => sleep(PAUSE).await,
            done => return done,
        }
    }
}

/// Reads every key of the namespace's `ConfigMaps`, page by page at one revision (0: the newest), with the revision that
/// wrote it last.
async fn keys(
    client: &Client,
    at: SocketAddr,
    namespace: &str,
    how: Consistency,
    revision: u64,
) -> Result<(u64, BTreeMap<String, u64>), EtcdError> {
    let prefix = format!("/registry/configmaps/{namespace}/");
    // The first key after all that begin so: `0` follows `/`.
    let to = format!("/registry/configmaps/{namespace}0");
    let mut from = prefix.clone().into_bytes();
    let mut found = BTreeMap::new();
    let mut of = revision;
    loop {
        let range = (from.as_slice(), to.as_bytes());
        let (newest, page) = client.range(at, range, how, of, PAGE).await?;
        if of == 0 {
            of = newest;
        }
        let full = page.len() as u64 >= PAGE;
        if let Some(last) = page.last() {
            from = [last.key.as_slice(), b"\0"].concat();
        }
        for pair in page {
            let key = String::from_utf8_lossy(&pair.key);
            let name = key.strip_prefix(&prefix).unwrap_or(&key);
            found.insert(name.to_owned(), pair.mod_revision);
        }
        if !full {
            return Ok((of, found));
        }
    }
}
