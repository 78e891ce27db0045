//! Where a call stands in the lists by state and by number, and how it moves when its record changes.

use std::collections::HashMap;

use serde::Deserialize;

use super::error::StoreError;
use super::key;
use super::tx::Op;
use crate::call::record::{CallRecord, State};
use crate::ids::CallId;

/// How many calls' places are remembered; a forgotten one is read from the index again.
const REMEMBERED_MAX: usize = 65_536;

/// What of a call's record decides its places.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Placement {
    pub(super) state: State,
    caller: Option<String>,
    callee: Option<String>,
}

impl Placement {
    pub(super) fn of(record: &CallRecord) -> Placement {
        Placement { state: record.state, caller: record.caller.clone(), callee: record.callee.clone() }
    }

    /// The keys of its places.
    pub(super) fn keys(&self, id: CallId) -> Vec<String> {
        let mut keys = vec![format!("{}{id}", key::by_state(self.state))];
        let numbers = [self.caller.as_deref(), self.callee.as_deref()];
        for number in numbers.into_iter().flatten() {
            let key = format!("{}{id}", key::by_number(number));
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        keys
    }
}

/// The places of the calls that are still going on.
#[derive(Default)]
pub(super) struct Placements(HashMap<CallId, Placement>);

impl Placements {
    /// Appends to `ops` what moves the call `id` to `new`. `stored` reads the record as it stands now; it is
    /// only asked when the place is not remembered.
    pub(super) fn change<F>(
        &mut self,
        id: CallId,
        new: Placement,
        ops: &mut Vec<Op>,
        stored: F,
    ) -> Result<(), StoreError>
    where
        F: FnOnce() -> Result<Option<Vec<u8>>, StoreError>,
    {
        let read;
        let old = match self.0.get(&id) {
            Some(old) => Some(old),
            None => {
                read = stored()?.map(|record| parse(id, &record)).transpose()?;
                read.as_ref()
            }
        };
        if old != Some(&new) {
            let before = old.map(|old| old.keys(id)).unwrap_or_default();
            let after = new.keys(id);
            ops.extend(before.iter().filter(|key| !after.contains(key)).cloned().map(Op::delete));
            let fresh = after.into_iter().filter(|key| !before.contains(key));
            ops.extend(fresh.map(|key| Op::put(key, "1".to_owned())));
        }
        self.remember(id, new);
        Ok(())
    }

    /// Forgets a call that is erased.
    pub(super) fn forget(&mut self, id: CallId) {
        self.0.remove(&id);
    }

    fn remember(&mut self, id: CallId, placement: Placement) {
        if placement.state == State::Ended {
            self.0.remove(&id);
            return;
        }
        if self.0.len() >= REMEMBERED_MAX {
            self.0.clear();
        }
        self.0.insert(id, placement);
    }
}

/// The place of a stored record.
pub(super) fn parse(id: CallId, record: &[u8]) -> Result<Placement, StoreError> {
    serde_json::from_slice(record)
        .map_err(|error| StoreError::Corrupt { key: key::call(id), problem: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placement(state: State, caller: &str, callee: &str) -> Placement {
        Placement { state, caller: Some(caller.to_owned()), callee: Some(callee.to_owned()) }
    }

    fn check(placements: &mut Placements, new: Placement, stored: Option<&str>) -> Vec<String> {
        let mut ops = Vec::new();
        let stored = || Ok(stored.map(|text| text.as_bytes().to_vec()));
        placements.change(CallId::from_bytes([1; 16]), new, &mut ops, stored).unwrap();
        ops.iter()
            .map(|op| {
                let sign = if op.value.is_some() { '+' } else { '-' };
                format!("{sign}{}", op.key.rsplit_once('/').unwrap().0)
            })
            .collect()
    }

    #[test]
    fn only_what_changed_moves() {
        let mut places = Placements::default();
        let moved = check(&mut places, placement(State::Dialing, "+1", "+2"), None);
        assert_eq!(moved, ["+s/dialing", "+n/+1", "+n/+2"]);
        assert!(check(&mut places, placement(State::Dialing, "+1", "+2"), None).is_empty());
        let moved = check(&mut places, placement(State::Live, "+1", "+3"), None);
        assert_eq!(moved, ["-s/dialing", "-n/+2", "+s/live", "+n/+3"]);
        assert_eq!(check(&mut places, placement(State::Ended, "+1", "+3"), None), ["-s/live", "+s/ended"]);
    }

    #[test]
    fn an_ended_or_forgotten_call_is_read_again() {
        let mut places = Placements::default();
        let stored = r#"{"state":"offered","caller":"+1","callee":null,"other":1}"#;
        let moved = check(&mut places, placement(State::Ended, "+1", "+1"), Some(stored));
        assert_eq!(moved, ["-s/offered", "+s/ended"]);
    }
}
