//! What the carrier is asked to do with its legs: callers who are handed on (whom it is to dial for them, and
//! what came of it), and a leg to the provider that nobody waits for any more.
//!
//! Whom is what the call asked for, as its record has it: no number that a request names is ever dialled.

use std::sync::Arc;

use super::{CallControl, DeliverError};
use crate::call::event::CarrierEvent;
use crate::call::record::CallRecord;
use crate::ids::{CallId, CallSid};
use crate::routing::Target;

impl CallControl {
    /// The carrier asks what to do with a caller whom the provider hands on. None: nobody asked for that.
    ///
    /// # Errors
    ///
    /// [`DeliverError`]; a call that is not known is one.
    pub async fn referred(self: &Arc<Self>, call: CallId) -> Result<Option<Target>, DeliverError> {
        self.carrier_reported(call, CarrierEvent::Referred).await?;
        Ok(self.store.call(call)?.as_ref().and_then(target_of))
    }

    /// The dial to whom a caller was handed on is over.
    ///
    /// # Errors
    ///
    /// [`DeliverError`]; a call that is not known is one.
    pub async fn handed_on(
        self: &Arc<Self>,
        call: CallId,
        status: String,
        answered: bool,
        caller_status: String,
    ) -> Result<(), DeliverError> {
        let is_open =
            |record: &CallRecord| record.handed.as_ref().is_some_and(|handed| handed.result.is_none());
        let is_news = self.store.call(call)?.as_ref().is_some_and(is_open);
        let event = CarrierEvent::HandedOn { status, answered, caller_status };
        self.carrier_reported(call, event).await?;
        if is_news {
            self.metrics.transfer(if answered { "answered" } else { "unanswered" });
        }
        Ok(())
    }

    /// Has the carrier take a caller from whoever is connected, and dial somebody else.
    pub(super) async fn dial_on(&self, call: CallId, caller: &CallSid, target: &str) -> Result<(), String> {
        let rules = self.rules();
        let carrier = rules.carrier.as_ref().ok_or("there is no carrier to ask")?;
        let target = Target::parse(target).map_err(|error| error.to_string())?;
        let told = format!("{}{call}", rules.settings.handed_on_url);
        let document = carrier.forward(&target, rules.settings.default_country, told)?;
        carrier.redirect_call(caller, &document.to_xml()).await.map_err(|error| error.to_string())
    }

    /// Has the carrier end its leg to the provider, answered or not.
    pub(super) async fn end_leg(&self, leg: &CallSid) -> Result<(), String> {
        let rules = self.rules();
        let carrier = rules.carrier.as_ref().ok_or("there is no carrier to ask")?;
        carrier.hang_up(leg).await.map_err(|error| error.to_string())
    }
}

/// Whom the call asked for.
pub(super) fn target_of(record: &CallRecord) -> Option<Target> {
    Target::parse(record.handed_to.as_deref()?).ok()
}
