//! How far a caller's time line has come where the caller's audio does not come.
//!
//! As a rule a carrier sends audio all the time, of a silent caller too. One that sends nothing while the caller
//! is muted, or loses some of it, leaves a gap, which the recording must have as well. The carrier's own time on
//! the next piece tells how long the gap was. Until then only a mark shows that time has passed: it comes behind
//! the audio on the same way, so that what has not come before it was never sent. Pure: time is an argument.

use std::time::Duration;

use crate::wire::g711;

/// Nothing for this long, on a way that is open, is a gap and no unrest of the network.
const GAP_AFTER: Duration = Duration::from_millis(500);
/// What the carrier's time may be ahead of the audio without being a gap, in samples: two pieces.
const UNREST: u64 = 40 * g711::BYTES_PER_MS;
/// So far beyond our own clock the carrier's time is believed: two clocks drift apart in hours.
const DRIFT_MAX: Duration = Duration::from_secs(2);

/// The gaps in a caller's audio. Times are since the recording began, lengths are in samples.
#[derive(Debug, Default)]
pub struct Gaps {
    /// What the carrier's time is where the recording begins, in milliseconds; none before the first piece.
    zero_ms: Option<u64>,
    /// When the last piece came.
    last: Duration,
    /// How much silence was put in since then.
    filled: u64,
}

/// What is to be done to the time line before a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mend {
    /// Put so much silence in.
    Add(u64),
    /// Take so much of the silence out that was put in last: less time has passed than it seemed.
    Remove(u64),
}

impl Gaps {
    /// A mark came `now`: so much silence is missing.
    pub fn at_mark(&mut self, now: Duration) -> u64 {
        let quiet = now.saturating_sub(self.last);
        if quiet <= GAP_AFTER {
            return 0;
        }
        let missing = g711::bytes(quiet).saturating_sub(self.filled);
        self.filled += missing;
        missing
    }

    /// A piece came `now`, of which the carrier says that it begins at `at_ms`; the time line has come as far as
    /// `samples`.
    pub fn at_piece(&mut self, at_ms: Option<u64>, samples: u64, now: Duration) -> Mend {
        self.last = now;
        let filled = std::mem::take(&mut self.filled);
        let Some(at_ms) = at_ms else { return Mend::Add(0) };
        let zero_ms = *self.zero_ms.get_or_insert(at_ms.saturating_sub(samples / g711::BYTES_PER_MS));
        let most = g711::bytes(now + DRIFT_MAX);
        let place = at_ms.saturating_sub(zero_ms).saturating_mul(g711::BYTES_PER_MS).min(most);
        if place > samples + UNREST || (filled > 0 && place > samples) {
            return Mend::Add(place - samples);
        }
        Mend::Remove(samples.saturating_sub(place).min(filled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: u64 = 20 * g711::BYTES_PER_MS;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Pieces without a gap, from 1 to `count`; the first one is of the carrier's 5,020th millisecond.
    fn begun(count: u64) -> Gaps {
        let mut gaps = Gaps::default();
        for piece in 0..count {
            let mend = gaps.at_piece(Some(5_020 + piece * 20), piece * FRAME, millis(piece * 20 + 30));
            assert_eq!(mend, Mend::Remove(0));
        }
        gaps
    }

    #[test]
    fn the_carriers_time_tells_how_long_a_gap_was() {
        let mut gaps = begun(50);
        assert_eq!(gaps.at_piece(Some(5_020 + 4_000), 50 * FRAME, millis(4_030)), Mend::Add(150 * FRAME));
        assert_eq!(gaps.at_piece(Some(5_020 + 4_020), 201 * FRAME, millis(4_050)), Mend::Remove(0));
    }

    #[test]
    fn a_mark_shows_that_time_passes_and_the_next_piece_how_much() {
        let mut gaps = begun(50);
        assert_eq!(gaps.at_mark(millis(1_400)), 0, "the network may be restless");
        // The last piece came at 1,010.
        assert_eq!(gaps.at_mark(millis(2_010)), g711::bytes(millis(1_000)));
        assert_eq!(gaps.at_mark(millis(2_110)), g711::bytes(millis(100)));
        let samples = 50 * FRAME + g711::bytes(millis(1_100));
        // It was sent at 2,080, and came at 2,120.
        assert_eq!(gaps.at_piece(Some(5_020 + 2_080), samples, millis(2_120)), Mend::Remove(20 * 8));
        assert_eq!(gaps.at_mark(millis(2_130)), 0);
    }

    #[test]
    fn what_came_late_and_all_at_once_is_no_gap() {
        let mut gaps = begun(50);
        for piece in 50..150 {
            let mend = gaps.at_piece(Some(5_020 + piece * 20), piece * FRAME, millis(4_000));
            assert_eq!(mend, Mend::Remove(0));
        }
        assert_eq!(gaps.at_mark(millis(4_000)), 0);
    }

    #[test]
    fn without_a_time_of_the_carrier_the_marks_are_believed_and_a_wild_one_is_bounded() {
        let mut gaps = Gaps::default();
        assert_eq!(gaps.at_mark(millis(900)), g711::bytes(millis(900)), "muted from the first moment");
        assert_eq!(gaps.at_piece(None, g711::bytes(millis(900)), millis(950)), Mend::Add(0));
        let mut gaps = begun(50);
        let wild = gaps.at_piece(Some(u64::MAX), 50 * FRAME, millis(1_030));
        assert_eq!(wild, Mend::Add(g711::bytes(millis(3_030)) - 50 * FRAME));
        assert_eq!(gaps.at_piece(Some(0), 200 * FRAME, millis(1_050)), Mend::Remove(0));
    }
}
