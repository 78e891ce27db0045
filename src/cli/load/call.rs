//! One lean call at full speed: rung, accepted, listened to on its sideband, and judged.
//!
//! The model takes no time to think and the caller none to speak, so whatever time passes is the gateway's (and the
//! machine's). Every message is sent over a real socket, every webhook really signed.

use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use futures_util::{SinkExt as _, StreamExt as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::Sha256;
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_util::sync::CancellationToken;

use super::carrier::{CALLEE, CALLER, Carrier, Leg};
use super::figures::{Book, Metric, Seen, Wrong, wrong};
use super::frames::{Asks, Frames};
use super::provider::{Came, Known, Provider, Socket};
use crate::clock::{Clock as _, SystemClock};

/// A session's longest life at the vendor, in seconds.
const SESSION_S: u64 = 3_600;

/// Who ends a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum HangUp {
    /// The model calls the tool `hangup`, and the gateway hangs up at the provider.
    #[default]
    Model,
    /// The caller puts the phone down: the socket is gone.
    Caller,
}

/// What happens in each call.
#[derive(Clone, Debug)]
pub(super) struct Script {
    /// How often the caller asks something for which the model calls a tool.
    pub turns: u32,
    /// The tool.
    pub tool: String,
    /// Its arguments.
    pub arguments: String,
    /// Who ends it.
    pub hang_up: HangUp,
    /// How long each answer may take.
    pub within: Duration,
}

/// Plays lean calls.
pub(super) struct Lean {
    /// Where the gateway does something to them.
    pub provider: Arc<Provider>,
    /// Who asks what to do with a caller; none: webhooks come by themselves.
    pub carrier: Option<Carrier>,
    /// Where webhooks go.
    pub webhook_url: String,
    /// Sends them.
    pub http: reqwest::Client,
    /// Signs them.
    pub key: Hmac<Sha256>,
    /// What happens.
    pub script: Script,
    /// Where it is noted.
    pub book: Arc<Book>,
    /// In every id, so that another run has others.
    pub run: String,
    /// Calls are held until this is cancelled; none: they are played.
    pub hold: Option<Hold>,
}

/// How calls are held.
#[derive(Clone)]
pub(super) struct Hold {
    /// How many are up.
    pub up: Arc<std::sync::atomic::AtomicU32>,
    /// They may end; one after the other, as they began.
    pub over: CancellationToken,
    /// Between the ends of two.
    pub gap: Duration,
}

/// The key of a webhook secret (Standard Webhooks, "Signature scheme").
pub(super) fn key(secret: &str) -> Hmac<Sha256> {
    use base64::Engine as _;
    let encoded = secret.strip_prefix("whsec_").unwrap_or(secret);
    let key = base64::engine::general_purpose::STANDARD.decode(encoded).unwrap_or_default();
    Hmac::new_from_slice(&key).expect("HMAC takes keys of any length")
}

/// What the gateway says on a sideband, as far as it matters here.
#[derive(Deserialize)]
struct Command<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    response: Option<Asked<'a>>,
    #[serde(borrow)]
    item: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Asked<'a> {
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    call_id: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow)]
    output: Option<std::borrow::Cow<'a, str>>,
}

/// Something that a call waits for.
enum Heard {
    /// A turn was asked for, with this metadata.
    Create(String),
    /// A tool's output came.
    Output { call_id: String, is_empty: bool },
    /// The gateway hung up.
    HangUp,
    /// The sideband is gone.
    Gone,
}

impl Lean {
    /// Plays the call of this number, which was due then, and notes what came of it.
    pub async fn play(&self, number: u64, due: Instant) {
        let mut seen = Seen::default();
        let ended = self.call(number, due, &mut seen).await;
        self.book.ends(&seen, ended);
    }

    async fn call(&self, number: u64, due: Instant, seen: &mut Seen) -> Result<(), Wrong> {
        let began = Instant::now();
        let leg = match &self.carrier {
            Some(carrier) => {
                let leg = carrier.ring().await?;
                seen.add(Metric::Voice, began.elapsed());
                Some(leg)
            }
            None => None,
        };
        let id = format!("rtc_{}_{number}", self.run);
        let mut known = self.provider.know(&id);
        let accepted = self.offer(&id, leg.as_ref(), &mut known, due, seen).await?;
        let answered = async {
            match (&self.carrier, &leg) {
                (Some(carrier), Some(leg)) => carrier.was_answered(leg).await,
                _ => Ok(()),
            }
        };
        let talked = async {
            let socket = self.sideband(&mut known, accepted, seen).await?;
            let frames = Frames::new(number);
            let mut talk = Talk { socket, known, frames, within: self.script.within };
            match &self.hold {
                Some(hold) => talk.hold(hold, number, seen).await,
                None => talk.play(&self.script, seen).await,
            }
        };
        let (answered, talked) = tokio::join!(answered, talked);
        talked?;
        // How long a held call takes is as long as it was held.
        if self.hold.is_none() {
            seen.add(Metric::Call, began.elapsed());
            seen.add(Metric::CallScheduled, due.elapsed());
        }
        answered?;
        match (&self.carrier, &leg) {
            (Some(carrier), Some(leg)) => carrier.is_over(leg).await,
            _ => Ok(()),
        }
    }

    /// Sends the webhook, and waits until the call is accepted.
    async fn offer(
        &self,
        id: &str,
        leg: Option<&Leg>,
        known: &mut Known<'_>,
        due: Instant,
        seen: &mut Seen,
    ) -> Result<Instant, Wrong> {
        let request = self.webhook(id, leg);
        let sent = Instant::now();
        let deadline = sent + self.script.within;
        let posted = async {
            let answer = request.send().await;
            let answer = answer.map_err(|error| wrong("webhook_unreachable", chain(&error)))?;
            match answer.status() {
                status if status.is_success() => Ok(sent.elapsed()),
                status => Err(wrong(format!("webhook_status_{}", status.as_u16()), format!("for {id}"))),
            }
        };
        let accepted = async {
            match timeout_at(deadline, known.inbox.recv()).await {
                Ok(Some(Came::Accept(at))) => Ok(at),
                Ok(Some(Came::Refused(how))) => Err(wrong(how, format!("{id} is not accepted"))),
                Ok(_) => {
                    Err(wrong("protocol_error", format!("{id}: something else than an accept came first")))
                }
                Err(_) => Err(wrong("accept_timeout", format!("{id} is not accepted in time"))),
            }
        };
        // A refused webhook is followed by no accept; but a receiver may answer long after its accept.
        let (mut posted, mut accepted) = (std::pin::pin!(posted), std::pin::pin!(accepted));
        let (at, answered) = tokio::select! {
            answer = &mut posted => {
                let answered = answer?;
                (accepted.await?, answered)
            }
            at = &mut accepted => {
                let at = at?;
                let answered = timeout_at(deadline, posted).await;
                (at, answered.map_err(|_| wrong("webhook_timeout", format!("for {id}")))??)
            }
        };
        seen.add(Metric::Accept, at.saturating_duration_since(sent));
        seen.add(Metric::Webhook, answered);
        seen.add(Metric::AcceptScheduled, at.saturating_duration_since(due));
        Ok(at)
    }

    fn webhook(&self, id: &str, leg: Option<&Leg>) -> reqwest::RequestBuilder {
        let now = SystemClock.now().as_secs();
        let mut more = String::new();
        for (name, value) in leg.map(|leg| leg.headers.as_slice()).unwrap_or_default() {
            let (name, value) =
                (serde_json::Value::from(name.as_str()), serde_json::Value::from(value.as_str()));
            more.push_str(&format!(r#",{{"name":{name},"value":{value}}}"#));
        }
        let body = format!(
            r#"{{"object":"event","id":"evt_{id}","type":"realtime.call.incoming","created_at":{now},"data":{{"call_id":"{id}","sip_media_security":"srtp","sip_headers":[{{"name":"From","value":"<sip:{CALLER}@load.pstn.twilio.com>;tag=1"}},{{"name":"To","value":"<sip:{CALLEE}@sip.api.openai.com>"}},{{"name":"Call-ID","value":"{id}@0.0.0.0"}}{more}]}}}}"#
        );
        let mut mac = self.key.clone();
        mac.update(format!("wh_{id}.{now}.{body}").as_bytes());
        let signature =
            base64::Engine::encode(&base64::engine::general_purpose::STANDARD, mac.finalize().into_bytes());
        self.http
            .post(&self.webhook_url)
            .header("user-agent", "OpenAI/1.0 (+https://platform.openai.com/docs/webhooks)")
            .header("content-type", "application/json")
            .header("webhook-id", format!("wh_{id}"))
            .header("webhook-timestamp", now)
            .header("webhook-signature", format!("v1,{signature}"))
            .timeout(self.script.within)
            .body(body)
    }

    async fn sideband(
        &self,
        known: &mut Known<'_>,
        accepted: Instant,
        seen: &mut Seen,
    ) -> Result<Box<Socket>, Wrong> {
        match timeout_at(accepted + self.script.within, known.inbox.recv()).await {
            Ok(Some(Came::Sideband(socket, at))) => {
                seen.add(Metric::Sideband, at.saturating_duration_since(accepted));
                Ok(socket)
            }
            Ok(Some(Came::AcceptAgain)) => Err(wrong("accepted_twice", "a second accept came")),
            Ok(Some(Came::HangUp)) => Err(wrong("hung_up", "before a sideband was opened")),
            Ok(_) => Err(wrong("protocol_error", "something else than a sideband came")),
            Err(_) => Err(wrong("sideband_timeout", "no sideband in time")),
        }
    }
}

/// A call that is up.
struct Talk<'a> {
    socket: Box<Socket>,
    known: Known<'a>,
    frames: Frames,
    within: Duration,
}

impl Talk<'_> {
    /// The whole conversation.
    async fn play(&mut self, script: &Script, seen: &mut Seen) -> Result<(), Wrong> {
        self.greet(seen).await?;
        for _ in 0..script.turns {
            let stopped = self.caller_asks().await?;
            let asked = self.ask("null", false, &script.tool, &script.arguments).await?;
            self.output(&asked, seen).await?;
            let metadata = self.create("no_reply", "the model was not asked to go on after a tool").await?;
            seen.add(Metric::Reply, stopped.elapsed());
            self.say(&metadata).await?;
        }
        match script.hang_up {
            HangUp::Caller => Ok(()),
            HangUp::Model => self.leave(seen).await,
        }
    }

    /// The greeting, and then nothing until it may end.
    async fn hold(&mut self, hold: &Hold, number: u64, seen: &mut Seen) -> Result<(), Wrong> {
        self.greet(seen).await?;
        hold.up.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let end = async {
            hold.over.cancelled().await;
            tokio::time::sleep(hold.gap.mul_f64(number as f64)).await;
        };
        let mut end = std::pin::pin!(end);
        let forever = Instant::now() + Duration::from_secs(24 * 3_600);
        loop {
            let heard = tokio::select! {
                () = &mut end => return Ok(()),
                heard = self.next(forever, "held_for_a_day", "") => heard?,
            };
            match heard {
                Heard::Create(metadata) => self.say(&metadata).await?,
                Heard::Output { call_id, .. } => return Err(wrong("unexpected_output", call_id)),
                Heard::HangUp => return Err(wrong("hung_up", "a held call was hung up")),
                Heard::Gone => return Err(wrong("sideband_lost", "of a held call")),
            }
        }
    }

    async fn greet(&mut self, seen: &mut Seen) -> Result<(), Wrong> {
        let opened = self.frames.opened(expires_at());
        self.send(opened).await?;
        let at = Instant::now();
        let metadata = self.create("no_greeting", "no first turn was asked for").await?;
        seen.add(Metric::FirstWord, at.elapsed());
        self.say(&metadata).await
    }

    /// The model says goodbye and calls `hangup`; the gateway then hangs up.
    async fn leave(&mut self, seen: &mut Seen) -> Result<(), Wrong> {
        self.caller_asks().await?;
        let asked = self.ask("null", true, "hangup", "{}").await?;
        self.output(&asked, seen).await?;
        let deadline = Instant::now() + self.within;
        loop {
            match self.next(deadline, "no_hangup", "the gateway did not hang up").await? {
                Heard::HangUp => return Ok(()),
                Heard::Create(metadata) => self.say(&metadata).await?,
                Heard::Output { call_id, .. } => return Err(wrong("unexpected_output", call_id)),
                Heard::Gone => return Err(wrong("sideband_lost", "before the gateway hung up")),
            }
        }
    }

    /// The caller says something; gives when they stopped.
    async fn caller_asks(&mut self) -> Result<Instant, Wrong> {
        let frames = self.frames.caller_spoke();
        self.send(frames).await?;
        Ok(Instant::now())
    }

    /// The model calls a tool; gives under which id, and when.
    async fn ask(
        &mut self,
        metadata: &str,
        speaks: bool,
        name: &str,
        arguments: &str,
    ) -> Result<(String, Instant), Wrong> {
        let call_id = self.frames.call_id();
        let asks = Asks { name, arguments, call_id: &call_id };
        let frames = self.frames.turn(metadata, speaks, Some(asks));
        self.send(frames).await?;
        Ok((call_id, Instant::now()))
    }

    async fn say(&mut self, metadata: &str) -> Result<(), Wrong> {
        let frames = self.frames.turn(metadata, true, None);
        self.send(frames).await
    }

    /// Waits for the output of that tool call.
    async fn output(&mut self, asked: &(String, Instant), seen: &mut Seen) -> Result<(), Wrong> {
        let (wanted, at) = asked;
        let deadline = *at + self.within;
        match self.next(deadline, "no_tool_output", "a tool call was not answered").await? {
            Heard::Output { call_id, .. } if call_id != *wanted => Err(wrong("unexpected_output", call_id)),
            Heard::Output { is_empty: true, .. } => Err(wrong("empty_output", wanted.clone())),
            Heard::Output { .. } => {
                seen.add(Metric::Tool, at.elapsed());
                Ok(())
            }
            Heard::Create(_) => Err(wrong("no_tool_output", "the model was asked to go on without it")),
            Heard::HangUp => Err(wrong("hung_up", "instead of a tool's output")),
            Heard::Gone => Err(wrong("sideband_lost", "instead of a tool's output")),
        }
    }

    /// Waits until a turn is asked for; gives its metadata.
    async fn create(&mut self, kind: &'static str, detail: &'static str) -> Result<String, Wrong> {
        match self.next(Instant::now() + self.within, kind, detail).await? {
            Heard::Create(metadata) => Ok(metadata),
            Heard::Output { call_id, .. } => Err(wrong("unexpected_output", call_id)),
            Heard::HangUp => Err(wrong("hung_up", detail)),
            Heard::Gone => Err(wrong("sideband_lost", detail)),
        }
    }

    /// What comes next; after the deadline it is wrong in this way.
    async fn next(&mut self, deadline: Instant, kind: &str, detail: &str) -> Result<Heard, Wrong> {
        loop {
            let message = tokio::select! {
                message = timeout_at(deadline, self.socket.next()) => message,
                came = self.known.inbox.recv() => match came {
                    Some(Came::HangUp) => return Ok(Heard::HangUp),
                    Some(Came::Refused(how)) => return Err(wrong(how, "while the call was up")),
                    Some(Came::AcceptAgain) => return Err(wrong("accepted_twice", "while the call was up")),
                    Some(Came::Sideband(..)) => return Err(wrong("sideband_again", "while one was open")),
                    Some(Came::Accept(_)) | None => continue,
                },
            };
            let text = match message {
                Err(_) => return Err(wrong(kind, detail)),
                Ok(Some(Ok(Message::Text(text)))) => text,
                Ok(Some(Ok(Message::Close(_)) | Err(_)) | None) => return Ok(Heard::Gone),
                Ok(Some(Ok(_))) => continue,
            };
            if let Some(heard) = self.understand(&text).await? {
                return Ok(heard);
            }
        }
    }

    async fn understand(&mut self, text: &str) -> Result<Option<Heard>, Wrong> {
        let command: Command<'_> =
            serde_json::from_str(text).map_err(|error| wrong("protocol_error", error.to_string()))?;
        match &*command.kind {
            "response.create" => {
                let metadata = command.response.and_then(|response| response.metadata).map(RawValue::get);
                Ok(Some(Heard::Create(metadata.unwrap_or("null").to_owned())))
            }
            "conversation.item.create" => {
                let raw = command.item.map(RawValue::get).unwrap_or("{}");
                let item: Item<'_> =
                    serde_json::from_str(raw).map_err(|error| wrong("protocol_error", error.to_string()))?;
                let added = self.frames.item_added(raw);
                self.send(added).await?;
                let is_output = item.kind == "function_call_output";
                Ok(is_output.then(|| Heard::Output {
                    call_id: item.call_id.unwrap_or_default().into_owned(),
                    is_empty: item.output.is_none_or(|output| output.is_empty()),
                }))
            }
            "session.update" => {
                let updated = self.frames.updated(expires_at());
                self.send([updated]).await?;
                Ok(None)
            }
            // What is played takes no time here, so there is nothing that could be stopped.
            "response.cancel" | "output_audio_buffer.clear" => Ok(None),
            other => Err(wrong("protocol_error", format!("`{other}` is no event that was expected"))),
        }
    }

    /// Sends frames together.
    async fn send(&mut self, frames: impl IntoIterator<Item = String>) -> Result<(), Wrong> {
        let lost = |error: tokio_tungstenite::tungstenite::Error| wrong("sideband_lost", error.to_string());
        for frame in frames {
            self.socket.feed(Message::Text(Utf8Bytes::from(frame))).await.map_err(lost)?;
        }
        self.socket.flush().await.map_err(lost)
    }
}

fn expires_at() -> u64 {
    SystemClock.now().as_secs() + SESSION_S
}

/// An error with what it is because of.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}
