//! Events of the provider, read liberally.
//!
//! Unknown fields, unknown values and null where something is missing never fail, and a part that
//! cannot be read is taken as absent where the rest makes sense without it. An unknown kind of event,
//! and a known kind whose body makes no sense, is [`ServerEvent::Unknown`]: reading gives no error and
//! never panics. The `type` of a frame is read first and alone, so that the many events that no call
//! needs, audio above all, cost one scan and no copy; where it stands in front, not even that.
//!
//! Names of the retired beta interface are read as aliases of those that replaced them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::value::StrDeserializer;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::ids::{ItemId, ToolCallId, TurnId};

/// One event of the provider.
#[derive(Debug)]
pub enum ServerEvent {
    /// `session.created`: the first event of a socket.
    SessionCreated(Session),
    /// `session.updated`: a change of the session took effect.
    SessionUpdated(Session),
    /// `input_audio_buffer.speech_started`.
    SpeechStarted(Speech),
    /// `input_audio_buffer.speech_stopped`.
    SpeechStopped(Speech),
    /// `input_audio_buffer.dtmf_event_received`: the caller pressed a key.
    Key(Key),
    /// `conversation.item.input_audio_transcription.delta`.
    TranscriptionDelta(Transcription),
    /// `conversation.item.input_audio_transcription.completed`.
    TranscriptionCompleted(Transcription),
    /// `conversation.item.input_audio_transcription.failed`.
    TranscriptionFailed(Transcription),
    /// `conversation.item.added` or `.done` (once `.created`): an item is in the conversation.
    ItemPut(PutItem),
    /// `conversation.item.retrieved`: an item that was asked for, without its sound.
    ItemRetrieved(Item),
    /// `response.created`.
    ResponseCreated(Box<Response>),
    /// `response.output_item.done`.
    OutputItemDone(OutputItem),
    /// `response.output_audio_transcript.delta` or `response.output_text.delta`.
    OutputDelta(OutputText),
    /// `response.output_audio_transcript.done` or `response.output_text.done`.
    OutputDone(OutputText),
    /// `response.done`: exactly once per response, whatever became of it.
    ResponseDone(Box<Response>),
    /// `output_audio_buffer.started`: the caller hears the response from now on.
    PlaybackStarted(Playback),
    /// `output_audio_buffer.stopped`: the response was played to its end.
    PlaybackStopped(Playback),
    /// `output_audio_buffer.cleared`: the rest of the response will not be heard.
    PlaybackCleared(Playback),
    /// `error`: the session normally goes on.
    Error(ErrorBody),
    /// `mcp_list_tools.failed`: the tools of a remote MCP server could not be listed.
    McpToolsMissing,
    /// `response.mcp_call.completed`, or `failed` where not `ok`: a remote MCP server's tool has answered.
    McpCallEnded {
        /// It did not fail.
        ok: bool,
    },
    /// A documented kind that no call needs.
    Unused,
    /// An undocumented kind, or one whose body could not be read.
    Unknown {
        /// Its `type`, as far as that could be read; empty when it could not.
        kind: String,
    },
}

/// What the session of a call came to be.
#[derive(Debug, Default)]
pub struct Session {
    /// The provider's id of it.
    pub id: Option<String>,
    /// When the provider will end it, in seconds since the Unix epoch.
    pub expires_at_s: Option<u64>,
    /// How the provider tells when the caller speaks; none when it does not.
    pub turn_detection: Option<TurnDetection>,
}

/// How the provider tells when the caller speaks.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct TurnDetection {
    /// `server_vad` or `semantic_vad`.
    #[serde(rename = "type", deserialize_with = "lenient")]
    pub kind: Option<String>,
    /// Milliseconds before detected speech that belong to it.
    #[serde(deserialize_with = "whole")]
    pub prefix_padding_ms: Option<u64>,
    /// Milliseconds of silence that end speech.
    #[serde(deserialize_with = "whole")]
    pub silence_duration_ms: Option<u64>,
    /// Whether speech stops the response that runs.
    #[serde(deserialize_with = "lenient")]
    pub interrupt_response: Option<bool>,
}

/// `response.output_audio.delta`: some of what the assistant says, as sound.
#[derive(Debug)]
pub struct AudioDelta<'a> {
    /// The response.
    pub response_id: TurnId,
    /// The item.
    pub item_id: ItemId,
    /// Which part of the item, from 0.
    pub content_index: u64,
    /// Base64 in the session's format, as it was sent.
    pub delta: Cow<'a, str>,
}

impl AudioDelta<'_> {
    /// Reads a frame that is one; none when it is any other event. One scan, and the audio is not copied.
    pub fn read(frame: &str) -> Option<AudioDelta<'_>> {
        #[derive(Deserialize)]
        struct Frame<'a> {
            #[serde(rename = "type", borrow)]
            kind: Cow<'a, str>,
            response_id: TurnId,
            item_id: ItemId,
            #[serde(default, deserialize_with = "whole")]
            content_index: Option<u64>,
            #[serde(borrow)]
            delta: Cow<'a, str>,
        }
        let frame: Frame<'_> = serde_json::from_str(frame).ok()?;
        let is_audio = matches!(&*frame.kind, "response.output_audio.delta" | "response.audio.delta");
        is_audio.then(|| AudioDelta {
            response_id: frame.response_id,
            item_id: frame.item_id,
            content_index: frame.content_index.unwrap_or_default(),
            delta: frame.delta,
        })
    }
}

/// The caller began or stopped to speak.
#[derive(Debug, Deserialize)]
pub struct Speech {
    /// The item that the words will belong to.
    pub item_id: ItemId,
    /// In `speech_started`: milliseconds of audio since the session began, prefix padding included.
    #[serde(default, deserialize_with = "whole")]
    pub audio_start_ms: Option<u64>,
    /// In `speech_stopped`: likewise, the silence that ended the speech included.
    #[serde(default, deserialize_with = "whole")]
    pub audio_end_ms: Option<u64>,
}

/// The caller pressed a key.
#[derive(Debug, Deserialize)]
pub struct Key {
    /// `0`–`9`, `*`, `#` or `A`–`D`.
    pub event: String,
}

/// Words of the caller, or why there are none.
#[derive(Debug, Deserialize)]
pub struct Transcription {
    /// The item they belong to.
    pub item_id: ItemId,
    /// More words.
    #[serde(default, deserialize_with = "lenient")]
    pub delta: Option<String>,
    /// All words.
    #[serde(default, deserialize_with = "lenient")]
    pub transcript: Option<String>,
    /// What the transcription used.
    #[serde(default, deserialize_with = "lenient")]
    pub usage: Option<TranscriptionUsage>,
    /// Why it failed.
    #[serde(default, deserialize_with = "lenient")]
    pub error: Option<ErrorBody>,
}

/// What a transcription used: tokens or seconds, depending on its model.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct TranscriptionUsage {
    /// Tokens read.
    #[serde(deserialize_with = "whole")]
    pub input_tokens: Option<u64>,
    /// Tokens written.
    #[serde(deserialize_with = "whole")]
    pub output_tokens: Option<u64>,
    /// Seconds of audio.
    #[serde(deserialize_with = "lenient")]
    pub seconds: Option<f64>,
}

/// One item of the conversation; of a kind that no call needs, only the kind.
#[derive(Debug, Deserialize)]
pub struct Item {
    /// Its id.
    #[serde(default, deserialize_with = "lenient")]
    pub id: Option<ItemId>,
    /// Of a message: `system`, `user` or `assistant`.
    #[serde(default, deserialize_with = "lenient")]
    pub role: Option<String>,
    /// Of a message: its parts.
    #[serde(default, deserialize_with = "lenient")]
    pub content: Option<Vec<Part>>,
    /// `message`, `function_call`, `function_call_output` …
    #[serde(rename = "type")]
    pub kind: String,
    /// `in_progress`, `completed` or `incomplete`.
    #[serde(default, deserialize_with = "lenient")]
    pub status: Option<String>,
    /// The id of a function call (not of a phone call).
    #[serde(default, deserialize_with = "lenient")]
    pub call_id: Option<ToolCallId>,
    /// The name of the function.
    #[serde(default, deserialize_with = "lenient")]
    pub name: Option<String>,
    /// The arguments as the model wrote them.
    #[serde(default, deserialize_with = "lenient")]
    pub arguments: Option<String>,
}

/// A part of a message. Its sound, where it has one, is not kept.
#[derive(Debug, Deserialize)]
pub struct Part {
    /// What was said, of a part with sound.
    #[serde(default, deserialize_with = "lenient")]
    pub transcript: Option<String>,
    /// What was written.
    #[serde(default, deserialize_with = "lenient")]
    pub text: Option<String>,
}

/// An item that was put into the conversation.
#[derive(Debug, Deserialize)]
pub struct PutItem {
    /// The item, of which no words are read.
    pub item: NamedItem,
    /// The item that it stands behind.
    #[serde(default, deserialize_with = "lenient")]
    pub previous_item_id: Option<ItemId>,
}

/// What an item of the conversation is.
#[derive(Debug, Deserialize)]
pub struct NamedItem {
    /// Its id.
    #[serde(default, deserialize_with = "lenient")]
    pub id: Option<ItemId>,
    /// `message`, `function_call`, `function_call_output` …
    #[serde(rename = "type")]
    pub kind: String,
    /// The id of a function call (not of a phone call).
    #[serde(default, deserialize_with = "lenient")]
    pub call_id: Option<ToolCallId>,
}

/// A finished item of a response.
#[derive(Debug, Deserialize)]
pub struct OutputItem {
    /// The response.
    pub response_id: TurnId,
    /// The item.
    pub item: Item,
}

/// Words of the assistant.
#[derive(Debug, Deserialize)]
pub struct OutputText {
    /// The response.
    pub response_id: TurnId,
    /// The item.
    pub item_id: ItemId,
    /// Which part of the item, from 0.
    #[serde(default, deserialize_with = "whole")]
    pub content_index: Option<u64>,
    /// More words.
    #[serde(default, deserialize_with = "lenient")]
    pub delta: Option<String>,
    /// All words of the part, where they were spoken.
    #[serde(default, deserialize_with = "lenient")]
    pub transcript: Option<String>,
    /// All words of the part, where they were written.
    #[serde(default, deserialize_with = "lenient")]
    pub text: Option<String>,
}

/// One turn of the model.
#[derive(Debug, Deserialize)]
pub struct Response {
    /// Its id.
    pub id: TurnId,
    /// Its conversation is an explicit null: it leaves no trace there and is not a turn of the call.
    #[serde(default, rename = "conversation_id", deserialize_with = "is_null")]
    pub is_out_of_band: bool,
    /// `in_progress`, `completed`, `cancelled`, `incomplete` or `failed`.
    #[serde(default, deserialize_with = "lenient")]
    pub status: Option<String>,
    /// More about the status.
    #[serde(default, deserialize_with = "lenient")]
    pub status_details: Option<StatusDetails>,
    /// The items that could be read.
    #[serde(default, deserialize_with = "readable_items")]
    pub output: Vec<Item>,
    /// What it used; may be absent.
    #[serde(default, deserialize_with = "lenient")]
    pub usage: Option<ResponseUsage>,
    /// What `response.create` gave it along.
    #[serde(default, deserialize_with = "lenient")]
    pub metadata: Option<BTreeMap<String, String>>,
}

/// More about how a response ended.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct StatusDetails {
    /// `turn_detected`, `client_cancelled`, `max_output_tokens`, `content_filter` …
    #[serde(deserialize_with = "lenient")]
    pub reason: Option<String>,
    /// Why it failed.
    #[serde(deserialize_with = "lenient")]
    pub error: Option<ErrorBody>,
}

/// What a response used, in tokens.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ResponseUsage {
    /// All tokens read.
    #[serde(deserialize_with = "whole")]
    pub input_tokens: Option<u64>,
    /// All tokens written.
    #[serde(deserialize_with = "whole")]
    pub output_tokens: Option<u64>,
    /// The tokens read, by kind.
    #[serde(deserialize_with = "lenient")]
    pub input_token_details: Option<TokenDetails>,
    /// The tokens written, by kind.
    #[serde(deserialize_with = "lenient")]
    pub output_token_details: Option<TokenDetails>,
}

/// Tokens by kind.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct TokenDetails {
    /// Text.
    #[serde(deserialize_with = "whole")]
    pub text_tokens: Option<u64>,
    /// Audio.
    #[serde(deserialize_with = "whole")]
    pub audio_tokens: Option<u64>,
    /// Images.
    #[serde(deserialize_with = "whole")]
    pub image_tokens: Option<u64>,
    /// How many of them came from the cache.
    #[serde(deserialize_with = "whole")]
    pub cached_tokens: Option<u64>,
    /// Those from the cache, by kind.
    #[serde(deserialize_with = "lenient")]
    pub cached_tokens_details: Option<CachedDetails>,
}

/// Tokens from the cache, by kind.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CachedDetails {
    /// Text.
    #[serde(deserialize_with = "whole")]
    pub text_tokens: Option<u64>,
    /// Audio.
    #[serde(deserialize_with = "whole")]
    pub audio_tokens: Option<u64>,
    /// Images.
    #[serde(deserialize_with = "whole")]
    pub image_tokens: Option<u64>,
}

/// Progress of the playback of a response.
#[derive(Debug, Deserialize)]
pub struct Playback {
    /// The response.
    pub response_id: TurnId,
}

/// An error as the provider words it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ErrorBody {
    /// The family: `invalid_request_error`, `server_error` …
    #[serde(rename = "type", deserialize_with = "lenient")]
    pub kind: Option<String>,
    /// The code.
    #[serde(deserialize_with = "lenient")]
    pub code: Option<String>,
    /// The text.
    #[serde(deserialize_with = "lenient")]
    pub message: Option<String>,
    /// The id of the event of ours that it speaks of.
    #[serde(deserialize_with = "lenient")]
    pub event_id: Option<String>,
}

impl ServerEvent {
    /// Reads one text frame.
    pub fn read(frame: &str) -> ServerEvent {
        if let Some(Ok(event)) = kind_in_front(frame).map(|kind| read_body(kind, frame)) {
            return event;
        }
        let Ok(Envelope { kind }) = serde_json::from_str(frame) else {
            return ServerEvent::Unknown { kind: String::new() };
        };
        read_body(&kind, frame).unwrap_or_else(|_| ServerEvent::Unknown { kind: kind.into_owned() })
    }
}

/// A known kind at the very front, where the vendor writes it: the rest need not be looked through for it.
fn kind_in_front(frame: &str) -> Option<&str> {
    let (kind, _) = frame.strip_prefix(r#"{"type":""#)?.split_once('"')?;
    Some(kind)
}

/// What every frame has.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
}

#[derive(Deserialize)]
struct HasItem {
    item: Item,
}

#[derive(Deserialize)]
struct HasResponse {
    response: Box<Response>,
}

#[derive(Deserialize)]
struct HasError {
    error: ErrorBody,
}

/// Reads the event that `kind` says `frame` is.
fn read_body(kind: &str, frame: &str) -> serde_json::Result<ServerEvent> {
    Ok(match kind {
        "session.created" => ServerEvent::SessionCreated(read_session(frame)?),
        "session.updated" => ServerEvent::SessionUpdated(read_session(frame)?),
        "input_audio_buffer.speech_started" => ServerEvent::SpeechStarted(serde_json::from_str(frame)?),
        "input_audio_buffer.speech_stopped" => ServerEvent::SpeechStopped(serde_json::from_str(frame)?),
        "input_audio_buffer.dtmf_event_received" => ServerEvent::Key(serde_json::from_str(frame)?),
        "conversation.item.input_audio_transcription.delta" => {
            ServerEvent::TranscriptionDelta(serde_json::from_str(frame)?)
        }
        "conversation.item.input_audio_transcription.completed" => {
            ServerEvent::TranscriptionCompleted(serde_json::from_str(frame)?)
        }
        "conversation.item.input_audio_transcription.failed" => {
            ServerEvent::TranscriptionFailed(serde_json::from_str(frame)?)
        }
        "conversation.item.added" | "conversation.item.done" | "conversation.item.created" => {
            ServerEvent::ItemPut(serde_json::from_str(frame)?)
        }
        "conversation.item.retrieved" => {
            ServerEvent::ItemRetrieved(serde_json::from_str::<HasItem>(frame)?.item)
        }
        "response.created" => {
            ServerEvent::ResponseCreated(serde_json::from_str::<HasResponse>(frame)?.response)
        }
        "response.output_item.done" => ServerEvent::OutputItemDone(serde_json::from_str(frame)?),
        "response.output_audio_transcript.delta"
        | "response.output_text.delta"
        | "response.audio_transcript.delta"
        | "response.text.delta" => ServerEvent::OutputDelta(serde_json::from_str(frame)?),
        "response.output_audio_transcript.done"
        | "response.output_text.done"
        | "response.audio_transcript.done"
        | "response.text.done" => ServerEvent::OutputDone(serde_json::from_str(frame)?),
        "response.done" => ServerEvent::ResponseDone(serde_json::from_str::<HasResponse>(frame)?.response),
        "output_audio_buffer.started" => ServerEvent::PlaybackStarted(serde_json::from_str(frame)?),
        "output_audio_buffer.stopped" => ServerEvent::PlaybackStopped(serde_json::from_str(frame)?),
        "output_audio_buffer.cleared" => ServerEvent::PlaybackCleared(serde_json::from_str(frame)?),
        "error" => ServerEvent::Error(serde_json::from_str::<HasError>(frame)?.error),
        "mcp_list_tools.failed" => ServerEvent::McpToolsMissing,
        "response.mcp_call.completed" => ServerEvent::McpCallEnded { ok: true },
        "response.mcp_call.failed" => ServerEvent::McpCallEnded { ok: false },
        unused if UNUSED.contains(&unused) => ServerEvent::Unused,
        other => return Err(serde::de::Error::custom(other)),
    })
}

/// Documented kinds that no call needs: audio goes over RTP, the rest repeats what other events say.
const UNUSED: &[&str] = &[
    "response.output_audio.delta",
    "response.output_audio.done",
    "response.audio.delta",
    "response.audio.done",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "response.output_item.added",
    "response.content_part.added",
    "response.content_part.done",
    "rate_limits.updated",
    "conversation.created",
    "conversation.item.truncated",
    "conversation.item.deleted",
    "conversation.item.input_audio_transcription.segment",
    "input_audio_buffer.committed",
    "input_audio_buffer.cleared",
    "input_audio_buffer.timeout_triggered",
    "mcp_list_tools.in_progress",
    "mcp_list_tools.completed",
    "response.mcp_call_arguments.delta",
    "response.mcp_call_arguments.done",
    "response.mcp_call.in_progress",
];

/// Reads the session of `session.created`; turn detection once stood at its top.
fn read_session(frame: &str) -> serde_json::Result<Session> {
    #[derive(Deserialize)]
    struct HasSession {
        session: Outer,
    }
    #[derive(Deserialize)]
    struct Outer {
        #[serde(default, deserialize_with = "lenient")]
        id: Option<String>,
        #[serde(default, deserialize_with = "whole")]
        expires_at: Option<u64>,
        #[serde(default, deserialize_with = "lenient")]
        audio: Option<Audio>,
        #[serde(default, deserialize_with = "lenient")]
        turn_detection: Option<TurnDetection>,
    }
    #[derive(Deserialize)]
    struct Audio {
        #[serde(default, deserialize_with = "lenient")]
        input: Option<Input>,
    }
    #[derive(Deserialize)]
    struct Input {
        #[serde(default, deserialize_with = "lenient")]
        turn_detection: Option<TurnDetection>,
    }
    let Outer { id, expires_at, audio, turn_detection } = serde_json::from_str::<HasSession>(frame)?.session;
    let nested = audio.and_then(|audio| audio.input).and_then(|input| input.turn_detection);
    Ok(Session { id, expires_at_s: expires_at, turn_detection: nested.or(turn_detection) })
}

/// Reads a value that may also be null or make no sense; it is absent then.
fn lenient<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    let text = <&RawValue>::deserialize(deserializer)?.get();
    if text == "null" {
        return Ok(None);
    }
    // Most texts need not be read once more: they are what stands between the quotes.
    let plain = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    Ok(match plain.filter(|plain| !plain.contains('\\')) {
        Some(plain) => T::deserialize(StrDeserializer::<Senseless>::new(plain)).ok(),
        None => serde_json::from_str(text).ok(),
    })
}

/// An error that nobody reads.
#[derive(Debug, thiserror::Error)]
#[error("it makes no sense")]
struct Senseless;

impl serde::de::Error for Senseless {
    fn custom<T: std::fmt::Display>(_: T) -> Senseless {
        Senseless
    }
}

/// Reads a number that is not negative, written as a whole number or not.
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    // What is no number is none here either: a text has its quotes.
    let number: Option<f64> = <&RawValue>::deserialize(deserializer)?.get().parse().ok();
    // Beyond the limits `as` gives the limit itself, which is what a nonsensical number deserves.
    Ok(number.filter(|number| *number >= 0.0).map(|number| number as u64))
}

/// Reads those items of a list that can be read.
fn readable_items<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Item>, D::Error> {
    let list: Option<Vec<&RawValue>> = lenient(deserializer)?;
    let items = list.unwrap_or_default();
    Ok(items.into_iter().filter_map(|item| serde_json::from_str(item.get()).ok()).collect())
}

/// Tells an explicit null from anything else.
fn is_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(<&RawValue>::deserialize(deserializer)?.get() == "null")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_known_kind_with_a_senseless_body_is_unknown() {
        for frame in [
            r#"{"type":"response.done"}"#,
            r#"{"type":"response.done","response":[]}"#,
            r#"{"type":"error","error":null}"#,
            r#"{"type":"input_audio_buffer.speech_started","item_id":7}"#,
            r#"{"type":"session.created","session":"x"}"#,
        ] {
            let read = ServerEvent::read(frame);
            let ServerEvent::Unknown { kind } = &read else { panic!("{frame}: {read:?}") };
            assert!(frame.contains(&format!(r#""type":"{kind}""#)), "{frame}: {kind}");
        }
    }

    #[test]
    fn what_is_no_event_has_no_kind() {
        for frame in ["", "nonsense", "null", "[]", "{}", r#"{"type":null}"#, r#"{"type":"error""#] {
            let read = ServerEvent::read(frame);
            assert!(matches!(&read, ServerEvent::Unknown { kind } if kind.is_empty()), "{frame}: {read:?}");
        }
    }

    #[test]
    fn senseless_parts_are_taken_as_absent() {
        let read = ServerEvent::read(
            r#"{"type":"response.done","response":{"id":"resp_1","status":5,"status_details":"odd","conversation_id":7,
               "output":[1,null,{"type":"message"},{"no":"type"}],"usage":"much","metadata":{"a":1}}}"#,
        );
        let ServerEvent::ResponseDone(response) = read else { panic!("{read:?}") };
        assert_eq!(response.output.len(), 1);
        assert!(!response.is_out_of_band);
        assert!(response.status.is_none() && response.status_details.is_none());
        assert!(response.usage.is_none() && response.metadata.is_none());
    }

    #[test]
    fn escaped_text_is_read_like_any_other() {
        let read = ServerEvent::read(
            r#"{"type":"response.output_text.delt\u0061","response_id":"r\u0031","item_id":"i","delta":"\"ja\" \u3042"}"#,
        );
        let ServerEvent::OutputDelta(words) = read else { panic!("{read:?}") };
        assert_eq!((words.response_id.as_str(), words.delta.as_deref()), ("r1", Some("\"ja\" あ")));
    }

    proptest! {
        #[test]
        fn reading_never_panics(frame in any::<String>()) {
            let _ = ServerEvent::read(&frame);
        }
    }
}
