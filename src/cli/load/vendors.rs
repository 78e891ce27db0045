//! Carrier and provider of bridged calls, as lean as can be: a thousand of each must leave the machine to the
//! gateway.
//!
//! Every frame carries the moment at which it was sent, so whoever receives it knows how long it took; both
//! ends live in this process and have one clock. Nothing is checked here that the simulators of the tests
//! check: what a frame sounds like, and every rule of the vendors.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, accept_async_with_config, connect_async_with_config};
use tokio_util::sync::CancellationToken;

use crate::http::{TWILIO_MEDIA, TWILIO_VOICE};
use crate::secret::Secret;
use crate::sim::twilio::{ExplicitRequest, Signing, TwilioSim};
use crate::sim::twiml::{Document, Method, Verb};
use crate::sim::world::{ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL};
use crate::wire::form::Form;
use crate::wire::twilio_signature::{Algorithm, sign};

/// Between two frames.
const FRAME: Duration = Duration::from_millis(20);
/// Bytes of a frame.
const FRAME_BYTES: usize = 160;
/// Bytes at the beginning of a frame that say when it was sent: sixteen characters of base64.
const STAMP_BYTES: usize = 12;
/// Characters of that.
const STAMP_CHARS: usize = 16;
/// Any sound that is none of silence.
const SOUND: u8 = 0x20;
/// How many frames the model says in one turn: five seconds.
const TURN_FRAMES: u32 = 250;
/// Longer than anybody takes from reading the clock to looking whether a frame counts.
pub(super) const LEAD: Duration = Duration::from_millis(500);
/// Some frames' worth.
const READ_BUFFER_BYTES: usize = 4 << 10;
/// Whatever takes longer, ten minutes, counts as long as this.
const LONGEST_MICROS: u64 = 600 * 1_000_000;
/// How long a handshake, or the answer to a request, may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// What all calls of a measurement share.
pub(super) struct Shared {
    zero: Instant,
    tail: String,
    /// Frames that are sent within it count; in microseconds.
    window: OnceLock<Range<u64>>,
    /// How many directions have heard something.
    pub heard: AtomicU32,
    /// No more frames are sent.
    pub silent: CancellationToken,
    /// The callers hang up.
    pub over: CancellationToken,
}

/// One direction of one call, or of all.
#[derive(Clone, Debug)]
pub(super) struct Way {
    /// How long frames took, in microseconds: to two digits, so that ten thousand calls can have one each.
    pub delays: Histogram<u32>,
    /// How many were sent.
    pub sent: u64,
    /// How many came before one that was sent earlier.
    pub disordered: u64,
}

/// What one end of a call saw: the frames it sent, and those that it received of the other.
#[derive(Debug, Default)]
pub(super) struct End {
    /// Counts what was sent from here.
    pub sent: u64,
    /// What came here.
    pub received: Way,
    latest: u64,
}

impl Default for Way {
    fn default() -> Way {
        let delays = Histogram::new(2).expect("two digits are a precision");
        Way { delays, sent: 0, disordered: 0 }
    }
}

impl Way {
    /// Counts all of another one.
    pub fn merge(&mut self, other: &Way) {
        // It grows as far as it must.
        let _ = self.delays.add(&other.delays);
        self.sent += other.sent;
        self.disordered += other.disordered;
    }
}

impl Shared {
    pub fn new() -> Shared {
        Shared {
            zero: Instant::now(),
            tail: STANDARD.encode([SOUND; FRAME_BYTES - STAMP_BYTES]),
            window: OnceLock::new(),
            heard: AtomicU32::new(0),
            silent: CancellationToken::new(),
            over: CancellationToken::new(),
        }
    }

    /// For so long frames count, once: from a moment on that lies [`LEAD`] ahead, so that whoever sends a frame
    /// and whoever receives it say the same of it.
    pub fn count_for(&self, span: Duration) {
        let from = self.now() + micros(LEAD);
        self.window.get_or_init(|| from..from + micros(span));
    }

    fn now(&self) -> u64 {
        micros(self.zero.elapsed())
    }

    fn counts(&self, moment: u64) -> bool {
        self.window.get().is_some_and(|window| window.contains(&moment))
    }

    /// A frame that is sent now, in base64.
    fn frame(&self, end: &mut End) -> String {
        let now = self.now();
        end.sent += u64::from(self.counts(now));
        let mut stamp = [SOUND; STAMP_BYTES];
        stamp[..8].copy_from_slice(&now.to_be_bytes());
        let mut payload = STANDARD.encode(stamp);
        payload.push_str(&self.tail);
        payload
    }

    /// Takes a frame out of a message, where this key has one.
    fn take(&self, text: &str, key: &str, end: &mut End) -> bool {
        let stamp = text.find(key).and_then(|at| text.get(at + key.len()..at + key.len() + STAMP_CHARS));
        let stamp = stamp.and_then(|stamp| STANDARD.decode(stamp).ok());
        let Some(Ok(stamp)) = stamp.map(|stamp| <[u8; 8]>::try_from(&stamp[..8])) else { return false };
        let sent = u64::from_be_bytes(stamp);
        if end.latest == 0 {
            self.heard.fetch_add(1, Ordering::Relaxed);
        }
        end.received.disordered += u64::from(sent < end.latest);
        end.latest = end.latest.max(sent);
        if self.counts(sent) {
            // It grows by itself; a time that is no time would be a frame of another run.
            let _ = end.received.delays.record(self.now().saturating_sub(sent).min(LONGEST_MICROS));
        }
        true
    }
}

fn ticks() -> Interval {
    let mut ticks = interval(FRAME);
    // Fifty a second, whatever holds us up.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    ticks
}

/// A socket for small frames. Its buffer is zeroed before each read: the usual 128 KiB took a third of the time
/// that the vendors spend.
pub(super) fn lean() -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES)
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

// === the carrier ===

/// One caller, from the question what to do to hanging up.
pub(super) async fn call(shared: Arc<Shared>, twilio: TwilioSim, gateway: String) -> anyhow::Result<End> {
    let call_sid = twilio.new_call_sid();
    let token = timeout(ANSWER_WITHIN, ask(&twilio, &call_sid)).await.context("no answer in time")??;
    let mut request = format!("ws://{gateway}{TWILIO_MEDIA}").into_client_request()?;
    request.headers_mut().insert("x-twilio-signature", upgrade_signature()?.parse()?);
    let (mut socket, _) = timeout(ANSWER_WITHIN, connect_async_with_config(request, Some(lean()), true))
        .await
        .context("no stream in time")??;
    let stream = format!("MZ{}", &call_sid[2..]);
    let start = json!({ "event": "start", "sequenceNumber": "1", "streamSid": stream, "start": {
        "accountSid": ACCOUNT_SID, "streamSid": stream, "callSid": call_sid, "tracks": ["inbound"],
        "mediaFormat": { "encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1 },
        "customParameters": { "token": token } } });
    socket.send(Message::from(start.to_string())).await?;
    let (mut end, mut ticks, mut chunk) = (End::default(), ticks(), 0u64);
    let mut marks = Vec::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                // What came since the last tick is played by now.
                for mark in marks.drain(..) {
                    socket.feed(mark).await?;
                }
                if !shared.silent.is_cancelled() {
                    chunk += 1;
                    let (at, payload) = (chunk * 20, shared.frame(&mut end));
                    let media = format!(
                        r#"{{"event":"media","sequenceNumber":"{chunk}","streamSid":"{stream}","media":{{"track":"inbound","chunk":"{chunk}","timestamp":"{at}","payload":"{payload}"}}}}"#
                    );
                    socket.feed(Message::from(media)).await?;
                }
                socket.flush().await?;
            }
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    if !shared.take(&text, r#""payload":""#, &mut end) && text.contains(r#""mark""#) {
                        marks.push(Message::Text(text));
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => bail!("the gateway ended the stream"),
                Some(Ok(_)) => {}
            },
            () = shared.over.cancelled() => {
                let stop = json!({ "event": "stop", "streamSid": stream, "stop": { "callSid": call_sid } });
                socket.send(Message::from(stop.to_string())).await?;
                let _ = socket.close(None).await;
                return Ok(end);
            }
        }
    }
}

/// Asks what to do with a caller; gives the token of the stream.
async fn ask(twilio: &TwilioSim, call_sid: &str) -> anyhow::Result<String> {
    let fields = twilio.voice_fields(call_sid, "+819012345678", "+815012345678", "ringing");
    let path = TWILIO_VOICE.to_owned();
    let request = ExplicitRequest { method: Method::Post, path, fields, signing: Signing::Right };
    let answer = twilio.request(request).await?;
    let document = Document::read(answer.content_type.as_deref(), &answer.body)
        .map_err(|problems| anyhow!("the gateway's answer: {problems:?}"))?;
    let Some(Verb::Connect(stream)) = document.verbs.first() else { bail!("the gateway opens no stream") };
    let token = stream.parameters.iter().find(|(name, _)| name == "token");
    token.map(|(_, value)| value.clone()).context("the stream has no token")
}

fn upgrade_signature() -> anyhow::Result<String> {
    let form = Form::parse(b"").map_err(|_| anyhow!("an empty form is none"))?;
    let url = format!("{}{TWILIO_MEDIA}", PUBLIC_URL.replacen("http", "ws", 1));
    Ok(sign(&url, &form, &Secret::new(AUTH_TOKEN), Algorithm::HmacSha1))
}

// === the provider ===

/// Serves sessions until nobody wants their results any more.
pub(super) async fn serve(
    shared: Arc<Shared>,
    listener: TcpListener,
    done: tokio::sync::mpsc::UnboundedSender<anyhow::Result<End>>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (shared, done) = (Arc::clone(&shared), done.clone());
        tokio::spawn(async move {
            let _ = done.send(session(&shared, stream).await);
        });
    }
}

/// A session whose model talks all the time.
async fn session(shared: &Shared, stream: TcpStream) -> anyhow::Result<End> {
    stream.set_nodelay(true)?;
    let mut socket = accept_async_with_config(stream, Some(lean())).await?;
    confirm(&mut socket).await?;
    let (mut end, mut ticks) = (End::default(), ticks());
    let (mut turn, mut frames, mut wanted) = (0u32, 0u32, Value::Null);
    loop {
        tokio::select! {
            _ = ticks.tick(), if end.latest > 0 && !shared.silent.is_cancelled() => {
                if frames == 0 {
                    turn += 1;
                    let response = response(turn, "in_progress", &std::mem::take(&mut wanted));
                    let created = json!({ "type": "response.created", "event_id": "event", "response": response });
                    socket.feed(Message::from(created.to_string())).await?;
                }
                let payload = shared.frame(&mut end);
                let delta = format!(
                    r#"{{"type":"response.output_audio.delta","event_id":"event","response_id":"resp_{turn}","item_id":"item_{turn}","output_index":0,"content_index":0,"delta":"{payload}"}}"#
                );
                socket.feed(Message::from(delta)).await?;
                frames += 1;
                if frames == TURN_FRAMES {
                    frames = 0;
                    let done = json!({ "type": "response.done", "event_id": "event",
                        "response": response(turn, "completed", &Value::Null) });
                    socket.feed(Message::from(done.to_string())).await?;
                }
                socket.flush().await?;
            }
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    if !shared.take(&text, r#""audio":""#, &mut end) && text.contains("response.create") {
                        let event: Value = serde_json::from_str(&text)?;
                        wanted = event.pointer("/response/metadata").cloned().unwrap_or_default();
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(end),
                Some(Ok(_)) => {}
            },
        }
    }
}

async fn confirm(socket: &mut WebSocketStream<TcpStream>) -> anyhow::Result<()> {
    let session = |kind: &str| {
        let session =
            json!({ "type": kind, "event_id": "event", "session": { "type": "realtime", "id": "sess" } });
        Message::from(session.to_string())
    };
    socket.send(session("session.created")).await?;
    while let Some(message) =
        timeout(ANSWER_WITHIN, socket.next()).await.context("no session.update in time")?
    {
        if matches!(&message?, Message::Text(text) if text.contains("session.update")) {
            socket.send(session("session.updated")).await?;
            return Ok(());
        }
    }
    bail!("the gateway closed a session before it was configured")
}

fn response(turn: u32, status: &str, metadata: &Value) -> Value {
    json!({ "id": format!("resp_{turn}"), "object": "realtime.response", "status": status,
        "status_details": null, "conversation_id": "conv", "output": [], "usage": null, "metadata": metadata })
}
