//! What must come before what: the decisions of call control that are functions of data.
//!
//! Those who own tasks and sockets (`runner`, `intake`, `afterwards`, `streams`) ask here and carry it out; the
//! simulation of whole days (`crate::proof`) asks the same functions, so that what it proves is what runs.

use std::collections::HashSet;
use std::time::Duration;

use super::handing::target_of;
use crate::call::Call;
use crate::call::event::{Action, CarrierEvent, CommandId, Event, Keep, ProviderCommand, ToolCall};
use crate::call::record::{CallRecord, EndedReason, HandedBy, Path, State};
use crate::clock::Timestamp;
use crate::ids::{CallId, ToolCallId};
use crate::routing::{Recording, Target};
use crate::store::{Alias, Write};

/// How far the clocks of the provider and of ours may be apart.
const CLOCKS_APART: Duration = Duration::from_secs(5);
/// The status of a caller's leg that was answered (Twilio, "Call resource: call status values").
pub const ANSWERED: &str = "in-progress";

/// How long what nobody waits for may wait for company: far below what a person who watches notices, and all that a
/// crash can take of it.
pub const COMPANY: Duration = Duration::from_millis(50);
/// So much waits at most: a small part of what a transaction of the store may have …
const BATCH_BYTES: usize = 256 << 10;
/// … and so many things, which a flood of events would bring.
const BATCH_WRITES: usize = 64;

/// When a tool may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolStart {
    /// It does no harm when it runs twice.
    AtOnce,
    /// Its record must be on disk: after a crash nobody could tell whether it had run.
    OnceKept,
}

impl ToolStart {
    /// When a tool may run that `may_repeat` or not.
    pub fn of(may_repeat: bool) -> ToolStart {
        if may_repeat { ToolStart::AtOnce } else { ToolStart::OnceKept }
    }
}

/// What becomes of a tool that waited for its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// It runs.
    Run,
    /// It could not be kept: whether it ran could not be told after a crash, so it does not run.
    Refuse,
    /// Nobody waits for it any more: the call is over, or it was cancelled when the call was moved.
    Forget,
}

impl Waited {
    /// The commit that the tool waited for has landed.
    pub fn for_commit(call: &Call, tool: &ToolCallId, is_kept: bool) -> Waited {
        match is_kept {
            _ if call.is_over() || !call.awaits_tool(tool) => Waited::Forget,
            true => Waited::Run,
            false => Waited::Refuse,
        }
    }
}

/// What is said to the provider, behind what must be on disk first.
///
/// The answer of a tool that may not run twice is kept before the model is told: a process that dies in between would
/// have told the model that it was done, and the next one that nobody knows. What is said after it waits with it.
#[derive(Debug, Default)]
pub struct Outbox {
    once: HashSet<ToolCallId>,
    waits: usize,
    held: Vec<(CommandId, ProviderCommand)>,
}

impl Outbox {
    /// A tool begins that may not run twice.
    pub fn runs_once(&mut self, tool_call: ToolCallId) {
        self.once.insert(tool_call);
    }

    /// What happened is to be decided and kept. Claims that nothing is said until it is on disk; then
    /// [`Outbox::landed`] is wanted.
    pub fn waits_for(&mut self, event: &Event) -> bool {
        let waits = matches!(event, Event::ToolFinished(finished) if self.once.remove(&finished.tool_call));
        self.waits += usize::from(waits);
        waits
    }

    /// Something is to be said. Gives it back where it can be said at once.
    pub fn put(&mut self, id: CommandId, command: ProviderCommand) -> Option<(CommandId, ProviderCommand)> {
        if self.waits == 0 {
            return Some((id, command));
        }
        self.held.push((id, command));
        None
    }

    /// Something that was waited for is on disk, or will never be. Gives what can be said now.
    pub fn landed(&mut self) -> Vec<(CommandId, ProviderCommand)> {
        self.waits = self.waits.saturating_sub(1);
        if self.waits == 0 { std::mem::take(&mut self.held) } else { Vec::new() }
    }

    /// What was to be said over a connection that is gone is not said over the next one.
    pub fn clear(&mut self) {
        self.held.clear();
    }
}

/// Claims that the next process can go on with a call as it is: no tool runs that may not run twice, what such
/// tools answered is on disk and said, and the provider has taken what it was told last.
pub fn may_be_left(call: &Call, outbox: &Outbox, may_repeat: impl Fn(&str) -> bool) -> bool {
    outbox.waits == 0 && !call.awaits_provider() && call.running_tools().all(may_repeat)
}

/// What of a call is to be written with its next commit.
///
/// A turn brings a dozen happenings within milliseconds, and nobody waits for most of what they leave behind: lines that
/// grow, usage, counts. That waits for company up to [`COMPANY`], and of several states of one thing only the
/// last is written. What somebody waits for, what a tool answered, what is asked of a vendor's REST API, and a call that
/// changes its state go at once, and everything that waited goes with them: nothing overtakes.
#[derive(Debug, Default)]
pub struct Batch {
    writes: Vec<Write>,
    has_record: bool,
    bytes: usize,
    is_urgent: bool,
    due: Option<Timestamp>,
}

impl Batch {
    /// Something is to be kept with the call.
    pub fn keep(&mut self, call: CallId, keep: Keep) {
        let write = match keep {
            Keep::Record => return self.has_record = true,
            Keep::Line(line) => Write::Line(call, line),
            Keep::ToolCall(tool_call) => {
                // Whether the model has an answer, and was asked to go on with it, must not be asked twice.
                self.is_urgent |= tool_call.outcome.is_some();
                Write::ToolCall(call, tool_call)
            }
            Keep::Usage(usage) => Write::Usage(call, usage),
            Keep::Event(event) => Write::Event(call, event),
        };
        self.bytes += text_bytes(&write);
        match self.writes.iter_mut().find(|older| is_same_part(older, &write)) {
            Some(older) => *older = write,
            None => self.writes.push(write),
        }
    }

    /// Something is to be written that others wait for, or will look for.
    pub fn add(&mut self, writes: impl IntoIterator<Item = Write>) {
        let before = self.writes.len();
        self.writes.extend(writes);
        self.is_urgent |= self.writes.len() > before;
    }

    /// Somebody waits for what is to be written, or something outside follows from it.
    pub fn hurry(&mut self) {
        self.is_urgent = true;
    }

    /// The step asks for something that is not to be forgotten: a vendor will act on it.
    pub fn hurry_for(&mut self, action: &Action) {
        self.is_urgent |= !matches!(action, Action::Send(..) | Action::RunTool { .. } | Action::Keep(_));
    }

    /// After a step: a call that moved to another state or path since `was`, or is over, is written at once.
    pub fn hurry_where_moved(&mut self, was: (State, Path), call: &Call) {
        self.is_urgent |= call.is_over() || (call.record.state, call.record.path) != was;
    }

    /// When it is to be written; none: there is nothing that waits.
    pub fn due(&self) -> Option<Timestamp> {
        self.due
    }

    /// Claims that there is nothing to write.
    pub fn is_empty(&self) -> bool {
        !self.has_record && self.writes.is_empty()
    }

    /// Claims that it is to be written now; else it waits until [`Batch::due`].
    pub fn is_due(&mut self, now: Timestamp) -> bool {
        if self.is_urgent {
            return true;
        }
        if self.is_empty() {
            return false;
        }
        let due = *self.due.get_or_insert(now + COMPANY);
        due <= now || self.bytes >= BATCH_BYTES || self.writes.len() >= BATCH_WRITES
    }

    /// Takes out what is to be written, with the record as it stands now where that is to be written too.
    pub fn take(&mut self, record: &CallRecord) -> Vec<Write> {
        let (mut writes, has_record) = self.take_beside();
        if has_record {
            writes.push(Write::Call(Box::new(record.clone())));
        }
        writes
    }

    /// Takes out what is to be written beside the record, and says whether that is to be written after it.
    pub fn take_beside(&mut self) -> (Vec<Write>, bool) {
        let Batch { mut writes, has_record, .. } = std::mem::take(self);
        if has_record {
            // What came from elsewhere may have an older state of it.
            writes.retain(|write| !matches!(write, Write::Call(_)));
        }
        (writes, has_record)
    }
}

/// What waits until everything up to here is on disk. `D` is whoever has to know.
#[derive(Debug)]
pub struct Waiting<D> {
    /// Whoever has to know.
    pub done: Option<D>,
    /// Tools that may run only then.
    pub tools: Vec<ToolCall>,
    /// How many times the outbox waits for it.
    pub releases: usize,
}

impl<D> Default for Waiting<D> {
    fn default() -> Waiting<D> {
        Waiting { done: None, tools: Vec::new(), releases: 0 }
    }
}

impl<D> Waiting<D> {
    /// Claims that nobody does.
    pub fn is_nobody(&self) -> bool {
        self.done.is_none() && self.tools.is_empty() && self.releases == 0
    }
}

/// Claims that the newer takes the place of the older.
fn is_same_part(older: &Write, newer: &Write) -> bool {
    match (older, newer) {
        (Write::Line(_, older), Write::Line(_, newer)) => older.n == newer.n,
        (Write::ToolCall(_, older), Write::ToolCall(_, newer)) => older.n == newer.n,
        _ => false,
    }
}

/// About how many bytes a part of a call has on disk.
fn text_bytes(write: &Write) -> usize {
    512 + match write {
        Write::Line(_, line) => line.text.len(),
        Write::ToolCall(_, tool) => tool.arguments.len() + tool.output.as_ref().map_or(0, String::len),
        Write::Event(_, event) => event.data.as_ref().map_or(0, |data| data.get().len()),
        _ => 0,
    }
}

/// Names under which the carrier's leg will be looked up when the provider offers its call.
pub fn aliases_of(call: CallId, event: &CarrierEvent) -> Vec<Write> {
    let (sid, sip_call_id) = match event {
        CarrierEvent::Leg { sid, sip_call_id, .. } => (Some(sid), sip_call_id.as_ref()),
        CarrierEvent::DialEnded { leg_sid, sip_call_id, .. } => (leg_sid.as_ref(), sip_call_id.as_ref()),
        CarrierEvent::Caller { .. }
        | CarrierEvent::Referred
        | CarrierEvent::HandedOn { .. }
        | CarrierEvent::AsksAgain { .. }
        | CarrierEvent::StreamEnded { .. } => (None, None),
    };
    let leg = sid.map(|sid| Write::Alias(Alias::CarrierLeg(sid.clone()), call));
    let sip = sip_call_id.map(|id| Write::Alias(Alias::SipCallId(id.clone()), call));
    leg.into_iter().chain(sip).collect()
}

/// Claims that a provider's event is for a caller who is gone, where no call waits for it.
pub fn is_stale(created: Timestamp, now: Timestamp, stale_after: Duration) -> bool {
    now.since(created) > stale_after
}

/// Claims that an offer made at `created` is for a caller who may still be there, however late it comes: the call waits for
/// it and was there before it. It may have been accepted already, by a process that did not live to keep it.
pub fn is_waited_for(record: &CallRecord, created: Timestamp) -> bool {
    let asked = record.stages.carrier_asked;
    record.path == Path::Sip && asked.is_some_and(|asked| asked <= created + CLOCKS_APART)
}

/// Whether a call waits for the provider's offer over SIP, or did until it went on over another path; else why not.
///
/// # Errors
///
/// Why it does not, for the record.
pub fn awaits_offer(record: Option<CallRecord>) -> Result<CallRecord, &'static str> {
    match record {
        None => Err("the join token names a call that is not known"),
        Some(record) if record.is_left_unoffered(Path::Sip) => Ok(record),
        Some(record) if record.path != Path::Sip => Err("the call does not go over SIP"),
        Some(record) if record.state == State::Dialing => Ok(record),
        Some(_) => Err("the call was joined before, or is over"),
    }
}

/// The attempt that a join token is for, and since when it counts; none: the caller was given no time yet.
pub fn attempt_of(record: &CallRecord, announced: Duration) -> (u8, Timestamp) {
    match record.broken_off() {
        None => (1, record.stages.carrier_asked.unwrap_or_default() + announced),
        Some(at) => (2, at),
    }
}

/// How a call is recorded on the way that it goes now, and whether its caller is told of that first; none: it is not
/// recorded. That was decided when it came in: where it were decided anew, a configuration that changes between two answers
/// could have a caller recorded whom nobody told.
pub fn recording_on(record: &CallRecord) -> Option<Recording> {
    let recording = Recording::of(record.consent.as_ref()?);
    // Who had a way before, or is dialled for once more, has been told then; but not who is still ringing: the answer that
    // would have had the carrier say so may never have reached it, and whom it tells it answers first.
    let is_plain = record.carrier.as_ref().is_some_and(|carrier| carrier.is_plain);
    let is_ringing = record.carrier.as_ref().is_some_and(|carrier| carrier.status != ANSWERED);
    match !is_ringing && (record.broken_off().is_some() || is_plain) {
        false => Some(recording),
        true => Some(Recording::default()),
    }
}

/// Claims that a caller about whom the carrier asks as for a new call was connected before.
pub fn came_back(record: &CallRecord, caller_status: &str) -> bool {
    let was_connected = record.state != State::Dialing || record.awaits_return();
    caller_status == ANSWERED && record.path != Path::None && was_connected
}

/// What a caller is told about whom the carrier asks once more: the same as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// The way that the call goes now.
    Way,
    /// What those get who are one too many.
    Overflow,
    /// What the route does where no model is to be had.
    Fallback,
    /// What the route says of such a call.
    Route,
}

impl Again {
    /// What follows from the record.
    pub fn of(record: &CallRecord) -> Again {
        match record.ended.as_ref().map(|ended| ended.reason) {
            _ if record.path != Path::None => Again::Way,
            Some(EndedReason::Busy) => Again::Overflow,
            Some(EndedReason::Stopping) => Again::Fallback,
            _ => Again::Route,
        }
    }
}

/// Which of the calls that are not over a process has left to the next one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Left {
    /// None: it goes on with all of them.
    #[default]
    None,
    /// Those whose audio passes through it, which are left first.
    Bridged,
    /// All.
    All,
}

impl Left {
    /// Claims that a call is the next process' to go on with. This one knows of it only what is on disk, and nothing of tools
    /// that run.
    pub fn has(self, record: &CallRecord) -> bool {
        record.state != State::Ended
            && match self {
                Left::None => false,
                Left::Bridged => record.path == Path::MediaStreams,
                Left::All => true,
            }
    }
}

/// What becomes of a caller whose way to the model is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// Nothing: the call was over for both sides.
    HangUp,
    /// The caller is handed on.
    Forward(Target),
    /// The call goes on by the way that its record names.
    GoOn,
    /// What the route does where no model is to be had.
    Fallback,
}

impl Afterwards {
    /// What follows from the record, now that the way over `over` is at its end.
    pub fn of(record: &CallRecord, over: Path) -> Afterwards {
        if record.carrier.as_ref().is_some_and(|carrier| carrier.is_over()) {
            return Afterwards::HangUp;
        }
        // Also when it is asked again and the other way is being gone, or is over by now.
        if record.moved.as_ref().is_some_and(|moved| moved.from == over) {
            return Afterwards::GoOn;
        }
        if is_dialled_plainly(record, over) {
            return Afterwards::GoOn;
        }
        // The stream broke off with an earlier process: another one is opened.
        if record.awaits_return() {
            return Afterwards::GoOn;
        }
        // The provider's side ended before it handed the caller on.
        let is_told_now = record.handed.as_ref().is_some_and(|handed| handed.by == HandedBy::DialOver);
        if let Some(target) = target_of(record).filter(|_| over == Path::Sip && is_told_now) {
            return Afterwards::Forward(target);
        }
        match record.ended.as_ref().map(|ended| ended.reason) {
            Some(EndedReason::Transferred | EndedReason::Forwarded) if over == Path::MediaStreams => {
                target_of(record).map_or(Afterwards::Fallback, Afterwards::Forward)
            }
            Some(EndedReason::Apology | EndedReason::Busy | EndedReason::Stopping) => Afterwards::Fallback,
            Some(reason) if reason.is_failure() => Afterwards::Fallback,
            // A way that is over while the call is not: nothing is known that could be waited for.
            None if over == Path::MediaStreams => Afterwards::Fallback,
            _ => Afterwards::HangUp,
        }
    }
}

/// Claims that this is the end of the first dial of two: the second is under way, or to be begun.
pub(super) fn is_dialled_plainly(record: &CallRecord, over: Path) -> bool {
    let is_dialled_again = record.carrier.as_ref().is_some_and(|carrier| carrier.is_plain);
    over == Path::Sip && is_dialled_again && record.state == State::Dialing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Beginning;
    use crate::call::event::CommandId;
    use crate::call::record::{
        Carrier, EventRecord, Line, LineStatus, Speaker, ToolCallRecord, ToolOutcomeKind,
    };

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_secs(1) + Duration::from_millis(ms)
    }

    fn call() -> CallId {
        CallId::from_bytes([7; 16])
    }

    fn record() -> CallRecord {
        let (caller, callee, route, carrier, carrier_asked) = Default::default();
        let (vars, other_path, avoided) = Default::default();
        let (id, path) = (call(), Path::Sip);
        let beginning =
            Beginning { id, path, caller, callee, route, carrier, carrier_asked, vars, other_path, avoided };
        Call::begin(beginning).record
    }

    fn line(n: u32, text: &str) -> Keep {
        let (speaker, status) = (Speaker::Caller, LineStatus::Final);
        let text = text.to_owned();
        Keep::Line(Line {
            v: 1,
            n,
            speaker,
            text,
            started: at(0),
            ended: None,
            status,
            item: None,
            turn: None,
        })
    }

    fn answered(n: u32) -> Keep {
        Keep::ToolCall(ToolCallRecord {
            v: 1,
            n,
            tool_call_id: "call_1".into(),
            name: "lookup".to_owned(),
            arguments: "{}".to_owned(),
            requested: at(0),
            finished: Some(at(1)),
            outcome: Some(ToolOutcomeKind::Ok),
            output: Some("{}".to_owned()),
            turn: None,
            acknowledged: false,
            deferred: false,
        })
    }

    fn event(bytes: usize) -> Keep {
        let data = serde_json::value::to_raw_value(&"x".repeat(bytes)).expect("text");
        Keep::Event(EventRecord { v: 1, n: 0, at: at(0), kind: "k".to_owned(), data: Some(data) })
    }

    fn texts(writes: &[Write]) -> Vec<String> {
        let text = |write: &Write| match write {
            Write::Line(_, line) => line.text.clone(),
            Write::Call(record) => format!("{:?}", record.state),
            other => format!("{other:?}"),
        };
        writes.iter().map(text).collect()
    }

    #[test]
    fn what_nobody_waits_for_waits_for_company_but_not_longer() {
        let mut batch = Batch::default();
        assert!(!batch.is_due(at(0)), "there is nothing");
        batch.keep(call(), line(0, "a"));
        assert!(!batch.is_due(at(10)));
        assert_eq!(batch.due(), Some(at(10) + COMPANY));
        batch.keep(call(), Keep::Record);
        batch.keep(call(), line(1, "b"));
        batch.keep(call(), line(0, "a whole"));
        assert!(!batch.is_due(at(59)), "what comes later does not put it off, and does not hurry it");
        assert!(batch.is_due(at(60)));
        let record = CallRecord { state: State::Live, ..record() };
        assert_eq!(texts(&batch.take(&record)), ["a whole", "b", "Live"]);
        assert!(batch.is_empty() && batch.due().is_none() && !batch.is_due(at(100)));
    }

    #[test]
    fn what_somebody_waits_for_takes_with_it_what_waited() {
        for hurry in [
            (|batch: &mut Batch| batch.hurry()) as fn(&mut Batch),
            |batch| batch.hurry_for(&Action::HangUp),
            |batch| batch.keep(call(), answered(0)),
            |batch| batch.add([Write::Meta { name: "m".to_owned(), value: "v".to_owned() }]),
        ] {
            let mut batch = Batch::default();
            batch.keep(call(), line(0, "a"));
            assert!(!batch.is_due(at(0)));
            batch.hurry_for(&Action::Keep(Keep::Record));
            let prompt = ProviderCommand::PromptTurn { instructions: None, may_call_tools: true };
            batch.hurry_for(&Action::Send(CommandId(1), prompt));
            batch.add([]);
            assert!(!batch.is_due(at(1)), "none of these is waited for");
            hurry(&mut batch);
            assert!(batch.is_due(at(2)));
            assert_eq!(texts(&batch.take(&record()))[0], "a");
        }
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut batch = Batch::default();
        batch.keep(call(), event(BATCH_BYTES));
        assert!(batch.is_due(at(0)));
        batch.take(&record());
        for n in 0..BATCH_WRITES {
            assert!(!batch.is_due(at(0)));
            batch.keep(call(), line(n as u32, "x"));
        }
        assert!(batch.is_due(at(0)));
    }

    #[test]
    fn who_is_still_ringing_was_not_told_of_the_recording() {
        let carrier = |status: &str| Carrier {
            is_plain: true,
            ..Carrier::asking("twilio", "CA1".into(), "AC1", status)
        };
        let announcement = crate::routing::Announcement {
            text: "This call is recorded.".to_owned(),
            language: "en-US".to_owned(),
            voice: None,
            by: Default::default(),
        };
        let of_route = Recording { announcement: Some(announcement) };
        let mut record = record();
        assert_eq!(recording_on(&record), None, "it was not to be recorded when it came in");
        record.consent = Some(of_route.consent());
        for (status, expected) in [("ringing", of_route), (ANSWERED, Recording::default())] {
            record.carrier = Some(carrier(status));
            assert_eq!(recording_on(&record), Some(expected), "{status}");
        }
    }
}
