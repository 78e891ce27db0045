//! What must hold of processes that follow each other: a call has one at a time, and is not without one for long.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::ids::CallId;
use crate::proof::world::World;
use crate::store::{Tx, Write};

/// A call that was left in order is looked after again within this: the carrier may take three seconds to ask about streams,
/// requests five to be answered, the disk four, a start two; and then each call has its turn.
const WITHOUT_MAX: Duration = Duration::from_secs(20);

/// In whose hands calls are.
#[derive(Default)]
pub(super) struct Hands {
    /// The process that looks after a call, or did last.
    holders: BTreeMap<CallId, u64>,
    /// Calls that were left in order, and when.
    left: BTreeMap<CallId, Timestamp>,
}

impl World {
    /// A process begins to look after a call.
    pub(in crate::proof) fn law_holds(&mut self, id: CallId) {
        self.law.hands.holders.insert(id, self.incarnation);
    }

    /// A process leaves a call in order.
    pub(in crate::proof) fn law_leaves(&mut self, id: CallId) {
        let is_live =
            self.keeper(id).and_then(|keeper| keeper.call.as_ref()).is_some_and(|call| !call.is_over());
        if !is_live {
            return;
        }
        let now = self.now;
        self.law.hands.left.insert(id, now);
        self.after(WITHOUT_MAX, move |world| {
            if world.law.hands.left.get(&id) == Some(&now) {
                let caller = world.caller_of(id);
                world.violated(caller, "a call that was left is looked after by nobody".to_owned());
            }
        });
    }

    /// A process goes on with a call, or finds that it is over.
    pub(in crate::proof) fn law_taken_up(&mut self, id: CallId) {
        self.law.hands.left.remove(&id);
    }

    /// A process died: how long calls are without one is up to whoever starts it again.
    pub(in crate::proof) fn law_left_by_force(&mut self) {
        self.law.hands.left.clear();
    }

    /// Something of a process reaches the disk.
    pub(in crate::proof) fn law_writes(&mut self, tx: &Tx, by: u64) {
        for write in &tx.writes {
            let id = match write {
                Write::Call(record) => record.id,
                Write::Line(id, _) | Write::ToolCall(id, _) | Write::Usage(id, _) | Write::Event(id, _) => {
                    *id
                }
                _ => continue,
            };
            let holder = self.law.hands.holders.get(&id);
            if holder.is_some_and(|holder| *holder != by) {
                let caller = self.caller_of(id);
                self.violated(caller, "two processes write one call".to_owned());
            }
        }
    }

    pub(super) fn law_hands_end(&mut self) {
        self.law.hands = super::Hands::default();
    }
}
