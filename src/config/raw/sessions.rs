//! The tables of `[sessions.NAME]`.

use super::*;

use crate::session::catalog::{Api, MODELS, Model, TRANSCRIPTION_MODELS, VOICES};

const EFFORTS: &[&str] = &["minimal", "low", "medium", "high", "xhigh"];

/// The models to propose: those that speak our API and stay.
fn models() -> Vec<&'static str> {
    let is_fit = |model: &&Model| model.api == Api::Realtime && model.shutdown.is_none();
    MODELS.iter().filter(is_fit).map(|model| model.name).collect()
}

fn transcription_models() -> Vec<&'static str> {
    TRANSCRIPTION_MODELS.iter().filter(|model| model.shutdown.is_none()).map(|model| model.name).collect()
}

tables! {
    /// What the model is told, and how it speaks and listens.
    Session {
        /// Another session, whose values hold where this one has none.
        extends: String,
        /// The voice model.
        model: String = Form::Suggested(models()),
        /// What the model is told: a template that knows `call`, `vars` and `now`.
        instructions: String,
        /// A file with the instructions.
        instructions_file: String,
        /// How the model is told to open the call; without it the caller speaks first.
        greeting: String,
        /// The caller cannot interrupt the greeting.
        greeting_protected: Flag,
        /// Variables of the templates.
        vars: BTreeMap<String, Scalar>,
        /// Where the templates' `now` is read, such as "Asia/Tokyo".
        timezone: String,
        /// The callers' language, two letters: dates in templates, and a hint for transcription.
        language: String = Form::Code,
        /// A voice by name, or one of your own: `{ id = "voice_…" }`.
        voice: WordOr<CustomVoice> = Form::Words(&VOICES),
        /// 0.25 to 1.5.
        speed: Number,
        /// Where the caller's microphone is.
        noise_reduction: WordOr<NoiseReduction> = Form::Words(&["near_field", "far_field", "off"]),
        /// How the caller's words are written down.
        transcription: WordOr<Transcription> = Form::Words(&["off"]),
        /// How it is known that a caller has finished speaking.
        turn_detection: WordOr<TurnDetection> = Form::Words(&["server_vad", "semantic_vad", "off"]),
        /// Names of tools to offer, `*` for any characters: "crm.*".
        tools: Vec<String>,
        /// Whether the model must call a tool; `{ name = "…" }`: this one.
        tool_choice: WordOr<ToolChoice> = Form::Words(&["auto", "none", "required"]),
        /// Reasoning models only.
        parallel_tool_calls: Flag,
        /// Reasoning models only.
        reasoning_effort: String = Form::Words(EFFORTS),
        /// 1 to 4096, or "inf".
        max_output_tokens: Scalar,
        /// What happens when the conversation gets longer than the model can hold.
        truncation: WordOr<Truncation> = Form::Words(&["auto", "disabled"]),
        /// Whether the provider keeps a trace of the session.
        tracing: WordOr<Tracing> = Form::Words(&["auto", "off"]),
        /// A prompt stored at the provider; what is said here goes before it.
        prompt: Prompt,
        /// What else the provider sends.
        include: Vec<String> = Form::Words(&["item.input_audio_transcription.logprobs"]),
        /// What one call may use up.
        limits: Limits,
        /// Where the tool `transfer` can send a caller, by name: "+81312345678", "sip:desk@example.com".
        transfer: BTreeMap<String, String>,
        /// Remote MCP servers that the provider itself calls, by label.
        mcp: BTreeMap<String, Mcp>,
    }

    /// A remote MCP server that the provider itself calls.
    Mcp [url] {
        /// Its public `https://` address.
        url: String = Form::Url,
        /// What the provider shows it, as a reference: "${MCP_TOKEN}".
        authorization: String,
        /// Headers that the provider sends along.
        headers: BTreeMap<String, String>,
        /// The tools that may be used; without it all.
        allowed_tools: Vec<String>,
        /// Nobody can approve on a phone call.
        require_approval: String = Form::Words(&["never"]),
        /// What the model reads about the server.
        description: String,
    }

    /// A voice of your own.
    CustomVoice [id] {
        /// `voice_…`
        id: String,
    }

    /// How noise is taken out of the caller's sound.
    NoiseReduction [r#type] {
        /// Where the microphone is.
        r#type: String = Form::Words(&["near_field", "far_field"]),
        /// 0 to 1.
        strength: Number,
    }

    /// How the caller's words are written down.
    Transcription [model] {
        /// The transcription model.
        model: String = Form::Suggested(transcription_models()),
        /// The language, two letters; without it the session's.
        language: String = Form::Code,
        /// Languages that may be spoken; for models that take several.
        languages: Vec<String> = Form::Code,
        /// Words that help the model.
        prompt: String,
        /// Names and terms to expect.
        keywords: Vec<String>,
        /// How long it waits for more before it writes.
        delay: String = Form::Words(EFFORTS),
    }

    /// How it is known that a caller has finished speaking.
    TurnDetection [r#type] {
        /// By silence, or by what was said.
        r#type: String = Form::Words(&["server_vad", "semantic_vad"]),
        /// `server_vad`: how loud speech must be, 0 to 1.
        threshold: Number,
        /// `server_vad`: sound kept from before the speech.
        prefix_padding: String = Form::Duration,
        /// `server_vad`: how long silence must be.
        silence_duration: String = Form::Duration,
        /// `server_vad`: after how long a silence the model speaks again, 5s to 30s.
        idle_timeout: String = Form::Duration,
        /// `semantic_vad`: low, medium and high wait at most 8, 4 and 2 seconds.
        eagerness: String = Form::Words(&["low", "medium", "high", "auto"]),
        /// The model answers by itself.
        create_response: Flag,
        /// The caller can interrupt it.
        interrupt_response: Flag,
    }

    /// A tool that must be called.
    ToolChoice [name] {
        /// Its name.
        name: String,
    }

    /// How much of a long conversation is kept.
    Truncation [retention_ratio] {
        /// 0.0 to 1.0.
        retention_ratio: Number,
        /// Tokens after the instructions.
        post_instructions_tokens: Count,
    }

    /// How the provider names the trace.
    Tracing {
        /// Its name.
        workflow_name: String,
        /// What belongs together.
        group_id: String,
        /// What stands with it.
        metadata: BTreeMap<String, Scalar>,
    }

    /// A prompt stored at the provider.
    Prompt [id] {
        /// `pmpt_…`
        id: String,
        /// Without it the current one.
        version: String,
        /// Its variables.
        variables: BTreeMap<String, Scalar>,
    }

    /// What one call may use up.
    Limits {
        /// The longest call, up to 1h.
        duration: String = Form::Duration,
        /// The longest silence before the call is ended.
        silence: String = Form::Duration,
        /// Tool calls in one call.
        tool_calls: Count,
        /// The longest output that is sent to the model.
        tool_output: String = Form::Size,
    }
}
