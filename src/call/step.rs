//! The life of one call as a pure function.
//!
//! [`Call::step`] takes what just happened and says what to do next. It never waits, reads no clock
//! and opens nothing, so that every path can be tested with a table and replayed from a record. An
//! event that makes no sense where the call stands is ignored or noted; it is never an error.
//!
//! This file has the outer life: offered, accepted, attached, lost, ended. What happens while a call
//! is up is in `conversation`.

use std::time::Duration;

use serde_json::value::RawValue;

use super::carrier::{self, Meaning};
use super::conversation::BEFORE_EXPIRY;
use super::event::{
    AcceptAnswer, Action, AttachFailure, CarrierEvent, Command, CommandId, Event, Keep, Offer,
    ProviderCommand, ProviderEvent, SpeechPadding, Verdict,
};
use super::leave::{Do, Exit, Leave};
use super::record::{
    CallRecord, Carrier, Counts, Ended, EndedReason, EventRecord, FORMAT, Path, Provider, Stages, State,
    Usage,
};
use super::terms::Terms;
use super::tools::Tools;
use super::transcript::Transcript;
use super::turns::Turns;
use crate::clock::Timestamp;
use crate::ids::CallId;

/// How long after the accept the sideband may be refused as not found (it takes a moment to exist).
const ATTACH_WITHIN: Duration = Duration::from_secs(5);
/// Between two tries of that kind.
const ATTACH_RETRY: Duration = Duration::from_millis(250);
/// How long a provider may take to confirm the session once the sideband is open.
const CONFIRM_WITHIN: Duration = Duration::from_secs(6);
/// Pauses before the tries to get a lost sideband back; after the last one the call counts as over.
const REATTACH_AFTER: [Duration; 5] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];
/// How long the carrier may wait for the provider before a call that nobody offered is given up. The
/// carrier's own dial timeout is at most 600 s; its report comes first in all ordinary cases.
const OFFERED_WITHIN: Duration = Duration::from_secs(660);
/// How long after the carrier's leg ended the sideband may stay up before we hang up ourselves.
const LEG_OVER_GRACE: Duration = Duration::from_secs(3);
/// The SIP code for a call that is over before the provider offers it: temporarily unavailable.
const TOO_LATE: u16 = 480;
/// How many events are kept for a person to read; a flood beyond that is dropped.
const EVENTS_MAX: u32 = 500;
/// How many of them may be the provider's errors and unknown words, which can come in floods.
const PROVIDER_EVENTS_MAX: u32 = 400;

/// One call: what is kept of it, and what it is in the middle of.
#[derive(Debug)]
pub struct Call {
    /// What is kept.
    pub record: CallRecord,
    pub(super) terms: Option<Terms>,
    pub(super) transcript: Transcript,
    pub(super) turns: Turns,
    pub(super) tools: Tools,
    pub(super) leave: Leave,
    pub(super) sideband: Sideband,
    pub(super) keys: Option<Keys>,
    pub(super) quiet: Quiet,
    pub(super) is_time_warned: bool,
    /// The greeting was asked for; turn detection waits for its end.
    pub(super) is_greeting: bool,
    /// Turn detection that was set, and of which the provider has not said that it is.
    pub(super) unconfirmed_turn_detection: Option<Box<RawValue>>,
    forward_to: Option<String>,
    leg_over_at: Option<Timestamp>,
    /// The carrier said that the dial was over and the caller was not.
    caller_stayed: bool,
    next_command: u64,
    actions: Vec<Action>,
    record_changed: bool,
}

/// Where the sideband is.
#[derive(Debug, Default)]
pub(super) enum Sideband {
    /// Not wanted yet, or no more.
    #[default]
    Down,
    /// Being opened for the first time, since the accept.
    Opening { since: Timestamp },
    /// The provider confirmed the session.
    Up,
    /// Lost; the `tries`th try to get it back is under way, and is over at the latest then.
    Lost { since: Timestamp, tries: usize, until: Timestamp },
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
        })
    }

    /// A call as it was kept: one that has not been offered yet, or that is over.
    pub fn from_record(record: CallRecord) -> Call {
        Call {
            record,
            terms: None,
            transcript: Transcript::default(),
            turns: Turns::default(),
            tools: Tools::default(),
            leave: Leave::default(),
            sideband: Sideband::default(),
            keys: None,
            quiet: Quiet::default(),
            is_time_warned: false,
            is_greeting: false,
            unconfirmed_turn_detection: None,
            forward_to: None,
            leg_over_at: None,
            caller_stayed: false,
            next_command: 1,
            actions: Vec::new(),
            record_changed: false,
        }
    }

    /// Claims that nothing more will happen, but for late words of the carrier.
    pub fn is_over(&self) -> bool {
        self.record.state == State::Ended
    }

    /// The terms it was answered on, once it was offered.
    pub fn terms(&self) -> Option<&Terms> {
        self.terms.as_ref()
    }

    /// When [`Event::Deadline`] is wanted at the latest.
    pub fn deadline(&self) -> Option<Timestamp> {
        if self.is_over() {
            return None;
        }
        let outer = match (self.record.state, &self.sideband) {
            (State::Dialing, _) => self.record.stages.carrier_asked.map(|at| at + OFFERED_WITHIN),
            (_, Sideband::Opening { since }) => Some(*since + ATTACH_WITHIN + CONFIRM_WITHIN),
            (_, Sideband::Lost { until, .. }) => Some(*until),
            _ => None,
        };
        let leg = self.leg_over_at.map(|at| at + LEG_OVER_GRACE);
        let is_live = self.record.state == State::Live;
        let conversation = if is_live { self.conversation_deadline() } else { None };
        [outer, leg, conversation].into_iter().flatten().min()
    }

    /// Something happened `now`: says what to do, in this order.
    pub fn step(&mut self, event: Event, now: Timestamp) -> Vec<Action> {
        match event {
            Event::Carrier(event) => self.on_carrier(event, now),
            Event::Offered(offer) => self.on_offer(*offer, now),
            _ if self.is_over() => {}
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
            Event::Command(Command::HangUp) => self.on_hang_up_command(now),
            Event::Deadline => self.on_deadline(now),
        }
        self.keep_lines();
        if std::mem::take(&mut self.record_changed) {
            self.actions.push(Action::Keep(Keep::Record));
        }
        std::mem::take(&mut self.actions)
    }

    /// Keeps a new call; the first thing done with one that the carrier asked about.
    pub fn keep_new(&mut self) -> Vec<Action> {
        vec![Action::Keep(Keep::Record)]
    }

    /// Ends a call that no provider will ever be asked about: turned away, forwarded or apologised to.
    pub fn end_at_the_door(&mut self, reason: EndedReason, detail: Option<String>, now: Timestamp) {
        self.end(reason, detail, now);
        self.actions.clear();
    }

    // === offered and accepted ===

    fn on_offer(&mut self, offer: Offer, now: Timestamp) {
        if self.record.provider.is_some() {
            if !self.is_over() {
                self.note("offer.again", None, now);
            }
            return;
        }
        self.record.stages.webhook_created = Some(offer.created);
        self.record.stages.webhook_received = Some(offer.received);
        self.record.provider = Some(Provider {
            name: offer.provider.to_owned(),
            call_id: offer.call_id,
            webhook_id: offer.webhook_id,
            joined_by: offer.joined_by,
            model: None,
            expires_at: None,
            reattached: 0,
            sip_headers: offer.sip_headers,
        });
        self.record_changed = true;
        if self.is_over() {
            // The caller is gone, or was hung up: what still rings at the provider shall stop.
            return self.actions.push(Action::Reject { sip_code: TOO_LATE });
        }
        self.record.state = State::Offered;
        if self.record.carrier.as_ref().is_some_and(carrier::leg_is_over) {
            self.leg_over_at = Some(now);
        }
        match offer.verdict {
            Verdict::Answer(terms) => self.answer(*terms),
            Verdict::Forward { target, terms } => {
                self.forward_to = Some(target);
                self.answer(*terms);
            }
            Verdict::Refuse { sip_code, reason, detail } => {
                self.actions.push(Action::Reject { sip_code });
                self.end(reason, detail, now);
            }
        }
    }

    fn answer(&mut self, terms: Terms) {
        self.record.session = Some(terms.session.clone());
        if let Some(provider) = &mut self.record.provider {
            provider.model = Some(terms.model.clone());
        }
        self.terms = Some(terms);
        self.actions.push(Action::Accept);
    }

    fn on_accept_sent(&mut self, now: Timestamp) {
        if self.record.state == State::Offered && self.record.stages.accept_sent.is_none() {
            self.record.stages.accept_sent = Some(now);
            self.record_changed = true;
        }
    }

    fn on_accept_answer(&mut self, answer: AcceptAnswer, now: Timestamp) {
        if self.record.state != State::Offered {
            return;
        }
        if self.leave.asked().is_some() {
            return self.end_unwanted(&answer, now);
        }
        match answer {
            AcceptAnswer::Ok => self.open_sideband(now),
            // An attached sideband proves that the accept worked; a second accept never would.
            AcceptAnswer::AlreadyDecided => {
                self.note("accept.already_decided", None, now);
                self.open_sideband(now);
            }
            AcceptAnswer::Unclear(why) => {
                self.note("accept.unclear", Some(&why), now);
                self.open_sideband(now);
            }
            AcceptAnswer::Gone => self.end(EndedReason::CallerGone, None, now),
            AcceptAnswer::Refused(why) => {
                // Turned away at once, the carrier goes on at once; silent, it would wait for its timeout.
                self.actions.push(Action::Reject { sip_code: 503 });
                self.end(EndedReason::AcceptFailed, Some(why), now);
            }
        }
    }

    /// The call was hung up while the accept was on its way.
    fn end_unwanted(&mut self, answer: &AcceptAnswer, now: Timestamp) {
        match answer {
            AcceptAnswer::Gone => {}
            AcceptAnswer::Refused(_) => self.actions.push(Action::Reject { sip_code: TOO_LATE }),
            AcceptAnswer::Ok | AcceptAnswer::AlreadyDecided | AcceptAnswer::Unclear(_) => {
                self.actions.push(Action::HangUp);
            }
        }
        self.end_gone(now);
    }

    fn open_sideband(&mut self, now: Timestamp) {
        self.record.state = State::Accepted;
        self.record.stages.accepted = Some(now);
        // The audio starts after the call was offered.
        let earliest = self.record.stages.webhook_received.unwrap_or(now);
        self.transcript.set_earliest(earliest);
        self.record_changed = true;
        self.sideband = Sideband::Opening { since: now };
        self.actions.push(Action::Attach { after: Duration::ZERO });
    }

    // === the sideband ===

    fn on_attached(&mut self, expires_at: Option<Timestamp>, padding: SpeechPadding, now: Timestamp) {
        if matches!(self.sideband, Sideband::Down) {
            return;
        }
        self.transcript.set_padding(padding);
        if let Some(provider) = &mut self.record.provider {
            // A session that was just confirmed has not expired, whatever its clock says.
            let expires_at = expires_at.filter(|at| *at > now + BEFORE_EXPIRY);
            provider.expires_at = expires_at.or(provider.expires_at);
        }
        self.record_changed = true;
        match std::mem::replace(&mut self.sideband, Sideband::Up) {
            Sideband::Lost { since, .. } => self.on_found_again(since, now),
            Sideband::Opening { .. } => self.on_up(now),
            Sideband::Up | Sideband::Down => {}
        }
    }

    fn on_up(&mut self, now: Timestamp) {
        self.record.state = State::Live;
        self.record.stages.attached = Some(now);
        self.quiet.since = Some(now);
        match self.forward_to.take() {
            Some(target) => {
                let what = self.leave.want_now(Exit::Forward(target), now);
                self.do_leave(what, now);
            }
            None => self.greet(now),
        }
    }

    /// What happened meanwhile is not told again; what was to be said is said now.
    fn on_found_again(&mut self, since: Timestamp, now: Timestamp) {
        if let Some(provider) = &mut self.record.provider {
            provider.reattached += 1;
        }
        let gap = format!("{} ms", now.since(since).as_millis());
        self.note("sideband.reattached", Some(&gap), now);
        self.quiet.since = Some(now);
        self.resend_turn_detection();
        self.resend_tool_results();
        self.go_on(now);
    }

    fn on_attach_failure(&mut self, failure: AttachFailure, now: Timestamp) {
        match self.sideband {
            Sideband::Opening { since } => {
                let may_retry = !matches!(failure, AttachFailure::Denied(_));
                if may_retry && now.since(since) < ATTACH_WITHIN {
                    self.actions.push(Action::Attach { after: ATTACH_RETRY });
                } else {
                    self.cannot_serve(describe(&failure), now);
                }
            }
            Sideband::Lost { .. } if failure == AttachFailure::NotFound => self.end_gone(now),
            Sideband::Lost { since, tries, .. } => self.reattach(since, tries, describe(&failure), now),
            Sideband::Down | Sideband::Up => {}
        }
    }

    fn on_sideband_lost(&mut self, code: Option<u16>, now: Timestamp) {
        match self.sideband {
            Sideband::Up => {}
            // It opened and fell before the session was confirmed: as good as not opened.
            Sideband::Opening { .. } | Sideband::Lost { .. } => {
                let why = "closed before the session was confirmed".to_owned();
                return self.on_attach_failure(AttachFailure::Passing(why), now);
            }
            Sideband::Down => return,
        }
        // Asked to end, or the carrier says so: this is the end that was expected.
        if self.leg_over_at.is_some() || self.leave.asked().is_some() {
            return self.end_gone(now);
        }
        if let Some(command) = self.turns.lost() {
            self.tools.not_continued(command);
        }
        self.transcript.lost();
        self.leave.sideband_lost(now);
        let code = code.map_or("no close frame".to_owned(), |code| format!("close code {code}"));
        self.note("sideband.lost", Some(&code), now);
        self.reattach(now, 0, code, now);
    }

    fn reattach(&mut self, since: Timestamp, tries: usize, why: String, now: Timestamp) {
        match REATTACH_AFTER.get(tries) {
            Some(after) => {
                let until = now + *after + CONFIRM_WITHIN;
                self.sideband = Sideband::Lost { since, tries: tries + 1, until };
                self.actions.push(Action::Attach { after: *after });
            }
            None if self.leave.asked().is_some() => self.end_gone(now),
            None => {
                self.actions.push(Action::HangUp);
                self.end(EndedReason::ProviderDropped, Some(why), now);
            }
        }
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.sideband, Sideband::Up)
    }

    /// Accepted, but there is no way to talk with the session: the caller must not hang there.
    fn cannot_serve(&mut self, why: String, now: Timestamp) {
        self.actions.push(Action::HangUp);
        self.end(EndedReason::AttachFailed, Some(why), now);
    }

    // === the carrier ===

    fn on_carrier(&mut self, event: CarrierEvent, now: Timestamp) {
        let Some(carrier) = &mut self.record.carrier else { return };
        let before = carrier.clone();
        let meaning = carrier::apply(carrier, event);
        self.record_changed |= *carrier != before;
        match meaning {
            Meaning::LegAnswered => {
                self.record.stages.leg_answered.get_or_insert(now);
            }
            Meaning::LegOver | Meaning::DialOver | Meaning::CallerGone => self.on_leg_over(meaning, now),
            Meaning::Nothing | Meaning::Noted => {}
        }
    }

    fn on_leg_over(&mut self, meaning: Meaning, now: Timestamp) {
        self.caller_stayed |= meaning == Meaning::DialOver;
        match (self.record.state, meaning) {
            // Only the leg: the result of the dial follows and says more.
            (State::Dialing, Meaning::LegOver) => {}
            (State::Dialing, Meaning::CallerGone) => self.end(EndedReason::CallerGone, None, now),
            (State::Dialing, _) => self.end(EndedReason::ProviderSilent, self.sip_result(), now),
            (State::Live, _) if matches!(self.sideband, Sideband::Lost { .. }) => self.end_gone(now),
            // Likewise, but not for long: the model must not talk to nobody.
            (State::Offered | State::Accepted, Meaning::LegOver) | (State::Live, _) => {
                self.leg_over_at.get_or_insert(now);
            }
            (State::Offered | State::Accepted, _) => self.end_early(now),
            (State::Ended, _) => self.correct_reason(),
        }
    }

    /// The leg ended before the sideband was up.
    fn end_early(&mut self, now: Timestamp) {
        self.actions.push(Action::HangUp);
        let carrier = self.record.carrier.as_ref();
        let reason = match carrier.and_then(|carrier| carrier.leg_status.as_deref()) {
            _ if carrier.is_some_and(carrier::caller_is_gone) => EndedReason::CallerGone,
            Some("completed") if self.caller_stayed => EndedReason::ProviderDropped,
            Some("busy" | "failed" | "no-answer") => EndedReason::LegFailed,
            _ if self.caller_stayed => EndedReason::LegFailed,
            _ => EndedReason::CallerGone,
        };
        let detail = if reason == EndedReason::CallerGone { None } else { self.sip_result() };
        self.end(reason, detail, now);
    }

    /// The socket and the leg ended, and later the carrier says that the caller is still there.
    fn correct_reason(&mut self) {
        if let Some(ended) = &mut self.record.ended
            && ended.reason == EndedReason::CallerHangup
            && self.caller_stayed
        {
            ended.reason = EndedReason::ProviderDropped;
            self.record_changed = true;
        }
    }

    fn sip_result(&self) -> Option<String> {
        let code = self.record.carrier.as_ref()?.sip_code?;
        Some(format!("SIP {code}"))
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

    fn on_deadline(&mut self, now: Timestamp) {
        if self.record.state == State::Dialing && self.deadline().is_some_and(|at| at <= now) {
            return self.end(EndedReason::ProviderSilent, Some("no webhook, no report".to_owned()), now);
        }
        if let Sideband::Opening { since } = self.sideband
            && since + ATTACH_WITHIN + CONFIRM_WITHIN <= now
        {
            return self.cannot_serve("the session was not confirmed in time".to_owned(), now);
        }
        if let Sideband::Lost { since, tries, until } = self.sideband
            && until <= now
        {
            let why = "the session was not confirmed in time".to_owned();
            return self.reattach(since, tries, why, now);
        }
        let is_leg_over = self.leg_over_at.is_some_and(|at| at + LEG_OVER_GRACE <= now);
        match self.record.state {
            State::Offered | State::Accepted if is_leg_over => self.end_early(now),
            State::Live if is_leg_over => {
                self.actions.push(Action::HangUp);
                self.end_gone(now);
            }
            State::Live => self.on_conversation_deadline(now),
            _ => {}
        }
    }

    // === the end ===

    /// The call is over at the provider: why, as far as it can be known.
    pub(super) fn end_gone(&mut self, now: Timestamp) {
        let reason = match self.leave.asked() {
            Some(exit) => reason_of(exit),
            None if self.caller_stayed => EndedReason::ProviderDropped,
            None => EndedReason::CallerHangup,
        };
        self.end(reason, None, now);
    }

    pub(super) fn end(&mut self, reason: EndedReason, detail: Option<String>, now: Timestamp) {
        self.keep_keys();
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
                self.actions.push(Action::Refer { target });
            }
            Do::Go(_) => self.actions.push(Action::HangUp),
            Do::GiveUp(exit) => self.end(reason_of(&exit), Some("the provider did not end it".into()), now),
            Do::TransferFailed => self.transfer_failed("nothing happened in time", now),
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
        let events_max = if kind.starts_with("provider.") { PROVIDER_EVENTS_MAX } else { EVENTS_MAX };
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

fn describe(failure: &AttachFailure) -> String {
    match failure {
        AttachFailure::NotFound => "the provider does not know the call (404)".to_owned(),
        AttachFailure::Denied(status) => format!("the provider denied the sideband ({status})"),
        AttachFailure::Passing(why) => why.clone(),
    }
}
