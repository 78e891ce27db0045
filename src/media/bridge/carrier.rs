//! The carrier's end of a bridge: what the caller says goes on to the session, what is due goes to the caller.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::time::Instant;

use super::{Flow, PENDING_MAX, Task};
use crate::call::event::ProviderEvent;
use crate::media::phone::Said;
use crate::media::playback::Due;
use crate::media::provider::{Provider, append};
use crate::wire::g711;
use crate::wire::media::{Body, FromCarrier, Media, mark_message, media_message};

impl Task {
    pub(super) fn on_phone(&mut self, said: Said) -> Flow {
        let text = match said {
            Said::Text(text) => text,
            Said::Binary => {
                self.note("stream.bad_message", Some("binary".to_owned()));
                return Flow::GoOn;
            }
            Said::Gone(gone) => {
                self.note("stream.closed", Some(gone.name().to_owned()));
                return Flow::Over;
            }
        };
        let message = match FromCarrier::read(&text) {
            Ok(message) => message,
            Err(bad) => {
                self.note_one(bad.name(), "stream.bad_message", Some(bad.to_string()));
                return Flow::GoOn;
            }
        };
        if message.stream_sid.is_some_and(|sid| sid != self.stream.as_str()) {
            self.note_one("other stream", "stream.bad_message", Some("of another stream".to_owned()));
            return Flow::GoOn;
        }
        match message.body {
            Body::Media(media) => self.on_caller_audio(&media),
            Body::Mark(name) => self.on_mark(&name),
            Body::Key(digit) if self.pending.len() < PENDING_MAX => {
                self.tell(ProviderEvent::Key { digit, model_knows: false });
            }
            Body::Key(_) | Body::Connected => {}
            Body::Start(_) => {
                self.note_one("start again", "stream.bad_message", Some("a second start".into()))
            }
            Body::Stop => return Flow::Over,
            Body::Unknown(kind) => self.note_one("unknown", "stream.unknown", Some(kind)),
        }
        Flow::GoOn
    }

    /// Audio goes on in the order in which it came: the socket keeps order, so a number that is not higher
    /// than the last one is a repetition, and is dropped.
    fn on_caller_audio(&mut self, media: &Media<'_>) {
        if let Some(chunk) = media.chunk {
            if chunk <= self.last_chunk {
                return self.note_one("order", "stream.out_of_order", Some(format!("chunk {chunk}")));
            }
            self.last_chunk = chunk;
        }
        self.listen(media);
        match &mut self.provider {
            Provider::Up(sideband) => {
                self.sent += 1;
                sideband.send(append(self.sent, &media.payload));
            }
            _ => {
                if self.ring.push(&media.payload, media.bytes) {
                    let why = "no session took it in time".to_owned();
                    self.note("stream.caller_audio_dropped", Some(why));
                }
            }
        }
    }

    /// The few who must know the samples: is there any sound, and the recorder.
    fn listen(&mut self, media: &Media<'_>) {
        let is_awaited = !self.check.caller && self.was_up;
        if !is_awaited && self.recorder.is_none() {
            return;
        }
        let Ok(audio) = STANDARD.decode(media.payload.as_bytes()) else { return };
        if is_awaited && !g711::is_silent(&audio) {
            self.check.caller = true;
            self.tell_heard(false);
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.caller(media.at_ms, &audio, Instant::now());
        }
    }

    fn on_mark(&mut self, name: &str) {
        if let Some(recorder) = &mut self.recorder {
            recorder.marked(name, Instant::now());
        }
        if self.playback.marked(name, Instant::now()) {
            if !self.check.assistant {
                self.check.assistant = true;
                self.tell_heard(false);
            }
            self.tell_playback();
        }
    }

    pub(super) fn send_due(&mut self, now: Instant) {
        while self.phone.has_room() {
            match self.playback.due(now) {
                Some(Due::Audio { audio, mark }) => {
                    if let (Some(recorder), Ok(audio)) = (&mut self.recorder, STANDARD.decode(&audio)) {
                        recorder.sent(&mark, &audio);
                    }
                    self.phone.send(media_message(&self.stream, &audio));
                }
                Some(Due::Mark(mark)) => self.phone.send(mark_message(&self.stream, &mark)),
                None => break,
            }
        }
        self.tell_playback();
    }
}
