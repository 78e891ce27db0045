//! How a call is answered: the model's configuration, as an operator wrote it.
//!
//! A [`Session`] is checked when the configuration is loaded, so that using it cannot fail except
//! where a template meets a call it was not written for. Rendering and building bodies is pure:
//! the time is an argument. Only what is legal on a SIP call can be said here: there is no audio
//! format (SIP negotiates it) and no text-only answer (the caller would hear nothing).

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::clock::Timestamp;
use crate::routing::{Target, Wildcard};

mod accept;
pub mod catalog;
mod mcp;
mod template;
mod turn;

pub use accept::{
    Effort, Include, MaxOutputTokens, NoiseKind, NoiseReduction, Prompt, ToolChoice, Tracing, Transcription,
    Truncation, Voice,
};
pub use mcp::McpServer;
pub use template::{CallFacts, Language, OUTPUT_BYTES_MAX, Template, TemplateError};
pub use turn::{Eagerness, TurnDetection};

/// One `[sessions.NAME]`.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its name in routes, records and messages.
    pub name: String,
    /// The voice model.
    pub model: String,
    /// What the model is told, before the call's facts are put in; none where a stored prompt of the
    /// provider says it.
    pub instructions: Option<Template>,
    /// How the model is told to open the call; none: it waits for the caller to speak.
    pub greeting: Option<Template>,
    /// Whether the caller cannot interrupt the greeting: turn detection stays off until it is spoken.
    pub greeting_protected: bool,
    /// The voice.
    pub voice: Voice,
    /// How fast it speaks, 0.25 to 1.5; none: as the provider likes.
    pub speed: Option<f64>,
    /// Noise reduction of the caller's sound; none: off.
    pub noise_reduction: Option<NoiseReduction>,
    /// How the caller's words are written down; none: they are not.
    pub transcription: Option<Transcription>,
    /// How it is noticed that the caller has finished speaking; none: off, and nothing answers unless
    /// the gateway asks for it.
    pub turn_detection: Option<TurnDetection>,
    /// Whether and which tool the model must call; none: as it likes.
    pub tool_choice: Option<ToolChoice>,
    /// Whether the model may ask for several tools at once; reasoning models only.
    pub parallel_tool_calls: Option<bool>,
    /// How hard the model thinks; reasoning models only.
    pub reasoning_effort: Option<Effort>,
    /// The longest answer.
    pub max_output_tokens: Option<MaxOutputTokens>,
    /// What happens when the conversation outgrows the model's memory.
    pub truncation: Option<Truncation>,
    /// Tracing at the provider; none: off.
    pub tracing: Option<Tracing>,
    /// A prompt stored at the provider; what is said here goes before it.
    pub prompt: Option<Prompt>,
    /// What the provider adds to its events.
    pub include: Vec<Include>,
    /// Variables of the templates; a route's own go before them.
    pub vars: BTreeMap<String, String>,
    /// Where the templates' time is read.
    pub time_zone: TimeZone,
    /// The caller's language, ISO 639-1; none: unknown.
    pub language: Option<String>,
    /// Names of the tools that are offered, `*` for any characters.
    pub tools: Vec<Wildcard>,
    /// What one call may use up.
    pub limits: Limits,
    /// Where the `transfer` tool can send the caller, by the name the model uses.
    pub transfer: BTreeMap<String, Target>,
    /// MCP servers that the provider connects to.
    pub mcp: Vec<McpServer>,
}

/// What one call may use up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest call.
    pub duration: Duration,
    /// The longest silence of both sides before the call is ended; none: any.
    pub silence: Option<Duration>,
    /// How many tools may be called.
    pub tool_calls: u32,
    /// The longest output of a tool that is sent to the model, in bytes.
    pub tool_output_bytes: usize,
}

/// A tool as the model sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolDefinition {
    /// Its name.
    pub name: String,
    /// What it does and when to call it.
    pub description: String,
    /// JSON Schema of its arguments.
    pub parameters: serde_json::Value,
}

impl Session {
    /// Claims that the tool of this name is offered.
    pub fn offers(&self, tool: &str) -> bool {
        self.tools.iter().any(|pattern| pattern.matches(tool))
    }

    /// The instructions for this call; empty where a stored prompt says them.
    ///
    /// `route_vars` go before the session's own variables.
    ///
    /// # Errors
    ///
    /// [`TemplateError`] with the place, when the template uses what this call does not have.
    pub fn instructions_for(
        &self,
        call: &CallFacts<'_>,
        route_vars: &BTreeMap<String, String>,
        now: Timestamp,
    ) -> Result<String, TemplateError> {
        let rendered = self.instructions.as_ref().map(|text| self.render(text, call, route_vars, now));
        rendered.unwrap_or_else(|| Ok(String::new()))
    }

    /// How the model is told to open this call; none when the caller speaks first.
    ///
    /// # Errors
    ///
    /// As [`Session::instructions_for`].
    pub fn greeting_for(
        &self,
        call: &CallFacts<'_>,
        route_vars: &BTreeMap<String, String>,
        now: Timestamp,
    ) -> Result<Option<String>, TemplateError> {
        self.greeting.as_ref().map(|text| self.render(text, call, route_vars, now)).transpose()
    }

    fn render(
        &self,
        template: &Template,
        call: &CallFacts<'_>,
        route_vars: &BTreeMap<String, String>,
        now: Timestamp,
    ) -> Result<String, TemplateError> {
        let mut vars = self.vars.clone();
        vars.extend(route_vars.clone());
        let language = Language::of(self.language.as_deref());
        template.render(call, &vars, language, crate::routing::local_time(now, &self.time_zone))
    }
}

#[cfg(test)]
mod tests;
