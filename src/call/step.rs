//! The life of one call as a pure function.
//!
//! [`Call::step`] takes what just happened and says what to do next. It never waits, reads no clock
//! and opens nothing, so that every path can be tested with a table and replayed from a record. An
//! event that makes no sense where the call stands is ignored or noted; it is never an error.
//!
//! This file has the call itself, the way of an event into it, and its end; its other parts are named
//! in the parent.

use std::time::Duration;

use serde_json::value::RawValue;

use super::consent::Consent;
use super::event::{Action, Command, CommandId, Event, Keep, ProviderCommand, ProviderEvent, Wished};
use super::fillers::Fillers;
use super::handover::Handover;
use super::leave::{Do, Exit, Leave};
use super::listening::Listening;
use super::readback::ReadBack;
use super::record::{
    CallRecord, Carrier, Counts, Ended, EndedReason, EventRecord, FORMAT, Heard, Path, Stages, State, Usage,
};
use super::redaction::Redaction;
use super::resume::RETURNS_WITHIN;
use super::sideband::Sideband;
use super::terms::Terms;
use super::tools::Tools;
use super::transcript::{Growing, Transcript};
use super::turns::Turns;
use crate::clock::Timestamp;
use crate::ids::{CallId, ToolCallId};

/// How long the carrier may wait for the provider before a call that nobody offered is given up. The
/// carrier's own dial timeout is at most 600 s; its report comes first in all ordinary cases.
const OFFERED_WITHIN: Duration = Duration::from_secs(660);
/// How long the carrier may take to open the media stream it was told to open.
const STREAM_WITHIN: Duration = Duration::from_secs(30);
pub(super) const NO_STREAM: &str =
    "no media stream came: is the public URL reachable over wss? (a trial account leaves <Stream> out)";
/// How long after the carrier's leg ended the sideband may stay up before we hang up ourselves.
const LEG_OVER_GRACE: Duration = Duration::from_secs(3);
/// How many events are kept for a person to read; a flood beyond that is dropped.
const EVENTS_MAX: u32 = 500;
/// How many there may be before the provider's errors and unknown words, and the wishes of plugins, are
/// kept no more: they can come in floods.
const FLOODING_EVENTS_MAX: u32 = 400;

/// One call: what is kept of it, and what it is in the middle of.
#[derive(Debug)]
pub struct Call {
    /// What is kept.
    pub record: CallRecord,
    pub(super) terms: Option<Terms>,
    redaction: Redaction,
    pub(super) transcript: Transcript,
    pub(super) turns: Turns,
    /// How many tools of remote servers were called.
    pub(super) remote_tools: u32,
    pub(super) tools: Tools,
    pub(super) leave: Leave,
    pub(super) sideband: Sideband,
    pub(super) keys: Option<Keys>,
    pub(super) quiet: Quiet,
    pub(super) is_time_warned: bool,
    /// The greeting was asked for; turn detection waits for its end.
    pub(super) is_greeting: bool,
    /// It is asked for again, after an earlier process that may have asked for it.
    pub(super) greets_again: bool,
    pub(super) listening: Listening,
    pub(super) fillers: Fillers,
    /// The row of keys that was pressed last, for whoever is told of it.
    pub(super) pressed: Option<String>,
    /// What plugins want, waiting for the sideband.
    pub(super) waiting_wishes: Vec<Wished>,
    pub(super) forward_to: Option<String>,
    /// When the accept is waited for no longer, because there is another path.
    pub(super) accept_until: Option<Timestamp>,
    /// How long after the carrier began to dial the offer is waited for, because there is another path.
    pub(super) offer_within: Option<Duration>,
    /// Since when the carrier dials, as its first report tells.
    pub(super) leg_since: Option<Timestamp>,
    /// A provider that refuses encrypted sound is dialled once more without it.
    pub(super) is_plain_taken: bool,
    /// The leg of the path that was left could not be ended: the carrier goes on when it has rung long enough.
    pub(super) leg_rings_on: bool,
    pub(super) leg_over_at: Option<Timestamp>,
    /// The carrier said that the dial was over and the caller was not.
    pub(super) caller_stayed: bool,
    /// The carrier ended the leg to the provider because its time was up.
    pub(super) is_out_of_time: bool,
    /// A transfer that the carrier has not been seen to follow.
    pub(super) handover: Option<Handover>,
    /// The carrier was asked itself to hand the caller on.
    pub(super) is_redirected: bool,
    /// What became of tools, which the session that asked for them did not tell: to be told to the next session.
    pub(super) untold: Vec<String>,
    /// What the provider was asked for when the sideband was there again.
    pub(super) reading: ReadBack,
    next_command: u64,
    pub(super) actions: Vec<Action>,
    pub(super) record_changed: bool,
}

/// Keys pressed so far, told to the model together.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) digits: String,
    pub(super) started: Timestamp,
    pub(super) last: Timestamp,
    pub(super) model_knows: bool,
}

/// Since when nobody has spoken, and how often the caller was asked about it.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    pub(super) since: Option<Timestamp>,
    pub(super) asked: u8,
}

/// How a call comes into being.
#[derive(Debug)]
pub struct Beginning {
    /// Its id.
    pub id: CallId,
    /// How audio will reach the model.
    pub path: Path,
    /// Who calls, normalised.
    pub caller: Option<String>,
    /// The dialled number, normalised.
    pub callee: Option<String>,
    /// The route that took it.
    pub route: Option<String>,
    /// The carrier's side, where a carrier asked.
    pub carrier: Option<Carrier>,
    /// When the carrier asked.
    pub carrier_asked: Option<Timestamp>,
    /// The route's variables.
    pub vars: std::collections::BTreeMap<String, String>,
    /// The path that is left should the first one fail.
    pub other_path: Option<Path>,
    /// The path that was not taken, because it failed for others just before.
    pub avoided: Option<Path>,
}

impl Call {
    /// A call that just began: the carrier asked, or the provider offers it without a carrier.
    pub fn begin(beginning: Beginning) -> Call {
        Call::from_record(CallRecord {
            v: FORMAT,
            id: beginning.id,
            state: State::Dialing,
            path: beginning.path,
            caller: beginning.caller,
            callee: beginning.callee,
            route: beginning.route,
            session: None,
            vars: beginning.vars,
            carrier: beginning.carrier,
            provider: None,
            stages: Stages { carrier_asked: beginning.carrier_asked, ..Stages::default() },
            ended: None,
            counts: Counts::default(),
            usage: Usage::default(),
            cost_usd: None,
            consent: None,
            handed_to: None,
            handed: None,
            heard: Heard::default(),
            other_path: beginning.other_path,
            avoided: beginning.avoided,
            moved: None,
            interrupted: None,
        })
    }

    /// A call as it was kept: one that has not been offered yet, or that is over. One that was in the middle of
    /// something is restored, see [`Remembered`](super::resume::Remembered).
    pub fn from_record(record: CallRecord) -> Call {
        Call {
            record,
            terms: None,
            redaction: Redaction::default(),
            transcript: Transcript::default(),
            turns: Turns::default(),
            remote_tools: 0,
            tools: Tools::default(),
            leave: Leave::default(),
            sideband: Sideband::default(),
            keys: None,
            quiet: Quiet::default(),
            is_time_warned: false,
            is_greeting: false,
            greets_again: false,
            listening: Listening::default(),
            fillers: Fillers::default(),
            pressed: None,
            waiting_wishes: Vec::new(),
            forward_to: None,
            accept_until: None,
            offer_within: None,
            leg_since: None,
            leg_rings_on: false,
            is_plain_taken: false,
            leg_over_at: None,
            caller_stayed: false,
            is_out_of_time: false,
            handover: None,
            is_redirected: false,
            untold: Vec::new(),
            reading: ReadBack::default(),
            next_command: 1,
            actions: Vec::new(),
            record_changed: false,
        }
    }

    /// Nothing is kept or shown from now on that matches these patterns.
    pub fn redact(&mut self, redaction: Redaction) {
        self.redaction = redaction;
    }

    /// Claims that nothing more will happen, but for late words of the carrier.
    pub fn is_over(&self) -> bool {
        self.record.state == State::Ended
    }

    /// The terms it was answered on, once it was offered.
    pub fn terms(&self) -> Option<&Terms> {
        self.terms.as_ref()
    }

    /// Claims that somebody still waits for what this tool call answers.
    pub fn awaits_tool(&self, id: &ToolCallId) -> bool {
        self.tools.is_running(id)
    }

    /// Claims that the provider has not said yet that it took an answer or began the turn that it was asked for: another
    /// process could not know whether to ask again.
    pub fn awaits_provider(&self) -> bool {
        self.is_up() && (self.turns.is_requested() || !self.tools.unacknowledged().is_empty())
    }

    /// The tools that run now, or are about to.
    pub fn running_tools(&self) -> impl Iterator<Item = &str> {
        self.tools.begun()
    }

    /// The row of keys that was pressed since this was last asked; it is kept nowhere.
    pub fn take_pressed(&mut self) -> Option<String> {
        self.pressed.take()
    }

    /// Whether the caller speaks now, and whether the caller hears the assistant.
    pub fn speaking(&self) -> (bool, bool) {
        let is_live = self.record.state == State::Live;
        let (caller, assistant) =
            (self.transcript.caller_is_speaking(), self.transcript.assistant_is_audible());
        (is_live && caller, is_live && assistant)
    }

    /// What is being said, where it has grown since this was last asked.
    pub fn take_grown(&mut self) -> Vec<Growing> {
        let grown = self.transcript.take_grown();
        grown.into_iter().filter_map(|growing| self.redaction.of_growing(growing)).collect()
    }

    /// When [`Event::Deadline`] is wanted at the latest.
    pub fn deadline(&self) -> Option<Timestamp> {
        if self.is_over() {
            return None;
        }
        let is_dialing = self.record.state == State::Dialing;
        let outer = if is_dialing { self.offered_by() } else { self.sideband.deadline() };
        let leg = self.leg_over_at.map(|at| at + LEG_OVER_GRACE);
        let is_live = self.record.state == State::Live;
        let conversation = if is_live { self.conversation_deadline() } else { None };
        let answers = [self.accept_until, self.offer_late_at(), self.handover_deadline()];
        [outer, leg, conversation].into_iter().chain(answers).flatten().min()
    }

    /// Something happened `now`: says what to do, in this order.
    pub fn step(&mut self, event: Event, now: Timestamp) -> Vec<Action> {
        match event {
            Event::Carrier(event) => self.on_carrier(event, now),
            Event::Offered(offer) => self.on_offer(*offer, now),
            Event::Noted { kind, detail } => self.note(kind, Some(&detail), now),
            Event::RedirectAnswered(answer) => self.on_redirect_answer(answer, now),
            Event::LegEnded(answer) => self.on_leg_ended(answer, now),
            Event::Stream(event) => self.on_stream(event, now),
            Event::CarrierAnswered(status) => self.on_carrier_answer(status, now),
            _ if self.is_over() => {}
            Event::TakenUp(taken_up) => self.on_taken_up(&taken_up, now),
            Event::AcceptSent => self.on_accept_sent(now),
            Event::AcceptAnswered(answer) => self.on_accept_answer(answer, now),
            Event::AttachFailed(failure) => self.on_attach_failure(failure, now),
            Event::Provider(ProviderEvent::Attached { expires_at, padding }) => {
                self.on_attached(expires_at, padding, now);
            }
            Event::Provider(event) => self.on_provider(event, now),
            Event::SidebandLost(code) => self.on_sideband_lost(code, now),
            Event::ReferAnswered(answer) => self.on_refer_answer(answer, now),
            Event::ToolFinished(finished) => self.on_tool_finished(&finished, now),
            Event::ToolDeferred(id) => self.on_tool_deferred(&id, now),
            Event::Command(Command::HangUp) => self.on_hang_up_command(now),
            Event::Wished(wished) => self.on_wished(wished, now),
            Event::Deadline => self.on_deadline(now),
        }
        self.keep_lines();
        if std::mem::take(&mut self.record_changed) {
            self.actions.push(Action::Keep(Keep::Record));
        }
        let mut actions = std::mem::take(&mut self.actions);
        self.redaction.apply(&mut actions);
        actions
    }

    /// Ends a call that no provider will ever be asked about: turned away, forwarded or apologised to.
    pub fn end_at_the_door(&mut self, reason: EndedReason, detail: Option<String>, now: Timestamp) {
        self.end(reason, detail, now);
        self.actions.clear();
    }

    // === the operator ===

    fn on_hang_up_command(&mut self, now: Timestamp) {
        let what = self.leave.want_now(Exit::Operator, now);
        match self.record.state {
            State::Dialing => self.end(EndedReason::Operator, None, now),
            // The accept is on its way; whatever its answer is, the call ends with it.
            State::Offered => {}
            State::Accepted => {
                self.actions.push(Action::HangUp);
                self.end(EndedReason::Operator, None, now);
            }
            State::Live | State::Ended => self.do_leave(what, now),
        }
    }

    // === time ===

    fn offered_by(&self) -> Option<Timestamp> {
        let within = if self.record.path == Path::MediaStreams { STREAM_WITHIN } else { OFFERED_WITHIN };
        if self.record.awaits_return() {
            return Some(self.record.broken_off()? + RETURNS_WITHIN);
        }
        if let Some(moved) = &self.record.moved {
            return Some(moved.at + if self.leg_rings_on { OFFERED_WITHIN } else { within });
        }
        let announced = self.record.consent.as_ref().map_or(Duration::ZERO, Consent::spoken_within);
        Some(self.record.stages.carrier_asked? + announced + within)
    }

    fn on_deadline(&mut self, now: Timestamp) {
        let is_due = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        if is_due(self.sideband.deadline()) {
            return self.on_sideband_late(now);
        }
        if self.accept_until.take_if(|until| *until <= now).is_some() && self.record.state == State::Offered {
            return self.on_accept_late(now);
        }
        if is_due(self.offer_late_at()) {
            return self.on_offer_late(now);
        }
        if self.on_handover_deadline(now) {
            return;
        }
        let is_leg_over = self.leg_over_at.is_some_and(|at| at + LEG_OVER_GRACE <= now);
        match self.record.state {
            State::Offered | State::Accepted if is_leg_over => self.end_early(now),
            State::Live if is_leg_over => {
                self.actions.push(Action::HangUp);
                self.end_gone(now);
            }
            State::Live => self.on_conversation_deadline(now),
            State::Dialing if is_due(self.offered_by()) && self.record.awaits_return() => {
                self.end_lost("the caller did not come back", now);
            }
            State::Dialing if is_due(self.offered_by()) => {
                let (reason, why) = match self.record.path {
                    Path::MediaStreams => (EndedReason::LegFailed, NO_STREAM),
                    _ => (EndedReason::ProviderSilent, "no webhook, no report"),
                };
                self.end(reason, Some(why.to_owned()), now);
            }
            _ => {}
        }
    }

    // === the end ===

    /// The call is over at the provider: why, as far as it can be known.
    pub(super) fn end_gone(&mut self, now: Timestamp) {
        let reason = match self.leave.asked() {
            Some(exit) => reason_of(exit),
            None if self.caller_stayed && self.is_out_of_time => EndedReason::MaxDuration,
            None if self.caller_stayed => EndedReason::ProviderDropped,
            None => EndedReason::CallerHangup,
        };
        self.end(reason, None, now);
    }

    pub(super) fn end(&mut self, reason: EndedReason, detail: Option<String>, now: Timestamp) {
        self.keep_keys();
        self.note_lost_wishes(now);
        self.transcript.flush(now);
        for cancelled in self.tools.cancel_all(now) {
            self.actions.push(Action::Keep(Keep::ToolCall(cancelled)));
        }
        self.sideband = Sideband::Down;
        self.record.state = State::Ended;
        self.record.stages.ended = Some(now);
        self.record.ended = Some(Ended { reason, detail });
        self.record_changed = true;
    }

    pub(super) fn do_leave(&mut self, what: Do, now: Timestamp) {
        match what {
            Do::Nothing => {}
            Do::AskForGoodbye => self.ask_for_goodbye(now),
            Do::Go(Exit::Transfer(target) | Exit::Forward(target)) => {
                self.note("transfer.asked", None, now);
                self.record.handed_to = Some(target.clone());
                self.record_changed = true;
                self.actions.push(Action::Refer { target });
            }
            Do::Go(_) => self.actions.push(Action::HangUp),
            Do::GiveUp(exit) => self.end(reason_of(&exit), Some("the provider did not end it".into()), now),
            Do::TransferFailed => self.on_transfer_late(now),
        }
    }

    // === helpers of the whole life ===

    pub(super) fn send(&mut self, command: ProviderCommand) -> CommandId {
        let id = CommandId(self.next_command);
        self.next_command += 1;
        self.actions.push(Action::Send(id, command));
        id
    }

    pub(super) fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    pub(super) fn record_has_changed(&mut self) {
        self.record_changed = true;
    }

    /// Keeps an event for the person who asks why.
    pub(super) fn note(&mut self, kind: &str, detail: Option<&str>, now: Timestamp) {
        let is_flooding = kind.starts_with("provider.") || kind.starts_with("wish.");
        let events_max = if is_flooding { FLOODING_EVENTS_MAX } else { EVENTS_MAX };
        if self.record.counts.events >= events_max {
            return;
        }
        let data = detail.and_then(|detail| {
            let json = serde_json::json!({ "detail": detail.chars().take(300).collect::<String>() });
            RawValue::from_string(json.to_string()).ok()
        });
        let event =
            EventRecord { v: FORMAT, n: self.record.counts.events, at: now, kind: kind.to_owned(), data };
        self.record.counts.events += 1;
        self.record_changed = true;
        self.actions.push(Action::Keep(Keep::Event(event)));
    }

    fn keep_lines(&mut self) {
        for line in self.transcript.take_changed() {
            self.record_changed |= self.record.counts.lines != self.transcript.line_count();
            self.actions.push(Action::Keep(Keep::Line(line)));
        }
        self.record.counts.lines = self.record.counts.lines.max(self.transcript.line_count());
    }
}

fn reason_of(exit: &Exit) -> EndedReason {
    match exit {
        Exit::HangUp | Exit::Silence => EndedReason::AssistantHangup,
        Exit::TimeOver => EndedReason::MaxDuration,
        Exit::Operator => EndedReason::Operator,
        Exit::Transfer(_) => EndedReason::Transferred,
        Exit::Forward(_) => EndedReason::Forwarded,
    }
}
