//! The other end of a dialled leg: the provider over SIP, or a person at a telephone. Both answer,
//! fail and hang up in the words of SIP.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::pace::Pace;
use super::{Human, Reaction};
use crate::sim::sip::{LegCommand, SipEvent, SipLeg};

/// The other end of a leg.
pub(super) enum FarEnd {
    Provider(SipLeg),
    /// What the person will do, and when.
    Person(VecDeque<(Instant, SipEvent)>),
}

impl FarEnd {
    pub fn person(human: &Human, pace: Pace) -> FarEnd {
        let now = Instant::now();
        let rung = now + pace.real(Duration::from_millis(human.after_ms));
        let done = rung + pace.real(Duration::from_millis(human.talks_for_ms));
        FarEnd::Person(match human.reaction {
            Reaction::Answers => {
                VecDeque::from([(now, SipEvent::Ringing), (rung, SipEvent::Answered), (done, SipEvent::Bye)])
            }
            Reaction::Busy => VecDeque::from([(rung, SipEvent::Failed(486))]),
            Reaction::Absent => VecDeque::from([(now, SipEvent::Ringing)]),
        })
    }

    /// What happens next. A provider's leg gives none when its channel closed; a person who does
    /// nothing more is waited for without end. Safe to cancel.
    pub async fn next(&mut self) -> Option<SipEvent> {
        match self {
            FarEnd::Provider(leg) => leg.events.recv().await,
            FarEnd::Person(plan) => {
                let Some((at, _)) = plan.front() else { return std::future::pending().await };
                tokio::time::sleep_until(*at).await;
                plan.pop_front().map(|(_, event)| event)
            }
        }
    }

    /// BYE, or CANCEL while it rings.
    pub fn hang_up(&self) {
        if let FarEnd::Provider(leg) = self {
            // A leg that is gone needs no hanging up.
            let _ = leg.commands.try_send(LegCommand::HangUp);
        }
    }

    pub fn provider_call_id(&self) -> Option<String> {
        match self {
            FarEnd::Provider(leg) => Some(leg.call_id.clone()),
            FarEnd::Person(_) => None,
        }
    }
}
