//! A call that an earlier process left, in the hands of a task again; and what is asked of the carrier.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::{Answer, Plan, Runner};
use crate::call::event::{Event, TakenUp};
use crate::call::record::Line;
use crate::ids::CallSid;

/// What an earlier process left, beside the call itself.
pub(in crate::call_control) struct Left {
    /// How tools are run from here on; none: the call has no session (any more).
    pub plan: Option<Box<Plan>>,
    /// The transcript so far, in the order of speech.
    pub lines: Vec<Line>,
    /// How it is gone on with.
    pub how: TakenUp,
    /// The call's turn to do so.
    pub turn: Option<OwnedSemaphorePermit>,
}

impl Runner {
    /// Takes up a call that an earlier process left; it is looked after as any other from then on.
    pub async fn take_up(&mut self, left: Left) {
        if let Some(plan) = left.plan {
            if plan.toolbox.any_wants_history() {
                left.lines.iter().for_each(|line| self.history.put(line));
            }
            self.go_by(plan);
        }
        self.turn = left.turn;
        self.on_event(Event::TakenUp(left.how)).await;
        // Whoever opens no sideband lets the next one go on.
        self.turn = None;
    }

    /// Asks the carrier how it stands with the caller. Without an answer the call goes by what it knows.
    pub(super) fn ask_carrier(&mut self) {
        let Some(caller) = self.call.record.carrier.as_ref().map(|carrier| carrier.call_sid.clone()) else {
            return;
        };
        let control = Arc::clone(&self.control);
        self.requests.spawn(async move {
            let rules = control.rules();
            let Some(carrier) = rules.carrier.as_ref() else { return Answer::Done };
            let _turn = control.resuming.acquire().await;
            match carrier.call_status(&caller).await {
                Ok(status) => Answer::Event(Event::CarrierAnswered(status)),
                Err(error) => {
                    tracing::warn!(carrier_call = %caller, %error, "the carrier does not say how it stands with a caller");
                    Answer::Done
                }
            }
        });
    }

    /// Asks the carrier to dial somebody else for the caller.
    pub(super) fn redirect_carrier(&mut self, target: String) {
        let control = Arc::clone(&self.control);
        let call = self.call.record.id;
        let caller = self.call.record.carrier.as_ref().map(|carrier| carrier.call_sid.clone());
        self.requests.spawn(async move {
            let answer = match caller {
                Some(caller) => control.dial_on(call, &caller, &target).await,
                None => Err("the call has no carrier".to_owned()),
            };
            Answer::Event(Event::RedirectAnswered(answer))
        });
    }

    /// Asks the carrier to end its leg to the provider.
    pub(super) fn end_leg(&mut self, leg: CallSid) {
        let control = Arc::clone(&self.control);
        self.requests.spawn(async move { Answer::Event(Event::LegEnded(control.end_leg(&leg).await)) });
    }
}
