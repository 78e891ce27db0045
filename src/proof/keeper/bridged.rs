//! The keeper of a bridged call: what it does where the audio passes through the gateway.

use std::collections::VecDeque;
use std::time::Duration;

use super::Keeper;
use crate::call::event::{AcceptAnswer, Action, AttachFailure, Event};
use crate::ids::CallId;
use crate::proof::provider::name_of;
use crate::proof::world::World;

impl World {
    pub(super) fn perform_bridged(&mut self, id: CallId, action: Action, events: &mut VecDeque<Event>) {
        let Some(keeper) = self.keeper(id) else { return };
        let link = keeper.link;
        match (action, link) {
            (Action::Accept, _) => {
                if let Some(stream) = keeper.stream.take() {
                    self.open_bridge(id, stream);
                }
                events.push_back(Event::AcceptSent);
            }
            (Action::Attach { .. }, Some((_, session))) => self.confirm(session),
            (Action::Attach { .. }, None) => {
                events.push_back(Event::AttachFailed(AttachFailure::NotFound));
            }
            (Action::Refer { .. }, Some((_, session))) => {
                self.law.asked_to_leave(id);
                self.close_bridge(session);
                events.push_back(Event::ReferAnswered(Ok(())));
            }
            (Action::Refer { .. }, None) => {
                events.push_back(Event::ReferAnswered(Err("the stream is over".to_owned())));
            }
            (_, Some((_, session))) => {
                self.law.asked_to_leave(id);
                self.close_bridge(session);
            }
            _ => self.turn_away(id),
        }
    }

    /// The bridge opens a session of its own for the stream.
    fn open_bridge(&mut self, id: CallId, stream: u32) {
        let Some(keeper) = self.keeper(id) else { return };
        let caller = keeper.caller;
        // As `link.rs` has it: from here on both sides are written down.
        if keeper.call.as_ref().is_some_and(|call| call.record.consent.is_some()) {
            self.law_recorded(id, caller);
        }
        let (session, socket) = self.bridge_session(caller, stream, id);
        if let Some(keeper) = self.keeper(id) {
            keeper.outbox.clear();
            keeper.link = Some((socket, session));
        }
        let is_refused = self.chance.permille(self.weather.accept_refused);
        let takes = self.chance.millis(100, 900);
        let answer = match is_refused {
            true => AcceptAnswer::Refused("no session".to_owned()),
            false => AcceptAnswer::Session(Some(name_of(session))),
        };
        self.over_socket(id, socket, takes, Event::AcceptAnswered(answer));
    }

    /// Something comes over the bridge of a call, unless it is another one's by then.
    fn over_socket(&mut self, id: CallId, socket: u64, takes: Duration, event: Event) {
        let incarnation = self.incarnation;
        self.after(takes, move |world| {
            let is_there = |keeper: &Keeper| keeper.link.is_some_and(|(open, _)| open == socket);
            if world.incarnation == incarnation && world.keeper(id).is_some_and(|keeper| is_there(keeper)) {
                world.on_event(id, event);
            }
        });
    }
}
