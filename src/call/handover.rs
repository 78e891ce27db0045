//! Transfers with proof: asking the provider to hand a caller on is believed only when the carrier has seen it.
//!
//! The provider's yes to a refer says that the request was passed on, and it is known to say yes and do
//! nothing. So the carrier's own question what to do with the caller is waited for; without it, or when
//! the provider refuses, the carrier itself is asked to dial, once. Only when that fails too have caller and
//! model to be told. A call without a carrier of ours has the provider's word only.

use std::time::Duration;

use super::event::Action;
use super::leave::Exit;
use super::record::State;
use super::step::Call;
use crate::clock::Timestamp;

/// How long the carrier may take to ask after the provider accepted to hand the caller on. It asks within a
/// second where it asks at all, and a caller hears silence meanwhile.
const FOLLOWED_WITHIN: Duration = Duration::from_secs(5);

/// A transfer that the provider has accepted, and of which the carrier has said nothing yet.
#[derive(Debug)]
pub(super) struct Handover {
    /// When the carrier is asked itself.
    at: Timestamp,
    /// To whom the caller goes: `tel:` or `sip:` URI.
    target: String,
}

impl Call {
    /// The provider answered a request to refer the call.
    pub(super) fn on_refer_answer(&mut self, answer: Result<(), String>, now: Timestamp) {
        let Some(Exit::Transfer(target) | Exit::Forward(target)) = self.leave.asked() else {
            if answer.is_ok() {
                self.note("transfer.accepted", None, now);
            }
            return;
        };
        let target = target.clone();
        match answer {
            Ok(()) => {
                self.note("transfer.accepted", None, now);
                if self.has_caller_at_carrier() && !self.is_redirected {
                    self.handover = Some(Handover { at: now + FOLLOWED_WITHIN, target });
                }
            }
            Err(why) if !self.has_caller_at_carrier() => self.give_up_transfer(&why, now),
            // What the carrier answers decides.
            Err(_) if self.is_redirected => {}
            Err(why) => {
                self.note("transfer.refused", Some(&why), now);
                self.redirect(target, now);
            }
        }
    }

    /// The carrier asked what to do with a caller whom the provider hands on: the proof.
    pub(super) fn on_referred(&mut self, now: Timestamp) {
        if self.is_over() {
            return;
        }
        self.handover = None;
        self.note("transfer.followed", None, now);
    }

    /// The carrier answered our request to dial somebody else. It takes the caller away from the provider at
    /// once, so that the call is often over before its answer is here; that is then the proof.
    pub(super) fn on_redirect_answer(&mut self, answer: Result<(), String>, now: Timestamp) {
        match answer {
            Ok(()) => self.note("transfer.redirected", None, now),
            Err(_) if self.is_over() => {}
            Err(why) => self.give_up_transfer(&why, now),
        }
    }

    /// When the carrier is asked itself.
    pub(super) fn handover_deadline(&self) -> Option<Timestamp> {
        self.handover.as_ref().map(|handover| handover.at)
    }

    /// The time may have come. Claims that it had.
    pub(super) fn on_handover_deadline(&mut self, now: Timestamp) -> bool {
        let Some(handover) = self.handover.take_if(|handover| handover.at <= now) else { return false };
        let is_handed_over = matches!(self.leave.asked(), Some(Exit::Transfer(_) | Exit::Forward(_)));
        if self.record.state == State::Live && is_handed_over {
            self.redirect(handover.target, now);
        }
        true
    }

    fn redirect(&mut self, target: String, now: Timestamp) {
        self.is_redirected = true;
        self.note("transfer.redirecting", None, now);
        self.act(Action::RedirectCarrier { target });
    }

    fn give_up_transfer(&mut self, why: &str, now: Timestamp) {
        if self.leave.transfer_refused() {
            self.transfer_failed(why, now);
        }
    }

    /// Claims that the carrier has the caller, and could dial somebody else.
    fn has_caller_at_carrier(&self) -> bool {
        self.record.carrier.as_ref().is_some_and(|carrier| !super::carrier::caller_is_gone(carrier))
    }
}
