//! Lays the provider's audio clock onto ours.
//!
//! An event that names a moment of the audio clock cannot arrive before that moment, so the earliest
//! zero that any event leads to is the best one: it carries the least delay. A moment that would lie
//! before the call is a mistake of the provider's and is not believed.

use std::time::Duration;

use super::event::SpeechPadding;
use crate::clock::Timestamp;

/// The provider's audio clock as far as it is known.
#[derive(Debug, Default)]
pub struct AudioClock {
    zero: Option<Timestamp>,
    /// No sound of the call can be older than this.
    pub earliest: Timestamp,
    /// How far the provider's speech times reach beyond the speech.
    pub padding: SpeechPadding,
}

impl AudioClock {
    /// Gives back the moment, if it can be believed.
    pub fn saw_start(&mut self, at_ms: Option<u64>, now: Timestamp) -> Option<u64> {
        self.saw(at_ms?, self.padding.before, now)
    }

    pub fn saw_stop(&mut self, at_ms: Option<u64>, now: Timestamp) -> Option<u64> {
        self.saw(at_ms?, Duration::ZERO, now)
    }

    fn saw(&mut self, at_ms: u64, padding: Duration, now: Timestamp) -> Option<u64> {
        let zero = now - (Duration::from_millis(at_ms).saturating_add(padding));
        if zero < self.earliest {
            return None;
        }
        self.zero = Some(self.zero.map_or(zero, |known| known.min(zero)));
        Some(at_ms)
    }

    /// When speech began whose padded start is `at_ms`.
    pub fn start(&self, at_ms: Option<u64>) -> Option<Timestamp> {
        Some(self.zero? + Duration::from_millis(at_ms?) + self.padding.before)
    }

    /// When speech ended whose padded end is `at_ms`.
    pub fn end(&self, at_ms: Option<u64>) -> Option<Timestamp> {
        Some(self.zero? + Duration::from_millis(at_ms?) - self.padding.after)
    }
}
