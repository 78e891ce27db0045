//! What the lean provider says on a sideband, ready to be sent (OpenAI, "Realtime API reference: server events",
//! in the order in which the vendor sends them over SIP).
//!
//! Texts with a few numbers put in: nothing is built and written as JSON for each call. Only the session's echo is
//! the client's own.

/// What a model says in one turn.
const WORDS: &str = "お調べいたしました。ご注文は発送済みでございます。";
/// What the caller says.
const SAYS: &str = "注文した便箋はいつ届きますか。";

/// Makes ids of one call, and frames with them.
#[derive(Debug)]
pub(super) struct Frames {
    call: u64,
    number: u64,
}

/// A function call of the model's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asks<'a> {
    /// The tool.
    pub name: &'a str,
    /// Its arguments, as JSON.
    pub arguments: &'a str,
    /// The id under which the output comes back.
    pub call_id: &'a str,
}

impl Frames {
    /// Of the call with this number.
    pub fn new(call: u64) -> Frames {
        Frames { call, number: 0 }
    }

    fn next(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// An id for a function call.
    pub fn call_id(&mut self) -> String {
        let number = self.next();
        format!("call_{}_{number}", self.call)
    }

    /// The sideband is open.
    pub fn opened(&self, expires_at_s: u64) -> [String; 2] {
        let call = self.call;
        let session = session(call, expires_at_s);
        [
            format!(r#"{{"type":"session.created","event_id":"event_1","session":{session}}}"#),
            format!(
                r#"{{"type":"conversation.created","event_id":"event_2","conversation":{{"id":"conv_{call}","object":"realtime.conversation"}}}}"#
            ),
        ]
    }

    /// The session was changed; what was changed is not repeated.
    pub fn updated(&self, expires_at_s: u64) -> String {
        let session = session(self.call, expires_at_s);
        format!(r#"{{"type":"session.updated","event_id":"event_3","session":{session}}}"#)
    }

    /// The caller speaks, stops, and was understood. The moment at which this is sent is the end of the speech.
    pub fn caller_spoke(&mut self) -> [String; 6] {
        let number = self.next();
        let item = format!("item_{}_{number}", self.call);
        let (start, end) = (self.number * 1_000, self.number * 1_000 + 900);
        let user = format!(
            r#"{{"id":"{item}","object":"realtime.item","type":"message","status":"completed","role":"user","content":[{{"type":"input_audio","transcript":null}}]}}"#
        );
        [
            format!(
                r#"{{"type":"input_audio_buffer.speech_started","event_id":"event_s","audio_start_ms":{start},"item_id":"{item}"}}"#
            ),
            format!(
                r#"{{"type":"input_audio_buffer.speech_stopped","event_id":"event_e","audio_end_ms":{end},"item_id":"{item}"}}"#
            ),
            format!(
                r#"{{"type":"input_audio_buffer.committed","event_id":"event_c","previous_item_id":null,"item_id":"{item}"}}"#
            ),
            format!(
                r#"{{"type":"conversation.item.added","event_id":"event_a","previous_item_id":null,"item":{user}}}"#
            ),
            format!(
                r#"{{"type":"conversation.item.done","event_id":"event_d","previous_item_id":null,"item":{user}}}"#
            ),
            format!(
                r#"{{"type":"conversation.item.input_audio_transcription.completed","event_id":"event_t","item_id":"{item}","content_index":0,"transcript":"{SAYS}","usage":{{"type":"duration","seconds":0.9}}}}"#
            ),
        ]
    }

    /// A turn: words, a function call, or both; `metadata` is what the client asked for it with.
    pub fn turn(&mut self, metadata: &str, speaks: bool, asks: Option<Asks<'_>>) -> Vec<String> {
        let number = self.next();
        let (turn, item) = (format!("resp_{}_{number}", self.call), format!("item_{}_{number}", self.call));
        let mut frames = Vec::with_capacity(18);
        let mut output = String::new();
        frames.push(format!(
            r#"{{"type":"response.created","event_id":"event_r","response":{}}}"#,
            response(&turn, "in_progress", "", "null", metadata)
        ));
        if speaks {
            output.push_str(&speech(&mut frames, &turn, &item));
        }
        if let Some(asks) = asks {
            let index = u8::from(speaks);
            if speaks {
                output.push(',');
            }
            output.push_str(&function_call(&mut frames, &turn, number, self.call, index, asks));
        }
        frames.push(format!(
            r#"{{"type":"response.done","event_id":"event_r","response":{}}}"#,
            response(&turn, "completed", &output, USAGE, metadata)
        ));
        if speaks {
            frames.push(format!(
                r#"{{"type":"output_audio_buffer.stopped","event_id":"event_p","response_id":"{turn}"}}"#
            ));
        }
        frames
    }

    /// An item of the client's is in the conversation.
    pub fn item_added(&mut self, item: &str) -> [String; 2] {
        let number = self.next();
        let rest = item.trim_start().strip_prefix('{').unwrap_or("}");
        let comma = if rest.trim_start().starts_with('}') { "" } else { "," };
        let id = if item.contains(r#""id""#) { String::new() } else { format!(r#","id":"item_c_{number}""#) };
        let item = format!(r#"{{"object":"realtime.item","status":"completed"{id}{comma}{rest}"#);
        ["added", "done"].map(|what| {
            format!(
                r#"{{"type":"conversation.item.{what}","event_id":"event_i","previous_item_id":null,"item":{item}}}"#
            )
        })
    }
}

const USAGE: &str = r#"{"total_tokens":620,"input_tokens":560,"output_tokens":60,"input_token_details":{"text_tokens":440,"audio_tokens":120,"image_tokens":0,"cached_tokens":64,"cached_tokens_details":{"text_tokens":0,"audio_tokens":64,"image_tokens":0}},"output_token_details":{"text_tokens":20,"audio_tokens":40}}"#;

fn session(call: u64, expires_at_s: u64) -> String {
    format!(
        r#"{{"type":"realtime","object":"realtime.session","id":"sess_{call}","expires_at":{expires_at_s},"output_modalities":["audio"],"audio":{{"input":{{"turn_detection":{{"type":"semantic_vad","eagerness":"auto","create_response":true,"interrupt_response":true}}}},"output":{{"voice":"marin","speed":1}}}}}}"#
    )
}

fn response(turn: &str, status: &str, output: &str, usage: &str, metadata: &str) -> String {
    format!(
        r#"{{"object":"realtime.response","id":"{turn}","status":"{status}","status_details":null,"output":[{output}],"conversation_id":"conv_sim","output_modalities":["audio"],"max_output_tokens":"inf","usage":{usage},"metadata":{metadata}}}"#
    )
}

/// The events of the spoken part; gives the item.
fn speech(frames: &mut Vec<String>, turn: &str, item: &str) -> String {
    let at = format!(
        r#""event_id":"event_w","response_id":"{turn}","item_id":"{item}","output_index":0,"content_index":0"#
    );
    let message = |status: &str, content: &str| {
        format!(
            r#"{{"id":"{item}","object":"realtime.item","type":"message","status":"{status}","role":"assistant","content":[{content}]}}"#
        )
    };
    let (begun, done) = (
        message("in_progress", ""),
        message("completed", &format!(r#"{{"type":"output_audio","transcript":"{WORDS}"}}"#)),
    );
    frames.extend([
        format!(r#"{{"type":"response.output_item.added","event_id":"event_w","response_id":"{turn}","output_index":0,"item":{begun}}}"#),
        format!(r#"{{"type":"conversation.item.added","event_id":"event_w","previous_item_id":null,"item":{begun}}}"#),
        format!(r#"{{"type":"response.content_part.added",{at},"part":{{"type":"audio","transcript":""}}}}"#),
        format!(r#"{{"type":"output_audio_buffer.started","event_id":"event_p","response_id":"{turn}"}}"#),
        format!(r#"{{"type":"response.output_audio_transcript.delta",{at},"delta":"{WORDS}"}}"#),
        format!(r#"{{"type":"response.output_audio.done",{at}}}"#),
        format!(r#"{{"type":"response.output_audio_transcript.done",{at},"transcript":"{WORDS}"}}"#),
        format!(r#"{{"type":"response.content_part.done",{at},"part":{{"type":"audio","transcript":"{WORDS}"}}}}"#),
        format!(r#"{{"type":"conversation.item.done","event_id":"event_w","previous_item_id":null,"item":{done}}}"#),
        format!(r#"{{"type":"response.output_item.done","event_id":"event_w","response_id":"{turn}","output_index":0,"item":{done}}}"#),
    ]);
    done
}

/// The events of a function call; gives the item.
fn function_call(
    frames: &mut Vec<String>,
    turn: &str,
    number: u64,
    call: u64,
    index: u8,
    asks: Asks<'_>,
) -> String {
    let item = format!("item_{call}_{number}_f");
    // A text within a text: its quotes are escaped.
    let arguments = serde_json::Value::from(asks.arguments).to_string();
    let value = |status: &str, arguments: &str| {
        format!(
            r#"{{"id":"{item}","object":"realtime.item","type":"function_call","status":"{status}","name":"{}","call_id":"{}","arguments":{arguments}}}"#,
            asks.name, asks.call_id
        )
    };
    let (begun, done) = (value("in_progress", r#""""#), value("completed", &arguments));
    let at = format!(
        r#""event_id":"event_f","response_id":"{turn}","item_id":"{item}","output_index":{index},"call_id":"{}""#,
        asks.call_id
    );
    frames.extend([
        format!(r#"{{"type":"response.output_item.added","event_id":"event_f","response_id":"{turn}","output_index":{index},"item":{begun}}}"#),
        format!(r#"{{"type":"conversation.item.added","event_id":"event_f","previous_item_id":null,"item":{begun}}}"#),
        format!(r#"{{"type":"response.function_call_arguments.delta",{at},"delta":{arguments}}}"#),
        format!(r#"{{"type":"response.function_call_arguments.done",{at},"name":"{}","arguments":{arguments}}}"#, asks.name),
        format!(r#"{{"type":"conversation.item.done","event_id":"event_f","previous_item_id":null,"item":{done}}}"#),
        format!(r#"{{"type":"response.output_item.done","event_id":"event_f","response_id":"{turn}","output_index":{index},"item":{done}}}"#),
    ]);
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::event::ProviderEvent;
    use crate::openai::dialect;

    #[test]
    fn every_frame_is_one_that_the_gateway_knows() {
        let mut frames = Frames::new(7);
        let call_id = frames.call_id();
        let asks = Asks { name: "lookup_customer", arguments: r#"{"phone":"+81"}"#, call_id: &call_id };
        let mut all: Vec<String> = frames.opened(1_800_000_000).into();
        all.push(frames.updated(1_800_000_000));
        all.extend(frames.caller_spoke());
        all.extend(frames.turn("null", false, Some(asks)));
        all.extend(frames.turn(r#"{"switchboard_command":"1"}"#, true, Some(asks)));
        all.extend(
            frames.item_added(r#"{"type":"function_call_output","call_id":"call_7_1","output":"{}"}"#),
        );
        all.extend(frames.item_added(r#"{"id":"item_1","type":"message","role":"user","content":[]}"#));
        let bare = frames.item_added("{}");
        assert!(serde_json::from_str::<serde_json::Value>(&bare[0]).is_ok(), "{bare:?}");
        let read: Vec<ProviderEvent> = all
            .iter()
            .map(|frame| {
                assert!(serde_json::from_str::<serde_json::Value>(frame).is_ok(), "{frame}");
                dialect::read(frame)
            })
            .collect();
        let unknown = read.iter().zip(&all).find(|(event, _)| matches!(event, ProviderEvent::Unknown { .. }));
        assert!(unknown.is_none(), "{unknown:?}");
        let asked = read.iter().filter(|event| matches!(event, ProviderEvent::ToolCallRequested { .. }));
        let acknowledged =
            |event: &&ProviderEvent| matches!(event, ProviderEvent::ToolResultAcknowledged { .. });
        assert_eq!((asked.count(), read.iter().filter(acknowledged).count()), (2, 2));
        assert!(matches!(read[0], ProviderEvent::Attached { expires_at: Some(_), .. }), "{:?}", read[0]);
    }
}
