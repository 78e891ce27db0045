//! Where on the caller's time line the model's sound belongs.
//!
//! The caller's samples are the clock of a recording: twenty milliseconds of the caller come for each twenty
//! that the carrier plays. A mark comes back on the same socket as the caller's audio and in its place, so
//! what came of the caller before it tells when a piece was played to its end, to the carrier's twenty
//! milliseconds, however long the way is and however late anybody reads. Until its mark is there, a piece is
//! believed to be played when it was sent and the one before it is done, and as much later as it was with
//! the pieces before. Pure: nothing is written from here.

use std::collections::VecDeque;

use crate::wire::g711;

/// What the carrier plays at once, in samples: marks come at its end.
const FRAME: u64 = 20 * g711::BYTES_PER_MS;
/// The longest way to the carrier and back that is believed, in samples.
const LAG_MAX: u64 = 2 * g711::BYTES_PER_S;
/// The most sound that waits for its place, in samples: what the carrier keeps at most.
const WAITING_MAX: usize = 600 * g711::BYTES_PER_S as usize;

/// The model's side of a recording. Positions are numbers of the caller's samples.
#[derive(Debug, Default)]
pub struct Track {
    pieces: VecDeque<Piece>,
    waiting: usize,
    /// Up to where it was taken.
    taken: u64,
    /// Where the sound before the pieces ended.
    end: u64,
    /// How long after it was sent sound begins to be played.
    lag: u64,
}

#[derive(Debug)]
struct Piece {
    mark: String,
    audio: Vec<u8>,
    sent: u64,
    start: u64,
    /// Nothing of it was played from here on: the carrier was told to clear it.
    cut: Option<u64>,
    /// Its place is not moved any more.
    is_placed: bool,
}

impl Piece {
    fn end(&self) -> u64 {
        let end = self.start + self.audio.len() as u64;
        self.cut.map_or(end, |cut| end.min(cut).max(self.start))
    }
}

impl Track {
    /// The carrier is given this to play when it has come as far as `at`; what has the same mark behind it is played in
    /// one piece.
    pub fn sent(&mut self, at: u64, mark: &str, audio: &[u8]) {
        if self.waiting + audio.len() > WAITING_MAX {
            return;
        }
        self.waiting += audio.len();
        if let Some(piece) = self.pieces.back_mut().filter(|piece| piece.mark == mark && piece.cut.is_none())
        {
            return piece.audio.extend_from_slice(audio);
        }
        let (mark, audio) = (mark.to_owned(), audio.to_vec());
        self.pieces.push_back(Piece { mark, audio, sent: at, start: 0, cut: None, is_placed: false });
        self.place_from(self.pieces.len() - 1);
    }

    /// The mark behind a piece is back.
    pub fn marked(&mut self, at: u64, mark: &str) {
        let is_it = |piece: &Piece| !piece.is_placed && piece.mark == mark;
        let Some(index) = self.pieces.iter().position(is_it) else { return };
        let before = self.end_before(index);
        let (taken, piece) = (self.taken, &mut self.pieces[index]);
        let length = piece.audio.len() as u64;
        // All marks come back when the carrier clears, and only those are early.
        let is_whole = piece.cut.is_none() || at + FRAME >= piece.start + length;
        if is_whole {
            // It ended in the frame before the mark.
            let latest = at.saturating_sub(length);
            let has_gap = latest >= before + FRAME;
            piece.start = if has_gap { before.max(latest / FRAME * FRAME) } else { before }.max(taken);
            piece.cut = None;
            if has_gap {
                self.lag = piece.start.saturating_sub(piece.sent).min(LAG_MAX);
            }
        } else {
            piece.start = piece.start.min(at).max(taken);
            piece.cut = Some(at);
        }
        self.pieces.iter_mut().take(index + 1).for_each(|piece| piece.is_placed = true);
        self.place_from(index + 1);
    }

    /// The carrier is told to play no more of what it was given.
    pub fn cleared(&mut self, at: u64) {
        for piece in self.pieces.iter_mut().filter(|piece| !piece.is_placed) {
            // Until its mark tells.
            piece.cut = Some(at);
        }
        self.place_from(0);
    }

    /// The sound up to `until`, and silence where there is none. What is taken is not moved any more.
    pub fn take(&mut self, until: u64) -> Vec<u8> {
        let from = self.taken;
        self.taken = until.max(from);
        let place = |position: u64| usize::try_from(position - from).unwrap_or(usize::MAX);
        let mut sound = vec![g711::SILENCE; place(self.taken)];
        for piece in self.pieces.iter_mut().take_while(|piece| piece.start < until) {
            piece.is_placed = true;
            let (first, last) = (piece.start.max(from), piece.end().min(until));
            if first < last {
                let skipped = usize::try_from(first - piece.start).unwrap_or(usize::MAX);
                let (first, last) = (place(first), place(last));
                sound[first..last].copy_from_slice(&piece.audio[skipped..skipped + last - first]);
            }
        }
        while let Some(piece) = self.pieces.pop_front_if(|piece| piece.is_placed && piece.end() <= until) {
            self.waiting -= piece.audio.len();
            self.end = piece.end();
        }
        sound
    }

    fn end_before(&self, index: usize) -> u64 {
        index.checked_sub(1).map_or(self.end, |before| self.pieces[before].end())
    }

    /// Believes where the pieces from this one on are played.
    fn place_from(&mut self, index: usize) {
        let mut before = self.end_before(index);
        for piece in self.pieces.iter_mut().skip(index) {
            if !piece.is_placed {
                piece.start = before.max(piece.sent + self.lag).max(self.taken);
            }
            before = piece.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const QUIET: u8 = g711::SILENCE;

    fn sound(length: usize) -> Vec<u8> {
        vec![0x11; length]
    }

    fn first(track: &[u8]) -> Option<usize> {
        track.iter().position(|sample| *sample != QUIET)
    }

    #[test]
    fn what_has_one_mark_behind_it_is_placed_together() {
        let mut track = Track::default();
        for frame in 0..5 {
            track.sent(1_600 + frame * FRAME, "a", &sound(160));
        }
        track.sent(2_400, "b", &sound(160));
        // It was played five frames later than it was sent.
        track.marked(1_600 + 10 * FRAME, "a");
        let heard = track.take(4_000);
        assert_eq!(
            (first(&heard), heard.iter().filter(|sample| **sample != QUIET).count()),
            (Some(1_600 + 5 * FRAME as usize), 6 * 160)
        );
    }

    #[test]
    fn a_mark_tells_when_a_piece_was_played_however_long_the_way_is() {
        let mut track = Track::default();
        for (number, mark) in ["a", "b", "c"].iter().enumerate() {
            track.sent(1_600 + number as u64, mark, &sound(900));
        }
        // The carrier began five frames later.
        for (mark, end) in [("a", 3_300u64), ("b", 4_200), ("c", 5_100)] {
            track.marked(end.div_ceil(FRAME) * FRAME, mark);
        }
        let heard = track.take(8_000);
        assert_eq!(
            (first(&heard), heard.iter().filter(|sample| **sample != QUIET).count()),
            (Some(2_400), 2_700)
        );
        assert_eq!(heard[5_100..], [QUIET; 2_900]);
        // Of what comes next that is believed before its mark is there.
        track.sent(16_000, "d", &sound(10));
        assert_eq!(first(&track.take(24_000)), Some(16_000 + 800 - 8_000));
    }

    #[test]
    fn what_was_cleared_is_heard_to_the_moment_of_the_clear() {
        let mut track = Track::default();
        for mark in ["a", "b", "c"] {
            track.sent(0, mark, &sound(900));
        }
        track.marked(960, "a");
        track.cleared(1_120);
        // Two frames later it arrives, and all marks come back.
        for mark in ["b", "c"] {
            track.marked(1_440, mark);
        }
        track.sent(1_600, "d", &sound(160));
        let heard = track.take(3_200);
        assert!(heard[..1_440].iter().all(|sample| *sample != QUIET));
        assert_eq!((&heard[1_440..1_600], heard[1_600]), (&[QUIET; 160][..], 0x11));
    }

    #[test]
    fn without_marks_sound_stays_where_it_is_believed() {
        let mut track = Track::default();
        track.sent(160, "a", &sound(100));
        track.sent(160, "b", &sound(100));
        track.cleared(300);
        let heard = track.take(1_000);
        assert_eq!(
            (first(&heard), heard.iter().filter(|sample| **sample != QUIET).count()),
            (Some(160), 140)
        );
        track.marked(900, "a");
        assert_eq!(track.take(1_000), [0u8; 0]);
    }

    #[test]
    fn a_flood_is_bounded() {
        let mut track = Track::default();
        for _ in 0..700 {
            track.sent(0, "a", &sound(8_000));
        }
        assert!(track.waiting <= WAITING_MAX);
    }

    /// A carrier that plays a frame for each of the caller's.
    #[derive(Default)]
    struct Carrier {
        buffer: VecDeque<(String, VecDeque<u8>)>,
        heard: Vec<u8>,
    }

    impl Carrier {
        fn play(&mut self) -> Vec<String> {
            let (mut marks, mut wanted) = (Vec::new(), FRAME);
            while let Some((mark, audio)) = self.buffer.front_mut() {
                while wanted > 0
                    && let Some(sample) = audio.pop_front()
                {
                    self.heard.push(sample);
                    wanted -= 1;
                }
                if !audio.is_empty() {
                    break;
                }
                marks.push(std::mem::take(mark));
                self.buffer.pop_front();
            }
            self.heard.extend((0..wanted).map(|_| QUIET));
            marks
        }
    }

    proptest! {
        /// Whatever is sent when, and however long the ways are: no sample is further off than a frame.
        #[test]
        fn every_sample_is_within_a_frame(
            pieces in prop::collection::vec((0u64..40, 1usize..900), 1..40),
            there in 0u64..30,
            back in 0u64..30,
        ) {
            let (mut track, mut carrier) = (Track::default(), Carrier::default());
            let (mut to_carrier, mut marks) = (VecDeque::new(), VecDeque::new());
            let mut pieces = VecDeque::from(pieces);
            let mut next = 1;
            for tick in 1..=1_500u64 {
                // What the gateway knows is what the carrier did so long ago.
                let at = tick.saturating_sub(back) * FRAME;
                while marks.front().is_some_and(|(due, _)| *due <= tick) {
                    let (due, mark): (u64, String) = marks.pop_front().unwrap();
                    // In its place among the caller's frames, behind the one that went with it.
                    track.marked((due - back) * FRAME, &mark);
                }
                while let Some((_, length)) = pieces.pop_front_if(|_| next <= tick) {
                    let mark = format!("m{}", pieces.len());
                    let audio: Vec<u8> = (0..length).map(|at| (at % 100) as u8).collect();
                    track.sent(at, &mark, &audio);
                    to_carrier.push_back((tick + there, mark, VecDeque::from(audio)));
                    next = tick + pieces.front().map_or(0, |(pause, _)| *pause);
                }
                while to_carrier.front().is_some_and(|(due, _, _)| *due < tick) {
                    let (_, mark, audio) = to_carrier.pop_front().unwrap();
                    carrier.buffer.push_back((mark, audio));
                }
                marks.extend(carrier.play().into_iter().map(|mark| (tick + back, mark)));
            }
            let places = |heard: &[u8]| -> Vec<(usize, u8)> {
                heard.iter().copied().enumerate().filter(|(_, sample)| *sample != QUIET).collect()
            };
            let (heard, written) = (places(&carrier.heard), places(&track.take(1_500 * FRAME)));
            prop_assert_eq!(heard.len(), written.len());
            for ((heard_at, heard), (written_at, written)) in heard.into_iter().zip(written) {
                prop_assert_eq!(heard, written);
                prop_assert!(heard_at.abs_diff(written_at) <= FRAME as usize, "{} {}", heard_at, written_at);
            }
        }
    }
}
