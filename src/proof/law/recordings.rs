//! What must hold of recordings: everyone that was reported ends, ours is there before the carrier's goes, and nothing is
//! left of what was deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::call::recording::{CarrierCopy, RecordingRecord, RecordingState};
use crate::ids::RecordingId;
use crate::proof::archive::Key;
use crate::proof::world::World;

/// A recording that the carrier has had ready for so long is not given up.
const HAD_LONG: Duration = Duration::from_secs(200);

/// What is known of recordings from the outside.
#[derive(Default)]
pub(super) struct Recorded {
    acknowledged: BTreeSet<Key>,
    /// How often each was kept, and how often what was kept turned out to be damaged.
    kept: BTreeMap<Key, (u32, u32)>,
}

impl World {
    /// A report was answered 2xx.
    pub(in crate::proof) fn law_acknowledged_recording(&mut self, key: Key) {
        if self.disk.recording(&key).is_none() && self.disk.record(key.0).is_some() {
            let caller = self.caller_of(key.0);
            self.violated(caller, format!("the report of {} was answered and is not on disk", key.1));
        }
        self.law.recorded.acknowledged.insert(key);
    }

    /// The carrier's copy is about to be deleted.
    pub(in crate::proof) fn law_tape_goes(&mut self, key: Key, caller: u32) {
        self.law.tally.copies_deleted += 1;
        let record = self.disk.recording(&key);
        let is_decided = record.as_ref().is_some_and(|record| match record.state {
            RecordingState::Kept => record.carrier_copy == CarrierCopy::Unwanted && self.is_sound(record),
            state => matches!(state, RecordingState::Deleting | RecordingState::Deleted),
        });
        let was_deleted = record.as_ref().is_some_and(|record| record.carrier_copy == CarrierCopy::Deleted);
        if !is_decided && !was_deleted {
            self.violated(caller, format!("the carrier's copy of {} goes before ours is kept", key.1));
        }
    }

    fn is_sound(&self, record: &RecordingRecord) -> bool {
        let file = record.file.as_ref().and_then(|name| self.disk.files.get(name));
        let tape = self.tapes.get(&record.id);
        file.is_some_and(|file| Some(&file.sha256) == record.sha256.as_ref())
            && tape.is_some_and(|tape| record.bytes == Some(tape.bytes))
    }

    /// A change of a recording reaches the disk.
    pub(super) fn law_recording(&mut self, record: &RecordingRecord) {
        let key = (record.call, record.id.clone());
        let before = self.disk.recording(&key);
        let was = before.as_ref().map(|before| before.state);
        let is_there = record.file.as_ref().is_some_and(|name| self.disk.files.contains_key(name));
        let had_it = self.tapes.get(&record.id).and_then(|tape| tape.ready);
        let had_it_long = had_it.is_some_and(|ready| self.now.since(ready) > HAD_LONG);
        let counts = self.law.recorded.kept.entry(key).or_default();
        let problem = match (was, record.state) {
            (was, RecordingState::Kept) if was != Some(RecordingState::Kept) => {
                counts.0 += 1;
                self.law.tally.recordings_kept += 1;
                match is_there {
                    false => Some("is kept, and its file is not on disk"),
                    true if counts.0 > counts.1 + 1 => Some("is kept twice"),
                    true => None,
                }
            }
            (Some(RecordingState::Kept), RecordingState::Wanted) => {
                let name = before.as_ref().and_then(|before| before.file.as_ref());
                let found = name.and_then(|name| self.disk.files.get(name)).map(|file| &file.sha256);
                counts.1 += u32::from(found != before.as_ref().and_then(|before| before.sha256.as_ref()));
                None
            }
            (Some(RecordingState::Deleted), state) if state != RecordingState::Deleted => {
                Some("was deleted, and is there again")
            }
            (was, RecordingState::Deleted) if was != Some(RecordingState::Deleted) => {
                self.law.tally.recordings_deleted += 1;
                is_there.then_some("is said to be deleted, and its file is on disk")
            }
            (was, RecordingState::Failed) if was != Some(RecordingState::Failed) => {
                self.law.tally.recordings_failed += 1;
                had_it_long.then_some("is given up, and the carrier has it")
            }
            _ => None,
        };
        if let Some(problem) = problem {
            let caller = self.caller_of(record.call);
            self.violated(caller, format!("recording {} {problem}", record.id));
        }
    }

    pub(super) fn law_recordings_end(&mut self) {
        let recorded = std::mem::take(&mut self.law.recorded);
        let known = std::mem::take(&mut self.disk.books.recordings);
        for key in recorded.acknowledged {
            if !known.contains_key(&key) {
                let caller = self.caller_of(key.0);
                self.violated(caller, format!("the report of {} was answered and is not on disk", key.1));
            }
        }
        let mut files: BTreeSet<String> = self.disk.files.keys().cloned().collect();
        for ((call, id), record) in &known {
            if record.is_kept() {
                record.file.as_ref().map(|name| files.remove(name));
            }
            if let Some(problem) = self.look_back_at(record, id) {
                let caller = self.caller_of(*call);
                self.violated(caller, format!("recording {id} {problem}"));
            }
        }
        if let Some(name) = files.first() {
            let of_it = |(_, id): &&Key| name.ends_with(&format!("/{id}.wav"));
            let caller = known.keys().find(of_it).map_or(0, |(call, _)| self.caller_of(*call));
            self.violated(caller, format!("{name} is on disk, and no record says so"));
        }
    }

    fn look_back_at(&self, record: &RecordingRecord, id: &RecordingId) -> Option<String> {
        if record.has_work() {
            return Some(format!("is left undone: {:?}, {:?}", record.state, record.carrier_copy));
        }
        let is_deleted_there = self.tapes.get(id).is_none_or(|tape| tape.is_deleted);
        match record.state {
            RecordingState::Failed if record.problem.is_none() => {
                Some("is given up without a word".to_owned())
            }
            // What is not deleted at the carrier is not looked at again before somebody hears it.
            RecordingState::Kept if self.house.delete_at_carrier && !self.is_sound(record) => {
                Some("is kept, and not what the carrier had".to_owned())
            }
            RecordingState::Kept if self.house.recordings_kept.is_some() => {
                Some("has had its time and is still there".to_owned())
            }
            _ if record.carrier_copy == CarrierCopy::Deleted && !is_deleted_there => {
                Some("is still at the carrier".to_owned())
            }
            _ => None,
        }
    }
}
