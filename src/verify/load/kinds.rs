//! What a sample of each kind does.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Method, Request};
use serde::Deserialize;

use crate::connection::{Answer, Connection, Failure, get, request};
use crate::endpoint::Endpoint;
use crate::sample::Outcome;

/// How many connections for every API server each kind of client keeps, and one for a watch.
pub(crate) const FOR_EACH: usize = 3 * KEPT + 1;

/// How many connections for every API server reused connections, reads and writes go round on, each kind for itself: some
/// of them end at the server that will be lost, whichever it is.
const KEPT: usize = 2;

/// The clients, as they live on the probes' thread.
pub(crate) struct Clients {
    pub(crate) endpoint: Endpoint,
    /// `/api/v1/namespaces/NAMESPACE/configmaps`
    pub(crate) collection: String,
    /// Begins the content of every write.
    pub(crate) run: String,
    reused: Pool,
    readers: Pool,
    writers: Pool,
    /// The newest acknowledged write: what a linearizable read must find.
    newest: RefCell<String>,
}

/// The fields of a `ConfigMap` that count here.
#[derive(Debug, Deserialize)]
pub struct Object {
    /// Who it is.
    #[serde(default)]
    pub metadata: Metadata,
    /// What it holds.
    #[serde(default)]
    pub data: Data,
    /// Only in the error object that ends a watch.
    #[serde(default)]
    pub code: u16,
}

/// What an object says of itself.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its resource version; a number in quotes.
    #[serde(default)]
    pub resource_version: String,
    /// Where a list that was cut goes on; empty at its end.
    #[serde(default, rename = "continue")]
    pub next: String,
}

/// What a `ConfigMap` of the load holds.
#[derive(Debug, Default, Deserialize)]
pub struct Data {
    /// The content that the load wrote.
    #[serde(default)]
    pub content: String,
}

impl Object {
    /// Returns the resource version; none if it is no number (Kubernetes promises one since 1.35).
    pub fn version(&self) -> Option<u64> {
        self.metadata.resource_version.parse().ok()
    }
}

impl Clients {
    /// `anchor` is a `ConfigMap` that exists: what reads ask for until the first write is acknowledged.
    /// `kept` are open connections, by the servers that they end at.
    pub(crate) fn new(
        endpoint: Endpoint,
        namespace: &str,
        run: String,
        anchor: &str,
        kept: &mut BTreeMap<String, Vec<Connection>>,
    ) -> Self {
        let mut pool = || Pool::of(kept);
        let (reused, readers, writers) = (pool(), pool(), pool());
        Self {
            endpoint,
            collection: format!("/api/v1/namespaces/{namespace}/configmaps"),
            run,
            reused,
            readers,
            writers,
            newest: RefCell::new(anchor.to_owned()),
        }
    }

    /// A new connection and a full handshake, `GET /readyz`.
    pub(crate) async fn new_connection(&self) -> Outcome {
        verdict(get(&self.endpoint, "/readyz").await, 200)
    }

    /// `GET /readyz` on a kept connection. Connections take turns, so that samples stay independent of each other: on
    /// a single one each would wait for all before it, and one slow answer would spoil a second of samples.
    pub(crate) async fn reused_connection(&self) -> Outcome {
        let ready = || request(Method::GET, "/readyz", Vec::new());
        verdict(self.reused.exchange(&self.endpoint, ready).await, 200)
    }

    /// A linearizable read of the newest acknowledged write: without a resource version the API server asks etcd's
    /// quorum.
    pub(crate) async fn read(&self) -> Outcome {
        let path = format!("{}/{}", self.collection, self.newest.borrow());
        let read = || request(Method::GET, &path, Vec::new());
        verdict(self.readers.exchange(&self.endpoint, read).await, 200)
    }

    /// Creates a `ConfigMap`; returns its resource version too if that was acknowledged.
    pub(crate) async fn write(&self, name: &str, content: &str) -> (Outcome, Option<u64>) {
        let body = serde_json::json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name},
            "data": {"content": content},
        });
        let body = body.to_string().into_bytes();
        let write = || request(Method::POST, &self.collection, body.clone());
        let answer = self.writers.exchange(&self.endpoint, write).await;
        let version = answer.as_ref().ok().and_then(|answer| {
            serde_json::from_slice::<Object>(&answer.body)
                .ok()?
                .version()
        });
        match verdict(answer, 201) {
            Outcome::Good if version.is_none() => (Outcome::Body, None),
            outcome => (outcome, version),
        }
    }

    /// Notes that a write was acknowledged. Names grow, so the newest is the largest.
    pub(crate) fn acknowledged(&self, name: &str) {
        let mut newest = self.newest.borrow_mut();
        if !newest.starts_with("w-") || newest.as_str() < name {
            name.clone_into(&mut newest);
        }
    }
}

fn verdict(answer: Result<Answer, Outcome>, expected: u16) -> Outcome {
    match answer {
        Ok(answer) if answer.status.as_u16() == expected => Outcome::Good,
        Ok(answer) => Outcome::Status(answer.status.as_u16()),
        Err(outcome) => outcome,
    }
}

/// Connections that take turns: whoever waited longest goes next. A request that hangs keeps only its own connection.
struct Pool {
    size: usize,
    idle: RefCell<VecDeque<Connection>>,
    busy: Cell<usize>,
}

impl Pool {
    /// Takes its share of open connections, server by server in turn.
    fn of(open: &mut BTreeMap<String, Vec<Connection>>) -> Self {
        let turns = (0..KEPT).flat_map(|_| {
            let next = open.values_mut().filter_map(Vec::pop);
            next.collect::<Vec<_>>()
        });
        let idle: VecDeque<_> = turns.collect();
        Self {
            size: idle.len().max(KEPT),
            idle: RefCell::new(idle),
            busy: Cell::default(),
        }
    }

    async fn exchange(
        &self,
        endpoint: &Endpoint,
        request: impl Fn() -> Request<Full<Bytes>>,
    ) -> Result<Answer, Outcome> {
        let turn = Turn::of(self);
        let connection = self.take();
        let (answer, connection) = exchange(endpoint, connection, request).await;
        drop(turn);
        let mut idle = self.idle.borrow_mut();
        if idle.len() + self.busy.get() < self.size {
            idle.extend(connection);
        }
        answer
    }

    /// Takes a connection; none while the pool is not yet full, so that it fills.
    fn take(&self) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        idle.retain(Connection::alive);
        (idle.len() + self.busy.get() > self.size).then(|| idle.pop_front())?
    }
}

/// Counts a request as busy for as long as it lives, also when its sample is given up.
struct Turn<'a>(&'a Cell<usize>);

impl<'a> Turn<'a> {
    fn of(pool: &'a Pool) -> Self {
        pool.busy.set(pool.busy.get() + 1);
        Self(&pool.busy)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Sends a request on `kept`, or on a new connection if there is none or it ended before the request left. Returns the
/// connection if it can be used again.
async fn exchange(
    endpoint: &Endpoint,
    kept: Option<Connection>,
    request: impl Fn() -> Request<Full<Bytes>>,
) -> (Result<Answer, Outcome>, Option<Connection>) {
    if let Some(mut connection) = kept.filter(Connection::alive) {
        match connection.exchange(request()).await {
            Ok(answer) => return (Ok(answer), Some(connection)),
            Err(Failure::Outcome(outcome)) => return (Err(outcome), None),
            Err(Failure::Unsent) => {}
        }
    }
    let mut connection = match Connection::open(endpoint).await {
        Ok(connection) => connection,
        Err(outcome) => return (Err(outcome), None),
    };
    match connection.exchange(request()).await {
        Ok(answer) => (Ok(answer), Some(connection)),
        Err(failure) => (Err(failure.outcome()), None),
    }
}
