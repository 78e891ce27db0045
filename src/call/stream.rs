//! What the bridge of a call tells: the end of the carrier's stream, who was heard, what is worth a note.

use std::time::Duration;

use super::event::StreamEvent;
use super::record::{EndedReason, Heard, State};
use super::step::Call;
use super::turns::{Prompt, PromptKind};
use crate::clock::Timestamp;

/// A silence that a caller notices.
const GAP_NOTICED: Duration = Duration::from_secs(3);

const GO_ON: &str =
    "You were cut off in the middle of what you said. Say it again in short, without an apology.";
const SORRY_FOR_THE_GAP: &str = "The line was silent for some seconds because of a fault on our side. Apologise in one short sentence, \
     in the language of the conversation, and go on where the conversation was.";

impl Call {
    pub(super) fn on_stream(&mut self, event: StreamEvent, now: Timestamp) {
        match event {
            _ if self.is_over() => {}
            StreamEvent::Ended => self.on_stream_ended(now),
            StreamEvent::Noted { kind, detail } => self.note(kind, detail.as_deref(), now),
            StreamEvent::Heard { caller, assistant, is_late } => {
                self.was_heard(caller, assistant);
                if is_late && !(caller && assistant) {
                    self.note_one_way(Heard { caller, assistant }, now);
                }
            }
            StreamEvent::Gap { lasted, is_cut } => self.on_gap(lasted, is_cut, now),
        }
    }

    /// The caller who waited hears an apology; a turn that was cut off is taken up again.
    fn on_gap(&mut self, lasted: Duration, is_cut: bool, now: Timestamp) {
        let words = match (lasted > GAP_NOTICED, is_cut) {
            (true, _) => SORRY_FOR_THE_GAP,
            (false, true) => GO_ON,
            (false, false) => return,
        };
        self.turns.want(Prompt::new(PromptKind::Notice, Some(words.to_owned())));
        self.go_on(now);
    }

    /// Nothing reaches the caller any more. Whether the caller is still there the carrier tells later, when
    /// it asks what to do next.
    fn on_stream_ended(&mut self, now: Timestamp) {
        self.note("stream.ended", None, now);
        match self.record.state {
            State::Live => self.end_gone(now),
            State::Dialing | State::Offered | State::Accepted => {
                self.end(EndedReason::CallerGone, None, now);
            }
            State::Ended => {}
        }
    }

    /// Says who was not heard.
    pub(super) fn note_one_way(&mut self, heard: Heard, now: Timestamp) {
        self.note("audio.one_way", Some(one_way(heard)), now);
    }

    pub(super) fn was_heard(&mut self, caller: bool, assistant: bool) {
        let heard = Heard {
            caller: self.record.heard.caller || caller,
            assistant: self.record.heard.assistant || assistant,
        };
        if heard != self.record.heard {
            self.record.heard = heard;
            self.record_changed = true;
        }
    }
}

fn one_way(heard: Heard) -> &'static str {
    match (heard.caller, heard.assistant) {
        (false, false) => "neither the caller nor the assistant was heard",
        (false, true) => "the caller was not heard",
        _ => "the assistant was not heard",
    }
}
