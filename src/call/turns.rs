//! When the assistant may be asked to speak: one turn at a time.
//!
//! A provider lets one turn run; a second request is refused. Requests are therefore kept until
//! nothing runs and nothing is on its way, and a request that lost a race is made again.

use std::time::Duration;

use super::event::CommandId;
use crate::clock::Timestamp;
use crate::ids::TurnId;

/// How long a requested turn may take to begin before the request counts as lost.
const REQUEST_LOST_AFTER: Duration = Duration::from_secs(5);
/// How often one request is made.
const TRIES_MAX: u8 = 3;

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
    /// The call was just answered.
    Greeting,
    /// All tools of a turn have answered.
    Continue,
    /// There is news: keys were pressed, a transfer failed, nobody spoke.
    Notice,
    /// The call is about to be ended or handed on.
    Goodbye,
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
    active: Option<TurnId>,
    requested: Option<Requested>,
    waiting: Option<Prompt>,
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
        self.active.is_none() && self.requested.is_none() && self.waiting.is_none()
    }

    /// Asks for a turn as soon as one can be had.
    pub fn want(&mut self, prompt: Prompt) {
        if self.waiting.as_ref().is_none_or(|waiting| waiting.kind <= prompt.kind) {
            self.waiting = Some(prompt);
        }
    }

    /// Withdraws requests of this kind that were not made yet.
    pub fn withdraw(&mut self, kind: PromptKind) {
        self.waiting.take_if(|waiting| waiting.kind == kind);
    }

    /// Claims that a turn could be requested now.
    pub fn is_free(&self) -> bool {
        self.active.is_none() && self.requested.is_none()
    }

    /// The request to make now, if there is one and it can be made.
    pub fn next(&mut self) -> Option<Prompt> {
        if self.is_free() { self.waiting.take() } else { None }
    }

    /// The request was made.
    pub fn requested(&mut self, command: CommandId, mut prompt: Prompt, now: Timestamp) {
        prompt.tries += 1;
        self.requested = Some(Requested { command, prompt, at: now, overtaken: false });
    }

    /// A turn began. Gives the kind of the request it answers; none when it is not ours.
    pub fn started(&mut self, turn: TurnId, command: Option<CommandId>) -> Option<PromptKind> {
        self.active = Some(turn);
        match &mut self.requested {
            Some(requested) if command == Some(requested.command) => {
                self.requested.take().map(|requested| requested.prompt.kind)
            }
            Some(requested) => {
                requested.overtaken = true;
                None
            }
            None => None,
        }
    }

    /// A turn ended. Another turn's end changes nothing.
    pub fn ended(&mut self, turn: &TurnId) {
        if self.active.as_ref() != Some(turn) {
            return;
        }
        self.active = None;
        // Requests are answered in order: by now it began a turn that does not name it, or was refused.
        self.requested.take_if(|requested| requested.overtaken);
    }

    /// The provider says that a turn was running when the request came: it is made again later.
    pub fn refused(&mut self, command: CommandId) {
        if let Some(requested) = self.requested.take_if(|requested| requested.command == command) {
            self.again(requested.prompt);
        }
    }

    /// The provider did not understand the request. Gives its kind, if it was this one.
    pub fn failed(&mut self, command: CommandId) -> Option<PromptKind> {
        self.requested
            .take_if(|requested| requested.command == command)
            .map(|requested| requested.prompt.kind)
    }

    /// The sideband was lost: what ran may have ended unseen, what was requested may never have arrived.
    pub fn lost(&mut self) {
        self.active = None;
        if let Some(requested) = self.requested.take() {
            self.again(requested.prompt);
        }
    }

    /// When a request counts as lost.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.requested.as_ref().map(|requested| requested.at + REQUEST_LOST_AFTER)
    }

    /// The deadline may have come.
    pub fn tick(&mut self, now: Timestamp) {
        if self.deadline().is_some_and(|deadline| deadline <= now)
            && let Some(requested) = self.requested.take()
        {
            self.again(requested.prompt);
        }
    }

    fn again(&mut self, prompt: Prompt) {
        if prompt.tries < TRIES_MAX {
            self.want(prompt);
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
        assert_eq!(turns.next(), None);
        turns.ended(&"t0".into());
        assert_eq!(turns.next(), None, "the end of another turn is not the end of this one");
        turns.ended(&"t1".into());
        assert_eq!(turns.next(), Some(notice()));
    }

    #[test]
    fn a_request_that_lost_a_race_is_made_again() {
        let mut turns = Turns::default();
        turns.requested(CommandId(1), notice(), NOW);
        assert_eq!(turns.started("t1".into(), None), None);
        turns.refused(CommandId(1));
        assert_eq!(turns.next(), None);
        turns.ended(&"t1".into());
        assert_eq!(turns.next().map(|prompt| prompt.kind), Some(PromptKind::Notice));
    }

    #[test]
    fn a_request_answered_without_its_name_is_not_made_twice() {
        let mut turns = Turns::default();
        turns.requested(CommandId(1), notice(), NOW);
        turns.started("t1".into(), None);
        turns.ended(&"t1".into());
        assert!(turns.is_idle());
    }

    #[test]
    fn a_lost_request_is_made_again_but_not_for_ever() {
        let mut turns = Turns::default();
        turns.want(notice());
        let mut made = 0;
        let mut now = NOW;
        while let Some(prompt) = turns.next() {
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
        assert_eq!(turns.next().map(|prompt| prompt.kind), Some(PromptKind::Goodbye));
    }
}
