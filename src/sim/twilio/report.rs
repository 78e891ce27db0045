//! What one simulated call leaves behind: everything the carrier asked, was told and did.

use std::fmt;
use std::time::Duration;

use super::form::Fields;
use super::web::Answer;
use crate::clock::Timestamp;

/// The carrier's side of one call.
#[derive(Clone, Debug)]
pub struct CarrierReport {
    /// The caller's leg (`CA…`).
    pub call_sid: String,
    /// Every request made to the gateway: documents asked for in order, callbacks as they were sent.
    pub deliveries: Vec<Delivery>,
    /// The TwiML documents received, in order.
    pub documents: Vec<String>,
    /// What Twilio's debugger would show: an error code and what was wrong. Empty for a good gateway.
    pub problems: Vec<String>,
    /// What the caller heard of the carrier, in order.
    pub heard: Vec<Heard>,
    /// The legs that were dialled.
    pub dials: Vec<DialReport>,
    /// The recordings that were made, by their ids (`RE…`).
    pub recordings: Vec<String>,
    /// The media streams that were opened.
    pub streams: Vec<StreamReport>,
    /// The final `CallStatus` of the caller's leg.
    pub status: String,
    /// Whether the caller put the phone down, rather than being hung up on.
    pub caller_hung_up: bool,
    /// When the caller dialled.
    pub began: Timestamp,
    /// The same moment, against which what is heard can be held.
    pub dialled: tokio::time::Instant,
    /// When the call was answered; none if it never was.
    pub answered: Option<Timestamp>,
    /// When it was over.
    pub ended: Timestamp,
}

impl CarrierReport {
    /// The deliveries of one kind.
    pub fn deliveries_of(&self, kind: RequestKind) -> impl Iterator<Item = &Delivery> {
        self.deliveries.iter().filter(move |delivery| delivery.kind == kind)
    }
}

/// Why the carrier makes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestKind {
    /// A call came in: what shall be done?
    Voice,
    /// `<Redirect>`: go on with another document.
    Redirect,
    /// The number's fallback URL: what to do where nobody answered.
    Fallback,
    /// `<Dial action>`: the dial has ended.
    DialResult,
    /// `<Record action>`: a message was left.
    AfterVoicemail,
    /// `<Dial referUrl>`: the other end sent REFER.
    Refer,
    /// Leg callback `initiated`.
    LegInitiated,
    /// Leg callback `ringing`.
    LegRinging,
    /// Leg callback `answered`.
    LegAnswered,
    /// Leg callback `completed`.
    LegCompleted,
    /// The number's status callback: the caller's leg is over.
    Status,
    /// Recording callback `in-progress`.
    RecordingStarted,
    /// Recording callback `completed` or `absent`.
    RecordingCompleted,
}

/// One request to the gateway and what came of it.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Why it was made.
    pub kind: RequestKind,
    /// The URL as signed.
    pub url: String,
    /// The fields sent.
    pub fields: Fields,
    /// When.
    pub at: Timestamp,
    /// How long the answer took.
    pub took: Duration,
    /// How often it was tried.
    pub attempts: u32,
    /// The answer, or why there was none.
    pub answer: Result<Answer, String>,
}

impl Delivery {
    /// The value of a field, if it was sent.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The HTTP status of the answer; none when there was no answer.
    pub fn status(&self) -> Option<u16> {
        self.answer.as_ref().ok().map(|answer| answer.status)
    }
}

/// Something the caller heard of the carrier (what the model says is the provider's to know).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The ringing tone.
    Ringing,
    /// The carrier's voice.
    Said(String),
    /// Was connected with somebody; printed as `connected to …`.
    Connected(String),
    /// The beep after which a message can be left.
    Beep,
    /// The busy tone.
    Busy,
    /// "Not in service".
    Rejected,
    /// "An application error has occurred."
    ApplicationError,
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Heard::Ringing => f.write_str("ringing"),
            Heard::Said(text) => f.write_str(text),
            Heard::Connected(target) => write!(f, "connected to {target}"),
            Heard::Beep => f.write_str("beep"),
            Heard::Busy => f.write_str("busy"),
            Heard::Rejected => f.write_str("rejected"),
            Heard::ApplicationError => f.write_str("application error"),
        }
    }
}

/// One media stream that was opened.
#[derive(Clone, Debug, Default)]
pub struct StreamReport {
    /// The stream (`MZ…`).
    pub stream_sid: String,
    /// The line, by which the provider knows the caller.
    pub line: u32,
    /// What the microphone sent, 20 ms after 20 ms: μ-law, up to some minutes.
    pub said: Vec<u8>,
    /// What was played at the same times.
    pub heard: Vec<u8>,
    /// How many bytes of what was played came from the gateway.
    pub heard_bytes: usize,
    /// Blocks that were not what the model said, or not in its order.
    pub garbled: u32,
    /// When the first of it was heard.
    pub first_heard: Option<tokio::time::Instant>,
    /// How often the buffer was cleared.
    pub clears: u32,
    /// How many marks went back.
    pub marks: u32,
    /// The most that waited in the buffer, in bytes.
    pub most_buffered: usize,
}

/// One leg that was dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialReport {
    /// The child leg (`CA…`).
    pub call_sid: String,
    /// Whom: a SIP address or a number.
    pub target: String,
    /// The provider's id of the call, for SIP legs.
    pub provider_call_id: Option<String>,
    /// `DialCallStatus`.
    pub status: String,
    /// `DialBridged`.
    pub is_bridged: bool,
    /// `DialSipResponseCode`, for SIP legs that were answered at all.
    pub sip_code: Option<u16>,
}
