//! What a call's task says of it: to the model of tools that did not run, and to the log at its end.

use std::time::Duration;

use crate::call::event::{ToolCall, ToolFinished};
use crate::call::record::{CallRecord, ToolOutcomeKind};

pub(super) fn failed(call: &ToolCall) -> ToolFinished {
    let output = r#"{"error":"failed","message":"it failed inside","retryable":false}"#.to_owned();
    ToolFinished { tool_call: call.id.clone(), kind: ToolOutcomeKind::Failed, output }
}

pub(super) fn unavailable(call: &ToolCall) -> ToolFinished {
    let output =
        r#"{"error":"unavailable","message":"it cannot be done at the moment","retryable":false}"#.to_owned();
    ToolFinished { tool_call: call.id.clone(), kind: ToolOutcomeKind::Unavailable, output }
}

/// One wide line per call; no number and no word of the caller.
pub(super) fn log_ended(record: &CallRecord, outcome: &str) {
    let millis = |span: Option<Duration>| span.map(|span| span.as_secs_f64() * 1_000.0);
    let lasted = record.stages.ended.zip(record.stages.began()).map(|(ended, began)| ended.since(began));
    tracing::info!(
        call = %record.id,
        outcome,
        route = record.route.as_deref(),
        session = record.session.as_deref(),
        provider_call = record.provider.as_ref().map(|provider| provider.call_id.as_str()),
        duration_s = lasted.map(|span| span.as_secs_f64()),
        webhook_to_accept_ms = millis(record.stages.webhook_to_accept()),
        first_word_ms = millis(record.stages.first_word_after()),
        lines = record.counts.lines,
        tool_calls = record.counts.tool_calls,
        cost_usd = record.cost_usd,
        detail = record.ended.as_ref().and_then(|ended| ended.detail.as_deref()),
        "call ended"
    );
}
