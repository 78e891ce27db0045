//! How a call is left on purpose: the last words are heard to their end before the line goes.
//!
//! The model asks to hang up or to transfer in the middle of a turn. What that turn says is played to
//! its end; if it says nothing, the assistant is asked for a goodbye first. A caller who speaks into
//! the goodbye is not hung up on: the call goes on, and the model may ask again.

use std::time::Duration;

use super::event::TurnStatus;
use crate::clock::Timestamp;
use crate::ids::TurnId;

/// How long the last words may play after their turn ended, should their end never be reported.
const LAST_WORDS_MAX: Duration = Duration::from_secs(10);
/// How long the assistant may take to begin its goodbye.
const GOODBYE_BEGINS_WITHIN: Duration = Duration::from_secs(10);
/// What is on its way to the caller's ear when the provider has played everything.
const TAIL: Duration = Duration::from_millis(300);
/// How long a call that was hung up or handed over may take to end.
const GONE_AFTER: Duration = Duration::from_secs(5);
/// How long a transfer may take before the caller and the model are told that it failed.
const TRANSFER_MAX: Duration = Duration::from_secs(20);

/// What shall become of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It is hung up because the model asked for it.
    HangUp,
    /// It is hung up because its time is over.
    TimeOver,
    /// It is hung up because nobody speaks.
    Silence,
    /// It is hung up because an operator wants it.
    Operator,
    /// It is handed on to this URI.
    Transfer(String),
}

/// How far the leaving is.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum Leave {
    /// Nobody wants to leave.
    #[default]
    No,
    /// This turn wants it; it has not ended yet.
    AfterTurn(TurnId, Exit),
    /// The assistant was asked to say goodbye; its turn has not begun, and must by this moment.
    Goodbye(Timestamp, Exit),
    /// The last words play; they end at the latest then.
    LastWords(TurnId, Timestamp, Exit),
    /// The line goes at this moment.
    Tail(Timestamp, Exit),
    /// The provider was asked to end the call or to hand it on; done or failed at this moment.
    Asked(Timestamp, Exit),
}

/// What the life of the call has to do about it.
#[derive(Debug, PartialEq, Eq)]
pub enum Do {
    /// Nothing.
    Nothing,
    /// Ask the assistant for a goodbye.
    AskForGoodbye,
    /// Ask the provider: hang up or refer.
    Go(Exit),
    /// The provider never ended the call after it was asked to hang up: it is over for us.
    GiveUp(Exit),
    /// The transfer had no effect.
    TransferFailed,
}

impl Leave {
    /// Claims that the call is being left.
    pub fn is_under_way(&self) -> bool {
        *self != Leave::No
    }

    /// What shall become of the call, when it is being left.
    pub fn exit(&self) -> Option<&Exit> {
        match self {
            Leave::No => None,
            Leave::AfterTurn(_, exit)
            | Leave::Goodbye(_, exit)
            | Leave::LastWords(_, _, exit)
            | Leave::Tail(_, exit)
            | Leave::Asked(_, exit) => Some(exit),
        }
    }

    /// Why the call ends, once the provider was asked.
    pub fn asked(&self) -> Option<&Exit> {
        match self {
            Leave::Asked(_, exit) => Some(exit),
            _ => None,
        }
    }

    /// The model wants to leave with this turn.
    pub fn want_after(&mut self, turn: TurnId, exit: Exit) {
        if !matches!(self, Leave::Asked(..) | Leave::Tail(..)) {
            *self = Leave::AfterTurn(turn, exit);
        }
    }

    /// We want to leave, with a goodbye first.
    pub fn want_with_goodbye(&mut self, exit: Exit, now: Timestamp) -> Do {
        if self.is_under_way() {
            return Do::Nothing;
        }
        *self = Leave::Goodbye(now + GOODBYE_BEGINS_WITHIN, exit);
        Do::AskForGoodbye
    }

    /// We want to leave at once.
    pub fn want_now(&mut self, exit: Exit, now: Timestamp) -> Do {
        if matches!(self, Leave::Asked(_, Exit::HangUp | Exit::TimeOver | Exit::Silence | Exit::Operator)) {
            return Do::Nothing;
        }
        self.ask(exit, now)
    }

    /// A turn began; `is_goodbye` when it is the goodbye that was asked for.
    pub fn turn_started(&mut self, turn: &TurnId, is_goodbye: bool) {
        match std::mem::take(self) {
            Leave::Goodbye(_, exit) if is_goodbye => *self = Leave::AfterTurn(turn.clone(), exit),
            // Our own deadlines are not talked away; the model's wish is, by a caller who goes on.
            Leave::Goodbye(until, exit) if exit != Exit::HangUp => *self = Leave::Goodbye(until, exit),
            Leave::Goodbye(..) | Leave::LastWords(..) => {}
            other => *self = other,
        }
    }

    /// A turn ended; `has_words` when it says something, `is_played` when that was already heard.
    pub fn turn_ended(
        &mut self,
        turn: &TurnId,
        status: TurnStatus,
        has_words: bool,
        is_played: bool,
        now: Timestamp,
    ) -> Do {
        let Leave::AfterTurn(last, exit) = self else { return Do::Nothing };
        if last != turn {
            return Do::Nothing;
        }
        let exit = exit.clone();
        if status == TurnStatus::Cancelled {
            *self = Leave::No;
            Do::Nothing
        } else if !has_words && status == TurnStatus::Completed {
            *self = Leave::Goodbye(now + GOODBYE_BEGINS_WITHIN, exit);
            Do::AskForGoodbye
        } else if is_played {
            *self = Leave::Tail(now + TAIL, exit);
            Do::Nothing
        } else {
            *self = Leave::LastWords(turn.clone(), now + LAST_WORDS_MAX, exit);
            Do::Nothing
        }
    }

    /// A turn was heard to its end, or cut off by the caller.
    pub fn playback_ended(&mut self, turn: &TurnId, was_cut: bool, now: Timestamp) {
        if let Leave::LastWords(last, _, exit) = self
            && last == turn
        {
            *self = if was_cut { Leave::No } else { Leave::Tail(now + TAIL, exit.clone()) };
        }
    }

    /// The goodbye could not be had: leave without it.
    pub fn goodbye_failed(&mut self, now: Timestamp) {
        if let Leave::Goodbye(_, exit) = self {
            *self = Leave::Tail(now, exit.clone());
        }
    }

    /// The sideband was lost: the end of the turn that was waited for may have passed unseen.
    pub fn sideband_lost(&mut self, now: Timestamp) {
        if let Leave::AfterTurn(turn, exit) = self {
            *self = Leave::LastWords(turn.clone(), now + LAST_WORDS_MAX, exit.clone());
        }
    }

    /// The provider refused to hand the call on.
    pub fn transfer_refused(&mut self) -> bool {
        let was_asked = matches!(self, Leave::Asked(_, Exit::Transfer(_)));
        if was_asked {
            *self = Leave::No;
        }
        was_asked
    }

    /// When something is due.
    pub fn deadline(&self) -> Option<Timestamp> {
        match self {
            Leave::Goodbye(at, _) | Leave::LastWords(_, at, _) | Leave::Tail(at, _) | Leave::Asked(at, _) => {
                Some(*at)
            }
            _ => None,
        }
    }

    /// The deadline may have come.
    pub fn tick(&mut self, now: Timestamp) -> Do {
        if self.deadline().is_none_or(|deadline| deadline > now) {
            return Do::Nothing;
        }
        match std::mem::take(self) {
            Leave::Goodbye(_, exit) | Leave::LastWords(_, _, exit) | Leave::Tail(_, exit) => {
                self.ask(exit, now)
            }
            Leave::Asked(_, Exit::Transfer(_)) => Do::TransferFailed,
            Leave::Asked(_, exit) => Do::GiveUp(exit),
            other => {
                *self = other;
                Do::Nothing
            }
        }
    }

    fn ask(&mut self, exit: Exit, now: Timestamp) -> Do {
        let patience = if matches!(exit, Exit::Transfer(_)) { TRANSFER_MAX } else { GONE_AFTER };
        *self = Leave::Asked(now + patience, exit.clone());
        Do::Go(exit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

    fn turn() -> TurnId {
        "t1".into()
    }

    #[test]
    fn the_last_words_are_heard_before_the_line_goes() {
        let mut leave = Leave::No;
        leave.want_after(turn(), Exit::HangUp);
        assert_eq!(leave.turn_ended(&turn(), TurnStatus::Completed, true, false, NOW), Do::Nothing);
        let heard = NOW + Duration::from_secs(4);
        leave.playback_ended(&turn(), false, heard);
        assert_eq!(leave.tick(heard), Do::Nothing, "the tail is still on the wire");
        assert_eq!(leave.tick(heard + TAIL), Do::Go(Exit::HangUp));
    }

    #[test]
    fn a_silent_turn_is_followed_by_a_goodbye() {
        let mut leave = Leave::No;
        leave.want_after(turn(), Exit::HangUp);
        assert_eq!(leave.turn_ended(&turn(), TurnStatus::Completed, false, true, NOW), Do::AskForGoodbye);
        leave.turn_started(&"t2".into(), true);
        assert_eq!(leave.turn_ended(&"t2".into(), TurnStatus::Completed, true, true, NOW), Do::Nothing);
        assert_eq!(leave.tick(NOW + TAIL), Do::Go(Exit::HangUp));
    }

    #[test]
    fn a_caller_who_speaks_into_the_goodbye_is_not_hung_up_on() {
        let mut leave = Leave::No;
        leave.want_after(turn(), Exit::HangUp);
        leave.turn_ended(&turn(), TurnStatus::Completed, true, false, NOW);
        leave.playback_ended(&turn(), true, NOW);
        assert_eq!(leave, Leave::No);
    }

    #[test]
    fn an_end_of_playback_that_is_never_reported_is_not_waited_for() {
        let mut leave = Leave::No;
        leave.want_after(turn(), Exit::HangUp);
        leave.turn_ended(&turn(), TurnStatus::Completed, true, false, NOW);
        assert_eq!(leave.tick(NOW + LAST_WORDS_MAX), Do::Go(Exit::HangUp));
        assert_eq!(leave.tick(NOW + LAST_WORDS_MAX + GONE_AFTER), Do::GiveUp(Exit::HangUp));
    }

    #[test]
    fn a_transfer_without_effect_is_noticed() {
        let mut leave = Leave::No;
        assert_eq!(
            leave.want_now(Exit::Transfer("tel:+81".into()), NOW),
            Do::Go(Exit::Transfer("tel:+81".into()))
        );
        assert_eq!(leave.tick(NOW + TRANSFER_MAX), Do::TransferFailed);
        assert_eq!(leave, Leave::No);
    }
}
