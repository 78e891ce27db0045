//! From the provider's offer to the answer of the accept.

use super::carrier;
use super::event::{AcceptAnswer, Action, Offer, Verdict};
use super::listening::Listening;
use super::record::{EndedReason, Path, Provider, State};
use super::step::Call;
use super::terms::Terms;
use crate::clock::Timestamp;

/// The SIP code for a call that is over before the provider offers it: temporarily unavailable.
const TOO_LATE: u16 = 480;

impl Call {
    pub(super) fn on_offer(&mut self, offer: Offer, now: Timestamp) {
        if offer.path != self.record.path {
            return self.on_late_offer(offer, now);
        }
        if self.record.provider.is_some() {
            if !self.is_over() {
                self.note("offer.again", None, now);
            }
            return;
        }
        self.on_returned(now);
        if self.record.interrupted.is_none() {
            self.record.stages.webhook_created = Some(offer.created);
            self.record.stages.webhook_received = Some(offer.received);
        }
        self.record.provider = Some(Provider {
            name: offer.provider.to_owned(),
            call_id: offer.call_id,
            webhook_id: offer.webhook_id,
            joined_by: offer.joined_by,
            model: None,
            expires_at: None,
            reattached: 0,
            sip_headers: offer.sip_headers,
        });
        self.record_changed = true;
        self.record.vars.extend(offer.hooks.vars);
        if self.is_over() {
            // The caller is gone, or was hung up: what still rings at the provider shall stop.
            return self.actions.push(Action::Reject { sip_code: TOO_LATE });
        }
        self.record.state = State::Offered;
        for (kind, detail) in offer.hooks.notes {
            self.note(kind, Some(&detail), now);
        }
        let is_leg_over = self.record.carrier.as_ref().is_some_and(carrier::leg_is_over);
        if self.record.path == Path::Sip && is_leg_over {
            self.leg_over_at = Some(now);
        }
        self.accept_until = offer.accept_within.map(|within| now + within);
        match offer.verdict {
            Verdict::Answer(terms) => self.answer(*terms),
            Verdict::Forward { target, terms } => {
                self.forward_to = Some(target);
                self.answer(*terms);
            }
            Verdict::Refuse { sip_code, reason, detail } => {
                self.actions.push(Action::Reject { sip_code });
                self.end(reason, detail, now);
            }
        }
    }

    /// The call went on over another path before it was offered on this one. What plugins made of it holds.
    fn on_late_offer(&mut self, offer: Offer, now: Timestamp) {
        self.record.vars.extend(offer.hooks.vars);
        for (kind, detail) in offer.hooks.notes {
            self.note(kind, Some(&detail), now);
        }
        self.note("offer.late", Some(offer.path.as_str()), now);
        if let Some(moved) = self.record.moved.as_mut().filter(|moved| moved.from == offer.path) {
            moved.provider_call.get_or_insert(offer.call_id.clone());
        }
        self.record_changed = true;
        self.actions.push(Action::TurnAway { path: offer.path, provider_call: offer.call_id });
    }

    fn answer(&mut self, terms: Terms) {
        self.record.session = Some(terms.session.clone());
        if let Some(provider) = &mut self.record.provider {
            provider.model = Some(terms.model.clone());
        }
        self.listening = Listening::begun(terms.turn_detection.as_ref());
        self.terms = Some(terms);
        self.actions.push(Action::Accept);
    }

    pub(super) fn on_accept_sent(&mut self, now: Timestamp) {
        if self.record.state == State::Offered && self.record.stages.accept_sent.is_none() {
            self.record.stages.accept_sent = Some(now);
            self.record_changed = true;
        }
    }

    pub(super) fn on_accept_answer(&mut self, answer: AcceptAnswer, now: Timestamp) {
        if self.record.state != State::Offered {
            return;
        }
        self.accept_until = None;
        if self.leave.asked().is_some() {
            return self.end_unwanted(&answer, now);
        }
        match answer {
            AcceptAnswer::Ok => self.open_sideband(now),
            AcceptAnswer::Session(id) => {
                if let (Some(id), Some(provider)) = (id, &mut self.record.provider) {
                    provider.call_id = id;
                }
                self.open_sideband(now);
            }
            // An attached sideband proves that the accept worked; a second accept never would.
            AcceptAnswer::AlreadyDecided => {
                self.note("accept.already_decided", None, now);
                self.open_sideband(now);
            }
            AcceptAnswer::Unclear(why) => {
                self.note("accept.unclear", Some(&why), now);
                self.open_sideband(now);
            }
            AcceptAnswer::Gone => self.end(EndedReason::CallerGone, None, now),
            AcceptAnswer::Refused(why) => {
                self.fail(Call::turned_away(), EndedReason::AcceptFailed, Some(why), now);
            }
        }
    }

    /// The call was hung up while the accept was on its way.
    fn end_unwanted(&mut self, answer: &AcceptAnswer, now: Timestamp) {
        match answer {
            AcceptAnswer::Gone => {}
            AcceptAnswer::Refused(_) => self.actions.push(Action::Reject { sip_code: TOO_LATE }),
            AcceptAnswer::Ok
            | AcceptAnswer::Session(_)
            | AcceptAnswer::AlreadyDecided
            | AcceptAnswer::Unclear(_) => {
                self.actions.push(Action::HangUp);
            }
        }
        self.end_gone(now);
    }
}
