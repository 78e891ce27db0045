//! What a call's task says of it: to the model of tools that did not run, and to others when it is over.

use std::sync::Arc;

use super::Runner;
use crate::call::event::{ToolCall, ToolFinished};
use crate::call::finished::Gathered;
use crate::call::record::ToolOutcomeKind;
use crate::call_control::following::{context_now, tell_ended};
use crate::tool::context::Wishes;
use crate::tool::hooks::Hook;

pub(super) fn failed(call: &ToolCall) -> ToolFinished {
    let output = r#"{"error":"failed","message":"it failed inside","retryable":false}"#.to_owned();
    ToolFinished { tool_call: call.id.clone(), kind: ToolOutcomeKind::Failed, output }
}

pub(super) fn unavailable(call: &ToolCall) -> ToolFinished {
    let output =
        r#"{"error":"unavailable","message":"it cannot be done at the moment","retryable":false}"#.to_owned();
    ToolFinished { tool_call: call.id.clone(), kind: ToolOutcomeKind::Unavailable, output }
}

impl Runner {
    /// Has everybody told of a call that is over, of which everything is on disk. Who must read its record for that is a task of
    /// its own: the call is out of the registry before.
    pub(super) fn tell_the_end(&mut self) {
        let control = &self.control;
        if self.ended_here {
            let plugins = self.plan.as_ref().and_then(|plan| plan.toolbox.versions());
            let gathered = std::mem::replace(&mut self.gathered, Gathered::of(&self.call.record));
            control.tell_finished(&self.call.record, gathered, plugins);
        }
        let plan = self.plan.take().filter(|_| self.call.is_over());
        if let Some(plan) = plan.filter(|plan| plan.toolbox.hooks().any_at(Hook::Ended)) {
            let context = context_now(&plan.context, &self.call.record.vars, None, Wishes::default());
            let (toolbox, store) = (Arc::clone(&plan.toolbox), control.store.clone());
            control.runners.spawn(tell_ended(toolbox, context, store, self.last_events.take()));
        }
    }
}
