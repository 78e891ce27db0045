//! Twilio's requests, typed (Twilio, "TwiML Voice: Twilio's request to your application", "TwiML Voice:
//! Dial", "Call resource: status callbacks").
//!
//! Only what is used is read; everything else stays in the form, over which the signature was made.

use std::str::FromStr;

use super::form::Form;
use crate::ids::{CallSid, SipCallId};

/// A form that is signed, but not of the kind expected here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A field is missing.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A field is not what it should be.
    #[error("`{field}` is not {expected}")]
    Bad {
        /// The field.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
    },
}

/// What shall be done with a caller? (`POST` to the number's voice URL)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoiceRequest {
    /// The caller's leg.
    pub call_sid: CallSid,
    /// The account.
    pub account_sid: String,
    /// Who calls, as the carrier writes it.
    pub from: String,
    /// The dialled number.
    pub to: String,
    /// Usually `ringing`.
    pub call_status: String,
}

/// Progress of a leg that we had dialled (`<Sip statusCallback>`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegCallback {
    /// The leg.
    pub call_sid: CallSid,
    /// The caller's leg it belongs to.
    pub parent_call_sid: Option<CallSid>,
    /// In Twilio's words.
    pub call_status: String,
    /// Counted from 0 for each leg.
    pub sequence_number: Option<u32>,
    /// The INVITE's final code.
    pub sip_response_code: Option<u16>,
    /// The INVITE's `Call-ID`.
    pub sip_call_id: Option<SipCallId>,
    /// Seconds connected.
    pub call_duration: Option<u32>,
}

/// How a dial ended (`<Dial action>`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialResult {
    /// The caller's leg.
    pub call_sid: CallSid,
    /// Status of the caller's leg.
    pub call_status: String,
    /// How the dial ended, in Twilio's words.
    pub dial_call_status: String,
    /// Whether the legs were ever connected.
    pub dial_bridged: Option<bool>,
    /// The dialled leg.
    pub dial_call_sid: Option<CallSid>,
    /// The INVITE's final code.
    pub dial_sip_response_code: Option<u16>,
    /// The INVITE's `Call-ID`.
    pub dial_sip_call_id: Option<SipCallId>,
    /// Seconds connected.
    pub dial_call_duration: Option<u32>,
}

/// Status of the caller's own leg (the number's `StatusCallback`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusCallback {
    /// The caller's leg.
    pub call_sid: CallSid,
    /// In Twilio's words.
    pub call_status: String,
}

impl VoiceRequest {
    /// Reads a verified form.
    ///
    /// # Errors
    ///
    /// [`Unreadable`], naming the field.
    pub fn read(form: &Form) -> Result<VoiceRequest, Unreadable> {
        Ok(VoiceRequest {
            call_sid: call_sid(form, "CallSid")?.ok_or(Unreadable::Missing("CallSid"))?,
            account_sid: text(form, "AccountSid")?,
            from: form.first("From").unwrap_or_default().to_owned(),
            to: text(form, "To")?,
            call_status: text(form, "CallStatus")?,
        })
    }
}

impl LegCallback {
    /// Reads a verified form.
    ///
    /// # Errors
    ///
    /// [`Unreadable`], naming the field.
    pub fn read(form: &Form) -> Result<LegCallback, Unreadable> {
        Ok(LegCallback {
            call_sid: call_sid(form, "CallSid")?.ok_or(Unreadable::Missing("CallSid"))?,
            parent_call_sid: call_sid(form, "ParentCallSid")?,
            call_status: text(form, "CallStatus")?,
            sequence_number: number(form, "SequenceNumber")?,
            sip_response_code: number(form, "SipResponseCode")?,
            sip_call_id: sip_call_id(form, "SipCallId"),
            call_duration: number(form, "CallDuration")?,
        })
    }
}

impl DialResult {
    /// Reads a verified form.
    ///
    /// # Errors
    ///
    /// [`Unreadable`], naming the field.
    pub fn read(form: &Form) -> Result<DialResult, Unreadable> {
        let dial_bridged = match form.first("DialBridged") {
            None | Some("") => None,
            Some("true") => Some(true),
            Some("false") => Some(false),
            Some(_) => return Err(Unreadable::Bad { field: "DialBridged", expected: "`true` or `false`" }),
        };
        Ok(DialResult {
            call_sid: call_sid(form, "CallSid")?.ok_or(Unreadable::Missing("CallSid"))?,
            call_status: text(form, "CallStatus")?,
            dial_call_status: text(form, "DialCallStatus")?,
            dial_bridged,
            dial_call_sid: call_sid(form, "DialCallSid")?,
            dial_sip_response_code: number(form, "DialSipResponseCode")?,
            dial_sip_call_id: sip_call_id(form, "DialSipCallId"),
            dial_call_duration: number(form, "DialCallDuration")?,
        })
    }
}

impl StatusCallback {
    /// Reads a verified form.
    ///
    /// # Errors
    ///
    /// [`Unreadable`], naming the field.
    pub fn read(form: &Form) -> Result<StatusCallback, Unreadable> {
        Ok(StatusCallback {
            call_sid: call_sid(form, "CallSid")?.ok_or(Unreadable::Missing("CallSid"))?,
            call_status: text(form, "CallStatus")?,
        })
    }
}

/// `CA` and 32 hexadecimal digits; an empty field is as good as none.
fn call_sid(form: &Form, field: &'static str) -> Result<Option<CallSid>, Unreadable> {
    let Some(sid) = form.first(field).filter(|sid| !sid.is_empty()) else { return Ok(None) };
    let is_sid = sid
        .strip_prefix("CA")
        .is_some_and(|digits| digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
    if is_sid {
        Ok(Some(CallSid::from(sid)))
    } else {
        Err(Unreadable::Bad { field, expected: "`CA` and 32 hexadecimal digits" })
    }
}

fn text(form: &Form, field: &'static str) -> Result<String, Unreadable> {
    form.first(field).filter(|text| !text.is_empty()).map(str::to_owned).ok_or(Unreadable::Missing(field))
}

fn number<N: FromStr>(form: &Form, field: &'static str) -> Result<Option<N>, Unreadable> {
    let Some(text) = form.first(field).filter(|text| !text.is_empty()) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| Unreadable::Bad { field, expected: "a number in range" })
}

fn sip_call_id(form: &Form, field: &str) -> Option<SipCallId> {
    form.first(field).filter(|id| !id.is_empty() && id.len() <= 256).map(SipCallId::from)
}
