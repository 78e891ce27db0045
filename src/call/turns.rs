//! When the assistant may be asked to speak: one turn at a time.
//!
//! A provider lets one turn run; a second request is refused. Requests are therefore kept until
//! nothing runs and nothing is on its way, and a request that lost a race is made again. After a
//! refusal or a failure nothing is asked for a moment, so that a provider in trouble is not pressed.
//!
//! Two kinds of turns have words of their own and are about no tool's answer: what a plugin wants said
//! waits its turn and is not given up lightly; a filler is worth saying only now, and is never repeated.

use std::collections::VecDeque;
use std::time::Duration;

use super::event::CommandId;
use crate::clock::Timestamp;
use crate::ids::TurnId;

/// How long a requested turn may take to begin before the request counts as lost.
const REQUEST_LOST_AFTER: Duration = Duration::from_secs(5);
/// How often one request is made when it is lost.
const TRIES_MAX: u8 = 3;
/// Pause after a refusal because of a turn whose beginning was not seen; its end is waited for no longer.
const UNSEEN_TURN_MAX: Duration = Duration::from_secs(2);
/// Pause after a turn that failed.
const FAILED_PAUSE: Duration = Duration::from_secs(1);
/// How long the provider may take to begin a turn by itself after a remote server's tool has answered.
const OWN_TURN_WITHIN: Duration = Duration::from_millis(300);
/// How many sentences of plugins may wait to be said; a caller would not listen to more.
const SAYINGS_MAX: usize = 8;

/// What the assistant is asked to speak about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// Why: decides which of two waiting requests is kept.
    pub kind: PromptKind,
    /// Instructions for this one turn; none: go on from the conversation.
    pub instructions: Option<String>,
    tries: u8,
}

/// Why the assistant is asked to speak. A later kind outweighs an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PromptKind {
    /// A tool takes a while, and nobody speaks.
    Filler,
    /// The call was just answered.
    Greeting,
    /// All tools of a turn have answered.
    Continue,
    /// The last turn failed before it said anything, or ended without a word about a remote tool's answer.
    Retry,
    /// A plugin wants the caller to hear something.
    Saying,
    /// There is news: keys were pressed, a transfer failed, nobody spoke.
    Notice,
    /// The call is about to be ended or handed on.
    Goodbye,
}

impl PromptKind {
    /// Claims that the turn says words of its own, and nothing about what tools have answered.
    pub fn is_aside(self) -> bool {
        matches!(self, PromptKind::Filler | PromptKind::Saying)
    }
}

impl Prompt {
    /// A request that was not made yet.
    pub fn new(kind: PromptKind, instructions: Option<String>) -> Prompt {
        Prompt { kind, instructions, tries: 0 }
    }
}

/// Whose turn it is.
#[derive(Debug, Default)]
pub struct Turns {
    active: Option<Active>,
    requested: Option<Requested>,
    waiting: Option<Prompt>,
    /// The greeting, which comes before all but the goodbye: there may be words in it that a caller must hear.
    greeting: Option<Prompt>,
    /// What plugins want said, in order.
    sayings: VecDeque<Prompt>,
    /// How many of these were given up.
    unsaid: usize,
    /// Nothing is requested before this moment.
    held_until: Option<Timestamp>,
    /// The last turn was a second try of one that failed.
    is_retry: bool,
    /// A remote server's tool answered in this turn, and nothing was said since.
    has_unsaid_answer: bool,
}

#[derive(Debug)]
struct Active {
    turn: TurnId,
    /// The request it answers; none when the provider began it by itself.
    prompt: Option<Prompt>,
}

#[derive(Debug)]
struct Requested {
    command: CommandId,
    prompt: Prompt,
    at: Timestamp,
    /// A turn began since, and it was not ours.
    overtaken: bool,
}

impl Turns {
    /// Claims that nothing runs, is on its way, or waits.
    pub fn is_idle(&self) -> bool {
        let nothing_waits = self.waiting.is_none() && self.greeting.is_none() && self.sayings.is_empty();
        self.active.is_none() && self.requested.is_none() && nothing_waits
    }

    /// Claims that a turn was asked for and has not begun.
    pub fn is_requested(&self) -> bool {
        self.requested.is_some()
    }

    /// Claims that a turn could be asked for now, and that nothing else wants one.
    pub fn is_free(&self) -> bool {
        self.is_idle() && self.held_until.is_none()
    }

    /// Has a sentence said when its turn comes. Claims that there was room for it.
    pub fn say(&mut self, instructions: String) -> bool {
        let has_room = self.sayings.len() < SAYINGS_MAX;
        if has_room {
            self.sayings.push_back(Prompt::new(PromptKind::Saying, Some(instructions)));
        }
        has_room
    }

    /// How many sentences were never said.
    pub fn unsaid(&self) -> usize {
        let is_saying = |requested: &Requested| requested.prompt.kind == PromptKind::Saying;
        self.unsaid + self.sayings.len() + usize::from(self.requested.as_ref().is_some_and(is_saying))
    }

    /// Asks for a turn as soon as one can be had.
    pub fn want(&mut self, prompt: Prompt) {
        if prompt.kind == PromptKind::Greeting {
            self.greeting = Some(prompt);
        } else if self.waiting.as_ref().is_none_or(|waiting| waiting.kind <= prompt.kind) {
            self.waiting = Some(prompt);
        }
    }

    /// Asks for a turn unless one is going to be asked for anyway.
    pub fn want_any(&mut self, kind: PromptKind) {
        self.waiting.get_or_insert_with(|| Prompt::new(kind, None));
    }

    /// Withdraws requests of this kind that were not made yet.
    pub fn withdraw(&mut self, kind: PromptKind) {
        self.waiting.take_if(|waiting| waiting.kind == kind);
        self.greeting.take_if(|greeting| greeting.kind == kind);
    }

    /// The request to make now, if there is one and it can be made. Plugins `may_say` something or not.
    pub fn next(&mut self, may_say: bool) -> Option<Prompt> {
        if self.active.is_some() || self.requested.is_some() || self.held_until.is_some() {
            return None;
        }
        let is_leaving = self.waiting.as_ref().is_some_and(|prompt| prompt.kind == PromptKind::Goodbye);
        if let Some(greeting) = self.greeting.take().filter(|_| !is_leaving) {
            return Some(greeting);
        }
        // After the goodbye it could not be said any more.
        let is_last_chance = self.waiting.as_ref().is_none_or(|prompt| prompt.kind == PromptKind::Goodbye);
        let saying = if may_say && is_last_chance { self.sayings.pop_front() } else { None };
        saying.or_else(|| self.waiting.take())
    }

    /// Claims that nothing is asked for just now, whatever there is to say.
    pub fn is_held(&self) -> bool {
        self.held_until.is_some()
    }

    /// Nothing is asked for before this moment, or before a turn has ended.
    pub fn hold(&mut self, until: Timestamp) {
        self.held_until = self.held_until.max(Some(until));
    }

    /// The request was made.
    pub fn requested(&mut self, command: CommandId, mut prompt: Prompt, now: Timestamp) {
        prompt.tries += 1;
        self.requested = Some(Requested { command, prompt, at: now, overtaken: false });
    }

    /// A turn began. Gives the kind of the request it answers; none when it is not ours.
    pub fn started(&mut self, turn: TurnId, command: Option<CommandId>) -> Option<PromptKind> {
        self.held_until = None;
        self.has_unsaid_answer = false;
        // This turn speaks where the last one did not.
        self.withdraw(PromptKind::Retry);
        let ours = self.requested.take_if(|requested| command == Some(requested.command));
        let prompt = ours.map(|requested| requested.prompt);
        let kind = prompt.as_ref().map(|prompt| prompt.kind);
        if let Some(requested) = &mut self.requested {
            requested.overtaken = true;
        }
        self.active = Some(Active { turn, prompt });
        kind
    }

    /// A turn ended. Another turn's end changes nothing.
    pub fn ended(&mut self, turn: &TurnId, now: Timestamp) {
        if self.take_active(turn).is_some() {
            self.is_retry = false;
            self.say_answer(now);
        }
    }

    /// A tool that the provider itself runs, at a remote server, has answered or failed.
    pub fn answered_remotely(&mut self, now: Timestamp) {
        self.has_unsaid_answer = true;
        if self.active.is_none() {
            self.say_answer(now);
        }
    }

    /// The model speaks, or the caller took the word: nobody waits to hear of a remote tool's answer.
    pub fn said_answer(&mut self) {
        self.has_unsaid_answer = false;
    }

    /// Asks for a turn about a remote tool's answer, unless the provider begins one by itself.
    fn say_answer(&mut self, now: Timestamp) {
        if std::mem::take(&mut self.has_unsaid_answer) {
            self.want_any(PromptKind::Retry);
            self.held_until = Some(now + OWN_TURN_WITHIN);
        }
    }

    /// A turn failed before it said anything: it is asked for once more, after a moment.
    pub fn failed_silently(&mut self, turn: &TurnId, now: Timestamp) {
        let Some(failed) = self.take_active(turn) else { return };
        let mut prompt = failed.prompt.unwrap_or_else(|| Prompt::new(PromptKind::Retry, None));
        if prompt.kind == PromptKind::Filler {
            self.held_until = Some(now + FAILED_PAUSE);
            return;
        }
        if std::mem::replace(&mut self.is_retry, true) {
            self.unsaid += usize::from(prompt.kind == PromptKind::Saying);
            return;
        }
        prompt.kind = prompt.kind.max(PromptKind::Retry);
        self.want_again(prompt);
        self.held_until = Some(now + FAILED_PAUSE);
    }

    fn take_active(&mut self, turn: &TurnId) -> Option<Active> {
        // Whichever turn it was that a request was refused for, it may have been this one.
        self.held_until = None;
        let ended = self.active.take_if(|active| active.turn == *turn)?;
        // Requests are answered in order: by now it began a turn that does not name it, or was refused.
        self.requested.take_if(|requested| requested.overtaken);
        Some(ended)
    }

    /// The provider says that a turn was running when the request came: it is made again later.
    /// Claims that it was this request and that it will be made again.
    pub fn refused(&mut self, command: CommandId, now: Timestamp) -> bool {
        let Some(mut requested) = self.requested.take_if(|requested| requested.command == command) else {
            return false;
        };
        if self.active.is_none() {
            self.held_until = Some(now + UNSEEN_TURN_MAX);
        }
        // The turn that runs is heard instead.
        if requested.prompt.kind == PromptKind::Filler {
            return false;
        }
        // The turn that runs greets already, unless there are words that must be said.
        if requested.prompt.kind == PromptKind::Greeting && requested.prompt.instructions.is_none() {
            return false;
        }
        // It was not lost, it came too early.
        requested.prompt.tries -= 1;
        self.again(requested).is_some()
    }

    /// The provider did not understand the request. Gives its kind, if it was this one.
    pub fn failed(&mut self, command: CommandId) -> Option<PromptKind> {
        let failed = self.requested.take_if(|requested| requested.command == command)?;
        self.unsaid += usize::from(failed.prompt.kind == PromptKind::Saying);
        Some(failed.prompt.kind)
    }

    /// The sideband was lost: what ran may have ended unseen, what was requested may never have arrived.
    /// Gives the request that will be made again.
    pub fn lost(&mut self) -> Option<CommandId> {
        self.active = None;
        self.held_until = None;
        let requested = self.requested.take()?;
        self.again(requested)
    }

    /// When a request counts as lost, or may be made again.
    pub fn deadline(&self) -> Option<Timestamp> {
        let lost_at = self.requested.as_ref().map(|requested| requested.at + REQUEST_LOST_AFTER);
        [lost_at, self.held_until].into_iter().flatten().min()
    }

    /// The deadline may have come. Gives the lost request that will be made again.
    pub fn tick(&mut self, now: Timestamp) -> Option<CommandId> {
        self.held_until.take_if(|until| *until <= now);
        let lost = self.requested.take_if(|requested| requested.at + REQUEST_LOST_AFTER <= now)?;
        self.again(lost)
    }

    fn again(&mut self, requested: Requested) -> Option<CommandId> {
        if requested.prompt.kind == PromptKind::Filler {
            return None;
        }
        if requested.prompt.tries >= TRIES_MAX {
            self.unsaid += usize::from(requested.prompt.kind == PromptKind::Saying);
            return None;
        }
        self.want_again(requested.prompt);
        Some(requested.command)
    }

    fn want_again(&mut self, prompt: Prompt) {
        match prompt.kind {
            PromptKind::Saying => self.sayings.push_front(prompt),
            _ => self.want(prompt),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

    fn notice() -> Prompt {
        Prompt::new(PromptKind::Notice, None)
    }

    #[test]
    fn a_request_waits_for_the_running_turn() {
        let mut turns = Turns::default();
        turns.started("t1".into(), None);
        turns.want(notice());
        assert_eq!(turns.next(true), None);
        turns.ended(&"t0".into(), NOW);
        assert_eq!(turns.next(true), None, "the end of another turn is not the end of this one");
        turns.ended(&"t1".into(), NOW);
        assert_eq!(turns.next(true), Some(notice()));
    }

    #[test]
    fn a_request_that_lost_a_race_is_made_again() {
        let mut turns = Turns::default();
        turns.requested(CommandId(1), notice(), NOW);
        assert_eq!(turns.started("t1".into(), None), None);
        assert!(turns.refused(CommandId(1), NOW));
        assert_eq!(turns.next(true), None);
        turns.ended(&"t1".into(), NOW);
        assert_eq!(turns.next(true).map(|prompt| prompt.kind), Some(PromptKind::Notice));
    }

    #[test]
    fn a_request_answered_without_its_name_is_not_made_twice() {
        let mut turns = Turns::default();
        turns.requested(CommandId(1), notice(), NOW);
        turns.started("t1".into(), None);
        turns.ended(&"t1".into(), NOW);
        assert!(turns.is_idle());
    }

    #[test]
    fn a_lost_request_is_made_again_but_not_for_ever() {
        let mut turns = Turns::default();
        turns.want(notice());
        let mut made = 0;
        let mut now = NOW;
        while let Some(prompt) = turns.next(true) {
            made += 1;
            turns.requested(CommandId(made), prompt, now);
            now = now + REQUEST_LOST_AFTER;
            turns.tick(now);
        }
        assert_eq!(made, u64::from(TRIES_MAX));
    }

    #[test]
    fn goodbye_outweighs_what_else_there_was_to_say() {
        let mut turns = Turns::default();
        turns.want(Prompt::new(PromptKind::Goodbye, None));
        turns.want(notice());
        assert_eq!(turns.next(true).map(|prompt| prompt.kind), Some(PromptKind::Goodbye));
    }

    #[test]
    fn a_filler_is_never_repeated_and_a_saying_is_not_lost() {
        let asked = |kind| {
            let mut turns = Turns::default();
            turns.requested(CommandId(1), Prompt::new(kind, Some("words".into())), NOW);
            turns
        };
        let is_wanted_again = |mut turns: Turns| turns.next(true).is_some();
        for (kind, expected) in [(PromptKind::Filler, false), (PromptKind::Saying, true)] {
            let mut turns = asked(kind);
            turns.lost();
            assert_eq!(is_wanted_again(turns), expected, "{kind:?} lost with the sideband");
            let mut turns = asked(kind);
            turns.tick(NOW + REQUEST_LOST_AFTER);
            assert_eq!(is_wanted_again(turns), expected, "{kind:?} never began");
            let mut turns = asked(kind);
            turns.started("t1".into(), None);
            turns.refused(CommandId(1), NOW);
            turns.ended(&"t1".into(), NOW);
            assert_eq!(is_wanted_again(turns), expected, "{kind:?} refused");
            let mut turns = asked(kind);
            turns.started("t1".into(), Some(CommandId(1)));
            turns.failed_silently(&"t1".into(), NOW);
            turns.tick(NOW + FAILED_PAUSE);
            assert_eq!(is_wanted_again(turns), expected, "{kind:?} failed");
        }
    }

    #[test]
    fn sayings_keep_their_order_and_come_before_the_goodbye() {
        let mut turns = Turns::default();
        assert!(turns.say("one".into()) && turns.say("two".into()));
        turns.want(Prompt::new(PromptKind::Goodbye, None));
        let words = |turns: &mut Turns| turns.next(true).and_then(|prompt| prompt.instructions);
        assert_eq!(words(&mut turns).as_deref(), Some("one"));
        assert_eq!(turns.unsaid(), 1);
        assert_eq!(words(&mut turns).as_deref(), Some("two"));
        assert_eq!(turns.next(true).map(|prompt| prompt.kind), Some(PromptKind::Goodbye));
        for n in 0..SAYINGS_MAX {
            assert!(turns.say(n.to_string()));
        }
        assert!(!turns.say("too many".into()));
        assert_eq!(turns.next(false), None);
    }
}
