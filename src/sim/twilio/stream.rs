//! `<Connect><Stream>`: a WebSocket to the gateway that carries the call's audio, as Twilio's does
//! ("Media Streams: WebSocket messages").
//!
//! Every 20 ms a frame of the caller's microphone goes out, and 20 ms of what was received are played. A
//! mark comes back when playback reaches it; `clear` empties the buffer and sends all marks back at once.
//! What the caller hears is compared sample by sample with what the model said, and kept. Messages that
//! Twilio would complain about are problems of the call. Audio is never faster than life, whatever the
//! speed of the world: at a higher speed people say the same in less time.

use std::collections::VecDeque;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::call::{CallRun, Flow, short};
use super::faults::Signing;
use super::report::{Heard, StreamReport};
use super::sign::signature;
use super::web::sid;
use crate::sim::line::{BridgedCaller, Mouth};
use crate::sim::log::Party;
use crate::sim::sound::{self, BLOCK, BLOCK_MS, Tag};
use crate::sim::twiml::Stream;
use crate::wire::g711::SILENCE;

/// How long a handshake may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// What Twilio keeps at most: ten minutes. More is discarded, with warning 31931.
const BUFFER_BYTES_MAX: usize = 600 * 8_000;
/// How much of what was said and heard is kept for whoever asks.
const KEPT_BYTES_MAX: usize = 4 << 20;
/// How many things one caller may be about to do.
const MOUTH_PLACES: usize = 16;
/// How many blocks may be on their way from ear to mind.
const EAR_PLACES: usize = 4_096;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What stands in the buffer of the phone.
enum Entry {
    Audio(Vec<u8>),
    Mark(String),
}

/// A stream under way.
struct Running {
    socket: Socket,
    sid: String,
    line: u32,
    mouth: mpsc::Receiver<Mouth>,
    ears: mpsc::Sender<Tag>,
    sequence: u64,
    chunk: u64,
    /// How many frames of time have passed.
    frames: u64,
    muted: Option<[u64; 2]>,
    buffer: VecDeque<Entry>,
    buffered: usize,
    speaking: VecDeque<Tag>,
    /// What is still to be said of a voice that is as it is.
    voice: Option<VecDeque<u8>>,
    /// What was heard and makes no whole block yet.
    heard: Vec<u8>,
    last_heard: Option<Tag>,
    report: StreamReport,
    problems: Vec<String>,
}

/// How a stream ended.
enum End {
    /// The gateway closed it: the next verb runs.
    Closed,
    /// The caller put the phone down.
    CallerLeft,
}

impl CallRun {
    /// Opens the stream and carries audio until one side ends it.
    pub(super) async fn stream(&mut self, stream: &Stream) -> Flow {
        self.answer();
        let line = u32::from_be_bytes(self.entropy.bytes());
        let (mouth_in, mouth) = mpsc::channel(MOUTH_PLACES);
        let (ears, ears_out) = mpsc::channel(EAR_PLACES);
        // Whoever was connected before goes on where that broke.
        let was_connected = self.report.dials.iter().any(|dial| dial.is_bridged);
        let script = match was_connected {
            true => self.caller.script.after_drop(),
            false => self.caller.script.without_drop(),
        };
        let from = self.caller.from.clone();
        self.shared.options.peer.expect(BridgedCaller {
            line,
            from,
            script,
            mouth: mouth_in,
            ears: ears_out,
        });
        let socket = match self.open(&stream.url).await {
            Ok(socket) => socket,
            Err(problem) => {
                self.problem(format!("31920: {problem}"));
                return Flow::Continue;
            }
        };
        self.report.heard.push(Heard::Connected("the media stream".to_owned()));
        let sid = sid("MZ", &self.entropy);
        let report = StreamReport { stream_sid: sid.clone(), line, ..StreamReport::default() };
        let mut running = Running {
            socket,
            sid,
            line,
            mouth,
            ears,
            sequence: 0,
            chunk: 0,
            frames: 0,
            muted: self.caller.faults.stream_muted_ms,
            buffer: VecDeque::new(),
            buffered: 0,
            speaking: VecDeque::new(),
            voice: self.voice.take().map(VecDeque::from),
            heard: Vec::new(),
            last_heard: None,
            report,
            problems: Vec::new(),
        };
        let end = running.carry(self, stream).await;
        self.report.problems.append(&mut running.problems);
        self.report.streams.push(running.report);
        match end {
            End::Closed => {
                self.shared.options.log.say(Party::Gateway, Party::Twilio, || "closes the stream".into());
                Flow::Continue
            }
            End::CallerLeft => Flow::End,
        }
    }

    async fn open(&self, url: &str) -> Result<Socket, String> {
        let options = &self.shared.options;
        let address = self.shared.web.socket_address(url)?;
        let mut request = address.into_client_request().map_err(|error| error.to_string())?;
        let token = match self.caller.faults.stream_signing {
            Signing::Right => Some(options.auth_token.expose()),
            Signing::WrongToken => Some("0000000000000000000000000000dead"),
            Signing::Missing => None,
        };
        if let Some(token) = token {
            let value = signature(token, url, &[]).parse().map_err(|_| "no signature".to_owned())?;
            request.headers_mut().insert("x-twilio-signature", value);
        }
        options.log.say(Party::Twilio, Party::Gateway, || {
            format!("GET {}  {}  (media stream)", super::web::path(url), short(&self.sid))
        });
        let opened = timeout(CONNECT_WITHIN, connect_async(request)).await;
        let (answer, socket) = match opened {
            Ok(Ok((socket, _))) => ("101".to_owned(), Ok(socket)),
            Ok(Err(error)) => (error.to_string(), Err(format!("the stream was not opened: {error}"))),
            Err(_) => ("nothing".to_owned(), Err("the stream was not opened in time".to_owned())),
        };
        options.log.answer(Party::Gateway, Party::Twilio, || answer);
        socket
    }
}

impl Running {
    async fn carry(&mut self, call: &mut CallRun, stream: &Stream) -> End {
        self.say(json!({ "event": "connected", "protocol": "Call", "version": "1.0.0" })).await;
        let parameters: serde_json::Map<String, Value> =
            stream.parameters.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
        let start = json!({ "accountSid": call.shared.options.account_sid, "streamSid": self.sid,
            "callSid": call.sid, "tracks": ["inbound"],
            "mediaFormat": { "encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1 },
            "customParameters": parameters });
        self.tell("start", start).await;
        let mut tick = interval(Duration::from_millis(BLOCK_MS));
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        loop {
            tokio::select! {
                _ = tick.tick() => {
                    self.microphone().await;
                    self.play().await;
                }
                message = self.socket.next() => match message {
                    Some(Ok(Message::Text(text))) => self.on_message(&text).await,
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return End::Closed,
                    Some(Ok(Message::Binary(_))) => self.problem("31950: a binary message"),
                    Some(Ok(_)) => {}
                },
                Some(mouth) = self.mouth.recv() => match mouth {
                    Mouth::Speak { voice, blocks } => {
                        self.speaking.extend((0..blocks).map(|block| Tag { voice, block, blocks }));
                    }
                    Mouth::Press(digit) => {
                        let key = json!({ "track": "inbound_track", "digit": digit.to_string() });
                        self.tell("dtmf", key).await;
                    }
                    Mouth::HangUp => {
                        call.caller_leaves();
                        return self.hang_up(call).await;
                    }
                },
                () = tokio::time::sleep_until(call.leaves_at()) => {
                    call.time_is_up();
                    return self.hang_up(call).await;
                }
            }
        }
    }

    /// `stop`, then the close; what the gateway does with either is its own affair.
    async fn hang_up(&mut self, call: &CallRun) -> End {
        let stop = json!({ "accountSid": call.shared.options.account_sid, "callSid": call.sid });
        if !call.caller.faults.stream_without_stop {
            self.tell("stop", stop).await;
        }
        let _ = self.socket.close(None).await;
        End::CallerLeft
    }

    async fn microphone(&mut self) {
        self.frames += 1;
        let at_ms = self.frames * BLOCK_MS;
        // What was to be said then is said afterwards.
        if self.muted.is_some_and(|[from, until]| (from..until).contains(&at_ms)) {
            return keep(&mut self.report.said, &[crate::wire::g711::SILENCE; BLOCK]);
        }
        let block = match (&mut self.voice, self.speaking.pop_front()) {
            (Some(voice), _) => std::array::from_fn(|_| voice.pop_front().unwrap_or(SILENCE)),
            (None, Some(tag)) => sound::speech(tag),
            (None, None) => sound::silence(self.line),
        };
        self.chunk += 1;
        let (chunk, at_ms) = (self.chunk.to_string(), at_ms.to_string());
        let payload = STANDARD.encode(block);
        keep(&mut self.report.said, &block);
        let media = json!({ "track": "inbound", "chunk": chunk, "timestamp": at_ms, "payload": payload });
        self.tell("media", media).await;
    }

    async fn on_message(&mut self, text: &str) {
        let Ok(message) = serde_json::from_str::<Value>(text) else {
            return self.problem("31951: a message is not JSON");
        };
        if message["streamSid"] != self.sid.as_str() {
            return self.problem("31951: a message with another streamSid");
        }
        match message["event"].as_str() {
            Some("media") => match message.pointer("/media/payload").and_then(Value::as_str) {
                Some(payload) => self.on_media(payload),
                None => self.problem("31951: media without a payload"),
            },
            Some("mark") => match message.pointer("/mark/name").and_then(Value::as_str) {
                Some(name) => self.buffer.push_back(Entry::Mark(name.to_owned())),
                None => self.problem("31951: a mark without a name"),
            },
            Some("clear") => {
                self.report.clears += 1;
                self.buffered = 0;
                self.heard.clear();
                self.last_heard = None;
                for entry in std::mem::take(&mut self.buffer) {
                    if let Entry::Mark(name) = entry {
                        self.echo(name).await;
                    }
                }
            }
            _ => self.problem("31951: a message of an unknown kind"),
        }
    }

    fn on_media(&mut self, payload: &str) {
        let Ok(audio) = STANDARD.decode(payload) else {
            return self.problem("31951: a payload is not base64");
        };
        if self.buffered + audio.len() > BUFFER_BYTES_MAX {
            return self.problem("31931: more than ten minutes of audio are buffered");
        }
        self.buffered += audio.len();
        self.report.most_buffered = self.report.most_buffered.max(self.buffered);
        self.buffer.push_back(Entry::Audio(audio));
    }

    /// Plays 20 ms of what is there.
    async fn play(&mut self) {
        let mut wanted = BLOCK;
        while let Some(entry) = self.buffer.pop_front() {
            match entry {
                Entry::Mark(name) => self.echo(name).await,
                entry if wanted == 0 => {
                    self.buffer.push_front(entry);
                    break;
                }
                Entry::Audio(mut audio) => {
                    let rest = audio.split_off(audio.len().min(wanted));
                    wanted -= audio.len();
                    self.buffered -= audio.len();
                    self.hear(&audio);
                    if !rest.is_empty() {
                        self.buffer.push_front(Entry::Audio(rest));
                    }
                }
            }
        }
        keep(&mut self.report.heard, &[crate::wire::g711::SILENCE; BLOCK][..wanted]);
    }

    fn hear(&mut self, audio: &[u8]) {
        keep(&mut self.report.heard, audio);
        self.report.heard_bytes += audio.len();
        self.report.first_heard.get_or_insert_with(Instant::now);
        self.heard.extend_from_slice(audio);
        while self.heard.len() >= BLOCK {
            let block: Vec<u8> = self.heard.drain(..BLOCK).collect();
            match sound::read_speech(&block) {
                Some(tag) => self.recognise(tag),
                None => self.report.garbled += 1,
            }
        }
    }

    /// Blocks of one speech follow each other, and a speech begins at its beginning.
    fn recognise(&mut self, tag: Tag) {
        let follows = match self.last_heard {
            Some(last) if last.voice == tag.voice => tag.block == last.block + 1,
            _ => tag.block == 0,
        };
        if !follows {
            self.report.garbled += 1;
        }
        self.last_heard = Some(tag);
        // A mind that is behind by minutes of speech does not listen.
        let _ = self.ears.try_send(tag);
    }

    async fn echo(&mut self, name: String) {
        self.report.marks += 1;
        self.tell("mark", json!({ "name": name })).await;
    }

    async fn tell(&mut self, event: &str, body: Value) {
        self.sequence += 1;
        let mut message =
            json!({ "event": event, "sequenceNumber": self.sequence.to_string(), "streamSid": self.sid });
        message[event] = body;
        self.say(message).await;
    }

    async fn say(&mut self, message: Value) {
        // A socket that fails is noticed where it is read.
        let _ = self.socket.send(Message::from(message.to_string())).await;
    }

    fn problem(&mut self, what: &str) {
        // Twilio warns once per stream.
        if !self.problems.iter().any(|known| known == what) {
            self.problems.push(what.to_owned());
        }
    }
}

fn keep(kept: &mut Vec<u8>, audio: &[u8]) {
    if kept.len() + audio.len() <= KEPT_BYTES_MAX {
        kept.extend_from_slice(audio);
    }
}
