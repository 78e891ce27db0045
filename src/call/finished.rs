//! A call that is over, in one wide line: what an operator searches the log for, and counts.
//!
//! A function of what is kept of the call. No word of anybody is in it, and numbers are masked as they are for whoever
//! may not read them whole ([`super::privacy`]).

use std::time::Duration;

use serde::Serialize;

use super::privacy::{masked, masked_in};
use super::record::{CallDetail, CallRecord, Line, Speaker, ToolCallRecord, ToolOutcomeKind};
use super::report::percentile;
use crate::clock::Timestamp;

/// How many tool calls the line names; a call may make a few hundred, and a line of the log has some kilobytes.
const TOOLS_MAX: usize = 40;

/// What the line tells beside what the record has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Finished {
    /// Who called, masked.
    pub caller: Option<String>,
    /// Whom they called, masked.
    pub callee: Option<String>,
    /// To whom they were handed on, masked.
    pub handed_to: Option<String>,
    /// Why it ended, in a vendor's words, with numbers masked.
    pub detail: Option<String>,
    /// From its beginning to its end.
    pub lasted: Option<Duration>,
    /// How often the model answered.
    pub turns: usize,
    /// Half of the replies came at least so soon after the caller's last word.
    pub reply_p50: Option<Duration>,
    /// Nine of ten did.
    pub reply_p90: Option<Duration>,
    /// The tool calls as a JSON list, in their order: name, outcome and milliseconds of each. The first forty.
    pub tools: Option<String>,
    /// Tool calls that did not answer as they should.
    pub tools_failed: usize,
    /// The call was to be recorded, or was.
    pub is_recorded: bool,
}

/// A tool call as the line has it.
#[derive(Serialize)]
struct ToolShown<'a> {
    name: &'a str,
    outcome: Option<&'static str>,
    ms: Option<u128>,
}

impl Finished {
    /// What is told of the call.
    pub fn of(detail: &CallDetail) -> Finished {
        let call = &detail.call;
        let replies = reply_latencies(&detail.lines);
        let shown: Vec<ToolShown> = detail.tool_calls.iter().take(TOOLS_MAX).map(tool_shown).collect();
        let why = call.ended.as_ref().and_then(|ended| ended.detail.as_deref());
        Finished {
            caller: call.caller.as_deref().map(masked),
            callee: call.callee.as_deref().map(masked),
            handed_to: call.handed_to.as_deref().map(masked_in),
            detail: why.map(masked_in),
            lasted: call.stages.ended.zip(call.stages.began()).map(|(ended, began)| ended.since(began)),
            turns: detail.usage.iter().filter(|usage| usage.turn.is_some()).count(),
            reply_p50: percentile(&replies, 0.50),
            reply_p90: percentile(&replies, 0.90),
            tools: (!shown.is_empty()).then(|| serde_json::to_string(&shown).unwrap_or_default()),
            tools_failed: detail.tool_calls.iter().filter(|call| has_failed(call)).count(),
            is_recorded: call.consent.is_some() || !detail.recordings.is_empty(),
        }
    }

    /// When the caller was answered: the carrier's word for it, else the provider's.
    pub fn answered(call: &CallRecord) -> Option<Timestamp> {
        call.stages.leg_answered.or(call.stages.accepted)
    }
}

fn tool_shown(call: &ToolCallRecord) -> ToolShown<'_> {
    ToolShown {
        name: tool_name(call),
        outcome: call.outcome.map(|outcome| outcome.as_str()),
        ms: call.finished.map(|finished| finished.since(call.requested).as_millis()),
    }
}

/// The name of the tool; what the model made up is no tool's name, and could be anything.
pub fn tool_name(call: &ToolCallRecord) -> &str {
    if call.outcome == Some(ToolOutcomeKind::UnknownTool) { "unknown" } else { &call.name }
}

/// Claims that a tool did not answer, or not as it should.
pub fn has_failed(call: &ToolCallRecord) -> bool {
    use ToolOutcomeKind::{Cancelled, NotFound, Ok};
    !matches!(call.outcome, Some(Ok | NotFound | Cancelled))
}

/// From the end of the caller's words to the beginning of the reply, for each reply of which both are known; sorted.
/// What the assistant says without being spoken to is no reply.
pub fn reply_latencies(lines: &[Line]) -> Vec<Duration> {
    let mut latencies: Vec<Duration> = lines
        .windows(2)
        .filter_map(|pair| match (pair[0].speaker, pair[1].speaker) {
            (Speaker::Caller, Speaker::Assistant) => {
                let said = pair[0].ended.filter(|ended| *ended <= pair[1].started)?;
                Some(pair[1].started.since(said))
            }
            _ => None,
        })
        .collect();
    latencies.sort();
    latencies
}
