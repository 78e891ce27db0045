//! A session on a socket of its own: the client brings the caller's audio and plays the model's
//! (OpenAI, "Realtime API with WebSocket").
//!
//! The session hears with its own ears: who is on the line it learns from the caller's silence, when the
//! caller speaks it learns from the sound, and every sample must be right. There is no
//! `output_audio_buffer.*`: what was played only the client knows, and tells with
//! `conversation.item.truncate`, which is held against what the caller's ears heard.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::call::{Due, Phase, SimCall, ToCall, sleep_until};
use super::listening::Listening;
use super::model::Response;
use super::play::DETECT_MS;
use super::report::{CallReport, Truncated};
use super::session::Session;
use super::{Provider, lock};
use crate::clock::Timestamp;
use crate::sim::line::{BridgedCaller, Mouth};
use crate::sim::log::Party;
use crate::sim::script::{CallerSpeech, Step};
use crate::sim::sip::Invite;
use crate::sim::sound::{self, BLOCK, Tag};
use crate::wire::g711;

/// What begins the numbers of the model's speeches, so that nobody takes them for the caller's.
const MODEL: u32 = 0x8000_0000;
/// Bytes of one delta: no multiple of a block, nor of three.
const DELTA_BYTES: usize = 700;
/// How many deltas come at once, and how long until the next: many times faster than speech.
const DELTAS_AT_ONCE: usize = 16;
const DELTAS_EVERY_MS: u64 = 25;
/// How many deltas of a cancelled response still come.
const LATE_DELTAS: usize = 2;
/// How many milliseconds a session waits for a caller whom it knows before it speaks to a stranger.
const STRANGER_AFTER_MS: u64 = 1_000;

/// A caller who may be heard on any new session.
pub(super) struct Line {
    caller: BridgedCaller,
    steps: VecDeque<Step>,
    report: Arc<Mutex<CallReport>>,
    outputs: Vec<Value>,
    asked: HashMap<String, (Timestamp, usize)>,
    voices: u32,
}

/// What a session on a socket of its own has to know.
#[derive(Default)]
pub(super) struct Bridged {
    line: Option<Line>,
    is_stranger: bool,
    /// Asked for before it is known who is on the line.
    held: Vec<Value>,
    audio: Vec<u8>,
    position: u64,
    said: HashMap<u32, CallerSpeech>,
    /// The speech that is being heard: its item and its last block.
    hearing: Option<(String, Tag)>,
    items: HashMap<String, Said>,
    /// Where speech is heard as it is.
    pub(super) listening: Listening,
}

/// What the model said in one item.
struct Said {
    words: String,
    voice: u32,
    sent_bytes: u64,
    heard_blocks: u32,
    waits_for_truncation: bool,
}

impl Line {
    pub fn new(caller: BridgedCaller) -> Line {
        let steps = caller.script.steps.clone().into();
        let report = Arc::new(Mutex::new(CallReport::new("")));
        Line { caller, steps, report, outputs: Vec::new(), asked: HashMap::new(), voices: 0 }
    }
}

impl SimCall {
    /// A session that a client opened.
    pub fn bridged(world: Arc<Provider>, id: String, model: &str, report: Arc<Mutex<CallReport>>) -> SimCall {
        let invite = Invite { request_uri: String::new(), headers: Vec::new(), script: Default::default() };
        let faults = world.faults_after(0);
        let mut call = SimCall::new(world, id, invite, faults, report);
        // It is the sideband of a call that is not found, and here there is none.
        call.missing_left = 0;
        let expires_at = call.world.options.clock.now().as_secs() + super::call::SESSION_S;
        call.session = Some(Session::opened(&call.call_id, model, expires_at));
        call.phase = Phase::Up;
        call.bridge = Some(Box::default());
        call
    }

    /// Plays the session until its socket is gone.
    pub async fn run_bridged(mut self, mut inbox: mpsc::Receiver<ToCall>) {
        let stopping = self.world.stopping.clone();
        self.schedule(std::time::Duration::from_millis(STRANGER_AFTER_MS), Due::Stranger);
        while self.phase != Phase::Over {
            let wake = self.next_due();
            let ears = self.bridge.as_mut().and_then(|bridge| bridge.line.as_mut());
            let ears = ears.map(|line| &mut line.caller.ears);
            tokio::select! {
                message = inbox.recv() => match message {
                    Some(message) => self.on_message(message),
                    None => break,
                },
                Some(tag) = next_heard(ears) => self.on_ear(tag),
                () = sleep_until(wake) => self.on_due(),
                () = stopping.cancelled() => break,
            }
            self.go_on();
            self.to_carrier.clear();
        }
        self.end(None);
        self.hand_line_back();
    }

    /// The script goes on in the next session on this line, if there is one.
    fn hand_line_back(&mut self) {
        let Some(bridge) = &mut self.bridge else { return };
        for said in bridge.items.values().filter(|said| said.waits_for_truncation) {
            let text = format!("`{}` was cut off and never truncated", said.words);
            lock(&self.report).protocol_errors.push(text);
        }
        if let Some(mut line) = bridge.line.take() {
            line.steps = std::mem::take(&mut self.steps);
            line.outputs = std::mem::take(&mut self.outputs);
            line.asked = std::mem::take(&mut self.asked);
            lock(&self.world.lines).insert(line.caller.line, line);
        }
    }

    /// Claims that the client plays what the model says.
    pub(super) fn is_bridged(&self) -> bool {
        self.bridge.is_some()
    }

    // === who is on the line ===

    fn recognise_line(&mut self, number: u32) {
        let Some(bridge) = self.bridge.as_mut().filter(|bridge| bridge.line.is_none()) else { return };
        let Some(mut line) = lock(&self.world.lines).remove(&number) else { return };
        self.steps = std::mem::take(&mut line.steps);
        self.outputs = std::mem::take(&mut line.outputs);
        self.asked.extend(std::mem::take(&mut line.asked));
        self.caller = line.caller.from.clone();
        let before = std::mem::replace(&mut self.report, Arc::clone(&line.report));
        lock(&self.report).go_on_with(&lock(&before), &self.call_id);
        self.world.remember(&self.call_id, &self.report, number);
        bridge.line = Some(line);
        self.begin();
    }

    /// Nobody known is on the line: whoever asks is answered all the same, with what was written for such a session.
    pub(super) fn on_stranger(&mut self) {
        if let Some(bridge) = self.bridge.as_mut().filter(|bridge| bridge.line.is_none()) {
            bridge.is_stranger = true;
            let written = lock(&self.world.written).pop_front();
            self.steps.extend(written.into_iter().flat_map(|script| script.steps));
            self.steps.push_back(Step::HangUp(crate::sim::script::HangUp::Gateway));
            self.begin();
        }
    }

    fn is_stranger(&self) -> bool {
        self.bridge.as_ref().is_some_and(|bridge| bridge.is_stranger)
    }

    fn begin(&mut self) {
        self.has_begun = true;
        let held = self.bridge.as_mut().map(|bridge| std::mem::take(&mut bridge.held)).unwrap_or_default();
        for metadata in held {
            self.start_response(metadata);
        }
    }

    /// A response is asked for; before it is known who is on the line it waits. Claims that it does.
    pub(super) fn holds(&mut self, metadata: &Value) -> bool {
        let Some(bridge) = self.bridge.as_mut().filter(|_| !self.has_begun) else { return false };
        bridge.held.push(metadata.clone());
        true
    }

    // === the caller ===

    /// Moves the caller's mouth; the session learns of it when the sound arrives.
    pub(super) fn caller_speaks_up(&mut self, speech: CallerSpeech, for_ms: u64) {
        let is_heard = self.session.as_ref().is_some_and(|session| session.silence_ms().is_some());
        let blocks = sound::blocks(self.real_ms(for_ms));
        let Some(bridge) = &mut self.bridge else { return };
        let Some(line) = &mut bridge.line else { return };
        line.voices += 1;
        let voice = line.voices;
        bridge.said.insert(voice, speech);
        self.caller_speaks = is_heard;
        self.move_mouth(Mouth::Speak { voice, blocks });
    }

    pub(super) fn move_mouth(&mut self, mouth: Mouth) {
        let line = self.bridge.as_ref().and_then(|bridge| bridge.line.as_ref());
        if let Some(line) = line {
            // A caller who has left says nothing more.
            let _ = line.caller.mouth.try_send(mouth);
        }
    }

    pub(super) fn on_append(&mut self, event: &Value) {
        if !self.session.as_ref().is_some_and(Session::is_configured) {
            self.broke_rule("audio before the session was configured".to_owned());
        }
        let audio = event["audio"].as_str().and_then(|text| STANDARD.decode(text).ok());
        let Some(audio) = audio else { return self.broke_rule("an append is not base64".to_owned()) };
        let Some(bridge) = &mut self.bridge else { return };
        bridge.audio.extend(audio);
        loop {
            let Some(bridge) = self.bridge.as_mut().filter(|bridge| bridge.audio.len() >= BLOCK) else {
                return;
            };
            let block: Vec<u8> = bridge.audio.drain(..BLOCK).collect();
            bridge.position += BLOCK as u64;
            let position = bridge.position;
            match self.world.listens() {
                true => self.listen(&block, position),
                false => self.on_sound(&block),
            }
        }
    }

    fn on_sound(&mut self, block: &[u8]) {
        lock(&self.report).heard_blocks += 1;
        if let Some(number) = sound::read_silence(block) {
            return self.recognise_line(number);
        }
        match sound::read_speech(block) {
            Some(tag) => self.on_speech_sound(tag),
            None if g711::is_silent(block) => {}
            None => lock(&self.report).garbled += 1,
        }
    }

    fn on_speech_sound(&mut self, tag: Tag) {
        let Some(bridge) = &mut self.bridge else { return };
        let follows = match &bridge.hearing {
            Some((_, last)) if last.voice == tag.voice => tag.block == last.block + 1,
            _ => tag.block == 0,
        };
        if !follows {
            lock(&self.report).garbled += 1;
        }
        let now_ms = bridge.position / g711::BYTES_PER_MS;
        if let Some((_, last)) = bridge.hearing.as_mut().filter(|(_, last)| last.voice == tag.voice) {
            *last = tag;
        } else {
            let item = self.id("item");
            if let Some(bridge) = &mut self.bridge {
                bridge.hearing = Some((item.clone(), tag));
            }
            let padding = self.session.as_ref().map_or(0, Session::padding_ms);
            let start_ms = now_ms.saturating_sub(sound::BLOCK_MS + self.real_ms(padding));
            if self.caller_speaks || self.is_stranger() {
                self.later(DETECT_MS, Due::SpeechDetected { item, start_ms });
            }
        }
        if tag.is_last() {
            self.on_last_sound(now_ms);
        }
    }

    fn on_last_sound(&mut self, now_ms: u64) {
        let Some((item, tag)) = self.bridge.as_mut().and_then(|bridge| bridge.hearing.take()) else { return };
        let is_stranger = self.is_stranger();
        let said = self.bridge.as_mut().and_then(|bridge| bridge.said.remove(&tag.voice));
        // Nobody has told what a stranger says.
        let speech = said.or_else(|| {
            is_stranger.then(|| CallerSpeech { says: "…".to_owned(), ..CallerSpeech::default() })
        });
        let silence = self.session.as_ref().and_then(Session::silence_ms);
        if let (Some(speech), Some(silence), true) = (speech, silence, self.caller_speaks || is_stranger) {
            let end_ms = now_ms + self.real_ms(silence);
            // Never before the beginning was noticed.
            self.later(silence.max(DETECT_MS + 1), Due::SpeechStopped { item, end_ms, speech });
        }
    }

    // === the model ===

    /// Some more of what a response says; the rest a moment later.
    pub(super) fn on_audio_due(&mut self, id: &str) {
        let Some(response) = self.response.take_if(|response| response.id == id) else { return };
        let sent = self.send_deltas(&response, DELTAS_AT_ONCE);
        let is_whole = sent >= u64::from(response.blocks) * BLOCK as u64;
        self.response = Some(response);
        let id = id.to_owned();
        if is_whole {
            if self.is_stranger() {
                // There are no ears on this line to say when it was heard.
                self.later(1, Due::ResponsePlayed(id.clone()));
            }
            self.later(0, Due::ResponseGenerated(id));
        } else {
            self.schedule(std::time::Duration::from_millis(DELTAS_EVERY_MS), Due::AudioChunk(id));
        }
    }

    /// Begins to say a response.
    pub(super) fn speak_bridged(&mut self, response: &mut Response) {
        let Some(bridge) = &mut self.bridge else { return };
        let voice = bridge.line.as_mut().map_or(0, |line| {
            line.voices += 1;
            line.voices
        });
        response.voice = MODEL | voice;
        response.blocks = sound::blocks(self.real_ms(response.speech_ms));
        let said = Said {
            words: response.words.clone().unwrap_or_default(),
            voice: response.voice,
            sent_bytes: 0,
            heard_blocks: 0,
            waits_for_truncation: false,
        };
        if let Some(bridge) = &mut self.bridge {
            bridge.items.insert(response.item.clone(), said);
        }
    }

    /// Sends up to so many deltas; gives how many bytes were sent of the response by now.
    fn send_deltas(&mut self, response: &Response, count: usize) -> u64 {
        let sent = |call: &SimCall| {
            let said = call.bridge.as_ref().and_then(|bridge| bridge.items.get(&response.item));
            said.map_or(0, |said| said.sent_bytes)
        };
        let whole: Vec<u8> = (0..response.blocks)
            .flat_map(|block| sound::speech(Tag { voice: response.voice, block, blocks: response.blocks }))
            .collect();
        for _ in 0..count {
            let from = usize::try_from(sent(self)).unwrap_or(usize::MAX).min(whole.len());
            let delta = &whole[from..whole.len().min(from + DELTA_BYTES)];
            if delta.is_empty() {
                break;
            }
            self.emit(json!({ "type": "response.output_audio.delta", "response_id": response.id,
                "item_id": response.item, "output_index": 0, "content_index": 0,
                "delta": STANDARD.encode(delta) }));
            if let Some(said) = self.bridge.as_mut().and_then(|bridge| bridge.items.get_mut(&response.item)) {
                said.sent_bytes += delta.len() as u64;
            }
        }
        sent(self)
    }

    /// The caller's ears heard a block of the model's speech.
    fn on_ear(&mut self, tag: Tag) {
        let Some(bridge) = &mut self.bridge else { return };
        let Some((item, said)) = bridge.items.iter_mut().find(|(_, said)| said.voice == tag.voice) else {
            return;
        };
        said.heard_blocks = tag.block + 1;
        let item = item.clone();
        let heard_ms = u64::from(tag.block + 1) * sound::BLOCK_MS;
        for cut in lock(&self.report).truncations.iter_mut().filter(|cut| cut.item == item) {
            cut.heard_ms = heard_ms;
        }
        if tag.block == 0 {
            self.played_since = Some(tokio::time::Instant::now());
        }
        let id = [&self.response, &self.still_heard].into_iter().flatten().find(|known| known.item == item);
        if let Some(id) = id.map(|response| response.id.clone())
            && tag.is_last()
        {
            self.on_response_played(&id);
        }
    }

    /// The caller speaks: what is being generated is cancelled; what was heard the client will say.
    pub(super) fn interrupt_bridged(&mut self) {
        self.played_since = None;
        for response in [self.still_heard.take(), self.response.take()].into_iter().flatten() {
            if response.is_playing {
                let words = response.words.clone().unwrap_or_default();
                lock(&self.report).spoken.push(format!("{words} [cut]"));
                if let Some(said) =
                    self.bridge.as_mut().and_then(|bridge| bridge.items.get_mut(&response.item))
                {
                    said.waits_for_truncation = true;
                }
            }
            if response.is_generating {
                if response.is_playing {
                    self.send_deltas(&response, LATE_DELTAS);
                }
                let item = response.item.clone();
                self.emit(response.done(&item, "cancelled", Some("turn_detected"), self.context_tokens));
            }
        }
    }

    pub(super) fn on_truncate(&mut self, event: &Value, event_id: Value) {
        let item = event["item_id"].as_str().unwrap_or_default().to_owned();
        let end_ms = event["audio_end_ms"].as_u64();
        let said = self.bridge.as_mut().and_then(|bridge| bridge.items.get_mut(&item));
        let (Some(said), Some(end_ms)) = (said, end_ms) else {
            self.broke_rule(format!("a truncation of the unknown item {item}"));
            return self.refuse("item_truncate_invalid_item_id", "No such item.", event_id);
        };
        said.waits_for_truncation = false;
        let (sent_ms, heard_ms) =
            (said.sent_bytes / g711::BYTES_PER_MS, u64::from(said.heard_blocks) * sound::BLOCK_MS);
        if end_ms > sent_ms {
            let words = format!("Audio content of {sent_ms}ms is already shorter than {end_ms}ms");
            self.broke_rule(words.clone());
            return self.refuse("invalid_value", &words, event_id);
        }
        self.world.log(Party::Gateway, Party::OpenAi, || format!("truncate {item} at {end_ms} ms"));
        lock(&self.report).truncations.push(Truncated { item: item.clone(), end_ms, heard_ms });
        self.emit(json!({ "type": "conversation.item.truncated", "item_id": item, "content_index": 0,
            "audio_end_ms": end_ms }));
    }
}

async fn next_heard(ears: Option<&mut mpsc::Receiver<Tag>>) -> Option<Tag> {
    match ears {
        Some(ears) => match ears.recv().await {
            Some(tag) => Some(tag),
            // The phone is gone; the socket will be, too.
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}
