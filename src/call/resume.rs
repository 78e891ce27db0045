//! A call that an earlier process left in the middle of something: restored from what is kept of it, and gone on
//! with.
//!
//! There is no snapshot. What the call was in the middle of follows from its record, its lines and its tool
//! calls: [`Call::restore`] builds it, and [`Event::TakenUp`](super::event::Event::TakenUp) says what is done
//! first. Over SIP the caller never noticed: the sideband is looked for, and tools are answered. Over the bridge
//! the audio broke off with the process: the call waits for the caller, as one that was moved does, and the
//! next session is told what was said.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::carrier;
use super::consent::Consent;
use super::conversation::{HANG_UP_TOOL, TRANSFER_TOOL};
use super::event::{
    Action, ContextRole, Keep, ProviderCommand, ProviderEvent, TakenUp, ToolCall, ToolFinished,
};
use super::leave::{Exit, Leave};
use super::listening::Listening;
use super::record::{CallRecord, EndedReason, Line, Path, Speaker, State, ToolCallRecord, ToolOutcomeKind};
use super::redaction;
use super::sideband::Sideband;
use super::step::{Call, Quiet};
use super::terms::{Greeting, Terms};
use super::tools::Tools;
use super::transcript::Transcript;
use super::turns::PromptKind;
use crate::clock::Timestamp;

/// How long a caller whose audio broke off is waited for. The carrier asks what comes next at once, tries for ten
/// seconds to reach us, and then its fallback URL.
pub(super) const RETURNS_WITHIN: Duration = Duration::from_secs(60);

const IN_DOUBT: &str = "whether it was done is not known: the connection broke while it ran. \
     Say so, and ask the caller before doing it again";

const NOT_RUN: &str = "was not run: the connection broke before. If the caller still wants it, run it";

/// How long after the sideband is back a turn is waited for that an earlier process may have asked for: something of it is
/// seen by then, and again and again while it is made.
pub(super) const SEEN_WITHIN: Duration = Duration::from_secs(1);

const UNLESS_SAID: &str = "The connection broke for a moment. If you have already said what follows, do not say it again, \
     and ask how you can help. Otherwise: ";

/// How many answers of tools the next session is told, and how much of each, in bytes: a turn asks for one or two.
const UNTOLD_MAX: usize = 8;
const UNTOLD_BYTES_MAX: usize = 2 << 10;

/// The process that carried the caller's audio went away, and another one waits for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Interrupted {
    /// When the next process found the call.
    pub at: Timestamp,
    /// How often that has happened to the call.
    pub times: u32,
    /// When the caller's audio was back; none: it is not.
    pub returned: Option<Timestamp>,
}

impl CallRecord {
    /// When the caller lost the way to the model last, and was given another.
    pub fn broken_off(&self) -> Option<Timestamp> {
        let moved = self.moved.as_ref().map(|moved| moved.at);
        moved.max(self.interrupted.map(|interrupted| interrupted.at))
    }

    /// Claims that a caller whose audio broke off with an earlier process is waited for.
    pub fn awaits_return(&self) -> bool {
        let is_missing = self.interrupted.is_some_and(|interrupted| interrupted.returned.is_none());
        is_missing && self.state == State::Dialing
    }
}

/// What is kept of a call, from which it is restored.
#[derive(Debug)]
pub struct Remembered {
    /// The record.
    pub record: CallRecord,
    /// The transcript, in the order in which speech started.
    pub lines: Vec<Line>,
    /// The tool calls, in the order in which they were asked for.
    pub tool_calls: Vec<ToolCallRecord>,
    /// The terms it was answered on; none: it was not, or its session does not exist any more.
    pub terms: Option<Terms>,
    /// Where the caller goes once the sideband is up, because the route says so.
    pub forward_to: Option<String>,
}

impl Call {
    /// A call as an earlier process left it; [`Event::TakenUp`](super::event::Event::TakenUp) comes next.
    pub fn restore(remembered: Remembered, now: Timestamp) -> Call {
        let Remembered { record, lines, tool_calls, terms, forward_to } = remembered;
        let mut call = Call::from_record(record);
        let record = &call.record;
        let none = std::collections::BTreeMap::new();
        let tools_terms = terms.as_ref().map_or(&none, |terms| &terms.tools);
        let from = record.moved.as_ref().map_or(0, |moved| moved.tool_calls);
        call.tools = Tools::restored(&tool_calls, from, tools_terms, is_exit);
        call.transcript = Transcript::restored(&lines, record.stages.first_audio.is_some());
        call.transcript.set_earliest(record.stages.webhook_received.unwrap_or_default());
        call.listening = match (record.state, &terms) {
            (State::Live, Some(terms)) if may_be_told(terms) => Listening::unknown(),
            (State::Live, _) => Listening::default(),
            (_, terms) => Listening::begun(terms.as_ref().and_then(|terms| terms.turn_detection.as_ref())),
        };
        if record.state == State::Live && record.path == Path::Sip {
            call.leave = leaving(record, &lines, tool_calls.last(), terms.as_ref(), now);
        }
        let carrier = record.carrier.as_ref();
        let is_leg_over =
            carrier.is_some_and(|known| carrier::leg_is_over(known) || carrier::caller_is_gone(known));
        if record.path == Path::Sip && record.state != State::Dialing && is_leg_over {
            call.leg_over_at = Some(now);
        }
        if record.path == Path::MediaStreams {
            call.untold = untold(&tool_calls, &lines);
        }
        let owes_greeting =
            record.state == State::Live && record.path == Path::Sip && record.stages.greeted.is_none();
        call.quiet = Quiet { since: Some(now), asked: 0 };
        call.forward_to = forward_to;
        if let Some(terms) = terms.as_ref().filter(|_| owes_greeting) {
            call.greet_again(terms);
        }
        call.terms = terms;
        call
    }

    /// Nobody saw the greeting begin: it never did, or passed unseen. The model knows which.
    fn greet_again(&mut self, terms: &Terms) {
        let instructions = match &terms.greeting {
            Greeting::Wait => return,
            Greeting::ByInstructions => None,
            Greeting::Prompt(words) => Some(format!("{UNLESS_SAID}{words}")),
        };
        self.greets_again = true;
        self.want_greeting(instructions);
        if let Some(detection) = terms.turn_detection.as_ref().filter(|detection| detection.is_off_at_first) {
            self.listening = Listening::begun(Some(detection));
        }
    }

    /// The sideband is there: should the greeting be on its way, a sign of it will be seen.
    pub(super) fn wait_for_greeting(&mut self, now: Timestamp) {
        if self.greets_again {
            self.turns.hold(now + SEEN_WITHIN);
        }
    }

    /// A turn that nobody here asked for, before the caller has said a word, is the greeting that an earlier process asked
    /// for. Who is to be told of the recording is told again all the same, where the model finds that they were not.
    pub(super) fn look_for_turns(&mut self, event: &ProviderEvent, now: Timestamp) {
        let is_sign = matches!(
            event,
            ProviderEvent::TurnStarted { .. }
                | ProviderEvent::AssistantTranscript { .. }
                | ProviderEvent::TurnEnded { .. }
                | ProviderEvent::PlaybackStarted { .. }
                | ProviderEvent::PlaybackDrained { .. }
                | ProviderEvent::PlaybackCleared { .. }
        );
        if is_sign && self.turns.is_held() {
            // Somebody speaks whose beginning was not seen: until the end is.
            self.turns.hold(now + SEEN_WITHIN);
        }
        let announces = self.record.consent.as_ref().is_some_and(Consent::is_said_by_the_model);
        if !is_sign || !self.greets_again || announces || self.record.heard.caller {
            return;
        }
        self.greets_again = false;
        self.turns.withdraw(PromptKind::Greeting);
        self.record.stages.greeted = Some(now);
        self.record_has_changed();
    }

    /// An earlier process left the call: what can be gone on with is.
    pub(super) fn on_taken_up(&mut self, how: &TakenUp, now: Timestamp) {
        self.note("gateway.restarted", None, now);
        if self.record.path == Path::MediaStreams {
            return self.interrupt(now);
        }
        match self.record.state {
            State::Dialing => self.act(Action::AskCarrier),
            State::Offered if how.is_fresh && self.terms.is_some() => {
                self.accept_until = how.accept_within.map(|within| now + within);
                self.act(Action::Accept);
            }
            // An accept that had worked shows in the sideband.
            State::Offered | State::Accepted | State::Live => {
                self.find_again(now);
                self.answer_tools(how, now);
            }
            State::Ended => {}
        }
    }

    /// What the model asked for and did not get. It is sent when the sideband is there.
    fn answer_tools(&mut self, how: &TakenUp, now: Timestamp) {
        for call in self.tools.unanswered() {
            // Before it begins, so that a third process knows that it may have.
            let begun = self.tools.defer(&call.id, false).cloned();
            let may_run = begun.is_some() || how.repeatable.contains(&call.name);
            // What was taken out of the arguments is kept nowhere.
            if may_run && !call.arguments.contains(redaction::MARK) {
                self.actions.extend(begun.map(|record| Action::Keep(Keep::ToolCall(record))));
                self.act(Action::RunTool { call });
                continue;
            }
            self.note("tool.interrupted", Some(&call.name), now);
            self.on_tool_finished(&interrupted(&call), now);
        }
    }

    /// The caller's audio broke off with the process that carried it: the call waits for another stream.
    fn interrupt(&mut self, now: Timestamp) {
        for call in self.tools.unanswered() {
            if self.tools.defer(&call.id, false).is_some() {
                self.untold.push(format!("The tool `{}` {NOT_RUN}.", call.name));
                continue;
            }
            self.note("tool.interrupted", Some(&call.name), now);
            if let Some(record) = self.tools.finish(&interrupted(&call), now).cloned() {
                self.act(Action::Keep(Keep::ToolCall(record)));
            }
            self.untold.push(format!("About the tool `{}`: {IN_DOUBT}.", call.name));
        }
        for cancelled in self.tools.cancel_all(now) {
            self.act(Action::Keep(Keep::ToolCall(cancelled)));
        }
        self.transcript.begin_again(now);
        let times = self.record.interrupted.map_or(0, |before| before.times).saturating_add(1);
        self.record.interrupted = Some(Interrupted { at: now, times, returned: None });
        self.record_has_changed();
        if self.record.handed_to.is_some() {
            // The stream was over, and the carrier was to be told whom to dial: it still is.
            return self.end(EndedReason::Transferred, None, now);
        }
        if self.record.heard.is_anybody() {
            // There is no telling a SIP call what was said.
            self.record.other_path = None;
        }
        self.record.provider = None;
        self.record.state = State::Dialing;
        self.record.stages.accepted = None;
        self.record.stages.attached = None;
        self.sideband = Sideband::Down;
        self.act(Action::AskCarrier);
    }

    /// The caller whose audio broke off is back.
    pub(super) fn on_returned(&mut self, now: Timestamp) {
        if !self.record.awaits_return() {
            return;
        }
        if let Some(interrupted) = &mut self.record.interrupted {
            interrupted.returned = Some(now);
        }
        self.record_has_changed();
        self.note("caller.returned", None, now);
    }

    /// The next session is told what became of the tools that the one before it asked for.
    pub(super) fn tell_of_tools(&mut self) {
        for text in std::mem::take(&mut self.untold) {
            self.send(ProviderCommand::InjectContext { role: ContextRole::System, text });
        }
    }

    /// The gateway was away, and with it the call.
    pub(super) fn end_lost(&mut self, why: &str, now: Timestamp) {
        self.end(EndedReason::GatewayLost, Some(why.to_owned()), now);
    }

    /// The same, for a caller who may still be there and take the other path.
    pub(super) fn fail_lost(&mut self, why: &str, now: Timestamp) {
        self.fail(None, EndedReason::GatewayLost, Some(why.to_owned()), now);
    }

    /// The call was over before anybody could look: the carrier may know more of it.
    pub(super) fn over_unseen(&mut self) {
        if let Some(ended) = self.record.ended.as_mut().filter(|ended| ended.detail.is_none()) {
            ended.detail = Some("it ended while the gateway was away".to_owned());
        }
        if self.record.carrier.as_ref().is_some_and(|known| !carrier::caller_is_gone(known)) {
            self.act(Action::AskCarrier);
        }
    }
}

/// What the model is told of a tool that may not run twice.
fn interrupted(call: &ToolCall) -> ToolFinished {
    let kind = ToolOutcomeKind::Interrupted;
    let output = serde_json::json!({ "error": kind.as_str(), "message": IN_DOUBT, "retryable": false });
    ToolFinished { tool_call: call.id.clone(), kind, output: output.to_string() }
}

/// What tools answered after the model's last words, which the caller has not heard of.
fn untold(tool_calls: &[ToolCallRecord], lines: &[Line]) -> Vec<String> {
    let last_words =
        lines.iter().filter(|line| line.speaker == Speaker::Assistant).map(|line| line.started).max();
    let answer = |tool: &ToolCallRecord| {
        let output = tool.output.as_ref().filter(|_| tool.finished > last_words && !is_exit(&tool.name))?;
        let output = &output[..output.floor_char_boundary(UNTOLD_BYTES_MAX)];
        Some(format!("The tool `{}` was run before the connection broke, and answered: {output}", tool.name))
    };
    let answers: Vec<String> = tool_calls.iter().filter_map(answer).collect();
    answers.into_iter().rev().take(UNTOLD_MAX).rev().collect()
}

fn is_exit(tool: &str) -> bool {
    matches!(tool, HANG_UP_TOOL | TRANSFER_TOOL)
}

/// Claims that the provider may have been told of turn detection since the accept.
fn may_be_told(terms: &Terms) -> bool {
    let protects = terms.turn_detection.as_ref().is_some_and(|detection| detection.is_off_at_first);
    protects || terms.tools.values().any(|tool| !tool.interruptible)
}

/// How the call was being left: the model had asked for it, and the caller has not spoken since.
fn leaving(
    record: &CallRecord,
    lines: &[Line],
    last_tool: Option<&ToolCallRecord>,
    terms: Option<&Terms>,
    now: Timestamp,
) -> Leave {
    if let Some(target) = record.handed_to.clone() {
        return Leave::already_asked(Exit::Transfer(target), now);
    }
    let asked = last_tool.filter(|tool| tool.outcome == Some(ToolOutcomeKind::Ok) && is_exit(&tool.name));
    let Some((tool, turn)) = asked.and_then(|tool| Some((tool, tool.turn.clone()?))) else {
        return Leave::default();
    };
    let asked_at = tool.finished.unwrap_or(tool.requested);
    if lines.iter().any(|line| line.speaker == Speaker::Caller && line.started > asked_at) {
        return Leave::default();
    }
    let exit = match tool.name.as_str() {
        HANG_UP_TOOL => Some(Exit::HangUp),
        _ => terms.and_then(|terms| terms.transfer_target(&tool.arguments)).map(Exit::Transfer),
    };
    exit.map(|exit| Leave::with_last_words(turn, exit, now)).unwrap_or_default()
}
