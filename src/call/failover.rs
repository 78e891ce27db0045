//! From one path to the other: a caller whose way to the model fails goes on over the other path, once.
//!
//! The call stays the same: its id, its record, its transcript. What was under way on the old path is let
//! go, and the call begins again to wait for an offer. The carrier asks what to do when the old way is over
//! (the end of a dial, or of a stream), and is then told the new one; so whatever ends the old way at once
//! makes this quick. A caller who is gone, or whom somebody wanted to leave, is not moved.

use std::time::Duration;

use super::carrier;
use super::event::{Action, Keep};
use super::fillers::Fillers;
use super::listening::Listening;
use super::record::{EndedReason, Moved, Path, State};
use super::sideband::Sideband;
use super::step::{Call, Quiet};
use super::turns::{Prompt, PromptKind};
use crate::clock::Timestamp;

/// What the carrier is told where a call is turned away that cannot be served: it goes on at once.
const UNAVAILABLE: u16 = 503;

const SORRY_FOR_THE_BREAK: &str = "The line broke because of a fault on our side, and the caller is back on it. \
     Apologise in one short sentence, in the language of the conversation, and go on where the conversation was.";

impl Call {
    /// The path to the model has failed: the caller goes on over the other one, where there is one left, or
    /// else the call is over. `farewell` is what the provider is asked in that case.
    pub(super) fn fail(
        &mut self,
        farewell: Option<Action>,
        reason: EndedReason,
        detail: Option<String>,
        now: Timestamp,
    ) {
        match self.way_out() {
            Some(path) => self.move_to(path, reason, detail, now),
            None => {
                self.actions.extend(farewell);
                self.end(reason, detail, now);
            }
        }
    }

    /// The path that is left, for a caller who is still there and whom nobody wants to leave.
    pub(super) fn way_out(&self) -> Option<Path> {
        let has_caller = self.record.carrier.as_ref().is_some_and(|known| !carrier::caller_is_gone(known));
        // A bridged call that was up has its own ways back; there is no telling a new SIP call what was said.
        let was_served = self.record.path == Path::MediaStreams && self.record.state == State::Live;
        let is_wanted = !self.leave.is_under_way() && !self.is_out_of_time;
        let may_move = has_caller && is_wanted && !was_served && !self.is_over();
        self.record.other_path.filter(|_| may_move)
    }

    /// The accept was not answered in time, and a caller hears it ring.
    pub(super) fn on_accept_late(&mut self, now: Timestamp) {
        if self.way_out().is_some() {
            let why = "the provider did not answer the accept in time".to_owned();
            self.fail(None, EndedReason::AcceptFailed, Some(why), now);
        }
    }

    /// Where there is another path and the carrier can be asked to end a leg: an offer that takes longer, from
    /// when the carrier dials, is not waited for.
    pub fn expect_offer_within(&mut self, within: Option<Duration>) {
        self.offer_within = within;
    }

    pub(super) fn offer_late_at(&self) -> Option<Timestamp> {
        let is_waiting = self.record.state == State::Dialing && self.record.path == Path::Sip;
        Some(self.leg_since? + self.offer_within.filter(|_| is_waiting)?)
    }

    /// The carrier dials, and the provider has not told of it. A ringing caller cannot be taken from the dial,
    /// but the dial can be ended: the carrier then asks what to do.
    pub(super) fn on_offer_late(&mut self, now: Timestamp) {
        let within = self.offer_within.take().unwrap_or_default();
        let leg = self.record.carrier.as_ref().and_then(|carrier| carrier.leg_sid.clone());
        let Some(leg) = leg.filter(|_| self.way_out().is_some()) else { return };
        let why = format!("no webhook within {within:?}");
        self.fail(None, EndedReason::ProviderSilent, Some(why), now);
        self.act(Action::EndLeg { leg });
    }

    /// The carrier answered the request to end its leg to the provider.
    pub(super) fn on_leg_ended(&mut self, answer: Result<(), String>, now: Timestamp) {
        if let Err(why) = answer {
            self.leg_rings_on = true;
            self.note("leg.not_ended", Some(&why), now);
        }
    }

    /// The provider let go of the call, and only the carrier knows whether the caller did: it is asked to say so
    /// within a moment, where that makes a difference.
    pub(super) fn gone_at_provider(&mut self, now: Timestamp) {
        if self.way_out().is_none() {
            return self.end_gone(now);
        }
        if let Some(command) = self.turns.lost() {
            self.tools.not_continued(command);
        }
        self.transcript.lost();
        self.sideband = Sideband::Down;
        self.leg_over_at.get_or_insert(now);
    }

    /// Claims that only the carrier's word is waited for.
    pub(super) fn is_gone_at_provider(&self) -> bool {
        self.record.state == State::Live
            && self.leg_over_at.is_some()
            && matches!(self.sideband, Sideband::Down)
    }

    /// Why the carrier's leg to the provider ended, the caller being still there.
    pub(super) fn reason_of_drop(&self) -> EndedReason {
        let carrier = self.record.carrier.as_ref();
        match carrier.and_then(|carrier| carrier.bridged) {
            Some(false) => EndedReason::LegFailed,
            _ => EndedReason::ProviderDropped,
        }
    }

    /// The conversation goes on: the model was told what was said before.
    pub(super) fn take_up_again(&mut self, now: Timestamp) {
        self.set_turn_detection();
        self.tell_of_tools();
        self.turns.want(Prompt::new(PromptKind::Notice, Some(SORRY_FOR_THE_BREAK.to_owned())));
        self.go_on(now);
    }

    /// Claims that the call was moved, or broke off, after something had been said.
    pub(super) fn is_taken_up_again(&self) -> bool {
        self.record.broken_off().is_some() && self.record.heard.is_anybody()
    }

    fn move_to(&mut self, path: Path, reason: EndedReason, detail: Option<String>, now: Timestamp) {
        let from = std::mem::replace(&mut self.record.path, path);
        let why = detail.as_deref().map(|detail| format!(": {detail}")).unwrap_or_default();
        let told = format!("{} to {}, {}{why}", from.as_str(), path.as_str(), reason.as_str());
        self.note("path.moved", Some(&told), now);
        let provider_call = self.record.provider.take().map(|provider| provider.call_id);
        // A session on a bridge ends with its socket: there is no call to speak of.
        let to_end = provider_call.clone().filter(|_| from == Path::Sip);
        self.actions.push(Action::LetGo { provider_call: to_end });
        let stages = self.record.stages.begin_again();
        let tool_calls = self.tools.count();
        self.record.moved = Some(Moved {
            from,
            at: now,
            reason,
            detail,
            provider_call,
            spoke_again: None,
            stages,
            tool_calls,
        });
        self.record.other_path = None;
        self.record.state = State::Dialing;
        self.record_has_changed();
        self.forget_the_session(now);
    }

    /// What was said stays, as do the calls of tools; what the old session was in the middle of does not.
    fn forget_the_session(&mut self, now: Timestamp) {
        self.keep_keys();
        self.transcript.begin_again(now);
        for cancelled in self.tools.cancel_all(now) {
            self.act(Action::Keep(Keep::ToolCall(cancelled)));
        }
        // What was asked for and not begun is asked for again.
        self.turns.lost();
        self.sideband = Sideband::Down;
        self.listening = Listening::default();
        self.fillers = Fillers::default();
        self.quiet = Quiet::default();
        self.is_greeting = false;
        self.is_time_warned = false;
        self.leg_over_at = None;
        self.accept_until = None;
        self.caller_stayed = false;
    }

    /// Turned away at once, the carrier goes on at once; silent, it would wait for its timeout.
    pub(super) fn turned_away() -> Option<Action> {
        Some(Action::Reject { sip_code: UNAVAILABLE })
    }
}
