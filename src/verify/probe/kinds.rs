//! What a sample of each kind does.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Method, Request};
use serde::Deserialize;

use super::connection::{Answer, Connection, Failure, get, request};
use super::endpoint::Endpoint;
use crate::verify::sample::Outcome;

/// How many connections reused connections, reads and writes go round on, each kind for itself. Several for every API server of a usual
/// cluster, so that some of them end at the one that will be lost.
const KEPT: usize = 6;

/// The clients, as they live on the probes' thread.
pub(super) struct Clients {
    pub(super) endpoint: Endpoint,
    /// `/api/v1/namespaces/NAMESPACE/configmaps`
    pub(super) collection: String,
    /// Begins the content of every write.
    pub(super) run: String,
    reused: Pool,
    readers: Pool,
    writers: Pool,
    /// The newest acknowledged write: what a linearizable read must find.
    newest: RefCell<String>,
}

/// The fields of a `ConfigMap` that count here.
#[derive(Debug, Deserialize)]
pub(in crate::verify) struct Object {
    #[serde(default)]
    pub(in crate::verify) metadata: Metadata,
    #[serde(default)]
    pub(in crate::verify) data: Data,
    /// Only in the error object that ends a watch.
    #[serde(default)]
    pub(in crate::verify) code: u16,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::verify) struct Metadata {
    #[serde(default)]
    pub(in crate::verify) name: String,
    #[serde(default)]
    pub(in crate::verify) resource_version: String,
    #[serde(default, rename = "continue")]
    pub(in crate::verify) next: String,
}

#[derive(Debug, Default, Deserialize)]
pub(in crate::verify) struct Data {
    #[serde(default)]
    pub(in crate::verify) content: String,
}

impl Object {
    /// Returns the resource version; none if it is no number (Kubernetes promises one since 1.35).
    pub(in crate::verify) fn version(&self) -> Option<u64> {
        self.metadata.resource_version.parse().ok()
    }
}

impl Clients {
    /// `anchor` is a `ConfigMap` that exists: what reads ask for until the first write is acknowledged.
    pub(super) fn new(endpoint: Endpoint, namespace: &str, run: String, anchor: &str) -> Self {
        Self {
            endpoint,
            collection: format!("/api/v1/namespaces/{namespace}/configmaps"),
            run,
            reused: Pool::default(),
            readers: Pool::default(),
            writers: Pool::default(),
            newest: RefCell::new(anchor.to_owned()),
        }
    }

    /// A new connection and a full handshake, `GET /readyz`.
    pub(super) async fn new_connection(&self) -> Outcome {
        verdict(get(&self.endpoint, "/readyz").await, 200)
    }

    /// `GET /readyz` on a kept connection. Connections take turns, so that samples stay independent of each other: on
    /// a single one each would wait for all before it, and one slow answer would spoil a second of samples.
    pub(super) async fn reused_connection(&self) -> Outcome {
        let ready = || request(Method::GET, "/readyz", Vec::new());
        verdict(self.reused.exchange(&self.endpoint, ready).await, 200)
    }

    /// A linearizable read of the newest acknowledged write: without a resource version the API server asks etcd's
    /// quorum.
    pub(super) async fn read(&self) -> Outcome {
        let path = format!("{}/{}", self.collection, self.newest.borrow());
        let read = || request(Method::GET, &path, Vec::new());
        verdict(self.readers.exchange(&self.endpoint, read).await, 200)
    }

    /// Creates a `ConfigMap`; returns its resource version too if that was acknowledged.
    pub(super) async fn write(&self, name: &str, content: &str) -> (Outcome, Option<u64>) {
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
    pub(super) fn acknowledged(&self, name: &str) {
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
#[derive(Default)]
struct Pool {
    idle: RefCell<VecDeque<Connection>>,
    busy: Cell<usize>,
}

impl Pool {
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
        if idle.len() + self.busy.get() < KEPT {
            idle.extend(connection);
        }
        answer
    }

    /// Takes a connection; none while the pool is not yet full, so that it fills.
    fn take(&self) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        idle.retain(Connection::alive);
        (idle.len() + self.busy.get() > KEPT).then(|| idle.pop_front())?
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
