//! Sessions that hear speech as it is, not the coded sound of simulated callers: turns are told by silence, and whoever
//! runs the world writes down what was said ([`Recogniser`]).
//!
//! Turns follow the audio, not the clock: a client may send faster than speech.

use serde_json::{Value, json};

use super::Provider;
use super::call::{Due, SimCall};
use super::lock;
use super::session::Session;
use crate::sim::script::CallerSpeech;
use crate::sim::sound::{BLOCK, BLOCK_MS};
use crate::wire::g711;

/// The most audio of one turn; what is beyond it is not heard.
const TURN_BYTES_MAX: usize = 120 * g711::BYTES_PER_S as usize;
/// Less than this cannot be committed (OpenAI, "Realtime API reference: input_audio_buffer.commit").
const COMMIT_MS_MIN: u64 = 100;

/// One turn, as a session heard it.
#[derive(Clone, Copy, Debug)]
pub struct Turn<'a> {
    /// The voice model of the session.
    pub model: &'a str,
    /// Its `transcription`.
    pub transcription: &'a Value,
    /// μ-law, in whole blocks of 20 ms, from the first that is not silent to the last.
    pub audio: &'a [u8],
}

/// Writes a turn down; none where it cannot.
pub type Recogniser = dyn Fn(Turn<'_>) -> Option<String> + Send + Sync;

/// What a session has heard of the present turn.
#[derive(Default)]
pub(super) struct Listening {
    /// Since the turn's first sound, or without turn detection since the last commit.
    audio: Vec<u8>,
    /// How much of its end is silent.
    silent_bytes: usize,
    item: Option<String>,
}

impl Listening {
    /// Whole blocks from the first sound to the last, and nothing is heard any more.
    fn take(&mut self) -> Vec<u8> {
        let mut audio = std::mem::take(&mut self.audio);
        audio.truncate(audio.len() - std::mem::take(&mut self.silent_bytes).min(audio.len()));
        let silent = audio.chunks(BLOCK).take_while(|block| g711::is_silent(block)).count();
        audio.drain(..(silent * BLOCK).min(audio.len()));
        audio
    }
}

impl Provider {
    /// Claims that sessions hear speech as it is.
    pub(super) fn listens(&self) -> bool {
        lock(&self.recogniser).is_some()
    }
}

impl SimCall {
    /// A block of 20 ms, which ends at this byte of the session's audio.
    pub(super) fn listen(&mut self, block: &[u8], position: u64) {
        let silence_ms = self.session.as_ref().and_then(Session::silence_ms);
        let is_silent = g711::is_silent(block);
        let Some(listening) = self.listening() else { return };
        if listening.item.is_none() && silence_ms.is_some() && is_silent {
            return;
        }
        if listening.audio.len() < TURN_BYTES_MAX {
            listening.audio.extend(block);
        }
        listening.silent_bytes = if is_silent { listening.silent_bytes + block.len() } else { 0 };
        let (quiet, is_new) = (listening.silent_bytes as u64, listening.item.is_none());
        // Without turn detection nobody looks for turns.
        let Some(silence_ms) = silence_ms else { return };
        let now_ms = position / g711::BYTES_PER_MS;
        if is_new {
            let padding = self.session.as_ref().map_or(0, Session::padding_ms);
            let item = self.id("item");
            if let Some(listening) = self.listening() {
                listening.item = Some(item.clone());
            }
            self.on_speech_detected(item, now_ms.saturating_sub(BLOCK_MS + padding));
        } else if quiet / g711::BYTES_PER_MS >= silence_ms {
            let item = self.listening().and_then(|listening| listening.item.take()).unwrap_or_default();
            let speech = self.written_down();
            self.on_speech_stopped(item, now_ms, speech);
        }
    }

    /// The client says that a turn ends here.
    pub(super) fn on_commit(&mut self, event_id: Value) {
        let heard = self.listening().map_or(0, |listening| listening.audio.len() as u64) / g711::BYTES_PER_MS;
        if heard < COMMIT_MS_MIN {
            let words =
                format!("Error committing input audio buffer: expected at least 100ms, got {heard}ms.");
            return self.refuse("input_audio_buffer_commit_empty", &words, event_id);
        }
        let item = self.listening().and_then(|listening| listening.item.take());
        let item = item.unwrap_or_else(|| self.id("item"));
        let speech = self.written_down();
        self.on_committed(item, speech);
    }

    fn listening(&mut self) -> Option<&mut Listening> {
        self.bridge.as_mut().map(|bridge| &mut bridge.listening)
    }

    fn written_down(&mut self) -> CallerSpeech {
        let audio = self.listening().map(Listening::take).unwrap_or_default();
        let echo = self.session.as_ref().map(|session| session.echo(1.0)).unwrap_or_default();
        let transcription = echo.pointer("/audio/input/transcription").cloned().unwrap_or_default();
        let model = echo["model"].as_str().unwrap_or_default();
        let recogniser = lock(&self.world.recogniser).clone();
        let turn = Turn { model, transcription: &transcription, audio: &audio };
        let mut says = recogniser.and_then(|recogniser| recogniser(turn));
        if let Some(says) = says.as_mut().filter(|_| self.faults.hears_one_more) {
            says.push('鑿');
        }
        let for_ms = audio.len() as u64 / g711::BYTES_PER_MS;
        CallerSpeech {
            transcribed: Some(says.is_some()),
            says: says.unwrap_or_default(),
            for_ms: Some(for_ms),
            ..CallerSpeech::default()
        }
    }

    /// The turn is an item of the conversation from now on, and its words follow.
    pub(super) fn on_committed(&mut self, item: String, speech: CallerSpeech) {
        self.emit(
            json!({ "type": "input_audio_buffer.committed", "previous_item_id": null, "item_id": item }),
        );
        let user = json!({ "id": item, "object": "realtime.item", "type": "message", "status": "completed",
            "role": "user", "content": [{ "type": "input_audio", "transcript": null }] });
        self.emit(json!({ "type": "conversation.item.added", "previous_item_id": null, "item": user }));
        self.emit(json!({ "type": "conversation.item.done", "previous_item_id": null, "item": user }));
        if speech.then_hangs_up {
            self.steps.clear();
            self.step_is_due = true;
        }
        let is_lost = speech.then_hangs_up && self.faults.transcription_lost_at_hangup;
        if self.session.as_ref().is_some_and(Session::transcribes) && !is_lost {
            let after = speech.transcribed_after_ms.unwrap_or(super::play::TRANSCRIBE_MS);
            self.later(after, Due::Transcribed { item, speech });
        } else if speech.then_hangs_up {
            self.later(0, Due::CallerHangsUp);
        }
    }
}
