//! What passes over a session that is up: the call's commands, the model's audio and events, and the caller
//! who speaks over the assistant.

use tokio::time::Instant;

use super::Task;
use crate::call::event::{CommandId, ProviderCommand, ProviderEvent};
use crate::media::playback::Taken;
use crate::media::provider::Provider;
use crate::openai::dialect;
use crate::wire::media::clear_message;
use crate::wire::realtime::server::AudioDelta;
use crate::wire::realtime::{ClientEvent, ServerEvent};

/// How many commands wait while a session is exchanged.
const HELD_MAX: usize = 64;

impl Task {
    pub(super) fn on_command(&mut self, id: CommandId, command: ProviderCommand) {
        match &mut self.provider {
            Provider::Up(sideband) => {
                self.history.told(&command);
                sideband.send(dialect::write(id, &command));
            }
            _ if self.is_rotating && self.held.len() < HELD_MAX => self.held.push((id, command)),
            // As on a sideband that is lost: the call says it again when it is found.
            _ => {}
        }
    }

    pub(super) fn on_frame(&mut self, text: &str) {
        if let Some(delta) = AudioDelta::read(text) {
            return self.on_model_audio(delta);
        }
        let event = dialect::read(text);
        self.history.heard(&event);
        match &event {
            ProviderEvent::Ignored => {}
            // The carrier plays, so only its marks tell what is heard.
            ProviderEvent::PlaybackStarted { .. }
            | ProviderEvent::PlaybackDrained { .. }
            | ProviderEvent::PlaybackCleared { .. } => {}
            ProviderEvent::Configured { .. } => {
                if let ServerEvent::SessionUpdated(session) = ServerEvent::read(text) {
                    self.known.learn(session);
                }
                self.tell(event);
            }
            ProviderEvent::CallerSpeechStarted { .. } => {
                self.caller_speaks = true;
                self.tell(event);
                if self.known.interrupts {
                    self.interrupt();
                }
            }
            ProviderEvent::CallerSpeechStopped { .. } => {
                self.caller_speaks = false;
                self.tell(event);
            }
            ProviderEvent::TurnStarted { turn, .. } => {
                self.running = Some(turn.clone());
                self.tell(event);
            }
            ProviderEvent::TurnEnded { turn, .. } => {
                let turn = turn.clone();
                self.running.take_if(|running| *running == turn);
                self.tell(event);
                self.playback.complete(&turn);
                self.tell_playback();
            }
            _ => self.tell(event),
        }
    }

    fn on_model_audio(&mut self, delta: AudioDelta<'_>) {
        let AudioDelta { response_id, item_id, content_index, delta } = delta;
        match self.playback.push(response_id, item_id, content_index, &delta) {
            Taken::Queued | Taken::Late => {}
            Taken::Full => {
                self.note("stream.model_audio_dropped", Some("ten minutes wait already".to_owned()))
            }
            Taken::Senseless => self.note_one("delta", "provider.bad_audio", Some("not base64".to_owned())),
        }
    }

    /// The caller speaks over the assistant: it falls silent, and does not believe to have said more than
    /// was heard. The provider cancels a running response itself.
    fn interrupt(&mut self) {
        let Some(truncations) = self.playback.interrupt(self.running.as_ref(), Instant::now()) else {
            return;
        };
        self.phone.send(clear_message(&self.stream));
        if let Some(recorder) = &mut self.recorder {
            recorder.cleared();
        }
        if let Provider::Up(sideband) = &mut self.provider {
            for cut in truncations {
                self.sent += 1;
                let event_id = format!("cut_{}", self.sent);
                let truncate = ClientEvent::ItemTruncate {
                    event_id: &event_id,
                    item_id: cut.item.as_str(),
                    content_index: cut.content_index,
                    audio_end_ms: cut.heard_ms,
                };
                sideband.send(truncate.render());
            }
        }
        self.tell_playback();
    }
}
