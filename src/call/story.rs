//! A call told in plain words: what happened, what was slow, what failed, and whose fault it was.
//!
//! All of it follows from what is kept of the call. "Whose fault" means where to look first: a vendor, a tool, the
//! model, the configuration, or this gateway.

use std::time::Duration;

use super::record::{
    CallDetail, EndedReason, EventRecord, Line, LineStatus, Path, Speaker, ToolCallRecord, ToolOutcomeKind,
};
use crate::clock::Timestamp;

/// A provider's webhook that comes later than this after the carrier asked is slow: the caller hears ringing.
const WEBHOOK_SLOW: Duration = Duration::from_secs(3);
/// An accept, or a sideband, that takes longer is slow.
const PROVIDER_SLOW: Duration = Duration::from_secs(1);
/// A first word, a reply or a tool that takes longer is noticed by everybody.
const WORD_SLOW: Duration = Duration::from_secs(2);

/// The events of a socket to the provider that goes and comes.
const LOST: &str = "sideband.lost";
const FOUND_AGAIN: &str = "sideband.reattached";

/// Where to look first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Whose {
    /// The carrier.
    Carrier,
    /// The voice provider, or the way to it.
    Provider,
    /// The model, which decides what is said and asked for.
    Model,
    /// A tool, or what is behind it.
    Tool,
    /// The configuration.
    Configuration,
    /// This gateway, or its machine.
    Gateway,
}

impl Whose {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Whose::Carrier => "the carrier",
            Whose::Provider => "the provider",
            Whose::Model => "the model",
            Whose::Tool => "the tool",
            Whose::Configuration => "the configuration",
            Whose::Gateway => "the gateway",
        }
    }
}

/// How something went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Went {
    /// As it should.
    Well,
    /// It took longer than a caller likes.
    Slow(Whose),
    /// It did not work.
    Failed(Whose),
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happened {
    /// When.
    pub at: Timestamp,
    /// What, in plain words.
    pub words: String,
    /// How it went.
    pub went: Went,
}

/// Everything that happened in a call, in its order.
pub fn story(detail: &CallDetail) -> Vec<Happened> {
    let mut story = Vec::new();
    if let Some(moved) = &detail.call.moved {
        stages(&mut story, moved.from, &moved.stages);
        let why = moved.detail.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
        let words = format!(
            "the way over {} was given up: {}{why}; the caller went on over {}",
            moved.from.as_str(),
            why_ended(moved.reason),
            detail.call.path.as_str()
        );
        story.push(happened(moved.at, words, fault(moved.reason).map_or(Went::Well, Went::Failed)));
    }
    stages(&mut story, detail.call.path, &detail.call.stages);
    conversation(&mut story, &detail.lines, &detail.tool_calls);
    story.extend(detail.tool_calls.iter().map(tool));
    let found_again =
        detail.events.iter().filter(|event| event.kind == FOUND_AGAIN).map(|event| event.n).max();
    for one in &detail.events {
        // The last loss of a call that is over is its end.
        let is_the_end = one.kind == LOST && found_again.is_none_or(|found| found < one.n);
        story.extend(event(one).filter(|_| !is_the_end));
    }
    if let (Some(ended), Some(at)) = (&detail.call.ended, detail.call.stages.ended) {
        let why = ended.detail.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
        let words = format!("the call was over: {}{why}", why_ended(ended.reason));
        story.push(happened(at, words, fault(ended.reason).map_or(Went::Well, Went::Failed)));
    }
    // A stable order: what is told at the same moment stays as it was put together.
    story.sort_by_key(|happened| happened.at);
    story
}

fn happened(at: Timestamp, words: impl Into<String>, went: Went) -> Happened {
    Happened { at, words: words.into(), went }
}

fn if_slow(took: Duration, bound: Duration, whose: Whose) -> Went {
    if took > bound { Went::Slow(whose) } else { Went::Well }
}

fn stages(story: &mut Vec<Happened>, path: Path, stages: &super::record::Stages) {
    if let Some(at) = stages.carrier_asked {
        // A call that was moved was asked about once.
        let is_told = story.iter().any(|told| told.at == at);
        if !is_told {
            story.push(happened(at, "the carrier asked what to do with the caller", Went::Well));
        }
    }
    let Some(received) = stages.webhook_received else { return };
    let what = match path {
        Path::MediaStreams => "the carrier opened the stream of its audio",
        _ => "the provider told of the call",
    };
    let waited = stages.carrier_asked.filter(|_| path == Path::Sip).map(|asked| received.since(asked));
    let went = waited.map_or(Went::Well, |waited| if_slow(waited, WEBHOOK_SLOW, Whose::Provider));
    story.push(happened(received, format!("{what}{}", after(waited)), went));
    let mut before = received;
    let steps = [
        (stages.accept_sent, "it was accepted", Whose::Gateway),
        (stages.accepted, "the provider agreed", Whose::Provider),
        (stages.attached, "the session was up", Whose::Provider),
    ];
    for (at, words, whose) in steps {
        let Some(at) = at else { continue };
        let took = at.since(before);
        let went = if_slow(took, PROVIDER_SLOW, whose);
        story.push(happened(at, format!("{words}{}", after(Some(took))), went));
        before = at;
    }
    if let Some(at) = stages.first_audio {
        let took = at.since(received);
        let went = if_slow(took, WORD_SLOW, Whose::Provider);
        story.push(happened(
            at,
            format!("the caller heard the assistant's first word{}", after(Some(took))),
            went,
        ));
    }
}

fn after(took: Option<Duration>) -> String {
    took.map(|took| format!(", {} later", seconds(took))).unwrap_or_default()
}

fn seconds(span: Duration) -> String {
    if span < Duration::from_secs(1) {
        format!("{} ms", span.as_millis())
    } else {
        format!("{:.1} s", span.as_secs_f64())
    }
}

fn conversation(story: &mut Vec<Happened>, lines: &[Line], tools: &[ToolCallRecord]) {
    let mut asked: Option<Timestamp> = None;
    for line in lines {
        let text = match line.status {
            LineStatus::Untranscribed => "something that was not written down".to_owned(),
            LineStatus::Final => format!("\"{}\"", line.text),
            LineStatus::Interrupted => format!("\"{}\" (spoken over)", line.text),
            LineStatus::Partial => format!("\"{}\" (the rest is not known)", line.text),
        };
        let words = match line.speaker {
            Speaker::Caller => format!("the caller said {text}"),
            Speaker::Assistant => format!("the assistant said {text}"),
            Speaker::Keypad => format!("the caller pressed {}", line.text),
        };
        let mut went = Went::Well;
        match line.speaker {
            Speaker::Assistant => {
                if let Some(ended) = asked.take().filter(|ended| line.started > *ended) {
                    let waited = line.started.since(ended);
                    let ran =
                        tools.iter().any(|tool| tool.requested >= ended && tool.requested <= line.started);
                    went = if_slow(waited, WORD_SLOW, if ran { Whose::Tool } else { Whose::Model });
                }
            }
            Speaker::Caller | Speaker::Keypad => asked = line.ended,
        }
        let waited = match went {
            Went::Slow(_) => ", after a pause",
            _ => "",
        };
        story.push(happened(line.started, format!("{words}{waited}"), went));
    }
}

fn tool(call: &ToolCallRecord) -> Happened {
    let name = &call.name;
    let Some((outcome, finished)) = call.outcome.zip(call.finished) else {
        return happened(
            call.requested,
            format!("the model asked for `{name}`, which has no answer"),
            Went::Well,
        );
    };
    let took = finished.since(call.requested);
    let whose = match outcome {
        ToolOutcomeKind::Ok | ToolOutcomeKind::NotFound | ToolOutcomeKind::Cancelled => None,
        ToolOutcomeKind::UnknownTool | ToolOutcomeKind::InvalidArguments => Some(Whose::Model),
        ToolOutcomeKind::Denied => Some(Whose::Configuration),
        ToolOutcomeKind::Unavailable
        | ToolOutcomeKind::Timeout
        | ToolOutcomeKind::BadOutput
        | ToolOutcomeKind::Failed => Some(Whose::Tool),
        ToolOutcomeKind::Interrupted => Some(Whose::Gateway),
    };
    let went = whose.map_or_else(|| if_slow(took, WORD_SLOW, Whose::Tool), Went::Failed);
    let words = format!("the model asked for `{name}`: {} after {}", outcome.as_str(), seconds(took));
    happened(call.requested, words, went)
}

/// Events that stages, lines and tool calls do not tell anyway.
fn event(event: &EventRecord) -> Option<Happened> {
    use Went::{Failed, Slow, Well};
    let (words, went) = match event.kind.as_str() {
        LOST => ("the socket to the provider was lost", Failed(Whose::Provider)),
        FOUND_AGAIN => ("the socket to the provider was there again", Well),
        "accept.unclear" => ("whether the accept had worked was not known", Failed(Whose::Provider)),
        "accept.already_decided" => ("the provider said that the call was decided on already", Well),
        "provider.error" => ("the provider told of an error", Failed(Whose::Provider)),
        "provider.mcp_call_failed" => ("a tool of an MCP server failed", Failed(Whose::Tool)),
        "provider.mcp_tools_missing" => ("the tools of an MCP server could not be had", Failed(Whose::Tool)),
        "provider.bad_audio" => ("the provider sent sound that was none", Failed(Whose::Provider)),
        "leg.plain" => {
            ("encrypted sound could not be agreed on; it was dialled again without", Slow(Whose::Provider))
        }
        "leg.not_ended" => ("the carrier did not end a leg that was to end", Failed(Whose::Carrier)),
        "turn.cut" => ("a turn of the assistant was cut off with its session", Failed(Whose::Provider)),
        "caller.returned" => {
            ("the gateway had gone, and the carrier brought the caller back", Failed(Whose::Gateway))
        }
        "audio.one_way" => ("one side was not heard for ten seconds", Failed(Whose::Carrier)),
        "stream.caller_audio_dropped" => {
            ("the caller spoke before a session was ready; some of it was lost", Slow(Whose::Provider))
        }
        "stream.marks_missing" => ("the carrier did not say what it had played", Failed(Whose::Carrier)),
        "stream.bad_message" | "stream.unknown" | "stream.out_of_order" => {
            ("the carrier's stream said something that makes no sense", Failed(Whose::Carrier))
        }
        "transfer.asked" => ("the caller was to be handed on", Well),
        "transfer.accepted" => ("the provider took the transfer on", Well),
        "transfer.refused" => ("the provider refused the transfer", Failed(Whose::Provider)),
        "transfer.redirecting" => ("the carrier was asked to dial the target itself", Well),
        "transfer.failed" => ("the transfer failed", Failed(Whose::Carrier)),
        "transfer.answered" => ("the target of the transfer answered", Well),
        "transfer.unanswered" => ("the target of the transfer did not answer", Well),
        "transcript.read_back" => ("words that had passed unseen were read back", Well),
        "recording.failed" => ("the recording could not be had", Failed(Whose::Carrier)),
        "recording.delayed" => ("the recording was not ready yet", Slow(Whose::Carrier)),
        "recording.damaged" => ("the recording is not as it was kept", Failed(Whose::Gateway)),
        "hook.ignored" => ("a plugin was asked about the call and not heeded", Failed(Whose::Tool)),
        "wish.ignored" | "wish.lost" => ("what a plugin wished was not done", Failed(Whose::Tool)),
        _ => return None,
    };
    Some(happened(event.at, words, went))
}

/// Why a call was over, or a path given up, in plain words.
pub fn why_ended(reason: EndedReason) -> &'static str {
    match reason {
        EndedReason::CallerHangup => "the caller hung up",
        EndedReason::AssistantHangup => "the assistant said goodbye and hung up",
        EndedReason::Transferred => "the caller was handed on",
        EndedReason::Forwarded => "the route sent the caller to a number",
        EndedReason::Rejected => "the route turns such calls away",
        EndedReason::Apology => "no way to the model was open, and the caller heard an apology",
        EndedReason::Busy => "there were too many calls",
        EndedReason::ProviderSilent => {
            "the provider never told of the call: see whether its webhook reaches the gateway"
        }
        EndedReason::AcceptFailed => "the provider refused the accept, or did not answer it in time",
        EndedReason::AttachFailed => "the session's socket could not be opened",
        EndedReason::CallerGone => "the caller had gone before anybody answered",
        EndedReason::MaxDuration => "its longest duration was reached",
        EndedReason::ProviderDropped => "the provider dropped the call",
        EndedReason::Operator => "an operator ended it",
        EndedReason::LegFailed => "the carrier could not reach the provider",
        EndedReason::Stopping => "the gateway was being stopped",
        EndedReason::GatewayLost => "the gateway went away at the wrong moment",
    }
}

fn fault(reason: EndedReason) -> Option<Whose> {
    match reason {
        EndedReason::ProviderSilent
        | EndedReason::AcceptFailed
        | EndedReason::AttachFailed
        | EndedReason::ProviderDropped => Some(Whose::Provider),
        EndedReason::LegFailed => Some(Whose::Carrier),
        EndedReason::GatewayLost => Some(Whose::Gateway),
        EndedReason::Busy | EndedReason::Apology => Some(Whose::Configuration),
        _ => None,
    }
}
