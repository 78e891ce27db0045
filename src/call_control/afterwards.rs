//! What becomes of a caller when a way to the model is over: the other way, the route's fallback, or nothing.
//!
//! The carrier asks at the end of every dial and every stream. The answer follows from the record as it is
//! kept once the question itself is: so the same question has the same answer, however often it comes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::intake::DialPlan;
use super::order::{self, ANSWERED, Afterwards, is_dialled_plainly};
use super::{CallControl, DeliverError};
use crate::call::event::{CarrierEvent, Event};
use crate::call::record::{CallRecord, Path};
use crate::ids::{CallId, CallSid};
use crate::routing::{Fallback, Target};

/// What the carrier shall do with a caller whose dial or stream is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// The call was over for both sides.
    HangUp,
    /// The caller is handed on, as was wanted.
    Forward(Target),
    /// The call goes on another way.
    GoOn(DialPlan),
    /// No way to a model is left.
    Fallback(Fallback),
    /// The same question a little later, when the next process is there to answer it.
    AskLater,
}

impl CallControl {
    /// The carrier asks what becomes of a caller now that a dial is over; durable when this returns.
    ///
    /// # Errors
    ///
    /// [`DeliverError`]; a call that is not known is one.
    pub async fn dial_ended(
        self: &Arc<Self>,
        call: CallId,
        event: CarrierEvent,
    ) -> Result<Next, DeliverError> {
        self.next(call, event, Path::Sip).await
    }

    /// The carrier asks what becomes of a caller whose stream is over; durable when this returns.
    ///
    /// # Errors
    ///
    /// [`DeliverError`]; a call that is not known is one.
    pub async fn stream_ended(
        self: &Arc<Self>,
        call: CallId,
        caller_status: String,
    ) -> Result<Next, DeliverError> {
        if self.leaving_streams.is_cancelled() {
            // We closed it ourselves, and the call is the next process' by now.
            self.sent_on.fetch_add(1, Ordering::Relaxed);
            return Ok(Next::AskLater);
        }
        self.next(call, CarrierEvent::StreamEnded { caller_status }, Path::MediaStreams).await
    }

    /// The carrier asks what to do with a caller, as for a new call; gives what becomes of one who was connected
    /// before. This is how somebody comes back whose dial or stream ended while nobody was here to be asked: by
    /// the number's fallback URL. None: the caller is new, or is still waiting for the first connection.
    ///
    /// # Errors
    ///
    /// [`DeliverError`].
    pub async fn came_back(
        self: &Arc<Self>,
        call_sid: &CallSid,
        caller_status: &str,
    ) -> Result<Option<(CallId, Next)>, DeliverError> {
        if caller_status != ANSWERED {
            return Ok(None);
        }
        let Some(call) = self.call_of_carrier(call_sid)? else { return Ok(None) };
        let Some(record) = self.store.call(call)? else { return Ok(None) };
        if !order::came_back(&record, caller_status) {
            return Ok(None);
        }
        let event = CarrierEvent::AsksAgain { caller_status: caller_status.to_owned() };
        Ok(Some((call, self.next(call, event, record.path).await?)))
    }

    /// A caller has left a message; durable when this returns.
    ///
    /// # Errors
    ///
    /// [`DeliverError`]; a call that is not known is one.
    pub async fn message_left(self: &Arc<Self>, call: CallId, seconds: u32) -> Result<(), DeliverError> {
        self.noted(call, "voicemail.left", format!("{seconds} s")).await
    }

    async fn next(
        self: &Arc<Self>,
        call: CallId,
        event: CarrierEvent,
        over: Path,
    ) -> Result<Next, DeliverError> {
        self.carrier_reported(call, event).await?;
        let record = self.store.call(call)?.ok_or(DeliverError::NoSuchCall(call))?;
        let next = self.after(&record, over);
        if let Next::Fallback(fallback) = &next {
            self.noted(call, "fallback", fallback.name().to_owned()).await?;
        }
        Ok(next)
    }

    async fn noted(
        self: &Arc<Self>,
        call: CallId,
        kind: &'static str,
        detail: String,
    ) -> Result<(), DeliverError> {
        let event = Event::Noted { kind, detail };
        self.deliver(call, super::registry::Message::durable(event, Vec::new())).await
    }

    /// What follows from the record, now that the way over `over` is at its end.
    fn after(&self, record: &CallRecord, over: Path) -> Next {
        match Afterwards::of(record, over) {
            Afterwards::HangUp => Next::HangUp,
            Afterwards::Forward(target) => Next::Forward(target),
            Afterwards::GoOn => {
                if is_dialled_plainly(record, over) {
                    tracing::warn!(call = %record.id, "the provider refuses encrypted sound (SIP 488): it is dialled once more without");
                }
                Next::GoOn(self.provider_plan(record))
            }
            Afterwards::Fallback => Next::Fallback(self.fallback(record)),
        }
    }

    pub(super) fn fallback(&self, record: &CallRecord) -> Fallback {
        let rules = self.rules();
        let route = record.route.as_deref().and_then(|name| rules.settings.routes.named(name));
        route.map(|route| route.fallback.clone()).unwrap_or_default()
    }
}
