//! What passed unseen while nobody listened, and where in the transcript it belongs: before everything that was
//! seen since.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Line, LineStatus, Speaker, Speech, TEXT_BYTES_MAX, TextMode, Transcript, put_words};
use crate::call::record::FORMAT;
use crate::clock::Timestamp;
use crate::ids::ItemId;

/// How many finished utterances and turns are remembered, so that late words make no second line.
const CLOSED_MAX: usize = 32;
/// How long before somebody's next words those are put whose beginning was not seen: people pause about so long.
pub(super) const PAUSE: Duration = Duration::from_millis(500);

/// How long after somebody listens again the words of what was said before may come: they are written down by then.
const WRITTEN_WITHIN: Duration = Duration::from_secs(30);

/// Nobody listened for a while.
#[derive(Debug)]
pub(super) struct Gap {
    /// The last words that were seen began then; what passed unseen, later.
    after: Option<Timestamp>,
    /// What passed unseen began before this.
    before: Timestamp,
    /// Since when somebody listens again.
    over: Timestamp,
    /// What was put into the conversation since.
    added: Recent<ItemId>,
}

impl Gap {
    /// Where words are put of which is known only that they began in the gap.
    fn began(&self) -> Timestamp {
        let latest = self.before - PAUSE;
        self.after.map_or(latest, |after| latest.max(after)).min(self.before)
    }
}

impl Transcript {
    /// Somebody listens again: what begins from now on is seen.
    pub fn found_again(&mut self, now: Timestamp) {
        let after = self.latest();
        self.gap = Some(Gap { after, before: now, over: now, added: Recent::default() });
    }

    /// An item was put into the conversation, and seen.
    pub fn item_added(&mut self, item: &ItemId) {
        if let Some(gap) = &mut self.gap {
            gap.added.push(item.clone());
        }
    }

    /// What passed unseen was put into the conversation before this item.
    pub fn unseen_before(&mut self, item: &ItemId) {
        let began = self.began(item);
        if let Some((gap, began)) = self.gap.as_mut().zip(began) {
            gap.before = gap.before.min(began);
        }
    }

    /// When the words of an item began at the latest, of which nothing was seen until now.
    pub(super) fn began_by(&self, item: &ItemId, now: Timestamp) -> Option<Timestamp> {
        let gap = self.gap.as_ref().filter(|gap| now.since(gap.over) <= WRITTEN_WITHIN)?;
        let is_seen = gap.added.contains(item) || self.knows(item);
        if is_seen { None } else { Some(gap.began()) }
    }

    /// When the words began that began last, of all that were seen.
    fn latest(&self) -> Option<Timestamp> {
        let caller = self.caller.iter().map(|utterance| self.start_of(utterance));
        let assistant = self.assistant.iter().map(|speech| speech.started);
        caller.chain(assistant).chain(self.latest).max()
    }

    /// When the words of an item began, while they are open.
    fn began(&self, item: &ItemId) -> Option<Timestamp> {
        let utterance = self.caller.iter().find(|utterance| utterance.item == *item)?;
        Some(self.start_of(utterance))
    }

    /// Claims that words of this item are here, or were.
    pub fn knows(&self, item: &ItemId) -> bool {
        let is_in = |speech: &Speech| speech.parts.iter().any(|(known, _)| known == item);
        self.closed_items.contains(item)
            || self.caller.iter().any(|utterance| utterance.item == *item)
            || self.assistant.iter().any(is_in)
    }

    /// Words that passed unseen, as the provider gives them back. Claims that they are news. Those whose beginning
    /// passed unseen too began while nobody listened.
    pub fn read_back(&mut self, item: ItemId, speaker: Speaker, text: &str, now: Timestamp) -> bool {
        if text.is_empty() || self.closed_items.contains(&item) {
            return false;
        }
        if self.caller.iter().any(|utterance| utterance.item == item) {
            self.caller_words(item, text, TextMode::Final, now);
            return true;
        }
        let is_its = |speech: &Speech| speech.parts.iter().any(|(known, _)| *known == item);
        if let Some(at) = self.assistant.iter().position(is_its) {
            self.assistant[at].put_words(item, text, TextMode::Final);
            self.keep_speech(at);
            return true;
        }
        let mut words = String::new();
        put_words(&mut words, text, TextMode::Final, TEXT_BYTES_MAX);
        let line = Line {
            v: FORMAT,
            n: self.number(),
            speaker,
            text: words,
            started: self.gap.as_ref().map_or(now, Gap::began),
            ended: None,
            status: LineStatus::Final,
            item: Some(item.clone()),
            turn: None,
        };
        self.closed_items.push(item);
        self.changed.push(line);
        true
    }
}

/// The last few ids of a kind.
#[derive(Debug)]
pub(super) struct Recent<T>(VecDeque<T>);

impl<T> Default for Recent<T> {
    fn default() -> Recent<T> {
        Recent(VecDeque::new())
    }
}

impl<T: PartialEq> Recent<T> {
    pub(super) fn contains(&self, id: &T) -> bool {
        self.0.contains(id)
    }

    pub(super) fn push(&mut self, id: T) {
        if self.0.len() == CLOSED_MAX {
            self.0.pop_front();
        }
        self.0.push_back(id);
    }
}
