//! What passed unseen while there was no sideband, as far as the provider gives it back.
//!
//! A provider repeats no event; it can be asked for the items of the conversation. So when the sideband is there again:
//!
//! - Answers of tools that were sent, and of which nobody has said that they arrived, are asked for; only one that is not
//!   there is sent again. The model is told no answer twice.
//! - Words of which the beginning was seen and not the end are asked for.
//! - The first item that is put into the conversation names the one before it. One that nobody here has seen is asked
//!   for: the last thing that was said unseen. What was said before that has no name, and stays unknown.
//!
//! Over the bridge there is a new session, which is told everything: nothing is asked for.

use std::time::Duration;

use super::event::{Action, CommandId, Keep, ProviderCommand};
use super::record::{Path, Speaker};
use super::resume::SEEN_WITHIN;
use super::step::Call;
use crate::clock::Timestamp;
use crate::ids::{ItemId, ToolCallId};

/// How long an answer is waited for. After it the answers of tools are sent again, as the model would wait for ever.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);
/// How many items are asked for when the sideband is back.
const ITEMS_MAX: usize = 32;

/// What was asked for.
#[derive(Debug, Default)]
pub(super) struct ReadBack {
    answers: Vec<(CommandId, ToolCallId)>,
    until: Option<Timestamp>,
    words: Vec<CommandId>,
    /// What was said and asked for before is another process' memory.
    is_taken_up: bool,
    /// The first item since the sideband is back is still to come.
    awaits_first: bool,
}

impl Call {
    /// The sideband is there again, in this process or (`is_taken_up`) after another one.
    pub(super) fn read_back(&mut self, is_taken_up: bool, now: Timestamp) {
        let asks = self.asks_back();
        self.transcript.found_again(now);
        self.reading = ReadBack { awaits_first: asks, is_taken_up, ..ReadBack::default() };
        for (tool_call, output) in self.tools.unacknowledged() {
            self.deliver_answer(tool_call, output, now);
        }
        if asks {
            for item in self.transcript.open_items().into_iter().take(ITEMS_MAX) {
                self.ask_for(item);
            }
        }
    }

    /// Claims that the conversation is the same behind a new sideband.
    fn asks_back(&self) -> bool {
        self.record.path == Path::Sip
    }

    /// Sends the answer of a tool, or asks first whether it is there already.
    pub(super) fn deliver_answer(&mut self, tool_call: ToolCallId, output: String, now: Timestamp) {
        if !self.asks_back() || !self.tools.may_be_there(&tool_call) {
            return self.submit(tool_call, output);
        }
        self.tools.is_in_doubt(&tool_call);
        let command = self.send(ProviderCommand::ReadBackToolResult { tool_call: tool_call.clone() });
        self.reading.answers.push((command, tool_call));
        self.reading.until = Some(now + ANSWERED_WITHIN);
    }

    fn ask_for(&mut self, item: ItemId) {
        let command = self.send(ProviderCommand::ReadBack { item });
        self.reading.words.push(command);
    }

    /// What was asked for is not waited for any more: the sideband went again.
    pub(super) fn stop_reading(&mut self) {
        self.reading = ReadBack::default();
    }

    /// The provider has put the answer of a tool into the conversation, now or before.
    pub(super) fn on_tool_result_acknowledged(&mut self, tool_call: &ToolCallId, now: Timestamp) {
        let asked = self.reading.answers.len();
        self.reading.answers.retain(|(_, asked)| asked != tool_call);
        if self.reading.is_taken_up && self.reading.answers.len() < asked {
            // It was there: the model may have been asked to go on, too, and speak.
            self.turns.hold(now + SEEN_WITHIN);
        }
        if let Some(record) = self.tools.acknowledge(tool_call).cloned() {
            self.act(Action::Keep(Keep::ToolCall(record)));
        }
    }

    /// The provider refused a command. Claims that it was a question for something that is not there: the answer of a
    /// tool is then sent, and words are lost.
    pub(super) fn on_not_there(&mut self, command: CommandId) -> bool {
        if let Some(at) = self.reading.words.iter().position(|asked| *asked == command) {
            self.reading.words.swap_remove(at);
            return true;
        }
        let Some(at) = self.reading.answers.iter().position(|(asked, _)| *asked == command) else {
            return false;
        };
        let (_, tool_call) = self.reading.answers.swap_remove(at);
        self.submit_again(&tool_call);
        true
    }

    /// When answers of tools are sent again of which the provider does not say whether it has them.
    pub(super) fn reading_over_at(&self) -> Option<Timestamp> {
        self.reading.until.filter(|_| !self.reading.answers.is_empty())
    }

    pub(super) fn on_reading_over(&mut self) {
        for (_, tool_call) in std::mem::take(&mut self.reading.answers) {
            self.submit_again(&tool_call);
        }
    }

    fn submit_again(&mut self, tool_call: &ToolCallId) {
        let answer = self.tools.unacknowledged().into_iter().find(|(of, _)| of == tool_call);
        if let Some((tool_call, output)) = answer {
            self.submit(tool_call, output);
        }
    }

    /// Something was put into the conversation.
    pub(super) fn on_item_added(&mut self, item: &ItemId, previous: Option<ItemId>) {
        self.transcript.item_added(item);
        if !std::mem::take(&mut self.reading.awaits_first) {
            return;
        }
        let unseen = previous.filter(|previous| previous != item && !self.transcript.knows(previous));
        if let Some(unseen) = unseen {
            self.transcript.unseen_before(item);
            self.ask_for(unseen);
        }
    }

    /// Words that were asked for.
    pub(super) fn on_read_back(&mut self, item: ItemId, speaker: Speaker, text: &str, now: Timestamp) {
        if self.transcript.read_back(item, speaker, text, now) {
            self.note("transcript.read_back", None, now);
        }
    }
}
