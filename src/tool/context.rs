//! What a tool or a hook may know of the call it serves, and its way to tell that call what it wants.

use std::collections::BTreeMap;

use tokio::sync::mpsc;

use crate::call::event::{Wish, Wished};
use crate::call::record::Speaker;
use crate::clock::Timestamp;
use crate::ids::{CallId, ToolCallId};

/// What a tool may know about the call it serves.
#[derive(Clone, Debug)]
pub struct CallContext {
    /// Our id.
    pub call_id: CallId,
    /// Who calls; none when withheld.
    pub caller: Option<String>,
    /// The dialled number.
    pub callee: Option<String>,
    /// ISO 639-1.
    pub language: Option<String>,
    /// The route that took the call.
    pub route: Option<String>,
    /// The session it is answered with.
    pub session: Option<String>,
    /// The session's and the route's variables, and those that were set during the call.
    pub vars: BTreeMap<String, String>,
    /// What was said so far, oldest first; bounded by who fills it in.
    pub history: Vec<Said>,
    /// The way to the call; none outside of one.
    pub wishes: Wishes,
}

/// Something that was said in a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Who spoke.
    pub speaker: Speaker,
    /// The words.
    pub text: String,
    /// When it began.
    pub started: Timestamp,
}

/// The way of a tool or a hook to the call's own task. It never waits: what finds no place is refused.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    sender: Option<mpsc::Sender<Wished>>,
    /// The tool call that wants something; none for a hook.
    pub tool_call: Option<ToolCallId>,
}

/// Why a wish did not reach the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no call, or it is over.
    NoCall,
    /// Too many wishes wait already.
    Full,
}

impl Wishes {
    /// The way to the call whose task reads the other end.
    pub fn to(sender: mpsc::Sender<Wished>) -> Wishes {
        Wishes { sender: Some(sender), tool_call: None }
    }

    /// The same way, for this tool call.
    pub fn of_tool_call(&self, tool_call: ToolCallId) -> Wishes {
        Wishes { sender: self.sender.clone(), tool_call: Some(tool_call) }
    }

    /// Hands a wish to the call.
    ///
    /// # Errors
    ///
    /// [`Refused`].
    pub fn send(&self, by: &str, wish: Wish) -> Result<(), Refused> {
        let sender = self.sender.as_ref().ok_or(Refused::NoCall)?;
        let wished = Wished { by: by.to_owned(), tool_call: self.tool_call.clone(), wish };
        sender.try_send(wished).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Refused::Full,
            mpsc::error::TrySendError::Closed(_) => Refused::NoCall,
        })
    }
}
