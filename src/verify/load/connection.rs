//! One HTTP/1.1 connection over TLS, with nothing hidden: no pool, no retries, no resumption.

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use crate::endpoint::Endpoint;
use crate::sample::Outcome;

/// The largest answer that is read whole: a page of 500 `ConfigMaps` of the load has about 400 KB.
const MAX_ANSWER: usize = 16 << 20;

/// An open connection. Dropping it closes it.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    /// What the server showed.
    pub(crate) certificate: Option<CertificateDer<'static>>,
    // Moves bytes for as long as the connection lives.
    _driver: AbortOnDropHandle<()>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body, whole.
    pub body: Bytes,
}

/// A request that could not be answered.
pub(crate) enum Failure {
    /// The connection had already ended and the request never left: the caller may send it elsewhere.
    Unsent,
    /// The sample ends like this.
    Outcome(Outcome),
}

impl Connection {
    /// Opens a TCP connection and does a full TLS handshake.
    pub(crate) async fn open(endpoint: &Endpoint) -> Result<Self, Outcome> {
        let tcp = TcpStream::connect(endpoint.address)
            .await
            .map_err(|_| Outcome::Connect)?;
        tcp.set_nodelay(true).map_err(|_| Outcome::Connect)?;
        let tls = TlsConnector::from(endpoint.tls.clone())
            .connect(endpoint.server_name(), tcp)
            .await
            .map_err(|_| Outcome::Tls)?;
        let shown = tls.get_ref().1.peer_certificates();
        let certificate = shown.and_then(|chain| Some(chain.first()?.clone().into_owned()));
        let (sender, connection) = http1::handshake(TokioIo::new(tls))
            .await
            .map_err(|_| Outcome::Closed)?;
        let driver = tokio::spawn(async move {
            // How a connection ends shows in the request that is on it.
            let _ = connection.await;
        });
        Ok(Self {
            sender,
            host: endpoint.address.to_string(),
            certificate,
            _driver: AbortOnDropHandle::new(driver),
        })
    }

    /// Whether it can take another request.
    pub(crate) fn alive(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn send(
        &mut self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Failure> {
        let host = self
            .host
            .parse()
            .map_err(|_| Failure::Outcome(Outcome::Connect))?;
        request.headers_mut().insert(HOST, host);
        self.sender.ready().await.map_err(|_| Failure::Unsent)?;
        match self.sender.try_send_request(request).await {
            Ok(response) => Ok(response),
            Err(mut error) => Err(match error.take_message() {
                Some(_) => Failure::Unsent,
                None => Failure::Outcome(Outcome::Closed),
            }),
        }
    }

    /// Sends a request and reads its answer whole.
    pub(crate) async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, Failure> {
        let response = self.send(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER)
            .collect()
            .await
            .map_err(|_| Failure::Outcome(Outcome::Closed))?
            .to_bytes();
        Ok(Answer { status, body })
    }
}

impl Failure {
    /// Returns how a sample ends that has no other connection to try.
    pub(crate) fn outcome(self) -> Outcome {
        match self {
            // Nothing was sent, as if the connection had not been made.
            Self::Unsent => Outcome::Connect,
            Self::Outcome(outcome) => outcome,
        }
    }
}

/// Returns a request.
pub(crate) fn request(method: Method, path: &str, body: Vec<u8>) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(Bytes::from(body)));
    *request.method_mut() = method;
    // Every path is made of names and numbers of our own; a wrong one would be answered with 404.
    *request.uri_mut() = path.parse().unwrap_or_default();
    let json = hyper::header::HeaderValue::from_static("application/json");
    request.headers_mut().insert(CONTENT_TYPE, json);
    request
}

/// Does one request on a connection of its own.
async fn once(endpoint: &Endpoint, request: Request<Full<Bytes>>) -> Result<Answer, Outcome> {
    let mut connection = Connection::open(endpoint).await?;
    connection.exchange(request).await.map_err(Failure::outcome)
}

/// `GET`s a path on a connection of its own.
pub async fn get(endpoint: &Endpoint, path: &str) -> Result<Answer, Outcome> {
    once(endpoint, request(Method::GET, path, Vec::new())).await
}

/// Does any other request with a JSON body on a connection of its own.
pub async fn send(
    endpoint: &Endpoint,
    method: Method,
    path: &str,
    body: serde_json::Value,
) -> Result<Answer, Outcome> {
    once(
        endpoint,
        request(method, path, body.to_string().into_bytes()),
    )
    .await
}
