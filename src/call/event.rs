//! The neutral vocabulary: what can happen to a call, and what can be done about it.
//!
//! Providers and carriers are dialects of these words; nothing above a dialect knows a vendor's event
//! name. A dialect that lacks an event never sends it, so nothing may wait for one without a timer.

use std::time::Duration;

use serde_json::value::RawValue;

use super::record::{EndedReason, JoinedBy, Path, Speaker, Usage};
use super::terms::Terms;
use crate::clock::Timestamp;
use crate::ids::{CallSid, ItemId, ProviderCallId, SipCallId, ToolCallId, TurnId, WebhookId};

/// Something happened to a call.
#[derive(Debug)]
pub enum Event {
    /// The provider's verified webhook offers the call.
    Offered(Box<Offer>),
    /// The accept request was handed to the connection.
    AcceptSent,
    /// The provider answered the accept, or did not in time.
    AcceptAnswered(AcceptAnswer),
    /// The sideband could not be opened.
    AttachFailed(AttachFailure),
    /// The sideband carried something.
    Provider(ProviderEvent),
    /// The sideband ended: the close code, where there was a close frame.
    SidebandLost(Option<u16>),
    /// The provider answered a request to refer the call; the text says why it failed.
    ReferAnswered(Result<(), String>),
    /// The carrier answered a request to dial somebody else; the text says why it failed.
    RedirectAnswered(Result<(), String>),
    /// The carrier answered a request to end its leg to the provider; the text says why it failed.
    LegEnded(Result<(), String>),
    /// A tool has answered or failed.
    ToolFinished(ToolFinished),
    /// A tool was not begun, because the gateway is about to leave its calls: the next process begins it.
    ToolDeferred(ToolCallId),
    /// The carrier reported on one of its legs.
    Carrier(CarrierEvent),
    /// The bridge that carries the call's audio has something to tell.
    Stream(StreamEvent),
    /// An operator wants something.
    Command(Command),
    /// A tool or a hook wants something.
    Wished(Wished),
    /// Something happened beside the call that stands in its record, also when it is over.
    Noted {
        /// What.
        kind: &'static str,
        /// More of it.
        detail: String,
    },
    /// An earlier process left the call in the middle of something, and this one goes on with it.
    TakenUp(TakenUp),
    /// The carrier was asked for the status of the caller's leg, and gave this one in its own words.
    CarrierAnswered(String),
    /// The moment that `Call::deadline` named has come.
    Deadline,
}

/// How a call is gone on with that an earlier process left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TakenUp {
    /// The provider's webhook is fresh enough for an accept.
    pub is_fresh: bool,
    /// How long the accept may take before the other path is taken; none: there is none.
    pub accept_within: Option<Duration>,
    /// The tools that do no harm when they run twice.
    pub repeatable: std::collections::BTreeSet<String>,
}

/// A call as the provider's webhook offers it, joined and routed.
#[derive(Debug)]
pub struct Offer {
    /// The path it came on.
    pub path: Path,
    /// The provider's name: `openai-realtime`.
    pub provider: &'static str,
    /// Its id of the call.
    pub call_id: ProviderCallId,
    /// The delivery that brought it.
    pub webhook_id: WebhookId,
    /// When the provider made the event, on its clock.
    pub created: Timestamp,
    /// When we had read and verified it.
    pub received: Timestamp,
    /// What joined it to the carrier's call.
    pub joined_by: JoinedBy,
    /// The INVITE's headers: untrusted.
    pub sip_headers: Vec<(String, String)>,
    /// What is to be done with it.
    pub verdict: Verdict,
    /// What plugins made of the call before.
    pub hooks: FromHooks,
    /// How long the accept may take before the other path is taken; none: there is none.
    pub accept_within: Option<Duration>,
}

/// What plugins made of a call before it was accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FromHooks {
    /// Variables to put over the route's.
    pub vars: std::collections::BTreeMap<String, String>,
    /// For the person who asks why: the kind of an event, and more of it.
    pub notes: Vec<(&'static str, String)>,
}

/// What intake decided about an offered call.
#[derive(Debug)]
pub enum Verdict {
    /// Answer it on these terms.
    Answer(Box<Terms>),
    /// Turn it away.
    Refuse {
        /// The SIP code the carrier is given.
        sip_code: u16,
        /// Why, for the record.
        reason: EndedReason,
        /// Details for a person.
        detail: Option<String>,
    },
    /// Accepted to be handed on at once to this URI.
    Forward {
        /// `tel:` or `sip:` URI.
        target: String,
        /// Terms of the short session that exists until the call is handed on.
        terms: Box<Terms>,
    },
}

/// What came of an accept request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AcceptAnswer {
    /// The provider took it.
    Ok,
    /// On the bridge: the provider opened and configured a session, of this id where it gave one.
    Session(Option<ProviderCallId>),
    /// The call no longer exists there: the caller is gone.
    Gone,
    /// Somebody decided before, perhaps an earlier try of ours whose answer was lost.
    AlreadyDecided,
    /// No answer came in time, or the connection broke after the request left: it may have worked.
    Unclear(String),
    /// The provider refused; the text says why.
    Refused(String),
}

/// Why the sideband could not be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttachFailure {
    /// 404: not accepted yet, not valid, or over.
    NotFound,
    /// The key or the project is wrong.
    Denied(u16),
    /// Anything that may pass: a connection error, a timeout, a 5xx.
    Passing(String),
}

/// A tool has answered or failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolFinished {
    /// Which call of it.
    pub tool_call: ToolCallId,
    /// What came of it.
    pub kind: super::record::ToolOutcomeKind,
    /// What to tell the model: JSON text.
    pub output: String,
}

/// The carrier reported on one of its legs. Reports may be late, doubled and out of order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CarrierEvent {
    /// Progress of the leg towards the provider.
    Leg {
        /// The leg.
        sid: CallSid,
        /// In the carrier's words.
        status: String,
        /// Reports of one leg are numbered from 0.
        sequence: Option<u32>,
        /// Final SIP code of the INVITE.
        sip_code: Option<u16>,
        /// `Call-ID` of the INVITE.
        sip_call_id: Option<SipCallId>,
        /// Seconds connected.
        duration_s: Option<u32>,
    },
    /// The dial towards the provider is over.
    DialEnded {
        /// In the carrier's words.
        status: String,
        /// Whether the legs were ever connected.
        bridged: Option<bool>,
        /// The leg.
        leg_sid: Option<CallSid>,
        /// Final SIP code of the INVITE.
        sip_code: Option<u16>,
        /// `Call-ID` of the INVITE.
        sip_call_id: Option<SipCallId>,
        /// Seconds connected.
        duration_s: Option<u32>,
        /// Status of the caller's own leg.
        caller_status: String,
    },
    /// The provider has handed the caller on, and the carrier asks what to do.
    Referred,
    /// The dial to whom the caller was handed on is over.
    HandedOn {
        /// In the carrier's words.
        status: String,
        /// Whether somebody answered.
        answered: bool,
        /// Status of the caller's own leg.
        caller_status: String,
    },
    /// The media stream of a bridged call is over, and the carrier asks what to do with the caller.
    StreamEnded {
        /// Status of the caller's own leg.
        caller_status: String,
    },
    /// The carrier asks again what to do with a caller who was connected: whatever it did is over.
    AsksAgain {
        /// Status of the caller's own leg.
        caller_status: String,
    },
    /// Status of the caller's own leg.
    Caller {
        /// In the carrier's words.
        status: String,
    },
}

/// The bridge of a call has something to tell that a sideband could not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamEvent {
    /// The carrier's stream is over: the caller is gone, or the carrier will ask what to do next.
    Ended,
    /// For the person who asks why.
    Noted {
        /// What happened.
        kind: &'static str,
        /// More of it.
        detail: Option<String>,
    },
    /// Who was heard so far.
    Heard {
        /// Sound came from the caller.
        caller: bool,
        /// Sound of the assistant was played to the caller.
        assistant: bool,
        /// Long enough has passed for both.
        is_late: bool,
    },
    /// The provider is back, with a new session that was told the conversation so far.
    Gap {
        /// How long it was away.
        lasted: Duration,
        /// The assistant was cut off in the middle of a turn.
        is_cut: bool,
    },
}

/// An operator wants something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// End the call now.
    HangUp,
}

/// A tool or a hook wants something of the call it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wished {
    /// The plugin that wants it.
    pub by: String,
    /// The tool call it is about; none for a hook.
    pub tool_call: Option<ToolCallId>,
    /// What it wants.
    pub wish: Wish,
}

/// What a tool or a hook can want. Texts are bounded by who brings them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The caller shall hear how far the tool is.
    Progress(String),
    /// The caller shall hear this.
    Say(String),
    /// The model shall know this.
    InjectContext(String),
    /// The caller shall be handed to this target of the session.
    Transfer(String),
    /// The call shall end, after a goodbye.
    HangUp,
    /// A variable of the call shall have this value.
    SetVariable {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
}

/// What the sideband carries, in neutral words.
#[derive(Clone, Debug)]
pub enum ProviderEvent {
    /// The provider confirmed the session: the call is up.
    Attached {
        /// When the provider will end it by itself.
        expires_at: Option<Timestamp>,
        /// How far the provider's speech times reach beyond the speech.
        padding: SpeechPadding,
    },
    /// A change of the session took effect.
    Configured {
        /// How far the provider's speech times reach beyond the speech from now on.
        padding: SpeechPadding,
    },
    /// The caller began to speak.
    CallerSpeechStarted {
        /// The item that the words will belong to.
        item: ItemId,
        /// Milliseconds on the provider's audio clock, padding included.
        at_ms: Option<u64>,
    },
    /// The caller stopped speaking.
    CallerSpeechStopped {
        /// As in the start.
        item: ItemId,
        /// Milliseconds on the provider's audio clock, padding included.
        at_ms: Option<u64>,
    },
    /// Words of the caller.
    CallerTranscript {
        /// The item they belong to.
        item: ItemId,
        /// The words.
        text: String,
        /// How they relate to what came before.
        mode: TextMode,
        /// What the transcription used, reported with the last words.
        usage: Option<Usage>,
    },
    /// The caller's words could not be written down.
    CallerTranscriptFailed {
        /// The item they belong to.
        item: ItemId,
        /// The provider's reason.
        reason: String,
    },
    /// The assistant began a turn.
    TurnStarted {
        /// The turn.
        turn: TurnId,
        /// The command of ours that asked for it; none when the provider began it by itself.
        command: Option<CommandId>,
    },
    /// Words of the assistant.
    AssistantTranscript {
        /// The turn.
        turn: TurnId,
        /// The item they belong to.
        item: ItemId,
        /// The words.
        text: String,
        /// How they relate to what came before.
        mode: TextMode,
    },
    /// The assistant ended a turn; what it said may still be playing.
    TurnEnded {
        /// The turn.
        turn: TurnId,
        /// How.
        status: TurnStatus,
        /// The provider's code or reason, where it gave one.
        reason: Option<String>,
        /// What it used.
        usage: Option<Usage>,
        /// All tool calls that the turn completed, also those reported before.
        tool_calls: Vec<ToolCall>,
    },
    /// The model wants a tool.
    ToolCallRequested {
        /// The turn that wants it.
        turn: TurnId,
        /// The call.
        call: ToolCall,
    },
    /// The provider has put a tool's output into the conversation.
    ToolResultAcknowledged {
        /// Whose output.
        tool_call: ToolCallId,
    },
    /// Something was put into the conversation.
    ItemAdded {
        /// It.
        item: ItemId,
        /// What it stands behind; none: the provider does not say.
        previous: Option<ItemId>,
    },
    /// What was asked for with [`ProviderCommand::ReadBack`].
    ReadBack {
        /// The item.
        item: ItemId,
        /// Who spoke.
        speaker: Speaker,
        /// The words; none where they are not written down (yet).
        text: String,
    },
    /// The caller can hear the turn from now on.
    PlaybackStarted {
        /// The turn.
        turn: TurnId,
    },
    /// The turn was played to its end.
    PlaybackDrained {
        /// The turn.
        turn: TurnId,
    },
    /// The rest of the turn will not be heard.
    PlaybackCleared {
        /// The turn.
        turn: TurnId,
    },
    /// The caller pressed a key.
    Key {
        /// `0`–`9`, `*`, `#`, `A`–`D`.
        digit: char,
        /// Whether the provider has told the model already.
        model_knows: bool,
    },
    /// The provider reports that a command of ours, or something else, went wrong.
    Error {
        /// What follows from it.
        class: ErrorClass,
        /// The provider's code.
        code: Option<String>,
        /// The provider's text.
        message: String,
        /// The command of ours it speaks of.
        command: Option<CommandId>,
    },
    /// The tools of a remote MCP server could not be listed: the model goes on without them.
    RemoteToolsMissing,
    /// A tool of a remote MCP server, which the provider itself runs, has answered.
    RemoteToolEnded {
        /// It did not fail.
        is_ok: bool,
    },
    /// Known, and of no consequence for the call.
    Ignored,
    /// Not known: a new kind of event, or one that could not be read.
    Unknown {
        /// The provider's name of it, as far as it could be read.
        kind: String,
    },
}

/// How the provider's speech times reach beyond the speech itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpeechPadding {
    /// Audio before the speech that its start time includes.
    pub before: Duration,
    /// Silence after the speech that its end time includes.
    pub after: Duration,
}

/// How words relate to those of the same item that came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextMode {
    /// They go behind them.
    Append,
    /// They replace them, and more may come.
    Replace,
    /// They replace them and are the last.
    Final,
}

/// One request of the model to call a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCall {
    /// The provider's id of it.
    pub id: ToolCallId,
    /// The tool.
    pub name: String,
    /// The arguments as the model wrote them: not always JSON.
    pub arguments: String,
}

/// How a turn of the assistant ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnStatus {
    /// To its end.
    Completed,
    /// The caller spoke, or we stopped it.
    Cancelled,
    /// Cut by a limit or a filter.
    Incomplete,
    /// The provider failed.
    Failed,
}

/// What follows from an error on the sideband.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// A race that was lost; nothing follows.
    Benign,
    /// A turn is running: ask again when it ended.
    TurnActive,
    /// A command of ours was wrong.
    BadCommand,
    /// The provider is at a limit or out of order for the moment.
    Capacity,
    /// The session's time is up.
    Expired,
    /// Anything else.
    Other,
}

/// The number of a command on the sideband, unique within the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandId(pub u64);

/// Something to be done; the answer comes back as an [`Event`].
#[derive(Debug)]
pub enum Action {
    /// Ask the provider to answer the call with the session of the terms.
    Accept,
    /// Ask the provider to turn the call away.
    Reject {
        /// The SIP code the carrier is given.
        sip_code: u16,
    },
    /// Open the sideband after this delay.
    Attach {
        /// Zero: at once.
        after: Duration,
    },
    /// Send a command on the sideband.
    Send(CommandId, ProviderCommand),
    /// Run a tool.
    RunTool {
        /// What the model asked for.
        call: ToolCall,
    },
    /// Ask the provider to hand the call to somebody else.
    Refer {
        /// `tel:` or `sip:` URI.
        target: String,
    },
    /// Ask the carrier to take the caller from the provider and dial somebody else.
    RedirectCarrier {
        /// `tel:` or `sip:` URI.
        target: String,
    },
    /// Ask the carrier, where it can be asked, for the status of the caller's leg.
    AskCarrier,
    /// Ask the carrier to end its leg to the provider: it then asks what to do with the caller.
    EndLeg {
        /// The leg.
        leg: CallSid,
    },
    /// Ask the provider to end the call.
    HangUp,
    /// The path is given up, and the caller goes on over the other one: nothing that is under way on it
    /// matters any more, and what the provider has of the call shall end, accepted or not.
    LetGo {
        /// The provider's call, where it told of one.
        provider_call: Option<ProviderCallId>,
    },
    /// An offer came too late, on a path that the call has left: what the provider or the carrier holds for it
    /// shall end. What is under way on the other path goes on.
    TurnAway {
        /// The path.
        path: Path,
        /// The provider's call.
        provider_call: ProviderCallId,
    },
    /// Keep this with the call, durably.
    Keep(Keep),
}

/// Something to be kept with a call.
#[derive(Debug)]
pub enum Keep {
    /// The record itself, as it stands after the step.
    Record,
    /// A new or changed transcript line.
    Line(super::record::Line),
    /// A new or changed tool call.
    ToolCall(super::record::ToolCallRecord),
    /// Usage of a turn or a transcription.
    Usage(super::record::UsageRecord),
    /// Something for the person who asks why.
    Event(super::record::EventRecord),
}

/// A command on the sideband, in neutral words.
#[derive(Clone, Debug)]
pub enum ProviderCommand {
    /// The assistant shall take a turn now.
    PromptTurn {
        /// What this one turn is about; none: go on from the conversation.
        instructions: Option<String>,
        /// Whether it may call tools.
        may_call_tools: bool,
    },
    /// The output of a tool: JSON text.
    SubmitToolResult {
        /// Whose output.
        tool_call: ToolCallId,
        /// The output.
        output: String,
    },
    /// Whether the output of a tool is in the conversation: acknowledged where it is, an error where it is not.
    ReadBackToolResult {
        /// Whose output.
        tool_call: ToolCallId,
    },
    /// Something of the conversation that passed unseen.
    ReadBack {
        /// The item.
        item: ItemId,
    },
    /// Something the model should know.
    InjectContext {
        /// Who says it.
        role: ContextRole,
        /// The text.
        text: String,
    },
    /// Change when the model takes its turns: the dialect's own JSON, prepared with the session.
    SetTurnDetection(Box<RawValue>),
}

/// Who says what is put into the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContextRole {
    /// The application.
    System,
    /// The caller, by other means than speech.
    User,
}
