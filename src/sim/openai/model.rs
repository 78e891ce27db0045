//! One response of the simulated model: its words, its tool calls, its tokens, as vendor events in the
//! vendor's order.

use serde_json::{Value, json};

use crate::sim::script::ModelTurn;

/// How long a character takes to say.
const CHAR_MS: u64 = 120;

/// A response that is being generated or played.
#[derive(Debug)]
pub(super) struct Response {
    pub id: String,
    pub metadata: Value,
    pub words: Option<String>,
    pub calls: Vec<FunctionCall>,
    pub speech_ms: u64,
    pub status: String,
    pub reason: Option<String>,
    pub is_generating: bool,
    pub is_playing: bool,
    /// The item of its words.
    pub item: String,
    /// Where the client plays: which speech this is, and how many blocks it has.
    pub voice: u32,
    pub blocks: u32,
}

/// A function call of a response.
#[derive(Clone, Debug)]
pub(super) struct FunctionCall {
    pub item: String,
    pub call_id: String,
    pub name: String,
    pub arguments: String,
}

impl Response {
    /// The response of a scripted turn.
    pub fn new(
        id: String,
        metadata: Value,
        turn: &ModelTurn,
        words: Option<String>,
        calls: Vec<FunctionCall>,
    ) -> Response {
        let speech_ms =
            words.as_ref().map_or(0, |words| turn.for_ms.unwrap_or(words.chars().count() as u64 * CHAR_MS));
        Response {
            id,
            metadata,
            words,
            calls,
            speech_ms,
            status: turn.status.clone().unwrap_or_else(|| "completed".to_owned()),
            reason: turn.reason.clone(),
            is_generating: true,
            is_playing: false,
            item: String::new(),
            voice: 0,
            blocks: 0,
        }
    }

    pub fn created(&self) -> Value {
        json!({ "type": "response.created", "response": self.body("in_progress", &[], None) })
    }

    /// The first events of the spoken part.
    pub fn speech_begins(&self, item: &str) -> Vec<Value> {
        let message = |status: &str, content: Value| {
            json!({ "id": item, "object": "realtime.item", "type": "message", "status": status,
                "role": "assistant", "content": content })
        };
        vec![
            json!({ "type": "response.output_item.added", "response_id": self.id, "output_index": 0,
                "item": message("in_progress", json!([])) }),
            json!({ "type": "conversation.item.added", "previous_item_id": null,
                "item": message("in_progress", json!([])) }),
            json!({ "type": "response.content_part.added", "response_id": self.id, "item_id": item,
                "output_index": 0, "content_index": 0, "part": { "type": "audio", "transcript": "" } }),
            json!({ "type": "output_audio_buffer.started", "response_id": self.id }),
        ]
    }

    /// The words, in a few pieces.
    pub fn deltas(&self, item: &str) -> Vec<Value> {
        let words: Vec<char> = self.words.as_deref().unwrap_or_default().chars().collect();
        let pieces = words.chunks(12.max(words.len().div_ceil(8)));
        pieces
            .map(|piece| {
                json!({ "type": "response.output_audio_transcript.delta", "response_id": self.id,
                    "item_id": item, "output_index": 0, "content_index": 0,
                    "delta": piece.iter().collect::<String>() })
            })
            .collect()
    }

    /// The last events of the spoken part.
    pub fn speech_ends(&self, item: &str, status: &str) -> Vec<Value> {
        let words = self.words.clone().unwrap_or_default();
        let part = json!({ "type": "audio", "transcript": words });
        let done = self.message(item, status);
        let place = |kind: &str| json!({ "type": kind, "response_id": self.id, "item_id": item, "output_index": 0, "content_index": 0 });
        let with = |kind: &str, key: &str, value: Value| {
            let mut event = place(kind);
            event[key] = value;
            event
        };
        vec![
            place("response.output_audio.done"),
            with("response.output_audio_transcript.done", "transcript", words.into()),
            with("response.content_part.done", "part", part),
            json!({ "type": "conversation.item.done", "previous_item_id": null, "item": done }),
            json!({ "type": "response.output_item.done", "response_id": self.id, "output_index": 0, "item": done }),
        ]
    }

    /// All events of one function call.
    pub fn function_call(&self, index: usize, call: &FunctionCall) -> Vec<Value> {
        let index = index + usize::from(self.words.is_some());
        let begun = json!({ "id": call.item, "object": "realtime.item", "type": "function_call",
            "status": "in_progress", "name": call.name, "call_id": call.call_id, "arguments": "" });
        let done = call.value("completed");
        let event = |kind: &str, key: &str, value: Value| {
            let mut event = json!({ "type": kind, "response_id": self.id, "output_index": index });
            event[key] = value;
            event
        };
        let mut events = vec![
            event("response.output_item.added", "item", begun.clone()),
            json!({ "type": "conversation.item.added", "previous_item_id": null, "item": begun }),
        ];
        let mut delta =
            event("response.function_call_arguments.delta", "delta", call.arguments.clone().into());
        let mut whole =
            event("response.function_call_arguments.done", "arguments", call.arguments.clone().into());
        for event in [&mut delta, &mut whole] {
            event["item_id"] = call.item.clone().into();
            event["call_id"] = call.call_id.clone().into();
        }
        whole["name"] = call.name.clone().into();
        events.extend([
            delta,
            whole,
            json!({ "type": "conversation.item.done", "previous_item_id": null, "item": done }),
            event("response.output_item.done", "item", done),
        ]);
        events
    }

    /// `response.done`, always sent exactly once.
    pub fn done(&self, item: &str, status: &str, reason: Option<&str>, context_tokens: u64) -> Value {
        let mut output = Vec::new();
        if self.words.is_some() {
            output.push(self.message(item, if status == "completed" { "completed" } else { "incomplete" }));
        }
        let is_whole = matches!(status, "completed" | "incomplete");
        output.extend(self.calls.iter().filter(|_| is_whole).map(|call| call.value("completed")));
        let mut body = self.body(status, &output, Some(self.usage(context_tokens)));
        body["status_details"] = match (status, reason) {
            ("completed", _) => Value::Null,
            ("failed", code) => json!({ "type": "failed",
                "error": { "type": "server_error", "code": code.unwrap_or("server_error"), "message": "It failed." } }),
            (status, reason) => json!({ "type": status, "reason": reason }),
        };
        json!({ "type": "response.done", "response": body })
    }

    /// Tokens of this turn: the conversation so far is read again, mostly from the cache.
    fn usage(&self, context_tokens: u64) -> Value {
        let audio_out = self.speech_ms / 50;
        let text_out = self.words.as_ref().map_or(0, |words| words.chars().count() as u64 / 2)
            + self.calls.len() as u64 * 20;
        let cached = context_tokens / 2 / 64 * 64;
        let (text_in, audio_in) = (400 + context_tokens / 4, context_tokens);
        json!({
            "total_tokens": text_in + audio_in + audio_out + text_out,
            "input_tokens": text_in + audio_in,
            "output_tokens": audio_out + text_out,
            "input_token_details": { "text_tokens": text_in, "audio_tokens": audio_in, "image_tokens": 0,
                "cached_tokens": cached,
                "cached_tokens_details": { "text_tokens": 0, "audio_tokens": cached, "image_tokens": 0 } },
            "output_token_details": { "text_tokens": text_out, "audio_tokens": audio_out }
        })
    }

    fn message(&self, item: &str, status: &str) -> Value {
        json!({ "id": item, "object": "realtime.item", "type": "message", "status": status, "role": "assistant",
            "content": [{ "type": "output_audio", "transcript": self.words }] })
    }

    fn body(&self, status: &str, output: &[Value], usage: Option<Value>) -> Value {
        json!({ "object": "realtime.response", "id": self.id, "status": status, "status_details": null,
            "output": output, "conversation_id": "conv_sim", "output_modalities": ["audio"],
            "max_output_tokens": "inf",
            "audio": { "output": { "format": { "type": "audio/pcmu" }, "voice": "marin" } },
            "usage": usage, "metadata": self.metadata })
    }
}

impl FunctionCall {
    fn value(&self, status: &str) -> Value {
        json!({ "id": self.item, "object": "realtime.item", "type": "function_call", "status": status,
            "name": self.name, "call_id": self.call_id, "arguments": self.arguments })
    }
}

/// Replaces `{/pointer}` from the last of the outputs and `{N/pointer}` from the Nth.
pub(super) fn fill_in(text: &str, outputs: &[Value]) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let Some((name, behind)) = after.split_once('}') else {
            filled.push('{');
            rest = after;
            continue;
        };
        match value_of(name, outputs) {
            Some(value) => filled.push_str(&value),
            None => filled.push_str(&format!("{{{name}}}")),
        }
        rest = behind;
    }
    filled + rest
}

fn value_of(name: &str, outputs: &[Value]) -> Option<String> {
    let (number, pointer) = name.split_at(name.find('/')?);
    let output = match number {
        "" => outputs.last()?,
        number => outputs.get(number.parse::<usize>().ok()?)?,
    };
    match output.pointer(pointer)? {
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_heard_proves_what_the_tool_answered() {
        let outputs = [json!({ "name": "山田" }), json!({ "orders": [{ "id": 7 }] })];
        let filled = fill_in("{0/name}様、ご注文{/orders/0/id}番 {x} {/no}", &outputs);
        assert_eq!(filled, "山田様、ご注文7番 {x} {/no}");
    }
}
