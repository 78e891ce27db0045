//! The script of a simulated call: what the caller says and when, what the model makes of it.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::call::{Due, Phase, SimCall};
use super::lock;
use super::model::{FunctionCall, Response, fill_in};
use super::report::Utterance;
use super::session::Session;
use crate::sim::line::Mouth;
use crate::sim::log::Party;
use crate::sim::script::{CallerSpeech, HangUp, ModelTurn, Step};
use crate::sim::sip::SipEvent;

/// From the request of a turn to its first sound.
const THINK_MS: u64 = 300;
/// Until a detector is sure that somebody speaks.
pub(super) const DETECT_MS: u64 = 120;
/// Before the caller speaks, where the script does not say.
const PAUSE_MS: u64 = 400;
/// How long a character takes to say.
const CHAR_MS: u64 = 130;
/// From the end of speech to its transcription.
pub(super) const TRANSCRIBE_MS: u64 = 450;
/// How often a response looks whether the one before it was heard to its end.
const QUEUE_MS: u64 = 20;
/// What a model without a script says.
const FILLER: &str = "はい。";

impl SimCall {
    // === the script ===

    /// Begins the next step, if nothing else is going on.
    pub(super) fn go_on(&mut self) {
        if self.phase != Phase::Up || !self.has_begun || self.step_is_due {
            return;
        }
        let is_quiet = self.response.is_none() && self.still_heard.is_none() && !self.caller_speaks;
        match self.steps.front() {
            Some(Step::Model(_)) => {}
            Some(Step::Caller(speech)) => match (speech.interrupts_after_ms, self.played_since) {
                (Some(after), Some(_)) => self.take_step(after),
                (None, _) if is_quiet => {
                    let after = speech.after_ms.unwrap_or(PAUSE_MS);
                    self.take_step(after);
                }
                _ => {}
            },
            Some(Step::PauseMs(pause)) if is_quiet => {
                let pause = *pause;
                self.take_step(pause);
            }
            Some(Step::DropSideband(_) | Step::Frame(_)) => self.take_step(0),
            Some(Step::ProviderDropsAfterMs(after)) if is_quiet => {
                let after = *after;
                self.take_step(after);
            }
            Some(Step::AwaitSidebands(times)) if lock(&self.report).attached >= *times => self.take_step(0),
            Some(Step::Keys(_)) if is_quiet => self.take_step(PAUSE_MS),
            Some(Step::HangUp(HangUp::Caller)) if is_quiet => self.take_step(PAUSE_MS),
            Some(Step::HangUp(HangUp::Gateway)) => lock(&self.report).script_done = true,
            None if is_quiet => {
                self.step_is_due = true;
                self.later(PAUSE_MS, Due::CallerHangsUp);
            }
            _ => {}
        }
    }

    fn take_step(&mut self, after_ms: u64) {
        self.step_is_due = true;
        self.later(after_ms, Due::NextStep);
    }

    pub(super) fn next_step(&mut self) {
        self.step_is_due = false;
        match self.steps.pop_front() {
            Some(Step::Caller(speech)) => self.on_speech_begins(speech),
            Some(Step::Keys(keys)) => {
                for (at, key) in keys.chars().enumerate() {
                    self.later(150 * at as u64, Due::Key(key));
                }
            }
            Some(Step::DropSideband(code)) => self.drop_sidebands(code),
            Some(Step::ProviderDropsAfterMs(_)) => self.end(Some(SipEvent::Bye)),
            Some(Step::Frame(text)) => self.emit_text(&text),
            Some(Step::HangUp(HangUp::Caller)) => self.on_caller_hangs_up(),
            Some(step @ (Step::Model(_) | Step::HangUp(HangUp::Gateway))) => self.steps.push_front(step),
            Some(Step::PauseMs(_) | Step::AwaitSidebands(_)) | None => {}
        }
    }

    pub(super) fn on_caller_hangs_up(&mut self) {
        self.world.log(Party::Caller, Party::Twilio, || "hangs up".to_owned());
        lock(&self.report).script_done = true;
        match self.is_bridged() {
            // The carrier tells the gateway, and the gateway closes the session.
            true => self.move_mouth(Mouth::HangUp),
            false => self.end(None),
        }
    }

    // === the caller ===

    pub(super) fn on_speech_begins(&mut self, speech: CallerSpeech) {
        self.world.log(Party::Caller, Party::OpenAi, || format!("「{}」", speech.says));
        let silence = self.session.as_ref().and_then(Session::silence_ms);
        let for_ms = speech.for_ms.unwrap_or(speech.says.chars().count() as u64 * CHAR_MS);
        if self.is_bridged() {
            return self.caller_speaks_up(speech, for_ms);
        }
        // Without turn detection nobody listens for turns.
        let Some(silence) = silence else { return };
        let padding = self.session.as_ref().map_or(0, Session::padding_ms);
        self.caller_speaks = true;
        let began = self.offset_ms() + self.real_ms(self.faults.speech_told_late_ms);
        let item = self.id("item");
        self.note_speech(&item, true);
        let start_ms = began.saturating_sub(self.real_ms(padding));
        self.later(DETECT_MS.min(for_ms), Due::SpeechDetected { item: item.clone(), start_ms });
        let end_ms = began + self.real_ms(for_ms + silence);
        self.later(for_ms + silence, Due::SpeechStopped { item, end_ms, speech });
    }

    pub(super) fn on_speech_detected(&mut self, item: String, start_ms: u64) {
        self.emit(json!({ "type": "input_audio_buffer.speech_started", "audio_start_ms": start_ms, "item_id": item }));
        if self.session.as_ref().is_some_and(Session::interrupts_response) {
            self.interrupt();
        }
    }

    pub(super) fn on_speech_stopped(&mut self, item: String, end_ms: u64, speech: CallerSpeech) {
        self.caller_speaks = false;
        self.note_silence(&item, self.session.as_ref().and_then(Session::silence_ms).unwrap_or(0));
        self.context_tokens += 40;
        self.emit(
            json!({ "type": "input_audio_buffer.speech_stopped", "audio_end_ms": end_ms, "item_id": item }),
        );
        self.on_committed(item, speech);
        let is_models_turn = matches!(self.steps.front(), Some(Step::Model(_)));
        let creates = self.session.as_ref().is_some_and(Session::creates_response);
        // Where speech is heard as it is, there is no script, and the model answers whatever it is.
        if creates && (is_models_turn || self.world.listens()) && self.response.is_none() {
            self.start_response(Value::Null);
        }
    }

    pub(super) fn on_transcribed(&mut self, item: String, speech: &CallerSpeech) {
        self.transcribe(item, speech);
        // What was said is written down before the call is over, however close the two are.
        if speech.then_hangs_up {
            self.later(0, Due::CallerHangsUp);
        }
    }

    fn transcribe(&mut self, item: String, speech: &CallerSpeech) {
        let kind = |last: &str| format!("conversation.item.input_audio_transcription.{last}");
        if speech.transcribed == Some(false) {
            return self.emit(json!({ "type": kind("failed"), "item_id": item, "content_index": 0,
                "error": { "type": "transcription_error", "code": "audio_unintelligible",
                    "message": "The audio could not be transcribed.", "param": null } }));
        }
        self.write_down(&item, &speech.says);
        let half: String = speech.says.chars().take(speech.says.chars().count() / 2).collect();
        self.emit(json!({ "type": kind("delta"), "item_id": item, "content_index": 0, "delta": half }));
        let seconds = speech.for_ms.unwrap_or(speech.says.chars().count() as u64 * CHAR_MS) as f64 / 1_000.0;
        self.emit(json!({ "type": kind("completed"), "item_id": item, "content_index": 0,
            "transcript": speech.says, "usage": { "type": "duration", "seconds": seconds } }));
    }

    // === the model ===

    pub(super) fn start_response(&mut self, metadata: Value) {
        let turn = match self.steps.front() {
            Some(Step::Model(_)) => match self.steps.pop_front() {
                Some(Step::Model(turn)) => turn,
                _ => ModelTurn::default(),
            },
            _ => ModelTurn { says: Some(FILLER.to_owned()), for_ms: Some(400), ..ModelTurn::default() },
        };
        // What is still being heard goes on being heard; the next response queues behind it.
        if let Some(old) = self.response.take() {
            self.still_heard = Some(old);
        }
        let words = turn.says.as_ref().map(|says| fill_in(says, &self.outputs));
        let calls = self.function_calls(&turn);
        let mut response = Response::new(self.id("resp"), metadata, &turn, words, calls);
        self.response_item = self.id("item");
        response.item = self.response_item.clone();
        self.emit(response.created());
        let id = response.id.clone();
        let next =
            if response.words.is_some() { Due::ResponseSpeaks(id) } else { Due::ResponseGenerated(id) };
        self.response = Some(response);
        self.later(THINK_MS + self.faults.thinks_longer_ms, next);
    }

    fn function_calls(&mut self, turn: &ModelTurn) -> Vec<FunctionCall> {
        let caller = self.caller.clone();
        let mut calls = Vec::new();
        for call in &turn.calls {
            let arguments = call.raw_arguments.clone().unwrap_or_else(|| {
                serde_json::to_string(&call.arguments).unwrap_or_default().replace("{caller}", &caller)
            });
            let (item, call_id) = (self.id("item"), self.id("call"));
            calls.push(FunctionCall { item, call_id, name: call.name.clone(), arguments });
        }
        calls
    }

    pub(super) fn on_response_speaks(&mut self, id: &str) {
        if self.still_heard.is_some() {
            return self.later(QUEUE_MS, Due::ResponseSpeaks(id.to_owned()));
        }
        let Some(mut response) = self.response.take_if(|response| response.id == id) else { return };
        let item = self.response_item.clone();
        let mut begins = response.speech_begins(&item);
        if self.is_bridged() {
            begins.retain(|event| event["type"] != "output_audio_buffer.started");
            self.speak_bridged(&mut response);
        }
        self.emit_all(begins);
        self.emit_all(response.deltas(&item));
        if let Some(words) = &response.words {
            self.world.log(Party::OpenAi, Party::Caller, || format!("「{words}」"));
        }
        response.is_playing = true;
        if self.is_bridged() {
            self.response = Some(response);
            return self.on_audio_due(id);
        }
        self.played_since = Some(Instant::now());
        self.note_speech(&item, false);
        let speech_ms = response.speech_ms;
        self.response = Some(response);
        self.later((speech_ms / 4).min(1_500), Due::ResponseGenerated(id.to_owned()));
        self.later(speech_ms.max(1), Due::ResponsePlayed(id.to_owned()));
    }

    pub(super) fn on_response_generated(&mut self, id: &str) {
        let Some(mut response) = self.response.take_if(|response| response.id == id) else { return };
        let item = self.response_item.clone();
        let status = response.status.clone();
        if response.words.is_some() {
            let item_status = if status == "completed" { "completed" } else { "incomplete" };
            self.emit_all(response.speech_ends(&item, item_status));
        }
        if status == "completed" {
            self.emit_calls(&response);
        }
        self.context_tokens += response.speech_ms / 50;
        self.emit(response.done(&item, &status, response.reason.as_deref(), self.context_tokens));
        self.emit(json!({ "type": "rate_limits.updated", "rate_limits": [] }));
        response.is_generating = false;
        self.response = Some(response).filter(|response| response.is_playing);
    }

    fn emit_calls(&mut self, response: &Response) {
        if !response.calls.is_empty() {
            self.outputs = vec![Value::Null; response.calls.len()];
        }
        let now = self.world.options.clock.now();
        for (index, call) in response.calls.iter().enumerate() {
            self.world
                .log(Party::OpenAi, Party::Gateway, || format!("tool call {} {}", call.name, call.arguments));
            self.asked.insert(call.call_id.clone(), (now, index));
            lock(&self.report).tool_calls += 1;
            self.emit_all(response.function_call(index, call));
        }
    }

    pub(super) fn on_response_played(&mut self, id: &str) {
        // Ears can be faster than the timer behind the last of the sound: the turn still has to end.
        if self.response.as_ref().is_some_and(|response| response.id == id && response.is_generating) {
            self.on_response_generated(id);
        }
        let heard = self.still_heard.take_if(|response| response.id == id);
        if let Some(response) = heard.or_else(|| self.response.take_if(|response| response.id == id)) {
            self.finish_playing(id, response);
        }
    }

    fn finish_playing(&mut self, id: &str, response: Response) {
        self.played_since = None;
        self.note_silence(&response.item, 0);
        if response.is_playing {
            lock(&self.report).spoken.push(response.words.unwrap_or_default());
            if !self.is_bridged() {
                self.emit(json!({ "type": "output_audio_buffer.stopped", "response_id": id }));
            }
        }
    }

    /// Somebody's first sound is heard now.
    fn note_speech(&self, item: &str, by_caller: bool) {
        let started = self.world.options.clock.now();
        let utterance = Utterance { item: item.to_owned(), by_caller, started, ended: None };
        lock(&self.report).utterances.push(utterance);
    }

    /// The last one was heard so many simulated milliseconds ago.
    fn note_silence(&self, item: &str, ago_ms: u64) {
        let ended = self.world.options.clock.now() - Duration::from_millis(self.real_ms(ago_ms));
        let mut report = lock(&self.report);
        let open = report.utterances.iter_mut().find(|one| one.item == item && one.ended.is_none());
        if let Some(utterance) = open {
            utterance.ended = Some(ended);
        }
    }

    /// The caller speaks: what is said stops, what is being generated is cancelled.
    fn interrupt(&mut self) {
        if self.is_bridged() {
            return self.interrupt_bridged();
        }
        if let Some(heard) = self.still_heard.take() {
            self.emit(json!({ "type": "output_audio_buffer.cleared", "response_id": heard.id }));
            lock(&self.report).spoken.push(format!("{} [cut]", heard.words.as_deref().unwrap_or_default()));
        }
        let Some(response) = self.response.take() else { return };
        let item = self.response_item.clone();
        self.note_silence(&item, 0);
        if response.is_playing {
            let heard = self.played_since.take().map_or(Duration::ZERO, |since| since.elapsed());
            self.emit(json!({ "type": "output_audio_buffer.cleared", "response_id": response.id }));
            let heard_ms = u64::try_from(heard.as_millis()).unwrap_or(u64::MAX);
            self.emit(json!({ "type": "conversation.item.truncated", "item_id": item, "content_index": 0,
                "audio_end_ms": heard_ms }));
            lock(&self.report)
                .spoken
                .push(format!("{} [cut]", response.words.as_deref().unwrap_or_default()));
        }
        if response.is_generating {
            self.emit(response.done(&item, "cancelled", Some("turn_detected"), self.context_tokens));
        }
    }
}
