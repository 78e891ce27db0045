//! Carrier and provider of bridged calls, as lean as can be: a thousand of each must leave the machine to the
//! gateway.
//!
//! Every frame carries the moment at which it was sent, so whoever receives it knows how long it took; both
//! ends live in this process and have one clock. Nothing is checked here that the simulators of the tests
//! check: what a frame sounds like, and every rule of the vendors.

use std::io::{self, Write as _};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{accept_async_with_config, client_async_with_config};
use tokio_util::sync::CancellationToken;

use super::provider::lean;
use super::socket::{Kind, Reader, Side, put};
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
/// Ends speak in so many groups, each at its own millisecond of a frame.
const GROUPS: u32 = 20;
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
    /// Where a message had its frame.
    at: usize,
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

    /// Appends a frame that is sent now, in base64.
    fn put_frame(&self, sent: &AtomicU64, out: &mut Vec<u8>) {
        let now = self.now();
        sent.fetch_add(u64::from(self.counts(now)), Ordering::Relaxed);
        let mut stamp = [SOUND; STAMP_BYTES];
        stamp[..8].copy_from_slice(&now.to_be_bytes());
        let mut text = [0; STAMP_CHARS];
        // Twelve bytes are sixteen characters, whatever they are.
        let _ = STANDARD.encode_slice(stamp, &mut text);
        out.extend_from_slice(&text);
        out.extend_from_slice(self.tail.as_bytes());
    }

    /// Takes a frame out of a message, where this key has one.
    fn take(&self, text: &[u8], key: &'static [u8], end: &mut End) -> bool {
        let is_at = |at: usize| text.get(at..at + key.len()) == Some(key);
        // All messages of a stream are alike, so it stands where it stood before.
        if !is_at(end.at) {
            let found = text.windows(key.len()).position(|window| window == key);
            let Some(found) = found else { return false };
            end.at = found;
        }
        let from = end.at + key.len();
        let stamp = text.get(from..from + STAMP_CHARS);
        let mut bytes = [0; STAMP_BYTES];
        let is_whole = stamp.is_some_and(|stamp| STANDARD.decode_slice(stamp, &mut bytes) == Ok(STAMP_BYTES));
        let Some(Ok(sent)) = is_whole.then(|| <[u8; 8]>::try_from(&bytes[..8]).map(u64::from_be_bytes))
        else {
            return false;
        };
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

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

// === who speaks ===

/// Has all ends of all calls speak: one task for each millisecond of a frame, not a timer for each call.
pub(super) struct Mouths {
    groups: Vec<mpsc::UnboundedSender<Mouth>>,
    next: AtomicUsize,
}

/// What the two halves of one end share.
#[derive(Default)]
struct Half {
    /// Frames that were sent and count.
    sent: AtomicU64,
    /// What is written beside frames, in order: marks that were played, answers to pings.
    aside: Mutex<Vec<u8>>,
    /// With which metadata the next turn of a model was asked for.
    wanted: Mutex<Option<String>>,
}

/// One end that speaks.
struct Mouth {
    half: Arc<Half>,
    write: OwnedWriteHalf,
    side: Side,
    voice: Voice,
    /// What could not be written yet, and is written first.
    out: Vec<u8>,
}

enum Voice {
    Caller { stream: String, chunk: u64 },
    Model { turn: u32, frames: u32, head: String },
}

impl Mouths {
    /// None speaks yet.
    pub fn new(shared: &Arc<Shared>) -> Mouths {
        let groups = (0..GROUPS).map(|group| {
            let (send, mouths) = mpsc::unbounded_channel();
            tokio::spawn(speak_in_turns(Arc::clone(shared), mouths, group));
            send
        });
        Mouths { groups: groups.collect(), next: AtomicUsize::new(0) }
    }

    fn add(&self, mouth: Mouth) {
        let group = self.next.fetch_add(1, Ordering::Relaxed) % self.groups.len();
        // They listen as long as somebody may come.
        let _ = self.groups[group].send(mouth);
    }
}

/// All ends of a group, fifty times a second, whatever holds us up. They are dropped, and their sockets closed, when
/// the callers hang up.
async fn speak_in_turns(shared: Arc<Shared>, mut more: mpsc::UnboundedReceiver<Mouth>, group: u32) {
    let mut mouths: Vec<Mouth> = Vec::new();
    let mut ticks = interval_at(Instant::now() + FRAME * group / GROUPS, FRAME);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        ticks.tick().await;
        while let Ok(mouth) = more.try_recv() {
            mouths.push(mouth);
        }
        let (is_silent, is_over) = (shared.silent.is_cancelled(), shared.over.is_cancelled());
        mouths.retain_mut(|mouth| mouth.speak(&shared, is_silent, is_over));
        if more.is_closed() && more.is_empty() && mouths.is_empty() {
            return;
        }
    }
}

impl Mouth {
    /// Writes what is due. Claims that there is more to come.
    fn speak(&mut self, shared: &Shared, is_silent: bool, is_over: bool) -> bool {
        self.out.append(&mut lock(&self.half.aside));
        let is_caller = matches!(self.voice, Voice::Caller { .. });
        if is_over && is_caller {
            self.put_stop();
        } else if !is_silent {
            self.put_frame(shared);
        }
        // Whoever listens at this end is gone, and with them the call.
        if Arc::strong_count(&self.half) == 1 && !(is_over && is_caller) {
            return false;
        }
        if self.out.is_empty() {
            return true;
        }
        match self.write.try_write(&self.out) {
            Ok(count) => drop(self.out.drain(..count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return false,
        }
        // A caller has hung up; a model listens until the gateway closes the session.
        !(is_over && is_caller)
    }

    fn put_frame(&mut self, shared: &Shared) {
        let (out, half) = (&mut self.out, &self.half);
        match &mut self.voice {
            Voice::Caller { stream, chunk } => {
                *chunk += 1;
                let at = *chunk * 20;
                put(out, self.side, Kind::Text, |out| {
                    let _ = write!(
                        out,
                        r#"{{"event":"media","sequenceNumber":"{chunk}","streamSid":"{stream}","media":{{"track":"inbound","chunk":"{chunk}","timestamp":"{at}","payload":""#
                    );
                    shared.put_frame(&half.sent, out);
                    out.extend_from_slice(br#""}}"#);
                });
            }
            Voice::Model { turn, frames, head } => {
                if *frames == 0 {
                    *turn += 1;
                    *head = delta_head(*turn);
                    let metadata = lock(&half.wanted).take();
                    let response = response(*turn, "in_progress", metadata.as_deref().unwrap_or("null"));
                    put_event(out, self.side, "response.created", &response);
                }
                put(out, self.side, Kind::Text, |out| {
                    out.extend_from_slice(head.as_bytes());
                    shared.put_frame(&half.sent, out);
                    out.extend_from_slice(br#""}"#);
                });
                *frames += 1;
                if *frames == TURN_FRAMES {
                    *frames = 0;
                    put_event(out, self.side, "response.done", &response(*turn, "completed", "null"));
                }
            }
        }
    }

    fn put_stop(&mut self) {
        let Voice::Caller { stream, .. } = &self.voice else { return };
        let stop = format!(r#"{{"event":"stop","streamSid":"{stream}","stop":{{}}}}"#);
        put(&mut self.out, self.side, Kind::Text, |out| out.extend_from_slice(stop.as_bytes()));
        put(&mut self.out, self.side, Kind::Close, |_| {});
    }
}

fn delta_head(turn: u32) -> String {
    format!(
        r#"{{"type":"response.output_audio.delta","event_id":"event","response_id":"resp_{turn}","item_id":"item_{turn}","output_index":0,"content_index":0,"delta":""#
    )
}

fn put_event(out: &mut Vec<u8>, side: Side, kind: &str, response: &str) {
    put(out, side, Kind::Text, |out| {
        let _ = write!(out, r#"{{"type":"{kind}","event_id":"event","response":{response}}}"#);
    });
}

fn response(turn: u32, status: &str, metadata: &str) -> String {
    format!(
        r#"{{"id":"resp_{turn}","object":"realtime.response","status":"{status}","status_details":null,"conversation_id":"conv","output":[],"usage":null,"metadata":{metadata}}}"#
    )
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

// === the carrier ===

/// One caller, from the question what to do to hanging up.
pub(super) async fn call(
    shared: Arc<Shared>,
    mouths: Arc<Mouths>,
    twilio: TwilioSim,
    gateway: String,
) -> anyhow::Result<End> {
    let call_sid = twilio.new_call_sid();
    let token = timeout(ANSWER_WITHIN, ask(&twilio, &call_sid)).await.context("no answer in time")??;
    let mut request = format!("ws://{gateway}{TWILIO_MEDIA}").into_client_request()?;
    request.headers_mut().insert("x-twilio-signature", upgrade_signature()?.parse()?);
    let connecting = async {
        let stream = TcpStream::connect(&gateway).await?;
        stream.set_nodelay(true)?;
        Ok::<_, anyhow::Error>(client_async_with_config(request, stream, Some(lean())).await?.0)
    };
    // The gateway speaks first when it was told of the stream, so nothing is left in what is taken apart here.
    let socket = timeout(ANSWER_WITHIN, connecting).await.context("no stream in time")??;
    let (read, mut write) = socket.into_inner().into_split();
    let stream = format!("MZ{}", &call_sid[2..]);
    let start = json!({ "event": "start", "sequenceNumber": "1", "streamSid": stream, "start": {
        "accountSid": ACCOUNT_SID, "streamSid": stream, "callSid": call_sid, "tracks": ["inbound"],
        "mediaFormat": { "encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1 },
        "customParameters": { "token": token } } });
    let mut out = Vec::new();
    put(&mut out, Side::Client, Kind::Text, |out| out.extend_from_slice(start.to_string().as_bytes()));
    write.write_all(&out).await?;
    let (half, voice) = (Arc::new(Half::default()), Voice::Caller { stream, chunk: 0 });
    out.clear();
    mouths.add(Mouth { half: Arc::clone(&half), write, side: Side::Client, voice, out });
    let mut end = End::default();
    let mut reader = Reader::new(read);
    while let Some((kind, text)) = reader.next().await? {
        match kind {
            Kind::Text if shared.take(text, br#""payload":""#, &mut end) => {}
            // What came until the next frame is played by then.
            Kind::Text if contains(text, br#""mark""#) => {
                put(&mut lock(&half.aside), Side::Client, Kind::Text, |out| out.extend_from_slice(text));
            }
            Kind::Ping => {
                put(&mut lock(&half.aside), Side::Client, Kind::Pong, |out| out.extend_from_slice(text));
            }
            Kind::Close => break,
            Kind::Text | Kind::Pong => {}
        }
    }
    if !shared.over.is_cancelled() {
        bail!("the gateway ended the stream");
    }
    end.sent = half.sent.load(Ordering::Relaxed);
    Ok(end)
}

fn contains(text: &[u8], what: &[u8]) -> bool {
    text.windows(what.len()).any(|window| window == what)
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
    mouths: Arc<Mouths>,
    listener: TcpListener,
    done: mpsc::UnboundedSender<anyhow::Result<End>>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (shared, mouths, done) = (Arc::clone(&shared), Arc::clone(&mouths), done.clone());
        tokio::spawn(async move {
            let _ = done.send(session(&shared, &mouths, stream).await);
        });
    }
}

/// A session whose model talks all the time, once it has heard something.
async fn session(shared: &Shared, mouths: &Mouths, stream: TcpStream) -> anyhow::Result<End> {
    stream.set_nodelay(true)?;
    // A client waits for the handshake before it says anything, so nothing is left in what is taken apart here.
    let (read, mut write) = accept_async_with_config(stream, Some(lean())).await?.into_inner().into_split();
    let mut reader = Reader::new(read);
    timeout(ANSWER_WITHIN, confirm(&mut reader, &mut write)).await.context("no session.update in time")??;
    let (half, mut end, mut write) = (Arc::new(Half::default()), End::default(), Some(write));
    while let Some((kind, text)) = reader.next().await? {
        match kind {
            Kind::Text if shared.take(text, br#""audio":""#, &mut end) => {
                if let Some(write) = write.take() {
                    let voice = Voice::Model { turn: 0, frames: 0, head: String::new() };
                    let half = Arc::clone(&half);
                    mouths.add(Mouth { half, write, side: Side::Server, voice, out: Vec::new() });
                }
            }
            Kind::Text if contains(text, b"response.create") => {
                let event: Value = serde_json::from_slice(text)?;
                let metadata = event.pointer("/response/metadata").map(Value::to_string);
                *lock(&half.wanted) = metadata;
            }
            Kind::Ping => {
                put(&mut lock(&half.aside), Side::Server, Kind::Pong, |out| out.extend_from_slice(text));
            }
            Kind::Close => break,
            Kind::Text | Kind::Pong => {}
        }
    }
    end.sent = half.sent.load(Ordering::Relaxed);
    Ok(end)
}

async fn confirm(reader: &mut Reader, write: &mut OwnedWriteHalf) -> anyhow::Result<()> {
    let session = |kind: &str| {
        let mut out = Vec::new();
        put(&mut out, Side::Server, Kind::Text, |out| {
            let _ = write!(
                out,
                r#"{{"type":"{kind}","event_id":"event","session":{{"type":"realtime","id":"sess"}}}}"#
            );
        });
        out
    };
    write.write_all(&session("session.created")).await?;
    while let Some((_, text)) = reader.next().await? {
        if contains(text, b"session.update") {
            write.write_all(&session("session.updated")).await?;
            return Ok(());
        }
    }
    bail!("the gateway closed a session before it was configured")
}
