//! The body of `accept`, and of the `session.update` that stands in for it on the bridge: the session in
//! the provider's words (OpenAI, "Realtime: session object").
//!
//! What is not said is left out and never null: SIP calls have been refused for nulls. The one
//! exception is `turn_detection`, where null is the only way to say *off*.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::mcp::McpForm;
use super::{Session, ToolDefinition, TurnDetection};

/// The voice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Voice {
    /// One of the provider's.
    Named(String),
    /// One's own.
    Custom {
        /// `voice_…`
        id: String,
    },
}

/// Noise reduction of the caller's sound.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NoiseReduction {
    /// What it expects.
    #[serde(rename = "type")]
    pub kind: NoiseKind,
    /// How strong it is; none: as the provider likes (1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strength: Option<f64>,
}

/// Where the caller's microphone is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NoiseKind {
    /// At the mouth.
    NearField,
    /// In the room.
    FarField,
}

/// How the caller's words are written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Transcription {
    /// The transcription model.
    pub model: String,
    /// The language, ISO 639-1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Several languages that may be spoken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub languages: Vec<String>,
    /// Guidance in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Words that are likely to be said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keywords: Vec<String>,
    /// How long the model waits for more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<Effort>,
}

/// How hard a model thinks, or how long it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effort {
    /// Hardly.
    Minimal,
    /// A little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
    /// As much as it can.
    Xhigh,
}

/// Whether and which tool the model must call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolChoice {
    /// As it likes.
    Auto,
    /// None.
    None,
    /// Some tool.
    Required,
    /// The tool of this name.
    Tool(String),
}

impl Serialize for ToolChoice {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            ToolChoice::Auto => serializer.serialize_str("auto"),
            ToolChoice::None => serializer.serialize_str("none"),
            ToolChoice::Required => serializer.serialize_str("required"),
            ToolChoice::Tool(name) => {
                BTreeMap::from([("type", "function"), ("name", name)]).serialize(serializer)
            }
        }
    }
}

/// The longest answer, tool calls included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxOutputTokens {
    /// 1 to 4096 tokens.
    Tokens(u16),
    /// As long as the model can.
    Inf,
}

impl Serialize for MaxOutputTokens {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            MaxOutputTokens::Tokens(tokens) => serializer.serialize_u16(*tokens),
            MaxOutputTokens::Inf => serializer.serialize_str("inf"),
        }
    }
}

/// What happens when the conversation outgrows the model's memory.
#[derive(Clone, Debug, PartialEq)]
pub enum Truncation {
    /// As the provider likes.
    Auto,
    /// The answer fails.
    Disabled,
    /// The oldest part is dropped until this share is left.
    RetentionRatio {
        /// The share that is kept, 0 to 1.
        retention_ratio: f64,
        /// The most tokens after the instructions; none: as many as the model can.
        post_instructions: Option<u32>,
    },
}

impl Serialize for Truncation {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Truncation::Auto => serializer.serialize_str("auto"),
            Truncation::Disabled => serializer.serialize_str("disabled"),
            Truncation::RetentionRatio { retention_ratio, post_instructions } => {
                let token_limits =
                    post_instructions.map(|post_instructions| TokenLimits { post_instructions });
                RetentionRatio { kind: "retention_ratio", retention_ratio, token_limits }
                    .serialize(serializer)
            }
        }
    }
}

#[derive(Serialize)]
struct RetentionRatio {
    #[serde(rename = "type")]
    kind: &'static str,
    retention_ratio: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_limits: Option<TokenLimits>,
}

#[derive(Serialize)]
struct TokenLimits {
    post_instructions: u32,
}

/// Tracing at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tracing {
    /// With the provider's names.
    Auto,
    /// With one's own.
    Named {
        /// The workflow's name.
        workflow_name: Option<String>,
        /// The group of traces.
        group_id: Option<String>,
        /// What else is attached.
        metadata: BTreeMap<String, String>,
    },
}

impl Serialize for Tracing {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Tracing::Auto => serializer.serialize_str("auto"),
            Tracing::Named { workflow_name, group_id, metadata } => TracingForm {
                workflow_name: workflow_name.as_deref(),
                group_id: group_id.as_deref(),
                metadata,
            }
            .serialize(serializer),
        }
    }
}

#[derive(Serialize)]
struct TracingForm<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    workflow_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_id: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: &'a BTreeMap<String, String>,
}

/// A prompt stored at the provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Prompt {
    /// `pmpt_…`
    pub id: String,
    /// Its version; none: the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What is put into it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
}

/// What the provider adds to its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Include {
    /// How sure the transcription is of each token.
    #[serde(rename = "item.input_audio_transcription.logprobs")]
    TranscriptionLogprobs,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "<[&str]>::is_empty")]
    output_modalities: &'static [&'static str],
    #[serde(skip_serializing_if = "str::is_empty")]
    instructions: &'a str,
    audio: Audio<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<AnyTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: &'a Option<ToolChoice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<Reasoning>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<MaxOutputTokens>,
    #[serde(skip_serializing_if = "Option::is_none")]
    truncation: &'a Option<Truncation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracing: &'a Option<Tracing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: &'a Option<Prompt>,
    #[serde(skip_serializing_if = "<[Include]>::is_empty")]
    include: &'a [Include],
}

#[derive(Serialize)]
struct Audio<'a> {
    input: Input<'a>,
    output: Output<'a>,
}

#[derive(Serialize)]
struct Input<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Format>,
    #[serde(skip_serializing_if = "Option::is_none")]
    noise_reduction: &'a Option<NoiseReduction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transcription: &'a Option<Transcription>,
    turn_detection: Option<&'a TurnDetection>,
}

#[derive(Serialize)]
struct Output<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Format>,
    voice: &'a Voice,
    #[serde(skip_serializing_if = "Option::is_none")]
    speed: Option<f64>,
}

/// An audio format, said only where the audio passes through us: SIP negotiates its own.
#[derive(Clone, Copy, Serialize)]
struct Format {
    #[serde(rename = "type")]
    kind: &'static str,
}

/// μ-law, 8000 Hz: what carriers speak.
const PCMU: Format = Format { kind: "audio/pcmu" };

#[derive(Serialize)]
struct Reasoning {
    effort: Effort,
}

#[derive(Serialize)]
#[serde(untagged)]
enum AnyTool<'a> {
    Function(Tool<'a>),
    Mcp(McpForm<'a>),
}

#[derive(Serialize)]
struct Tool<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'a str,
    description: &'a str,
    parameters: &'a Value,
}

impl Session {
    /// The body of `accept`, with these instructions and those of the tools that are offered.
    ///
    /// With a protected greeting turn detection is off at first; [`Session::turn_detection_update`]
    /// turns it on later.
    pub fn accept_body<'a>(
        &'a self,
        instructions: &'a str,
        tools: impl IntoIterator<Item = &'a ToolDefinition>,
    ) -> String {
        let body = Body { model: Some(&self.model), ..self.body(instructions, tools, None) };
        serde_json::to_string(&body).expect("texts and finite numbers are JSON")
    }

    /// The same as the session of a `session.update`, for a session whose audio passes through us: μ-law
    /// both ways. The model is not said again, it was said when the session was opened.
    pub fn bridge_body<'a>(
        &'a self,
        instructions: &'a str,
        tools: impl IntoIterator<Item = &'a ToolDefinition>,
    ) -> String {
        let body = Body { output_modalities: &["audio"], ..self.body(instructions, tools, Some(PCMU)) };
        serde_json::to_string(&body).expect("texts and finite numbers are JSON")
    }

    fn body<'a>(
        &'a self,
        instructions: &'a str,
        tools: impl IntoIterator<Item = &'a ToolDefinition>,
        format: Option<Format>,
    ) -> Body<'a> {
        let offered = tools.into_iter().filter(|tool| self.offers(&tool.name)).map(tool_form);
        let remote = self.mcp.iter().map(|server| AnyTool::Mcp(server.form()));
        Body {
            kind: "realtime",
            model: None,
            output_modalities: &[],
            instructions,
            audio: self.audio(format),
            tools: offered.chain(remote).collect(),
            tool_choice: &self.tool_choice,
            parallel_tool_calls: self.parallel_tool_calls,
            reasoning: self.reasoning_effort.map(|effort| Reasoning { effort }),
            max_output_tokens: self.max_output_tokens,
            truncation: &self.truncation,
            tracing: &self.tracing,
            prompt: &self.prompt,
            include: &self.include,
        }
    }

    /// Claims that the caller cannot interrupt the greeting.
    pub fn protects_greeting(&self) -> bool {
        self.greeting_protected && self.greeting.is_some() && self.turn_detection.is_some()
    }

    /// The `turn_detection` to send in a `session.update` once a protected greeting is spoken.
    pub fn turn_detection_update(&self) -> Value {
        serde_json::to_value(&self.turn_detection).expect("texts and finite numbers are JSON")
    }

    /// The `turn_detection` with which the caller is heard and written down, but starts and stops no
    /// turn (OpenAI, "Realtime: voice activity detection", `create_response` and `interrupt_response`).
    pub fn turn_detection_deferring(&self) -> Value {
        let deferring = self.turn_detection.clone().map(TurnDetection::deferring);
        serde_json::to_value(deferring).expect("texts and finite numbers are JSON")
    }

    fn audio(&self, format: Option<Format>) -> Audio<'_> {
        let turn_detection = self.turn_detection.as_ref().filter(|_| !self.protects_greeting());
        Audio {
            input: Input {
                format,
                noise_reduction: &self.noise_reduction,
                transcription: &self.transcription,
                turn_detection,
            },
            output: Output { format, voice: &self.voice, speed: self.speed },
        }
    }
}

fn tool_form(tool: &ToolDefinition) -> AnyTool<'_> {
    AnyTool::Function(Tool {
        kind: "function",
        name: &tool.name,
        description: &tool.description,
        parameters: &tool.parameters,
    })
}
