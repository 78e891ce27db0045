//! Words that are not a line yet, for those who watch a call while it is spoken.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Speech, Transcript, Utterance};
use crate::call::record::Speaker;
use crate::clock::Timestamp;
use crate::ids::{ItemId, TurnId};

/// What somebody is saying, as far as it is known. The line that has the same item, or turn, takes its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Growing {
    /// Who speaks.
    pub speaker: Speaker,
    /// The words so far.
    pub text: String,
    /// When it began.
    pub started: Timestamp,
    /// The item of the caller's words.
    pub item: Option<ItemId>,
    /// The assistant's turn.
    pub turn: Option<TurnId>,
}

impl Transcript {
    /// All that is being said, where anything of it has grown since this was last asked.
    pub fn take_grown(&mut self) -> Vec<Growing> {
        if !std::mem::take(&mut self.has_grown) {
            return Vec::new();
        }
        let caller = self.caller.iter().filter(|utterance| !utterance.text.is_empty());
        let assistant = self.assistant.iter().filter(|speech| speech.n.is_none() && speech.has_words());
        caller.map(Utterance::growing).chain(assistant.map(Speech::growing)).collect()
    }
}

impl Utterance {
    fn growing(&self) -> Growing {
        Growing {
            speaker: Speaker::Caller,
            text: self.text.clone(),
            started: self.started,
            item: Some(self.item.clone()),
            turn: None,
        }
    }
}

impl Speech {
    fn growing(&self) -> Growing {
        Growing {
            speaker: Speaker::Assistant,
            text: self.words(),
            started: self.started,
            item: None,
            turn: Some(self.turn.clone()),
        }
    }
}
