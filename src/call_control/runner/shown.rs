//! What of a call those see who watch it: what was kept, who speaks, and words while they come.

use std::time::Duration;

use tokio::time::Instant;

use super::Runner;
use crate::call_control::feed::{News, Speaking};

/// How often growing words are shown: as fast as people read.
const WORDS_EVERY: Duration = Duration::from_millis(300);

/// What was shown of a call last.
#[derive(Default)]
pub(super) struct Shown {
    speaking: Speaking,
    words_at: Option<Instant>,
}

impl Runner {
    /// Shows who speaks now, and what is being said.
    pub(super) fn show(&mut self) {
        let id = self.call.record.id;
        let (caller, assistant) = self.call.speaking();
        let speaking = Speaking { caller, assistant };
        if speaking != self.shown.speaking {
            self.shown.speaking = speaking;
            self.control.feed.publish([News::Speaking(id, speaking)]);
        }
        if !self.control.feed.is_watched() {
            return;
        }
        let now = Instant::now();
        if self.shown.words_at.is_some_and(|at| now.duration_since(at) < WORDS_EVERY) {
            return;
        }
        let grown = self.call.take_grown();
        if !grown.is_empty() {
            self.shown.words_at = Some(now);
            self.control.feed.publish(grown.into_iter().map(|growing| News::Growing(id, growing)));
        }
    }
}
