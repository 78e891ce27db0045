//! A call that is over, in one wide line: what an operator searches the log for, and counts.
//!
//! A function of what is kept of the call. No word of anybody is in it, and numbers are masked as they are for whoever
//! may not read them whole ([`super::privacy`]).

use std::time::Duration;

use serde::Serialize;

use super::event::Keep;
use super::privacy::{masked, masked_in};
use super::record::{CallDetail, CallRecord, Counts, Line, Speaker, ToolCallRecord, ToolOutcomeKind};
use super::report::percentile;
use crate::clock::Timestamp;

/// How many tool calls the line names; a call may make a few hundred, and a line of the log has some kilobytes.
const TOOLS_MAX: usize = 40;
/// Of a call with more lines, or more tool calls, not all is [gathered](Gathered): it is read back.
const GATHERED_MAX: usize = 256;

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
        Gathered {
            lines: detail.lines.iter().map(Spoken::of).collect(),
            tools: detail.tool_calls.iter().map(Ran::of).collect(),
            turns: detail.usage.iter().filter(|usage| usage.turn.is_some()).count(),
            has_recording: !detail.recordings.is_empty(),
            is_whole: true,
        }
        .told(&detail.call)
    }

    /// When the caller was answered: the carrier's word for it, else the provider's.
    pub fn answered(call: &CallRecord) -> Option<Timestamp> {
        call.stages.leg_answered.or(call.stages.accepted)
    }
}

/// What the line tells beside the record, gathered while a call goes on, so that it need not be read back: no words, and
/// nothing that tools were asked or answered.
#[derive(Clone, Debug)]
pub struct Gathered {
    lines: Vec<Spoken>,
    tools: Vec<Ran>,
    turns: usize,
    has_recording: bool,
    is_whole: bool,
}

/// A line without its words.
#[derive(Clone, Copy, Debug)]
struct Spoken {
    n: u32,
    speaker: Speaker,
    started: Timestamp,
    ended: Option<Timestamp>,
}

/// A tool call without what was asked and answered.
#[derive(Clone, Debug)]
struct Ran {
    n: u32,
    name: String,
    outcome: Option<ToolOutcomeKind>,
    took: Option<Duration>,
    has_failed: bool,
}

impl Gathered {
    /// From here on. Of a call that was under way before there is more than this.
    pub fn of(call: &CallRecord) -> Gathered {
        let Counts { lines, tool_calls, usage, .. } = call.counts;
        let is_whole = (lines, tool_calls, usage) == (0, 0, 0);
        Gathered { lines: Vec::new(), tools: Vec::new(), turns: 0, has_recording: false, is_whole }
    }

    /// Something is kept with the call.
    pub fn keep(&mut self, keep: &Keep) {
        match keep {
            Keep::Line(line) => self.is_whole &= put(&mut self.lines, Spoken::of(line), |line| line.n),
            Keep::ToolCall(call) => self.is_whole &= put(&mut self.tools, Ran::of(call), |ran| ran.n),
            Keep::Usage(usage) => self.turns += usize::from(usage.turn.is_some()),
            Keep::Record | Keep::Event(_) => {}
        }
    }

    /// Something of a recording is kept with the call.
    pub fn recorded(&mut self) {
        self.has_recording = true;
    }

    /// What is told of the call; none: not all of it is here.
    pub fn finished(mut self, call: &CallRecord) -> Option<Finished> {
        self.lines.sort_by_key(|line| (line.started, line.n));
        self.tools.sort_by_key(|ran| ran.n);
        self.is_whole.then(|| self.told(call))
    }

    fn told(&self, call: &CallRecord) -> Finished {
        let replies = latencies(&self.lines);
        let shown: Vec<ToolShown> = self.tools.iter().take(TOOLS_MAX).map(tool_shown).collect();
        let why = call.ended.as_ref().and_then(|ended| ended.detail.as_deref());
        Finished {
            caller: call.caller.as_deref().map(masked),
            callee: call.callee.as_deref().map(masked),
            handed_to: call.handed_to.as_deref().map(masked_in),
            detail: why.map(masked_in),
            lasted: call.stages.ended.zip(call.stages.began()).map(|(ended, began)| ended.since(began)),
            turns: self.turns,
            reply_p50: percentile(&replies, 0.50),
            reply_p90: percentile(&replies, 0.90),
            tools: (!shown.is_empty()).then(|| serde_json::to_string(&shown).unwrap_or_default()),
            tools_failed: self.tools.iter().filter(|ran| ran.has_failed).count(),
            is_recorded: call.consent.is_some() || self.has_recording,
        }
    }
}

impl Spoken {
    fn of(line: &Line) -> Spoken {
        Spoken { n: line.n, speaker: line.speaker, started: line.started, ended: line.ended }
    }
}

impl Ran {
    fn of(call: &ToolCallRecord) -> Ran {
        Ran {
            n: call.n,
            name: tool_name(call).to_owned(),
            outcome: call.outcome,
            took: call.finished.map(|finished| finished.since(call.requested)),
            has_failed: has_failed(call),
        }
    }
}

/// Puts it in, or in the place of an earlier state of it; claims that there was room.
fn put<T>(all: &mut Vec<T>, new: T, n: impl Fn(&T) -> u32) -> bool {
    match all.iter().rposition(|old| n(old) == n(&new)) {
        Some(at) => all[at] = new,
        None if all.len() < GATHERED_MAX => all.push(new),
        None => return false,
    }
    true
}

fn tool_shown(ran: &Ran) -> ToolShown<'_> {
    ToolShown {
        name: &ran.name,
        outcome: ran.outcome.map(|outcome| outcome.as_str()),
        ms: ran.took.map(|took| took.as_millis()),
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
fn latencies(lines: &[Spoken]) -> Vec<Duration> {
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

#[cfg(test)]
mod tests {
    use super::super::record::{FORMAT, LineStatus, Path, Usage, UsageRecord};
    use super::super::{Beginning, Call};
    use super::*;

    fn record() -> CallRecord {
        let (caller, callee, route, carrier, carrier_asked) = Default::default();
        let (vars, other_path, avoided) = Default::default();
        let (id, path) = (crate::ids::CallId::from_bytes([7; 16]), Path::Sip);
        let beginning =
            Beginning { id, path, caller, callee, route, carrier, carrier_asked, vars, other_path, avoided };
        Call::begin(beginning).record
    }

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    fn line(n: u32, speaker: Speaker, started: u64, ended: Option<u64>) -> Line {
        let (status, text) = (LineStatus::Final, "words".to_owned());
        let (started, ended) = (at(started), ended.map(at));
        Line { v: FORMAT, n, speaker, text, started, ended, status, item: None, turn: None }
    }

    fn tool_call(n: u32, outcome: Option<ToolOutcomeKind>, finished: Option<u64>) -> ToolCallRecord {
        ToolCallRecord {
            v: FORMAT,
            n,
            tool_call_id: "call_1".into(),
            name: "lookup".to_owned(),
            arguments: "{}".to_owned(),
            requested: at(100),
            finished: finished.map(at),
            outcome,
            output: None,
            turn: None,
            acknowledged: false,
            deferred: false,
        }
    }

    fn usage(n: u32, turn: Option<&str>) -> UsageRecord {
        let (at, model, usage) = (at(0), "m".to_owned(), Usage::default());
        UsageRecord { v: FORMAT, n, at, model, turn: turn.map(Into::into), usage, cost_usd: None }
    }

    #[test]
    fn what_was_gathered_tells_the_same_as_what_is_read_back() {
        let call = record();
        let mut gathered = Gathered::of(&call);
        // The caller's line is known after the reply to it; lines and tool calls are kept more than once.
        let lines =
            [line(1, Speaker::Caller, 1_000, Some(1_500)), line(0, Speaker::Assistant, 2_000, Some(3_000))];
        let tool_calls = [
            tool_call(0, Some(ToolOutcomeKind::Ok), Some(250)),
            tool_call(1, Some(ToolOutcomeKind::UnknownTool), Some(101)),
        ];
        let usage = [usage(0, Some("t1")), usage(1, None), usage(2, Some("t2"))];
        gathered.keep(&Keep::Record);
        gathered.keep(&Keep::Line(line(0, Speaker::Assistant, 2_000, None)));
        gathered.keep(&Keep::ToolCall(tool_call(0, None, None)));
        lines.iter().rev().for_each(|line| gathered.keep(&Keep::Line(line.clone())));
        tool_calls.iter().for_each(|tool_call| gathered.keep(&Keep::ToolCall(tool_call.clone())));
        usage.iter().for_each(|usage| gathered.keep(&Keep::Usage(usage.clone())));
        let (events, recordings) = Default::default();
        let (lines, tool_calls, usage) = (lines.to_vec(), tool_calls.to_vec(), usage.to_vec());
        let detail = CallDetail { call: call.clone(), lines, tool_calls, usage, events, recordings };
        let read_back = Finished::of(&detail);
        assert_eq!(gathered.finished(&call), Some(read_back.clone()));
        assert_eq!((read_back.turns, read_back.tools_failed), (2, 1));
        assert_eq!(read_back.reply_p50, Some(Duration::from_millis(500)));
    }

    #[test]
    fn a_call_of_which_not_all_was_gathered_is_to_be_read_back() {
        let mut under_way = record();
        under_way.counts.usage = 1;
        assert_eq!(Gathered::of(&under_way).finished(&under_way), None);
        let long = record();
        let mut gathered = Gathered::of(&long);
        let keep = |n| Keep::Line(line(n, Speaker::Caller, 0, None));
        (0..GATHERED_MAX as u32).for_each(|n| gathered.keep(&keep(n)));
        gathered.keep(&keep(0));
        assert!(gathered.clone().finished(&long).is_some());
        gathered.keep(&keep(GATHERED_MAX as u32));
        assert_eq!(gathered.finished(&long), None);
    }
}
