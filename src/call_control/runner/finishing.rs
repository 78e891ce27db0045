//! A gateway that is about to leave its calls finishes the tools that may not run twice, and begins no other.

use super::{Runner, Work};
use crate::call::event::{Event, ToolCall};
use crate::call_control::order;

impl Runner {
    /// A tool that may not run twice is begun as soon as its record is on disk, or left to the next process.
    pub(super) fn begin_once(&mut self, call: ToolCall, work: &mut Work) {
        let control = &self.control;
        // First this, then the look: whoever waits sees the one where the other was not seen here.
        self.unfinished.get_or_insert_with(|| control.unfinished.token());
        match control.is_finishing() {
            true => work.events.push_back(Event::ToolDeferred(call.id)),
            false => work.waiting.tools.push(call),
        }
    }

    /// Lets those go on who wait until the call can be left, where it can.
    pub(super) fn look_whether_finished(&mut self) {
        if self.unfinished.is_some()
            && order::may_be_left(&self.call, &self.outbox, |tool| self.may_repeat(tool))
        {
            self.unfinished = None;
        }
    }
}
