//! What must hold of callers who are recorded: they were to be when they came in, and were told.

use std::time::Duration;

use crate::call::consent::Announcer;
use crate::call::record::State;
use crate::ids::CallId;
use crate::proof::world::World;

/// A model that is to say that the call is recorded has been asked to by then, where nothing was disturbed.
pub(in crate::proof) const TOLD_WITHIN: Duration = Duration::from_secs(60);
/// And that long after a socket was opened again.
const ASKED_WITHIN: Duration = Duration::from_secs(20);

impl World {
    /// What is said is written down from now on, here or at the carrier.
    pub(in crate::proof) fn law_recorded(&mut self, id: CallId, caller: u32) {
        let Some(consent) = self.disk.record(id).and_then(|record| record.consent) else {
            return self
                .violated(caller, "the call is recorded, and was not to be when it came in".to_owned());
        };
        let is_carriers = consent.announcement.is_some() && consent.by == Announcer::Carrier;
        let is_told = self.phones.get(&caller).is_some_and(|phone| phone.is_told);
        if is_carriers && !is_told {
            self.violated(caller, "the caller is recorded, and was not told".to_owned());
        }
    }

    /// Some time after a session was answered, on a fair day.
    pub(in crate::proof) fn law_is_told(&mut self, session: u32) {
        let Some(known) = self.sessions.get(&session).filter(|known| known.is_up()) else { return };
        let caller = known.caller;
        let Some((_, id)) = known.socket.filter(|_| known.socket_since + ASKED_WITHIN <= self.now) else {
            // Nobody has looked after it just now: the next process asks.
            return self.after(ASKED_WITHIN, move |world| world.law_is_told(session));
        };
        let record = self.disk.record(id).filter(|record| record.state == State::Live);
        let is_models =
            record.and_then(|record| record.consent).is_some_and(|consent| consent.is_said_by_the_model());
        let is_told = self.phones.get(&caller).is_none_or(|phone| phone.is_told || phone.is_gone);
        if self.weather.is_fair && is_models && !is_told {
            self.violated(caller, "the model does not tell the caller of the recording".to_owned());
        }
    }
}
