//! What the gateway did with one call, as the provider saw it.

use std::time::Duration;

use crate::clock::Timestamp;

/// What happened to one call.
#[derive(Clone, Debug, Default)]
pub struct CallReport {
    /// The call.
    pub call_id: String,
    /// Bodies of accepts that came, whatever was answered.
    pub accepts: Vec<String>,
    /// How many accepts were answered 200.
    pub accepted: u32,
    /// SIP codes of rejects.
    pub rejects: Vec<u16>,
    /// Targets of refers.
    pub refers: Vec<String>,
    /// How many hang-ups came.
    pub hangups: u32,
    /// Statuses with which webhooks were answered, in the order of the answers.
    pub webhook_statuses: Vec<u16>,
    /// How many sidebands were opened.
    pub attached: u32,
    /// The longest that the call was without a sideband between two of them, in real time.
    pub alone_longest: Duration,
    /// How often a turn was asked for.
    pub response_creates: u32,
    /// With which instructions of its own, where a turn was asked for with any.
    pub asked_to_say: Vec<String>,
    /// Outputs of tools, in the order in which they came.
    pub tool_outputs: Vec<ToolOutput>,
    /// How many tool calls the model made.
    pub tool_calls: u32,
    /// Texts put into the conversation.
    pub injected: Vec<String>,
    /// What the caller heard, in order.
    pub spoken: Vec<String>,
    /// Who spoke when, in the order in which they began; over SIP only.
    pub utterances: Vec<Utterance>,
    /// Rules of the vendor that the gateway broke.
    pub protocol_errors: Vec<String>,
    /// When the first webhook was sent.
    pub webhook_sent: Option<Timestamp>,
    /// When the first accept came.
    pub accept_received: Option<Timestamp>,
    /// On a socket of its own: blocks of 20 ms that were heard.
    pub heard_blocks: u32,
    /// Blocks of them that were not what the caller said, or not in order.
    pub garbled: u32,
    /// What was taken out of the conversation because the caller spoke over it.
    pub truncations: Vec<Truncated>,
    /// What a new session was told of the conversation before it.
    pub told_again: Vec<String>,
    /// The instructions of a session on a socket of its own, as often as they were set.
    pub instructions: Vec<String>,
    /// Whether the script was played to its end.
    pub script_done: bool,
    /// Whether the call is over.
    pub is_over: bool,
}

/// Somebody spoke: the truth that a transcript is measured by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Utterance {
    /// The item of the conversation.
    pub item: String,
    /// The caller spoke; else the model.
    pub by_caller: bool,
    /// The first sound.
    pub started: Timestamp,
    /// The last one; none while it goes on.
    pub ended: Option<Timestamp>,
}

/// What a client said was heard of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truncated {
    /// The item.
    pub item: String,
    /// Its `audio_end_ms`.
    pub end_ms: u64,
    /// What the caller's ears heard of it, to the last whole block.
    pub heard_ms: u64,
}

/// The output of one tool call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolOutput {
    /// The tool call.
    pub tool_call: String,
    /// The output.
    pub output: String,
    /// When the model asked.
    pub asked: Timestamp,
    /// When the output came.
    pub answered: Timestamp,
}

impl CallReport {
    pub(super) fn new(call_id: &str) -> CallReport {
        CallReport { call_id: call_id.to_owned(), ..CallReport::default() }
    }

    /// A new session has found out that it goes on where this call was.
    pub(super) fn go_on_with(&mut self, session: &CallReport, call_id: &str) {
        self.call_id = call_id.to_owned();
        self.attached += session.attached;
        self.response_creates += session.response_creates;
        self.asked_to_say.extend_from_slice(&session.asked_to_say);
        self.heard_blocks += session.heard_blocks;
        self.garbled += session.garbled;
        self.protocol_errors.extend_from_slice(&session.protocol_errors);
        self.injected.extend_from_slice(&session.injected);
        self.told_again.extend_from_slice(&session.told_again);
        self.instructions.extend_from_slice(&session.instructions);
        self.is_over = false;
    }
}
