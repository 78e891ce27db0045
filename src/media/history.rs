//! What was said in a bridged call, for a provider that has to be told again.
//!
//! A session whose audio passes through us lives on its socket: when that is lost, so is what the model
//! knew. A new session is told the conversation so far as text, and the tool calls whose answers are still
//! to come, so that these have a place. Bounded: the oldest lines go first.

use std::collections::VecDeque;

use crate::call::event::{ContextRole, ProviderCommand, ProviderEvent, TextMode, ToolCall};
use crate::call::record::Speaker;
use crate::wire::realtime::ClientEvent;
use crate::wire::realtime::client::{NewContent, NewItem};

/// How many lines are told again.
const LINES_MAX: usize = 60;
/// The longest text of one line, in bytes.
const LINE_BYTES_MAX: usize = 4 << 10;
/// How many calls of tools may wait for their answers.
const OPEN_CALLS_MAX: usize = 32;

/// What begins the ids of the frames that tell a new session of the conversation.
const EVENT_ID_PREFIX: &str = "history_";

/// Claims that the event of this id told a session of the conversation before it.
pub fn is_told_by(event_id: &str) -> bool {
    event_id.starts_with(EVENT_ID_PREFIX)
}

/// The conversation so far.
#[derive(Debug, Default)]
pub struct History {
    lines: VecDeque<Line>,
    open_calls: VecDeque<ToolCall>,
}

#[derive(Debug)]
enum Line {
    Message { role: &'static str, item: String, text: String },
    Tool { call: ToolCall, output: String },
}

impl History {
    /// A conversation that was had elsewhere.
    pub fn of(said: Vec<(Speaker, String)>) -> History {
        let mut history = History::default();
        for (speaker, text) in said {
            let role = match speaker {
                Speaker::Caller => "user",
                Speaker::Assistant => "assistant",
                // Which keys they were is kept nowhere.
                Speaker::Keypad => continue,
            };
            history.push(Line::Message { role, item: String::new(), text: cut(&text).to_owned() });
        }
        history
    }

    /// Claims that nothing was said.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.open_calls.is_empty()
    }

    /// The provider told something.
    pub fn heard(&mut self, event: &ProviderEvent) {
        match event {
            ProviderEvent::CallerTranscript { item, text, mode, .. } => {
                self.words("user", item.as_str(), text, *mode);
            }
            ProviderEvent::AssistantTranscript { item, text, mode, .. } => {
                self.words("assistant", item.as_str(), text, *mode);
            }
            ProviderEvent::ToolCallRequested { call, .. } => self.called(call),
            ProviderEvent::TurnEnded { tool_calls, .. } => {
                tool_calls.iter().for_each(|call| self.called(call))
            }
            _ => {}
        }
    }

    /// The provider was told something.
    pub fn told(&mut self, command: &ProviderCommand) {
        match command {
            ProviderCommand::SubmitToolResult { tool_call, output } => {
                let at = self.open_calls.iter().position(|call| call.id == *tool_call);
                if let Some(call) = at.and_then(|at| self.open_calls.remove(at)) {
                    self.push(Line::Tool { call, output: cut(output).to_owned() });
                }
            }
            ProviderCommand::InjectContext { role, text } => {
                let role = match role {
                    ContextRole::System => "system",
                    ContextRole::User => "user",
                };
                self.push(Line::Message { role, item: String::new(), text: cut(text).to_owned() });
            }
            ProviderCommand::PromptTurn { .. }
            | ProviderCommand::SetTurnDetection(_)
            | ProviderCommand::ReadBack { .. }
            | ProviderCommand::ReadBackToolResult { .. } => {}
        }
    }

    /// The frames that tell a new session of it, in order.
    pub fn frames(&self) -> Vec<String> {
        let mut frames = Vec::new();
        for line in &self.lines {
            match line {
                Line::Message { text, .. } if text.is_empty() => {}
                Line::Message { role, text, .. } => {
                    let content = match *role {
                        "assistant" => NewContent::OutputText { text },
                        _ => NewContent::InputText { text },
                    };
                    put(&mut frames, NewItem::Message { role, content: [content] });
                }
                Line::Tool { call, output } => {
                    put(&mut frames, function_call(call));
                    let (call_id, output) = (call.id.as_str(), output.as_str());
                    put(&mut frames, NewItem::FunctionCallOutput { id: None, call_id, output });
                }
            }
        }
        self.open_calls.iter().for_each(|call| put(&mut frames, function_call(call)));
        frames
    }

    fn words(&mut self, role: &'static str, item: &str, text: &str, mode: TextMode) {
        let is_it = |line: &&mut Line| matches!(line, Line::Message { role: known, item: of, .. } if *known == role && of == item);
        match self.lines.iter_mut().rev().find(is_it) {
            Some(Line::Message { text: known, .. }) => {
                if mode != TextMode::Append {
                    known.clear();
                }
                if known.len() + text.len() <= LINE_BYTES_MAX {
                    known.push_str(text);
                }
            }
            _ => self.push(Line::Message { role, item: item.to_owned(), text: cut(text).to_owned() }),
        }
    }

    fn called(&mut self, call: &ToolCall) {
        let is_known = |line: &Line| matches!(line, Line::Tool { call: known, .. } if known.id == call.id);
        if self.open_calls.iter().any(|open| open.id == call.id) || self.lines.iter().any(is_known) {
            return;
        }
        if self.open_calls.len() == OPEN_CALLS_MAX {
            self.open_calls.pop_front();
        }
        self.open_calls.push_back(call.clone());
    }

    fn push(&mut self, line: Line) {
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }
}

fn function_call(call: &ToolCall) -> NewItem<'_> {
    NewItem::FunctionCall { call_id: call.id.as_str(), name: &call.name, arguments: &call.arguments }
}

fn put(frames: &mut Vec<String>, item: NewItem<'_>) {
    let event_id = format!("{EVENT_ID_PREFIX}{}", frames.len());
    frames.push(ClientEvent::ItemCreate { event_id: &event_id, item }.render());
}

/// The beginning of a text, as much as one line may have.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(LINE_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(item: &str, text: &str, mode: TextMode) -> ProviderEvent {
        ProviderEvent::AssistantTranscript { turn: "t".into(), item: item.into(), text: text.into(), mode }
    }

    #[test]
    fn a_new_session_is_told_the_conversation() {
        let mut history = History::default();
        history.heard(&says("a", "はい、", TextMode::Append));
        history.heard(&says("a", "はい、山田商店です。", TextMode::Final));
        let words = ProviderEvent::CallerTranscript {
            item: "b".into(),
            text: "もしもし".into(),
            mode: TextMode::Final,
            usage: None,
        };
        history.heard(&words);
        let call = |id: &str| ToolCall { id: id.into(), name: "find".into(), arguments: "{}".into() };
        for id in ["c1", "c2"] {
            history.heard(&ProviderEvent::ToolCallRequested { turn: "t".into(), call: call(id) });
        }
        history.told(&ProviderCommand::SubmitToolResult { tool_call: "c1".into(), output: "7".into() });
        let frames: Vec<serde_json::Value> =
            history.frames().iter().map(|frame| serde_json::from_str(frame).unwrap()).collect();
        let items: Vec<_> = frames.iter().map(|frame| frame["item"].clone()).collect();
        let message = |role: &str, kind: &str, text: &str| serde_json::json!({ "type": "message", "role": role, "content": [{ "type": kind, "text": text }] });
        assert_eq!(items[0], message("assistant", "output_text", "はい、山田商店です。"));
        assert_eq!(items[1], message("user", "input_text", "もしもし"));
        assert_eq!((items[2]["call_id"].as_str(), items[3]["output"].as_str()), (Some("c1"), Some("7")));
        assert_eq!(
            (items[4]["type"].as_str(), items[4]["call_id"].as_str()),
            (Some("function_call"), Some("c2"))
        );
        assert_eq!(items.len(), 5);
    }

    #[test]
    fn a_conversation_that_was_had_elsewhere_is_told_() {
        let said = [(Speaker::Assistant, "はい"), (Speaker::Keypad, "••"), (Speaker::Caller, "もしもし")];
        let mut history = History::of(said.map(|(speaker, text)| (speaker, text.to_owned())).into());
        history.heard(&says("x", "ええ", TextMode::Final));
        let texts: Vec<serde_json::Value> =
            history.frames().iter().map(|frame| serde_json::from_str(frame).unwrap()).collect();
        let texts: Vec<_> = texts.iter().map(|frame| frame["item"]["content"][0]["text"].clone()).collect();
        assert_eq!(texts, ["はい", "もしもし", "ええ"]);
    }

    #[test]
    fn the_oldest_lines_go_first_and_a_line_is_bounded() {
        let mut history = History::default();
        for number in 0..100 {
            history.heard(&says(&number.to_string(), &"あ".repeat(2_000), TextMode::Final));
        }
        let frames = history.frames();
        assert_eq!(frames.len(), LINES_MAX);
        assert!(frames.iter().all(|frame| frame.len() < LINE_BYTES_MAX + 200));
    }
}
