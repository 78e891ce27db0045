//! What becomes of a caller whom no model can be brought to, on any path.

use std::time::Duration;

use super::Target;

/// What a caller gets when all paths have failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// A spoken apology, then the line goes; none: the carrier's own words for all routes.
    Apology(Option<Words>),
    /// A person, or another address.
    Forward(Target),
    /// A message can be left.
    Voicemail(Voicemail),
}

/// Words for the carrier's voice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// The words.
    pub text: String,
    /// BCP 47, such as `ja-JP`.
    pub language: String,
    /// The carrier's name of the voice; none for its default.
    pub voice: Option<String>,
}

/// How a message is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voicemail {
    /// What the caller hears before the beep.
    pub words: Words,
    /// The longest message.
    pub length: Duration,
}

impl Default for Fallback {
    fn default() -> Fallback {
        Fallback::Apology(None)
    }
}

impl Fallback {
    /// The name as it stands in the events of a call.
    pub fn name(&self) -> &'static str {
        match self {
            Fallback::Apology(_) => "apology",
            Fallback::Forward(_) => "forward",
            Fallback::Voicemail(_) => "voicemail",
        }
    }
}
