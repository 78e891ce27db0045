//! Who said what, and when: partial and late words become lines on one time line.
//!
//! The caller's times come from the provider's audio clock, laid onto ours; the assistant's from the
//! moments at which its audio began and ended for the caller. A line is handed out to be kept as soon
//! as its words are final, and again when its end is known; what is still open when the call ends is
//! handed out as it stands. Lines are read in the order in which speech started, which is not the
//! order in which their words arrive.

use std::collections::VecDeque;

mod growing;
mod unseen;

use super::audio_clock::AudioClock;
use super::event::{SpeechPadding, TextMode, TurnStatus};
use super::record::{FORMAT, Line, LineStatus, Speaker};
use crate::clock::Timestamp;
use crate::ids::{ItemId, TurnId};

pub use growing::Growing;
use unseen::{Gap, PAUSE, Recent};

/// The longest text of one line in bytes; more is cut. A model's turn is at most a few thousand.
const TEXT_BYTES_MAX: usize = 64 << 10;
/// How many utterances may wait for their words at once; the oldest is then kept as it stands.
const OPEN_MAX: usize = 32;
/// How many of a call's last lines may be open when it is taken up again: one is heard, one waits behind it, and
/// the caller may have spoken in between.
const REOPENED_MAX: usize = 4;
/// How many items one turn's words may come in; the words of more are dropped.
const PARTS_MAX: usize = 32;

/// The transcript of one call in the making.
#[derive(Debug, Default)]
pub struct Transcript {
    audio_clock: AudioClock,
    caller: VecDeque<Utterance>,
    caller_is_speaking: bool,
    assistant: VecDeque<Speech>,
    closed_items: Recent<ItemId>,
    closed_turns: Recent<TurnId>,
    hears_playback: bool,
    next: u32,
    /// When the line began that began last, of those that were handed out.
    latest: Option<Timestamp>,
    changed: Vec<Line>,
    /// Nobody listened for a while, and what began then was not seen.
    gap: Option<Gap>,
    /// Words came that are no line yet.
    has_grown: bool,
}

/// How far what a turn says has come to the caller's ear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It says nothing.
    Silent,
    /// No sound of it has begun, as far as we know.
    NotYet,
    /// It is being played.
    Now,
    /// It was played, or cut.
    Whole,
}

/// Something the caller says.
#[derive(Debug)]
struct Utterance {
    item: ItemId,
    text: String,
    started: Timestamp,
    start_ms: Option<u64>,
    ended: Option<Timestamp>,
    end_ms: Option<u64>,
    /// Its beginning was seen, and the sideband was not lost since.
    is_seen: bool,
}

/// Something the assistant says: one turn.
#[derive(Debug)]
struct Speech {
    turn: TurnId,
    n: Option<u32>,
    parts: Vec<(ItemId, String)>,
    started: Timestamp,
    /// Its sound began.
    is_begun: bool,
    /// The caller hears it now, as far as we know.
    is_audible: bool,
    played: Option<(Timestamp, LineStatus)>,
    status: Option<TurnStatus>,
}

impl Transcript {
    /// The transcript of a call that an earlier process looked after: its lines, in the order of speech. What the
    /// assistant said last may have had no end yet; it still can.
    pub fn restored(lines: &[Line], hears_playback: bool) -> Transcript {
        let next = lines.iter().map(|line| line.n + 1).max().unwrap_or(0);
        let latest = lines.iter().map(|line| line.started).max();
        let mut transcript = Transcript { hears_playback, next, latest, ..Transcript::default() };
        let open_from = lines.len().saturating_sub(REOPENED_MAX);
        // As they were kept: what was kept last is last also where the clock was set back meanwhile.
        let mut as_kept: Vec<&Line> = lines.iter().collect();
        as_kept.sort_by_key(|line| line.n);
        for (at, line) in as_kept.into_iter().enumerate() {
            match (Speech::restored(line).filter(|_| at >= open_from), &line.turn, &line.item) {
                (Some(speech), ..) => transcript.assistant.push_back(speech),
                (None, turn, item) => {
                    turn.iter().for_each(|turn| transcript.closed_turns.push((*turn).clone()));
                    item.iter().for_each(|item| transcript.closed_items.push((*item).clone()));
                }
            }
        }
        transcript
    }

    /// No sound of the call can be older than this.
    pub fn set_earliest(&mut self, earliest: Timestamp) {
        self.audio_clock.earliest = earliest;
    }

    /// How far the provider's speech times reach beyond the speech.
    pub fn set_padding(&mut self, padding: SpeechPadding) {
        self.audio_clock.padding = padding;
    }

    /// How many lines have been numbered.
    pub fn line_count(&self) -> u32 {
        self.next
    }

    /// The lines that are new or have changed since this was last asked.
    pub fn take_changed(&mut self) -> Vec<Line> {
        let changed = std::mem::take(&mut self.changed);
        self.latest = changed.iter().map(|line| line.started).chain(self.latest).max();
        changed
    }

    /// Claims that the caller is speaking now.
    pub fn caller_is_speaking(&self) -> bool {
        self.caller_is_speaking
    }

    /// Claims that the caller hears the assistant now.
    pub fn assistant_is_audible(&self) -> bool {
        self.assistant.iter().any(|speech| speech.is_audible)
    }

    /// How far what the turn says has come to the caller's ear.
    pub fn heard(&self, turn: &TurnId) -> Heard {
        match self.assistant.iter().find(|speech| speech.turn == *turn && speech.has_words()) {
            None => Heard::Silent,
            Some(speech) if speech.played.is_some() => Heard::Whole,
            Some(speech) if speech.is_audible => Heard::Now,
            Some(_) => Heard::NotYet,
        }
    }

    /// The caller began to speak.
    pub fn caller_started(&mut self, item: ItemId, at_ms: Option<u64>, now: Timestamp) {
        self.caller_is_speaking = true;
        let started = self.audio_clock.saw_start(at_ms, now);
        if let Some(utterance) = self.utterance(item, now) {
            utterance.start_ms = started;
            utterance.is_seen = true;
        }
    }

    /// The caller stopped speaking.
    pub fn caller_stopped(&mut self, item: ItemId, at_ms: Option<u64>, now: Timestamp) {
        self.caller_is_speaking = false;
        let ended = self.audio_clock.saw_stop(at_ms, now);
        let after = self.audio_clock.padding.after;
        let began_by = self.began_by(&item, now);
        if let Some(utterance) = self.utterance(item, now) {
            utterance.started = began_by.map_or(utterance.started, |by| utterance.started.min(by));
            utterance.end_ms = ended;
            utterance.ended = Some(now - after);
        }
    }

    /// Words of the caller.
    pub fn caller_words(&mut self, item: ItemId, text: &str, mode: TextMode, now: Timestamp) {
        let next = self.next_words_begin();
        let began_by = [next.map(|next| next - PAUSE), self.began_by(&item, now)].into_iter().flatten().min();
        let Some(utterance) = self.utterance(item.clone(), now) else { return };
        if let Some(began_by) = began_by.filter(|_| !utterance.is_seen && utterance.text.is_empty()) {
            utterance.started = utterance.started.min(began_by);
        }
        put_words(&mut utterance.text, text, mode, TEXT_BYTES_MAX);
        self.has_grown = true;
        if mode == TextMode::Final {
            self.close_utterance(&item, LineStatus::Final);
        }
    }

    /// The caller's words could not be written down.
    pub fn caller_words_failed(&mut self, item: &ItemId) {
        self.close_utterance(item, LineStatus::Untranscribed);
    }

    /// The caller pressed keys; which is nobody's business, how many may be.
    pub fn keys(&mut self, count: usize, started: Timestamp, ended: Timestamp) {
        let line = Line {
            v: FORMAT,
            n: self.number(),
            speaker: Speaker::Keypad,
            text: "•".repeat(count),
            started,
            ended: Some(ended),
            status: LineStatus::Final,
            item: None,
            turn: None,
        };
        self.changed.push(line);
    }

    /// Words of the assistant.
    pub fn assistant_words(
        &mut self,
        turn: TurnId,
        item: ItemId,
        text: &str,
        mode: TextMode,
        now: Timestamp,
    ) {
        if let Some(speech) = self.speech(turn, now) {
            speech.put_words(item, text, mode);
            self.has_grown = true;
        }
    }

    /// The assistant ended a turn; what it said may still be playing.
    pub fn turn_ended(&mut self, turn: &TurnId, status: TurnStatus) {
        let hears_playback = self.hears_playback;
        let Some(at) = self.assistant.iter().position(|speech| speech.turn == *turn) else { return };
        let speech = &mut self.assistant[at];
        speech.status = Some(status);
        // A turn that was cut before its first sound will never be played.
        let is_over = speech.played.is_some()
            || (status != TurnStatus::Completed && !speech.is_begun && hears_playback);
        self.keep_speech(at);
        if is_over {
            self.close_speech(at);
        }
    }

    /// The caller can hear the turn from now on.
    pub fn playback_started(&mut self, turn: TurnId, now: Timestamp) {
        self.hears_playback = true;
        // One sound at a time: whatever was still waiting for its end has had it.
        self.assistant.iter_mut().for_each(|speech| speech.is_audible = false);
        let Some(speech) = self.speech(turn, now) else { return };
        if speech.played.is_none() {
            speech.started = now;
            speech.is_begun = true;
            speech.is_audible = true;
        }
    }

    /// The turn was played to its end (`Final`) or the rest of it will not be heard (`Interrupted`).
    pub fn playback_ended(&mut self, turn: &TurnId, status: LineStatus, now: Timestamp) {
        let Some(at) = self.assistant.iter().position(|speech| speech.turn == *turn) else { return };
        let speech = &mut self.assistant[at];
        speech.is_audible = false;
        speech.played.get_or_insert((now, status));
        if self.assistant[at].status.is_some() {
            self.keep_speech(at);
            self.close_speech(at);
        }
    }

    /// The sideband was lost: the end of what is being said may pass unseen. Words that come later still
    /// belong to it.
    pub fn lost(&mut self) {
        self.caller_is_speaking = false;
        self.caller.iter_mut().for_each(|utterance| utterance.is_seen = false);
        for at in 0..self.assistant.len() {
            self.assistant[at].is_audible = false;
            self.keep_speech(at);
        }
    }

    /// The items of words that have begun and of which the end was not seen.
    pub fn open_items(&self) -> Vec<ItemId> {
        let caller = self.caller.iter().map(|utterance| &utterance.item);
        let unfinished = self.assistant.iter().filter(|speech| speech.status.is_none());
        let assistant = unfinished.flat_map(|speech| speech.parts.iter().map(|(item, _)| item));
        caller.chain(assistant).cloned().collect()
    }

    fn start_of(&self, utterance: &Utterance) -> Timestamp {
        self.audio_clock.start(utterance.start_ms).unwrap_or(utterance.started)
    }

    /// Another session takes the call over: what is still open is kept as it stands, and the new session's audio
    /// clock has its own zero.
    pub fn begin_again(&mut self, now: Timestamp) {
        self.flush(now);
        self.audio_clock = AudioClock::default();
        self.caller_is_speaking = false;
        self.hears_playback = false;
    }

    /// The call is over: whatever is still open is kept as it stands.
    pub fn flush(&mut self, now: Timestamp) {
        while let Some(utterance) = self.caller.front() {
            let item = utterance.item.clone();
            self.close_utterance(&item, LineStatus::Partial);
        }
        while let Some(speech) = self.assistant.front_mut() {
            if std::mem::take(&mut speech.is_audible) {
                speech.played = Some((now, LineStatus::Interrupted));
            }
            self.keep_speech(0);
            self.close_speech(0);
        }
    }

    /// When the first of those words began that are still to come, and whose beginning was seen since the sideband is
    /// up. Words are written down in order: what comes before them was said before them, also where its beginning
    /// passed unseen.
    fn next_words_begin(&self) -> Option<Timestamp> {
        let seen = self.caller.iter().filter(|utterance| utterance.is_seen);
        seen.map(|utterance| self.start_of(utterance)).min()
    }

    /// The utterance of an item, begun now if it is new; none when it was finished before.
    fn utterance(&mut self, item: ItemId, now: Timestamp) -> Option<&mut Utterance> {
        if self.closed_items.contains(&item) {
            return None;
        }
        if let Some(at) = self.caller.iter().position(|utterance| utterance.item == item) {
            return self.caller.get_mut(at);
        }
        if self.caller.len() == OPEN_MAX {
            let oldest = self.caller[0].item.clone();
            self.close_utterance(&oldest, LineStatus::Partial);
        }
        let started = now - self.audio_clock.padding.after;
        self.caller.push_back(Utterance {
            item,
            text: String::new(),
            started,
            start_ms: None,
            ended: None,
            end_ms: None,
            is_seen: false,
        });
        self.caller.back_mut()
    }

    fn close_utterance(&mut self, item: &ItemId, status: LineStatus) {
        let Some(at) = self.caller.iter().position(|utterance| utterance.item == *item) else { return };
        let Some(utterance) = self.caller.remove(at) else { return };
        self.closed_items.push(utterance.item.clone());
        let is_empty = utterance.text.is_empty();
        // A cough is speech to a detector, but no line.
        if is_empty && status == LineStatus::Final {
            return;
        }
        let started = self.audio_clock.start(utterance.start_ms).unwrap_or(utterance.started);
        let ended = self.audio_clock.end(utterance.end_ms).or(utterance.ended);
        let line = Line {
            v: FORMAT,
            n: self.number(),
            speaker: Speaker::Caller,
            started,
            // The padding can be longer than the sound.
            ended: ended.map(|ended| ended.max(started)),
            text: utterance.text,
            status: if is_empty { LineStatus::Untranscribed } else { status },
            item: Some(utterance.item),
            turn: None,
        };
        self.changed.push(line);
    }

    /// What a turn says, begun now if it is new; none when it was finished before.
    fn speech(&mut self, turn: TurnId, now: Timestamp) -> Option<&mut Speech> {
        if self.closed_turns.contains(&turn) {
            return None;
        }
        if let Some(at) = self.assistant.iter().position(|speech| speech.turn == turn) {
            return self.assistant.get_mut(at);
        }
        if self.assistant.len() == OPEN_MAX {
            self.keep_speech(0);
            self.close_speech(0);
        }
        self.assistant.push_back(Speech {
            turn,
            n: None,
            parts: Vec::new(),
            started: now,
            is_begun: false,
            is_audible: false,
            played: None,
            status: None,
        });
        self.assistant.back_mut()
    }

    fn close_speech(&mut self, at: usize) {
        if let Some(speech) = self.assistant.remove(at) {
            self.closed_turns.push(speech.turn);
            speech.parts.into_iter().for_each(|(item, _)| self.closed_items.push(item));
        }
    }

    /// Hands out the line of a speech as it stands.
    fn keep_speech(&mut self, at: usize) {
        let hears_playback = self.hears_playback;
        if !self.assistant[at].has_words() {
            return;
        }
        let n = match self.assistant[at].n {
            Some(n) => n,
            None => self.number(),
        };
        let speech = &mut self.assistant[at];
        speech.n = Some(n);
        self.changed.push(Line {
            v: FORMAT,
            n,
            speaker: Speaker::Assistant,
            text: speech.words(),
            started: speech.started,
            ended: speech.played.map(|(at, _)| at),
            status: speech.line_status(hears_playback),
            item: speech.parts.first().map(|(item, _)| item.clone()),
            turn: Some(speech.turn.clone()),
        });
    }

    fn number(&mut self) -> u32 {
        let n = self.next;
        self.next += 1;
        n
    }
}

impl Speech {
    /// A turn whose line has no end.
    fn restored(line: &Line) -> Option<Speech> {
        let (turn, item) = (line.turn.clone()?, line.item.clone()?);
        let is_open = line.ended.is_none() && line.status != LineStatus::Interrupted;
        let is_whole = line.status == LineStatus::Final;
        is_open.then(|| Speech {
            turn,
            n: Some(line.n),
            parts: vec![(item, line.text.clone())],
            started: line.started,
            is_begun: is_whole,
            is_audible: false,
            played: None,
            status: is_whole.then_some(TurnStatus::Completed),
        })
    }

    fn words(&self) -> String {
        let words = self.parts.iter().map(|(_, words)| words.as_str());
        let texts: Vec<&str> = words.filter(|words| !words.is_empty()).collect();
        texts.join(" ")
    }

    fn has_words(&self) -> bool {
        self.parts.iter().any(|(_, words)| !words.is_empty())
    }

    fn put_words(&mut self, item: ItemId, text: &str, mode: TextMode) {
        let others = self.parts.iter().filter(|(known, _)| *known != item);
        let room = TEXT_BYTES_MAX.saturating_sub(others.map(|(_, words)| words.len() + 1).sum());
        let known = self.parts.iter().position(|(known, _)| *known == item);
        if known.is_none() && self.parts.len() == PARTS_MAX {
            return;
        }
        let at = known.unwrap_or_else(|| {
            self.parts.push((item, String::new()));
            self.parts.len() - 1
        });
        put_words(&mut self.parts[at].1, text, mode, room);
    }

    fn line_status(&self, hears_playback: bool) -> LineStatus {
        match (self.status, self.played) {
            (_, Some((_, LineStatus::Interrupted))) | (Some(TurnStatus::Cancelled), _) => {
                LineStatus::Interrupted
            }
            (Some(TurnStatus::Completed), Some(_)) => LineStatus::Final,
            (Some(TurnStatus::Completed), None) if !hears_playback || self.is_begun => LineStatus::Final,
            _ => LineStatus::Partial,
        }
    }
}

/// Puts words to those that are there, and cuts what is longer than `bytes_max`.
fn put_words(text: &mut String, words: &str, mode: TextMode, bytes_max: usize) {
    if mode != TextMode::Append {
        text.clear();
    }
    text.push_str(words);
    text.truncate(text.floor_char_boundary(bytes_max));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(1_795_000_000_000 + millis)
    }

    fn server_vad() -> Transcript {
        let mut transcript = Transcript::default();
        transcript.set_padding(SpeechPadding {
            before: Duration::from_millis(300),
            after: Duration::from_millis(500),
        });
        transcript
    }

    #[test]
    fn the_callers_times_are_those_of_the_speech_not_of_the_events() {
        let mut transcript = server_vad();
        // Audio clock zero is at(0). Speech from 2,000 to 4,000; the detector needs 120 ms, the wire 40.
        transcript.caller_started("i1".into(), Some(1_700), at(2_160));
        transcript.caller_stopped("i1".into(), Some(4_500), at(4_540));
        transcript.caller_words("i1".into(), "山田です", TextMode::Final, at(5_000));
        let lines = transcript.take_changed();
        assert_eq!(lines.len(), 1);
        assert_eq!((lines[0].started, lines[0].ended), (at(2_040), Some(at(4_040))));
        assert_eq!(lines[0].status, LineStatus::Final);
    }

    #[test]
    fn late_words_are_ordered_by_their_speech() {
        let mut transcript = server_vad();
        transcript.caller_started("i1".into(), Some(700), at(1_000));
        transcript.caller_stopped("i1".into(), Some(2_000), at(2_000));
        transcript.assistant_words("t1".into(), "a1".into(), "はい", TextMode::Final, at(2_200));
        transcript.playback_started("t1".into(), at(2_300));
        transcript.turn_ended(&"t1".into(), TurnStatus::Completed);
        transcript.playback_ended(&"t1".into(), LineStatus::Final, at(3_000));
        transcript.caller_words("i1".into(), "もしもし", TextMode::Final, at(3_500));
        let mut lines = transcript.take_changed();
        lines.sort_by_key(|line| line.started);
        assert_eq!(lines.first().map(|line| line.speaker), Some(Speaker::Caller));
        assert_eq!(lines.last().map(|line| line.ended), Some(Some(at(3_000))));
    }

    #[test]
    fn what_was_interrupted_says_so() {
        let mut transcript = server_vad();
        transcript.playback_started("t1".into(), at(0));
        transcript.assistant_words("t1".into(), "a1".into(), "ご注文は", TextMode::Append, at(10));
        transcript.playback_ended(&"t1".into(), LineStatus::Interrupted, at(700));
        transcript.turn_ended(&"t1".into(), TurnStatus::Cancelled);
        let lines = transcript.take_changed();
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].status, LineStatus::Interrupted);
        assert_eq!(lines[0].ended, Some(at(700)));
    }

    #[test]
    fn the_last_partial_line_is_kept_when_the_call_ends() {
        let mut transcript = server_vad();
        transcript.caller_started("i1".into(), Some(0), at(300));
        transcript.caller_words("i1".into(), "あの、注文の", TextMode::Append, at(900));
        transcript.caller_started("i2".into(), Some(1_500), at(1_800));
        transcript.flush(at(2_000));
        let lines = transcript.take_changed();
        assert_eq!(lines.len(), 2);
        assert_eq!((lines[0].status, lines[0].text.as_str()), (LineStatus::Partial, "あの、注文の"));
        assert_eq!(lines[1].status, LineStatus::Untranscribed);
    }

    #[test]
    fn words_that_come_twice_make_one_line() {
        let mut transcript = server_vad();
        transcript.caller_words("i1".into(), "はい", TextMode::Final, at(1));
        transcript.caller_words("i1".into(), "はい", TextMode::Final, at(2));
        assert_eq!(transcript.take_changed().len(), 1);
    }

    #[test]
    fn endless_words_and_utterances_stay_bounded() {
        let mut transcript = server_vad();
        for n in 0..200 {
            transcript.caller_started(ItemId(format!("i{n}")), Some(n), at(n));
        }
        for _ in 0..200 {
            transcript.caller_words("i199".into(), &"あ".repeat(1_000), TextMode::Append, at(1));
        }
        assert!(transcript.caller.len() <= OPEN_MAX);
        assert!(transcript.caller.iter().all(|utterance| utterance.text.len() <= TEXT_BYTES_MAX));
    }
}
