//! What holds of every call, whatever happens to it: random events with few ids, so that they meet, in
//! any order, at times that only go forward; a witness that knows nothing of the machinery checks every
//! step.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use switchboard::call::event::*;
use switchboard::call::record::{Ended, EndedReason, Line, Path, State, ToolCallRecord, Usage};
use switchboard::call::resume::Remembered;
use switchboard::call::terms::{Greeting, Terms, ToolTerms};
use switchboard::call::{Action, Beginning, Call, Event};
use switchboard::clock::Timestamp;
use switchboard::ids::TurnId;

use crate::call::story;

/// A request for a turn may be made again after this, whatever became of it.
const REQUEST_LOST_AFTER: Duration = Duration::from_secs(5);
/// Handling this many deadlines at one moment is a busy loop.
const DEADLINES_AT_ONCE_MAX: usize = 8;

/// Something random: what, with which ids, and how long after the last.
#[derive(Clone, Debug)]
struct Happening {
    kind: u8,
    id: u8,
    other: u8,
    gap_ms: u64,
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let gap = prop_oneof![
        4 => Just(0_u64),
        4 => 1..200_u64,
        3 => 200..3_000_u64,
        1 => 3_000..20_000_u64,
    ];
    let happening = (0..KINDS, 0..4_u8, any::<u8>(), gap).prop_map(|(kind, id, other, gap_ms)| Happening {
        kind,
        id,
        other,
        gap_ms,
    });
    prop::collection::vec(happening, 1..120)
}

/// Terms with every limit or none.
fn change_terms(shape: u8, terms: &mut Terms) {
    terms.greeting = match shape % 3 {
        0 => Greeting::Wait,
        1 => Greeting::ByInstructions,
        _ => Greeting::Prompt("はい".into()),
    };
    if shape & 4 != 0 {
        terms.turn_detection = story::turn_detection(true);
    }
    if shape & 8 != 0 {
        terms.silence_max = Some(Duration::from_secs(u64::from(shape & 3) * 5));
    }
    if shape & 16 != 0 {
        terms.duration_max = Some(Duration::from_secs(u64::from(shape & 3) * 20));
    }
    if shape & 32 != 0 {
        terms.tool_calls_max = 3;
    }
    if shape & 1 != 0 {
        let lookup = ToolTerms {
            say_first: Some("少々お待ちください".into()),
            interruptible: shape & 2 == 0,
        };
        terms.tools.insert("lookup".into(), lookup);
        terms.turn_detection = terms.turn_detection.take().or_else(|| story::turn_detection(false));
    }
}

/// What the first happenings are, so that most calls get somewhere.
fn opening(depth: u8, shape: u8) -> Vec<Event> {
    let all = vec![
        story::in_a_hurry(story::offered(|terms| change_terms(shape, terms))),
        Event::AcceptSent,
        Event::AcceptAnswered(AcceptAnswer::Ok),
        story::attached(),
    ];
    all.into_iter().take(usize::from(depth)).collect()
}

const KINDS: u8 = 37;

fn event(happening: &Happening) -> Event {
    let Happening { kind, id, other, .. } = happening;
    let (turn, item, call) = (format!("t{id}"), format!("i{id}"), format!("c{}", other % 6));
    let (turn, item, call) = (turn.as_str(), item.as_str(), call.as_str());
    let command = u64::from(other % 12);
    match kind {
        0 if other % 2 == 0 => story::in_a_hurry(story::offered(|_| {})),
        0 if other % 3 == 0 => story::offered(|_| {}),
        0 => story::on_stream(story::offered(|_| {})),
        1 => Event::AcceptAnswered(accept_answer(*other)),
        2 => Event::AttachFailed(attach_failure(*other)),
        3 | 4 => story::attached_until((other % 3 == 0).then(|| story::at(u64::from(*other) * 2_000))),
        5 => story::lost(),
        6 | 7 => story::begins(turn),
        8 | 9 => story::begins_as(turn, command),
        10..=12 => story::ends(turn, status(*other), &[]),
        13 => story::ends(turn, status(*other), &[(call, "lookup", "{}"), ("c9", "hangup", "{}")]),
        14 => story::ends_with(turn, status(*other), usage(*other)),
        15 | 16 => story::wants_lookup(turn, call),
        17 => story::wants(turn, call, "hangup", "{}"),
        18 => story::wants(turn, call, "transfer", if other % 2 == 0 { "{}" } else { "[" }),
        19..=21 => story::answers(call),
        22 => story::acked(call),
        23 => story::says(turn, "はい"),
        24 => story::plays(turn),
        25 => {
            if other % 2 == 0 {
                story::played(turn)
            } else {
                story::cut(turn)
            }
        }
        26 => story::hears(item, at_ms(*other)),
        27 => story::hears_end(item, at_ms(*other)),
        28 => story::caller_words(item, "ええ", mode(*other), Some(usage(*other))),
        29 => story::key(if other % 3 == 0 { '#' } else { '5' }),
        30 => story::error(error_class(*other), (other % 2 == 0).then_some(u64::from(other / 20))),
        31 => carrier_report(*other),
        33..=35 => wished(call, *other),
        32 => Event::ReferAnswered(if other % 2 == 0 { Ok(()) } else { Err("500".into()) }),
        _ if other % 16 == 0 => story::hang_up(),
        _ => Event::Deadline,
    }
}

fn wished(call: &str, other: u8) -> Event {
    let words = || "少々".to_owned();
    let wish = match other % 12 {
        0..=4 => Wish::Progress(words()),
        5 | 6 => Wish::Say(words()),
        7 => Wish::InjectContext(words()),
        8 => Wish::Transfer(if other < 128 { "sales" } else { "moon" }.to_owned()),
        9 => Wish::HangUp,
        _ => Wish::SetVariable { name: format!("v{other}"), value: words() },
    };
    story::wished((other < 200).then_some(call), wish)
}

fn accept_answer(other: u8) -> AcceptAnswer {
    match other % 5 {
        0 => AcceptAnswer::AlreadyDecided,
        1 => AcceptAnswer::Gone,
        2 => AcceptAnswer::Unclear("?".into()),
        3 => AcceptAnswer::Refused("no".into()),
        _ => AcceptAnswer::Ok,
    }
}

fn attach_failure(other: u8) -> AttachFailure {
    match other % 8 {
        0 => AttachFailure::Denied(401),
        1 => AttachFailure::NotFound,
        _ => AttachFailure::Passing("?".into()),
    }
}

fn status(other: u8) -> TurnStatus {
    match other % 6 {
        0 => TurnStatus::Cancelled,
        1 => TurnStatus::Incomplete,
        2 => TurnStatus::Failed,
        _ => TurnStatus::Completed,
    }
}

fn mode(other: u8) -> TextMode {
    match other % 3 {
        0 => TextMode::Append,
        1 => TextMode::Replace,
        _ => TextMode::Final,
    }
}

fn error_class(other: u8) -> ErrorClass {
    match other % 12 {
        0 => ErrorClass::Benign,
        1..=5 => ErrorClass::TurnActive,
        6 => ErrorClass::BadCommand,
        7 => ErrorClass::Capacity,
        8 => ErrorClass::Expired,
        _ => ErrorClass::Other,
    }
}

fn at_ms(other: u8) -> u64 {
    if other == 0 { u64::MAX } else { u64::from(other) * 100 }
}

fn usage(other: u8) -> Usage {
    match other % 4 {
        0 => Usage { text_in: u64::MAX, transcription_s: f64::INFINITY, ..Usage::default() },
        1 => Usage { audio_out: 7, transcription_s: -1.0, ..Usage::default() },
        _ => Usage { text_in: 10, text_cached: 99, audio_out: 20, transcription_s: 1.5, ..Usage::default() },
    }
}

fn carrier_report(other: u8) -> Event {
    match other % 13 {
        10 => story::dial_ended("failed", Some(503), false, "ringing"),
        11 => Event::Carrier(CarrierEvent::StreamEnded { caller_status: "in-progress".into() }),
        12 => story::leg("failed", 3),
        0 => story::leg("initiated", 0),
        1 => story::leg("ringing", 1),
        2 | 3 => story::leg("in-progress", 2),
        4 => story::leg("completed", 3),
        5 => story::dial_ended("completed", Some(200), true, "in-progress"),
        6 => story::caller_status("in-progress"),
        7 => Event::Carrier(CarrierEvent::Referred),
        8 => Event::Carrier(CarrierEvent::HandedOn {
            status: "busy".to_owned(),
            answered: other > 127,
            caller_status: "in-progress".to_owned(),
        }),
        _ => story::caller_status("completed"),
    }
}

/// What has been seen of a call, from the outside.
#[derive(Default)]
struct Witness {
    accepts: usize,
    is_attached: bool,
    active: Option<TurnId>,
    requested: Option<(CommandId, Timestamp)>,
    runs: BTreeSet<String>,
    finished: BTreeSet<String>,
    lines: BTreeMap<u32, Option<Timestamp>>,
    usage: Usage,
    commands: BTreeSet<CommandId>,
    moves: usize,
    restarts: usize,
    ended: Option<Timestamp>,
}

impl Witness {
    /// What the event itself says, before the call has seen it.
    fn before(&mut self, call: &Call, event: &Event) {
        match event {
            Event::Provider(ProviderEvent::Attached { .. }) => {
                self.is_attached |= matches!(call.record.state, State::Accepted | State::Live);
            }
            Event::SidebandLost(_) => {
                self.is_attached = false;
                self.active = None;
                self.requested = None;
            }
            Event::Provider(ProviderEvent::TurnStarted { turn, .. }) if self.is_attached => {
                self.active = Some(turn.clone());
                self.requested = None;
            }
            Event::Provider(ProviderEvent::TurnEnded { turn, .. }) => {
                self.active.take_if(|active| active == turn);
            }
            Event::Provider(ProviderEvent::Error { command, .. }) => {
                self.requested.take_if(|(requested, _)| Some(*requested) == *command);
            }
            _ => {}
        }
    }

    fn after(&mut self, call: &Call, actions: &[Action], now: Timestamp) {
        assert!(actions.len() <= 200, "{} actions in one step", actions.len());
        for action in actions {
            match action {
                Action::Accept => self.accepts += 1,
                Action::Send(id, command) => self.sent(*id, command, now),
                Action::RunTool { call } => {
                    assert!(self.runs.insert(call.id.0.clone()), "{} runs twice", call.id);
                }
                Action::Keep(keep) => self.kept(keep, now),
                Action::LetGo { .. } => {
                    self.moves += 1;
                    self.is_attached = false;
                    self.active = None;
                    self.requested = None;
                }
                _ => {}
            }
        }
        assert!(self.moves <= 1, "moved twice");
        assert_eq!(self.moves == 1, call.record.moved.is_some(), "a move is on the record");
        if actions.iter().any(|action| matches!(action, Action::LetGo { .. })) {
            assert_eq!((call.record.state, call.record.other_path), (State::Dialing, None));
            assert!(self.runs.is_subset(&self.finished), "{:?} {:?}", self.runs, self.finished);
        }
        assert!(self.accepts <= 1 + self.moves + self.restarts, "accepted twice");
        self.usage_only_grows(&call.record.usage);
        if call.is_over() && self.ended.is_none() {
            self.ended = Some(now);
            self.is_attached = false;
            assert!(self.runs.is_subset(&self.finished), "{:?} {:?}", self.runs, self.finished);
        }
    }

    fn sent(&mut self, id: CommandId, command: &ProviderCommand, now: Timestamp) {
        assert!(self.is_attached, "{command:?} into a sideband that is down");
        assert!(self.commands.insert(id), "{id:?} comes twice");
        if matches!(command, ProviderCommand::PromptTurn { .. }) {
            assert_eq!(self.active, None, "a turn runs");
            let earlier = self.requested.replace((id, now));
            let waited = earlier.map(|(_, at)| now.since(at));
            assert!(waited.is_none_or(|waited| waited >= REQUEST_LOST_AFTER), "asked again after {waited:?}");
        }
    }

    fn kept(&mut self, keep: &Keep, now: Timestamp) {
        match keep {
            Keep::Line(line) => {
                assert!(line.ended.is_none_or(|ended| ended >= line.started), "{line:?}");
                assert!(line.started <= now && line.ended.is_none_or(|ended| ended <= now), "{line:?}");
                let last = self.lines.keys().last().copied();
                let is_next = line.n == last.map_or(0, |last| last + 1);
                assert!(is_next || self.lines.contains_key(&line.n), "{line:?} after {last:?}");
                self.lines.insert(line.n, line.ended);
            }
            // What is acknowledged is kept once more.
            Keep::ToolCall(record) if record.acknowledged => {}
            Keep::ToolCall(record) if record.finished.is_some() => {
                let id = record.tool_call_id.0.clone();
                assert!(record.outcome.is_some());
                assert!(self.finished.insert(id), "{record:?} finished twice");
            }
            Keep::ToolCall(record) => assert!(!self.finished.contains(record.tool_call_id.as_str())),
            _ => {}
        }
    }

    fn usage_only_grows(&mut self, usage: &Usage) {
        assert!(usage.text_in >= self.usage.text_in && usage.audio_out >= self.usage.audio_out);
        assert!(usage.transcription_s.is_finite() && usage.transcription_s >= self.usage.transcription_s);
        self.usage = *usage;
    }
}

/// A call under examination.
struct Examined {
    call: Call,
    witness: Witness,
    now: Timestamp,
    /// What is on disk.
    lines: BTreeMap<u32, Line>,
    tools: BTreeMap<u32, ToolCallRecord>,
}

impl Examined {
    fn new(shape: u8) -> Examined {
        let other_path = (shape & 64 != 0).then_some(Path::MediaStreams);
        let beginning = Beginning { other_path, ..story::beginning() };
        Examined {
            call: Call::begin(beginning),
            witness: Witness::default(),
            now: story::at(0),
            lines: BTreeMap::new(),
            tools: BTreeMap::new(),
        }
    }

    /// The process dies, and another one goes on; no tool may run twice.
    fn restart(&mut self, shape: u8) {
        if self.call.is_over() {
            return;
        }
        let record = self.call.record.clone();
        let mut terms = story::terms();
        change_terms(shape, &mut terms);
        let terms = (record.state != State::Dialing).then_some(terms);
        let mut lines: Vec<Line> = self.lines.values().cloned().collect();
        lines.sort_by_key(|line| (line.started, line.n));
        let tool_calls = self.tools.values().cloned().collect();
        let remembered = Remembered { record, lines, tool_calls, terms, forward_to: None };
        self.call = Call::restore(remembered, self.now);
        let witness = &mut self.witness;
        (witness.is_attached, witness.active, witness.requested) = (false, None, None);
        witness.commands.clear();
        witness.restarts += 1;
        self.step(Event::TakenUp(TakenUp { is_fresh: true, ..TakenUp::default() }));
    }

    fn step(&mut self, event: Event) {
        let was_over = self.call.is_over();
        let was_offered = self.call.record.provider.is_some();
        let ended = self.call.record.ended.clone();
        self.witness.before(&self.call, &event);
        let what = format!("{event:?}");
        let actions = self.call.step(event, self.now);
        self.witness.after(&self.call, &actions, self.now);
        for action in &actions {
            match action {
                Action::Keep(Keep::Line(line)) => drop(self.lines.insert(line.n, line.clone())),
                Action::Keep(Keep::ToolCall(tool)) => drop(self.tools.insert(tool.n, tool.clone())),
                _ => {}
            }
        }
        if was_over {
            assert!(self.call.is_over(), "alive again after {what}");
            let is_quiet = |action: &Action| match action {
                Action::Keep(Keep::Record) => true,
                // What becomes of a caller who was handed on is known later.
                Action::Keep(Keep::Event(event)) => {
                    event.kind.starts_with("transfer.") || event.kind == "offer.late"
                }
                Action::TurnAway { .. } => true,
                Action::Reject { .. } => !was_offered,
                _ => false,
            };
            assert!(actions.iter().all(is_quiet), "{what} after the end: {actions:?}");
            let reason = |ended: Option<Ended>| ended.map(|ended| ended.reason);
            let (before, after) = (reason(ended), reason(self.call.record.ended.clone()));
            let is_corrected = matches!(
                (before, after),
                (Some(EndedReason::CallerHangup), Some(EndedReason::ProviderDropped))
                    | (Some(EndedReason::CallerGone), Some(EndedReason::LegFailed))
            );
            assert!(before == after || is_corrected, "{before:?} became {after:?}");
        }
    }

    /// Time passes; deadlines are followed, and each is moved or cleared when it was handled.
    fn until(&mut self, moment: Timestamp) {
        let mut at_once = 0;
        while let Some(deadline) = self.call.deadline().filter(|deadline| *deadline <= moment) {
            at_once = if deadline > self.now { 0 } else { at_once + 1 };
            assert!(at_once <= DEADLINES_AT_ONCE_MAX, "a busy loop at {}: {:?}", self.now, self.call);
            self.now = self.now.max(deadline);
            self.step(Event::Deadline);
        }
        self.now = self.now.max(moment);
    }
}

fn examine(depth: u8, shape: u8, happenings: &[Happening]) -> Examined {
    let mut examined = Examined::new(shape);
    for event in opening(depth, shape) {
        examined.until(examined.now + Duration::from_millis(100));
        examined.step(event);
    }
    for happening in happenings {
        examined.until(examined.now + Duration::from_millis(happening.gap_ms));
        examined.step(event(happening));
    }
    examined
}

/// A provider that does what it is asked, and a tool that takes its time: what a call of it comes to.
struct Cooperative {
    call: Call,
    now: Timestamp,
    /// What comes next, by its moment and its number.
    later: BTreeMap<(Timestamp, usize), Event>,
    count: usize,
    /// Turns and how they came about: asked for with tools allowed (a continuation), or not.
    continuations: usize,
    asides: usize,
    /// How often turn detection was changed, and how it stands.
    deferring: bool,
    outputs: BTreeSet<String>,
    /// Outputs that no turn has seen which may speak about them.
    unseen: BTreeSet<String>,
}

impl Cooperative {
    fn new(shape: u8) -> Cooperative {
        let mut world = Cooperative {
            call: Call::begin(story::beginning()),
            now: story::at(0),
            later: BTreeMap::new(),
            count: 0,
            continuations: 0,
            asides: 0,
            deferring: false,
            outputs: BTreeSet::new(),
            unseen: BTreeSet::new(),
        };
        for event in opening(4, shape & 3) {
            world.step(event);
        }
        world
    }

    fn after(&mut self, millis: u64, event: Event) {
        self.count += 1;
        self.later.insert((self.now + Duration::from_millis(millis), self.count), event);
    }

    fn step(&mut self, event: Event) {
        if let Event::Provider(ProviderEvent::TurnStarted { command: None, .. }) = &event {
            // The caller's own turn: it sees what is in the conversation.
            self.unseen.clear();
        }
        for action in self.call.step(event, self.now) {
            match action {
                Action::Send(id, ProviderCommand::PromptTurn { instructions, may_call_tools }) => {
                    let turn = format!("own{}", id.0);
                    if may_call_tools && instructions.is_none() {
                        self.continuations += 1;
                        self.unseen.clear();
                    } else {
                        self.asides += 1;
                    }
                    self.after(30, story::begins_as(&turn, id.0));
                    self.after(60, story::says(&turn, "はい"));
                    self.after(61, story::plays(&turn));
                    self.after(120, story::done(&turn));
                    self.after(900, story::played(&turn));
                }
                Action::Send(_, ProviderCommand::SubmitToolResult { tool_call, .. }) => {
                    assert!(self.outputs.insert(tool_call.0.clone()), "{tool_call} is answered twice");
                    self.unseen.insert(tool_call.0.clone());
                    self.after(20, story::acked(&tool_call.0));
                }
                Action::Send(id, ProviderCommand::ReadBackToolResult { tool_call }) => {
                    let answer = match self.outputs.contains(&tool_call.0) {
                        true => story::acked(&tool_call.0),
                        false => story::error(ErrorClass::BadCommand, Some(id.0)),
                    };
                    self.after(20, answer);
                }
                Action::Send(_, ProviderCommand::SetTurnDetection(json)) => {
                    assert_ne!(self.deferring, json.get() == "0", "told what it knows");
                    self.deferring = json.get() == "0";
                }
                _ => {}
            }
        }
    }

    fn until(&mut self, moment: Timestamp) {
        loop {
            let next = self.later.keys().next().copied().filter(|(at, _)| *at <= moment);
            let deadline = self.call.deadline().filter(|at| *at <= moment);
            match (next, deadline) {
                (Some(key), deadline) if deadline.is_none_or(|deadline| key.0 <= deadline) => {
                    self.now = self.now.max(key.0);
                    let event = self.later.remove(&key).expect("it was just seen");
                    self.step(event);
                }
                (_, Some(deadline)) => {
                    self.now = self.now.max(deadline);
                    self.step(Event::Deadline);
                }
                _ => break,
            }
        }
        self.now = self.now.max(moment);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_witness_sees_nothing_wrong(
        depth in prop_oneof![1 => 0..4_u8, 6 => Just(4_u8)],
        shape in 0..64_u8,
        happenings in happenings(),
    ) {
        examine(depth, shape, &happenings);
    }

    #[test]
    fn a_call_whose_process_dies_goes_on_or_ends_and_no_tool_runs_twice(
        depth in prop_oneof![1 => 0..4_u8, 6 => Just(4_u8)],
        shape in 0..128_u8,
        before in happenings(),
        after in happenings(),
        again in happenings(),
    ) {
        let mut examined = examine(depth, shape, &before);
        for happenings in [&after, &again] {
            examined.restart(shape);
            for happening in happenings {
                examined.until(examined.now + Duration::from_millis(happening.gap_ms));
                examined.step(event(happening));
            }
        }
        examined.step(story::caller_status("completed"));
        examined.step(story::lost());
        examined.until(examined.now + Duration::from_secs(700));
        prop_assert!(examined.call.is_over(), "{:?}", examined.call);
    }

    #[test]
    fn a_call_whose_carrier_and_provider_are_gone_ends(
        depth in 0..=4_u8,
        shape in 0..64_u8,
        happenings in happenings(),
    ) {
        let mut examined = examine(depth, shape, &happenings);
        examined.step(story::dial_ended("completed", None, true, "completed"));
        examined.until(examined.now + Duration::from_secs(10));
        prop_assert!(examined.call.is_over(), "{:?}", examined.call);
        prop_assert_eq!(examined.call.deadline(), None);
        let cancelled = examined.witness.runs.difference(&examined.witness.finished).count();
        prop_assert_eq!(cancelled, 0);
    }

    #[test]
    fn a_call_with_a_limit_ends_although_nothing_is_ever_reported_again(
        shape in 0..64_u8,
        happenings in happenings(),
    ) {
        let mut examined = examine(4, shape | 16, &happenings);
        examined.until(examined.now + Duration::from_secs(300));
        // One thing is waited for without end: the answer to an accept, which always comes.
        prop_assert!(examined.call.record.state != State::Live, "{:?}", examined.call);
    }

    #[test]
    fn the_same_events_lead_to_the_same_record(
        shape in 0..64_u8,
        happenings in happenings(),
    ) {
        let (first, second) = (examine(4, shape, &happenings), examine(4, shape, &happenings));
        prop_assert_eq!(first.call.record, second.call.record);
    }

    /// Whatever is said while tools run, and however long they take: each is answered once, the model
    /// goes on once for each turn that asked, and the caller can take the word again.
    #[test]
    fn fillers_and_sayings_neither_double_a_continuation_nor_lose_one(
        shape in 0..4_u8,
        asked in prop::collection::vec((1..4_u64, 1..3_000_u64, 0..4_u64, 0..12_u8), 1..4),
    ) {
        let mut world = Cooperative::new(shape);
        let mut tools = 0;
        for (at, (several, takes, tells, other)) in asked.iter().enumerate() {
            let turn = format!("ask{at}");
            world.after(0, story::begins(&turn));
            for n in 0..*several {
                let call = format!("c{at}-{n}");
                tools += 1;
                world.after(10 + n, story::wants_lookup(&turn, &call));
                for tell in 0..*tells {
                    let wish = if other % 2 == 0 { Wish::Progress("半分".into()) } else { Wish::Say("はい".into()) };
                    world.after(20 + tell * takes / 4, story::wished(Some(&call), wish));
                }
                world.after(20 + takes + n * 37, story::answers(&call));
            }
            world.after(19, story::done(&turn));
            world.until(world.now + Duration::from_secs(120));
            prop_assert!(world.unseen.is_empty(), "{:?} is never spoken about", world.unseen);
            prop_assert_eq!(world.continuations, at + 1);
            prop_assert!(!world.deferring, "the caller may not take the word any more");
        }
        prop_assert_eq!(world.outputs.len(), tools);
        prop_assert!(shape & 1 == 1 || world.asides as u64 <= asked.iter().map(|(n, _, t, _)| n * t + 1).sum::<u64>());
    }
}
