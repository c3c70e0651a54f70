//! An API server for tests: TLS with a client certificate, `ConfigMaps` in memory, a watch, and faults on demand.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use rcgen::SanType;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

use crate::kubernetes::authority::Authority;

type Body = BoxBody<Bytes, Infallible>;

/// How the server behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Mood {
    #[default]
    Well,
    /// Accepts connections and requests, answers nothing.
    Silent,
    /// Answers every request with this status and does nothing.
    Status(u16),
    /// Stores writes and then answers 500.
    StoresButFails,
    /// Acknowledges writes without storing them.
    Forgets,
    /// Ends every connection, old and new.
    Closes,
    /// Has forgotten the past: watches from before end in 410.
    Gone,
}

pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    pub(crate) kubeconfig: String,
    mood: watch::Sender<Mood>,
    store: Arc<Mutex<Store>>,
    _server: AbortOnDropHandle<()>,
    _turn: tokio::sync::MutexGuard<'static, ()>,
}

/// The tests measure time: one at a time, or they slow one another down.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[derive(Default)]
struct Store {
    version: u64,
    objects: Vec<(u64, Value)>,
}

impl Fake {
    pub(crate) async fn start() -> Self {
        let turn = TURN.lock().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let authority = Authority::new();
        let server = authority.leaf(vec![SanType::IpAddress(address.ip())], None);
        let admin = SanType::DnsName("admin".try_into().unwrap());
        let client = authority.leaf(vec![admin], None);
        let kubeconfig = authority.kubeconfig(&address.to_string(), &client);
        let acceptor = authority.acceptor(&server, true);
        let (mood, moods) = watch::channel(Mood::Well);
        let store = Arc::new(Mutex::new(Store {
            version: 100,
            objects: Vec::new(),
        }));
        let server = tokio::spawn(serve(listener, acceptor, moods, Arc::clone(&store)));
        Self {
            address,
            kubeconfig,
            mood,
            store,
            _server: AbortOnDropHandle::new(server),
            _turn: turn,
        }
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    /// Returns what is stored: name, version, content.
    pub(crate) fn stored(&self) -> Vec<(String, u64, String)> {
        let store = self.store.lock().unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let objects = store.objects.iter();
        objects
            .map(|(version, o)| {
                (
                    text(&o["metadata"]["name"]),
                    *version,
                    text(&o["data"]["content"]),
                )
            })
            .collect()
    }

    /// Stores a `ConfigMap` as if it had always been there.
    pub(crate) fn put(&self, name: &str) {
        create(
            &self.store,
            json!({"metadata": {"name": name}, "data": {"content": "x"}}),
        );
    }
}

async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    moods: watch::Receiver<Mood>,
    store: Arc<Mutex<Store>>,
) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((tcp, _)) = listener.accept().await {
        let (acceptor, store) = (acceptor.clone(), Arc::clone(&store));
        let mut moods = moods.clone();
        connections.spawn(async move {
            let state = moods.clone();
            let work = async move {
                let Ok(tls) = acceptor.accept(tcp).await else {
                    return;
                };
                let service =
                    service_fn(|request| answer(request, state.clone(), Arc::clone(&store)));
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(tls), service)
                    .await;
            };
            tokio::select! {
                () = work => {}
                _ = moods.wait_for(|mood| *mood == Mood::Closes) => {}
            }
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    mut moods: watch::Receiver<Mood>,
    store: Arc<Mutex<Store>>,
) -> Result<Response<Body>, Infallible> {
    let mood = *moods.borrow();
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let sent = request.into_body().collect().await.unwrap().to_bytes();
    let query = uri.query().unwrap_or_default();
    let watching = query.contains("watch=1");
    Ok(match mood {
        Mood::Silent => {
            let _ = moods.wait_for(|mood| *mood == Mood::Closes).await;
            status(503)
        }
        Mood::Status(code) => status(code),
        Mood::Gone if watching => status(410),
        _ if uri.path() == "/readyz" => status(200),
        _ if watching => {
            let from = query
                .split('&')
                .find_map(|p| p.strip_prefix("resourceVersion="));
            watch_from(from.unwrap().parse().unwrap(), moods, store)
        }
        _ if method == Method::POST => {
            let object = serde_json::from_slice(&sent).unwrap();
            match mood {
                Mood::Forgets => {
                    let mut store = store.lock().unwrap();
                    store.version += 1;
                    reply(201, versioned(object, store.version))
                }
                _ => {
                    let object = create(&store, object);
                    let code = if mood == Mood::StoresButFails {
                        500
                    } else {
                        201
                    };
                    reply(code, object)
                }
            }
        }
        _ => {
            let store = store.lock().unwrap();
            let name = uri.path().rsplit('/').next().unwrap();
            let found = store
                .objects
                .iter()
                .find(|(_, object)| object["metadata"]["name"] == name);
            match found {
                Some((_, object)) => reply(200, object.clone()),
                None if name == "configmaps" => reply(200, list(&store)),
                None => status(404),
            }
        }
    })
}

fn create(store: &Mutex<Store>, object: Value) -> Value {
    let mut store = store.lock().unwrap();
    store.version += 1;
    let version = store.version;
    let object = versioned(object, version);
    store.objects.push((version, object.clone()));
    object
}

fn versioned(mut object: Value, version: u64) -> Value {
    object["metadata"]["resourceVersion"] = json!(version.to_string());
    object
}

fn list(store: &Store) -> Value {
    let items: Vec<_> = store.objects.iter().map(|(_, object)| object).collect();
    json!({"metadata": {"resourceVersion": store.version.to_string()}, "items": items})
}

/// Streams what is newer than `from`, looking every 5 ms.
fn watch_from(from: u64, moods: watch::Receiver<Mood>, store: Arc<Mutex<Store>>) -> Response<Body> {
    let events = futures::stream::unfold(from, move |mut seen| {
        let (moods, store) = (moods.clone(), Arc::clone(&store));
        async move {
            loop {
                if *moods.borrow() == Mood::Gone {
                    let gone = json!({"type": "ERROR", "object": {"code": 410}});
                    return Some((gone.to_string() + "\n", seen));
                }
                let next = {
                    let store = store.lock().unwrap();
                    store
                        .objects
                        .iter()
                        .find(|(version, _)| *version > seen)
                        .cloned()
                };
                if let Some((version, object)) = next.filter(|_| *moods.borrow() != Mood::Silent) {
                    seen = version;
                    let event = json!({"type": "ADDED", "object": object});
                    return Some((event.to_string() + "\n", seen));
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    });
    let frames = events.map(|line| Ok(Frame::data(Bytes::from(line))));
    Response::new(BodyExt::boxed(StreamBody::new(frames)))
}

fn status(code: u16) -> Response<Body> {
    reply(code, json!({}))
}

fn reply(code: u16, value: Value) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(value.to_string())).boxed());
    *response.status_mut() = code.try_into().unwrap();
    response
}
