//! The lean provider's port: REST of calls and the sideband, as little of them as can be.
//!
//! It knows which calls there are and who plays each; what a client may say of a session is not checked here
//! (`sim::openai` does that). HTTP is hyper's, sockets are tungstenite's. Any connection may become a sideband: clients
//! open one over a connection that they had for the accept.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

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
        if request.method() == Method::GET && path == "/v1/realtime" {
            let query = request.uri().query().unwrap_or_default();
            let id = query.split('&').find_map(|pair| pair.strip_prefix("call_id=")).unwrap_or_default();
            return match self.way_to(id) {
                Some(way) => open(request, way),
                None => refusal(StatusCode::NOT_FOUND, "call_id_not_found"),
            };
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
    let service = service_fn(move |request| {
        let provider = Arc::clone(&provider);
        async move { Ok::<_, Infallible>(provider.answer(request).await) }
    });
    // However it ends, it ends: what it was for is seen at the calls.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
    Ok(())
}

/// Turns the connection of a request into a sideband of the call that this way leads to, and tells it.
fn open(mut request: Request<Incoming>, way: mpsc::Sender<Came>) -> Response<Full<Bytes>> {
    let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY) else {
        return refusal(StatusCode::BAD_REQUEST, "no_websocket");
    };
    let accept = derive_accept_key(key.as_bytes());
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(Ok(upgraded)) = timeout(HANDSHAKE_WITHIN, upgrade).await else { return };
        let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else { return };
        let (stream, read) = (parts.io.into_inner(), parts.read_buf.to_vec());
        let socket = WebSocketStream::from_partially_read(stream, read, Role::Server, Some(lean())).await;
        let _ = way.send(Came::Sideband(Box::new(socket), Instant::now())).await;
    });
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    // It is base64.
    if let Ok(accept) = HeaderValue::from_str(&accept) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}

fn is_ours(headers: &hyper::HeaderMap) -> bool {
    let value = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
    value.and_then(|value| value.strip_prefix(b"Bearer ")) == Some(API_KEY.as_bytes())
}

fn refusal(status: StatusCode, code: &str) -> Response<Full<Bytes>> {
    let body = format!(
        r#"{{"error":{{"message":"{code}","type":"invalid_request_error","param":null,"code":"{code}"}}}}"#
    );
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// The status of the next answer; none of them has a body that matters.
    async fn ask(stream: &mut TcpStream, request: &str) -> String {
        let head = format!("{request} HTTP/1.1\r\nHost: load\r\nAuthorization: Bearer {API_KEY}\r\n");
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        let rest = if request.starts_with("GET") { upgrade } else { "Content-Length: 0\r\n\r\n" };
        stream.write_all(format!("{head}{rest}").as_bytes()).await.unwrap();
        let mut bytes = [0; 4 << 10];
        let count = stream.read(&mut bytes).await.unwrap();
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    }

    #[tokio::test]
    async fn a_sideband_may_follow_the_accept_on_its_connection_and_not_come_before_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let provider = Arc::new(Provider::default());
        let mut known = provider.know("rtc_1");
        tokio::spawn(serve(Arc::clone(&provider), listener));
        let mut stream = TcpStream::connect(address).await.unwrap();
        let sideband = "GET /v1/realtime?call_id=rtc_1";
        assert!(ask(&mut stream, sideband).await.starts_with("HTTP/1.1 404"), "it is not accepted");
        for (request, status) in [
            ("POST /v1/realtime/calls/rtc_2/accept", "404"),
            ("POST /v1/realtime/calls/rtc_1/accept", "200"),
            ("POST /v1/realtime/calls/rtc_1/accept", "409"),
        ] {
            let answer = ask(&mut stream, request).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {answer}");
        }
        let answer = ask(&mut stream, sideband).await;
        // The key and its answer are those of RFC 6455, 1.3.
        assert!(
            answer.starts_with("HTTP/1.1 101") && answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            "{answer}"
        );
        assert!(matches!(known.inbox.recv().await, Some(Came::Accept(_))));
        assert!(matches!(known.inbox.recv().await, Some(Came::AcceptAgain)));
        assert!(matches!(known.inbox.recv().await, Some(Came::Sideband(..))));
    }
}
