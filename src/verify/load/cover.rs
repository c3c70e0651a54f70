//! The load on every API server. Behind a layer-4 load balancer a client cannot choose its server; it can see which one it
//! was given, since each shows a certificate of its own.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use rustls::pki_types::CertificateDer;

use crate::connection::Connection;
use crate::endpoint::Endpoint;

/// Connections are opened until every server has its share, at most this many for each connection that is wanted: a load
/// balancer that gives turns needs one.
const TRIES: usize = 10;

/// An API server behind the endpoint.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its node.
    pub name: String,
    /// Where it answers itself.
    pub address: SocketAddr,
}

/// Opens connections through the endpoint until `each` of them end at every server, or `patience` ends; what could be
/// opened, by the servers' names.
pub(crate) async fn connections(
    endpoint: &Endpoint,
    servers: &[Server],
    each: usize,
    patience: Duration,
) -> BTreeMap<String, Vec<Connection>> {
    let mut found: BTreeMap<String, Vec<Connection>> = BTreeMap::new();
    let opening = async {
        let certificates = certificates(endpoint, servers).await;
        // Those that nobody needs stay open meanwhile, or a load balancer that counts would give the same server again.
        let mut spare = Vec::new();
        for _ in 0..servers.len() * each * TRIES {
            let full = |server: &Server| found.get(&server.name).is_some_and(|c| c.len() >= each);
            if servers.iter().all(full) {
                break;
            }
            let Ok(connection) = Connection::open(endpoint).await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let shown = connection.certificate.as_ref();
            let name = shown.and_then(|shown| certificates.get(shown));
            match name.map(|name| found.entry(name.clone()).or_default()) {
                Some(own) if own.len() < each => own.push(connection),
                _ => spare.push(connection),
            }
        }
    };
    // What was found until then counts.
    let _ = tokio::time::timeout(patience, opening).await;
    found
}

/// Which certificate each server shows that answers.
async fn certificates(
    endpoint: &Endpoint,
    servers: &[Server],
) -> HashMap<CertificateDer<'static>, String> {
    let asked = servers.iter().map(async |server| {
        let connection = Connection::open(&endpoint.at(server.address)).await.ok()?;
        Some((connection.certificate?, server.name.clone()))
    });
    let answers = futures::future::join_all(asked).await;
    answers.into_iter().flatten().collect()
}
