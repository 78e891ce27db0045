//! Moments of a call at which a plugin is asked or told, each in a fresh instance.
//!
//! A type that implements [`Hooks`] goes into [`plugin!`](crate::plugin) as `hooks: TYPE`, and each moment that it
//! wants into `needs`: `hook(incoming)`, `hook(event)`, `hook(ended)`. Without the operator's grant it is not asked.

use crate::Context;
use crate::bindings::hooks::exports::switchboard::plugin::hooks as exported;

pub use exported::{CallEvent, Decision, IncomingAnswer, Instructions};

/// What a plugin does at the moments of a call. What it leaves out does nothing.
pub trait Hooks {
    /// A call is offered and not yet accepted. All plugins together have 500 ms; then the call goes on without
    /// the answer. The headers are those of the offer.
    fn incoming(_context: &Context, _headers: &[(String, String)]) -> IncomingAnswer {
        IncomingAnswer::default()
    }

    /// Something happened in a call. Events of one call come in order, one at a time.
    fn event(_context: &Context, _event: CallEvent) {}

    /// A call is over and all of it is kept: the record as `switchboard calls show --json` gives it.
    fn ended(_context: &Context, _call: &str) {}
}

impl Default for IncomingAnswer {
    /// The call goes on as the route says.
    fn default() -> IncomingAnswer {
        IncomingAnswer {
            decision: Decision::Proceed,
            session: None,
            variables: Vec::new(),
            instructions: None,
        }
    }
}

impl IncomingAnswer {
    /// Turns the call away with this SIP code, 400 to 699.
    pub fn reject(code: u16) -> IncomingAnswer {
        IncomingAnswer { decision: Decision::Reject(code), ..IncomingAnswer::default() }
    }

    /// Sends the caller to this number (E.164) or SIP address.
    pub fn forward(to: impl Into<String>) -> IncomingAnswer {
        IncomingAnswer { decision: Decision::Forward(to.into()), ..IncomingAnswer::default() }
    }

    /// Puts a variable over the route's.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> IncomingAnswer {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Puts this behind the session's own instructions.
    #[must_use]
    pub fn instructions(self, text: impl Into<String>) -> IncomingAnswer {
        IncomingAnswer { instructions: Some(Instructions::Append(text.into())), ..self }
    }
}
