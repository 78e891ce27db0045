//! The sideband: the WebSocket beside a SIP call, on which the model asks for tools
//! (OpenAI, "Realtime API: server-side controls").
//!
//! It carries JSON text. Frames that cannot be read are events of no known kind, never a reason to hang
//! up. A sideband is lost when the socket ends, when nothing at all comes for a while, or when the peer
//! does not take what is sent; the call itself may go on without it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

use super::{Client, dialect};
use crate::call::event::{AttachFailure, ProviderEvent};
use crate::ids::ProviderCallId;

/// Longest message that is read: a retrieved item can carry a minute of audio.
const MESSAGE_BYTES_MAX: usize = 8 << 20;
/// Allocated for each call; most events are far smaller.
const BUFFER_BYTES: usize = 4 << 10;
/// How much may wait to be sent before the peer counts as stalled.
const WRITE_BYTES_MAX: usize = 1 << 20;
/// How often a ping is sent when nothing else comes.
const PING_EVERY: Duration = Duration::from_secs(20);
/// A socket on which nothing came for this long, not even a pong, is dead.
const SILENT_AFTER: Duration = Duration::from_secs(45);
/// How long the peer may take to take what is sent.
const SEND_WITHIN: Duration = Duration::from_secs(10);

/// An open sideband.
pub struct Sideband {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    heard: Instant,
    next_ping: Instant,
}

/// What comes from a sideband.
#[derive(Debug)]
pub enum SidebandItem {
    /// Something happened.
    Event(ProviderEvent),
    /// It ended; the close code, where there was a close frame.
    Lost(Option<u16>),
}

/// The peer did not take what was sent.
#[derive(Debug, thiserror::Error)]
#[error("the sideband does not take what is sent")]
pub struct Stalled;

pub(super) fn connector() -> Result<Connector, super::ClientError> {
    let mut roots = rustls::RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(native.certs);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(super::ClientError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Connector::Rustls(Arc::new(config)))
}

impl Client {
    /// Opens the sideband of a call.
    ///
    /// # Errors
    ///
    /// [`AttachFailure`]: not found (yet, or any more), denied, or something that may pass.
    pub async fn attach(&self, call: &ProviderCallId) -> Result<Sideband, AttachFailure> {
        match tokio::time::timeout(self.deadlines.attach, self.open(call)).await {
            Ok(opened) => opened,
            Err(_) => Err(AttachFailure::Passing("the sideband did not open in time".to_owned())),
        }
    }

    async fn open(&self, call: &ProviderCallId) -> Result<Sideband, AttachFailure> {
        let passing = |error: &dyn std::fmt::Display| AttachFailure::Passing(error.to_string());
        let mut url = format!("{}?call_id=", self.settings.realtime_url);
        crate::phone::percent::encode_into(&mut url, call.as_str());
        let mut request = url.into_client_request().map_err(|error| passing(&error))?;
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", self.settings.api_key.expose()))
            .map_err(|error| passing(&error))?;
        bearer.set_sensitive(true);
        request.headers_mut().insert("Authorization", bearer);
        let host = request.uri().host().unwrap_or_default().to_owned();
        let default_port = if request.uri().scheme_str() == Some("ws") { 80 } else { 443 };
        let port = request.uri().port_u16().unwrap_or(default_port);
        let stream = TcpStream::connect((host.trim_matches(['[', ']']), port))
            .await
            .map_err(|error| passing(&error))?;
        stream.set_nodelay(true).map_err(|error| passing(&error))?;
        let connector = Some(self.connector.clone());
        let opened = client_async_tls_with_config(request, stream, Some(socket_config()), connector).await;
        let (socket, _) = opened.map_err(refused)?;
        let now = Instant::now();
        Ok(Sideband { socket, heard: now, next_ping: now + PING_EVERY })
    }
}

fn socket_config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BYTES_MAX)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX))
}

fn refused(error: Error) -> AttachFailure {
    match error {
        Error::Http(response) => match response.status().as_u16() {
            404 => AttachFailure::NotFound,
            status @ (401 | 403) => AttachFailure::Denied(status),
            status => AttachFailure::Passing(format!("the sideband was answered {status}")),
        },
        error => AttachFailure::Passing(error.to_string()),
    }
}

impl Sideband {
    /// What comes next. May be dropped and called again without losing anything.
    pub async fn next(&mut self) -> SidebandItem {
        loop {
            let wake = self.next_ping.min(self.heard + SILENT_AFTER);
            let message = tokio::select! {
                message = self.socket.next() => message,
                () = tokio::time::sleep_until(wake) => {
                    if self.ping().await.is_err() {
                        return SidebandItem::Lost(None);
                    }
                    continue;
                }
            };
            self.heard = Instant::now();
            self.next_ping = self.heard + PING_EVERY;
            match message {
                Some(Ok(Message::Text(text))) => return SidebandItem::Event(dialect::read(text.as_str())),
                Some(Ok(Message::Close(frame))) => {
                    return SidebandItem::Lost(frame.map(|frame| frame.code.into()));
                }
                Some(Ok(Message::Binary(_))) => {
                    return SidebandItem::Event(ProviderEvent::Unknown { kind: "binary frame".to_owned() });
                }
                // A pong: the library has answered pings, and the time was noted.
                Some(Ok(_)) => {}
                // UTF-8 is checked by frames: the message is lost, the socket is not to be trusted.
                Some(Err(_)) | None => return SidebandItem::Lost(None),
            }
        }
    }

    /// Sends one frame.
    ///
    /// # Errors
    ///
    /// [`Stalled`]: the socket is gone, or the peer does not read.
    pub async fn send(&mut self, frame: String) -> Result<(), Stalled> {
        self.send_message(Message::text(frame)).await
    }

    async fn ping(&mut self) -> Result<(), Stalled> {
        if self.heard.elapsed() >= SILENT_AFTER {
            return Err(Stalled);
        }
        self.next_ping = Instant::now() + PING_EVERY;
        self.send_message(Message::Ping(Vec::new().into())).await
    }

    async fn send_message(&mut self, message: Message) -> Result<(), Stalled> {
        match tokio::time::timeout(SEND_WITHIN, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Stalled),
        }
    }
}
