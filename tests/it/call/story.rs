//! The driver: feeds a call with events at given times, follows its deadlines, and writes down what it
//! does in a form that reads as a story.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use switchboard::call::event::*;
use switchboard::call::record::*;
use switchboard::call::resume::Remembered;
use switchboard::call::terms::{Greeting, Terms, TurnDetection};
use switchboard::call::usage::{Price, Prices, TokenPrice};
use switchboard::call::{Action, Beginning, Call, Event};
use switchboard::clock::Timestamp;
use switchboard::ids::{CallId, ItemId, ToolCallId, TurnId};

/// The moment at which every story begins.
const DAWN_MS: u64 = 1_795_000_000_000;
/// More deadlines than this at one moment would be a busy loop.
const DEADLINES_AT_ONCE_MAX: usize = 8;

/// `millis` after the story began.
pub fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(DAWN_MS + millis)
}

/// A call and everything it did.
pub struct Story {
    pub call: Call,
    now: Timestamp,
    log: String,
    pub lines: BTreeMap<u32, Line>,
    pub tools: BTreeMap<u32, ToolCallRecord>,
    pub usage: Vec<UsageRecord>,
    pub events: Vec<EventRecord>,
}

impl Story {
    /// A call that the carrier asked about at 0.
    pub fn dialing() -> Story {
        Story {
            call: Call::begin(beginning()),
            now: at(0),
            log: String::new(),
            lines: BTreeMap::new(),
            tools: BTreeMap::new(),
            usage: Vec::new(),
            events: Vec::new(),
        }
    }

    /// The same, with a way out over a media stream.
    pub fn with_a_way_out() -> Story {
        let mut story = Story::dialing();
        story.call.record.other_path = Some(Path::MediaStreams);
        story
    }

    /// A call that the provider offered at 100 and that is to be answered on these terms.
    pub fn offered(change: impl FnOnce(&mut Terms)) -> Story {
        let mut story = Story::dialing();
        story.tell([(100, offered(change))]);
        story.log.clear();
        story
    }

    /// A call that was accepted at 300; the sideband is being opened.
    pub fn accepted(change: impl FnOnce(&mut Terms)) -> Story {
        let mut story = Story::offered(change);
        story.tell([(110, Event::AcceptSent), (300, Event::AcceptAnswered(AcceptAnswer::Ok))]);
        story.log.clear();
        story
    }

    /// A call that is up since 1,000, on these terms; its log begins there.
    pub fn live(change: impl FnOnce(&mut Terms)) -> Story {
        let mut story = Story::accepted(change);
        story.tell([(1_000, attached())]);
        story
    }

    /// The process dies, and another one takes the call up at `millis`, by what was kept and on these terms.
    pub fn restarted(self, millis: u64, terms: Option<Terms>, how: TakenUp) -> Story {
        let mut lines: Vec<Line> = self.lines.values().cloned().collect();
        lines.sort_by_key(|line| (line.started, line.n));
        let tool_calls = self.tools.values().cloned().collect();
        let record = self.call.record.clone();
        let call =
            Call::restore(Remembered { record, lines, tool_calls, terms, forward_to: None }, at(millis));
        let mut story = Story { call, now: at(millis), log: String::new(), ..self };
        story.feed(Event::TakenUp(how));
        story
    }

    /// What happened, in order; deadlines that come before an event are followed first.
    pub fn tell<const N: usize>(&mut self, events: [(u64, Event); N]) {
        for (millis, event) in events {
            self.until(millis);
            self.feed(event);
        }
    }

    /// Time passes up to and including `millis`; deadlines are followed.
    pub fn until(&mut self, millis: u64) {
        let mut at_once = 0;
        while let Some(deadline) = self.call.deadline().filter(|deadline| *deadline <= at(millis)) {
            at_once = if deadline > self.now { 0 } else { at_once + 1 };
            assert!(at_once <= DEADLINES_AT_ONCE_MAX, "a busy loop at {}\n{}", clock(self.now), self.log);
            self.now = self.now.max(deadline);
            self.feed(Event::Deadline);
        }
        assert!(self.now <= at(millis), "the story goes back to {millis}");
        self.now = at(millis);
    }

    /// What was written since this was last asked.
    pub fn log(&mut self) -> String {
        std::mem::take(&mut self.log)
    }

    /// Forgets what was written so far.
    pub fn skip(&mut self) {
        self.log.clear();
    }

    /// Why the call ended.
    pub fn reason(&self) -> Option<EndedReason> {
        self.call.record.ended.as_ref().map(|ended| ended.reason)
    }

    /// The transcript as a person reads it: in the order in which speech started.
    pub fn transcript(&self) -> String {
        let mut lines: Vec<&Line> = self.lines.values().collect();
        lines.sort_by_key(|line| line.started);
        lines.into_iter().map(|line| describe_line(line) + "\n").collect()
    }

    fn feed(&mut self, event: Event) {
        let was_over = self.call.is_over();
        let title = describe_event(&event);
        let actions = self.call.step(event, self.now);
        let mut deeds: Vec<String> = actions.iter().filter_map(describe_action).collect();
        if let Some(ended) = self.call.record.ended.as_ref().filter(|_| !was_over) {
            let detail = ended.detail.as_deref().map(|detail| format!(": {detail}")).unwrap_or_default();
            deeds.push(format!("ended {}{detail}", ended.reason.as_str()));
        }
        if !deeds.is_empty() {
            let _ = writeln!(self.log, "{} {title}", clock(self.now));
        }
        for deed in deeds {
            let _ = writeln!(self.log, "        - {deed}");
        }
        for action in actions {
            self.keep(action);
        }
    }

    fn keep(&mut self, action: Action) {
        match action {
            Action::Keep(Keep::Line(line)) => drop(self.lines.insert(line.n, line)),
            Action::Keep(Keep::ToolCall(record)) => drop(self.tools.insert(record.n, record)),
            Action::Keep(Keep::Usage(record)) => self.usage.push(record),
            Action::Keep(Keep::Event(record)) => self.events.push(record),
            _ => {}
        }
    }
}

// === what a story is made of ===

pub fn beginning() -> Beginning {
    Beginning {
        id: CallId::new(at(0), [7; 10]),
        path: Path::Sip,
        caller: Some("+819012345678".into()),
        callee: Some("+81312345678".into()),
        route: Some("front-desk".into()),
        carrier: Some(carrier()),
        carrier_asked: Some(at(0)),
        vars: BTreeMap::new(),
        other_path: None,
        avoided: None,
    }
}

fn carrier() -> Carrier {
    Carrier::asking("twilio", "CA-caller".into(), "AC1", "ringing")
}

/// Terms without any limit; the caller speaks first.
pub fn terms() -> Terms {
    let realtime = Price {
        text: TokenPrice { input: 4.0, cached: 0.4, output: 24.0 },
        audio: TokenPrice { input: 32.0, cached: 0.4, output: 64.0 },
        ..Price::default()
    };
    let scribe = Price { per_minute: 0.006, ..Price::default() };
    Terms {
        session: "front-desk".into(),
        model: "realtime".into(),
        transcription_model: Some("scribe".into()),
        greeting: Greeting::Wait,
        turn_detection: None,
        duration_max: None,
        silence_max: None,
        tool_calls_max: 100,
        tools: Default::default(),
        transfer_targets: [("sales".to_owned(), "tel:+81300000001".to_owned())].into(),
        prices: Arc::new(Prices([("realtime".to_owned(), realtime), ("scribe".to_owned(), scribe)].into())),
    }
}

pub fn offer(verdict: Verdict) -> Event {
    Event::Offered(Box::new(Offer {
        path: Path::Sip,
        provider: "openai-realtime",
        call_id: "rtc_1".into(),
        webhook_id: "wh_1".into(),
        created: at(0),
        received: at(90),
        joined_by: JoinedBy::Token,
        sip_headers: Vec::new(),
        verdict,
        hooks: FromHooks::default(),
        accept_within: None,
    }))
}

pub fn offered(change: impl FnOnce(&mut Terms)) -> Event {
    let mut terms = terms();
    change(&mut terms);
    offer(Verdict::Answer(Box::new(terms)))
}

/// The same offer, to be accepted within 1.5 s where there is another way.
pub fn in_a_hurry(event: Event) -> Event {
    match event {
        Event::Offered(offer) => {
            let accept_within = Some(Duration::from_millis(1_500));
            Event::Offered(Box::new(Offer { accept_within, ..*offer }))
        }
        other => other,
    }
}

/// The same offer, as a media stream makes it.
pub fn on_stream(event: Event) -> Event {
    match event {
        Event::Offered(offer) => Event::Offered(Box::new(Offer { path: Path::MediaStreams, ..*offer })),
        other => other,
    }
}

pub fn attached() -> Event {
    attached_until(None)
}

pub fn attached_until(expires_at: Option<Timestamp>) -> Event {
    let padding = SpeechPadding { before: Duration::from_millis(300), after: Duration::from_millis(200) };
    Event::Provider(ProviderEvent::Attached { expires_at, padding })
}

pub fn lost() -> Event {
    Event::SidebandLost(Some(1006))
}

/// The caller begins to speak; the provider's clock stood at 0 when the story was at 500.
pub fn hears(item: &str, at_ms: u64) -> Event {
    Event::Provider(ProviderEvent::CallerSpeechStarted { item: item.into(), at_ms: Some(at_ms) })
}

pub fn hears_end(item: &str, at_ms: u64) -> Event {
    Event::Provider(ProviderEvent::CallerSpeechStopped { item: item.into(), at_ms: Some(at_ms) })
}

pub fn caller_says(item: &str, text: &str) -> Event {
    caller_words(item, text, TextMode::Final, None)
}

pub fn caller_words(item: &str, text: &str, mode: TextMode, usage: Option<Usage>) -> Event {
    Event::Provider(ProviderEvent::CallerTranscript { item: item.into(), text: text.into(), mode, usage })
}

pub fn begins(turn: &str) -> Event {
    Event::Provider(ProviderEvent::TurnStarted { turn: turn.into(), command: None })
}

/// The turn that our command asked for begins.
pub fn begins_as(turn: &str, command: u64) -> Event {
    Event::Provider(ProviderEvent::TurnStarted { turn: turn.into(), command: Some(CommandId(command)) })
}

pub fn says(turn: &str, text: &str) -> Event {
    Event::Provider(ProviderEvent::AssistantTranscript {
        turn: turn.into(),
        item: ItemId(format!("item-{turn}")),
        text: text.into(),
        mode: TextMode::Final,
    })
}

/// Words as they come, while the turn goes on.
pub fn says_on(turn: &str, text: &str) -> Event {
    Event::Provider(ProviderEvent::AssistantTranscript {
        turn: turn.into(),
        item: ItemId(format!("item-{turn}")),
        text: text.into(),
        mode: TextMode::Append,
    })
}

/// A tool of a remote server has answered.
pub fn remote_tool(is_ok: bool) -> Event {
    Event::Provider(ProviderEvent::RemoteToolEnded { is_ok })
}

pub fn done(turn: &str) -> Event {
    ends(turn, TurnStatus::Completed, &[])
}

pub fn cancelled(turn: &str) -> Event {
    ends(turn, TurnStatus::Cancelled, &[])
}

pub fn ends(turn: &str, status: TurnStatus, tools: &[(&str, &str, &str)]) -> Event {
    let tool_calls = tools.iter().map(|(id, name, arguments)| tool(id, name, arguments)).collect();
    Event::Provider(ProviderEvent::TurnEnded {
        turn: turn.into(),
        status,
        reason: None,
        usage: None,
        tool_calls,
    })
}

/// The turn ends and used this.
pub fn ends_with(turn: &str, status: TurnStatus, usage: Usage) -> Event {
    Event::Provider(ProviderEvent::TurnEnded {
        turn: turn.into(),
        status,
        reason: None,
        usage: Some(usage),
        tool_calls: Vec::new(),
    })
}

fn tool(id: &str, name: &str, arguments: &str) -> ToolCall {
    ToolCall { id: id.into(), name: name.into(), arguments: arguments.into() }
}

pub fn wants(turn: &str, id: &str, name: &str, arguments: &str) -> Event {
    Event::Provider(ProviderEvent::ToolCallRequested { turn: turn.into(), call: tool(id, name, arguments) })
}

pub fn wants_lookup(turn: &str, id: &str) -> Event {
    wants(turn, id, "lookup", "{}")
}

pub fn answers(id: &str) -> Event {
    Event::ToolFinished(ToolFinished {
        tool_call: id.into(),
        kind: ToolOutcomeKind::Ok,
        output: format!("{{\"answer\":\"{id}\"}}"),
    })
}

pub fn acked(id: &str) -> Event {
    Event::Provider(ProviderEvent::ToolResultAcknowledged { tool_call: ToolCallId::from(id) })
}

/// An item was put into the conversation, behind another.
pub fn added(item: &str, previous: &str) -> Event {
    Event::Provider(ProviderEvent::ItemAdded { item: item.into(), previous: Some(previous.into()) })
}

/// The words of an item that was asked for.
pub fn read_back(item: &str, speaker: Speaker, text: &str) -> Event {
    Event::Provider(ProviderEvent::ReadBack { item: item.into(), speaker, text: text.into() })
}

pub fn plays(turn: &str) -> Event {
    Event::Provider(ProviderEvent::PlaybackStarted { turn: turn.into() })
}

pub fn played(turn: &str) -> Event {
    Event::Provider(ProviderEvent::PlaybackDrained { turn: TurnId::from(turn) })
}

pub fn cut(turn: &str) -> Event {
    Event::Provider(ProviderEvent::PlaybackCleared { turn: TurnId::from(turn) })
}

pub fn key(digit: char) -> Event {
    Event::Provider(ProviderEvent::Key { digit, model_knows: false })
}

pub fn error(class: ErrorClass, command: Option<u64>) -> Event {
    Event::Provider(ProviderEvent::Error {
        class,
        code: Some("some_code".into()),
        message: "some text".into(),
        command: command.map(CommandId),
    })
}

pub fn leg(status: &str, sequence: u32) -> Event {
    Event::Carrier(CarrierEvent::Leg {
        sid: "CA-leg".into(),
        status: status.into(),
        sequence: Some(sequence),
        sip_code: None,
        sip_call_id: None,
        duration_s: None,
    })
}

pub fn dial_ended(status: &str, sip_code: Option<u16>, bridged: bool, caller_status: &str) -> Event {
    Event::Carrier(CarrierEvent::DialEnded {
        status: status.into(),
        bridged: Some(bridged),
        leg_sid: Some("CA-leg".into()),
        sip_code,
        sip_call_id: Some("sip-1".into()),
        duration_s: None,
        caller_status: caller_status.into(),
    })
}

pub fn caller_status(status: &str) -> Event {
    Event::Carrier(CarrierEvent::Caller { status: status.into() })
}

/// The plugin `orders` wants something, for a tool call or for none.
pub fn wished(tool_call: Option<&str>, wish: Wish) -> Event {
    Event::Wished(Wished { by: "orders".into(), tool_call: tool_call.map(ToolCallId::from), wish })
}

pub fn hang_up() -> Event {
    Event::Command(Command::HangUp)
}

/// Turn detection `1`, or `0` while turns are deferred.
pub fn turn_detection(is_off_at_first: bool) -> Option<TurnDetection> {
    Some(TurnDetection { usual: json("1"), deferring: json("0"), is_off_at_first })
}

pub fn json(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).expect("a test's own JSON")
}

// === how it is told ===

fn clock(moment: Timestamp) -> String {
    let micros = moment.as_micros().saturating_sub(at(0).as_micros());
    format!("{:7.3}", micros as f64 / 1e6)
}

fn describe_event(event: &Event) -> String {
    match event {
        Event::Offered(_) => "offered".into(),
        Event::AcceptSent => "accept sent".into(),
        Event::AcceptAnswered(answer) => format!("accept answered: {answer:?}"),
        Event::AttachFailed(failure) => format!("attach failed: {failure:?}"),
        Event::Provider(event) => describe_provider_event(event),
        Event::SidebandLost(code) => format!("sideband lost {}", code.map_or(0, |code| code)),
        Event::ReferAnswered(Ok(())) => "refer taken".into(),
        Event::ReferAnswered(Err(why)) => format!("refer refused: {why}"),
        Event::RedirectAnswered(Ok(())) => "redirect taken".into(),
        Event::RedirectAnswered(Err(why)) => format!("redirect refused: {why}"),
        Event::LegEnded(answer) => format!("the carrier ends its leg: {answer:?}"),
        Event::Noted { kind, detail } => format!("({kind} {detail})"),
        Event::ToolFinished(finished) => format!("tool {} answers", finished.tool_call),
        Event::ToolDeferred(id) => format!("tool {id} is left to the next process"),
        Event::Carrier(event) => describe_carrier_event(event),
        Event::Stream(event) => format!("the stream tells: {event:?}"),
        Event::Command(Command::HangUp) => "the operator hangs up".into(),
        Event::Wished(wished) => format!("({} wants {:?})", wished.by, wished.wish),
        Event::TakenUp(_) => "another process".into(),
        Event::CarrierAnswered(status) => format!("the carrier says {status}"),
        Event::Deadline => "(deadline)".into(),
    }
}

fn describe_provider_event(event: &ProviderEvent) -> String {
    match event {
        ProviderEvent::Attached { .. } => "attached".into(),
        ProviderEvent::CallerSpeechStarted { item, .. } => format!("caller speaks ({item})"),
        ProviderEvent::CallerSpeechStopped { item, .. } => format!("caller pauses ({item})"),
        ProviderEvent::CallerTranscript { item, text, .. } => format!("caller's words ({item}) {text}"),
        ProviderEvent::TurnStarted { turn, command: None } => format!("turn {turn} begins"),
        ProviderEvent::TurnStarted { turn, command: Some(id) } => format!("turn {turn} begins for #{}", id.0),
        ProviderEvent::RemoteToolEnded { is_ok } => format!("a remote tool answers: {is_ok}"),
        ProviderEvent::AssistantTranscript { turn, text, .. } => format!("turn {turn} says {text}"),
        ProviderEvent::TurnEnded { turn, status, .. } => format!("turn {turn} ends: {status:?}"),
        ProviderEvent::ToolCallRequested { turn, call } => {
            format!("turn {turn} wants {} {}", call.id, call.name)
        }
        ProviderEvent::ToolResultAcknowledged { tool_call } => format!("output of {tool_call} is in"),
        ProviderEvent::PlaybackStarted { turn } => format!("{turn} is heard"),
        ProviderEvent::PlaybackDrained { turn } => format!("{turn} was heard"),
        ProviderEvent::PlaybackCleared { turn } => format!("{turn} was cut"),
        ProviderEvent::Key { digit, .. } => format!("key {digit}"),
        ProviderEvent::Error { class, command, .. } => {
            format!("error {class:?}{}", command.map(|id| format!(" of #{}", id.0)).unwrap_or_default())
        }
        other => format!("{other:?}"),
    }
}

fn describe_carrier_event(event: &CarrierEvent) -> String {
    match event {
        CarrierEvent::Leg { status, .. } => format!("leg {status}"),
        CarrierEvent::DialEnded { status, caller_status, .. } => {
            format!("dial ended {status}, caller {caller_status}")
        }
        CarrierEvent::Referred => "the carrier asks about the refer".into(),
        CarrierEvent::HandedOn { status, .. } => format!("dial to somebody else ended {status}"),
        CarrierEvent::StreamEnded { caller_status } => format!("stream ended, caller {caller_status}"),
        CarrierEvent::AsksAgain { caller_status } => format!("asked again, caller {caller_status}"),
        CarrierEvent::Caller { status } => format!("caller's leg {status}"),
    }
}

fn describe_action(action: &Action) -> Option<String> {
    Some(match action {
        Action::Accept => "accept".into(),
        Action::TurnAway { path, provider_call } => format!("turn away {provider_call} on {}", path.as_str()),
        Action::LetGo { provider_call: None } => "let go of nothing".into(),
        Action::LetGo { provider_call: Some(call) } => format!("let go of {call}"),
        Action::Reject { sip_code } => format!("reject {sip_code}"),
        Action::Attach { after } if after.is_zero() => "attach".into(),
        Action::Attach { after } => format!("attach after {} ms", after.as_millis()),
        Action::Send(id, command) => format!("#{} {}", id.0, describe_command(command)),
        Action::RunTool { call } => format!("run {} {} {}", call.id, call.name, call.arguments),
        Action::Refer { target } => format!("refer to {target}"),
        Action::RedirectCarrier { target } => format!("redirect to {target}"),
        Action::EndLeg { leg } => format!("end the leg {leg}"),
        Action::HangUp => "hang up".into(),
        Action::AskCarrier => "ask the carrier".into(),
        Action::Keep(Keep::Record) => return None,
        // It says no more than the event that it follows.
        Action::Keep(Keep::ToolCall(record)) if record.acknowledged => return None,
        Action::Keep(Keep::Line(line)) => format!("line {}", describe_line(line)),
        Action::Keep(Keep::ToolCall(record)) => {
            format!("tool {} {}", record.tool_call_id, record.outcome.map_or("running", |kind| kind.as_str()))
        }
        Action::Keep(Keep::Usage(record)) => format!("usage of {}", record.model),
        Action::Keep(Keep::Event(record)) => {
            let data = record.data.as_ref().map(|data| format!(" {data}")).unwrap_or_default();
            format!("note {}{data}", record.kind)
        }
    })
}

fn describe_command(command: &ProviderCommand) -> String {
    match command {
        ProviderCommand::PromptTurn { instructions, may_call_tools } => {
            let about = instructions.as_deref().unwrap_or_default();
            let about: String = about.chars().take(32).collect::<String>().replace('\n', " ");
            let about = if about.is_empty() { about } else { format!(" \"{about}\"") };
            format!("prompt{about}{}", if *may_call_tools { "" } else { " without tools" })
        }
        ProviderCommand::SubmitToolResult { tool_call, output } => format!("output of {tool_call}: {output}"),
        ProviderCommand::InjectContext { role, text } => format!("tell as {role:?}: {text}"),
        ProviderCommand::SetTurnDetection(json) => format!("turn detection {json}"),
        ProviderCommand::ReadBackToolResult { tool_call } => format!("is the output of {tool_call} there?"),
        ProviderCommand::ReadBack { item } => format!("what is {item}?"),
    }
}

fn describe_line(line: &Line) -> String {
    let ended = line.ended.map_or("?".into(), |ended| clock(ended).trim().to_owned());
    let started = clock(line.started);
    format!("{:?} {}–{ended} {:?} {}", line.speaker, started.trim(), line.status, line.text)
}
