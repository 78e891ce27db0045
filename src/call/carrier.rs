//! What the carrier reports of its legs, brought into the record.
//!
//! Reports may be late, doubled and out of order: a leg never leaves a terminal status, and a report
//! with a lower number than the last one is ignored.

use super::event::CarrierEvent;
use super::record::Carrier;
use crate::ids::{CallSid, SipCallId};

impl Carrier {
    /// A caller of whom nothing is known yet but what the carrier tells when it asks.
    pub fn asking(name: &str, call_sid: CallSid, account_sid: &str, status: &str) -> Carrier {
        Carrier {
            name: name.to_owned(),
            call_sid,
            account_sid: account_sid.to_owned(),
            leg_sid: None,
            sip_call_id: None,
            status: status.to_owned(),
            leg_status: None,
            leg_sequence: None,
            sip_code: None,
            bridged: None,
            leg_duration_s: None,
            is_plain: false,
            left_leg: None,
            time_limit_s: None,
        }
    }
}

/// What a report means for the life of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Nothing new.
    Nothing,
    /// Something to keep, and no more.
    Noted,
    /// The leg towards the provider was answered.
    LegAnswered,
    /// The leg towards the provider is over; the caller may still be there.
    LegOver,
    /// The dial towards the provider is over; the caller is still there.
    DialOver,
    /// The caller's media stream is over; the caller is still there.
    StreamOver,
    /// Whatever connected the caller is over; the caller is still there.
    WayOver,
    /// The caller is gone.
    CallerGone,
    /// The provider has handed the caller on.
    Referred,
    /// The dial to somebody else is over.
    HandedOn {
        /// In the carrier's words.
        status: String,
        /// Whether somebody answered.
        answered: bool,
    },
}

/// Brings a report into what is known of the carrier's side.
pub fn apply(carrier: &mut Carrier, event: CarrierEvent) -> Meaning {
    match event {
        CarrierEvent::Leg { sid, status, sequence, sip_code, sip_call_id, duration_s } => {
            note_leg(carrier, Some(sid), sip_code, sip_call_id, duration_s);
            apply_leg_status(carrier, status, sequence)
        }
        CarrierEvent::DialEnded {
            status,
            bridged,
            leg_sid,
            sip_code,
            sip_call_id,
            duration_s,
            caller_status,
        } => {
            note_leg(carrier, leg_sid, sip_code, sip_call_id, duration_s);
            carrier.bridged = bridged.or(carrier.bridged);
            if carrier.leg_status.as_deref().is_none_or(|known| !is_terminal(known)) {
                // `answered` says that somebody was there; over it is all the same.
                let status = if is_terminal(&status) { status } else { "completed".to_owned() };
                carrier.leg_status = Some(status);
            }
            apply_caller_status(carrier, caller_status);
            // Whichever report told it first.
            if caller_is_gone(carrier) { Meaning::CallerGone } else { Meaning::DialOver }
        }
        CarrierEvent::Referred => Meaning::Referred,
        CarrierEvent::HandedOn { status, answered, caller_status } => {
            apply_caller_status(carrier, caller_status);
            Meaning::HandedOn { status, answered }
        }
        CarrierEvent::StreamEnded { caller_status } => {
            apply_caller_status(carrier, caller_status);
            if caller_is_gone(carrier) { Meaning::CallerGone } else { Meaning::StreamOver }
        }
        CarrierEvent::AsksAgain { caller_status } => {
            apply_caller_status(carrier, caller_status);
            if caller_is_gone(carrier) { Meaning::CallerGone } else { Meaning::WayOver }
        }
        CarrierEvent::Caller { status } => apply_caller_status(carrier, status),
    }
}

/// Claims that a report is of the leg that was tried before the present one.
pub fn is_of_left_leg(carrier: &Carrier, event: &CarrierEvent) -> bool {
    let leg = match event {
        CarrierEvent::Leg { sid, .. } => Some(sid),
        CarrierEvent::DialEnded { leg_sid, .. } => leg_sid.as_ref(),
        _ => None,
    };
    leg.is_some() && leg == carrier.left_leg.as_ref()
}

/// The provider is dialled once more, without encrypted sound: nothing is known of the new leg.
pub fn dial_plainly(carrier: &mut Carrier) {
    carrier.is_plain = true;
    carrier.left_leg = carrier.leg_sid.take();
    carrier.sip_call_id = None;
    carrier.leg_status = None;
    carrier.leg_sequence = None;
    carrier.sip_code = None;
    carrier.bridged = None;
    carrier.leg_duration_s = None;
}

/// Claims that the caller's leg is over.
pub fn caller_is_gone(carrier: &Carrier) -> bool {
    is_terminal(&carrier.status)
}

/// Claims that the leg towards the provider is over.
pub fn leg_is_over(carrier: &Carrier) -> bool {
    carrier.leg_status.as_deref().is_some_and(is_terminal)
}

fn note_leg(
    carrier: &mut Carrier,
    sid: Option<CallSid>,
    sip_code: Option<u16>,
    sip_call_id: Option<SipCallId>,
    duration_s: Option<u32>,
) {
    carrier.leg_sid = sid.or_else(|| carrier.leg_sid.take());
    carrier.sip_code = sip_code.or(carrier.sip_code);
    carrier.sip_call_id = sip_call_id.or_else(|| carrier.sip_call_id.take());
    carrier.leg_duration_s = duration_s.or(carrier.leg_duration_s);
}

fn apply_leg_status(carrier: &mut Carrier, status: String, sequence: Option<u32>) -> Meaning {
    let known = carrier.leg_status.as_deref();
    let is_older = match (sequence, carrier.leg_sequence) {
        (Some(new), Some(old)) => new <= old,
        _ => known == Some(status.as_str()),
    };
    carrier.leg_sequence = carrier.leg_sequence.max(sequence);
    // A terminal status counts whatever its number: nothing can come after it.
    if known.is_some_and(is_terminal) || (is_older && !is_terminal(&status)) {
        return Meaning::Nothing;
    }
    let meaning = match status.as_str() {
        "in-progress" | "answered" => Meaning::LegAnswered,
        status if is_terminal(status) => Meaning::LegOver,
        _ => Meaning::Noted,
    };
    carrier.leg_status = Some(status);
    meaning
}

fn apply_caller_status(carrier: &mut Carrier, status: String) -> Meaning {
    if is_terminal(&carrier.status) || carrier.status == status {
        return Meaning::Nothing;
    }
    let is_gone = is_terminal(&status);
    carrier.status = status;
    if is_gone { Meaning::CallerGone } else { Meaning::Noted }
}

/// Claims that nothing comes after this status (Twilio, "Call resource: call status values").
fn is_terminal(status: &str) -> bool {
    matches!(status, "completed" | "busy" | "failed" | "no-answer" | "canceled")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carrier() -> Carrier {
        Carrier::asking("twilio", "CA1".into(), "AC1", "ringing")
    }

    fn leg(status: &str, sequence: u32) -> CarrierEvent {
        CarrierEvent::Leg {
            sid: "CA2".into(),
            status: status.into(),
            sequence: Some(sequence),
            sip_code: None,
            sip_call_id: None,
            duration_s: None,
        }
    }

    #[test]
    fn any_order_of_reports_ends_in_the_same_state() {
        let reports = [leg("initiated", 0), leg("ringing", 1), leg("in-progress", 2), leg("completed", 3)];
        let orders = [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 2], [0, 0, 3, 3], [3, 0, 1, 2]];
        for order in orders {
            let mut carrier = carrier();
            let mut overs = 0;
            for at in order {
                overs += u32::from(apply(&mut carrier, reports[at].clone()) == Meaning::LegOver);
            }
            assert_eq!(carrier.leg_status.as_deref(), Some("completed"), "{order:?}");
            assert_eq!(overs, 1, "{order:?}");
        }
    }

    #[test]
    fn a_callers_end_is_told_once() {
        let mut carrier = carrier();
        let gone = || CarrierEvent::Caller { status: "completed".into() };
        assert_eq!(apply(&mut carrier, gone()), Meaning::CallerGone);
        assert_eq!(apply(&mut carrier, gone()), Meaning::Nothing);
        let late = CarrierEvent::Caller { status: "in-progress".into() };
        assert_eq!(apply(&mut carrier, late), Meaning::Nothing);
        assert_eq!(carrier.status, "completed");
    }

    #[test]
    fn whatever_a_dials_result_is_called_its_leg_is_over() {
        for status in ["completed", "answered", "busy", "no-answer", "failed", "canceled", "of tomorrow"] {
            let mut carrier = carrier();
            let ended = CarrierEvent::DialEnded {
                status: status.into(),
                bridged: Some(true),
                leg_sid: Some("CA2".into()),
                sip_code: Some(200),
                sip_call_id: None,
                duration_s: Some(7),
                caller_status: "in-progress".into(),
            };
            assert_eq!(apply(&mut carrier, ended), Meaning::DialOver, "{status}");
            assert!(leg_is_over(&carrier) && !caller_is_gone(&carrier), "{status}");
        }
    }

    #[test]
    fn the_result_of_the_dial_fills_in_what_no_report_told() {
        let mut carrier = carrier();
        let ended = CarrierEvent::DialEnded {
            status: "failed".into(),
            bridged: Some(false),
            leg_sid: Some("CA2".into()),
            sip_code: Some(503),
            sip_call_id: Some("x@y".into()),
            duration_s: None,
            caller_status: "in-progress".into(),
        };
        assert_eq!(apply(&mut carrier, ended), Meaning::DialOver);
        assert_eq!((carrier.sip_code, carrier.bridged), (Some(503), Some(false)));
        assert_eq!(carrier.leg_status.as_deref(), Some("failed"));
    }
}
