//! Transfers with proof: asking the provider to hand a caller on is believed only when the carrier has seen it.
//!
//! The provider's yes to a refer says that the request was passed on, and it is known to say yes and do
//! nothing. So the carrier's own question what to do with the caller is waited for; without it, or when
//! the provider refuses, the carrier itself is asked to dial, once. Only when that fails too have caller and
//! model to be told. Should the way to the provider end first, the carrier asks what is next, and is told the
//! same. The proof, and whether anybody answered, stand in the record. A call without a carrier of ours has
//! the provider's word only.

use std::time::Duration;

use super::event::Action;
use super::leave::Exit;
use super::record::{EndedReason, Handed, HandedBy, Path, State};
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

    /// The carrier asked what to do with a caller whom the provider hands on: the proof. It may come after
    /// the end of the call, which the end of the sideband tells.
    pub(super) fn on_referred(&mut self, now: Timestamp) {
        self.prove(HandedBy::Refer, now);
    }

    /// The carrier answered our request to dial somebody else. It takes the caller away from the provider at
    /// once, so that the call is often over before its answer is here; that is then the proof.
    pub(super) fn on_redirect_answer(&mut self, answer: Result<(), String>, now: Timestamp) {
        match answer {
            Ok(()) => self.prove(HandedBy::Request, now),
            Err(_) if self.is_over() => {}
            Err(why) => self.give_up_transfer(&why, now),
        }
    }

    /// The way to the provider is over, the caller is still there, and the carrier asks what to do. A caller who
    /// was to be handed on, and was not seen to be, is handed on now.
    pub(super) fn on_asked_for_more(&mut self, now: Timestamp) {
        self.prove(
            match self.record.path {
                Path::MediaStreams => HandedBy::StreamOver,
                Path::Sip | Path::None => HandedBy::DialOver,
            },
            now,
        );
    }

    /// The dial to somebody else is over.
    pub(super) fn on_handed_on(&mut self, status: String, answered: bool, now: Timestamp) {
        let Some(handed) = self.record.handed.as_mut().filter(|handed| handed.result.is_none()) else {
            return;
        };
        let kind = if answered { "transfer.answered" } else { "transfer.unanswered" };
        (handed.result, handed.answered) = (Some(status.clone()), Some(answered));
        self.record_has_changed();
        self.note(kind, Some(&status), now);
        if let Some(ended) = self.record.ended.as_mut().filter(|_| !answered) {
            ended.detail = Some(format!("nobody answered: {status}"));
        }
    }

    /// Keeps that the carrier was seen to hand the caller on; the first proof is the one that counts.
    fn prove(&mut self, by: HandedBy, now: Timestamp) {
        if self.record.handed_to.is_none() || self.record.handed.is_some() {
            return;
        }
        self.handover = None;
        self.record.handed = Some(Handed { at: now, by, result: None, answered: None });
        self.record_has_changed();
        match by {
            HandedBy::Refer => self.note("transfer.followed", None, now),
            HandedBy::Request => self.note("transfer.redirected", None, now),
            HandedBy::DialOver | HandedBy::StreamOver => {
                self.note("transfer.followed", Some(by.as_str()), now);
            }
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

    /// Nothing happened in time; or it did, and the provider does not end its side of the call.
    pub(super) fn on_transfer_late(&mut self, now: Timestamp) {
        if self.record.handed.is_none() {
            return self.transfer_failed("nothing happened in time", now);
        }
        self.act(Action::HangUp);
        self.end(EndedReason::Transferred, Some("the provider did not end it".to_owned()), now);
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
