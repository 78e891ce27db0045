//! The moments of a call at which a plugin is asked or told: the words of both sides, and who is asked.
//!
//! A hook can cost a call at most time, and never more than is said here: who is late or fails is left
//! out, and the call goes on.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use tokio::time::Instant;

use crate::tool::context::{CallContext, Said};
use crate::tool::plugin::{Failure, Need, Plugin};

/// How long all `incoming` hooks of a call may take together. The caller hears it ring meanwhile, and a
/// carrier gives a callee several seconds.
pub const INCOMING_TIME: Duration = Duration::from_millis(500);
/// How long a hook may take for one event. The next ones wait, and a queue is soon full.
pub const EVENT_TIME: Duration = Duration::from_secs(5);
/// How long a hook may take for the record of a call that is over; a stopping gateway waits for it.
pub const ENDED_TIME: Duration = Duration::from_secs(10);

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

/// Somebody who is asked or told at moments of a call.
pub trait Hooked: Send + Sync {
    /// The name in logs and events.
    fn name(&self) -> &str;

    /// The moments it wants and may have.
    fn hooks(&self) -> &[Hook];

    /// Claims that it wants to know, and may know, what was said in a call so far.
    fn wants_history(&self) -> bool {
        false
    }

    /// Asks it about a call that is offered.
    fn incoming<'a>(
        &'a self,
        context: &'a CallContext,
        headers: &'a [(String, String)],
    ) -> BoxFuture<'a, Result<IncomingAnswer, Failure>>;

    /// Tells it what happened in a call.
    fn event<'a>(
        &'a self,
        context: &'a CallContext,
        event: &'a CallEvent,
    ) -> BoxFuture<'a, Result<(), Failure>>;

    /// Tells it that a call is over, with its record as JSON.
    fn ended<'a>(&'a self, context: &'a CallContext, record: &'a str) -> BoxFuture<'a, Result<(), Failure>>;
}

impl Hooked for Plugin {
    fn name(&self) -> &str {
        Plugin::name(self)
    }

    fn hooks(&self) -> &[Hook] {
        Plugin::hooks(self)
    }

    fn wants_history(&self) -> bool {
        self.about().needs.contains(&Need::History)
    }

    fn incoming<'a>(
        &'a self,
        context: &'a CallContext,
        headers: &'a [(String, String)],
    ) -> BoxFuture<'a, Result<IncomingAnswer, Failure>> {
        Plugin::incoming(self, context, headers, INCOMING_TIME).boxed()
    }

    fn event<'a>(
        &'a self,
        context: &'a CallContext,
        event: &'a CallEvent,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        Plugin::event(self, context, event).boxed()
    }

    fn ended<'a>(&'a self, context: &'a CallContext, record: &'a str) -> BoxFuture<'a, Result<(), Failure>> {
        Plugin::ended(self, context, record).boxed()
    }
}

/// Everybody who is asked or told, in the order of their names.
#[derive(Clone, Default)]
pub struct Hooks {
    all: Vec<Arc<dyn Hooked>>,
}

impl std::fmt::Debug for Hooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.all.iter().map(|hooked| hooked.name())).finish()
    }
}

/// Why an answer is missing, for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// It came too late.
    #[error("its `incoming` hook took longer than the {} ms that all have together", INCOMING_TIME.as_millis())]
    Late,
    /// The hook failed.
    #[error("its `incoming` hook failed: {0}")]
    Failed(Failure),
}

impl Missing {
    /// Claims that there was too little time, whoever noticed first.
    pub fn is_late(&self) -> bool {
        matches!(self, Missing::Late | Missing::Failed(Failure::Timeout(_)))
    }
}

impl Hooks {
    /// Puts them in order; who wants no moment is left out.
    pub fn new(hooked: impl IntoIterator<Item = Arc<dyn Hooked>>) -> Hooks {
        let mut all: Vec<_> = hooked.into_iter().filter(|hooked| !hooked.hooks().is_empty()).collect();
        all.sort_by(|one, other| one.name().cmp(other.name()));
        Hooks { all }
    }

    /// Those who want this moment.
    pub fn at(&self, hook: Hook) -> impl Iterator<Item = &Arc<dyn Hooked>> {
        self.all.iter().filter(move |hooked| hooked.hooks().contains(&hook))
    }

    /// Claims that somebody wants this moment.
    pub fn any_at(&self, hook: Hook) -> bool {
        self.at(hook).next().is_some()
    }

    /// Asks all about a call that is offered, at the same time and within [`INCOMING_TIME`]. Gives the
    /// answers in the order of the names.
    pub async fn incoming(
        &self,
        context: &CallContext,
        headers: &[(String, String)],
    ) -> Vec<(String, Result<IncomingAnswer, Missing>)> {
        let deadline = Instant::now() + INCOMING_TIME;
        let asked = self.at(Hook::Incoming).map(|hooked| async move {
            let asking = AssertUnwindSafe(hooked.incoming(context, headers)).catch_unwind();
            let answer = match tokio::time::timeout_at(deadline, asking).await {
                Err(_) => Err(Missing::Late),
                Ok(Err(_)) => Err(Missing::Failed(Failure::Trapped("it panicked".to_owned()))),
                Ok(Ok(answer)) => answer.map_err(Missing::Failed),
            };
            (hooked.name().to_owned(), answer)
        });
        join_all(asked).await
    }
}
