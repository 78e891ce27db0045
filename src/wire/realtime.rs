//! OpenAI Realtime events on a sideband (OpenAI, "Realtime API reference: server events, client events").
//!
//! Reading is liberal: unknown events, unknown fields and `null` where nothing is expected never fail;
//! a known event whose body cannot be read is as good as unknown. The type is looked at first, so that
//! what is not needed costs little.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The part of every event that is read first.
#[derive(Deserialize)]
pub struct Envelope<'a> {
    /// The event's type; borrowed where it has no escapes.
    #[serde(rename = "type", borrow)]
    pub kind: std::borrow::Cow<'a, str>,
}

/// `session.created`, `session.updated`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct SessionEvent {
    /// The effective configuration.
    pub session: SessionState,
}

/// What we need of an effective configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct SessionState {
    /// Unix seconds at which the provider ends the session.
    pub expires_at: Option<f64>,
    /// Audio settings.
    pub audio: Option<AudioState>,
}

/// Audio settings of an effective configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct AudioState {
    /// Of the caller's side.
    pub input: Option<InputState>,
}

/// Settings of the caller's audio.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct InputState {
    /// How the end of speech is noticed.
    pub turn_detection: Option<TurnDetectionState>,
}

/// How the end of speech is noticed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct TurnDetectionState {
    /// `server_vad` or `semantic_vad`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Audio before the speech that belongs to it.
    pub prefix_padding_ms: Option<f64>,
    /// Silence that ends it.
    pub silence_duration_ms: Option<f64>,
}

/// `input_audio_buffer.speech_started`, `.speech_stopped`.
#[derive(Debug, Deserialize)]
pub struct SpeechEvent {
    /// The user item that will hold the speech.
    pub item_id: String,
    /// Start on the session's audio clock, prefix padding included.
    pub audio_start_ms: Option<f64>,
    /// End on the session's audio clock, trailing silence included.
    pub audio_end_ms: Option<f64>,
}

/// `input_audio_buffer.dtmf_event_received`; has no `event_id`.
#[derive(Debug, Deserialize)]
pub struct DtmfEvent {
    /// The key.
    pub event: Option<String>,
    /// Another spelling.
    pub digit: Option<String>,
}

/// `conversation.item.input_audio_transcription.*`.
#[derive(Debug, Deserialize)]
pub struct TranscriptionEvent {
    /// The user item.
    pub item_id: String,
    /// More words.
    pub delta: Option<String>,
    /// All words.
    pub transcript: Option<String>,
    /// What it used.
    pub usage: Option<TranscriptionUsage>,
    /// Why it failed.
    pub error: Option<ErrorBody>,
}

/// What a transcription used: tokens or seconds.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct TranscriptionUsage {
    /// `tokens` or `duration`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Seconds of audio.
    pub seconds: Option<f64>,
    /// Tokens read.
    pub input_tokens: Option<u64>,
    /// Of which kinds.
    pub input_token_details: Option<TokenDetails>,
    /// Tokens written.
    pub output_tokens: Option<u64>,
}

/// `conversation.item.added`, `.done`, `.created`, `response.output_item.*`.
#[derive(Debug, Deserialize)]
pub struct ItemEvent {
    /// The response, in `response.output_item.*`.
    pub response_id: Option<String>,
    /// The item.
    pub item: Item,
}

/// An item of a conversation.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Item {
    /// Its id.
    pub id: Option<String>,
    /// `message`, `function_call`, `function_call_output` …
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// `in_progress`, `completed`, `incomplete`.
    pub status: Option<String>,
    /// Of a function call: the function.
    pub name: Option<String>,
    /// Of a function call and its output.
    pub call_id: Option<String>,
    /// Of a function call.
    pub arguments: Option<String>,
}

/// `response.created`, `response.done`.
#[derive(Debug, Deserialize)]
pub struct ResponseEvent {
    /// The response.
    pub response: Response,
}

/// One turn of the model.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Response {
    /// Its id.
    pub id: Option<String>,
    /// `in_progress`, `completed`, `cancelled`, `incomplete`, `failed`.
    pub status: Option<String>,
    /// Why.
    pub status_details: Option<StatusDetails>,
    /// Its items.
    pub output: Option<Vec<Item>>,
    /// None (with the key present) for a response outside the conversation.
    pub conversation_id: Option<Box<RawValue>>,
    /// What it used.
    pub usage: Option<ResponseUsage>,
    /// What the request said of itself.
    pub metadata: Option<Metadata>,
}

/// What a request of ours says of itself.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Metadata {
    /// The number of our command.
    pub switchboard_command: Option<String>,
}

/// Why a response ended as it did.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct StatusDetails {
    /// `turn_detected`, `client_cancelled`, `max_output_tokens`, `content_filter`.
    pub reason: Option<String>,
    /// With `failed`.
    pub error: Option<ErrorBody>,
}

/// Tokens of one response.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ResponseUsage {
    /// All tokens read.
    pub input_tokens: Option<u64>,
    /// All tokens written.
    pub output_tokens: Option<u64>,
    /// Kinds of tokens read.
    pub input_token_details: Option<TokenDetails>,
    /// Kinds of tokens written.
    pub output_token_details: Option<TokenDetails>,
}

/// Tokens by kind.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct TokenDetails {
    /// Text.
    pub text_tokens: Option<u64>,
    /// Audio.
    pub audio_tokens: Option<u64>,
    /// Images.
    pub image_tokens: Option<u64>,
    /// How many of all these came from the cache.
    pub cached_tokens: Option<u64>,
    /// The same by kind.
    pub cached_tokens_details: Option<CachedDetails>,
}

/// Cached tokens by kind.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CachedDetails {
    /// Text.
    pub text_tokens: Option<u64>,
    /// Audio.
    pub audio_tokens: Option<u64>,
    /// Images.
    pub image_tokens: Option<u64>,
}

/// `response.output_audio_transcript.*`, `response.output_text.*`.
#[derive(Debug, Deserialize)]
pub struct WordsEvent {
    /// The response.
    pub response_id: String,
    /// The message item.
    pub item_id: String,
    /// More words.
    pub delta: Option<String>,
    /// All words.
    pub transcript: Option<String>,
    /// All words, of a text part.
    pub text: Option<String>,
}

/// `output_audio_buffer.*`.
#[derive(Debug, Deserialize)]
pub struct PlaybackEvent {
    /// The response that is played.
    pub response_id: String,
}

/// `error`.
#[derive(Debug, Deserialize)]
pub struct ErrorEvent {
    /// What went wrong.
    pub error: ErrorBody,
}

/// What went wrong.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ErrorBody {
    /// A class of errors.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The error.
    pub code: Option<String>,
    /// For a person.
    pub message: Option<String>,
    /// The `event_id` of the command of ours that it speaks of.
    pub event_id: Option<String>,
}

/// A command, with its id.
#[derive(Debug, Serialize)]
pub struct Command<'a> {
    /// The id that errors will name.
    pub event_id: String,
    /// The command.
    #[serde(flatten)]
    pub body: CommandBody<'a>,
}

/// What we send on a sideband.
#[derive(Debug, Serialize)]
#[serde(tag = "type")]
pub enum CommandBody<'a> {
    /// Take a turn now.
    #[serde(rename = "response.create")]
    ResponseCreate {
        /// Overrides for this one turn.
        response: ResponseCreate<'a>,
    },
    /// Put something into the conversation.
    #[serde(rename = "conversation.item.create")]
    ItemCreate {
        /// What.
        item: NewItem<'a>,
    },
    /// Change the session.
    #[serde(rename = "session.update")]
    SessionUpdate {
        /// What of it.
        session: SessionPatch<'a>,
    },
}

/// Overrides for one turn.
#[derive(Debug, Serialize)]
pub struct ResponseCreate<'a> {
    /// What this turn is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<&'a str>,
    /// `none`: no tools in this turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<&'static str>,
    /// Comes back with the response.
    pub metadata: Metadata,
}

/// A new item.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum NewItem<'a> {
    /// The output of a function.
    FunctionCallOutput {
        /// Of which call.
        call_id: &'a str,
        /// JSON text.
        output: &'a str,
    },
    /// Words.
    Message {
        /// `system` or `user`.
        role: &'static str,
        /// One part.
        content: [InputText<'a>; 1],
    },
}

/// A part of a message.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "input_text")]
pub struct InputText<'a> {
    /// The words.
    pub text: &'a str,
}

/// A change of the session; `type` is required in every one.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "realtime")]
pub struct SessionPatch<'a> {
    /// Audio settings.
    pub audio: AudioPatch<'a>,
}

/// A change of audio settings. Never a format: SIP has negotiated it.
#[derive(Debug, Serialize)]
pub struct AudioPatch<'a> {
    /// Of the caller's side.
    pub input: InputPatch<'a>,
}

/// A change of the caller's side.
#[derive(Debug, Serialize)]
pub struct InputPatch<'a> {
    /// The whole value, as prepared with the session.
    pub turn_detection: &'a RawValue,
}
