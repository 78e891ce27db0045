//! The lean provider's port: REST of calls and the sideband, as little of them as can be.
//!
//! It knows which calls there are and who plays each; what a client may say of a session is not checked here
//! (`sim::openai` does that). HTTP is hyper's, sockets are tungstenite's; a connection says by its first letter which
//! of the two it is for.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::handshake::server;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

use crate::sim::world::API_KEY;

/// The longest body that is read.
const BODY_BYTES_MAX: usize = 1 << 20;
/// So much may happen to a call before it is looked at.
const INBOX: usize = 16;
/// Some frames' worth.
const READ_BUFFER_BYTES: usize = 4 << 10;
/// How long a handshake may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(30);

/// A sideband.
pub(super) type Socket = WebSocketStream<TcpStream>;

/// Something that a gateway did to a call.
pub(super) enum Came {
    /// It was accepted; the answer goes out now.
    Accept(Instant),
    /// It was to be accepted once more.
    AcceptAgain,
    /// It was turned away, or sent elsewhere.
    Refused(&'static str),
    /// A sideband is open.
    Sideband(Box<Socket>, Instant),
    /// It was hung up.
    HangUp,
}

/// A socket for small frames. Its buffer is zeroed before each read: the usual 128 KiB took a third of the time
/// that the vendors spend.
pub(super) fn lean() -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES)
}

/// All calls, by their ids.
#[derive(Default)]
pub(super) struct Provider {
    calls: Mutex<HashMap<String, Entry>>,
    /// Requests that belong to nothing.
    strange: Mutex<Vec<String>>,
}

struct Entry {
    inbox: mpsc::Sender<Came>,
    is_accepted: bool,
}

/// A call that the provider knows, as long as this lives.
pub(super) struct Known<'a> {
    provider: &'a Provider,
    id: String,
    /// What a gateway does to it.
    pub inbox: mpsc::Receiver<Came>,
}

impl Drop for Known<'_> {
    fn drop(&mut self) {
        self.provider.calls().remove(&self.id);
    }
}

/// So many strange requests are told.
const STRANGE_MAX: usize = 10;

impl Provider {
    /// Knows a call.
    pub fn know(&self, id: &str) -> Known<'_> {
        let (send, inbox) = mpsc::channel(INBOX);
        self.calls().insert(id.to_owned(), Entry { inbox: send, is_accepted: false });
        Known { provider: self, id: id.to_owned(), inbox }
    }

    /// Requests that belonged to nothing.
    pub fn strange(&self) -> Vec<String> {
        self.strange.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    fn calls(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.calls.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn wonder(&self, what: String) {
        let mut strange = self.strange.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if strange.len() < STRANGE_MAX {
            strange.push(what);
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if !is_ours(request.headers()) {
            self.wonder(format!("{} {}: another API key", request.method(), request.uri().path()));
            return refusal(StatusCode::UNAUTHORIZED, "invalid_api_key");
        }
        let path = request.uri().path().to_owned();
        if path == "/v1/models" {
            // Whether the provider is there at all.
            return Response::new(Full::new(Bytes::new()));
        }
        let target = path.strip_prefix("/v1/realtime/calls/").and_then(|rest| rest.rsplit_once('/'));
        let Some((id, verb)) = target.filter(|_| request.method() == Method::POST) else {
            self.wonder(format!("{} {path}", request.method()));
            return refusal(StatusCode::NOT_FOUND, "unknown_url");
        };
        let (id, verb) = (id.to_owned(), verb.to_owned());
        if Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await.is_err() {
            return refusal(StatusCode::PAYLOAD_TOO_LARGE, "too_large");
        }
        self.act(&id, &verb)
    }

    fn act(&self, id: &str, verb: &str) -> Response<Full<Bytes>> {
        let mut calls = self.calls();
        let Some(entry) = calls.get_mut(id) else {
            return refusal(StatusCode::NOT_FOUND, "call_id_not_found");
        };
        let came = match verb {
            "accept" if entry.is_accepted => Came::AcceptAgain,
            "accept" => Came::Accept(Instant::now()),
            "hangup" => Came::HangUp,
            "reject" => Came::Refused("rejected"),
            "refer" => Came::Refused("referred"),
            _ => return refusal(StatusCode::NOT_FOUND, "unknown_url"),
        };
        let is_again = matches!(came, Came::AcceptAgain);
        entry.is_accepted |= matches!(came, Came::Accept(_));
        // Who is so far behind is not listening any more.
        let _ = entry.inbox.try_send(came);
        match is_again {
            true => refusal(StatusCode::CONFLICT, "decision_already_made"),
            false => Response::new(Full::new(Bytes::new())),
        }
    }

    /// Where a sideband leads; none where there is no such call, or it was not accepted.
    fn way_to(&self, id: &str) -> Option<mpsc::Sender<Came>> {
        let calls = self.calls();
        let entry = calls.get(id).filter(|entry| entry.is_accepted)?;
        Some(entry.inbox.clone())
    }
}

/// Serves until the task is stopped.
pub(super) async fn serve(provider: Arc<Provider>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(connection(Arc::clone(&provider), stream))),
            // No file is free at the moment.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn connection(provider: Arc<Provider>, stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 {
        return Ok(());
    }
    if first == *b"G" {
        let _ = timeout(HANDSHAKE_WITHIN, sideband(&provider, stream)).await;
        return Ok(());
    }
    let service = service_fn(move |request| {
        let provider = Arc::clone(&provider);
        async move { Ok::<_, Infallible>(provider.answer(request).await) }
    });
    // However it ends, it ends: what it was for is seen at the calls.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    Ok(())
}

async fn sideband(provider: &Provider, stream: TcpStream) {
    let mut way = None;
    let look = |request: &server::Request, response: server::Response| {
        let query = request.uri().query().unwrap_or_default();
        let id = query.split('&').find_map(|pair| pair.strip_prefix("call_id=")).unwrap_or_default();
        if !is_ours(request.headers()) {
            provider.wonder(format!("GET {}: another API key", request.uri().path()));
            return Err(plain(401));
        }
        way = provider.way_to(id);
        if way.is_some() { Ok(response) } else { Err(plain(404)) }
    };
    let Ok(socket) = accept_hdr_async_with_config(stream, look, Some(lean())).await else { return };
    if let Some(way) = way {
        let _ = way.send(Came::Sideband(Box::new(socket), Instant::now())).await;
    }
}

fn is_ours(headers: &hyper::HeaderMap) -> bool {
    let value = headers.get(AUTHORIZATION).map(hyper::header::HeaderValue::as_bytes);
    value.and_then(|value| value.strip_prefix(b"Bearer ")) == Some(API_KEY.as_bytes())
}

fn plain(status: u16) -> server::ErrorResponse {
    let mut response = server::ErrorResponse::new(None);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::NOT_FOUND);
    response
}

fn refusal(status: StatusCode, code: &str) -> Response<Full<Bytes>> {
    let body = format!(
        r#"{{"error":{{"message":"{code}","type":"invalid_request_error","param":null,"code":"{code}"}}}}"#
    );
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    response
}
