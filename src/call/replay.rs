//! A call that is over, played once more: the events that what is kept of it implies go through [`Call::step`], and what
//! comes of them is held against what is kept.
//!
//! Events themselves are not kept: a phone call has thousands, most of them growing words. So these are made of the record,
//! the lines, the tool calls and the usage, at their times. That proves that the rules of this version make the same
//! conversation, sums and end of the same happenings. It does not prove what the vendors really sent, in which pieces
//! and order; nor anything of the carrier's legs, of limits, wishes and keys, which is why those are not compared.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::event::{
    AcceptAnswer, Action, AttachFailure, CommandId, Event, FromHooks, Keep, Offer, ProviderCommand,
    ProviderEvent, SpeechPadding, TextMode, ToolCall, ToolFinished, TurnStatus, Verdict,
};
use super::record::{
    CallDetail, CallRecord, EndedReason, Line, LineStatus, Path, Speaker, ToolCallRecord, ToolOutcomeKind,
    Usage, UsageRecord,
};
use super::step::{Beginning, Call};
use super::terms::{Greeting, Terms};
use super::usage::Prices;
use super::{HANG_UP_TOOL, TRANSFER_TOOL};
use crate::clock::Timestamp;
use crate::ids::{ItemId, TurnId};

/// How often a call is told that its time has come between two events: nothing makes it ask for more.
const DEADLINES_MAX: usize = 16;

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// How many events were made of what is kept.
    pub events: usize,
    /// What was compared.
    pub compared: Vec<Compared>,
    /// What the usage costs at the prices of now; none where they do not know a model.
    pub cost_usd: Option<f64>,
    /// What was not compared, and why.
    pub left_out: Vec<String>,
}

/// One thing that was compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// What.
    pub what: &'static str,
    /// As it is kept.
    pub kept: String,
    /// As it came out.
    pub replayed: String,
}

impl Compared {
    /// Claims that it came out as it is kept.
    pub fn is_same(&self) -> bool {
        self.kept == self.replayed
    }
}

/// Plays a call once more.
///
/// # Errors
///
/// Why too little is kept of this one.
pub fn replay(detail: &CallDetail, prices: Arc<Prices>) -> Result<Replay, &'static str> {
    let record = &detail.call;
    let Some(ended) = &record.ended else { return Err("it is not over") };
    if record.moved.is_some() || record.interrupted.is_some() {
        return Err("it went over two paths or two processes, and what happened in between is not kept");
    }
    let mut events = conversation(detail);
    let count = events.len();
    let over = record.stages.ended.unwrap_or_default();
    let opening = opening(detail, Arc::clone(&prices)).ok_or("no model ever answered it")?;
    let mut played = Played::of(record);
    // A stable order: of what happened at the same moment, what was put down first.
    events.sort_by_key(|(at, rank, _)| (*at, *rank));
    let opened = opening.len();
    for (at, event) in opening.into_iter().chain(events.into_iter().map(|(at, _, event)| (at, event))) {
        played.happens(event, at.min(over));
    }
    played.end(over);
    let mut left_out = Vec::new();
    let mut compared = played.compared(detail);
    match is_replayable(ended.reason, &detail.tool_calls) {
        true => compared.push(Compared {
            what: "end",
            kept: ended.reason.as_str().to_owned(),
            replayed: played
                .call
                .record
                .ended
                .as_ref()
                .map_or("none", |ended| ended.reason.as_str())
                .to_owned(),
        }),
        false => left_out.push(format!("the end ({}): what decided it is not kept", ended.reason.as_str())),
    }
    if detail.lines.iter().any(|line| line.speaker == Speaker::Keypad) {
        left_out.push("keys: which were pressed is not kept".to_owned());
    }
    let cost_usd = detail.usage.iter().map(|used| prices.cost(&used.model, &used.usage)).sum();
    Ok(Replay { events: opened + count, compared, cost_usd, left_out })
}

/// Claims that a call ends so by what is said and asked for in it, or because the caller goes.
fn is_replayable(reason: EndedReason, tool_calls: &[ToolCallRecord]) -> bool {
    let asked = |name: &str| {
        tool_calls.iter().any(|tool| tool.name == name && tool.outcome == Some(ToolOutcomeKind::Ok))
    };
    match reason {
        EndedReason::CallerHangup => true,
        EndedReason::AssistantHangup => asked(HANG_UP_TOOL),
        EndedReason::Transferred => asked(TRANSFER_TOOL),
        _ => false,
    }
}

/// From the offer to the moment at which the session is up; none: it never was.
fn opening(detail: &CallDetail, prices: Arc<Prices>) -> Option<Vec<(Timestamp, Event)>> {
    let (record, stages) = (&detail.call, &detail.call.stages);
    let provider = record.provider.as_ref()?;
    let (received, attached) = (stages.webhook_received?, stages.attached?);
    let sent = stages.accept_sent.unwrap_or(received);
    let offer = Offer {
        path: Path::Sip,
        provider: "replay",
        call_id: provider.call_id.clone(),
        webhook_id: provider.webhook_id.clone(),
        created: stages.webhook_created.unwrap_or(received),
        received,
        joined_by: provider.joined_by,
        sip_headers: Vec::new(),
        verdict: Verdict::Answer(Box::new(terms(detail, prices))),
        hooks: FromHooks::default(),
        accept_within: None,
    };
    let up = ProviderEvent::Attached { expires_at: None, padding: SpeechPadding::default() };
    Some(vec![
        (received, Event::Offered(Box::new(offer))),
        (sent, Event::AcceptSent),
        (stages.accepted.unwrap_or(sent), Event::AcceptAnswered(AcceptAnswer::Ok)),
        (attached, Event::Provider(up)),
    ])
}

/// Terms without limits: what they decided is seen in what is kept.
fn terms(detail: &CallDetail, prices: Arc<Prices>) -> Terms {
    let asked =
        |tool: &&ToolCallRecord| tool.name == TRANSFER_TOOL && tool.outcome == Some(ToolOutcomeKind::Ok);
    let target = detail.tool_calls.iter().find(asked).zip(detail.call.handed_to.clone()).map(|(tool, to)| {
        let arguments: Option<serde_json::Value> = serde_json::from_str(&tool.arguments).ok();
        let name = arguments.as_ref().and_then(|arguments| arguments.get("to")?.as_str()).unwrap_or_default();
        (name.to_owned(), to)
    });
    let model = detail.call.provider.as_ref().and_then(|provider| provider.model.clone());
    Terms {
        session: detail.call.session.clone().unwrap_or_default(),
        model: model.unwrap_or_default(),
        transcription_model: transcriptions(&detail.usage).next().map(|used| used.model.clone()),
        greeting: Greeting::Wait,
        turn_detection: None,
        duration_max: None,
        silence_max: None,
        tool_calls_max: u32::MAX,
        tools: BTreeMap::new(),
        transfer_targets: target.into_iter().collect(),
        prices,
    }
}

fn transcriptions(usage: &[UsageRecord]) -> impl Iterator<Item = &UsageRecord> {
    usage.iter().filter(|used| used.turn.is_none())
}

/// When something happened, its place among what happened at the same moment, and what it was.
type Timed = (Timestamp, u8, Event);

fn conversation(detail: &CallDetail) -> Vec<Timed> {
    let mut events = Vec::new();
    caller(&mut events, detail);
    let turns: BTreeSet<&TurnId> = detail
        .lines
        .iter()
        .filter_map(|line| line.turn.as_ref())
        .chain(detail.tool_calls.iter().filter_map(|tool| tool.turn.as_ref()))
        .chain(detail.usage.iter().filter_map(|used| used.turn.as_ref()))
        .collect();
    for turn in turns {
        assistant(&mut events, detail, turn);
    }
    for tool in &detail.tool_calls {
        answer(&mut events, tool);
    }
    events
}

/// What the caller said; what a transcription used was reported with the words, in their order.
fn caller(events: &mut Vec<Timed>, detail: &CallDetail) {
    let mut used = transcriptions(&detail.usage);
    for line in detail.lines.iter().filter(|line| line.speaker == Speaker::Caller) {
        let item = item(line);
        let stopped = line.ended.unwrap_or(line.started);
        put(events, line.started, 0, ProviderEvent::CallerSpeechStarted { item: item.clone(), at_ms: None });
        put(events, stopped, 1, ProviderEvent::CallerSpeechStopped { item: item.clone(), at_ms: None });
        let (mode, text) = match line.status {
            LineStatus::Untranscribed => {
                let reason = String::new();
                put(events, stopped, 2, ProviderEvent::CallerTranscriptFailed { item, reason });
                continue;
            }
            LineStatus::Partial => (TextMode::Append, line.text.clone()),
            LineStatus::Final | LineStatus::Interrupted => (TextMode::Final, line.text.clone()),
        };
        let used = if mode == TextMode::Final { used.next() } else { None };
        let at = used.map_or(stopped, |used| used.at.max(stopped));
        let usage = used.map(|used| used.usage);
        put(events, at, 2, ProviderEvent::CallerTranscript { item, text, mode, usage });
    }
}

/// One turn: its words, its tool calls, what it used, and how far it was heard.
fn assistant(events: &mut Vec<Timed>, detail: &CallDetail, turn: &TurnId) {
    let line = detail.lines.iter().find(|line| line.turn.as_ref() == Some(turn));
    let used = detail.usage.iter().find(|used| used.turn.as_ref() == Some(turn));
    let tools = || detail.tool_calls.iter().filter(|tool| tool.turn.as_ref() == Some(turn));
    let moments = line.map(|line| line.started).into_iter();
    let moments = moments.chain(used.map(|used| used.at)).chain(tools().map(|tool| tool.requested));
    let Some(began) = moments.clone().min() else { return };
    put(events, began, 0, ProviderEvent::TurnStarted { turn: turn.clone(), command: None });
    for tool in tools() {
        let call = requested(tool);
        put(events, tool.requested, 3, ProviderEvent::ToolCallRequested { turn: turn.clone(), call });
    }
    let is_whole = line.is_none_or(|line| line.status != LineStatus::Partial);
    if let Some(line) = line {
        let mode = if is_whole { TextMode::Final } else { TextMode::Append };
        let (item, text) = (item(line), line.text.clone());
        put(events, began, 1, ProviderEvent::AssistantTranscript { turn: turn.clone(), item, text, mode });
        if detail.call.stages.first_audio.is_some_and(|first| first <= line.started) {
            put(events, line.started, 2, ProviderEvent::PlaybackStarted { turn: turn.clone() });
        }
        if let Some(ended) = line.ended {
            let turn = turn.clone();
            let heard = match line.status {
                LineStatus::Interrupted => ProviderEvent::PlaybackCleared { turn },
                _ => ProviderEvent::PlaybackDrained { turn },
            };
            put(events, ended, 5, heard);
        }
    }
    if is_whole || used.is_some() {
        let asked = tools().map(|tool| tool.requested).max();
        let at = used.map(|used| used.at).max(asked).unwrap_or(began);
        let ended = ProviderEvent::TurnEnded {
            turn: turn.clone(),
            status: if is_whole { TurnStatus::Completed } else { TurnStatus::Incomplete },
            reason: None,
            usage: used.map(|used| used.usage),
            tool_calls: tools().map(requested).collect(),
        };
        put(events, at, 4, ended);
    }
}

/// What a tool answered; the built-in ones answer by themselves.
fn answer(events: &mut Vec<Timed>, tool: &ToolCallRecord) {
    if let (Some(finished), Some(kind), Some(output)) = (tool.finished, tool.outcome, &tool.output) {
        let id = tool.tool_call_id.clone();
        let answer = ToolFinished { tool_call: id.clone(), kind, output: output.clone() };
        events.push((finished, 6, Event::ToolFinished(answer)));
        if tool.acknowledged {
            put(events, finished, 7, ProviderEvent::ToolResultAcknowledged { tool_call: id });
        }
    }
}

fn put(events: &mut Vec<Timed>, at: Timestamp, rank: u8, event: ProviderEvent) {
    events.push((at, rank, Event::Provider(event)));
}

fn item(line: &Line) -> ItemId {
    line.item.clone().unwrap_or_else(|| ItemId(format!("line-{}", line.n)))
}

fn requested(tool: &ToolCallRecord) -> ToolCall {
    ToolCall { id: tool.tool_call_id.clone(), name: tool.name.clone(), arguments: tool.arguments.clone() }
}

/// The call, and what it would have kept.
struct Played {
    call: Call,
    /// Turns that the call asked for and that have not begun.
    prompts: VecDeque<CommandId>,
    lines: BTreeMap<u32, Line>,
    tool_calls: BTreeMap<u32, ToolCallRecord>,
}

impl Played {
    fn of(record: &CallRecord) -> Played {
        // As over a bare trunk: what the carrier tells is not replayed.
        let call = Call::begin(Beginning {
            id: record.id,
            path: Path::Sip,
            caller: record.caller.clone(),
            callee: record.callee.clone(),
            route: record.route.clone(),
            carrier: None,
            carrier_asked: None,
            vars: BTreeMap::new(),
            other_path: None,
            avoided: None,
        });
        Played { call, prompts: VecDeque::new(), lines: BTreeMap::new(), tool_calls: BTreeMap::new() }
    }

    /// Something happened, after everything that was due until then.
    fn happens(&mut self, mut event: Event, now: Timestamp) {
        self.pass(now);
        // A turn that was asked for and not begun is this one.
        if let Event::Provider(ProviderEvent::TurnStarted { command, .. }) = &mut event {
            *command = self.prompts.pop_front();
        }
        self.step(event, now);
    }

    fn pass(&mut self, until: Timestamp) {
        for _ in 0..DEADLINES_MAX {
            match self.call.deadline().filter(|at| *at <= until) {
                Some(at) => self.step(Event::Deadline, at),
                None => return,
            }
        }
    }

    fn step(&mut self, event: Event, now: Timestamp) {
        for action in self.call.step(event, now) {
            match action {
                Action::Keep(Keep::Line(line)) => drop(self.lines.insert(line.n, line)),
                Action::Keep(Keep::ToolCall(tool)) => drop(self.tool_calls.insert(tool.n, tool)),
                Action::Send(id, ProviderCommand::PromptTurn { .. }) => self.prompts.push_back(id),
                _ => {}
            }
        }
    }

    /// The provider's side is gone.
    fn end(&mut self, now: Timestamp) {
        self.happens(Event::SidebandLost(Some(1_000)), now);
        self.step(Event::AttachFailed(AttachFailure::NotFound), now);
    }

    fn compared(&self, detail: &CallDetail) -> Vec<Compared> {
        let mut lines: Vec<&Line> = self.lines.values().collect();
        lines.sort_by_key(|line| (line.started, line.n));
        let usage = |usage: &Usage| format!("{usage:?}");
        vec![
            Compared {
                what: "lines",
                kept: told(detail.lines.iter().filter(|line| line.speaker != Speaker::Keypad)),
                replayed: told(lines.into_iter()),
            },
            Compared {
                what: "tool calls",
                kept: asked(detail.tool_calls.iter()),
                replayed: asked(self.tool_calls.values()),
            },
            Compared {
                what: "usage",
                kept: usage(&detail.call.usage),
                replayed: usage(&self.call.record.usage),
            },
        ]
    }
}

/// Lines in their order, without their numbers: those follow the order in which they were begun.
fn told<'a>(lines: impl Iterator<Item = &'a Line>) -> String {
    lines
        .map(|line| format!("{} {:?} {:?} {}\n", line.started, line.speaker, line.status, line.text))
        .collect()
}

fn asked<'a>(tools: impl Iterator<Item = &'a ToolCallRecord>) -> String {
    let line = |tool: &ToolCallRecord| {
        let (outcome, output) = (tool.outcome.map(|outcome| outcome.as_str()), tool.output.as_deref());
        format!("{} {} {outcome:?} {output:?}\n", tool.name, tool.arguments)
    };
    tools.map(line).collect()
}
