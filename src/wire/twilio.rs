//! What Twilio tells us about a call, read from its forms.
//!
//! Unknown fields are left alone: Twilio adds some without notice. A field that is needed and missing,
//! or that cannot be what it should be, is a [`BadField`] that names it. Verify the signature first
//! ([`super::twilio_signature::verify`]).
//!
//! Callbacks are separate requests: they may come late, twice and out of order.
//!
//! Vendor documentation: Twilio, "TwiML for Programmable Voice: Twilio's request to your application",
//! "TwiML Voice: `<Dial>`" (action URL), "TwiML Voice: `<Sip>`" and "Call resource" (status callbacks).

use std::fmt;
use std::str::FromStr;

use crate::clock::Timestamp;
use crate::ids::{CallSid, SipCallId};
use crate::phone::{CallingCode, PartyNumber};
use crate::wire::form::Form;

mod recording;

pub use recording::{RecordingCallback, RecordingNamed, RecordingStatus};

/// `Call-ID`s are kept in records and compared; longer ones (bytes) are refused.
const SIP_CALL_ID_BYTES_MAX: usize = 256;

/// How much of a status that is not known is kept, in characters.
const STATUS_CHARS_MAX: usize = 32;

/// Why a form is not the request it should be. The value is not repeated: it may be a caller's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadField {
    /// The field is missing or empty.
    #[error("the field `{0}` is missing or empty")]
    Missing(&'static str),
    /// The field cannot be read.
    #[error("the field `{name}` is not {expected}")]
    Malformed {
        /// Which field.
        name: &'static str,
        /// What it should have been.
        expected: &'static str,
    },
}

/// The state of a leg, in Twilio's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallStatus {
    /// `queued`
    Queued,
    /// `initiated`
    Initiated,
    /// `ringing`
    Ringing,
    /// `in-progress`
    InProgress,
    /// `completed`
    Completed,
    /// `busy`
    Busy,
    /// `failed`
    Failed,
    /// `no-answer`
    NoAnswer,
    /// `canceled`
    Canceled,
    /// A word this version does not know, at most 32 printable ASCII characters of it.
    Other(String),
}

impl CallStatus {
    /// Twilio's word.
    pub fn as_str(&self) -> &str {
        match self {
            CallStatus::Queued => "queued",
            CallStatus::Initiated => "initiated",
            CallStatus::Ringing => "ringing",
            CallStatus::InProgress => "in-progress",
            CallStatus::Completed => "completed",
            CallStatus::Busy => "busy",
            CallStatus::Failed => "failed",
            CallStatus::NoAnswer => "no-answer",
            CallStatus::Canceled => "canceled",
            CallStatus::Other(word) => word,
        }
    }

    /// Claims that nothing comes after this state.
    pub fn is_final(&self) -> bool {
        use CallStatus::{Busy, Canceled, Completed, Failed, NoAnswer};
        matches!(self, Completed | Busy | Failed | NoAnswer | Canceled)
    }

    fn read(word: &str) -> CallStatus {
        match word {
            "queued" => CallStatus::Queued,
            "initiated" => CallStatus::Initiated,
            "ringing" => CallStatus::Ringing,
            "in-progress" => CallStatus::InProgress,
            "completed" => CallStatus::Completed,
            "busy" => CallStatus::Busy,
            "failed" => CallStatus::Failed,
            "no-answer" => CallStatus::NoAnswer,
            "canceled" => CallStatus::Canceled,
            _ => CallStatus::Other(
                word.chars().filter(char::is_ascii_graphic).take(STATUS_CHARS_MAX).collect(),
            ),
        }
    }
}

impl fmt::Display for CallStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A call has come in, or goes on, and Twilio asks what to do: the request to a voice URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoiceRequest {
    /// `CallSid`: the caller's leg.
    pub call_sid: CallSid,
    /// `AccountSid`: whose call it is; compare with the configured account.
    pub account_sid: String,
    /// `From`: who calls. It can be forged.
    pub from: PartyNumber,
    /// `To`: the number that was dialled.
    pub to: PartyNumber,
    /// `CallStatus`: `ringing` on the first request, `in-progress` once answered.
    pub call_status: CallStatus,
    /// `ForwardedFrom`: the number that forwarded the call, where the carrier tells.
    pub forwarded_from: Option<PartyNumber>,
}

impl VoiceRequest {
    /// Reads the request; `country` says whose national notation numbers without `+` are in.
    pub fn read(form: &Form, country: CallingCode) -> Result<VoiceRequest, BadField> {
        // `From` and `To` must be there, but may be empty: the number is withheld then.
        let party = |name| form.first(name).map(|text| PartyNumber::read(text, country));
        Ok(VoiceRequest {
            call_sid: call_sid(form, "CallSid")?,
            account_sid: account_sid(form)?,
            from: party("From").ok_or(BadField::Missing("From"))?,
            to: party("To").ok_or(BadField::Missing("To"))?,
            call_status: status(form, "CallStatus")?,
            forwarded_from: filled(form, "ForwardedFrom").map(|text| PartyNumber::read(text, country)),
        })
    }
}

/// Progress of the leg towards the provider: the request to a `<Sip>` noun's `statusCallback`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegCallback {
    /// `CallSid`: the leg itself, the child.
    pub leg_sid: CallSid,
    /// `ParentCallSid`: the caller's leg.
    pub call_sid: CallSid,
    /// `AccountSid`: compare with the configured account.
    pub account_sid: String,
    /// `CallStatus`: the leg's state.
    pub status: CallStatus,
    /// `SequenceNumber`, from 0 in the order things happened. Callbacks may arrive in another order.
    pub sequence: Option<u32>,
    /// `Timestamp`: when it happened, on Twilio's clock in whole seconds.
    pub at: Option<Timestamp>,
    /// `SipResponseCode`: the final answer to the INVITE.
    pub sip_code: Option<u16>,
    /// `SipCallId`: `Call-ID` of the INVITE.
    pub sip_call_id: Option<SipCallId>,
    /// `CallDuration`: seconds the leg was connected; only once it has ended.
    pub duration_s: Option<u32>,
}

impl LegCallback {
    /// Reads the callback.
    pub fn read(form: &Form) -> Result<LegCallback, BadField> {
        Ok(LegCallback {
            leg_sid: call_sid(form, "CallSid")?,
            call_sid: call_sid(form, "ParentCallSid")?,
            account_sid: account_sid(form)?,
            status: status(form, "CallStatus")?,
            sequence: number(form, "SequenceNumber")?,
            at: timestamp(form, "Timestamp")?,
            sip_code: number(form, "SipResponseCode")?,
            sip_call_id: sip_call_id(form, "SipCallId")?,
            duration_s: number(form, "CallDuration")?,
        })
    }
}

/// The caller's leg has ended: the request to a number's `StatusCallback`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusCallback {
    /// `CallSid`: the caller's leg.
    pub call_sid: CallSid,
    /// `AccountSid`: compare with the configured account.
    pub account_sid: String,
    /// `CallStatus`: how it ended.
    pub status: CallStatus,
    /// `CallDuration`: seconds it was connected.
    pub duration_s: Option<u32>,
}

impl StatusCallback {
    /// Reads the callback.
    pub fn read(form: &Form) -> Result<StatusCallback, BadField> {
        Ok(StatusCallback {
            call_sid: call_sid(form, "CallSid")?,
            account_sid: account_sid(form)?,
            status: status(form, "CallStatus")?,
            duration_s: number(form, "CallDuration")?,
        })
    }
}

/// A `<Dial>` is over: the request to its `action` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialResult {
    /// `CallSid`: the caller's leg.
    pub call_sid: CallSid,
    /// `AccountSid`: compare with the configured account.
    pub account_sid: String,
    /// `CallStatus`: the caller's leg; final when the caller hung up first.
    pub call_status: CallStatus,
    /// `DialCallStatus`: what became of the dialled leg. Not reliable alone: see `bridged`, `sip_code`.
    pub dial_status: CallStatus,
    /// `DialBridged`: whether the two legs were ever connected.
    pub bridged: Option<bool>,
    /// `DialCallSid`: the dialled leg.
    pub leg_sid: Option<CallSid>,
    /// `DialCallDuration`: seconds the dialled leg was connected.
    pub leg_duration_s: Option<u32>,
    /// `DialSipResponseCode`: the final answer to the INVITE.
    pub sip_code: Option<u16>,
    /// `DialSipCallId`: `Call-ID` of the INVITE.
    pub sip_call_id: Option<SipCallId>,
}

impl DialResult {
    /// Reads the result.
    pub fn read(form: &Form) -> Result<DialResult, BadField> {
        let leg_sid = filled(form, "DialCallSid").map(|_| call_sid(form, "DialCallSid")).transpose()?;
        Ok(DialResult {
            call_sid: call_sid(form, "CallSid")?,
            account_sid: account_sid(form)?,
            call_status: status(form, "CallStatus")?,
            dial_status: status(form, "DialCallStatus")?,
            bridged: boolean(form, "DialBridged")?,
            leg_sid,
            leg_duration_s: number(form, "DialCallDuration")?,
            sip_code: number(form, "DialSipResponseCode")?,
            sip_call_id: sip_call_id(form, "DialSipCallId")?,
        })
    }
}

/// The other end of a `<Dial>` sent REFER: the request to its `referUrl`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferRequest {
    /// `CallSid`: the caller's leg.
    pub call_sid: CallSid,
    /// `ReferTransferTarget`: to whom, as the REFER had it, without the angle brackets of a header.
    pub target: String,
}

impl ReferRequest {
    /// Reads the request.
    pub fn read(form: &Form) -> Result<ReferRequest, BadField> {
        let name = "ReferTransferTarget";
        let target = filled(form, name).ok_or(BadField::Missing(name))?;
        let bare = target.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(target);
        Ok(ReferRequest { call_sid: call_sid(form, "CallSid")?, target: bare.to_owned() })
    }
}

/// The first value of a field, unless it is empty.
fn filled<'a>(form: &'a Form, name: &str) -> Option<&'a str> {
    form.first(name).filter(|value| !value.is_empty())
}

fn call_sid(form: &Form, name: &'static str) -> Result<CallSid, BadField> {
    let value = filled(form, name).ok_or(BadField::Missing(name))?;
    let malformed = BadField::Malformed { name, expected: "`CA` and 32 hexadecimal digits" };
    if is_sid(value, "CA") { Ok(CallSid::from(value)) } else { Err(malformed) }
}

fn account_sid(form: &Form) -> Result<String, BadField> {
    let name = "AccountSid";
    let value = filled(form, name).ok_or(BadField::Missing(name))?;
    let malformed = BadField::Malformed { name, expected: "`AC` and 32 hexadecimal digits" };
    if is_sid(value, "AC") { Ok(value.to_owned()) } else { Err(malformed) }
}

fn is_sid(value: &str, prefix: &str) -> bool {
    let is_hex = |hex: &str| hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    value.strip_prefix(prefix).is_some_and(is_hex)
}

fn status(form: &Form, name: &'static str) -> Result<CallStatus, BadField> {
    filled(form, name).map(CallStatus::read).ok_or(BadField::Missing(name))
}

fn number<T: FromStr>(form: &Form, name: &'static str) -> Result<Option<T>, BadField> {
    let malformed = BadField::Malformed { name, expected: "a number in its range" };
    filled(form, name).map(|value| value.parse().map_err(|_| malformed)).transpose()
}

fn boolean(form: &Form, name: &'static str) -> Result<Option<bool>, BadField> {
    let malformed = BadField::Malformed { name, expected: "`true` or `false`" };
    filled(form, name).map(|value| value.parse().map_err(|_| malformed)).transpose()
}

fn sip_call_id(form: &Form, name: &'static str) -> Result<Option<SipCallId>, BadField> {
    let is_readable = |value: &str| {
        value.len() <= SIP_CALL_ID_BYTES_MAX && value.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let malformed = BadField::Malformed { name, expected: "a bounded, printable `Call-ID`" };
    let read = |value| if is_readable(value) { Ok(SipCallId::from(value)) } else { Err(malformed) };
    filled(form, name).map(read).transpose()
}

/// RFC 2822, as in `Sun, 22 Nov 2026 03:00:03 +0000`.
fn timestamp(form: &Form, name: &'static str) -> Result<Option<Timestamp>, BadField> {
    let malformed = BadField::Malformed { name, expected: "a time as in RFC 2822" };
    let Some(value) = filled(form, name) else { return Ok(None) };
    let moment = jiff::fmt::rfc2822::parse(value).map_err(|_| malformed)?;
    let seconds = u64::try_from(moment.timestamp().as_second()).map_err(|_| malformed)?;
    Ok(Some(Timestamp::from_secs(seconds)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PARENT: &str = "CA0123456789abcdef0123456789abcdef";
    const CHILD: &str = "CAfedcba9876543210fedcba9876543210";
    const ACCOUNT: &str = "AC00000000000000000000000000000abc";

    /// Fields every request has, with `changes` in place of or besides them.
    fn form(changes: &[(&str, &str)]) -> Form {
        let common = [
            ("AccountSid", ACCOUNT),
            ("CallSid", PARENT),
            ("CallStatus", "ringing"),
            ("From", "+819012345678"),
            ("To", "+815012345678"),
        ];
        let kept = common.into_iter().filter(|(name, _)| changes.iter().all(|(other, _)| other != name));
        kept.chain(changes.iter().copied()).collect()
    }

    fn voice(changes: &[(&str, &str)]) -> Result<VoiceRequest, BadField> {
        VoiceRequest::read(&form(changes), CallingCode::JAPAN)
    }

    #[test]
    fn a_voice_request_is_read() {
        let request = voice(&[("ForwardedFrom", "03-1234-5678"), ("Unknown", "kept out")]).unwrap();
        assert_eq!(request.call_sid.as_str(), PARENT);
        assert_eq!(request.account_sid, ACCOUNT);
        assert_eq!(request.from.as_str(), Some("+819012345678"));
        assert_eq!(request.to.as_str(), Some("+815012345678"));
        assert_eq!(request.call_status, CallStatus::Ringing);
        assert_eq!(request.forwarded_from.unwrap().as_str(), Some("+81312345678"));
    }

    #[test]
    fn a_caller_may_be_withheld_or_no_number() {
        for from in ["anonymous", "", "+266696687"] {
            assert_eq!(voice(&[("From", from)]).unwrap().from, PartyNumber::Withheld, "{from}");
        }
        let request = voice(&[("From", "client:ada\n</Response>")]).unwrap();
        assert_eq!(request.from.as_str(), Some("client:ada </Response>"));
        assert_eq!(request.forwarded_from, None);
    }

    #[test]
    fn a_bad_field_is_named() {
        let missing = |form: Form| VoiceRequest::read(&form, CallingCode::JAPAN).unwrap_err();
        assert_eq!(missing(Form::default()), BadField::Missing("CallSid"));
        assert_eq!(voice(&[("CallStatus", "")]), Err(BadField::Missing("CallStatus")));
        for sid in
            ["CA0123", "ca0123456789abcdef0123456789abcdef", "CA0123456789abcdef0123456789abcdeg", "<x/>"]
        {
            let error = voice(&[("CallSid", sid)]).unwrap_err();
            assert_eq!(error.to_string(), "the field `CallSid` is not `CA` and 32 hexadecimal digits");
        }
        let error = voice(&[("AccountSid", PARENT)]).unwrap_err();
        assert!(matches!(error, BadField::Malformed { name: "AccountSid", .. }));
    }

    #[test]
    fn a_leg_callback_is_read() {
        let callback = LegCallback::read(&form(&[
            ("CallSid", CHILD),
            ("ParentCallSid", PARENT),
            ("CallStatus", "failed"),
            ("CallbackSource", "call-progress-events"),
            ("SequenceNumber", "2"),
            ("Timestamp", "Sun, 22 Nov 2026 03:00:03 +0000"),
            ("SipResponseCode", "503"),
            ("SipCallId", "5f1c9e7a0b@0.0.0.0"),
            ("CallDuration", "0"),
        ]));
        let expected = LegCallback {
            leg_sid: CallSid::from(CHILD),
            call_sid: CallSid::from(PARENT),
            account_sid: ACCOUNT.to_owned(),
            status: CallStatus::Failed,
            sequence: Some(2),
            at: Some(Timestamp::from_secs(1_795_316_403)),
            sip_code: Some(503),
            sip_call_id: Some(SipCallId::from("5f1c9e7a0b@0.0.0.0")),
            duration_s: Some(0),
        };
        assert_eq!(callback, Ok(expected));
    }

    #[test]
    fn a_leg_callback_may_tell_little() {
        let callback =
            LegCallback::read(&form(&[("ParentCallSid", PARENT), ("SequenceNumber", "")])).unwrap();
        assert_eq!((callback.sequence, callback.at, callback.sip_code), (None, None, None));
        assert_eq!((callback.sip_call_id, callback.duration_s), (None, None));
        assert_eq!(LegCallback::read(&form(&[])), Err(BadField::Missing("ParentCallSid")));
        for (name, value) in [
            ("SequenceNumber", "-1"),
            ("Timestamp", "yesterday"),
            ("SipResponseCode", "70000"),
            ("SipCallId", "a\r\nb"),
            ("CallDuration", "1.5"),
        ] {
            let error = LegCallback::read(&form(&[("ParentCallSid", PARENT), (name, value)])).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn a_status_callback_is_read() {
        let callback = StatusCallback::read(&form(&[("CallStatus", "completed"), ("CallDuration", "42")]));
        let callback = callback.unwrap();
        assert_eq!((callback.status.is_final(), callback.duration_s), (true, Some(42)));
        assert_eq!(callback.call_sid.as_str(), PARENT);
    }

    #[test]
    fn a_dial_result_is_read() {
        let result = DialResult::read(&form(&[
            ("CallStatus", "in-progress"),
            ("DialBridged", "false"),
            ("DialCallSid", CHILD),
            ("DialCallStatus", "failed"),
            ("DialSipCallId", "5f1c9e7a0b@0.0.0.0"),
            ("DialSipResponseCode", "503"),
        ]))
        .unwrap();
        assert_eq!(result.call_status, CallStatus::InProgress);
        assert_eq!(result.dial_status, CallStatus::Failed);
        assert_eq!((result.bridged, result.sip_code, result.leg_duration_s), (Some(false), Some(503), None));
        assert_eq!(result.leg_sid, Some(CallSid::from(CHILD)));

        let bare = DialResult::read(&form(&[("DialCallStatus", "answered")])).unwrap();
        assert_eq!(bare.dial_status, CallStatus::Other("answered".to_owned()));
        assert_eq!((bare.bridged, bare.leg_sid), (None, None));
        assert_eq!(DialResult::read(&form(&[])), Err(BadField::Missing("DialCallStatus")));
        let bad = [("DialCallStatus", "failed"), ("DialCallSid", "CA1")];
        assert!(matches!(
            DialResult::read(&form(&bad)),
            Err(BadField::Malformed { name: "DialCallSid", .. })
        ));
    }

    #[test]
    fn a_refer_request_is_read() {
        let targets =
            [("tel:+81312345678", "tel:+81312345678"), ("<sip:desk@example.com>", "sip:desk@example.com")];
        for (sent, target) in targets {
            let refer = ReferRequest::read(&form(&[("ReferTransferTarget", sent)])).unwrap();
            assert_eq!((refer.call_sid.as_str(), refer.target.as_str()), (PARENT, target));
        }
        assert_eq!(ReferRequest::read(&form(&[])), Err(BadField::Missing("ReferTransferTarget")));
    }

    #[test]
    fn a_status_is_twilios_word() {
        for word in "queued initiated ringing in-progress completed busy failed no-answer canceled".split(' ')
        {
            assert_eq!(CallStatus::read(word).as_str(), word);
            assert!(!matches!(CallStatus::read(word), CallStatus::Other(_)), "{word}");
        }
        assert_eq!(CallStatus::read(&format!("new\n{}", "w".repeat(100))).as_str().len(), STATUS_CHARS_MAX);
    }

    proptest! {
        #[test]
        fn reading_never_panics(body: Vec<u8>, text: String) {
            let hostile = Form::parse(&body).unwrap_or_default();
            let names = ["From", "ParentCallSid", "Timestamp", "DialBridged", "CallStatus", "DialSipCallId"];
            let text = form(&names.map(|name| (name, text.as_str())));
            for form in [hostile, text] {
                let _ = VoiceRequest::read(&form, CallingCode::JAPAN);
                let _ = LegCallback::read(&form);
                let _ = StatusCallback::read(&form);
                let _ = DialResult::read(&form);
            }
        }
    }
}
