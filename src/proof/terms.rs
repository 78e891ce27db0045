//! On what terms a caller is answered: every shape that matters to the rules, drawn from the caller's number.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;

use crate::call::consent::{Announcer, Consent, announced};
use crate::call::record::Path;
use crate::call::terms::{Greeting, Terms, ToolTerms, TurnDetection};
use crate::call::usage::{Price, Prices, TokenPrice};
use crate::routing::{Announcement, Recording};

/// A tool that only reads.
pub(super) const LOOKUP: &str = "lookup";
/// A tool whose effect must not come twice.
pub(super) const PAY: &str = "pay";
/// What the words of turn detection have in them when the model is not to take its turns by itself.
pub(super) const DEFERS: &str = "create_response";

/// The path that a caller takes first.
pub(super) fn path_of(caller: u32) -> Path {
    if caller.is_multiple_of(4) { Path::MediaStreams } else { Path::Sip }
}

/// The path that is left should that one fail.
pub(super) fn other_path_of(caller: u32) -> Option<Path> {
    match (caller % 3, path_of(caller)) {
        (0, Path::Sip) => Some(Path::MediaStreams),
        (0, _) => Some(Path::Sip),
        _ => None,
    }
}

/// What callers are told of the recording.
pub(super) const ANNOUNCEMENT: &str = "This call is recorded.";

/// How the route of a caller records its calls, where calls are recorded: of three callers one is told by the carrier, one
/// by the model, and one is not told, as nobody need be on that route.
pub(super) fn recording_of(caller: u32) -> Recording {
    let announced =
        |by| Announcement { text: ANNOUNCEMENT.to_owned(), language: "en-US".to_owned(), voice: None, by };
    let announcement = match caller % 3 {
        0 => Some(announced(Announcer::Carrier)),
        1 => Some(announced(Announcer::Assistant)),
        _ => None,
    };
    Recording { announcement }
}

/// The terms of a caller, the same in every process.
pub(super) fn terms_of(caller: u32, consent: Option<&Consent>) -> Terms {
    let greeting = match caller % 4 {
        0 => None,
        1 => Some(String::new()),
        _ => Some("Greet the caller.".to_owned()),
    };
    let tokens = |input, output| TokenPrice { input, cached: 0.4, output };
    let realtime = Price { text: tokens(4.0, 24.0), audio: tokens(32.0, 64.0), ..Price::default() };
    let scribe = Price { per_minute: 0.006, ..Price::default() };
    let pay =
        ToolTerms { say_first: Some("One moment.".to_owned()), interruptible: !caller.is_multiple_of(5) };
    let lookup = ToolTerms { say_first: None, interruptible: true };
    let tools: BTreeMap<String, ToolTerms> = match caller % 5 {
        0 | 1 => [(PAY.to_owned(), pay), (LOOKUP.to_owned(), lookup)].into(),
        _ => BTreeMap::new(),
    };
    Terms {
        session: "front-desk".to_owned(),
        model: "realtime".to_owned(),
        transcription_model: Some("scribe".to_owned()),
        greeting: match announced(consent, greeting) {
            None => Greeting::Wait,
            Some(text) if text.is_empty() => Greeting::ByInstructions,
            Some(text) => Greeting::Prompt(text),
        },
        turn_detection: (!caller.is_multiple_of(7)).then(|| turn_detection(caller.is_multiple_of(2))),
        duration_max: Some(Duration::from_secs(if caller.is_multiple_of(11) { 150 } else { 1_800 })),
        silence_max: caller.is_multiple_of(2).then(|| Duration::from_secs(40)),
        tool_calls_max: if caller.is_multiple_of(13) { 3 } else { 40 },
        tools,
        transfer_targets: [("sales".to_owned(), "tel:+81300000001".to_owned())].into(),
        prices: Arc::new(Prices([("realtime".to_owned(), realtime), ("scribe".to_owned(), scribe)].into())),
    }
}

fn turn_detection(is_off_at_first: bool) -> TurnDetection {
    let json = |text: String| RawValue::from_string(text).unwrap_or_default();
    TurnDetection {
        usual: json(r#"{"type":"server_vad"}"#.to_owned()),
        deferring: json(format!(r#"{{"type":"server_vad","{DEFERS}":false}}"#)),
        is_off_at_first,
    }
}
