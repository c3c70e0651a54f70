//! The watch: one stream of events, taken up again where it broke off.

use std::cell::RefCell;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::Method;
use hyper::body::Incoming;
use serde::Deserialize;

use crate::clock::{Clock, Moment};
use crate::connection::{Connection, get, request};
use crate::endpoint::Endpoint;
use crate::history::{Delivery, How, Interruption};
use crate::kinds::Object;
use crate::sample::Outcome;

/// Between two attempts to connect: the pace of the other probes.
const RETRY: Duration = Duration::from_millis(50);

/// The longest line that a watch may send. An event of the load has about 700 bytes.
const MAX_LINE: usize = 1 << 20;

/// A watcher and what it got so far.
pub(crate) struct Watcher {
    /// The API server that it began on.
    name: String,
    endpoint: Endpoint,
    collection: String,
    clock: Clock,
    /// A watch that is silent for this long is given up. The load writes many times a second, so silence is death;
    /// a Kubernetes client finds out by itself after 30 to 45 s of HTTP/2 pings.
    silence: Duration,
    got: RefCell<Got>,
}

/// What a watcher got.
#[derive(Default)]
pub(crate) struct Got {
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) interruptions: Vec<Interruption>,
    version: u64,
    broken: bool,
}

/// Why a watch connection ended.
enum End {
    /// It broke; the place is kept.
    Broken(String),
    /// The API server no longer knows the place.
    Gone,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    object: Object,
}

#[derive(Deserialize)]
struct List {
    metadata: crate::kinds::Metadata,
    #[serde(default)]
    items: Vec<Object>,
}

impl Watcher {
    pub(crate) fn new(
        name: String,
        endpoint: Endpoint,
        collection: String,
        clock: Clock,
        silence: Duration,
        from: u64,
    ) -> Self {
        Self {
            name,
            endpoint,
            collection,
            clock,
            silence,
            got: RefCell::new(Got {
                version: from,
                ..Got::default()
            }),
        }
    }

    /// Watches until it is dropped, on an open connection at first.
    pub(crate) async fn run(&self, first: Connection) {
        let mut first = Some(first);
        loop {
            let end = match self.connection(first.take()).await {
                Ok(end) => end,
                Err(outcome) => End::Broken(outcome.to_string()),
            };
            match end {
                End::Broken(why) => self.interrupted(why),
                End::Gone => {
                    self.interrupted("410 Gone".to_owned());
                    self.relist().await;
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Whether the write of that name has arrived.
    pub(crate) fn has(&self, name: &str) -> bool {
        let got = self.got.borrow();
        got.deliveries
            .iter()
            .rev()
            .any(|delivery| delivery.name == name)
    }

    /// Takes what it got.
    pub(crate) fn into_got(self) -> Got {
        self.got.into_inner()
    }

    /// One connection from its beginning to its end.
    async fn connection(&self, open: Option<Connection>) -> Result<End, Outcome> {
        let from = self.got.borrow().version;
        let path = format!(
            "{}?watch=1&allowWatchBookmarks=true&resourceVersion={from}",
            self.collection
        );
        let opening = async {
            let mut connection = match open {
                Some(connection) => connection,
                None => Connection::open(&self.endpoint).await?,
            };
            let response = connection
                .send(request(Method::GET, &path, Vec::new()))
                .await;
            Ok::<_, Outcome>((
                response.map_err(crate::connection::Failure::outcome)?,
                connection,
            ))
        };
        let (response, _connection) = tokio::time::timeout(self.silence, opening)
            .await
            .map_err(|_| Outcome::Timeout)??;
        match response.status().as_u16() {
            200 => {}
            410 => return Ok(End::Gone),
            other => return Err(Outcome::Status(other)),
        }
        self.resumed();
        Ok(self.stream(response.into_body()).await)
    }

    /// Reads events until the stream ends.
    async fn stream(&self, mut body: Incoming) -> End {
        let mut buffer = Vec::new();
        loop {
            let frame = match tokio::time::timeout(self.silence, body.frame()).await {
                Err(_) => return End::Broken(format!("silent for {} s", self.silence.as_secs())),
                Ok(None) => return End::Broken("ended by the server".to_owned()),
                Ok(Some(Err(_))) => return End::Broken(Outcome::Closed.to_string()),
                Ok(Some(Ok(frame))) => frame,
            };
            let Ok(data) = frame.into_data() else {
                continue;
            };
            buffer.extend_from_slice(&data);
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = buffer.drain(..=end).collect();
                match serde_json::from_slice::<Event>(&line) {
                    Ok(event) => {
                        if let Some(end) = self.event(event) {
                            return end;
                        }
                    }
                    Err(_) => return End::Broken(Outcome::Body.to_string()),
                }
            }
            if buffer.len() > MAX_LINE {
                return End::Broken(Outcome::Body.to_string());
            }
        }
    }

    fn event(&self, event: Event) -> Option<End> {
        let how = match event.kind.as_str() {
            "ADDED" => How::Added,
            "MODIFIED" => How::Modified,
            "DELETED" => How::Deleted,
            "BOOKMARK" => {
                self.advance(event.object.version()?);
                return None;
            }
            _ if event.object.code == 410 => return Some(End::Gone),
            _ => return Some(End::Broken(format!("event {}", event.kind))),
        };
        let Some(version) = event.object.version() else {
            return Some(End::Broken(Outcome::Body.to_string()));
        };
        self.deliver(how, event.object, version);
        self.advance(version);
        None
    }

    fn deliver(&self, how: How, object: Object, version: u64) {
        self.got.borrow_mut().deliveries.push(Delivery {
            watch: self.name.clone(),
            at: self.clock.now(),
            how,
            name: object.metadata.name,
            version,
            content: object.data.content,
        });
    }

    fn advance(&self, version: u64) {
        let mut got = self.got.borrow_mut();
        got.version = got.version.max(version);
    }

    /// Lists everything, delivers what had not come yet, and goes on from the list's version.
    async fn relist(&self) {
        let answer =
            tokio::time::timeout(self.silence, get(&self.endpoint, &self.collection)).await;
        let Ok(Ok(answer)) = answer else {
            return; // The next attempt ends in 410 again, and here.
        };
        let Ok(list) = serde_json::from_slice::<List>(&answer.body) else {
            return;
        };
        let mut missing: Vec<_> = list
            .items
            .into_iter()
            .filter(|object| !self.has(&object.metadata.name))
            .filter_map(|object| Some((object.version()?, object)))
            .collect();
        missing.sort_by_key(|(version, _)| *version);
        for (version, object) in missing {
            self.deliver(How::Relisted, object, version);
        }
        if let Ok(version) = list.metadata.resource_version.parse() {
            self.advance(version);
        }
    }

    /// Notes that the stream is away; failed attempts to get it back belong to the same interruption.
    fn interrupted(&self, why: String) {
        let at = self.clock.now();
        let mut got = self.got.borrow_mut();
        let from = got.version;
        if !got.broken {
            got.broken = true;
            got.interruptions.push(Interruption {
                watch: self.name.clone(),
                at,
                resumed: None,
                from,
                why,
            });
        }
    }

    fn resumed(&self) {
        let now: Moment = self.clock.now();
        let mut got = self.got.borrow_mut();
        if std::mem::take(&mut got.broken)
            && let Some(last) = got.interruptions.last_mut()
        {
            last.resumed = Some(now);
        }
    }
}
