//! OpenAI Realtime as a dialect of the neutral vocabulary: frames to events, commands to frames.
//!
//! [`read`] never fails and keeps no memory: one frame is one event. What a call cannot use is
//! `Ignored`, what is new or senseless is `Unknown`. Commands carry their number in the event id, by
//! which an error names them, and `response.create` also in the metadata, by which the turn that
//! answers it is known.

use std::collections::BTreeMap;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::usage;
use crate::call::event::{
    CommandId, ContextRole, ErrorClass, ProviderCommand, ProviderEvent, SpeechPadding, TextMode, ToolCall,
    TurnStatus,
};
use crate::call::record::Speaker;
use crate::clock::Timestamp;
use crate::ids::ToolCallId;
use crate::text::hex;
use crate::wire::realtime::client::{NewContent, NewItem, NewResponse, SessionUpdate};
use crate::wire::realtime::server::{
    ErrorBody, Item, Key, OutputItem, OutputText, PutItem, Response, Session, Transcription, TurnDetection,
};
use crate::wire::realtime::{ClientEvent, ServerEvent};

/// The key of a response's metadata under which the number of our command stands.
const COMMAND_KEY: &str = "switchboard_command";

/// What our event ids begin with.
const EVENT_ID_PREFIX: &str = "sb_";

/// So many bytes of a digest name an item; ids of items have at most 32 characters.
const OUTPUT_ITEM_BYTES: usize = 12;

/// How much of an unknown kind's name is kept, in characters.
const KIND_CHARS_MAX: usize = 100;

/// Reads one text frame of the sideband.
pub fn read(frame: &str) -> ProviderEvent {
    match ServerEvent::read(frame) {
        ServerEvent::SessionCreated(session) => attached(&session),
        ServerEvent::SessionUpdated(session) => ProviderEvent::Configured { padding: padding_of(&session) },
        ServerEvent::SpeechStarted(speech) => {
            ProviderEvent::CallerSpeechStarted { item: speech.item_id, at_ms: speech.audio_start_ms }
        }
        ServerEvent::SpeechStopped(speech) => {
            ProviderEvent::CallerSpeechStopped { item: speech.item_id, at_ms: speech.audio_end_ms }
        }
        ServerEvent::Key(key) => key_pressed(&key),
        ServerEvent::TranscriptionDelta(words) => caller_words_more(words),
        ServerEvent::TranscriptionCompleted(words) => caller_words_done(words),
        ServerEvent::TranscriptionFailed(words) => transcription_failed(words),
        ServerEvent::ItemPut(put) => item_put(put),
        ServerEvent::ItemRetrieved(item) => item_retrieved(item),
        ServerEvent::ResponseCreated(response) => turn_started(*response),
        ServerEvent::OutputItemDone(output) => output_item_done(output),
        ServerEvent::OutputDelta(words) => assistant_words_more(words),
        ServerEvent::OutputDone(words) => assistant_words_done(words),
        ServerEvent::ResponseDone(response) => turn_ended(*response),
        ServerEvent::PlaybackStarted(playback) => {
            ProviderEvent::PlaybackStarted { turn: playback.response_id }
        }
        ServerEvent::PlaybackStopped(playback) => {
            ProviderEvent::PlaybackDrained { turn: playback.response_id }
        }
        ServerEvent::PlaybackCleared(playback) => {
            ProviderEvent::PlaybackCleared { turn: playback.response_id }
        }
        ServerEvent::Error(error) => went_wrong(error),
        ServerEvent::McpToolsMissing => ProviderEvent::RemoteToolsMissing,
        ServerEvent::McpCallEnded { ok } => ProviderEvent::RemoteToolEnded { is_ok: ok },
        ServerEvent::Unused => ProviderEvent::Ignored,
        ServerEvent::Unknown { kind } => unknown(&kind),
    }
}

/// Writes one command as a text frame.
pub fn write(id: CommandId, command: &ProviderCommand) -> String {
    let number = id.0.to_string();
    let event_id = format!("{EVENT_ID_PREFIX}{number}");
    let event_id = event_id.as_str();
    let event = match command {
        ProviderCommand::PromptTurn { instructions, may_call_tools } => ClientEvent::ResponseCreate {
            event_id,
            response: NewResponse {
                instructions: instructions.as_deref(),
                tool_choice: (!may_call_tools).then_some("none"),
                metadata: BTreeMap::from([(COMMAND_KEY, number.as_str())]),
            },
        },
        ProviderCommand::SubmitToolResult { tool_call, output } => ClientEvent::ItemCreate {
            event_id,
            item: NewItem::FunctionCallOutput {
                id: Some(&output_item(tool_call)),
                call_id: tool_call.as_str(),
                output,
            },
        },
        ProviderCommand::ReadBackToolResult { tool_call } => {
            ClientEvent::ItemRetrieve { event_id, item_id: &output_item(tool_call) }
        }
        ProviderCommand::ReadBack { item } => ClientEvent::ItemRetrieve { event_id, item_id: item.as_str() },
        ProviderCommand::InjectContext { role, text } => ClientEvent::ItemCreate {
            event_id,
            item: NewItem::Message { role: role_name(*role), content: [NewContent::InputText { text }] },
        },
        ProviderCommand::SetTurnDetection(turn_detection) => {
            ClientEvent::SessionUpdate { event_id, session: SessionUpdate::turn_detection(turn_detection) }
        }
    };
    event.render()
}

/// An event of which nothing but the name is known.
pub fn unknown(kind: &str) -> ProviderEvent {
    let printable = kind.chars().filter(|letter| !letter.is_control());
    ProviderEvent::Unknown { kind: printable.take(KIND_CHARS_MAX).collect() }
}

fn role_name(role: ContextRole) -> &'static str {
    match role {
        ContextRole::System => "system",
        ContextRole::User => "user",
    }
}

fn attached(session: &Session) -> ProviderEvent {
    ProviderEvent::Attached {
        expires_at: session.expires_at_s.map(Timestamp::from_secs),
        padding: padding_of(session),
    }
}

/// How far the speech times of this session reach beyond the speech.
pub fn padding_of(session: &Session) -> SpeechPadding {
    session.turn_detection.as_ref().map(padding).unwrap_or_default()
}

/// How far speech times reach beyond the speech: only `server_vad` pads by fixed amounts.
///
/// An amount that is not given is the documented default (guide "Voice activity detection").
fn padding(turn_detection: &TurnDetection) -> SpeechPadding {
    if turn_detection.kind.as_deref() != Some("server_vad") {
        return SpeechPadding::default();
    }
    SpeechPadding {
        before: Duration::from_millis(turn_detection.prefix_padding_ms.unwrap_or(300)),
        after: Duration::from_millis(turn_detection.silence_duration_ms.unwrap_or(500)),
    }
}

fn key_pressed(key: &Key) -> ProviderEvent {
    let mut digits = key.event.chars();
    match (digits.next(), digits.next()) {
        (Some(digit @ ('0'..='9' | '*' | '#' | 'A'..='D')), None) => {
            ProviderEvent::Key { digit, model_knows: false }
        }
        _ => unknown("input_audio_buffer.dtmf_event_received"),
    }
}

fn caller_words_more(words: Transcription) -> ProviderEvent {
    let text = words.delta.unwrap_or_default();
    ProviderEvent::CallerTranscript { item: words.item_id, text, mode: TextMode::Append, usage: None }
}

fn caller_words_done(words: Transcription) -> ProviderEvent {
    let text = words.transcript.unwrap_or_default();
    let usage = words.usage.as_ref().map(usage::of_transcription);
    ProviderEvent::CallerTranscript { item: words.item_id, text, mode: TextMode::Final, usage }
}

fn transcription_failed(words: Transcription) -> ProviderEvent {
    let reason = words.error.and_then(shortest_reason).unwrap_or_else(|| "no reason given".to_owned());
    ProviderEvent::CallerTranscriptFailed { item: words.item_id, reason }
}

/// What an error can be told by: its code, else its family, else its text.
fn shortest_reason(error: ErrorBody) -> Option<String> {
    error.code.or(error.kind).or(error.message)
}

/// The id of the item that a tool's output is put into: the same whenever it is sent, so that it can be asked for.
fn output_item(tool_call: &ToolCallId) -> String {
    let digest = Sha256::digest(tool_call.as_str().as_bytes());
    format!("{EVENT_ID_PREFIX}{}", hex(&digest[..OUTPUT_ITEM_BYTES]))
}

fn item_put(put: PutItem) -> ProviderEvent {
    match (put.item.call_id, put.item.id) {
        (Some(tool_call), _) if put.item.kind == "function_call_output" => {
            ProviderEvent::ToolResultAcknowledged { tool_call }
        }
        (_, Some(item)) => ProviderEvent::ItemAdded { item, previous: put.previous_item_id },
        _ => ProviderEvent::Ignored,
    }
}

fn item_retrieved(item: Item) -> ProviderEvent {
    let speaker = match (item.kind.as_str(), item.role.as_deref()) {
        ("function_call_output", _) => {
            let tool_call = item.call_id.map(|tool_call| ProviderEvent::ToolResultAcknowledged { tool_call });
            return tool_call.unwrap_or(ProviderEvent::Ignored);
        }
        ("message", Some("user")) => Speaker::Caller,
        ("message", Some("assistant")) => Speaker::Assistant,
        _ => return ProviderEvent::Ignored,
    };
    let parts = item.content.into_iter().flatten();
    let words: Vec<String> = parts.filter_map(|part| part.transcript.or(part.text)).collect();
    match item.id {
        Some(item) => ProviderEvent::ReadBack { item, speaker, text: words.join(" ") },
        None => ProviderEvent::Ignored,
    }
}

fn turn_started(response: Response) -> ProviderEvent {
    if response.is_out_of_band {
        return ProviderEvent::Ignored;
    }
    ProviderEvent::TurnStarted { command: command_of(&response), turn: response.id }
}

fn command_of(response: &Response) -> Option<CommandId> {
    let number = response.metadata.as_ref()?.get(COMMAND_KEY)?;
    number.parse().ok().map(CommandId)
}

/// A tool runs only on a finished item: an interrupted response also ends its items, `incomplete`.
fn output_item_done(output: OutputItem) -> ProviderEvent {
    if output.item.status.as_deref() != Some("completed") {
        return ProviderEvent::Ignored;
    }
    match tool_call(output.item) {
        Some(call) => ProviderEvent::ToolCallRequested { turn: output.response_id, call },
        None => ProviderEvent::Ignored,
    }
}

fn tool_call(item: Item) -> Option<ToolCall> {
    if item.kind != "function_call" {
        return None;
    }
    Some(ToolCall { id: item.call_id?, name: item.name?, arguments: item.arguments.unwrap_or_default() })
}

fn assistant_words_more(words: OutputText) -> ProviderEvent {
    let text = words.delta.unwrap_or_default();
    let (turn, item) = (words.response_id, words.item_id);
    ProviderEvent::AssistantTranscript { turn, item, text, mode: TextMode::Append }
}

/// The words of a part are known as a whole; those of a later part have come piece by piece, and must
/// not replace the first part's.
fn assistant_words_done(words: OutputText) -> ProviderEvent {
    let is_first_part = words.content_index.unwrap_or_default() == 0;
    match words.transcript.or(words.text) {
        Some(text) if is_first_part => {
            let (turn, item) = (words.response_id, words.item_id);
            ProviderEvent::AssistantTranscript { turn, item, text, mode: TextMode::Final }
        }
        _ => ProviderEvent::Ignored,
    }
}

fn turn_ended(response: Response) -> ProviderEvent {
    if response.is_out_of_band {
        return ProviderEvent::Ignored;
    }
    let status = turn_status(response.status.as_deref());
    let details = response.status_details.unwrap_or_default();
    let is_completed = |item: &Item| match item.status.as_deref() {
        Some(status) => status == "completed",
        None => status == TurnStatus::Completed,
    };
    ProviderEvent::TurnEnded {
        turn: response.id,
        status,
        reason: details.error.and_then(shortest_reason).or(details.reason),
        usage: response.usage.as_ref().map(usage::of_response),
        tool_calls: response.output.into_iter().filter(is_completed).filter_map(tool_call).collect(),
    }
}

/// A status that is not known says that the turn did not end as it should.
fn turn_status(status: Option<&str>) -> TurnStatus {
    match status {
        Some("completed") | None => TurnStatus::Completed,
        Some("cancelled") => TurnStatus::Cancelled,
        Some("failed") => TurnStatus::Failed,
        Some(_) => TurnStatus::Incomplete,
    }
}

fn went_wrong(error: ErrorBody) -> ProviderEvent {
    let class = error_class(&error);
    let command = error.event_id.as_deref().and_then(command_of_event);
    let message = error.message.unwrap_or_default();
    ProviderEvent::Error { class, code: error.code.or(error.kind), message, command }
}

fn command_of_event(event_id: &str) -> Option<CommandId> {
    event_id.strip_prefix(EVENT_ID_PREFIX)?.parse().ok().map(CommandId)
}

/// By the code; where that says nothing, by the family and the text.
fn error_class(error: &ErrorBody) -> ErrorClass {
    let message = error.message.as_deref().unwrap_or_default();
    match error.code.as_deref().unwrap_or_default() {
        "conversation_already_has_active_response" => return ErrorClass::TurnActive,
        "response_cancel_not_active"
        | "input_audio_buffer_commit_empty"
        | "item_truncate_invalid_item_id" => return ErrorClass::Benign,
        "invalid_value" if message.contains("already shorter than") => return ErrorClass::Benign,
        "missing_required_parameter"
        | "unknown_parameter"
        | "invalid_type"
        | "invalid_value"
        | "invalid_event" => return ErrorClass::BadCommand,
        "session_expired" => return ErrorClass::Expired,
        "rate_limit_exceeded" | "insufficient_quota" | "server_error" => return ErrorClass::Capacity,
        _ => {}
    }
    if message.contains("already has an active response") {
        return ErrorClass::TurnActive;
    }
    match error.kind.as_deref().unwrap_or_default() {
        "server_error" | "rate_limit_exceeded" | "insufficient_quota" => ErrorClass::Capacity,
        "invalid_request_error" if message.contains("maximum duration") => ErrorClass::Expired,
        "invalid_request_error" if message.contains("no active response") => ErrorClass::Benign,
        "invalid_request_error" if error.event_id.is_some() => ErrorClass::BadCommand,
        _ => ErrorClass::Other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// Frames quoted from the vendor's reference, one a line, each followed by what we make of it.
    const SERVER_EVENTS: &str = include_str!("../../tests/fixtures/wire/realtime_server.txt");

    /// Our frames, shaped as the vendor's reference shows them, one a line.
    const CLIENT_EVENTS: &str = include_str!("../../tests/fixtures/wire/realtime_client.jsonl");

    #[test]
    fn the_vendors_examples_read_as_recorded() {
        let mut lines = SERVER_EVENTS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut seen = 0;
        while let (Some(frame), Some(expected)) = (lines.next(), lines.next()) {
            assert_eq!(format!("=> {:?}", read(frame)), expected, "{frame}");
            seen += 1;
        }
        assert!(seen > 50, "{seen} examples");
    }

    #[test]
    fn commands_are_written_as_the_vendor_shows_them() {
        let raw = |json: &str| serde_json::value::RawValue::from_string(json.to_owned()).unwrap();
        let commands = [
            ProviderCommand::PromptTurn { instructions: None, may_call_tools: true },
            ProviderCommand::PromptTurn {
                instructions: Some("Greet the caller by name.".into()),
                may_call_tools: false,
            },
            ProviderCommand::SubmitToolResult {
                tool_call: "call_X1".into(),
                output: r#"{"status":"shipped"}"#.into(),
            },
            ProviderCommand::InjectContext {
                role: ContextRole::System,
                text: "Caller pressed 2 (billing).".into(),
            },
            ProviderCommand::InjectContext { role: ContextRole::User, text: "My PIN is 4821".into() },
            ProviderCommand::SetTurnDetection(raw(r#"{"type":"semantic_vad","interrupt_response":true}"#)),
            ProviderCommand::SetTurnDetection(raw("null")),
            ProviderCommand::ReadBackToolResult { tool_call: "call_X1".into() },
            ProviderCommand::ReadBack { item: "item_10".into() },
        ];
        let expected: Vec<&str> = CLIENT_EVENTS.lines().collect();
        assert_eq!(expected.len(), commands.len());
        for (number, command) in (1..).zip(&commands) {
            assert_eq!(write(CommandId(number), command), expected[number as usize - 1]);
        }
    }

    #[test]
    fn an_error_names_our_command() {
        for (event_id, command) in
            [("sb_7", Some(CommandId(7))), ("sb_x", None), ("g7", None), ("sb_99999999999999999999", None)]
        {
            let frame = serde_json::json!({"type":"error","error":{"event_id":event_id}}).to_string();
            let ProviderEvent::Error { command: read, .. } = read(&frame) else { panic!("{frame}") };
            assert_eq!(read, command, "{event_id}");
        }
    }

    #[test]
    fn errors_have_classes() {
        let table: &[(&str, ErrorClass)] = &[
            (r#"{"code":"conversation_already_has_active_response"}"#, ErrorClass::TurnActive),
            (
                r#"{"message":"Conversation already has an active response in progress"}"#,
                ErrorClass::TurnActive,
            ),
            (r#"{"code":"response_cancel_not_active"}"#, ErrorClass::Benign),
            (r#"{"code":"input_audio_buffer_commit_empty"}"#, ErrorClass::Benign),
            (r#"{"code":"item_truncate_invalid_item_id"}"#, ErrorClass::Benign),
            (
                r#"{"code":"invalid_value","message":"Audio content is already shorter than 9ms"}"#,
                ErrorClass::Benign,
            ),
            (r#"{"code":"invalid_value","message":"Invalid value"}"#, ErrorClass::BadCommand),
            (r#"{"code":"missing_required_parameter"}"#, ErrorClass::BadCommand),
            (r#"{"code":"unknown_parameter"}"#, ErrorClass::BadCommand),
            (r#"{"code":"invalid_type"}"#, ErrorClass::BadCommand),
            (r#"{"code":"invalid_event"}"#, ErrorClass::BadCommand),
            (r#"{"type":"invalid_request_error","code":null,"event_id":"sb_1"}"#, ErrorClass::BadCommand),
            (r#"{"type":"invalid_request_error"}"#, ErrorClass::Other),
            (r#"{"code":"session_expired"}"#, ErrorClass::Expired),
            (r#"{"code":"rate_limit_exceeded"}"#, ErrorClass::Capacity),
            (r#"{"code":"insufficient_quota"}"#, ErrorClass::Capacity),
            (r#"{"type":"server_error"}"#, ErrorClass::Capacity),
            (r#"{"code":"brand_new","message":"?"}"#, ErrorClass::Other),
            ("{}", ErrorClass::Other),
        ];
        for (error, class) in table {
            let frame = format!(r#"{{"type":"error","error":{error}}}"#);
            let ProviderEvent::Error { class: read, .. } = read(&frame) else { panic!("{frame}") };
            assert_eq!(read, *class, "{error}");
        }
    }

    #[test]
    fn an_unknown_kind_is_named_in_bounds() {
        let frame = serde_json::json!({"type": "\u{7}new\n".to_owned() + &"x".repeat(500)}).to_string();
        let ProviderEvent::Unknown { kind } = read(&frame) else { panic!("{frame}") };
        assert!(kind.starts_with("newxxx") && kind.len() == KIND_CHARS_MAX, "{kind}");
    }

    proptest! {
        #[test]
        fn reading_never_panics(frame in any::<String>()) {
            read(&frame);
        }

        /// The vendor's examples with any one byte replaced.
        #[test]
        fn reading_damaged_examples_never_panics(line in 0..200_usize, at in any::<u16>(), other in any::<u8>()) {
            let frames: Vec<&str> = SERVER_EVENTS.lines().filter(|line| line.starts_with('{')).collect();
            let mut bytes = frames[line % frames.len()].as_bytes().to_vec();
            let at = usize::from(at) % bytes.len();
            bytes[at] = other;
            read(&String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn what_is_written_is_json_with_a_type_and_an_id(number in any::<u64>(), text in any::<String>()) {
            let command = ProviderCommand::InjectContext { role: ContextRole::User, text: text.clone() };
            let frame: Value = serde_json::from_str(&write(CommandId(number), &command)).unwrap();
            prop_assert_eq!(&frame["event_id"], &format!("sb_{number}"));
            prop_assert_eq!(&frame["item"]["content"][0]["text"], &text);
        }
    }
}
