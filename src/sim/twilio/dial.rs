//! `<Dial>`: a child leg from INVITE to its end, and what the gateway is asked afterwards
//! (Twilio, "TwiML Voice: <Dial>"; statuses of failures as integrators have seen them).

use std::time::Duration;

use tokio::time::Instant;

use super::call::{CallRun, Flow, short};
use super::far_end::FarEnd;
use super::form::{Fields, pairs};
use super::leg::{Leg, LegEnd};
use super::report::{DialReport, Heard, RequestKind};
use super::rest::Order;
use crate::sim::log::Party;
use crate::sim::sip::SipEvent;
use crate::sim::twiml::{Dial, LegEvent, Target};

/// From the document to the INVITE.
const INVITE_DELAY: Duration = Duration::from_millis(50);
/// What Twilio adds to `timeout`.
const TIMEOUT_BUFFER: Duration = Duration::from_secs(5);
/// From the end of the leg to the action request.
const ACTION_DELAY: Duration = Duration::from_millis(30);

/// What the other end did, as far as the loop around it cares.
enum Step {
    GoOn,
    Over(LegEnd),
    /// REFER, and it may be followed.
    Referred(String),
    /// The REST API wants something else of the call.
    Ordered(Order),
}

impl CallRun {
    /// Dials, waits until the leg is over, and says where to go on.
    pub(super) async fn dial(&mut self, dial: &Dial) -> Flow {
        if !dial.answer_on_bridge {
            self.answer();
        }
        self.report.heard.push(Heard::Ringing);
        self.shared.pass(INVITE_DELAY).await;
        let mut leg = Leg::new(self, dial);
        leg.progress(self, LegEvent::Initiated, None).await;
        let mut far_end = self.invite(&leg, &dial.noun.target).await;
        let step = self.follow(dial, &mut leg, &mut far_end).await;
        let hung_up = LegEnd { status: "completed", sip_code: Some(200) };
        let (end, target, order) = match step {
            Step::Referred(target) => (hung_up, Some(target), None),
            Step::Ordered(order) => (hung_up, None, Some(order)),
            Step::Over(end) => (end, None, None),
            Step::GoOn => return Flow::End,
        };
        leg.orders.call_is_over();
        self.end_recording(dial, &mut leg);
        leg.progress(self, LegEvent::Completed, Some(end)).await;
        let end = self.as_told(&leg, end);
        self.report.dials.push(dial_report(&leg, &far_end, end));
        if let Some(order) = order {
            // Nobody asks what comes after a dial that was redirected away from.
            return self.obey(order);
        }
        self.after(dial, &leg, end, target).await
    }

    async fn invite(&self, leg: &Leg, target: &Target) -> FarEnd {
        match target {
            Target::Sip(uri) => {
                let log = &self.shared.options.log;
                log.say(Party::Twilio, Party::OpenAi, || {
                    format!("INVITE {}  {}", uri.request_uri, short(&leg.sid))
                });
                FarEnd::Provider(self.shared.options.peer.invite(leg.invite(self, uri)).await)
            }
            Target::Number(_) => FarEnd::person(&self.caller.human, self.shared.pace),
        }
    }

    /// Follows the leg until it is over.
    async fn follow(&mut self, dial: &Dial, leg: &mut Leg, far_end: &mut FarEnd) -> Step {
        let pace = self.shared.pace;
        let timeout = Duration::from_secs(dial.timeout_s.into()) + TIMEOUT_BUFFER;
        let mut deadline = Instant::now() + pace.real(timeout);
        let leaves_at = self.leaves_at();
        loop {
            let step = tokio::select! {
                // What has happened counts before what did not happen in time.
                biased;
                event = far_end.next() => self.on_event(event, dial, leg).await,
                () = tokio::time::sleep_until(deadline) => Step::Over(self.give_up(leg, far_end)),
                order = self.orders.next() => {
                    let _ = self.give_up(leg, far_end);
                    Step::Ordered(order)
                }
                order = leg.orders.next() => {
                    if matches!(order, Order::CarryOut(_)) {
                        self.problem("a document for the leg of a dial: it knows none".to_owned());
                    }
                    Step::Over(self.cancel(leg, far_end))
                }
                () = tokio::time::sleep_until(leaves_at) => {
                    self.time_is_up();
                    Step::Over(self.give_up(leg, far_end))
                }
            };
            match step {
                Step::GoOn => {}
                Step::Over(_) | Step::Ordered(_) => return step,
                Step::Referred(_) => {
                    far_end.hang_up();
                    return step;
                }
            }
            if let Some(answered) = leg.answered {
                deadline = answered + pace.real(Duration::from_secs(dial.time_limit_s.into()));
            }
        }
    }

    async fn on_event(&mut self, event: Option<SipEvent>, dial: &Dial, leg: &mut Leg) -> Step {
        self.log_event(leg, event.as_ref());
        let over = |status, sip_code| Step::Over(LegEnd { status, sip_code });
        match event {
            Some(SipEvent::Ringing) => {
                leg.progress(self, LegEvent::Ringing, None).await;
                Step::GoOn
            }
            Some(SipEvent::Answered) => {
                leg.answered = Some(Instant::now());
                leg.orders.call_is_answered();
                self.answer();
                self.report.heard.push(Heard::Connected(leg.address().to_owned()));
                self.begin_recording(dial, leg).await;
                leg.progress(self, LegEvent::Answered, None).await;
                Step::GoOn
            }
            Some(SipEvent::Failed(code)) => over(status_of(code), Some(code)),
            Some(SipEvent::Bye) => over("completed", Some(200)),
            Some(SipEvent::Refer(target)) if dial.refer.is_some() => Step::Referred(target),
            Some(SipEvent::Refer(target)) => {
                self.problem(format!("REFER to `{target}` refused: the <Dial> has no referUrl"));
                Step::GoOn
            }
            // The leg was closed: the caller, who is simulated together with the provider, is gone;
            _ if leg.answered.is_some() => {
                self.caller_leaves();
                over("completed", Some(200))
            }
            // or nobody was there at all: no TCP, no TLS.
            _ => over("failed", None),
        }
    }

    /// Hangs up the leg: BYE when it was answered, else CANCEL, which is answered 487.
    fn give_up(&self, leg: &Leg, far_end: &FarEnd) -> LegEnd {
        far_end.hang_up();
        let (request, end) = match leg.answered {
            Some(_) => ("BYE", LegEnd { status: "completed", sip_code: Some(200) }),
            None => ("CANCEL", LegEnd { status: "no-answer", sip_code: Some(487) }),
        };
        if leg.sip_call_id.is_some() {
            let log = &self.shared.options.log;
            log.say(Party::Twilio, Party::OpenAi, || format!("{request}  {}", short(&leg.sid)));
        }
        end
    }

    /// The REST API wants the leg to end.
    fn cancel(&self, leg: &Leg, far_end: &FarEnd) -> LegEnd {
        let end = self.give_up(leg, far_end);
        if leg.answered.is_some() { end } else { LegEnd { status: "canceled", ..end } }
    }

    /// Asks what to do after the leg; without an action the next verb follows.
    async fn after(&mut self, dial: &Dial, leg: &Leg, end: LegEnd, referred: Option<String>) -> Flow {
        self.shared.pass(ACTION_DELAY).await;
        let mut fields = self.parent_fields();
        if let (Some(target), Some(refer)) = (referred, &dial.refer) {
            fields.push(("ReferTransferTarget".to_owned(), target));
            return Flow::Fetch(self.errand(RequestKind::Refer, refer, fields, String::new()));
        }
        let Some(action) = &dial.action else {
            return if self.is_caller_gone() { Flow::End } else { Flow::Continue };
        };
        fields.extend(self.dial_fields(leg, end));
        let note = format!("{}  DialCallStatus={}", short(&self.sid), end.status);
        Flow::Fetch(self.errand(RequestKind::DialResult, action, fields, note))
    }

    /// The end as the result of the dial has it.
    fn as_told(&self, leg: &Leg, end: LegEnd) -> LegEnd {
        let told = self.caller.faults.dial_status.filter(|_| leg.sip_call_id.is_some());
        told.map_or(end, |told| LegEnd { status: told.as_str(), ..end })
    }

    fn dial_fields(&self, leg: &Leg, end: LegEnd) -> Fields {
        let mut fields = pairs(&[
            ("DialBridged", if leg.answered.is_some() { "true" } else { "false" }),
            ("DialCallSid", &leg.sid),
            ("DialCallStatus", end.status),
        ]);
        if let Some(seconds) = leg.seconds(self) {
            fields.push(("DialCallDuration".to_owned(), seconds.to_string()));
        }
        fields.extend(self.recording_fields(leg));
        let Some(id) = &leg.sip_call_id else { return fields };
        fields.push(("DialSipCallId".to_owned(), id.clone()));
        if let Some(code) = end.sip_code {
            fields.push(("DialSipResponseCode".to_owned(), code.to_string()));
        }
        fields
    }

    fn log_event(&self, leg: &Leg, event: Option<&SipEvent>) {
        let log = &self.shared.options.log;
        if leg.sip_call_id.is_none() {
            if event == Some(&SipEvent::Answered) {
                log.say(Party::Twilio, Party::Caller, || format!("connected with {}", leg.address()));
            }
            return;
        }
        match event {
            Some(SipEvent::Ringing) => log.answer(Party::OpenAi, Party::Twilio, || "180 Ringing".into()),
            Some(SipEvent::Answered) => log.answer(Party::OpenAi, Party::Twilio, || "200 OK".into()),
            Some(SipEvent::Failed(code)) => log.answer(Party::OpenAi, Party::Twilio, || code.to_string()),
            Some(SipEvent::Bye) => log.say(Party::OpenAi, Party::Twilio, || "BYE".into()),
            Some(SipEvent::Refer(target)) => {
                log.say(Party::OpenAi, Party::Twilio, || format!("REFER {target}"));
            }
            _ => {}
        }
    }
}

fn dial_report(leg: &Leg, far_end: &FarEnd, end: LegEnd) -> DialReport {
    DialReport {
        call_sid: leg.sid.clone(),
        target: leg.address().to_owned(),
        provider_call_id: far_end.provider_call_id(),
        status: end.status.to_owned(),
        is_bridged: leg.answered.is_some(),
        sip_code: leg.sip_call_id.as_ref().and(end.sip_code),
    }
}

/// `DialCallStatus` for a final answer of SIP.
fn status_of(code: u16) -> &'static str {
    match code {
        480 | 487 | 603 => "no-answer",
        486 | 600 => "busy",
        _ => "failed",
    }
}
