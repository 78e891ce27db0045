//! How a call is left on purpose: the last words are heard to their end before the line goes.
//!
//! The model asks to hang up or to transfer in the middle of a turn. What that turn says is played to
//! its end; if it says nothing, the assistant is asked for a goodbye first, once. A caller who speaks
//! into the goodbye is not hung up on: the call goes on, and the model may ask again. Every stage ends
//! by itself, whatever is never reported.

use std::time::Duration;

use super::event::TurnStatus;
use super::transcript::Heard;
use crate::clock::Timestamp;
use crate::ids::TurnId;

/// How long the turn that wants to leave may take to end.
const TURN_MAX: Duration = Duration::from_secs(60);
/// How long the last words may take to be heard after their turn ended, when no sound of them began.
const SOUND_BEGINS_WITHIN: Duration = Duration::from_secs(10);
/// How long the last words may play, should their end never be reported.
const LAST_WORDS_MAX: Duration = Duration::from_secs(30);
/// How long the assistant may take to begin its goodbye.
const GOODBYE_BEGINS_WITHIN: Duration = Duration::from_secs(10);
/// What is on its way to the caller's ear when the provider has played everything.
const TAIL: Duration = Duration::from_millis(300);
/// How long a call that was hung up may take to end.
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
    /// It is handed on to this URI because the model asked for it.
    Transfer(String),
    /// It is handed on to this URI because its route says so.
    Forward(String),
}

impl Exit {
    fn is_hand_over(&self) -> bool {
        matches!(self, Exit::Transfer(_) | Exit::Forward(_))
    }
}

/// Whether and how the call is being left.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Leave(Option<Leaving>);

#[derive(Debug, PartialEq, Eq)]
struct Leaving {
    exit: Exit,
    /// Not talked away: a plugin wants it, and would not know that it has to ask again.
    is_firm: bool,
    stage: Stage,
    /// When the stage is over at the latest.
    until: Timestamp,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    /// This turn wants it, or says goodbye; it has not ended yet.
    Turn { turn: TurnId, is_goodbye: bool },
    /// The assistant was asked to say goodbye; its turn has not begun.
    Goodbye,
    /// What this turn said is being played.
    LastWords(TurnId),
    /// The line goes when this is over.
    Tail,
    /// The provider was asked to end the call or to hand it on.
    Asked,
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
    /// The model had asked to leave with this turn, and an earlier process did not live to see its end.
    pub fn with_last_words(turn: TurnId, exit: Exit, now: Timestamp) -> Leave {
        let mut leave = Leave::default();
        leave.set(exit, Stage::LastWords(turn), now + SOUND_BEGINS_WITHIN);
        leave
    }

    /// The provider was asked by an earlier process.
    pub fn already_asked(exit: Exit, now: Timestamp) -> Leave {
        let mut leave = Leave::default();
        leave.ask(exit, now);
        leave
    }

    /// Claims that the call is being left.
    pub fn is_under_way(&self) -> bool {
        self.0.is_some()
    }

    /// Claims that the assistant shall say goodbye and has not begun to.
    pub fn wants_goodbye(&self) -> bool {
        self.0.as_ref().is_some_and(|leaving| leaving.stage == Stage::Goodbye)
    }

    /// What shall become of the call, when it is being left.
    pub fn exit(&self) -> Option<&Exit> {
        self.0.as_ref().map(|leaving| &leaving.exit)
    }

    /// Why the call ends, once the provider was asked.
    pub fn asked(&self) -> Option<&Exit> {
        self.0.as_ref().filter(|leaving| leaving.stage == Stage::Asked).map(|leaving| &leaving.exit)
    }

    /// The model wants to leave with this turn.
    pub fn want_after(&mut self, turn: TurnId, exit: Exit, now: Timestamp) {
        let is_too_late = |leaving: &Leaving| matches!(leaving.stage, Stage::Asked | Stage::Tail);
        if !self.0.as_ref().is_some_and(is_too_late) {
            self.set(exit, Stage::Turn { turn, is_goodbye: false }, now + TURN_MAX);
        }
    }

    /// A plugin wants to leave, with a goodbye first. What the caller says into it changes nothing.
    pub fn want_firmly(&mut self, exit: Exit, now: Timestamp) -> Do {
        let what = self.want_with_goodbye(exit, now);
        if let Some(leaving) = self.0.as_mut().filter(|_| what == Do::AskForGoodbye) {
            leaving.is_firm = true;
        }
        what
    }

    /// We want to leave, with a goodbye first.
    pub fn want_with_goodbye(&mut self, exit: Exit, now: Timestamp) -> Do {
        if self.is_under_way() {
            return Do::Nothing;
        }
        self.ask_for_goodbye(exit, now)
    }

    /// We want to leave at once.
    pub fn want_now(&mut self, exit: Exit, now: Timestamp) -> Do {
        match self.asked() {
            Some(asked) if !asked.is_hand_over() => Do::Nothing,
            _ => self.ask(exit, now),
        }
    }

    /// The caller speaks: then it is not silent.
    pub fn caller_speaks(&mut self) {
        self.0.take_if(|leaving| leaving.exit == Exit::Silence && leaving.stage != Stage::Asked);
    }

    /// A turn began; `is_goodbye` when it is the goodbye that was asked for.
    pub fn turn_started(&mut self, turn: &TurnId, is_goodbye: bool, now: Timestamp) {
        let Some(leaving) = &mut self.0 else { return };
        match leaving.stage {
            Stage::Turn { .. } | Stage::Goodbye | Stage::LastWords(_) if is_goodbye => {
                leaving.stage = Stage::Turn { turn: turn.clone(), is_goodbye };
                leaving.until = now + TURN_MAX;
            }
            // The end of the time is not talked away; the model's wish is, by a caller who goes on.
            Stage::Goodbye if leaving.exit == Exit::TimeOver || leaving.is_firm => {}
            Stage::LastWords(_) if leaving.is_firm => {}
            Stage::Goodbye | Stage::LastWords(_) => self.0 = None,
            Stage::Turn { .. } | Stage::Tail | Stage::Asked => {}
        }
    }

    /// A turn began that we asked for before we wanted to leave: the goodbye comes after it.
    pub fn earlier_turn_started(&mut self, now: Timestamp) {
        if let Some(leaving) = self.0.as_mut().filter(|leaving| leaving.stage == Stage::Goodbye) {
            leaving.until = now + TURN_MAX;
        }
    }

    /// A turn ended; `heard` is how far what it said has come.
    pub fn turn_ended(&mut self, turn: &TurnId, status: TurnStatus, heard: Heard, now: Timestamp) -> Do {
        let Some(Leaving { exit, is_firm, stage: Stage::Turn { turn: last, is_goodbye }, .. }) = &self.0
        else {
            return Do::Nothing;
        };
        if last != turn {
            return Do::Nothing;
        }
        let (exit, is_firm, is_goodbye) = (exit.clone(), *is_firm, *is_goodbye);
        match heard {
            _ if status == TurnStatus::Cancelled && is_firm => self.set(exit, Stage::Tail, now + TAIL),
            _ if status == TurnStatus::Cancelled => self.0 = None,
            // Asked once is enough: an assistant without words has none the second time.
            Heard::Silent if status == TurnStatus::Completed && !is_goodbye => {
                return self.ask_for_goodbye(exit, now);
            }
            Heard::Silent | Heard::Whole => self.set(exit, Stage::Tail, now + TAIL),
            Heard::NotYet => self.set(exit, Stage::LastWords(turn.clone()), now + SOUND_BEGINS_WITHIN),
            Heard::Now => self.set(exit, Stage::LastWords(turn.clone()), now + LAST_WORDS_MAX),
        }
        Do::Nothing
    }

    /// The caller hears a turn from now on.
    pub fn playback_started(&mut self, turn: &TurnId, now: Timestamp) {
        if let Some(leaving) = &mut self.0
            && leaving.stage == Stage::LastWords(turn.clone())
        {
            leaving.until = now + LAST_WORDS_MAX;
        }
    }

    /// A turn was heard to its end, or cut off by the caller.
    pub fn playback_ended(&mut self, turn: &TurnId, was_cut: bool, now: Timestamp) {
        let Some(leaving) = &mut self.0 else { return };
        match &leaving.stage {
            Stage::Turn { turn: last, .. } | Stage::LastWords(last)
                if was_cut && last == turn && !leaving.is_firm =>
            {
                self.0 = None
            }
            Stage::LastWords(last) if last == turn => {
                leaving.stage = Stage::Tail;
                leaving.until = now + TAIL;
            }
            _ => {}
        }
    }

    /// The goodbye could not be had: leave without it.
    pub fn goodbye_failed(&mut self, now: Timestamp) {
        if let Some(leaving) = self.0.as_mut().filter(|leaving| leaving.stage == Stage::Goodbye) {
            leaving.stage = Stage::Tail;
            leaving.until = now;
        }
    }

    /// The sideband was lost: the end of the turn that was waited for may have passed unseen.
    pub fn sideband_lost(&mut self, now: Timestamp) {
        if let Some(leaving) = &mut self.0
            && let Stage::Turn { turn, .. } = &leaving.stage
        {
            leaving.stage = Stage::LastWords(turn.clone());
            leaving.until = now + SOUND_BEGINS_WITHIN;
        }
    }

    /// The provider refused to hand the call on. Claims that it was asked to.
    pub fn transfer_refused(&mut self) -> bool {
        let was_asked = self.asked().is_some_and(Exit::is_hand_over);
        if was_asked {
            self.0 = None;
        }
        was_asked
    }

    /// When something is due.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.0.as_ref().map(|leaving| leaving.until)
    }

    /// The deadline may have come.
    pub fn tick(&mut self, now: Timestamp) -> Do {
        let Some(Leaving { exit, stage, .. }) = self.0.take_if(|leaving| leaving.until <= now) else {
            return Do::Nothing;
        };
        match stage {
            Stage::Asked if exit.is_hand_over() => Do::TransferFailed,
            Stage::Asked => Do::GiveUp(exit),
            _ => self.ask(exit, now),
        }
    }

    fn ask(&mut self, exit: Exit, now: Timestamp) -> Do {
        let patience = if exit.is_hand_over() { TRANSFER_MAX } else { GONE_AFTER };
        self.set(exit.clone(), Stage::Asked, now + patience);
        Do::Go(exit)
    }

    fn ask_for_goodbye(&mut self, exit: Exit, now: Timestamp) -> Do {
        self.set(exit, Stage::Goodbye, now + GOODBYE_BEGINS_WITHIN);
        Do::AskForGoodbye
    }

    fn set(&mut self, exit: Exit, stage: Stage, until: Timestamp) {
        let is_firm = self.0.as_ref().is_some_and(|leaving| leaving.is_firm && leaving.exit == exit);
        self.0 = Some(Leaving { exit, is_firm, stage, until });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

    fn turn() -> TurnId {
        "t1".into()
    }

    /// The model called `hangup` in a turn that has now ended.
    fn hang_up_after_a_turn(heard: Heard) -> (Leave, Do) {
        let mut leave = Leave::default();
        leave.want_after(turn(), Exit::HangUp, NOW);
        let what = leave.turn_ended(&turn(), TurnStatus::Completed, heard, NOW);
        (leave, what)
    }

    #[test]
    fn the_last_words_are_heard_before_the_line_goes() {
        let (mut leave, what) = hang_up_after_a_turn(Heard::Now);
        assert_eq!(what, Do::Nothing);
        let heard = NOW + Duration::from_secs(14);
        assert_eq!(leave.tick(heard), Do::Nothing, "they still play");
        leave.playback_ended(&turn(), false, heard);
        assert_eq!(leave.tick(heard), Do::Nothing, "the tail is still on the wire");
        assert_eq!(leave.tick(heard + TAIL), Do::Go(Exit::HangUp));
    }

    #[test]
    fn a_silent_turn_is_followed_by_one_goodbye() {
        let (mut leave, what) = hang_up_after_a_turn(Heard::Silent);
        assert_eq!(what, Do::AskForGoodbye);
        leave.turn_started(&"t2".into(), true, NOW);
        assert_eq!(leave.turn_ended(&"t2".into(), TurnStatus::Completed, Heard::Silent, NOW), Do::Nothing);
        assert_eq!(leave.tick(NOW + TAIL), Do::Go(Exit::HangUp));
    }

    #[test]
    fn a_caller_who_speaks_into_the_goodbye_is_not_hung_up_on() {
        let (mut leave, _) = hang_up_after_a_turn(Heard::Now);
        leave.playback_ended(&turn(), true, NOW);
        assert!(!leave.is_under_way());
    }

    #[test]
    fn what_is_never_reported_is_not_waited_for() {
        for (heard, patience) in [(Heard::NotYet, SOUND_BEGINS_WITHIN), (Heard::Now, LAST_WORDS_MAX)] {
            let (mut leave, _) = hang_up_after_a_turn(heard);
            assert_eq!(leave.tick(NOW + patience), Do::Go(Exit::HangUp));
            assert_eq!(leave.tick(NOW + patience + GONE_AFTER), Do::GiveUp(Exit::HangUp));
        }
        let mut leave = Leave::default();
        leave.want_after(turn(), Exit::HangUp, NOW);
        assert_eq!(leave.tick(NOW + TURN_MAX), Do::Go(Exit::HangUp), "the turn never ended");
    }

    #[test]
    fn what_a_plugin_wants_is_not_talked_away() {
        let mut leave = Leave::default();
        assert_eq!(leave.want_firmly(Exit::HangUp, NOW), Do::AskForGoodbye);
        leave.turn_started(&"t1".into(), false, NOW);
        assert!(leave.wants_goodbye(), "another turn came first");
        leave.turn_started(&"t2".into(), true, NOW);
        leave.turn_ended(&"t2".into(), TurnStatus::Completed, Heard::Now, NOW);
        leave.playback_ended(&"t2".into(), true, NOW);
        assert_eq!(leave.tick(NOW + TAIL), Do::Go(Exit::HangUp), "the caller spoke into the goodbye");
        assert_eq!(leave.want_firmly(Exit::HangUp, NOW), Do::Nothing);
    }

    #[test]
    fn a_turn_we_had_asked_for_does_not_take_the_goodbye_away() {
        let mut leave = Leave::default();
        leave.want_with_goodbye(Exit::Silence, NOW);
        leave.earlier_turn_started(NOW);
        assert_eq!(leave.tick(NOW + GOODBYE_BEGINS_WITHIN), Do::Nothing, "it may still be speaking");
        assert!(leave.wants_goodbye());
        assert_eq!(leave.tick(NOW + TURN_MAX), Do::Go(Exit::Silence));
    }

    #[test]
    fn a_transfer_without_effect_is_noticed() {
        let mut leave = Leave::default();
        let exit = Exit::Transfer("tel:+81".into());
        assert_eq!(leave.want_now(exit.clone(), NOW), Do::Go(exit));
        assert_eq!(leave.tick(NOW + TRANSFER_MAX), Do::TransferFailed);
        assert!(!leave.is_under_way());
    }
}
