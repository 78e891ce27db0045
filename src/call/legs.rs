//! What the carrier's reports mean for the life of the call.

use super::carrier::{self, Meaning};
use super::event::{Action, CarrierEvent};
use super::record::{EndedReason, Path, State};
use super::sideband::Sideband;
use super::step::{Call, NO_STREAM};
use crate::clock::Timestamp;

impl Call {
    pub(super) fn on_carrier(&mut self, event: CarrierEvent, now: Timestamp) {
        let Some(carrier) = &mut self.record.carrier else { return };
        let before = carrier.clone();
        let meaning = carrier::apply(carrier, event);
        self.record_changed |= *carrier != before;
        match meaning {
            Meaning::LegAnswered => {
                self.record.stages.leg_answered.get_or_insert(now);
            }
            Meaning::LegOver | Meaning::DialOver | Meaning::CallerGone => self.on_leg_over(meaning, now),
            Meaning::Referred => self.on_referred(now),
            Meaning::Nothing | Meaning::Noted => {}
        }
    }

    fn on_leg_over(&mut self, meaning: Meaning, now: Timestamp) {
        self.caller_stayed |= meaning == Meaning::DialOver;
        match (self.record.state, meaning) {
            // Only the leg: the result of the dial follows and says more.
            (State::Dialing, Meaning::LegOver) => {}
            (State::Dialing, Meaning::CallerGone) => self.end(EndedReason::CallerGone, None, now),
            (State::Dialing, _) if self.record.path == Path::MediaStreams => {
                self.end(EndedReason::LegFailed, Some(NO_STREAM.to_owned()), now);
            }
            (State::Dialing, _) => self.end(EndedReason::ProviderSilent, self.sip_result(), now),
            // The stream is over: with it everything that we had of the caller.
            (State::Live, Meaning::DialOver) if self.record.path == Path::MediaStreams => self.end_gone(now),
            (State::Live, _) if matches!(self.sideband, Sideband::Lost { .. }) => self.end_gone(now),
            // Likewise, but not for long: the model must not talk to nobody.
            (State::Offered | State::Accepted, Meaning::LegOver) | (State::Live, _) => {
                self.leg_over_at.get_or_insert(now);
            }
            (State::Offered | State::Accepted, _) => self.end_early(now),
            (State::Ended, _) => self.correct_reason(),
        }
    }

    /// The leg ended before the sideband was up.
    pub(super) fn end_early(&mut self, now: Timestamp) {
        self.actions.push(Action::HangUp);
        let carrier = self.record.carrier.as_ref();
        let reason = match carrier.and_then(|carrier| carrier.leg_status.as_deref()) {
            _ if carrier.is_some_and(carrier::caller_is_gone) => EndedReason::CallerGone,
            Some("completed") if self.caller_stayed => EndedReason::ProviderDropped,
            Some("busy" | "failed" | "no-answer") => EndedReason::LegFailed,
            _ if self.caller_stayed => EndedReason::LegFailed,
            _ => EndedReason::CallerGone,
        };
        let detail = if reason == EndedReason::CallerGone { None } else { self.sip_result() };
        self.end(reason, detail, now);
    }

    /// The socket and the leg ended, and later the carrier says that the caller is still there.
    fn correct_reason(&mut self) {
        let is_bridged = self.record.path == Path::MediaStreams;
        let Some(ended) = self.record.ended.as_mut().filter(|_| self.caller_stayed) else { return };
        ended.reason = match ended.reason {
            EndedReason::CallerHangup => EndedReason::ProviderDropped,
            EndedReason::CallerGone if is_bridged => EndedReason::LegFailed,
            _ => return,
        };
        self.record_changed = true;
    }

    fn sip_result(&self) -> Option<String> {
        let code = self.record.carrier.as_ref()?.sip_code?;
        Some(format!("SIP {code}"))
    }
}
