//! How it is noticed that the caller has finished speaking (OpenAI, "Realtime: voice activity
//! detection").

use serde::Serialize;

/// How it is noticed that the caller has finished speaking.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TurnDetection {
    /// By silence.
    ServerVad {
        /// How loud speech must be, 0 to 1.
        threshold: f64,
        /// How much sound before the speech is kept, in milliseconds.
        prefix_padding_ms: u32,
        /// How long silence must be, in milliseconds.
        silence_duration_ms: u32,
        /// After how long a silence the model speaks again, 5000 to 30000 milliseconds; none: never.
        #[serde(skip_serializing_if = "Option::is_none")]
        idle_timeout_ms: Option<u32>,
        /// Whether the model answers by itself.
        create_response: bool,
        /// Whether the caller can interrupt it.
        interrupt_response: bool,
    },
    /// By what was said.
    SemanticVad {
        /// How soon the model takes its turn.
        eagerness: Eagerness,
        /// Whether the model answers by itself.
        create_response: bool,
        /// Whether the caller can interrupt it.
        interrupt_response: bool,
    },
}

impl TurnDetection {
    /// The same, but nothing follows from what it notices.
    pub fn deferring(mut self) -> TurnDetection {
        match &mut self {
            TurnDetection::ServerVad { create_response, interrupt_response, .. }
            | TurnDetection::SemanticVad { create_response, interrupt_response, .. } => {
                *create_response = false;
                *interrupt_response = false;
            }
        }
        self
    }
}

/// How soon the model takes its turn: it waits at most 8, 4 or 2 seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Eagerness {
    /// Patient: 8 seconds.
    Low,
    /// 4 seconds.
    Medium,
    /// Quick: 2 seconds.
    High,
    /// As the provider likes (medium).
    Auto,
}
