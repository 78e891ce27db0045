//! What is kept of a call: the record, its transcript lines, its tool calls, its usage.
//!
//! These are the stored forms. They travel as JSON, carry a format number, and are also what
//! `switchboard calls show --json` and the admin API print. A new field gets `#[serde(default)]`.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::consent::Consent;
use crate::clock::Timestamp;
use crate::ids::{CallId, CallSid, ItemId, ProviderCallId, SipCallId, ToolCallId, TurnId, WebhookId};

/// The format written by this version, kept in every record as `v`.
pub const FORMAT: u8 = 1;

/// One caller's conversation, from the first webhook to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CallRecord {
    /// Format number, see [`FORMAT`].
    pub v: u8,
    /// Our id.
    pub id: CallId,
    /// Where the call is in its life.
    pub state: State,
    /// How audio reaches the model.
    pub path: Path,
    /// Who calls: E.164 where it could be normalised, else as received; none when withheld.
    pub caller: Option<String>,
    /// The number that was dialled, likewise.
    pub callee: Option<String>,
    /// The route that took the call.
    pub route: Option<String>,
    /// The session it was answered with.
    pub session: Option<String>,
    /// The route's variables and what was set during the call.
    #[serde(default)]
    pub vars: BTreeMap<String, String>,
    /// What the carrier told about its legs; none for a call that came over a bare SIP trunk.
    pub carrier: Option<Carrier>,
    /// What the provider told; none until its webhook came.
    pub provider: Option<Provider>,
    /// When each stage was reached: of a call that was moved, on the path it was moved to.
    #[serde(default)]
    pub stages: Stages,
    /// Why and when the call ended; none while it has not.
    pub ended: Option<Ended>,
    /// How many transcript lines, tool calls, usage records and events are kept.
    #[serde(default)]
    pub counts: Counts,
    /// Tokens and seconds over the whole call.
    #[serde(default)]
    pub usage: Usage,
    /// What they cost, where the price table knows the models.
    pub cost_usd: Option<f64>,
    /// That the call is to be recorded, and what the caller is told of it; none: it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent: Option<Consent>,
    /// To whom the caller was handed on last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handed_to: Option<String>,
    /// The proof of that: the carrier was seen to dial. None: nobody was handed on, or there is only the
    /// provider's word for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handed: Option<Handed>,
    /// Who was heard, as far as it is known.
    #[serde(default)]
    pub heard: Heard,
    /// The path that is left should this one fail; none: none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_path: Option<Path>,
    /// The path that the call would have taken, had it not failed for others just before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avoided: Option<Path>,
    /// How the caller was moved from one path to the other, where that happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<Moved>,
    /// That the process which carried the caller's audio went away in the middle of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interrupted: Option<super::resume::Interrupted>,
}

impl CallRecord {
    /// The stages that were reached on this path; none where the call did not take it.
    pub fn stages_on(&self, path: Path) -> Option<&Stages> {
        if self.path == path {
            return Some(&self.stages);
        }
        self.moved.as_ref().filter(|moved| moved.from == path).map(|moved| &moved.stages)
    }

    /// Claims that the call left this path before anybody offered it there.
    pub fn is_left_unoffered(&self, path: Path) -> bool {
        self.moved.as_ref().is_some_and(|moved| moved.from == path && moved.provider_call.is_none())
    }
}

/// A path failed, and the same caller went on over the other one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Moved {
    /// The path that failed.
    pub from: Path,
    /// When it was given up.
    pub at: Timestamp,
    /// Why: as a call would have ended with it.
    pub reason: EndedReason,
    /// Details for a person.
    pub detail: Option<String>,
    /// The provider's id of the call that was given up, where there was one.
    pub provider_call: Option<ProviderCallId>,
    /// When the caller could first hear the assistant afterwards.
    pub spoke_again: Option<Timestamp>,
    /// Which stages it had reached on that path, and when.
    #[serde(default)]
    pub stages: Stages,
    /// How many tool calls had been made on it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tool_calls: u32,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// The carrier was seen to hand a caller on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Handed {
    /// When.
    pub at: Timestamp,
    /// What made it do so.
    pub by: HandedBy,
    /// What became of the dial, in the carrier's words; none while it is not known.
    pub result: Option<String>,
    /// Whether somebody answered; none while it is not known.
    pub answered: Option<bool>,
}

/// What made the carrier hand a caller on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HandedBy {
    /// The provider's REFER, about which it asked us.
    Refer,
    /// Our own request to it.
    Request,
    /// The dial towards the provider was over, and it asked us what to do with the caller.
    DialOver,
    /// The media stream was over, and it asked us the same.
    StreamOver,
}

impl HandedBy {
    /// The name as it stands in records and on the terminal.
    pub fn as_str(self) -> &'static str {
        match self {
            HandedBy::Refer => "refer",
            HandedBy::Request => "request",
            HandedBy::DialOver => "dial_over",
            HandedBy::StreamOver => "stream_over",
        }
    }
}

/// Who was heard in a call. On the bridge this is told by the sound itself, over SIP by what the provider
/// says of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Heard {
    /// The caller.
    pub caller: bool,
    /// The assistant, by the caller.
    pub assistant: bool,
}

impl Heard {
    /// Claims that somebody was.
    pub fn is_anybody(self) -> bool {
        self.caller || self.assistant
    }
}

/// Where a call is in its life. It only moves forward, but for a call that is moved to another path: that
/// begins again with [`State::Dialing`], once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The carrier asked what to do and was told to dial the provider, or to open a stream.
    Dialing,
    /// The provider's webhook came; the accept is under way.
    Offered,
    /// The provider said yes to the accept; the sideband is not up yet.
    Accepted,
    /// The sideband is up: the provider confirmed the session.
    Live,
    /// Over.
    Ended,
}

/// How audio reaches the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Path {
    /// The carrier sends it to the provider over SIP; it never passes through us.
    Sip,
    /// We bridge the carrier's media stream to the provider.
    MediaStreams,
    /// No model: the caller was turned away, forwarded or told an apology.
    None,
}

impl Path {
    /// The name as it stands in records, metrics and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Path::Sip => "sip",
            Path::MediaStreams => "media-streams",
            Path::None => "none",
        }
    }
}

/// The carrier's side of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Carrier {
    /// The carrier's name: `twilio`.
    pub name: String,
    /// The caller's leg.
    pub call_sid: CallSid,
    /// The account it belongs to.
    pub account_sid: String,
    /// The leg towards the provider, once the carrier named it.
    pub leg_sid: Option<CallSid>,
    /// `Call-ID` of that leg's INVITE, once known.
    pub sip_call_id: Option<SipCallId>,
    /// Last status of the caller's leg, in the carrier's words (`ringing`, `in-progress`, `completed` …).
    pub status: String,
    /// Last status of the leg towards the provider, likewise.
    pub leg_status: Option<String>,
    /// Highest sequence number of that leg's callbacks so far; one with a lower number says nothing new,
    /// unless it says that the leg is over.
    pub leg_sequence: Option<u32>,
    /// Final SIP code of that leg's INVITE.
    pub sip_code: Option<u16>,
    /// Whether the two legs were ever connected.
    pub bridged: Option<bool>,
    /// Seconds that the leg was connected, as billed.
    pub leg_duration_s: Option<u32>,
    /// The provider could not agree on encrypted sound, and was dialled once more without it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_plain: bool,
    /// The leg that was tried before; what is told of it says nothing any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_leg: Option<CallSid>,
    /// So many seconds after its answer the carrier ends that leg, as it was told to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_limit_s: Option<u32>,
}

impl Carrier {
    /// Claims that the caller's own leg is over.
    pub fn is_over(&self) -> bool {
        super::carrier::caller_is_gone(self)
    }
}

/// The provider's side of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Provider {
    /// The provider's name: `openai-realtime`.
    pub name: String,
    /// Its id of the phone call.
    pub call_id: ProviderCallId,
    /// The delivery that brought the call.
    pub webhook_id: WebhookId,
    /// How the provider's call was joined to the carrier's.
    pub joined_by: JoinedBy,
    /// The model that answers.
    pub model: Option<String>,
    /// When the provider will end the session by itself.
    pub expires_at: Option<Timestamp>,
    /// How often the sideband was lost and attached again.
    #[serde(default)]
    pub reattached: u32,
    /// The INVITE's headers as received: untrusted text, bounded in number and size.
    #[serde(default)]
    pub sip_headers: Vec<(String, String)>,
}

/// What joined the provider's call to the carrier's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JoinedBy {
    /// Our signed token in a custom SIP header.
    Token,
    /// The carrier's id of its SIP leg, known from a signed callback.
    CallSid,
    /// The `Call-ID` of the INVITE, known from a signed callback.
    SipCallId,
    /// Nothing: a bare SIP trunk, routed on its own.
    None,
}

/// When each stage was reached, on this machine's clock except where said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stages {
    /// The carrier asked for TwiML.
    pub carrier_asked: Option<Timestamp>,
    /// The provider made the webhook event (its clock, whole seconds); over media streams as below.
    pub webhook_created: Option<Timestamp>,
    /// The webhook was read and its signature found good; over media streams: the stream was let in.
    pub webhook_received: Option<Timestamp>,
    /// The accept request was handed to the connection.
    pub accept_sent: Option<Timestamp>,
    /// The provider answered it.
    pub accepted: Option<Timestamp>,
    /// The sideband confirmed the session.
    pub attached: Option<Timestamp>,
    /// The assistant began to greet, as it was asked to.
    #[serde(default)]
    pub greeted: Option<Timestamp>,
    /// The carrier reported the leg as answered.
    pub leg_answered: Option<Timestamp>,
    /// The caller could first hear the assistant.
    pub first_audio: Option<Timestamp>,
    /// The call was over.
    pub ended: Option<Timestamp>,
}

impl Stages {
    /// When the call began for us: the first thing we heard of it.
    pub fn began(&self) -> Option<Timestamp> {
        self.carrier_asked.or(self.webhook_received)
    }

    /// The call begins again on another path: what was reached on the one that is left is given back.
    pub(super) fn begin_again(&mut self) -> Stages {
        let fresh = Stages { carrier_asked: self.carrier_asked, ..Stages::default() };
        std::mem::replace(self, fresh)
    }

    /// From the provider's webhook to the first word the caller could hear.
    pub fn first_word_after(&self) -> Option<Duration> {
        Some(self.first_audio?.since(self.webhook_received?))
    }

    /// From the webhook to the accept: what we add to the caller's wait.
    pub fn webhook_to_accept(&self) -> Option<Duration> {
        Some(self.accept_sent?.since(self.webhook_received?))
    }
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Ended {
    /// Why.
    pub reason: EndedReason,
    /// Details for a person: a vendor's error, a SIP code.
    pub detail: Option<String>,
}

/// Why a call ended; also the `outcome` label of `switchboard_calls_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndedReason {
    /// The call ended, nothing of ours had asked for it, and the carrier does not say that the caller
    /// was still there.
    CallerHangup,
    /// The model called the `hangup` tool.
    AssistantHangup,
    /// Handed to somebody else by the `transfer` tool.
    Transferred,
    /// A route sent the caller to a number without a model.
    Forwarded,
    /// A route turned the call away.
    Rejected,
    /// The feature flag is off, or all ways failed: the caller heard an apology.
    Apology,
    /// `server.max_calls` was reached.
    Busy,
    /// The carrier dialled, but the provider never told us of the call.
    ProviderSilent,
    /// The provider refused the accept, or did not answer it in time.
    AcceptFailed,
    /// Accepted, but the sideband could not be attached: the caller cannot be served.
    AttachFailed,
    /// The caller was gone before we could answer.
    CallerGone,
    /// The provider's or the session's longest duration was reached.
    MaxDuration,
    /// The provider dropped the call: it could not be found again, or the carrier says that the caller
    /// was still there.
    ProviderDropped,
    /// An operator ended it.
    Operator,
    /// The SIP leg failed before it was answered.
    LegFailed,
    /// The gateway was being stopped when the call came: the caller got the route's fallback.
    Stopping,
    /// The gateway went away at the wrong moment: before the caller was answered, or while it carried the
    /// audio, and the caller did not come back.
    GatewayLost,
}

impl EndedReason {
    /// Claims that the path to the model failed, through no wish of anybody.
    pub fn is_failure(self) -> bool {
        matches!(
            self,
            EndedReason::ProviderSilent
                | EndedReason::AcceptFailed
                | EndedReason::AttachFailed
                | EndedReason::ProviderDropped
                | EndedReason::LegFailed
                | EndedReason::GatewayLost
        )
    }

    /// The name as it stands in records, metrics and filters.
    pub fn as_str(self) -> &'static str {
        match self {
            EndedReason::CallerHangup => "caller_hangup",
            EndedReason::AssistantHangup => "assistant_hangup",
            EndedReason::Transferred => "transferred",
            EndedReason::Forwarded => "forwarded",
            EndedReason::Rejected => "rejected",
            EndedReason::Apology => "apology",
            EndedReason::Busy => "busy",
            EndedReason::ProviderSilent => "provider_silent",
            EndedReason::AcceptFailed => "accept_failed",
            EndedReason::AttachFailed => "attach_failed",
            EndedReason::CallerGone => "caller_gone",
            EndedReason::MaxDuration => "max_duration",
            EndedReason::ProviderDropped => "provider_dropped",
            EndedReason::Operator => "operator",
            EndedReason::LegFailed => "leg_failed",
            EndedReason::Stopping => "stopping",
            EndedReason::GatewayLost => "gateway_lost",
        }
    }
}

/// How many parts of each kind a call has; the next part's number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// Transcript lines.
    pub lines: u32,
    /// Tool calls.
    pub tool_calls: u32,
    /// Usage records.
    pub usage: u32,
    /// Lifecycle events.
    pub events: u32,
}

/// Tokens and seconds as the provider counts them; cached tokens are a part of the input tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Usage {
    /// Text tokens read, cached ones included.
    pub text_in: u64,
    /// Audio tokens read, cached ones included.
    pub audio_in: u64,
    /// Image tokens read, cached ones included.
    pub image_in: u64,
    /// Text tokens read from the cache.
    pub text_cached: u64,
    /// Audio tokens read from the cache.
    pub audio_cached: u64,
    /// Image tokens read from the cache.
    pub image_cached: u64,
    /// Text tokens written (what is neither text nor audio is counted here).
    pub text_out: u64,
    /// Audio tokens written.
    pub audio_out: u64,
    /// Seconds of audio transcribed, where transcription is billed by time.
    pub transcription_s: f64,
    /// Tokens read by the transcription model.
    pub transcription_in: u64,
    /// Tokens written by the transcription model.
    pub transcription_out: u64,
}

/// One line of the transcript: who said what, and when speech started and ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Line {
    /// Format number, see [`FORMAT`].
    pub v: u8,
    /// The line's number within the call, in the order in which lines were begun.
    pub n: u32,
    /// Who spoke.
    pub speaker: Speaker,
    /// What was said, as far as it is known.
    pub text: String,
    /// When speech started; lines are read in this order.
    pub started: Timestamp,
    /// When it ended; none when that was never learnt.
    pub ended: Option<Timestamp>,
    /// How far the text can be trusted to be whole.
    pub status: LineStatus,
    /// The provider's item.
    pub item: Option<ItemId>,
    /// The assistant's turn, for the assistant's lines.
    pub turn: Option<TurnId>,
}

/// Who spoke a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    /// The caller.
    Caller,
    /// The assistant.
    Assistant,
    /// Keys pressed by the caller (their number is kept, not which).
    Keypad,
}

/// How far a line's text can be trusted to be whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LineStatus {
    /// Whole.
    Final,
    /// The call ended, or the socket was lost, before the rest came.
    Partial,
    /// The caller spoke over it: not all of it was heard.
    Interrupted,
    /// Speech was heard, but the provider could not write it down.
    Untranscribed,
}

/// One call of a tool.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ToolCallRecord {
    /// Format number, see [`FORMAT`].
    pub v: u8,
    /// The number within the call.
    pub n: u32,
    /// The provider's id of this tool call.
    pub tool_call_id: ToolCallId,
    /// The tool's name.
    pub name: String,
    /// The arguments as the model wrote them: not always JSON.
    pub arguments: String,
    /// When the model's request arrived.
    pub requested: Timestamp,
    /// When the tool had answered or failed; none while it runs.
    pub finished: Option<Timestamp>,
    /// What came of it; none while it runs.
    pub outcome: Option<ToolOutcomeKind>,
    /// What was sent to the model.
    pub output: Option<String>,
    /// The turn that asked for it; none in records of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<TurnId>,
    /// The provider has said that the output is in the conversation.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub acknowledged: bool,
    /// It may not run twice, and was asked for when the gateway was about to leave its calls: it has not begun, and the
    /// next process runs it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deferred: bool,
}

/// What came of a tool call; also the `outcome` label of `switchboard_tool_calls_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToolOutcomeKind {
    /// It answered.
    Ok,
    /// No tool of that name is offered in this session.
    UnknownTool,
    /// The arguments were not JSON, or broke the tool's schema.
    InvalidArguments,
    /// The tool answered: there is no such thing.
    NotFound,
    /// The tool, or a grant, refused.
    Denied,
    /// The tool's backend cannot be reached, or too many calls of it run.
    Unavailable,
    /// It took longer than its deadline.
    Timeout,
    /// Its answer was larger than allowed, or not JSON.
    BadOutput,
    /// It failed inside (a trap, its memory limit, a bug).
    Failed,
    /// The call ended, or the session's number of tool calls was used up.
    Cancelled,
    /// The gateway went away while it ran, and it may not run twice: whether it was done is not known.
    Interrupted,
}

impl ToolOutcomeKind {
    /// The name as it stands in records, metrics and what the model is told.
    pub fn as_str(self) -> &'static str {
        match self {
            ToolOutcomeKind::Ok => "ok",
            ToolOutcomeKind::UnknownTool => "unknown_tool",
            ToolOutcomeKind::InvalidArguments => "invalid_arguments",
            ToolOutcomeKind::NotFound => "not_found",
            ToolOutcomeKind::Denied => "denied",
            ToolOutcomeKind::Unavailable => "unavailable",
            ToolOutcomeKind::Timeout => "timeout",
            ToolOutcomeKind::BadOutput => "bad_output",
            ToolOutcomeKind::Failed => "failed",
            ToolOutcomeKind::Cancelled => "cancelled",
            ToolOutcomeKind::Interrupted => "interrupted",
        }
    }
}

/// Usage of one assistant turn or one transcription.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UsageRecord {
    /// Format number, see [`FORMAT`].
    pub v: u8,
    /// The number within the call.
    pub n: u32,
    /// When it was reported.
    pub at: Timestamp,
    /// The model it is billed for.
    pub model: String,
    /// The turn, or none for a transcription.
    pub turn: Option<TurnId>,
    /// What was used.
    pub usage: Usage,
    /// What it cost, where the price table knows the model.
    pub cost_usd: Option<f64>,
}

/// Something that happened to a call, for the person who asks why.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EventRecord {
    /// Format number, see [`FORMAT`].
    pub v: u8,
    /// The number within the call.
    pub n: u32,
    /// When.
    pub at: Timestamp,
    /// What: `webhook.verified`, `accept.sent`, `sideband.lost`, `provider.unknown` …
    pub kind: String,
    /// More of it, as JSON, where there is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub data: Option<Box<RawValue>>,
}

/// Everything that is kept of one call; also what `switchboard calls show --json` and the admin API give.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CallDetail {
    /// The call.
    pub call: CallRecord,
    /// The transcript, in the order in which speech started.
    pub lines: Vec<Line>,
    /// The tool calls, in the order in which they were asked for.
    pub tool_calls: Vec<ToolCallRecord>,
    /// The usage, in the order in which it was reported.
    pub usage: Vec<UsageRecord>,
    /// What happened, in order.
    pub events: Vec<EventRecord>,
    /// The recordings, in the order of their ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recordings: Vec<super::recording::RecordingRecord>,
}
