//! The child leg of a `<Dial>`: its ids, its INVITE, its progress callbacks.

use tokio::time::Instant;

use super::call::{CallRun, short, whole_seconds};
use super::form::{Fields, pairs, rfc_2822};
use super::recording::Recorded;
use super::report::RequestKind;
use super::rest::Orders;
use super::web::sid;
use crate::sim::sip::Invite;
use crate::sim::twiml::{Dial, LegEvent, Noun, SipUri, Target};

/// A leg under way.
pub(super) struct Leg {
    pub sid: String,
    /// `Call-ID` of the INVITE; none for a telephone.
    pub sip_call_id: Option<String>,
    pub answered: Option<Instant>,
    /// What is being recorded.
    pub recording: Option<Recorded>,
    /// What the REST API wants of it.
    pub orders: Orders,
    noun: Noun,
    caller_id: String,
    sequence: u32,
}

/// How a leg ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct LegEnd {
    /// `DialCallStatus`.
    pub status: &'static str,
    /// The final answer to the INVITE, if one came.
    pub sip_code: Option<u16>,
}

impl Leg {
    pub fn new(call: &CallRun, dial: &Dial) -> Leg {
        let sip_call_id = matches!(dial.noun.target, Target::Sip(_))
            .then(|| format!("{}@0.0.0.0", &sid("", &call.entropy)[..10]));
        let sid = sid("CA", &call.entropy);
        Leg {
            orders: Orders::of_call(call.shared.rest.as_ref(), &sid),
            sid,
            sip_call_id,
            answered: None,
            recording: None,
            noun: dial.noun.clone(),
            caller_id: dial.caller_id.clone().unwrap_or_else(|| call.caller.from.clone()),
            sequence: 0,
        }
    }

    /// The address as callbacks and reports name it.
    pub fn address(&self) -> &str {
        match &self.noun.target {
            Target::Sip(uri) => &uri.address,
            Target::Number(number) => number,
        }
    }

    /// The INVITE as Twilio sends it to a SIP domain.
    pub fn invite(&self, call: &CallRun, uri: &SipUri) -> Invite {
        let options = &call.shared.options;
        let tag = &sid("", &call.entropy)[..8];
        let from = match self.caller_id.as_str() {
            id if id.starts_with('+') => format!("<sip:{id}@demo.pstn.twilio.com>;tag={tag}"),
            _ => format!("<sip:anonymous@anonymous.invalid>;tag={tag}"),
        };
        let mut headers = pairs(&[
            ("From", &from),
            ("To", &format!("<{}>", uri.request_uri)),
            ("Call-ID", self.sip_call_id.as_deref().unwrap_or_default()),
            ("CSeq", "1 INVITE"),
            ("Max-Forwards", "63"),
            ("Diversion", &format!("<sip:{}@twilio.com>;reason=unconditional", call.caller.to)),
            ("X-Twilio-AccountSid", &options.account_sid),
            ("X-Twilio-CallSid", &self.sid),
        ]);
        headers.extend(uri.headers.iter().cloned());
        Invite { request_uri: uri.request_uri.clone(), headers, script: call.caller.script.clone() }
    }

    /// Tells the gateway about the leg, if it asked to be told.
    pub async fn progress(&mut self, call: &CallRun, event: LegEvent, end: Option<LegEnd>) {
        let sequence = self.sequence;
        self.sequence += 1;
        let Some(request) = self.noun.status_callback.as_ref().filter(|_| self.noun.events.contains(&event))
        else {
            return;
        };
        let (kind, status) = match event {
            LegEvent::Initiated => (RequestKind::LegInitiated, "initiated"),
            LegEvent::Ringing => (RequestKind::LegRinging, "ringing"),
            LegEvent::Answered => (RequestKind::LegAnswered, "in-progress"),
            LegEvent::Completed => (RequestKind::LegCompleted, end.map_or("completed", |end| end.status)),
        };
        let fields = self.fields(call, status, sequence, end);
        let note = format!("{}  {status}", short(&self.sid));
        call.courier.queue(call.errand(kind, request, fields, note)).await;
    }

    fn fields(&self, call: &CallRun, status: &str, sequence: u32, end: Option<LegEnd>) -> Fields {
        let options = &call.shared.options;
        let mut fields = pairs(&[
            ("AccountSid", &options.account_sid),
            ("ApiVersion", "2010-04-01"),
            ("CallSid", &self.sid),
            ("CallStatus", status),
            ("CallbackSource", "call-progress-events"),
            ("Called", self.address()),
            ("Caller", &self.caller_id),
            ("Direction", "outbound-dial"),
            ("From", &self.caller_id),
            ("ParentCallSid", &call.sid),
            ("SequenceNumber", &sequence.to_string()),
            ("Timestamp", &rfc_2822(options.clock.now())),
            ("To", self.address()),
        ]);
        if let Some(id) = &self.sip_call_id {
            fields.push(("SipCallId".to_owned(), id.clone()));
        }
        let Some(end) = end else { return fields };
        fields.extend(call.recording_fields(self));
        let seconds = self.seconds(call).unwrap_or(0);
        fields.push(("CallDuration".to_owned(), seconds.to_string()));
        fields.push(("Duration".to_owned(), seconds.div_ceil(60).to_string()));
        if let Some(code) = end.sip_code {
            fields.push(("SipResponseCode".to_owned(), code.to_string()));
        }
        fields
    }

    /// How long it was answered, in simulated seconds; none if it never was.
    pub fn seconds(&self, call: &CallRun) -> Option<u64> {
        self.answered.map(|at| whole_seconds(call.shared.pace.simulated(at.elapsed())))
    }
}
