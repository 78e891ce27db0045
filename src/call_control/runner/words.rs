//! What a call's task tells the model of tools that did not run.

use crate::call::event::{ToolCall, ToolFinished};
use crate::call::record::ToolOutcomeKind;

pub(super) fn failed(call: &ToolCall) -> ToolFinished {
    let output = r#"{"error":"failed","message":"it failed inside","retryable":false}"#.to_owned();
    ToolFinished { tool_call: call.id.clone(), kind: ToolOutcomeKind::Failed, output }
}

pub(super) fn unavailable(call: &ToolCall) -> ToolFinished {
    let output =
        r#"{"error":"unavailable","message":"it cannot be done at the moment","retryable":false}"#.to_owned();
    ToolFinished { tool_call: call.id.clone(), kind: ToolOutcomeKind::Unavailable, output }
}
