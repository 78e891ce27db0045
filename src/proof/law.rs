//! What must hold, whatever happens: checked after every step, at every write, and at the end of each day.

mod admission;
mod consent;
mod handover;
mod recordings;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub(super) use consent::TOLD_WITHIN;

use admission::Entrance;
use handover::Hands;
use recordings::Recorded;

use super::carrier::alias_of;
use super::process::STALE_AFTER;
use super::story::moment;
use super::terms::PAY;
use super::world::World;
use crate::call::event::{Action, Keep, ToolCall};
use crate::call::record::{CallRecord, EndedReason, Line, Speaker, State, ToolCallRecord, Usage};
use crate::clock::Timestamp;
use crate::ids::{CallId, ItemId, ToolCallId, TurnId, WebhookId};
use crate::store::{Tx, Write};

/// A tool that was asked for has its answer by then, in a call that nothing disturbed.
pub(super) const ANSWERED_WITHIN: Duration = Duration::from_secs(75);
/// So long was nothing disturbed.
const UNDISTURBED: Duration = Duration::from_secs(40);
/// More actions than these follow from no single event.
const ACTIONS_MAX: usize = 200;
/// What one call may hold in memory, as text: far more than any conversation here has.
const CALL_BYTES_MAX: usize = 256 << 10;
/// Events kept of one call (see `call/step.rs`).
const EVENTS_MAX: u32 = 500;
/// Two sayings of a caller that began so far apart must stand in this order.
const ORDERED_WHEN_APART: Duration = Duration::from_secs(3);

/// A rule was broken.
#[derive(Clone, Debug)]
pub struct Violation {
    /// When, in the simulated days.
    pub at: String,
    /// Whose call; 0: nobody's.
    pub caller: u32,
    /// Which rule, and how.
    pub what: String,
    /// What is known of that call, where it was written down.
    pub log: String,
}

/// What happened how often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Days that were played to their end.
    pub days: u64,
    /// Everything that was done.
    pub deeds: u64,
    /// People who rang.
    pub callers: u64,
    /// Calls that the provider answered.
    pub answered: u64,
    /// Calls that were closed.
    pub closed: u64,
    /// Calls that ended because the gateway was away.
    pub lost_by_us: u64,
    /// Processes that began.
    pub starts: u64,
    /// Processes that died.
    pub crashes: u64,
    /// Processes that were asked to stop.
    pub drains: u64,
    /// Processes that made place for the next program.
    pub handovers: u64,
    /// Calls that a process took over from an earlier one.
    pub taken_up: u64,
    /// Sockets that broke.
    pub sockets_lost: u64,
    /// Tools that a model asked for.
    pub tools_asked: u64,
    /// Effects of tools that may not come twice.
    pub effects: u64,
    /// Answers of tools that the provider was asked for after a break.
    pub answers_sought: u64,
    /// Those of them that it had.
    pub answers_found: u64,
    /// Lines that must stand in a transcript, and do.
    pub lines: u64,
    /// Webhooks that were acknowledged.
    pub webhooks: u64,
    /// Callers who were told that the call is recorded.
    pub announced: u64,
    /// Callers who were one too many.
    pub refused: u64,
    /// Recordings that were fetched and kept.
    pub recordings_kept: u64,
    /// Recordings of which what was kept was found to be damaged, and fetched again.
    pub recordings_damaged: u64,
    /// Recordings that were deleted, in time or by an operator.
    pub recordings_deleted: u64,
    /// Recordings that were given up.
    pub recordings_failed: u64,
    /// The carrier's copies that it was asked to delete.
    pub copies_deleted: u64,
}

impl Tally {
    /// Adds what happened elsewhere.
    pub fn add(&mut self, other: &Tally) {
        let pairs = [
            (&mut self.days, other.days),
            (&mut self.deeds, other.deeds),
            (&mut self.callers, other.callers),
            (&mut self.answered, other.answered),
            (&mut self.closed, other.closed),
            (&mut self.lost_by_us, other.lost_by_us),
            (&mut self.starts, other.starts),
            (&mut self.crashes, other.crashes),
            (&mut self.drains, other.drains),
            (&mut self.handovers, other.handovers),
            (&mut self.taken_up, other.taken_up),
            (&mut self.sockets_lost, other.sockets_lost),
            (&mut self.tools_asked, other.tools_asked),
            (&mut self.effects, other.effects),
            (&mut self.answers_sought, other.answers_sought),
            (&mut self.answers_found, other.answers_found),
            (&mut self.lines, other.lines),
            (&mut self.webhooks, other.webhooks),
            (&mut self.announced, other.announced),
            (&mut self.refused, other.refused),
            (&mut self.recordings_kept, other.recordings_kept),
            (&mut self.recordings_damaged, other.recordings_damaged),
            (&mut self.recordings_deleted, other.recordings_deleted),
            (&mut self.recordings_failed, other.recordings_failed),
            (&mut self.copies_deleted, other.copies_deleted),
        ];
        for (sum, more) in pairs {
            *sum += more;
        }
    }
}

/// Something that was delivered to a call, and must be found in what is kept of it.
#[derive(Clone, Debug)]
pub(super) enum Owed {
    Caller { item: ItemId, text: String },
    Assistant { turn: TurnId, text: String },
    Usage { turn: TurnId },
}

/// What is known of one call from the outside.
#[derive(Default)]
struct Case {
    is_acknowledged: bool,
    closes: u32,
    owed: Vec<Owed>,
    effects: BTreeMap<ToolCallId, u32>,
    asked_to_leave: bool,
    /// Something of it could not be kept, and somebody was told so.
    was_refused: bool,
    session: Option<u32>,
}

/// The law.
#[derive(Default)]
pub(super) struct Law {
    pub violation: Option<Violation>,
    pub tally: Tally,
    /// On such a day the order of times means nothing.
    pub clock_jumped: bool,
    cases: BTreeMap<CallId, Case>,
    webhooks: BTreeMap<WebhookId, u32>,
    billed: BTreeMap<TurnId, Usage>,
    /// What the model was told of tools that may not run twice.
    told: BTreeMap<ToolCallId, String>,
    spoken: BTreeMap<u32, Vec<(ItemId, Timestamp)>>,
    recorded: Recorded,
    entrance: Entrance,
    hands: Hands,
}

impl Law {
    /// A rule is broken; the first one counts.
    pub fn broken(&mut self, now: Timestamp, caller: u32, what: String) {
        let violation = || Violation { at: moment(now), caller, what, log: String::new() };
        self.violation.get_or_insert_with(violation);
    }

    fn case(&mut self, id: CallId) -> &mut Case {
        self.cases.entry(id).or_default()
    }

    pub fn owes(&mut self, id: CallId, owed: Vec<Owed>) {
        if !owed.is_empty() {
            self.case(id).owed.extend(owed);
        }
    }

    pub fn was_refused(&mut self, id: CallId) {
        self.case(id).was_refused = true;
    }

    /// The gateway itself wants the call to end.
    pub fn asked_to_leave(&mut self, id: CallId) {
        self.case(id).asked_to_leave = true;
    }

    pub fn joined(&mut self, id: CallId, session: u32) {
        self.case(id).session = Some(session);
    }

    pub fn billed(&mut self, turn: TurnId, usage: Usage) {
        self.billed.insert(turn, usage);
    }

    pub fn spoke(&mut self, caller: u32, item: ItemId, at: Timestamp) {
        self.spoken.entry(caller).or_default().push((item, at));
    }
}

impl World {
    fn violated(&mut self, caller: u32, what: String) {
        self.law.broken(self.now, caller, what);
    }

    // === what was acknowledged ===

    pub(super) fn law_acknowledged_call(&mut self, id: CallId, caller: u32) {
        self.law.case(id).is_acknowledged = true;
        if !self.disk.books.calls.contains_key(&id) {
            self.violated(caller, format!("{id} was acknowledged to the carrier and is not on disk"));
        }
    }

    pub(super) fn law_acknowledged_webhook(&mut self, webhook: &WebhookId, caller: u32) {
        self.law.tally.webhooks += 1;
        self.law.webhooks.insert(webhook.clone(), caller);
    }

    // === every step ===

    pub(super) fn law_stepped(
        &mut self,
        id: CallId,
        caller: u32,
        was_over: bool,
        actions: &[Action],
        is_sampled: bool,
    ) {
        if actions.len() > ACTIONS_MAX {
            self.violated(caller, format!("{} actions follow from one event", actions.len()));
        }
        let Some(call) = self.keeper(id).and_then(|keeper| keeper.call.as_ref()) else { return };
        let is_over = call.is_over();
        let bytes = if is_sampled { format!("{call:?}").len() } else { 0 };
        let events = call.record.counts.events;
        if was_over && !is_over {
            self.violated(caller, "a call that was over goes on".to_owned());
        }
        let is_quiet = |action: &Action| {
            let is_record = matches!(action, Action::Keep(Keep::Record | Keep::Event(_)));
            is_record || matches!(action, Action::TurnAway { .. } | Action::Reject { .. })
        };
        if let Some(action) = actions.iter().find(|action| was_over && !is_quiet(action)) {
            self.violated(caller, format!("{action:?} after the end"));
        }
        if bytes > CALL_BYTES_MAX {
            self.violated(caller, format!("a call holds {bytes} bytes"));
        }
        if events > EVENTS_MAX {
            self.violated(caller, format!("{events} events are kept of one call"));
        }
    }

    /// A command goes to the provider.
    pub(super) fn law_sends(&mut self, session: u32, socket: u64) {
        let Some((_, id)) = self.sessions.get(&session).and_then(|session| session.socket) else { return };
        let is_over =
            self.keeper(id).and_then(|keeper| keeper.call.as_ref()).is_some_and(|call| call.is_over());
        if is_over {
            let caller = self.caller_of(id);
            self.violated(caller, format!("a command is sent over socket {socket} after the end"));
        }
    }

    /// Claims that the process died between the accept and the offer's way to the disk, and that the provider tells the next
    /// one too late of a call: nobody knows its name then.
    fn was_never_told(&self, id: CallId, session: Option<u32>) -> bool {
        let is_unnamed = self.disk.record(id).is_some_and(|record| record.provider.is_none());
        let up_since = session.and_then(|session| self.sessions.get(&session)).map(|known| known.up_since());
        let started = self.process.as_ref().map(|process| process.started);
        let was_away = started.zip(up_since).is_some_and(|(started, up)| started > up + STALE_AFTER);
        is_unnamed && was_away
    }

    /// The call has just ended, as far as the process knows.
    pub(super) fn law_over(&mut self, id: CallId, caller: u32) {
        let asked = self.law.cases.get(&id).is_some_and(|case| case.asked_to_leave);
        let session = self.law.cases.get(&id).and_then(|case| case.session);
        let is_alive = session
            .and_then(|session| self.sessions.get(&session))
            .is_some_and(|session| session.is_up() && session.stream.is_none());
        let is_excused = self.was_never_told(id, session);
        if self.weather.is_fair && !asked && is_alive && !is_excused && self.is_on_the_line(caller) {
            self.violated(
                caller,
                "a live call was given up, and nothing had gone wrong but the process".to_owned(),
            );
        }
    }

    // === tools ===

    pub(super) fn law_tool_started(&mut self, id: CallId, caller: u32, call: &ToolCall) {
        if call.name != super::terms::PAY {
            return;
        }
        let kept = self.disk.books.calls.get(&id);
        if !kept.is_some_and(|kept| kept.tools.values().any(|tool| tool.tool_call_id == call.id)) {
            self.violated(caller, format!("tool call {} runs before its record is on disk", call.id));
        }
    }

    pub(super) fn law_effect(&mut self, id: CallId, caller: u32, tool: &ToolCallId) {
        self.law.tally.effects += 1;
        self.tell(caller, || format!("shop: {tool} is paid"));
        let times = self.law.case(id).effects.entry(tool.clone()).or_default();
        *times += 1;
        if *times > 1 {
            self.violated(caller, format!("the effect of tool call {tool} came twice"));
        }
    }

    /// The provider gets the output of a tool.
    pub(super) fn law_output(&mut self, session: u32, tool: &ToolCallId, output: &str) {
        let Some(known) = self.sessions.get(&session) else { return };
        let caller = known.caller;
        let what = match (known.asked.get(tool), known.outputs.get(tool)) {
            (None, _) => format!("an output for {tool}, which nobody asked for"),
            (_, Some(earlier)) => format!("two answers to {tool}: {earlier} and {output}"),
            (Some(name), None) => {
                if name == PAY {
                    self.law.told.insert(tool.clone(), output.to_owned());
                }
                return;
            }
        };
        self.violated(caller, what);
    }

    /// Some time after a model asked for a tool, in a call that went on undisturbed.
    pub(super) fn law_is_answered(&mut self, session: u32, tool: &ToolCallId) {
        let Some(known) = self.sessions.get(&session).filter(|known| known.is_up()) else { return };
        let (Some((_, id)), caller) = (known.socket, known.caller) else { return };
        if known.outputs.contains_key(tool) || self.now.since(known.socket_since) < UNDISTURBED {
            return;
        }
        let was_kept = self.disk.books.calls.get(&id).and_then(|kept| {
            kept.tools.values().find(|kept| kept.tool_call_id == *tool).map(|tool| tool.requested)
        });
        let is_live = self
            .keeper(id)
            .and_then(|keeper| keeper.call.as_ref())
            .is_some_and(|call| call.record.state == State::Live);
        if is_live && was_kept.is_some() && !self.law.clock_jumped {
            self.violated(caller, format!("tool call {tool} was never answered"));
        }
    }

    // === every write ===

    /// What was on disk of the calls that a transaction is about, before it is written.
    pub(super) fn law_before(&mut self, tx: &Tx) -> Vec<(CallId, Option<CallRecord>)> {
        let mut before = Vec::new();
        let mut problems = Vec::new();
        for write in &tx.writes {
            match write {
                Write::Call(record) => before.push((record.id, self.disk.record(record.id))),
                Write::Recording(record) => self.law_recording(record),
                Write::Line(id, line) => {
                    let kept = self.disk.books.calls.get(id).and_then(|kept| kept.lines.get(&line.n));
                    if let Some(kept) = kept.filter(|kept| !is_same_line(kept, line)) {
                        problems.push((*id, format!("line {} of {} is written over", line.n, kept.text)));
                    }
                }
                Write::ToolCall(id, tool) => {
                    let kept = self.disk.books.calls.get(id).and_then(|kept| kept.tools.get(&tool.n));
                    let is_other = |kept: &&crate::call::record::ToolCallRecord| {
                        kept.tool_call_id != tool.tool_call_id
                            || (kept.finished.is_some()
                                && (&kept.output, kept.outcome) != (&tool.output, tool.outcome))
                    };
                    if kept.filter(is_other).is_some() {
                        problems.push((*id, format!("what became of {} is written over", tool.tool_call_id)));
                    }
                }
                _ => {}
            }
        }
        for (id, problem) in problems {
            let caller = self.caller_of(id);
            self.violated(caller, problem);
        }
        before
    }

    pub(super) fn law_written(&mut self, before: Vec<(CallId, Option<CallRecord>)>) {
        for (id, before) in before {
            let Some(kept) = self.disk.books.calls.get(&id) else { continue };
            let (record, caller) = (&kept.record, self.caller_of(id));
            let was_refused = self.law.cases.get(&id).is_some_and(|case| case.was_refused);
            let counts = record.counts;
            let found = [kept.lines.len(), kept.tools.len(), kept.usage.len(), kept.events.len()];
            let told =
                [counts.lines, counts.tool_calls, counts.usage, counts.events].map(|count| count as usize);
            let mut problem = None;
            if found != told && !was_refused {
                problem = Some(format!("the record counts {told:?} parts, on disk are {found:?}"));
            }
            let was_ended = before.as_ref().and_then(|before| before.ended.as_ref());
            match (was_ended, &record.ended) {
                (Some(was), Some(is)) if !may_become(was.reason, is.reason) => {
                    problem = Some(format!("{:?} became {:?}", was.reason, is.reason));
                }
                (Some(_), None) => problem = Some("a call that was closed is open again".to_owned()),
                (None, Some(ended)) => {
                    let reason = ended.reason;
                    self.law.case(id).closes += 1;
                    self.law.tally.closed += 1;
                    self.law.tally.lost_by_us += u64::from(reason == EndedReason::GatewayLost);
                }
                _ => {}
            }
            if let Some(problem) = problem {
                self.violated(caller, problem);
            }
        }
    }

    // === the end of a day ===

    pub(super) fn law_end_of_day(&mut self) {
        self.law_recordings_end();
        self.law_rooms_are_empty();
        self.law_hands_end();
        let books = std::mem::take(&mut self.disk.books);
        let cases = std::mem::take(&mut self.law.cases);
        for (webhook, caller) in std::mem::take(&mut self.law.webhooks) {
            if !books.webhooks.contains(&webhook) {
                self.violated(caller, format!("webhook {webhook} was acknowledged and is not on disk"));
            }
        }
        for (id, case) in &cases {
            let caller = self.caller_of(*id);
            if case.is_acknowledged && !books.calls.contains_key(id) {
                self.violated(caller, format!("{id} was acknowledged and is not on disk"));
            }
            if case.is_acknowledged && books.aliases.get(&alias_of(caller)) != Some(id) {
                self.violated(caller, format!("{id} is not known by the carrier's name"));
            }
        }
        for (id, kept) in &books.calls {
            let caller = self.caller_of(*id);
            let none = Case::default();
            let case = cases.get(id).unwrap_or(&none);
            let problem = self.look_back(kept, case, caller);
            if let Some(problem) = problem {
                self.violated(caller, problem);
            }
        }
        if let Some(process) = self.process.as_ref().filter(|process| !process.keepers.is_empty()) {
            let left = process.keepers.len();
            self.violated(0, format!("{left} calls are looked after, and nothing will ever happen to them"));
        }
        self.law.billed.clear();
        self.law.told.clear();
        self.law.spoken.clear();
        self.law.clock_jumped = false;
    }

    fn look_back(&mut self, kept: &super::disk::Kept, case: &Case, caller: u32) -> Option<String> {
        let record = &kept.record;
        if record.state != State::Ended || record.ended.is_none() {
            return Some(format!("it was never closed: {:?}", record.state));
        }
        if case.closes > 1 {
            return Some(format!("it was closed {} times", case.closes));
        }
        if case.was_refused {
            return None;
        }
        if let Some(tool) = kept.tools.values().find(|tool| tool.outcome.is_none()) {
            return Some(format!("tool call {} has no outcome", tool.tool_call_id));
        }
        let names: BTreeSet<_> = kept.tools.values().map(|tool| &tool.tool_call_id).collect();
        let is_otherwise = |tool: &&ToolCallRecord| {
            let told = self.law.told.get(&tool.tool_call_id);
            told.zip(tool.output.as_ref()).is_some_and(|(told, kept)| told != kept)
        };
        if let Some(tool) = kept.tools.values().find(is_otherwise) {
            let (tool, kept) = (&tool.tool_call_id, tool.output.as_deref().unwrap_or_default());
            return Some(format!("the model was told otherwise of {tool} than is on disk: {kept}"));
        }
        if names.len() != kept.tools.len() {
            return Some("a tool call is kept twice".to_owned());
        }
        self.money(kept).or_else(|| self.transcript(kept, case, caller))
    }

    /// Each turn is billed once, at what the provider said, and the sum is the sum.
    fn money(&self, kept: &super::disk::Kept) -> Option<String> {
        let mut sum = Usage::default();
        let mut cost = 0.0;
        let mut turns = BTreeSet::new();
        for used in kept.usage.values() {
            sum += &used.usage;
            cost += used.cost_usd.unwrap_or(0.0);
            let Some(turn) = &used.turn else { continue };
            if !turns.insert(turn) {
                return Some(format!("turn {turn} is billed twice"));
            }
            if self.law.billed.get(turn) != Some(&used.usage) {
                return Some(format!("turn {turn} is billed otherwise than the provider said"));
            }
        }
        let total = kept.record.cost_usd.unwrap_or(0.0);
        if sum != kept.record.usage || (total - cost).abs() > 1e-9 {
            return Some(format!("the record has used {:?}, its parts {sum:?}", kept.record.usage));
        }
        None
    }

    /// Everything that was delivered and kept stands there once, in the order of speech.
    fn transcript(&mut self, kept: &super::disk::Kept, case: &Case, caller: u32) -> Option<String> {
        let mut lines: Vec<&Line> = kept.lines.values().collect();
        lines.sort_by_key(|line| (line.started, line.n));
        let is_unread = |line: &&&Line| line.ended.is_some_and(|ended| ended < line.started);
        if let Some(line) = lines.iter().find(is_unread).filter(|_| !self.law.clock_jumped) {
            return Some(format!("a line ends before it begins: {line:?}"));
        }
        for owed in &case.owed {
            let (name, found) = match owed {
                Owed::Caller { item, text } => {
                    let is_it =
                        |line: &&&Line| line.speaker == Speaker::Caller && line.item.as_ref() == Some(item);
                    let found: Vec<&str> =
                        lines.iter().filter(is_it).map(|line| line.text.as_str()).collect();
                    (format!("{item} ({text})"), found == [text.as_str()])
                }
                Owed::Assistant { turn, text } => {
                    let is_it = |line: &&&Line| line.turn.as_ref() == Some(turn);
                    let found: Vec<&str> =
                        lines.iter().filter(is_it).map(|line| line.text.as_str()).collect();
                    (format!("{turn} ({text})"), found == [text.as_str()])
                }
                Owed::Usage { turn } => {
                    let is_it = |used: &&crate::call::record::UsageRecord| used.turn.as_ref() == Some(turn);
                    (format!("the usage of {turn}"), kept.usage.values().filter(is_it).count() == 1)
                }
            };
            if !found {
                return Some(format!("{name} was delivered and kept, and does not stand there once"));
            }
            self.law.tally.lines += u64::from(!matches!(owed, Owed::Usage { .. }));
        }
        if self.law.clock_jumped {
            return None;
        }
        self.order(&lines, caller)
    }

    fn order(&self, lines: &[&Line], caller: u32) -> Option<String> {
        let spoken = self.law.spoken.get(&caller)?;
        let at = |line: &Line| {
            let item = line.item.as_ref()?;
            spoken.iter().find(|(spoken, _)| spoken == item).map(|(_, at)| *at)
        };
        let said: Vec<(&Line, Timestamp)> =
            lines.iter().filter_map(|line| Some((*line, at(line)?))).collect();
        let is_swapped = |pair: &&[(&Line, Timestamp)]| pair[1].1 + ORDERED_WHEN_APART < pair[0].1;
        let pair = said.windows(2).find(is_swapped)?;
        Some(format!("{:?} stands before {:?}", pair[0].0.text, pair[1].0.text))
    }
}

/// Claims that both are the same line, as far as it was begun.
fn is_same_line(kept: &Line, line: &Line) -> bool {
    (kept.speaker, &kept.turn) == (line.speaker, &line.turn)
        && (kept.turn.is_some() || kept.item == line.item)
}

/// Claims that the carrier may have known better.
fn may_become(was: EndedReason, is: EndedReason) -> bool {
    let known_better = [
        (EndedReason::CallerHangup, EndedReason::ProviderDropped),
        (EndedReason::CallerHangup, EndedReason::MaxDuration),
        (EndedReason::CallerGone, EndedReason::LegFailed),
    ];
    was == is || known_better.contains(&(was, is))
}
