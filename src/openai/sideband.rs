//! The sideband: the WebSocket beside a live call, on which the model asks for tools.
//!
//! A [`Connector`] is built once; each [`Sideband`] belongs to the task that owns its call. Nothing
//! here waits for the peer: [`Sideband::send`] hands over and returns, and [`Sideband::next`] moves
//! bytes both ways, answers pings, sends its own, and may be dropped and called again at any moment.
//! A frame that makes no sense is an unknown event; only a socket that fails, closes, falls silent or
//! stops taking what we send is lost. Facts: OpenAI API guide "Realtime API with SIP", RFC 6455.
//!
//! The same socket, opened for a model instead of a call, carries a whole session with its audio
//! ([`Connector::open_session`]); who bridges one reads it frame by frame.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::{Sink, Stream};
use reqwest::Url;
use reqwest::header::HeaderMap;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message, Utf8Bytes};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_tls_with_config as connect_websocket,
};

use super::{Deadlines, Settings, SettingsError, dialect, headers};
use crate::call::event::{AttachFailure, ProviderEvent};
use crate::ids::ProviderCallId;
use crate::text::excerpt;

/// The largest message: `conversation.item.retrieved` carries audio.
const MESSAGE_BYTES_MAX: usize = 8 << 20;

/// The most that waits for a peer that does not read. Beyond it the socket counts as lost.
const UNSENT_BYTES_MAX: usize = 4 << 20;

/// Most messages are smaller; a larger one grows the buffer for its time. It counts for every call.
const READ_BUFFER_BYTES: usize = 4 << 10;

/// RFC 6455 §7.1.5: what a close frame without a code means.
const NO_STATUS: u16 = 1005;

/// How much of a refused handshake's own text is told.
const EXCERPT_CHARS_MAX: usize = 200;

/// Opens sidebands. Clones share one TLS configuration.
#[derive(Clone)]
pub struct Connector {
    url: Url,
    headers: HeaderMap,
    tls: tokio_tungstenite::Connector,
    deadlines: Deadlines,
}

impl Connector {
    /// Sets up a connector; nothing is sent yet. Trusted certificates are read here, once, where the
    /// address asks for TLS.
    pub fn new(settings: &Settings, deadlines: Deadlines) -> Result<Connector, SettingsError> {
        let url = Url::parse(&settings.realtime_url).map_err(|_| SettingsError::RealtimeUrl)?;
        let tls = match url.scheme() {
            "wss" => tokio_tungstenite::Connector::Rustls(tls_config()?),
            "ws" => tokio_tungstenite::Connector::Plain,
            _ => return Err(SettingsError::RealtimeUrl),
        };
        Ok(Connector { url, headers: headers(settings)?, tls, deadlines })
    }

    /// Opens the sideband of a call that was accepted.
    ///
    /// # Errors
    /// `NotFound` for 404, `Denied` for 401 and 403, `Passing` for everything else, a handshake that
    /// did not end in time included.
    pub async fn connect(&self, call: &ProviderCallId) -> Result<Sideband, AttachFailure> {
        self.open_within(("call_id", call.as_str())).await
    }

    /// Opens a session of its own with this model, whose audio goes over the socket.
    ///
    /// # Errors
    /// As [`Connector::connect`].
    pub async fn open_session(&self, model: &str) -> Result<Sideband, AttachFailure> {
        self.open_within(("model", model)).await
    }

    async fn open_within(&self, what: (&str, &str)) -> Result<Sideband, AttachFailure> {
        // On the heap, so that the memory of the handshake is not kept for as long as the call lasts.
        let opening = Box::pin(self.open(what));
        match timeout(self.deadlines.attach, opening).await {
            Ok(Ok(socket)) => Ok(Sideband::new(socket, self.deadlines)),
            Ok(Err(error)) => Err(attach_failure(&error)),
            Err(_) => Err(AttachFailure::Passing(format!("no answer within {:?}", self.deadlines.attach))),
        }
    }

    async fn open(&self, (name, value): (&str, &str)) -> Result<Socket, Error> {
        let mut url = self.url.clone();
        url.query_pairs_mut().append_pair(name, value);
        let mut request = url.as_str().into_client_request()?;
        for (name, value) in &self.headers {
            request.headers_mut().insert(name, value.clone());
        }
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(UNSENT_BYTES_MAX)
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let tls = Some(self.tls.clone());
        connect_websocket(request, Some(config), true, tls).await.map(|(socket, _)| socket)
    }
}

/// What the sideband carries.
#[derive(Debug)]
pub enum SidebandItem {
    /// An event.
    Event(ProviderEvent),
    /// The end: the close code, where there was a close frame.
    Lost(Option<u16>),
}

/// What the socket carries, not yet read.
#[derive(Debug)]
pub enum Frame {
    /// A text frame.
    Text(Text),
    /// A binary frame, which the provider never sends.
    Binary,
    /// The end: the close code, where there was a close frame.
    Lost(Option<u16>),
}

/// The text of a frame.
#[derive(Debug)]
pub struct Text(Utf8Bytes);

impl std::ops::Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// An open sideband. Dropping it closes the connection; the call goes on without it.
pub struct Sideband {
    socket: Socket,
    deadlines: Deadlines,
    /// When the peer was last heard of.
    heard: Instant,
    /// When we last sent a ping.
    pinged: Instant,
    /// Since when the peer has not taken what we sent.
    stalled: Option<Instant>,
    /// Nothing can be sent any more. What the peer said before is still to be heard; a failed socket
    /// then tells its end, and a peer that was too slow is given up as stalled.
    is_mute: bool,
    /// Rings when one of the above is due.
    alarm: Pin<Box<Sleep>>,
    /// Set when the socket is of no more use: the close code, where there was one.
    lost: Option<Option<u16>>,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

impl Sideband {
    fn new(socket: Socket, deadlines: Deadlines) -> Sideband {
        let now = Instant::now();
        let alarm = Box::pin(sleep_until(now + deadlines.ping_every));
        Sideband {
            socket,
            deadlines,
            heard: now,
            pinged: now,
            stalled: None,
            is_mute: false,
            alarm,
            lost: None,
        }
    }

    /// Hands a text frame to the connection and does not wait: what the peer does not take at once is
    /// kept, in bounds, and moved on by [`Sideband::next`]. A socket that fails here is lost there.
    pub fn send(&mut self, frame: String) {
        self.hand_over(Message::from(frame));
    }

    /// The next event, or the end, after which there is only the end.
    ///
    /// Cancel-safe: a call that is dropped has taken nothing from the socket.
    pub async fn next(&mut self) -> SidebandItem {
        match self.next_frame().await {
            Frame::Text(text) => SidebandItem::Event(dialect::read(&text)),
            Frame::Binary => SidebandItem::Event(dialect::unknown("binary")),
            Frame::Lost(code) => SidebandItem::Lost(code),
        }
    }

    /// The next frame, or the end. Cancel-safe as [`Sideband::next`].
    pub async fn next_frame(&mut self) -> Frame {
        poll_fn(|context| self.poll_frame(context)).await
    }

    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Frame> {
        loop {
            if let Some(code) = self.lost {
                return Poll::Ready(Frame::Lost(code));
            }
            self.push(context);
            match Pin::new(&mut self.socket).poll_next(context) {
                Poll::Ready(Some(Ok(message))) => {
                    self.heard = Instant::now();
                    if let Some(item) = self.take(message, context) {
                        return Poll::Ready(item);
                    }
                }
                Poll::Ready(Some(Err(_)) | None) => self.lost = Some(None),
                Poll::Pending => ready!(self.keep_watch(context)),
            }
        }
    }

    /// Moves on what the peer has not taken yet.
    fn push(&mut self, context: &mut Context<'_>) {
        if !self.is_mute {
            match Pin::new(&mut self.socket).poll_flush(context) {
                Poll::Ready(Ok(())) => return self.stalled = None,
                Poll::Ready(Err(_)) => self.is_mute = true,
                Poll::Pending => {}
            }
        }
        self.stalled = self.stalled.or_else(|| Some(Instant::now()));
    }

    /// What a message carries, if anything.
    fn take(&mut self, message: Message, context: &mut Context<'_>) -> Option<Frame> {
        match message {
            Message::Text(text) => Some(Frame::Text(Text(text))),
            Message::Binary(_) => Some(Frame::Binary),
            Message::Close(frame) => {
                self.lost = Some(Some(frame.map_or(NO_STATUS, |frame| frame.code.into())));
                // The peer's close is answered as far as that goes without waiting.
                self.push(context);
                None
            }
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => None,
        }
    }

    /// Sends the ping that is due and gives up a peer that is silent or stalled. Pending when there is
    /// nothing to do before the alarm rings.
    fn keep_watch(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        let silent = self.heard + self.deadlines.silence_max;
        let ping = self.pinged + self.deadlines.ping_every;
        let stalled = self.stalled.map_or(silent, |since| since + self.deadlines.send);
        if now >= silent.min(stalled) {
            self.lost = Some(None);
            return Poll::Ready(());
        }
        if now >= ping {
            self.pinged = now;
            self.hand_over(Message::Ping(Bytes::new()));
            return Poll::Ready(());
        }
        let due = ping.min(silent).min(stalled);
        if self.alarm.deadline() != due {
            self.alarm.as_mut().reset(due);
        }
        self.alarm.as_mut().poll(context)
    }

    fn hand_over(&mut self, message: Message) {
        if !self.is_mute && Pin::new(&mut self.socket).start_send(message).is_err() {
            self.is_mute = true;
        }
    }
}

/// The system's trusted certificates, with the crypto library that the HTTP client uses, too.
fn tls_config() -> Result<Arc<rustls::ClientConfig>, SettingsError> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(SettingsError::NoCertificates);
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn attach_failure(error: &Error) -> AttachFailure {
    let Error::Http(response) = error else { return AttachFailure::Passing(error.to_string()) };
    match response.status().as_u16() {
        404 => AttachFailure::NotFound,
        status @ (401 | 403) => AttachFailure::Denied(status),
        _ => AttachFailure::Passing(refusal(response)),
    }
}

fn refusal(response: &Response) -> String {
    let status = response.status().as_u16();
    let body = String::from_utf8_lossy(response.body().as_deref().unwrap_or_default());
    let text = excerpt(&body, EXCERPT_CHARS_MAX);
    if text.is_empty() { format!("status {status}") } else { format!("status {status}: {text}") }
}
