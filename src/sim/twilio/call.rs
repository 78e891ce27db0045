//! One call: asks for TwiML, does what it says, until nobody is left on the line.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::courier::{Courier, Errand};
use super::form::{Fields, ParentLeg, pairs, rfc_2822};
use super::report::{CarrierReport, Delivery, Heard, RequestKind};
use super::rest::{Order, Orders};
use super::web::{path, sid};
use super::{CallerSetup, STATUS_PATH, Shared, VOICE_PATH};
use crate::clock::Entropy;
use crate::sim::log::Party;
use crate::sim::twiml::{Document, Record, RejectReason, Request, Verb};

/// A gateway that keeps redirecting is stopped here.
const DOCUMENTS_MAX: usize = 50;
/// From dialling to the voice request.
const RING_DELAY: Duration = Duration::from_millis(60);
/// From the end of a call to the status callback.
const STATUS_DELAY: Duration = Duration::from_millis(40);
/// How often it is looked whether the gateway listens again.
const LISTENS_AGAIN: Duration = Duration::from_millis(20);
/// How long the carrier's voice takes for one character.
const SPEECH_PER_CHARACTER: Duration = Duration::from_millis(130);

/// What to do after a verb.
pub(super) enum Flow {
    /// The next verb.
    Continue,
    /// Another document.
    Fetch(Errand),
    /// This document, brought over the REST API.
    CarryOut(Document),
    /// Nothing more.
    End,
}

/// A call under way.
pub(super) struct CallRun {
    pub shared: Arc<Shared>,
    pub caller: CallerSetup,
    pub sid: String,
    /// For the ids of this call's legs.
    pub entropy: Entropy,
    pub courier: Courier,
    pub report: CarrierReport,
    /// Where the document being carried out came from; relative URLs start there.
    document_url: String,
    leaves_at: Instant,
    /// What the REST API wants of the call.
    pub orders: Orders,
    /// What is told of recordings once the call is over.
    pub late: Vec<Errand>,
    /// What the caller says over a stream, where that is no speech of the script.
    pub voice: Option<Vec<u8>>,
}

/// Plays the call of `caller` to its end.
pub(super) async fn run(shared: Arc<Shared>, caller: CallerSetup, voice: Option<Vec<u8>>) -> CarrierReport {
    let mut call = CallRun::dial_in(shared, caller);
    call.voice = voice;
    call.shared.pass(RING_DELAY).await;
    call.follow_documents().await;
    call.finish().await
}

impl CallRun {
    fn dial_in(shared: Arc<Shared>, caller: CallerSetup) -> CallRun {
        let entropy = shared.own_entropy();
        let sid = sid("CA", &entropy);
        shared.options.log.say(Party::Caller, Party::Twilio, || format!("calls {}", caller.to));
        let patience = caller.hangs_up_after.map_or(caller.time_limit, |after| after.min(caller.time_limit));
        CallRun {
            leaves_at: Instant::now() + shared.pace.real(patience),
            courier: Courier::start(Arc::clone(&shared), caller.faults.clone()),
            report: empty_report(sid.clone(), &shared),
            document_url: shared.web.public(VOICE_PATH),
            orders: Orders::of_call(shared.rest.as_ref(), &sid),
            late: Vec::new(),
            voice: None,
            shared,
            caller,
            sid,
            entropy,
        }
    }

    async fn follow_documents(&mut self) {
        let note = format!("{}  {} → {}", short(&self.sid), self.caller.from, self.caller.to);
        let url = self.shared.web.public(VOICE_PATH);
        let mut next = Flow::Fetch(Errand::post(RequestKind::Voice, url, self.parent_fields(), note));
        for _ in 0..DOCUMENTS_MAX {
            let document = match next {
                Flow::Fetch(errand) => self.fetch(errand).await,
                Flow::CarryOut(document) => Some(document),
                Flow::Continue | Flow::End => return,
            };
            let Some(document) = document else {
                match self.fallback().await {
                    Some(errand) => next = Flow::Fetch(errand),
                    None => return self.application_error(),
                }
                continue;
            };
            if self.is_caller_gone() {
                return;
            }
            next = self.carry_out(document).await;
        }
        self.problem(format!("more than {DOCUMENTS_MAX} documents in one call"));
        self.application_error();
    }

    /// What is asked instead, once somebody listens again; none when the number has no fallback, or nobody does.
    async fn fallback(&mut self) -> Option<Errand> {
        let within = Duration::from_millis(self.caller.faults.fallback_within_ms);
        let until = Instant::now() + within;
        let is_unanswered = self
            .report
            .deliveries
            .last()
            .is_some_and(|delivery| delivery.answer.is_err() && delivery.attempts > 0);
        if within.is_zero() || !is_unanswered || self.is_caller_gone() {
            return None;
        }
        while !self.shared.web.is_listening().await {
            if Instant::now() >= until {
                return None;
            }
            tokio::time::sleep(LISTENS_AGAIN).await;
        }
        let mut fields = self.parent_fields();
        fields.extend(pairs(&[("ErrorCode", "11200"), ("ErrorUrl", &self.document_url)]));
        let url = self.shared.web.public(VOICE_PATH);
        Some(Errand::post(RequestKind::Fallback, url, fields, short(&self.sid)))
    }

    /// Asks for a document; none when there is none that could be carried out.
    async fn fetch(&mut self, errand: Errand) -> Option<Document> {
        let deliveries = self.courier.deliver(&errand).await;
        self.document_url = errand.to.url;
        let document = self.judge(&deliveries);
        self.report.deliveries.extend(deliveries);
        if !self.report.caller_hung_up && Instant::now() >= self.leaves_at {
            self.time_is_up();
        }
        document
    }

    /// Reads the document of a delivery, and of its double, which must be the same.
    fn judge(&mut self, deliveries: &[Delivery]) -> Option<Document> {
        let first = deliveries.first()?;
        let path = path(&first.url);
        let answer = match &first.answer {
            Ok(answer) if answer.status == 200 => answer,
            Ok(answer) => {
                self.problem(format!("11200: {path} answered {}", answer.status));
                return None;
            }
            Err(problem) => {
                self.problem(format!("11200: {path}: {problem}"));
                return None;
            }
        };
        self.report.documents.push(answer.text());
        if deliveries.iter().any(|delivery| delivery.answer != first.answer) {
            self.problem(format!("{path}: one request delivered twice got two different answers"));
        }
        match Document::read(answer.content_type.as_deref(), &answer.body) {
            Ok(document) => Some(document),
            Err(problems) => {
                problems.iter().for_each(|problem| self.problem(problem.to_string()));
                None
            }
        }
    }

    async fn carry_out(&mut self, document: Document) -> Flow {
        for verb in document.verbs {
            let flow = match verb {
                Verb::Dial(dial) => self.dial(&dial).await,
                Verb::Connect(stream) => self.stream(&stream).await,
                Verb::Say { text, .. } => self.say(text).await,
                Verb::Record(record) => self.record(&record).await,
                Verb::Pause(seconds) => self.pass(Duration::from_secs(seconds.into())).await,
                Verb::Hangup => Flow::End,
                Verb::Reject(reason) => self.reject(reason),
                Verb::Redirect(request) => {
                    let fields = self.parent_fields();
                    Flow::Fetch(self.errand(RequestKind::Redirect, &request, fields, String::new()))
                }
            };
            if !matches!(flow, Flow::Continue) {
                return flow;
            }
        }
        Flow::End
    }

    async fn say(&mut self, text: String) -> Flow {
        self.answer();
        self.shared.options.log.say(Party::Twilio, Party::Caller, || format!("「{text}」"));
        let characters = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
        self.report.heard.push(Heard::Said(text));
        self.pass(SPEECH_PER_CHARACTER.saturating_mul(characters)).await
    }

    /// The beep, and whatever the caller says after it.
    async fn record(&mut self, record: &Record) -> Flow {
        self.answer();
        self.shared.options.log.say(Party::Twilio, Party::Caller, || "beep".to_owned());
        self.report.heard.push(Heard::Beep);
        let longest = Duration::from_secs(record.length_s.into());
        let Some(message) = self.caller.message.map(|message| message.min(longest)) else {
            return self.pass(Duration::from_secs(record.silence_s.into())).await;
        };
        self.shared.options.log.say(Party::Caller, Party::Twilio, || "leaves a message".to_owned());
        if !matches!(self.pass(message).await, Flow::Continue) {
            return Flow::End;
        }
        let mut fields = self.parent_fields();
        fields.extend(self.keep_message(whole_seconds(message)));
        Flow::Fetch(self.errand(RequestKind::AfterVoicemail, &record.action, fields, String::new()))
    }

    fn reject(&mut self, reason: RejectReason) -> Flow {
        let (status, heard) = match reason {
            RejectReason::Busy => ("busy", Heard::Busy),
            RejectReason::Rejected => ("no-answer", Heard::Rejected),
        };
        self.shared.options.log.answer(Party::Twilio, Party::Caller, || heard.to_string());
        self.report.status = status.to_owned();
        self.report.heard.push(heard);
        Flow::End
    }

    /// Lets simulated time pass while the caller listens.
    async fn pass(&mut self, simulated: Duration) -> Flow {
        let until = Instant::now() + self.shared.pace.real(simulated);
        tokio::select! {
            () = tokio::time::sleep_until(until.min(self.leaves_at)) => {}
            order = self.orders.next() => return self.obey(order),
        }
        if until > self.leaves_at {
            self.time_is_up();
            return Flow::End;
        }
        Flow::Continue
    }

    /// Does what the REST API wants instead of the present document.
    pub fn obey(&mut self, order: Order) -> Flow {
        match order {
            Order::CarryOut(document) => Flow::CarryOut(document),
            Order::HangUp => Flow::End,
        }
    }

    fn application_error(&mut self) {
        if self.is_caller_gone() {
            return;
        }
        self.answer();
        self.shared
            .options
            .log
            .say(Party::Twilio, Party::Caller, || "「an application error has occurred」".into());
        self.report.heard.push(Heard::ApplicationError);
    }

    /// When the caller puts the phone down without being told to by the script.
    pub fn leaves_at(&self) -> Instant {
        self.leaves_at
    }

    /// The caller put the phone down; nothing that is still on the way matters any more.
    pub fn caller_leaves(&mut self) {
        self.report.caller_hung_up = true;
    }

    /// The caller leaves because it is time: by plan, or because the call lasted too long.
    pub fn time_is_up(&mut self) {
        let is_planned = self.caller.hangs_up_after.is_some_and(|after| after <= self.caller.time_limit);
        if !is_planned {
            self.problem(format!("the call lasted longer than {} s", self.caller.time_limit.as_secs()));
        }
        self.shared.options.log.say(Party::Caller, Party::Twilio, || "hangs up".to_owned());
        self.caller_leaves();
    }

    pub fn is_caller_gone(&self) -> bool {
        self.report.caller_hung_up
    }

    /// The caller's call is answered, if it was not before.
    pub fn answer(&mut self) {
        self.report.answered.get_or_insert_with(|| self.shared.options.clock.now());
        self.orders.call_is_answered();
    }

    pub fn problem(&mut self, text: String) {
        self.report.problems.push(text);
    }

    /// A request to a URL of the present document.
    pub fn errand(&self, kind: RequestKind, request: &Request, fields: Fields, note: String) -> Errand {
        let url = self.shared.web.absolute(&self.document_url, &request.url);
        Errand { kind, to: Request { url, method: request.method }, fields, note }
    }

    /// The fields every request about the caller's leg has.
    pub fn parent_fields(&self) -> Fields {
        let status = match self.report.answered {
            _ if self.report.caller_hung_up => "completed",
            Some(_) => "in-progress",
            None => "ringing",
        };
        self.leg_fields(status)
    }

    fn leg_fields(&self, status: &str) -> Fields {
        ParentLeg {
            account_sid: &self.shared.options.account_sid,
            call_sid: &self.sid,
            from: &self.caller.from,
            to: &self.caller.to,
            status,
        }
        .fields()
    }

    /// The last callback, and the report once every callback has arrived.
    async fn finish(mut self) -> CarrierReport {
        self.orders.call_is_over();
        let clock = &self.shared.options.clock;
        self.report.ended = clock.now();
        if !self.report.caller_hung_up {
            self.shared.options.log.say(Party::Twilio, Party::Caller, || "the call is over".to_owned());
        }
        self.shared.pass(STATUS_DELAY).await;
        self.courier.queue(self.status_errand()).await;
        self.tell_of_recordings().await;
        let callbacks = self.courier.finish().await;
        for delivery in &callbacks {
            let is_accepted = delivery.status().is_some_and(|status| (200..300).contains(&status));
            let is_expected = self.caller.faults.spoil(delivery.kind) || delivery.attempts == 0;
            if !is_accepted && !is_expected {
                let path = path(&delivery.url);
                let text = match &delivery.answer {
                    Ok(answer) => format!("15003: callback {path} answered {}", answer.status),
                    Err(problem) => format!("15003: callback {path}: {problem}"),
                };
                self.report.problems.push(text);
            }
        }
        self.report.deliveries.extend(callbacks);
        self.report
    }

    fn status_errand(&self) -> Errand {
        let answered = self.report.answered.unwrap_or(self.report.ended);
        let lasted = self.shared.pace.simulated(self.report.ended.since(answered));
        let mut fields = self.leg_fields(&self.report.status);
        fields.extend(pairs(&[
            ("CallDuration", &whole_seconds(lasted).to_string()),
            ("Duration", &whole_seconds(lasted).div_ceil(60).to_string()),
            ("CallbackSource", "call-progress-events"),
            ("SequenceNumber", "0"),
            ("Timestamp", &rfc_2822(self.report.ended)),
        ]));
        let note = format!("{}  {}", short(&self.sid), self.report.status);
        Errand::post(RequestKind::Status, self.shared.web.public(STATUS_PATH), fields, note)
    }
}

fn empty_report(call_sid: String, shared: &Shared) -> CarrierReport {
    let now = shared.options.clock.now();
    CarrierReport {
        call_sid,
        deliveries: Vec::new(),
        documents: Vec::new(),
        problems: Vec::new(),
        heard: Vec::new(),
        dials: Vec::new(),
        recordings: Vec::new(),
        streams: Vec::new(),
        status: "completed".to_owned(),
        caller_hung_up: false,
        began: now,
        dialled: Instant::now(),
        answered: None,
        ended: now,
    }
}

/// Seconds as Twilio counts them: begun ones are whole.
pub(super) fn whole_seconds(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

/// The beginning of an id, enough to follow it through the log.
pub(super) fn short(sid: &str) -> String {
    format!("{}…", sid.get(..8).unwrap_or(sid))
}
