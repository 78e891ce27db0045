//! A call whose audio passes through us: what is asked of its provider is asked of the bridge.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::link::{self, Link};
use super::{Runner, Work};
use crate::call::event::{Action, AttachFailure, Event};
use crate::media::reception::NORMAL;

impl Runner {
    /// What is asked of the provider where the audio passes through us: there is no call at the provider,
    /// and the bridge is in our hands.
    pub(super) fn perform_bridged(&mut self, action: Action, work: &mut Work) {
        if let Action::Accept = action {
            self.open_bridge();
            return work.events.push_back(Event::AcceptSent);
        }
        let bridge = self.link.as_ref().and_then(Link::bridge);
        match (action, bridge) {
            (Action::Attach { after }, Some(bridge)) => bridge.attach(after),
            (Action::Attach { .. }, None) => {
                work.events.push_back(Event::AttachFailed(AttachFailure::NotFound));
            }
            // The carrier asks what to do next, and is told whom to dial.
            (Action::Refer { .. }, Some(bridge)) => {
                bridge.hang_up();
                work.events.push_back(Event::ReferAnswered(Ok(())));
            }
            (Action::Refer { .. }, None) => {
                work.events.push_back(Event::ReferAnswered(Err("the stream is over".to_owned())));
            }
            (_, Some(bridge)) => bridge.hang_up(),
            _ => self.turn_away(),
        }
    }

    /// A stream that nobody answers is closed; the carrier asks what to do next.
    pub(super) fn turn_away(&mut self) {
        if let Some(caller) = self.caller.take() {
            self.control.runners.spawn(caller.phone.close(NORMAL));
        }
    }

    fn open_bridge(&mut self) {
        let (Some(plan), Some(caller)) = (&self.plan, self.caller.take()) else { return };
        let Some(body) = self.body.take() else { return };
        if let Some((link, task)) = link::bridge(&self.control, plan, body, *caller, &self.call.record) {
            let control = Arc::clone(&self.control);
            control.bridged.fetch_add(1, Ordering::Relaxed);
            self.control.runners.spawn(async move {
                task.await;
                control.bridged.fetch_sub(1, Ordering::Relaxed);
            });
            self.outbox.clear();
            self.link = Some(link);
        }
    }
}
