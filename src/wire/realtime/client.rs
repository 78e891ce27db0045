//! Events of ours, written strictly.
//!
//! The provider refuses unknown and null fields: what is absent is left out, each event carries an id
//! of ours, and a session names its type.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

/// One event of ours.
#[derive(Debug, Serialize)]
#[serde(tag = "type")]
pub enum ClientEvent<'a> {
    /// Changes the session: what is absent stays as it is.
    #[serde(rename = "session.update")]
    SessionUpdate {
        /// Our id of the event; the only thing by which an error names it.
        event_id: &'a str,
        /// What changes.
        session: SessionUpdate<'a>,
    },
    /// Says all of the session at once, where no accept did: prepared JSON.
    #[serde(rename = "session.update")]
    SessionSet {
        /// Our id of the event.
        event_id: &'a str,
        /// The session.
        session: &'a RawValue,
    },
    /// Some sound of the caller; it is not acknowledged.
    #[serde(rename = "input_audio_buffer.append")]
    AudioAppend {
        /// Our id of the event.
        event_id: &'a str,
        /// Base64 in the session's input format.
        audio: &'a str,
    },
    /// The caller's turn ends here, where no turn detection notices it.
    #[serde(rename = "input_audio_buffer.commit")]
    AudioCommit {
        /// Our id of the event.
        event_id: &'a str,
    },
    /// What of an item was not heard is taken out of the conversation.
    #[serde(rename = "conversation.item.truncate")]
    ItemTruncate {
        /// Our id of the event.
        event_id: &'a str,
        /// The item.
        item_id: &'a str,
        /// Which part of it.
        content_index: u64,
        /// How much was heard, in milliseconds.
        audio_end_ms: u64,
    },
    /// Puts an item at the end of the conversation.
    #[serde(rename = "conversation.item.create")]
    ItemCreate {
        /// Our id of the event.
        event_id: &'a str,
        /// The item.
        item: NewItem<'a>,
    },
    /// Asks for an item as it stands in the conversation; where there is none the answer is an error.
    #[serde(rename = "conversation.item.retrieve")]
    ItemRetrieve {
        /// Our id of the event.
        event_id: &'a str,
        /// The item.
        item_id: &'a str,
    },
    /// Asks the model to take a turn.
    #[serde(rename = "response.create")]
    ResponseCreate {
        /// Our id of the event.
        event_id: &'a str,
        /// What differs from the session in this turn.
        response: NewResponse<'a>,
    },
}

impl ClientEvent<'_> {
    /// The event as one text frame.
    pub fn render(&self) -> String {
        serde_json::to_string(self).expect("text and checked JSON can always be written as JSON")
    }
}

/// A change of a Realtime session.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "realtime")]
pub struct SessionUpdate<'a> {
    audio: SessionAudio<'a>,
}

#[derive(Debug, Serialize)]
struct SessionAudio<'a> {
    input: SessionInput<'a>,
}

#[derive(Debug, Serialize)]
struct SessionInput<'a> {
    turn_detection: &'a RawValue,
}

impl<'a> SessionUpdate<'a> {
    /// Sets the turn detection and nothing else; JSON null turns it off.
    pub fn turn_detection(turn_detection: &'a RawValue) -> SessionUpdate<'a> {
        SessionUpdate { audio: SessionAudio { input: SessionInput { turn_detection } } }
    }
}

/// A new item of the conversation.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum NewItem<'a> {
    /// Something said otherwise than by voice.
    Message {
        /// `system`, `user` or `assistant`.
        role: &'a str,
        /// Its parts.
        content: [NewContent<'a>; 1],
    },
    /// A call of a function, as the model made it in an earlier session.
    FunctionCall {
        /// The id of the function call.
        call_id: &'a str,
        /// The function.
        name: &'a str,
        /// Its arguments as the model wrote them.
        arguments: &'a str,
    },
    /// The output of a function.
    FunctionCallOutput {
        /// The item's id; without one the provider chooses it (openai-node, `ConversationItemWithReference`: "this field
        /// allows the client to assign the unique ID of the item").
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
        /// The id of the function call.
        call_id: &'a str,
        /// Plain text, by convention JSON.
        output: &'a str,
    },
}

/// A part of a new message.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum NewContent<'a> {
    /// Text.
    InputText {
        /// The text.
        text: &'a str,
    },
    /// Text of the assistant.
    OutputText {
        /// The text.
        text: &'a str,
    },
}

/// What differs from the session in one turn.
#[derive(Debug, Serialize)]
pub struct NewResponse<'a> {
    /// Instructions in place of the session's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<&'a str>,
    /// `none`: no tools; absent: as the session says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<&'a str>,
    /// Comes back in the events of the response; at most 16 pairs.
    pub metadata: BTreeMap<&'a str, &'a str>,
}
