//! The business behind the tools: what a tool does there, and when its answer comes.

use std::time::Duration;

use super::terms::{LOOKUP, PAY};
use super::world::World;
use crate::call::event::{Event, ToolCall, ToolFinished, Wish, Wished};
use crate::call::record::ToolOutcomeKind;
use crate::ids::CallId;

/// How long a tool may take.
const TOOL_WITHIN: Duration = Duration::from_secs(12);

impl World {
    /// A tool runs. What it does at the business may come to pass although nobody lives to see the answer.
    pub(super) fn run_tool(&mut self, id: CallId, call: ToolCall) {
        let Some(keeper) = self.keeper(id) else { return };
        let (tools, has_plan, caller) = (keeper.tools, keeper.has_plan, keeper.caller);
        if !has_plan {
            return self.finish(id, tools, Duration::from_millis(1), &call, ToolOutcomeKind::Failed);
        }
        self.law_tool_started(id, caller, &call);
        let fails = self.chance.permille(self.weather.tool_fails);
        let hangs = self.chance.permille(self.weather.tool_hangs);
        let slow = self.chance.permille(self.weather.tool_slow);
        let takes = match (hangs, slow) {
            (true, _) => TOOL_WITHIN,
            (_, true) => self.chance.seconds(2, 11),
            _ => self.chance.millis(20, 900),
        };
        let kind = match call.name.as_str() {
            _ if hangs => ToolOutcomeKind::Timeout,
            LOOKUP | PAY if fails => ToolOutcomeKind::Unavailable,
            LOOKUP | PAY => ToolOutcomeKind::Ok,
            _ => ToolOutcomeKind::UnknownTool,
        };
        if call.name == PAY {
            self.place(id, caller, &call, takes);
        }
        if takes > Duration::from_secs(2) {
            self.tell_progress(id, tools, takes / 3, &call);
        }
        self.finish(id, tools, takes, &call, kind);
    }

    fn place(&mut self, id: CallId, caller: u32, call: &ToolCall, takes: Duration) {
        let (incarnation, tool) = (self.incarnation, call.id.clone());
        let reaches = takes.min(Duration::from_secs(10)) / 2;
        self.after(reaches, move |world| {
            // A request of a process that is gone may have been on its way.
            if world.incarnation == incarnation || world.chance.permille(500) {
                world.law_effect(id, caller, &tool);
            }
        });
    }

    fn tell_progress(&mut self, id: CallId, tools: u64, after: Duration, call: &ToolCall) {
        let (incarnation, tool) = (self.incarnation, call.id.clone());
        self.after(after, move |world| {
            if world.incarnation == incarnation
                && world.keeper(id).is_some_and(|keeper| keeper.tools == tools)
            {
                let wish = Wish::Progress("It takes a little longer.".to_owned());
                let wished = Wished { by: "shop".to_owned(), tool_call: Some(tool), wish };
                world.on_event(id, Event::Wished(wished));
            }
        });
    }

    fn finish(&mut self, id: CallId, tools: u64, takes: Duration, call: &ToolCall, kind: ToolOutcomeKind) {
        let incarnation = self.incarnation;
        let output = format!(r#"{{"{}":"{}"}}"#, kind.as_str(), call.id);
        let finished = ToolFinished { tool_call: call.id.clone(), kind, output };
        self.after(takes, move |world| {
            if world.incarnation == incarnation
                && world.keeper(id).is_some_and(|keeper| keeper.tools == tools)
            {
                world.on_event(id, Event::ToolFinished(finished));
            }
        });
    }
}
