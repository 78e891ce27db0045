//! The moments of a call at which a plugin is asked or told: the words of both sides.

use crate::tool::context::Said;

/// A moment of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// It is offered and not yet accepted.
    Incoming,
    /// Something happened in it.
    Event,
    /// It is over.
    Ended,
}

impl Hook {
    /// The name in `allow.hooks` and in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Hook::Incoming => "incoming",
            Hook::Event => "event",
            Hook::Ended => "ended",
        }
    }
}

/// What a plugin wants changed about a call before it is accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IncomingAnswer {
    /// What to do with it.
    pub decision: Decision,
    /// Another session than the route's.
    pub session: Option<String>,
    /// Put over the route's variables.
    pub vars: Vec<(String, String)>,
    /// A change of the instructions.
    pub instructions: Option<Instructions>,
}

/// What to do with a call that is offered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Decision {
    /// As the route says.
    #[default]
    Proceed,
    /// Turn it away with this SIP code; not checked yet.
    Reject(u16),
    /// Send the caller there; not checked yet.
    Forward(String),
}

/// A change of a session's instructions for one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instructions {
    /// Put behind the session's own.
    Append(String),
    /// Instead of the session's own.
    Replace(String),
}

/// Something that happened in a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallEvent {
    /// A line of the transcript is complete.
    Line(Said),
    /// The caller pressed these keys.
    Keys(String),
    /// The call is in this state now: `live` or `ended`.
    State(&'static str),
}
