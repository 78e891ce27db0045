//! Bytes as the life of a call: a small decoder, so that a fuzzer's mutations become other orders of events.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use switchboard::call::event::*;
use switchboard::call::record::{Carrier, JoinedBy, Path, ToolOutcomeKind, Usage};
use switchboard::call::terms::{Greeting, Terms, ToolTerms};
use switchboard::call::usage::Prices;
use switchboard::call::{Beginning, Event};
use switchboard::clock::Timestamp;
use switchboard::ids::{CallId, ItemId, ToolCallId, TurnId};

/// When every call begins.
const DAWN: Timestamp = Timestamp::from_secs(1_795_000_000);

/// Reads events out of bytes; ends with them.
pub struct Decoder<'a> {
    bytes: &'a [u8],
}

impl<'a> Decoder<'a> {
    /// A decoder of these bytes.
    pub fn new(bytes: &'a [u8]) -> Decoder<'a> {
        Decoder { bytes }
    }

    /// The next byte; 0 at the end.
    pub fn byte(&mut self) -> u8 {
        let (first, rest) = self.bytes.split_first().unwrap_or((&0, &[]));
        self.bytes = rest;
        *first
    }

    /// How long nothing happens, in milliseconds.
    pub fn gap_ms(&mut self) -> u64 {
        let byte = u64::from(self.byte());
        if byte < 200 { byte } else { (byte - 199) * 1_000 }
    }

    /// Claims that the process died.
    pub fn restarts(&mut self) -> bool {
        self.byte() > 250
    }

    /// The next event; none at the end.
    pub fn event(&mut self) -> Option<Event> {
        let (kind, id) = (*self.bytes.first()?, self.bytes.get(1).copied().unwrap_or_default());
        self.bytes = self.bytes.get(2..).unwrap_or_default();
        Some(event(kind, id))
    }
}

fn event(kind: u8, id: u8) -> Event {
    let provider = Event::Provider;
    let turn = TurnId(format!("t{}", id % 4));
    let item = ItemId(format!("i{}", id % 4));
    let call = || ToolCall {
        id: ToolCallId(format!("c{}", id % 6)),
        name: ["lookup", "pay", "hangup", "transfer"][usize::from(id / 8 % 4)].to_owned(),
        arguments: if id > 200 { "[".to_owned() } else { "{}".to_owned() },
    };
    let at_ms = Some(u64::from(id) * 100);
    let status = || ["in-progress", "completed", "busy", "ringing"][usize::from(id % 4)].to_owned();
    match kind % 34 {
        0 | 1 => Event::Offered(Box::new(offer(id))),
        2 => Event::AcceptSent,
        3 => Event::AcceptAnswered(match id % 6 {
            0 => AcceptAnswer::AlreadyDecided,
            1 => AcceptAnswer::Gone,
            2 => AcceptAnswer::Unclear("?".to_owned()),
            3 => AcceptAnswer::Refused("no".to_owned()),
            4 => AcceptAnswer::Session(Some("sess_1".into())),
            _ => AcceptAnswer::Ok,
        }),
        4 => Event::AttachFailed(match id % 3 {
            0 => AttachFailure::NotFound,
            1 => AttachFailure::Denied(401),
            _ => AttachFailure::Passing("?".to_owned()),
        }),
        5 | 6 => provider(ProviderEvent::Attached {
            expires_at: (id % 3 == 0).then(|| DAWN + Duration::from_secs(u64::from(id) * 10)),
            padding: SpeechPadding { before: Duration::from_millis(300), after: Duration::from_millis(200) },
        }),
        7 => Event::SidebandLost((id % 2 == 0).then_some(1_006)),
        8 => provider(ProviderEvent::TurnStarted { turn, command: None }),
        9 => provider(ProviderEvent::TurnStarted { turn, command: Some(CommandId(u64::from(id / 4))) }),
        10 | 11 => provider(ProviderEvent::TurnEnded {
            turn,
            status: [
                TurnStatus::Completed,
                TurnStatus::Cancelled,
                TurnStatus::Failed,
                TurnStatus::Incomplete,
            ][usize::from(id / 4 % 4)],
            reason: None,
            usage: Some(Usage { text_in: u64::from(id), audio_out: u64::MAX / 2, ..Usage::default() }),
            tool_calls: if id > 128 { vec![call()] } else { Vec::new() },
        }),
        12 | 13 => provider(ProviderEvent::ToolCallRequested { turn, call: call() }),
        14 | 15 => Event::ToolFinished(ToolFinished {
            tool_call: call().id,
            kind: ToolOutcomeKind::Ok,
            output: "{}".to_owned(),
        }),
        16 => provider(ProviderEvent::ToolResultAcknowledged { tool_call: call().id }),
        17 => {
            let mode = [TextMode::Append, TextMode::Replace, TextMode::Final][usize::from(id / 4 % 3)];
            let text = "はい".to_owned();
            provider(ProviderEvent::AssistantTranscript {
                item: ItemId(format!("a{}", id % 4)),
                turn,
                text,
                mode,
            })
        }
        18 => provider(ProviderEvent::PlaybackStarted { turn }),
        19 => provider(ProviderEvent::PlaybackDrained { turn }),
        20 => provider(ProviderEvent::PlaybackCleared { turn }),
        21 => provider(ProviderEvent::CallerSpeechStarted { item, at_ms }),
        22 => provider(ProviderEvent::CallerSpeechStopped { item, at_ms }),
        23 => provider(ProviderEvent::CallerTranscript {
            item,
            text: "ええ".to_owned(),
            mode: [TextMode::Append, TextMode::Replace, TextMode::Final][usize::from(id / 4 % 3)],
            usage: Some(Usage { transcription_s: f64::INFINITY, ..Usage::default() }),
        }),
        24 => {
            provider(ProviderEvent::Key { digit: if id > 128 { '#' } else { '5' }, model_knows: id % 2 == 0 })
        }
        25 => provider(ProviderEvent::Error {
            class: [
                ErrorClass::Benign,
                ErrorClass::TurnActive,
                ErrorClass::BadCommand,
                ErrorClass::Capacity,
                ErrorClass::Expired,
                ErrorClass::Other,
            ][usize::from(id % 6)],
            code: None,
            message: "?".to_owned(),
            command: (id > 128).then_some(CommandId(u64::from(id % 16))),
        }),
        26 => Event::Carrier(CarrierEvent::Leg {
            sid: "CL1".into(),
            status: status(),
            sequence: Some(u32::from(id / 4)),
            sip_code: None,
            sip_call_id: None,
            duration_s: None,
        }),
        27 => Event::Carrier(CarrierEvent::DialEnded {
            status: status(),
            bridged: Some(id > 128),
            leg_sid: None,
            sip_code: Some(503),
            sip_call_id: None,
            duration_s: None,
            caller_status: "in-progress".to_owned(),
        }),
        28 => Event::Carrier(CarrierEvent::StreamEnded { caller_status: status() }),
        29 => Event::Carrier(CarrierEvent::Caller { status: status() }),
        30 => Event::ReferAnswered(if id > 128 { Ok(()) } else { Err("no".to_owned()) }),
        31 => Event::Wished(Wished {
            by: "p".to_owned(),
            tool_call: Some(call().id),
            wish: match id % 5 {
                0 => Wish::Say("はい".to_owned()),
                1 => Wish::HangUp,
                2 => Wish::Transfer("sales".to_owned()),
                3 => Wish::Progress("半分".to_owned()),
                _ => Wish::SetVariable { name: format!("v{id}"), value: "x".to_owned() },
            },
        }),
        32 if id > 240 => Event::Command(Command::HangUp),
        _ => Event::Deadline,
    }
}

fn offer(id: u8) -> Offer {
    Offer {
        path: if id % 5 == 0 { Path::MediaStreams } else { Path::Sip },
        provider: "openai-realtime",
        call_id: "rtc_1".into(),
        webhook_id: "wh_1".into(),
        created: DAWN,
        received: DAWN,
        joined_by: JoinedBy::Token,
        sip_headers: Vec::new(),
        verdict: Verdict::Answer(Box::new(terms(id))),
        hooks: FromHooks::default(),
        accept_within: (id % 2 == 0).then_some(Duration::from_millis(1_500)),
    }
}

/// Terms of every shape.
pub fn terms(shape: u8) -> Terms {
    let lookup =
        ToolTerms { say_first: (shape & 1 != 0).then(|| "少々".to_owned()), interruptible: shape & 2 == 0 };
    Terms {
        session: "s".to_owned(),
        model: "m".to_owned(),
        transcription_model: Some("t".to_owned()),
        greeting: if shape & 4 == 0 { Greeting::Wait } else { Greeting::ByInstructions },
        turn_detection: None,
        duration_max: (shape & 8 != 0).then(|| Duration::from_secs(60)),
        silence_max: (shape & 16 != 0).then(|| Duration::from_secs(10)),
        tool_calls_max: if shape & 32 == 0 { 100 } else { 3 },
        tools: BTreeMap::from([("lookup".to_owned(), lookup)]),
        transfer_targets: BTreeMap::from([("sales".to_owned(), "tel:+81300000001".to_owned())]),
        prices: Arc::new(Prices::default()),
    }
}

/// How a call begins.
pub fn beginning(shape: u8) -> Beginning {
    Beginning {
        id: CallId::new(DAWN, [7; 10]),
        path: if shape & 1 == 0 { Path::Sip } else { Path::MediaStreams },
        caller: None,
        callee: None,
        route: None,
        carrier: (shape & 2 == 0).then(carrier),
        carrier_asked: Some(DAWN),
        vars: BTreeMap::new(),
        other_path: (shape & 4 != 0).then_some(Path::MediaStreams),
        avoided: None,
    }
}

fn carrier() -> Carrier {
    Carrier::asking("twilio", "CA1".into(), "AC1", "ringing")
}

/// What is kept of a call, and the call that the next process makes of it.
pub mod remembered {
    use std::collections::BTreeMap;

    use switchboard::call::event::{Keep, TakenUp};
    use switchboard::call::record::{Line, State, ToolCallRecord};
    use switchboard::call::resume::Remembered;
    use switchboard::call::{Action, Call, Event};
    use switchboard::clock::Timestamp;

    /// Lines and tool calls on disk.
    #[derive(Default)]
    pub struct Kept {
        lines: BTreeMap<u32, Line>,
        tools: BTreeMap<u32, ToolCallRecord>,
    }

    impl Kept {
        /// Keeps what these actions ask for.
        pub fn keep(&mut self, actions: &[Action]) {
            for action in actions {
                match action {
                    Action::Keep(Keep::Line(line)) => drop(self.lines.insert(line.n, line.clone())),
                    Action::Keep(Keep::ToolCall(tool)) => drop(self.tools.insert(tool.n, tool.clone())),
                    _ => {}
                }
            }
        }

        /// The call in the next process, taken up; no tool may run twice.
        pub fn restore(&mut self, call: &Call, now: Timestamp, shape: u8) -> Call {
            let record = call.record.clone();
            let mut lines: Vec<Line> = self.lines.values().cloned().collect();
            lines.sort_by_key(|line| (line.started, line.n));
            let tool_calls = self.tools.values().cloned().collect();
            let terms = (record.state != State::Dialing).then(|| super::terms(shape));
            let remembered = Remembered { record, lines, tool_calls, terms, forward_to: None };
            let mut call = Call::restore(remembered, now);
            let how = TakenUp { is_fresh: shape & 1 == 0, ..TakenUp::default() };
            let actions = call.step(Event::TakenUp(how), now);
            self.keep(&actions);
            call
        }
    }
}
