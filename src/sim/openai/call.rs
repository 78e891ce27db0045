//! One simulated call: its decision, its sidebands, and the script that caller and model play.
//!
//! One task owns the call. Simulated time is real time times the world's speed; whatever is due later
//! waits in a heap.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::model::Response;
use super::report::{CallReport, ToolOutput};
use super::session::{Session, Wrong};
use super::{Provider, lock};
use crate::clock::Timestamp;
use crate::sim::fault::ProviderFaults;
use crate::sim::line::Mouth;
use crate::sim::log::Party;
use crate::sim::script::{CallerSpeech, Step};
use crate::sim::sip::{Invite, LegCommand, SipEvent};
use crate::text::hex;

/// From the accept to the answered leg.
const RING_MS: u64 = 120;
/// The session's longest life, in seconds.
pub(super) const SESSION_S: u64 = 3_600;

/// A message to a call's task.
pub(super) enum ToCall {
    Accept {
        body: String,
        reply: oneshot::Sender<Answer>,
    },
    Reject {
        body: String,
        reply: oneshot::Sender<Answer>,
    },
    Refer {
        body: String,
        reply: oneshot::Sender<Answer>,
    },
    HangUp {
        reply: oneshot::Sender<Answer>,
    },
    Attach {
        out: mpsc::Sender<Out>,
        reply: oneshot::Sender<bool>,
    },
    Client(String),
    /// A session's own socket is gone.
    Gone,
    /// A sideband is gone.
    Detached,
}

/// What a REST request is answered.
#[derive(Debug)]
pub(super) enum Answer {
    Ok,
    NotFound,
    AlreadyDecided,
    Wrong { code: &'static str, param: String },
    Fault(u16),
    Silence,
}

impl Answer {
    pub fn status(&self) -> u16 {
        match self {
            Answer::Ok => 200,
            Answer::NotFound => 404,
            Answer::AlreadyDecided => 409,
            Answer::Wrong { .. } => 400,
            Answer::Fault(status) => *status,
            Answer::Silence => 0,
        }
    }
}

/// What a sideband carries to the gateway.
pub(super) enum Out {
    Frame(String),
    Close(u16),
    Drop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Waits for a decision.
    Pending,
    /// Accepted, and playing.
    Up,
    Over,
}

/// Something that is due later.
pub(super) enum Due {
    DecisionOver,
    LegAnswered,
    LegEnds,
    Reply(oneshot::Sender<Answer>, Answer),
    SpeechDetected { item: String, start_ms: u64 },
    SpeechStopped { item: String, end_ms: u64, speech: CallerSpeech },
    Transcribed { item: String, speech: CallerSpeech },
    ResponseSpeaks(String),
    ResponseGenerated(String),
    ResponsePlayed(String),
    Key(char),
    NextStep,
    CallerHangsUp,
    AudioChunk(String),
    Stranger,
}

/// The task of one call.
pub(super) struct SimCall {
    pub(super) world: Arc<Provider>,
    pub(super) call_id: String,
    pub(super) caller: String,
    pub(super) steps: VecDeque<Step>,
    pub(super) report: Arc<Mutex<CallReport>>,
    pub(super) phase: Phase,
    pub(super) session: Option<Session>,
    pub(super) sidebands: Vec<mpsc::Sender<Out>>,
    pub(super) response: Option<Response>,
    /// A response that is heard while the next one is on its way.
    pub(super) still_heard: Option<Response>,
    pub(super) response_item: String,
    pub(super) played_since: Option<Instant>,
    pub(super) caller_speaks: bool,
    pub(super) step_is_due: bool,
    pub(super) has_begun: bool,
    pub(super) outputs: Vec<Value>,
    /// What is in the conversation, in order.
    pub(super) items: Vec<Value>,
    /// When each tool was asked for, and its place among the calls of its turn.
    pub(super) asked: HashMap<String, (Timestamp, usize)>,
    pub(super) zero: Instant,
    pub(super) due: BinaryHeap<Reverse<(Instant, u64)>>,
    pub(super) dues: HashMap<u64, Due>,
    pub(super) counter: u64,
    pub(super) context_tokens: u64,
    pub(super) missing_left: u32,
    pub(super) accept_faults_left: u32,
    pub(super) hangup_faults_left: u32,
    pub(super) outputs_to_lose: u32,
    pub(super) is_deaf: bool,
    /// Since when the call has had no sideband any more.
    alone_since: Option<Instant>,
    pub(super) faults: ProviderFaults,
    pub(super) to_carrier: Vec<SipEvent>,
    /// The audio goes over the socket.
    pub(super) bridge: Option<Box<super::bridged::Bridged>>,
}

impl SimCall {
    pub fn new(
        world: Arc<Provider>,
        call_id: String,
        invite: Invite,
        faults: ProviderFaults,
        report: Arc<Mutex<CallReport>>,
    ) -> SimCall {
        let from = invite.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("from"));
        let caller = from.map(|(_, value)| user_of(value)).unwrap_or_default();
        SimCall {
            missing_left: faults.sideband_missing_times,
            accept_faults_left: faults.accept_status_times,
            hangup_faults_left: u32::from(faults.hangup_status.is_some()),
            outputs_to_lose: u32::from(faults.tool_output_lost),
            is_deaf: false,
            alone_since: None,
            faults,
            call_id,
            caller,
            steps: invite.script.steps.into(),
            report,
            phase: Phase::Pending,
            session: None,
            sidebands: Vec::new(),
            response: None,
            still_heard: None,
            response_item: String::new(),
            played_since: None,
            caller_speaks: false,
            step_is_due: false,
            has_begun: false,
            outputs: Vec::new(),
            items: Vec::new(),
            asked: HashMap::new(),
            zero: Instant::now(),
            due: BinaryHeap::new(),
            dues: HashMap::new(),
            counter: 0,
            context_tokens: 100,
            to_carrier: Vec::new(),
            bridge: None,
            world,
        }
    }

    pub async fn run(
        mut self,
        mut inbox: mpsc::Receiver<ToCall>,
        mut leg: mpsc::Receiver<LegCommand>,
        events: mpsc::Sender<SipEvent>,
    ) {
        let mut events = Some(events);
        self.schedule(self.world.options.pending_ttl, Due::DecisionOver);
        let stopping = self.world.stopping.clone();
        loop {
            let wake = self.next_due();
            tokio::select! {
                message = inbox.recv() => match message {
                    Some(message) => self.on_message(message),
                    None => break,
                },
                command = leg.recv(), if self.phase != Phase::Over => match command {
                    // The carrier's BYE or CANCEL, or the carrier itself is gone.
                    Some(LegCommand::HangUp) | None => self.end(None),
                },
                () = sleep_until(wake) => self.on_due(),
                () = stopping.cancelled() => break,
            }
            self.go_on();
            self.flush(&mut events).await;
        }
    }

    /// Hands over what is to be sent; a gateway that does not read loses its sideband.
    async fn flush(&mut self, events: &mut Option<mpsc::Sender<SipEvent>>) {
        for event in std::mem::take(&mut self.to_carrier) {
            if let Some(events) = events {
                let _ = events.send(event).await;
            }
        }
        // Closed without a BYE, the carrier knows that the caller has left.
        if self.phase == Phase::Over {
            *events = None;
        }
    }

    // === requests ===

    pub(super) fn on_message(&mut self, message: ToCall) {
        match message {
            ToCall::Accept { body, reply } => self.on_accept(body, reply),
            ToCall::Reject { body, reply } => {
                let answer = self.on_reject(&body);
                let _ = reply.send(answer);
            }
            ToCall::Refer { body, reply } => {
                let answer = self.on_refer(&body);
                let _ = reply.send(answer);
            }
            ToCall::HangUp { reply } => {
                let answer = self.on_hang_up();
                let _ = reply.send(answer);
            }
            ToCall::Attach { out, reply } => {
                let is_admitted = self.admits_sideband();
                let _ = reply.send(is_admitted);
                if is_admitted {
                    self.attach(out);
                }
            }
            ToCall::Gone => self.end(None),
            ToCall::Detached => self.alone_since = Some(Instant::now()),
            ToCall::Client(_) if self.is_deaf => {}
            ToCall::Client(text) => self.on_client(&text),
        }
    }

    fn on_accept(&mut self, body: String, reply: oneshot::Sender<Answer>) {
        let now = self.world.options.clock.now();
        {
            let mut report = lock(&self.report);
            report.accepts.push(body.clone());
            report.accept_received.get_or_insert(now);
        }
        let mut answer = match (self.faults.accept_status, self.accept_faults_left) {
            (Some(status), 1..) => {
                self.accept_faults_left -= 1;
                if self.faults.accept_works_anyway {
                    self.accept(&body);
                }
                Answer::Fault(status)
            }
            _ => self.accept(&body),
        };
        if self.faults.accept_silent {
            answer = Answer::Silence;
        }
        self.schedule(Duration::from_millis(self.faults.accept_delay_ms), Due::Reply(reply, answer));
    }

    fn accept(&mut self, body: &str) -> Answer {
        match self.phase {
            Phase::Over => return Answer::NotFound,
            Phase::Up => return Answer::AlreadyDecided,
            Phase::Pending => {}
        }
        let expires_at = self.world.options.clock.now().as_secs() + SESSION_S;
        let id = self.id("sess");
        match Session::accepted(body, &id, expires_at) {
            Ok(session) => {
                self.session = Some(session);
                self.phase = Phase::Up;
                lock(&self.report).accepted += 1;
                self.to_carrier.push(SipEvent::Ringing);
                self.later(RING_MS, Due::LegAnswered);
                Answer::Ok
            }
            Err(Wrong { code, param }) => {
                self.broke_rule(format!("accept: {code} `{param}`"));
                Answer::Wrong { code, param }
            }
        }
    }

    fn on_reject(&mut self, body: &str) -> Answer {
        let code = serde_json::from_str::<Value>(body).ok().and_then(|body| body["status_code"].as_u64());
        let code = code.and_then(|code| u16::try_from(code).ok()).unwrap_or(603);
        match self.phase {
            Phase::Over => Answer::NotFound,
            Phase::Up => Answer::AlreadyDecided,
            Phase::Pending => {
                lock(&self.report).rejects.push(code);
                self.end(Some(SipEvent::Failed(code)));
                Answer::Ok
            }
        }
    }

    fn on_refer(&mut self, body: &str) -> Answer {
        let target = serde_json::from_str::<Value>(body).ok();
        let target =
            target.and_then(|body| body["target_uri"].as_str().map(str::to_owned)).unwrap_or_default();
        if self.phase != Phase::Up {
            return Answer::NotFound;
        }
        lock(&self.report).refers.push(target.clone());
        if let Some(status) = self.faults.refer_status {
            return Answer::Fault(status);
        }
        if self.faults.refer_ends_the_call {
            self.end(Some(SipEvent::Bye));
        } else if !self.faults.refer_without_effect {
            self.to_carrier.push(SipEvent::Refer(self.faults.refer_elsewhere.clone().unwrap_or(target)));
        }
        Answer::Ok
    }

    fn on_hang_up(&mut self) -> Answer {
        if self.phase != Phase::Up {
            return Answer::NotFound;
        }
        lock(&self.report).hangups += 1;
        if self.hangup_faults_left > 0 {
            self.hangup_faults_left -= 1;
            return Answer::Fault(self.faults.hangup_status.unwrap_or(500));
        }
        self.end(Some(SipEvent::Bye));
        Answer::Ok
    }

    // === sidebands ===

    fn admits_sideband(&mut self) -> bool {
        if self.phase != Phase::Up {
            return false;
        }
        if self.missing_left > 0 {
            self.missing_left -= 1;
            return false;
        }
        true
    }

    fn attach(&mut self, out: mpsc::Sender<Out>) {
        {
            let mut report = lock(&self.report);
            report.attached += 1;
            let alone = self.alone_since.take().map(|since| since.elapsed()).unwrap_or_default();
            report.alone_longest = report.alone_longest.max(alone);
        }
        let speed = self.world.options.speed;
        let session = self.session.as_ref().map(|session| session.echo(speed)).unwrap_or_default();
        self.is_deaf = false;
        self.sidebands.push(out);
        self.emit(json!({ "type": "session.created", "session": session }));
        self.emit(json!({ "type": "conversation.created",
            "conversation": { "id": "conv_sim", "object": "realtime.conversation" } }));
        self.has_begun = !self.is_bridged();
    }

    pub(super) fn drop_sidebands(&mut self, code: u16) {
        for sideband in self.sidebands.drain(..) {
            let _ = sideband.try_send(if code == 1006 { Out::Drop } else { Out::Close(code) });
        }
        let call_id = &self.call_id;
        self.world.log(Party::OpenAi, Party::Gateway, || format!("sideband of {call_id} cut ({code})"));
        if self.is_bridged() {
            self.end(None);
        }
    }

    pub(super) fn emit(&mut self, mut event: Value) {
        self.counter += 1;
        event["event_id"] = format!("event_{}", self.counter).into();
        if matches!(event["type"].as_str(), Some("conversation.item.added" | "conversation.item.done")) {
            event["previous_item_id"] = self.place(&event["item"]);
        }
        self.emit_text(&event.to_string());
    }

    pub(super) fn emit_all(&mut self, events: Vec<Value>) {
        for event in events {
            self.emit(event);
        }
    }

    /// An item is in the conversation from now on, or is whole; gives the one that it stands behind.
    fn place(&mut self, item: &Value) -> Value {
        let at = self.items.iter().position(|known| known["id"] == item["id"]);
        let at = at.unwrap_or(self.items.len());
        match self.items.get_mut(at) {
            Some(known) => *known = item.clone(),
            None => self.items.push(item.clone()),
        }
        at.checked_sub(1).map(|before| self.items[before]["id"].clone()).unwrap_or_default()
    }

    /// The words of an item are known.
    pub(super) fn write_down(&mut self, item: &str, words: &str) {
        if let Some(known) = self.items.iter_mut().find(|known| known["id"] == item) {
            known["content"] = json!([{ "type": "input_audio", "transcript": words }]);
        }
    }

    fn on_item_retrieve(&mut self, event: &Value, event_id: Value) {
        let known = self.items.iter().find(|known| known["id"] == event["item_id"]).cloned();
        match known {
            Some(mut item) => {
                // A spoken part comes with its sound.
                for part in item["content"].as_array_mut().into_iter().flatten() {
                    part["audio"] = "AAAA".into();
                }
                self.emit(json!({ "type": "conversation.item.retrieved", "item": item }));
            }
            None => {
                let words = format!("Item with id {} not found.", event["item_id"]);
                self.refuse("item_not_found", &words, event_id);
            }
        }
    }

    pub(super) fn emit_text(&mut self, text: &str) {
        // A gateway that is hundreds of events behind has stopped reading.
        self.sidebands.retain(|sideband| sideband.try_send(Out::Frame(text.to_owned())).is_ok());
    }

    fn on_client(&mut self, text: &str) {
        let Ok(event) = serde_json::from_str::<Value>(text) else {
            return self.broke_rule("a frame is not JSON".to_owned());
        };
        let event_id = event["event_id"].clone();
        if !event_id.is_string() {
            self.broke_rule("a command has no event_id".to_owned());
        }
        match event["type"].as_str().unwrap_or_default() {
            "response.create" => self.on_response_create(&event, event_id),
            "conversation.item.create" => self.on_item_create(&event, event_id),
            "conversation.item.retrieve" => self.on_item_retrieve(&event, event_id),
            "session.update" => self.on_session_update(&event["session"], event_id),
            "input_audio_buffer.append" if self.is_bridged() => self.on_append(&event),
            "input_audio_buffer.commit" if self.world.listens() => self.on_commit(event_id),
            "conversation.item.truncate" if self.is_bridged() => self.on_truncate(&event, event_id),
            "response.cancel" => self.refuse("response_cancel_not_active", "There is no response.", event_id),
            "output_audio_buffer.clear" if !self.is_bridged() => {}
            kind => {
                let words = format!("Invalid value: '{kind}'.");
                self.refuse("invalid_value", &words, event_id);
                self.broke_rule(words);
            }
        }
    }

    fn on_response_create(&mut self, event: &Value, event_id: Value) {
        {
            let mut report = lock(&self.report);
            report.response_creates += 1;
            let instructions = event.pointer("/response/instructions").and_then(Value::as_str);
            report.asked_to_say.extend(instructions.map(str::to_owned));
        }
        if let Some(active) = self.response.as_ref().filter(|response| response.is_generating) {
            let words = format!(
                "Conversation already has an active response in progress: {}. Wait until the response is \
                 finished before creating a new one.",
                active.id
            );
            self.broke_rule("response.create while a response is active".to_owned());
            return self.refuse("conversation_already_has_active_response", &words, event_id);
        }
        let metadata = event.pointer("/response/metadata").cloned().unwrap_or(Value::Null);
        if !self.holds(&metadata) {
            self.start_response(metadata);
        }
    }

    fn on_item_create(&mut self, event: &Value, event_id: Value) {
        let mut item = event["item"].clone();
        match item["type"].as_str().unwrap_or_default() {
            "function_call_output" if self.outputs_to_lose > 0 => {
                self.outputs_to_lose -= 1;
                // Nothing that was sent behind it on the same connection arrives either.
                self.is_deaf = true;
                return self.drop_sidebands(1006);
            }
            "function_call_output" => self.on_tool_output(&item),
            "function_call" if self.is_bridged() => {}
            "message" if self.is_bridged() && !self.has_begun => {
                let text = item.pointer("/content/0/text").and_then(Value::as_str).unwrap_or_default();
                lock(&self.report).told_again.push(text.to_owned());
            }
            "message" => {
                let text = item.pointer("/content/0/text").and_then(Value::as_str).unwrap_or_default();
                lock(&self.report).injected.push(text.to_owned());
            }
            _ => return self.refuse("invalid_value", "Invalid item.", event_id),
        }
        if item["id"].is_null() {
            item["id"] = self.id("item").into();
        }
        item["object"] = "realtime.item".into();
        item["status"] = "completed".into();
        self.emit(json!({ "type": "conversation.item.added", "previous_item_id": null, "item": item }));
        self.emit(json!({ "type": "conversation.item.done", "previous_item_id": null, "item": item }));
    }

    fn on_tool_output(&mut self, item: &Value) {
        let tool_call = item["call_id"].as_str().unwrap_or_default().to_owned();
        let output = item["output"].as_str().unwrap_or_default().to_owned();
        let Some((asked, place)) = self.asked.get(&tool_call).copied() else {
            return self.broke_rule(format!("an output for the unknown call {tool_call}"));
        };
        self.world.log(Party::Gateway, Party::OpenAi, || format!("tool output {output}"));
        if let Some(known) = self.outputs.get_mut(place) {
            *known = serde_json::from_str(&output).unwrap_or(Value::String(output.clone()));
        }
        let answered = self.world.options.clock.now();
        let mut report = lock(&self.report);
        let is_known = |known: &ToolOutput| known.tool_call == tool_call;
        if report.tool_outputs.iter().any(is_known) {
            report.protocol_errors.push(format!("two outputs for {tool_call}"));
        }
        report.tool_outputs.push(ToolOutput { tool_call, output, asked, answered });
    }

    fn on_session_update(&mut self, given: &Value, event_id: Value) {
        let Some(session) = &mut self.session else { return };
        match session.update(given) {
            Ok(()) => {
                let instructions = given["instructions"].as_str().map(str::to_owned);
                lock(&self.report).instructions.extend(instructions);
                let session = session.echo(self.world.options.speed);
                self.emit(json!({ "type": "session.updated", "session": session }));
            }
            Err(Wrong { code, param }) => {
                self.broke_rule(format!("session.update: {code} `{param}`"));
                self.refuse(code, &format!("Invalid parameter: '{param}'."), event_id);
            }
        }
    }

    pub(super) fn refuse(&mut self, code: &str, message: &str, event_id: Value) {
        self.emit(json!({ "type": "error", "error": { "type": "invalid_request_error", "code": code,
            "message": message, "param": null, "event_id": event_id } }));
    }

    pub(super) fn broke_rule(&self, what: String) {
        lock(&self.report).protocol_errors.push(what);
    }

    // === time and the end ===

    pub(super) fn on_due(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((at, number))) = self.due.peek().copied() {
            if at > now {
                return;
            }
            self.due.pop();
            if let Some(due) = self.dues.remove(&number)
                && (self.phase != Phase::Over || matches!(due, Due::Reply(..)))
            {
                self.on_due_one(due);
            }
        }
    }

    fn on_due_one(&mut self, due: Due) {
        match due {
            Due::DecisionOver if self.phase == Phase::Pending => self.end(Some(SipEvent::Failed(400))),
            Due::DecisionOver => {}
            Due::LegAnswered => match self.faults.leg_status_after_accept {
                Some(status) => self.end(Some(SipEvent::Failed(status))),
                None => {
                    self.zero = Instant::now();
                    self.to_carrier.push(SipEvent::Answered);
                    if let Some(after) = self.faults.leg_ends_after_ms {
                        self.later(after, Due::LegEnds);
                    }
                }
            },
            Due::LegEnds => self.end(Some(SipEvent::Bye)),
            Due::Reply(reply, answer) => {
                let _ = reply.send(answer);
            }
            Due::SpeechDetected { item, start_ms } => self.on_speech_detected(item, start_ms),
            Due::SpeechStopped { item, end_ms, speech } => self.on_speech_stopped(item, end_ms, speech),
            Due::Transcribed { item, speech } => self.on_transcribed(item, &speech),
            Due::ResponseSpeaks(id) => self.on_response_speaks(&id),
            Due::ResponseGenerated(id) => self.on_response_generated(&id),
            Due::ResponsePlayed(id) => self.on_response_played(&id),
            Due::Key(key) if self.is_bridged() => self.move_mouth(Mouth::Press(key)),
            Due::Key(key) => self.emit_text(
                &json!({ "type": "input_audio_buffer.dtmf_event_received", "event": key.to_string(),
                    "received_at": self.world.options.clock.now().as_secs() })
                .to_string(),
            ),
            Due::NextStep => self.next_step(),
            Due::CallerHangsUp => self.on_caller_hangs_up(),
            Due::AudioChunk(id) => self.on_audio_due(&id),
            Due::Stranger => self.on_stranger(),
        }
    }

    /// The call is over; the sockets end without a close frame.
    pub(super) fn end(&mut self, event: Option<SipEvent>) {
        if self.phase == Phase::Over {
            return;
        }
        self.phase = Phase::Over;
        for sideband in self.sidebands.drain(..) {
            let _ = sideband.try_send(Out::Drop);
        }
        self.to_carrier.extend(event);
        lock(&self.report).is_over = true;
    }

    pub(super) fn later(&mut self, simulated_ms: u64, due: Due) {
        self.schedule(self.world.real(simulated_ms), due);
    }

    pub(super) fn schedule(&mut self, after: Duration, due: Due) {
        self.counter += 1;
        self.dues.insert(self.counter, due);
        self.due.push(Reverse((Instant::now() + after, self.counter)));
    }

    /// When something is due next.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse((at, _))| *at)
    }

    /// Where the audio clock stands, in real time.
    pub(super) fn offset_ms(&self) -> u64 {
        u64::try_from(self.zero.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn real_ms(&self, simulated_ms: u64) -> u64 {
        u64::try_from(self.world.real(simulated_ms).as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn id(&self, prefix: &str) -> String {
        format!("{prefix}_{}", hex(&self.world.options.entropy.bytes::<8>()))
    }
}

pub(super) async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}

/// The user of the first address in a header.
fn user_of(header: &str) -> String {
    let address = header.split(':').nth(1).unwrap_or(header);
    address.split(['@', '>', ';']).next().unwrap_or_default().to_owned()
}
