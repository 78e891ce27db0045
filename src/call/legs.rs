//! What the carrier's reports mean for the life of the call.

use std::time::Duration;

use super::carrier::{self, Meaning};
use super::event::{Action, CarrierEvent};
use super::record::{Carrier, EndedReason, Path, State};
use super::step::{Call, NO_STREAM};
use crate::clock::Timestamp;

/// SIP: not acceptable here; the answer to an INVITE whose sound cannot be agreed on.
const NO_COMMON_MEDIA: u16 = 488;
/// Carriers tell whole seconds, and nobody says which way they are rounded.
const ROUNDED_BY: Duration = Duration::from_secs(1);

impl Call {
    pub(super) fn on_carrier(&mut self, event: CarrierEvent, now: Timestamp) {
        let Some(carrier) = &mut self.record.carrier else { return };
        if carrier::is_of_left_leg(carrier, &event) {
            return;
        }
        let before = carrier.clone();
        let meaning = match carrier::apply(carrier, event) {
            Meaning::WayOver if self.record.path == Path::MediaStreams => Meaning::StreamOver,
            Meaning::WayOver => Meaning::DialOver,
            meaning => meaning,
        };
        self.record_changed |= *carrier != before;
        if carrier.leg_sid.is_some() {
            self.leg_since.get_or_insert(now);
        }
        match meaning {
            Meaning::LegAnswered => {
                let moved = self.record.moved.as_mut().filter(|moved| moved.from == Path::Sip);
                let stages = moved.map_or(&mut self.record.stages, |moved| &mut moved.stages);
                stages.leg_answered.get_or_insert(now);
            }
            Meaning::LegOver
            | Meaning::DialOver
            | Meaning::StreamOver
            | Meaning::WayOver
            | Meaning::CallerGone => {
                let is_asked = matches!(meaning, Meaning::DialOver | Meaning::StreamOver)
                    && !self.is_of_the_path_that_was_left(&meaning);
                self.on_leg_over(meaning, now);
                if is_asked {
                    self.on_asked_for_more(now);
                }
            }
            Meaning::Referred => self.on_referred(now),
            Meaning::HandedOn { status, answered } => self.on_handed_on(status, answered, now),
            Meaning::Nothing | Meaning::Noted => {}
        }
    }

    fn on_leg_over(&mut self, meaning: Meaning, now: Timestamp) {
        if self.is_of_the_path_that_was_left(&meaning) {
            return;
        }
        self.caller_stayed |= matches!(meaning, Meaning::DialOver | Meaning::StreamOver);
        self.is_out_of_time |=
            matches!(meaning, Meaning::LegOver | Meaning::DialOver) && self.leg_reached_its_limit(now);
        match (self.record.state, &meaning) {
            // Only the leg: the result of the dial follows and says more.
            (State::Dialing, Meaning::LegOver) => {}
            // The end of the stream that broke off: what comes next is another one.
            (State::Dialing, Meaning::StreamOver) if self.record.awaits_return() => {}
            (State::Dialing, Meaning::CallerGone) if self.record.awaits_return() => {
                self.end_lost("the caller was gone", now);
            }
            (State::Dialing, Meaning::CallerGone) => self.end(EndedReason::CallerGone, None, now),
            (State::Dialing, Meaning::StreamOver) => {
                self.fail(None, EndedReason::LegFailed, Some(NO_STREAM.to_owned()), now);
            }
            (State::Dialing, Meaning::DialOver) if self.is_plain_wanted() => self.dial_plainly(now),
            (State::Dialing, _) => self.fail(None, EndedReason::ProviderSilent, self.sip_result(), now),
            // The stream is over: with it everything that we had of the caller.
            (State::Live, Meaning::StreamOver) => self.end_gone(now),
            (State::Live, Meaning::DialOver) if self.way_out().is_some() => {
                let (reason, detail) = (self.reason_of_drop(), self.sip_result());
                self.fail(Some(Action::HangUp), reason, detail, now);
            }
            (State::Live, Meaning::CallerGone) if !self.is_up() => self.end_gone(now),
            (State::Live, _) if !self.is_up() => self.gone_at_provider(now),
            // Likewise, but not for long: the model must not talk to nobody.
            (State::Offered | State::Accepted, Meaning::LegOver) | (State::Live, _) => {
                self.leg_over_at.get_or_insert(now);
            }
            (State::Offered | State::Accepted, _) => self.end_early(now),
            (State::Ended, _) => self.correct_reason(),
        }
    }

    /// Claims that it tells the end of the other path's way, which says nothing about the one that is taken now.
    fn is_of_the_path_that_was_left(&self, meaning: &Meaning) -> bool {
        let path = match meaning {
            Meaning::LegOver | Meaning::DialOver => Path::Sip,
            Meaning::StreamOver => Path::MediaStreams,
            _ => return false,
        };
        path != self.record.path
    }

    /// Where the operator takes sound that is not encrypted for better than none: a provider that cannot agree on
    /// encrypted sound is dialled once more without.
    pub fn may_dial_plainly(&mut self, may: bool) {
        self.is_plain_taken = may;
    }

    fn is_plain_wanted(&self) -> bool {
        let is_refused = |carrier: &Carrier| carrier.sip_code == Some(NO_COMMON_MEDIA) && !carrier.is_plain;
        self.is_plain_taken && self.record.carrier.as_ref().is_some_and(is_refused)
    }

    fn dial_plainly(&mut self, now: Timestamp) {
        if let Some(carrier) = &mut self.record.carrier {
            carrier::dial_plainly(carrier);
        }
        self.record_changed = true;
        self.leg_since = None;
        self.caller_stayed = false;
        self.note("leg.plain", Some("SIP 488: once more without encrypted sound"), now);
    }

    /// Claims that the carrier ended the leg because it was up for as long as it was to be. The carrier counts
    /// best itself; where it does not say how long the leg was up, the report of the answer tells.
    fn leg_reached_its_limit(&self, now: Timestamp) -> bool {
        let lasted = |carrier: &Carrier| match carrier.leg_duration_s {
            Some(seconds) => Some(Duration::from_secs(seconds.into())),
            None => Some(now.since(self.record.stages.leg_answered?)),
        };
        let reached = |carrier: &Carrier| {
            let limit = Duration::from_secs(carrier.time_limit_s?.into());
            Some(lasted(carrier)? + ROUNDED_BY >= limit)
        };
        self.record.carrier.as_ref().and_then(reached).unwrap_or(false)
    }

    /// The leg ended before the sideband was up.
    pub(super) fn end_early(&mut self, now: Timestamp) {
        let carrier = self.record.carrier.as_ref();
        let reason = match carrier.and_then(|carrier| carrier.leg_status.as_deref()) {
            _ if carrier.is_some_and(carrier::caller_is_gone) => EndedReason::CallerGone,
            _ if self.is_out_of_time => EndedReason::MaxDuration,
            Some("completed") if self.caller_stayed => EndedReason::ProviderDropped,
            Some("busy" | "failed" | "no-answer") => EndedReason::LegFailed,
            _ if self.caller_stayed => EndedReason::LegFailed,
            _ => EndedReason::CallerGone,
        };
        if reason == EndedReason::CallerGone {
            self.actions.push(Action::HangUp);
            return self.end(reason, None, now);
        }
        self.fail(Some(Action::HangUp), reason, self.sip_result(), now);
    }

    /// The carrier said, being asked, how it stands with the caller.
    pub(super) fn on_carrier_answer(&mut self, status: String, now: Timestamp) {
        self.on_carrier(CarrierEvent::Caller { status }, now);
        let is_there = self.record.carrier.as_ref().is_some_and(|known| !carrier::caller_is_gone(known));
        if self.is_over() && is_there {
            self.caller_stayed = true;
            self.correct_reason();
        }
    }

    /// The socket and the leg ended, and later the carrier says that the caller is still there.
    fn correct_reason(&mut self) {
        let is_bridged = self.record.path == Path::MediaStreams;
        let Some(ended) = self.record.ended.as_mut().filter(|_| self.caller_stayed) else { return };
        ended.reason = match ended.reason {
            EndedReason::CallerHangup if self.is_out_of_time => EndedReason::MaxDuration,
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
