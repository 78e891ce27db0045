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
    /// How the provider notices that it is the model's turn; none: it does not, and the model is asked.
    pub turn_detection: Option<TurnDetection>,
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

impl Terms {
    /// The URI that the arguments of the built-in `transfer` tool name, or the only one there is.
    pub fn transfer_target(&self, arguments: &str) -> Option<String> {
        let wanted = serde_json::from_str::<serde_json::Value>(arguments).ok();
        let wanted = wanted.as_ref().and_then(|arguments| arguments.get("to")?.as_str());
        let target = match wanted {
            Some(name) => self.transfer_targets.get(name),
            None if self.transfer_targets.len() == 1 => self.transfer_targets.values().next(),
            None => None,
        };
        target.cloned()
    }
}

/// How the provider notices that it is the model's turn: the dialect's own JSON, prepared with the session.
#[derive(Clone, Debug)]
pub struct TurnDetection {
    /// As the session says.
    pub usual: Box<RawValue>,
    /// What the caller says is heard and written down, but starts no turn and stops none.
    pub deferring: Box<RawValue>,
    /// Off until the greeting was heard.
    pub is_off_at_first: bool,
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
