//! A call that is over as a trace: one span for the call, below it what the caller said, what the model made of it, and the
//! tools.
//!
//! A function of what is kept of the call, so that nothing is paid for it while the call runs. The trace's id is the call's
//! own (its 32 digits), and the ids of spans follow from it: a call that is told twice is the same trace. Words are in it
//! only where they are wanted, numbers of telephones never.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::names;
use crate::call::finished::{has_failed, tool_name};
use crate::call::record::{CallDetail, CallRecord, Line, LineStatus, Speaker, ToolCallRecord, UsageRecord};
use crate::clock::Timestamp;
use crate::ids::CallId;

/// How many spans one trace has; a long call has a few hundred.
const SPANS_MAX: usize = 1_000;
/// How many bytes of a text are told where content is wanted.
const CONTENT_BYTES_MAX: usize = 4 << 10;
/// The flag of a trace that is recorded (W3C, "Trace Context", sampled).
const SAMPLED: u32 = 1;
/// How the conventions call the provider whose names begin so.
const OPENAI: &str = "openai";

/// The kinds of spans, from which their ids are made.
#[derive(Clone, Copy)]
enum Part {
    Call = 0,
    Speech = 1,
    Inference = 2,
    Tool = 3,
}

/// The spans of a call, with words of caller, model and tools or without.
pub fn spans(detail: &CallDetail, with_content: bool) -> Vec<Span> {
    let call = &detail.call;
    let (Some(began), Some(ended)) = (call.stages.began(), call.stages.ended) else { return Vec::new() };
    let teller = Teller { call, with_content };
    let speech = detail.lines.iter().filter_map(|line| teller.speech(line));
    let turns = detail.usage.iter().filter_map(|usage| teller.inference(usage, detail));
    let tools = detail.tool_calls.iter().map(|tool| teller.tool(tool, ended));
    let mut below: Vec<Span> = speech.chain(turns).chain(tools).collect();
    below.sort_by_key(|span| span.start_time_unix_nano);
    let left_out = below.len().saturating_sub(SPANS_MAX - 1);
    below.truncate(SPANS_MAX - 1);
    let mut root = teller.root(began, ended, left_out);
    root.events = detail.events.iter().map(|event| happened(event.at, &event.kind)).collect();
    std::iter::once(root).chain(below).collect()
}

/// Claims that a call is among this share of all, which are always the same ones.
pub fn is_sampled(id: CallId, share: f64) -> bool {
    // The last seven bytes are chance (W3C, "Trace Context Level 2", random trace id).
    let chance = id.as_bytes()[9..].iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    (chance as f64) < share * 2f64.powi(56)
}

struct Teller<'a> {
    call: &'a CallRecord,
    with_content: bool,
}

impl Teller<'_> {
    fn root(&self, began: Timestamp, ended: Timestamp, left_out: usize) -> Span {
        let call = self.call;
        let mut told = Attributes::default();
        told.text(names::CONVERSATION, Some(&call.id.to_string()));
        self.session(&mut told);
        told.text(names::REQUEST_MODEL, self.model());
        told.text(names::ROUTE, call.route.as_deref());
        told.text(names::SESSION, call.session.as_deref());
        told.text(names::PATH, Some(call.path.as_str()));
        told.text(names::MOVED_FROM, call.moved.as_ref().map(|moved| moved.from.as_str()));
        let reason = call.ended.as_ref().map(|ended| ended.reason);
        told.text(names::REASON, reason.map(|reason| reason.as_str()));
        told.text(names::CARRIER_CALL, call.carrier.as_ref().map(|carrier| carrier.call_sid.as_str()));
        told.number(names::COST, call.cost_usd);
        let reattached = call.provider.as_ref().map_or(0, |provider| provider.reattached);
        told.count(names::REATTACHED, u64::from(reattached));
        told.count(names::LEFT_OUT, left_out as u64);
        let failed = reason.filter(|reason| reason.is_failure()).map(|reason| reason.as_str());
        let mut span = self.span(Part::Call, 0, names::CALL.to_owned(), SpanKind::Server, (began, ended));
        span.parent_span_id.clear();
        finish(span, told, failed)
    }

    /// Something the caller said whose end was seen.
    fn speech(&self, line: &Line) -> Option<Span> {
        let ended = line.ended.filter(|_| line.speaker == Speaker::Caller)?;
        let mut told = self.operation(names::USER_SPEECH);
        if self.with_content {
            told.text(names::INPUT_MESSAGES, Some(&message("user", &line.text, None)));
        }
        let name = names::USER_SPEECH.to_owned();
        Some(finish(
            self.span(Part::Speech, line.n, name, SpanKind::Internal, (line.started, ended)),
            told,
            None,
        ))
    }

    /// A turn of the model. It began with the first that was seen of it, a sound or a wish for a tool; a turn of which
    /// nothing was seen has no beginning, and is not told of.
    fn inference(&self, usage: &UsageRecord, detail: &CallDetail) -> Option<Span> {
        let turn = usage.turn.as_ref()?;
        let line = detail.lines.iter().find(|line| line.turn.as_ref() == Some(turn));
        let tool = detail.tool_calls.iter().find(|tool| tool.turn.as_ref() == Some(turn));
        let seen = [line.map(|line| line.started), tool.map(|tool| tool.requested)];
        let began = seen.into_iter().flatten().min()?.min(usage.at);
        let mut told = self.operation(names::REALTIME_INFERENCE);
        told.text(names::CONVERSATION, Some(&self.call.id.to_string()));
        told.text(names::REQUEST_MODEL, Some(&usage.model));
        told.text(names::RESPONSE_ID, Some(turn.as_str()));
        told.text(names::OUTPUT_TYPE, Some("speech"));
        let finish_reason = match line.map(|line| line.status) {
            Some(LineStatus::Interrupted) => Some("error"),
            _ if tool.is_some() => Some("tool_call"),
            Some(LineStatus::Final) => Some("stop"),
            _ => None,
        };
        told.list(names::FINISH_REASONS, finish_reason);
        let used = &usage.usage;
        for (name, tokens) in [
            (names::INPUT_TOKENS, used.text_in + used.audio_in + used.image_in),
            (names::TEXT_INPUT_TOKENS, used.text_in),
            (names::AUDIO_INPUT_TOKENS, used.audio_in),
            (names::IMAGE_INPUT_TOKENS, used.image_in),
            (names::CACHED_TOKENS, used.text_cached + used.audio_cached + used.image_cached),
            (names::TEXT_CACHED_TOKENS, used.text_cached),
            (names::AUDIO_CACHED_TOKENS, used.audio_cached),
            (names::IMAGE_CACHED_TOKENS, used.image_cached),
            (names::OUTPUT_TOKENS, used.text_out + used.audio_out),
            (names::TEXT_OUTPUT_TOKENS, used.text_out),
            (names::AUDIO_OUTPUT_TOKENS, used.audio_out),
        ] {
            told.count(name, tokens);
        }
        told.number(names::COST, usage.cost_usd);
        if let Some(line) = line.filter(|_| self.with_content) {
            told.text(names::OUTPUT_MESSAGES, Some(&message("assistant", &line.text, finish_reason)));
        }
        let name = format!("{} {}", names::REALTIME_INFERENCE, usage.model);
        Some(finish(
            self.span(Part::Inference, usage.n, name, SpanKind::Client, (began, usage.at)),
            told,
            None,
        ))
    }

    fn tool(&self, tool: &ToolCallRecord, call_ended: Timestamp) -> Span {
        let mut told = self.operation(names::EXECUTE_TOOL);
        let name = tool_name(tool);
        told.text(names::TOOL_NAME, Some(name));
        told.text(names::TOOL_CALL_ID, Some(tool.tool_call_id.as_str()));
        told.text(names::TOOL_TYPE, Some("function"));
        let outcome = tool.outcome.map_or("unanswered", |outcome| outcome.as_str());
        told.text(names::TOOL_OUTCOME, Some(outcome));
        if self.with_content {
            told.text(names::TOOL_ARGUMENTS, Some(cut(&tool.arguments)));
            told.text(names::TOOL_RESULT, tool.output.as_deref().map(cut));
        }
        let ended = tool.finished.unwrap_or(call_ended).max(tool.requested);
        let name = format!("{} {name}", names::EXECUTE_TOOL);
        let span = self.span(Part::Tool, tool.n, name, SpanKind::Internal, (tool.requested, ended));
        finish(span, told, has_failed(tool).then_some(outcome))
    }

    /// What every span below the call tells.
    fn operation(&self, name: &'static str) -> Attributes {
        let mut told = Attributes::default();
        told.text(names::OPERATION, Some(name));
        self.session(&mut told);
        told
    }

    fn session(&self, told: &mut Attributes) {
        let Some(provider) = &self.call.provider else { return };
        let name = if provider.name.starts_with(OPENAI) { OPENAI } else { &provider.name };
        told.text(names::PROVIDER, Some(name));
        told.text(names::REALTIME_SESSION, Some(provider.call_id.as_str()));
    }

    fn model(&self) -> Option<&str> {
        self.call.provider.as_ref().and_then(|provider| provider.model.as_deref())
    }

    fn span(
        &self,
        part: Part,
        n: u32,
        name: String,
        kind: SpanKind,
        (began, ended): (Timestamp, Timestamp),
    ) -> Span {
        Span {
            trace_id: self.call.id.as_bytes().to_vec(),
            span_id: span_id(self.call.id, part, n),
            parent_span_id: span_id(self.call.id, Part::Call, 0),
            flags: SAMPLED,
            name,
            kind: kind.into(),
            start_time_unix_nano: nanos(began),
            end_time_unix_nano: nanos(ended),
            ..Span::default()
        }
    }
}

fn finish(span: Span, told: Attributes, failed: Option<&str>) -> Span {
    let mut told = told;
    told.text(names::ERROR_TYPE, failed);
    let status = failed.map(|_| Status { message: String::new(), code: StatusCode::Error.into() });
    Span { attributes: told.0, status, ..span }
}

fn happened(at: Timestamp, kind: &str) -> Event {
    Event { time_unix_nano: nanos(at), name: kind.to_owned(), ..Event::default() }
}

fn span_id(call: CallId, part: Part, n: u32) -> Vec<u8> {
    let digest =
        Sha256::new().chain_update(call.as_bytes()).chain_update([part as u8]).chain_update(n.to_be_bytes());
    digest.finalize()[..8].to_vec()
}

fn nanos(at: Timestamp) -> u64 {
    at.as_micros().saturating_mul(1_000)
}

/// A list of one message, as the conventions write them in JSON ("Recording content on attributes").
fn message(role: &str, text: &str, finish_reason: Option<&str>) -> String {
    let mut message = json!({ "role": role, "parts": [{ "type": "text", "content": cut(text) }] });
    if let Some(reason) = finish_reason {
        message["finish_reason"] = reason.into();
    }
    json!([message]).to_string()
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(CONTENT_BYTES_MAX)]
}

#[derive(Default)]
struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn put(&mut self, name: &str, value: Option<Value>) {
        if let Some(value) = value {
            let value = Some(AnyValue { value: Some(value) });
            self.0.push(KeyValue { key: name.to_owned(), value, ..KeyValue::default() });
        }
    }

    fn text(&mut self, name: &str, text: Option<&str>) {
        self.put(name, text.map(|text| Value::StringValue(text.to_owned())));
    }

    fn number(&mut self, name: &str, number: Option<f64>) {
        self.put(name, number.map(Value::DoubleValue));
    }

    /// A count that is not zero.
    fn count(&mut self, name: &str, count: u64) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.put(name, (count > 0).then_some(Value::IntValue(count)));
    }

    fn list(&mut self, name: &str, only: Option<&str>) {
        let value = |text: &str| AnyValue { value: Some(Value::StringValue(text.to_owned())) };
        self.put(name, only.map(|only| Value::ArrayValue(ArrayValue { values: vec![value(only)] })));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_calls_is_sampled_and_always_the_same() {
        let ids: Vec<CallId> = (0..1_000u64)
            .map(|n| {
                let digest = Sha256::digest(n.to_be_bytes());
                CallId::new(Timestamp::from_millis(n), digest[..10].try_into().expect("ten bytes"))
            })
            .collect();
        let sampled = |share: f64| ids.iter().filter(|id| is_sampled(**id, share)).count();
        assert_eq!((sampled(0.0), sampled(1.0)), (0, 1_000));
        assert!((200..300).contains(&sampled(0.25)), "{}", sampled(0.25));
        assert!(ids.iter().all(|id| !is_sampled(*id, 0.25) || is_sampled(*id, 0.5)));
    }
}
