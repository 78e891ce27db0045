//! The terms on which a call is answered: what of a session the life of a call depends on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;

use super::usage::Prices;

/// What of a session the life of a call depends on. The rest goes to the provider with the accept.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The session's name.
    pub session: String,
    /// The model that answers.
    pub model: String,
    /// The model that writes down what the caller says, where one does.
    pub transcription_model: Option<String>,
    /// How the call is opened.
    pub greeting: Greeting,
    /// Turn detection is off until the greeting was heard; then this is set.
    pub turn_detection_after_greeting: Option<Box<RawValue>>,
    /// The longest call; the caller is told two minutes before.
    pub duration_max: Option<Duration>,
    /// End the call when nobody has spoken for this long.
    pub silence_max: Option<Duration>,
    /// How many tool calls one phone call may make.
    pub tool_calls_max: u32,
    /// What the life of the call must know of the tools that are offered, by name; none for what is ordinary.
    pub tools: BTreeMap<String, ToolTerms>,
    /// Where the built-in `transfer` tool may send the caller, by name.
    pub transfer_targets: BTreeMap<String, String>,
    /// What models cost.
    pub prices: Arc<Prices>,
}

/// What the life of a call must know of a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolTerms {
    /// What the caller hears when the answer takes a while.
    pub say_first: Option<String>,
    /// Whether the model listens while it runs.
    pub interruptible: bool,
}

/// How a call is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// The assistant is told how.
    Prompt(String),
    /// The assistant greets as its instructions tell it.
    ByInstructions,
    /// The caller speaks first.
    Wait,
}
