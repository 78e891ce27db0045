//! What the caller hears of the assistant, and how far: the bookkeeping of audio that is on its way.
//!
//! The provider makes audio faster than it is heard. It waits here, cut into pieces, and is handed on so
//! that the carrier never holds much more than [`LEAD`]. Pieces that come in small, twenty milliseconds at a time, make up
//! groups of about a hundred, and each group is followed by a mark that comes back when it was played: a mark behind
//! every piece would be half of all messages. From the marks follows what the caller has heard, to the millisecond: when a
//! turn begins and ends for the caller, and how much of an item stays in the conversation when the caller
//! speaks over it. Pure: the time is an argument, and nothing is sent from here.
//!
//! Base64 is cut without being decoded: four characters are three bytes, so a cut after a multiple of four
//! leaves two texts that are base64 again.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::ids::{ItemId, TurnId};
use crate::wire::g711;
use crate::wire::media::decoded_len;

/// How much audio the carrier may hold that was not played yet. Enough to hide a late wake-up or a slow
/// network, little enough that a `clear` finds next to nothing to throw away.
pub const LEAD: Duration = Duration::from_millis(300);
/// The longest piece in characters of base64: 900 bytes, 112.5 ms.
const PIECE_CHARS_MAX: usize = 1_200;
/// A group of so many bytes, 100 ms, is followed by its mark: what lies within is known by the time that has passed.
const GROUP_BYTES: u64 = 100 * g711::BYTES_PER_MS;
/// Nothing more has come of a group for so long, or of its turn: the mark follows what is there.
const GROUP_WAIT: Duration = Duration::from_millis(100);
/// The most audio that waits, in bytes: ten minutes, the most that Twilio would keep either. What comes and does
/// not fit is dropped, and noted; what waits is not touched.
const WAITING_BYTES_MAX: u64 = 600 * g711::BYTES_PER_S;
/// How many interrupted turns are remembered, so that what still comes of them is not played.
const CUT_MAX: usize = 16;
/// How late a mark may be before its group counts as played all the same.
const MARK_LATE: Duration = Duration::from_secs(5);

/// Audio that is on its way to the caller.
#[derive(Debug, Default)]
pub struct Playback {
    /// Marks of an older generation were cleared and say nothing.
    generation: u32,
    /// The number of the next group of this generation.
    next: u64,
    waiting: VecDeque<Piece>,
    waiting_bytes: u64,
    sent: VecDeque<Sent>,
    sent_bytes: u64,
    /// Since when the first of the sent groups is being played.
    head_since: Option<Instant>,
    turns: VecDeque<Turn>,
    items: VecDeque<Item>,
    cut: VecDeque<TurnId>,
    events: VecDeque<Told>,
}

#[derive(Debug)]
struct Piece {
    turn: TurnId,
    item: ItemId,
    content_index: u64,
    audio: String,
    bytes: u64,
}

/// A group of pieces of one item, with one mark behind them.
#[derive(Debug)]
struct Sent {
    number: u64,
    turn: TurnId,
    item: ItemId,
    content_index: u64,
    bytes: u64,
    /// Since when it has been waiting for more; none: its mark was sent.
    open: Option<Instant>,
}

impl Sent {
    fn takes(&self, piece: &Piece) -> bool {
        self.open.is_some()
            && self.turn == piece.turn
            && self.item == piece.item
            && self.content_index == piece.content_index
    }
}

#[derive(Debug)]
struct Turn {
    turn: TurnId,
    /// Pieces that wait, and groups that were sent and are not played.
    pieces: usize,
    /// The model has said all of it.
    is_complete: bool,
    /// The caller was told to hear it.
    is_started: bool,
}

#[derive(Debug)]
struct Item {
    turn: TurnId,
    item: ItemId,
    content_index: u64,
    /// What came of it.
    received: u64,
    /// What marks say was played.
    played: u64,
}

/// What the caller hears, as it happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The turn begins to be heard.
    Started(TurnId),
    /// It was heard to its end.
    Drained(TurnId),
    /// The rest of it will not be heard.
    Cleared(TurnId),
}

/// What is to be sent now.
#[derive(Debug, PartialEq, Eq)]
pub enum Due {
    /// A piece, of a group that will be followed by this mark.
    Audio {
        /// Base64.
        audio: String,
        /// The mark's name.
        mark: String,
    },
    /// The mark with this name.
    Mark(String),
}

/// What is to be taken out of the conversation after an interruption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truncation {
    /// The item.
    pub item: ItemId,
    /// Which part of it.
    pub content_index: u64,
    /// How much of it was heard, in milliseconds; never more than came.
    pub heard_ms: u64,
}

/// What became of audio that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It will be played.
    Queued,
    /// It belongs to a turn that was interrupted.
    Late,
    /// There is too much already.
    Full,
    /// It is not base64.
    Senseless,
}

impl Playback {
    /// Takes audio of the model: base64 as it came.
    pub fn push(&mut self, turn: TurnId, item: ItemId, content_index: u64, audio: &str) -> Taken {
        if self.cut.contains(&turn) {
            return Taken::Late;
        }
        let Some(bytes) = decoded_len(audio) else { return Taken::Senseless };
        let bytes = bytes as u64;
        if bytes == 0 {
            return Taken::Queued;
        }
        if self.waiting_bytes + bytes > WAITING_BYTES_MAX {
            return Taken::Full;
        }
        self.item(&turn, &item, content_index).received += bytes;
        let mut rest = audio;
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(rest.len().min(PIECE_CHARS_MAX));
            let bytes = decoded_len(piece).unwrap_or_default() as u64;
            self.waiting.push_back(Piece {
                turn: turn.clone(),
                item: item.clone(),
                content_index,
                audio: piece.to_owned(),
                bytes,
            });
            self.waiting_bytes += bytes;
            self.turn(&turn).pieces += 1;
            rest = behind;
        }
        Taken::Queued
    }

    /// The model has said all of a turn.
    pub fn complete(&mut self, turn: &TurnId) {
        if let Some(known) = self.turns.iter_mut().find(|known| known.turn == *turn) {
            known.is_complete = true;
        }
        self.settle();
    }

    /// The next piece or mark, if it is time to send it.
    pub fn due(&mut self, now: Instant) -> Option<Due> {
        if let Some(mark) = self.mark_due(now) {
            return Some(Due::Mark(mark));
        }
        if self.ahead(now) >= LEAD {
            return None;
        }
        let piece = self.waiting.pop_front()?;
        self.waiting_bytes -= piece.bytes;
        self.sent_bytes += piece.bytes;
        let number = match self.sent.back_mut().filter(|group| group.takes(&piece)) {
            Some(group) => {
                group.bytes += piece.bytes;
                let number = group.number;
                self.turn(&piece.turn).pieces -= 1;
                number
            }
            None => {
                let number = self.next;
                self.next += 1;
                let Piece { turn, item, content_index, bytes, .. } = piece;
                self.sent.push_back(Sent { number, turn, item, content_index, bytes, open: Some(now) });
                number
            }
        };
        if self.head_since.is_none() {
            self.head_begins(now);
        }
        Some(Due::Audio { audio: piece.audio, mark: self.mark_name(number) })
    }

    /// The mark behind the last group, once there is enough of it or no more to come.
    fn mark_due(&mut self, now: Instant) -> Option<String> {
        let group = self.sent.back()?;
        let opened = group.open?;
        let is_over = match self.waiting.front() {
            Some(piece) => !group.takes(piece),
            None => self.turns.iter().any(|turn| turn.turn == group.turn && turn.is_complete),
        };
        if !is_over && group.bytes < GROUP_BYTES && now < opened + GROUP_WAIT {
            return None;
        }
        let mark = self.mark_name(group.number);
        self.sent.back_mut()?.open = None;
        Some(mark)
    }

    /// When [`Playback::due`] or [`Playback::overdue`] will have something to say.
    pub fn wake_at(&self, now: Instant) -> Option<Instant> {
        let next = (!self.waiting.is_empty()).then(|| now + self.ahead(now).saturating_sub(LEAD));
        let mark = self.sent.back().and_then(|group| Some(group.open? + GROUP_WAIT));
        [next, mark, self.late_at()].into_iter().flatten().min()
    }

    /// A mark came back. Claims that it was one of ours that still counts.
    pub fn marked(&mut self, name: &str, now: Instant) -> bool {
        let number = name.strip_prefix('g').and_then(|rest| rest.split_once('n'));
        let Some((generation, number)) = number else { return false };
        if generation.parse() != Ok(self.generation) {
            return false;
        }
        let Ok(number) = number.parse::<u64>() else { return false };
        if !self.sent.iter().any(|sent| sent.number == number && sent.open.is_none()) {
            return false;
        }
        // Played in order: an earlier mark that was lost is made up for.
        while self.sent.front().is_some_and(|sent| sent.number <= number) {
            self.head_was_played(now);
        }
        true
    }

    /// Marks that never came are not waited for. Claims that there was one.
    pub fn overdue(&mut self, now: Instant) -> bool {
        let is_late = self.late_at().is_some_and(|at| at <= now);
        if is_late {
            self.head_was_played(now);
        }
        is_late
    }

    /// The caller speaks: what waits is dropped, what was sent is to be cleared at the carrier, and what was
    /// not heard is to be taken out of the conversation. Also audio of `running` that is still to come will
    /// not be played. None when the caller heard nothing anyway.
    pub fn interrupt(&mut self, running: Option<&TurnId>, now: Instant) -> Option<Vec<Truncation>> {
        if let Some(running) = running {
            self.cut(running.clone());
        }
        if self.turns.is_empty() {
            return None;
        }
        let truncations = self.truncations(now);
        for turn in std::mem::take(&mut self.turns) {
            self.cut(turn.turn.clone());
            self.events.push_back(Told::Cleared(turn.turn));
        }
        self.forget();
        Some(truncations)
    }

    /// The socket to the provider is lost: what is still coming of its turns never will. What is here is
    /// played to its end.
    pub fn provider_lost(&mut self) {
        for turn in &mut self.turns {
            turn.is_complete = true;
        }
        self.settle();
    }

    /// What happened for the caller, in order.
    pub fn told(&mut self) -> Option<Told> {
        self.events.pop_front()
    }

    /// Claims that something was sent or waits that the caller has not heard.
    pub fn is_audible(&self) -> bool {
        !self.sent.is_empty() || !self.waiting.is_empty()
    }

    fn truncations(&self, now: Instant) -> Vec<Truncation> {
        let head = self.sent.front();
        let is_complete =
            |turn: &TurnId| self.turns.iter().any(|known| known.turn == *turn && known.is_complete);
        let last_of = |turn: &TurnId| self.items.iter().rfind(|item| item.turn == *turn);
        // What was heard whole stays whole; of a turn that is still being said, more came than we have.
        let is_unheard = |item: &&Item| {
            let is_last = last_of(&item.turn).is_some_and(|last| std::ptr::eq(last, *item));
            item.played < item.received || (is_last && !is_complete(&item.turn))
        };
        self.items
            .iter()
            .filter(is_unheard)
            .map(|item| {
                let of_head = head
                    .filter(|head| head.item == item.item && head.content_index == item.content_index)
                    .map_or(0, |head| self.head_played(head, now));
                let heard = (item.played + of_head).min(item.received);
                Truncation {
                    item: item.item.clone(),
                    content_index: item.content_index,
                    heard_ms: heard / g711::BYTES_PER_MS,
                }
            })
            .collect()
    }

    fn forget(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.next = 0;
        self.waiting.clear();
        self.waiting_bytes = 0;
        self.sent.clear();
        self.sent_bytes = 0;
        self.head_since = None;
        self.items.clear();
    }

    /// How much the carrier holds that was not played, as far as can be known.
    fn ahead(&self, now: Instant) -> Duration {
        let Some(head) = self.sent.front() else { return Duration::ZERO };
        g711::duration(self.sent_bytes - self.head_played(head, now))
    }

    fn head_played(&self, head: &Sent, now: Instant) -> u64 {
        let since = self.head_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        g711::bytes(since).min(head.bytes)
    }

    fn late_at(&self) -> Option<Instant> {
        let head = self.sent.front()?;
        Some(self.head_since? + g711::duration(head.bytes) + MARK_LATE)
    }

    fn head_was_played(&mut self, now: Instant) {
        let Some(head) = self.sent.pop_front() else { return };
        self.sent_bytes -= head.bytes;
        self.item(&head.turn, &head.item, head.content_index).played += head.bytes;
        self.turn(&head.turn).pieces -= 1;
        self.head_since = None;
        self.settle();
        if !self.sent.is_empty() {
            self.head_begins(now);
        }
    }

    fn head_begins(&mut self, now: Instant) {
        self.head_since = Some(now);
        let Some(head) = self.sent.front() else { return };
        let turn = head.turn.clone();
        if !std::mem::replace(&mut self.turn(&turn).is_started, true) {
            self.events.push_back(Told::Started(turn));
        }
    }

    /// Turns that were said and heard to their end are done.
    fn settle(&mut self) {
        let events = &mut self.events;
        let items = &mut self.items;
        self.turns.retain(|turn| {
            let is_done = turn.is_complete && turn.pieces == 0;
            if is_done && turn.is_started {
                events.push_back(Told::Drained(turn.turn.clone()));
            }
            if is_done {
                items.retain(|item| item.turn != turn.turn);
            }
            !is_done
        });
    }

    fn cut(&mut self, turn: TurnId) {
        if self.cut.contains(&turn) {
            return;
        }
        if self.cut.len() == CUT_MAX {
            self.cut.pop_front();
        }
        self.cut.push_back(turn);
    }

    fn mark_name(&self, number: u64) -> String {
        format!("g{}n{number}", self.generation)
    }

    /// The turn, entered if it is new.
    fn turn(&mut self, turn: &TurnId) -> &mut Turn {
        let at = self.turns.iter().position(|known| known.turn == *turn).unwrap_or_else(|| {
            let turn = turn.clone();
            self.turns.push_back(Turn { turn, pieces: 0, is_complete: false, is_started: false });
            self.turns.len() - 1
        });
        &mut self.turns[at]
    }

    /// The part of an item, entered if it is new.
    fn item(&mut self, turn: &TurnId, item: &ItemId, content_index: u64) -> &mut Item {
        let is_it = |known: &Item| known.item == *item && known.content_index == content_index;
        let at = self.items.iter().position(is_it).unwrap_or_else(|| {
            let (turn, item) = (turn.clone(), item.clone());
            self.items.push_back(Item { turn, item, content_index, received: 0, played: 0 });
            self.items.len() - 1
        });
        &mut self.items[at]
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn audio(millis: usize) -> String {
        STANDARD.encode(vec![0x55; millis * 8])
    }

    fn push(playback: &mut Playback, turn: &str, millis: usize) -> Taken {
        playback.push(turn.into(), format!("item_{turn}").as_str().into(), 0, &audio(millis))
    }

    fn told(playback: &mut Playback) -> Vec<Told> {
        std::iter::from_fn(|| playback.told()).collect()
    }

    /// Sends everything that is due now; gives the names of the marks.
    fn send(playback: &mut Playback, now: Instant) -> Vec<String> {
        let due = std::iter::from_fn(|| playback.due(now));
        due.filter_map(|due| if let Due::Mark(mark) = due { Some(mark) } else { None }).collect()
    }

    #[test]
    fn audio_is_handed_on_with_a_small_lead() {
        let (mut playback, zero) = (Playback::default(), Instant::now());
        push(&mut playback, "t", 1_000);
        assert_eq!(send(&mut playback, zero), ["g0n0", "g0n1", "g0n2"], "the third crosses the lead");
        assert_eq!(told(&mut playback), [Told::Started("t".into())]);
        assert_eq!(playback.wake_at(zero), Some(zero + Duration::from_micros(37_500)));
        assert!(send(&mut playback, zero + ms(37)).is_empty());
        assert_eq!(send(&mut playback, zero + ms(38)), ["g0n3"]);
    }

    #[test]
    fn a_turn_is_heard_when_its_last_mark_is_back_and_all_of_it_was_said() {
        let (mut playback, zero) = (Playback::default(), Instant::now());
        push(&mut playback, "t", 200);
        assert_eq!(send(&mut playback, zero), ["g0n0"], "of the second group more may come");
        assert!(playback.marked("g0n0", zero + ms(112)));
        assert_eq!(playback.wake_at(zero + ms(50)), Some(zero + GROUP_WAIT));
        assert_eq!(send(&mut playback, zero + GROUP_WAIT), ["g0n1"], "and did not");
        assert!(playback.marked("g0n1", zero + ms(200)));
        assert_eq!(told(&mut playback), [Told::Started("t".into())], "more of it may come");
        playback.complete(&"t".into());
        assert_eq!(told(&mut playback), [Told::Drained("t".into())]);
        assert!(!playback.is_audible());
    }

    #[test]
    fn audio_that_comes_in_small_has_a_mark_now_and_then_and_one_at_its_end() {
        let (mut playback, zero) = (Playback::default(), Instant::now());
        let mut marks = Vec::new();
        for piece in 0..12 {
            push(&mut playback, "t", 20);
            let now = zero + ms(piece * 20);
            let due: Vec<Due> = std::iter::from_fn(|| playback.due(now)).collect();
            assert!(matches!(&due[0], Due::Audio { .. }), "nothing waits for a group: {due:?}");
            marks.extend(due.into_iter().filter_map(|due| match due {
                Due::Mark(mark) => Some((piece, mark)),
                Due::Audio { .. } => None,
            }));
        }
        assert_eq!(marks, [(4, "g0n0".to_owned()), (9, "g0n1".to_owned())]);
        playback.complete(&"t".into());
        assert_eq!(send(&mut playback, zero + ms(221)), ["g0n2"], "the last of it at once");
        assert!(!playback.marked("g0n3", zero + ms(222)));
        playback.marked("g0n0", zero + ms(100));
        let cut = playback.interrupt(None, zero + ms(150)).expect("it is audible");
        assert_eq!(cut[0].heard_ms, 150, "in the middle of a group");
    }

    #[test]
    fn the_next_turn_begins_when_the_one_before_it_was_heard() {
        let (mut playback, zero) = (Playback::default(), Instant::now());
        push(&mut playback, "a", 100);
        playback.complete(&"a".into());
        push(&mut playback, "b", 100);
        playback.complete(&"b".into());
        send(&mut playback, zero);
        assert_eq!(told(&mut playback), [Told::Started("a".into())]);
        playback.marked("g0n0", zero + ms(100));
        assert_eq!(told(&mut playback), [Told::Drained("a".into()), Told::Started("b".into())]);
    }

    #[test]
    fn what_was_heard_is_known_to_the_millisecond() {
        let (mut playback, zero) = (Playback::default(), Instant::now());
        push(&mut playback, "t", 5_000);
        send(&mut playback, zero);
        playback.marked("g0n0", zero + ms(113));
        let cut = playback.interrupt(Some(&"t".into()), zero + ms(163)).expect("it is audible");
        let expected = Truncation { item: "item_t".into(), content_index: 0, heard_ms: 162 };
        assert_eq!(cut, [expected], "112.5 ms by the mark and 50 ms since");
        assert_eq!(told(&mut playback), [Told::Started("t".into()), Told::Cleared("t".into())]);
        assert_eq!(push(&mut playback, "t", 20), Taken::Late);
        assert!(!playback.marked("g0n1", zero + ms(170)), "a cleared mark proves nothing");
        assert_eq!(playback.wake_at(zero + ms(170)), None);
        push(&mut playback, "u", 100);
        assert_eq!(send(&mut playback, zero + ms(200)), ["g1n0"]);
    }

    #[test]
    fn no_more_is_heard_than_came_and_nothing_of_what_waits() {
        let (mut playback, zero) = (Playback::default(), Instant::now());
        push(&mut playback, "a", 40);
        playback.complete(&"a".into());
        push(&mut playback, "b", 400);
        send(&mut playback, zero);
        let cut = playback.interrupt(None, zero + ms(9_000)).expect("it is audible");
        let heard: Vec<_> = cut.iter().map(|cut| (cut.item.as_str(), cut.heard_ms)).collect();
        assert_eq!(heard, [("item_a", 40), ("item_b", 0)]);
        assert_eq!(playback.interrupt(None, zero), None, "nothing is left to interrupt");
    }

    #[test]
    fn a_running_turn_without_audio_is_cut_as_well() {
        let mut playback = Playback::default();
        assert_eq!(playback.interrupt(Some(&"t".into()), Instant::now()), None);
        assert_eq!(push(&mut playback, "t", 20), Taken::Late);
    }

    #[test]
    fn a_mark_that_never_comes_is_not_waited_for() {
        let (mut playback, zero) = (Playback::default(), Instant::now());
        push(&mut playback, "t", 100);
        playback.complete(&"t".into());
        send(&mut playback, zero);
        assert!(!playback.overdue(zero + ms(5_000)));
        assert!(playback.overdue(zero + ms(5_100)));
        assert_eq!(told(&mut playback).last(), Some(&Told::Drained("t".into())));
    }

    #[test]
    fn a_flood_of_audio_is_bounded() {
        let mut playback = Playback::default();
        let minute = audio(60_000);
        let taken: Vec<_> = (0..11).map(|_| playback.push("t".into(), "i".into(), 0, &minute)).collect();
        assert_eq!((taken[9], taken[10]), (Taken::Queued, Taken::Full));
        assert_eq!(playback.push("t".into(), "i".into(), 0, "not base64!"), Taken::Senseless);
    }

    proptest! {
        /// Whatever comes and goes, what is cut together is what was cut apart, and nobody hears more than
        /// there was.
        #[test]
        fn pieces_are_the_whole(sizes in prop::collection::vec(0usize..5_000, 1..8), cut_at in 0u64..2_000) {
            let (mut playback, zero) = (Playback::default(), Instant::now());
            let (mut whole, mut sent) = (Vec::new(), Vec::new());
            for (at, size) in sizes.iter().enumerate() {
                let audio: Vec<u8> = (0..*size).map(|byte| (byte + at) as u8).collect();
                playback.push("t".into(), "i".into(), 0, &STANDARD.encode(&audio));
                whole.extend(audio);
            }
            let mut now = zero;
            let mut heard_ms = None;
            while let Some(wake) = playback.wake_at(now) {
                now = wake.max(now);
                while let Some(due) = playback.due(now) {
                    now += ms(1);
                    match due {
                        Due::Audio { audio, .. } => {
                            let piece = STANDARD.decode(&audio).unwrap();
                            prop_assert!(piece.len() <= 900);
                            sent.extend(piece);
                        }
                        Due::Mark(mark) => prop_assert!(playback.marked(&mark, now)),
                    }
                }
                playback.overdue(now);
                if now >= zero + ms(cut_at) && playback.is_audible() {
                    heard_ms = playback.interrupt(None, now).map(|cut| cut[0].heard_ms);
                    break;
                }
            }
            prop_assert!(whole.starts_with(&sent));
            prop_assert!(heard_ms.is_none_or(|heard| heard * 8 <= whole.len() as u64));
            if heard_ms.is_none() {
                prop_assert_eq!(sent.len(), whole.len());
            }
        }
    }
}
