//! The gateway's recordings: reports are taken, sound is fetched, and both copies are deleted in time.
//!
//! This mirrors `call_control/recordings` where it waits, locks and touches files; what it decides comes from [`work`].

use std::collections::BTreeMap;
use std::time::Duration;

use super::Broken;
use super::doors::Answer;
use super::keeper::{Done, Message};
use super::story::DAWN;
use super::world::World;
use crate::call::event::Event;
use crate::call::recording::{
    DeletedBy, RecordingRecord, RecordingState, Report, ReportedStatus, StoredFile,
};
use crate::call_control::DeliverError;
use crate::call_control::recordings::RecordingError;
use crate::call_control::recordings::work::{
    self, AT_ONCE, Change, Job, Outcome, SWEEP_EVERY, Settled, Step, Trouble,
};
use crate::ids::{CallId, RecordingId};
use crate::store::{FileError, Recordings, Write};

/// One recording.
pub(super) type Key = (CallId, RecordingId);

/// Told what came of a try.
type Tried = Box<dyn FnOnce(&mut World, Result<(), Trouble>)>;

/// What a process has to do with recordings.
#[derive(Default)]
pub(super) struct Archive {
    pub jobs: BTreeMap<Key, Job>,
    alarm: u64,
}

impl World {
    fn now_since_dawn(&self) -> Duration {
        self.now.since(DAWN)
    }

    /// Something that a process does later, unless it is gone by then.
    pub(super) fn while_up(&mut self, span: Duration, deed: impl FnOnce(&mut World) + 'static) {
        let incarnation = self.incarnation;
        self.after(span, move |world| {
            if world.incarnation == incarnation {
                deed(world);
            }
        });
    }

    /// Whoever changes recordings of a call waits until nobody else does.
    fn in_turn(&mut self, call: CallId, deed: impl FnOnce(&mut World) + 'static) {
        self.claim(vec![turn_of(call)], Box::new(deed));
    }

    fn turn_over(&mut self, call: CallId) {
        self.release(&[turn_of(call)]);
    }

    // === reports ===

    /// The carrier reports a recording.
    pub(super) fn recording(&mut self, request: u64, call: CallId, report: Report) {
        let id = report.id.clone();
        if self.broken == Some(Broken::ReportBeforeRecord) {
            self.law_acknowledged_recording((call, id));
            self.answer(request, Answer::Ok);
            return self.take_report(call, report, Box::new(|_, _| {}));
        }
        let taken = move |world: &mut World, is_kept| {
            if is_kept {
                world.law_acknowledged_recording((call, id));
            }
            world.answer(request, if is_kept { Answer::Ok } else { Answer::Failed });
        };
        self.take_report(call, report, Box::new(taken));
    }

    /// The end of a dial names its recording; `then` is told whether that is on disk.
    pub(super) fn named(&mut self, call: CallId, id: Option<RecordingId>, then: Done) {
        let Some(id) = id else { return then(self, true) };
        let status = ReportedStatus::Completed;
        let (duration_s, channels, started, error_code) = (None, None, None, None);
        self.take_report(call, Report { id, status, duration_s, channels, started, error_code }, then);
    }

    fn take_report(&mut self, call: CallId, report: Report, then: Done) {
        if self.disk.record(call).is_none() {
            return then(self, true);
        }
        self.in_turn(call, move |world| {
            let now = world.gateway_now();
            let known = world.disk.recording(&(call, report.id.clone()));
            let is_kept = known.as_ref().is_some_and(RecordingRecord::is_kept);
            if world.broken == Some(Broken::RecordingTwice)
                && let Some(mut record) = known.clone().filter(|_| is_kept)
            {
                record.spoil(now);
                let change = Change { record, kind: "recording.wanted", detail: String::new() };
                return world.keep_report(change, true, then);
            }
            match work::reported(known, call, &report, now) {
                Some((change, has_new_work)) => world.keep_report(change, has_new_work, then),
                None => {
                    world.turn_over(call);
                    then(world, true);
                }
            }
        });
    }

    fn keep_report(&mut self, change: Change, has_new_work: bool, then: Done) {
        let key = key_of(&change.record);
        self.keep_change(
            change,
            Box::new(move |world, is_kept| {
                world.turn_over(key.0);
                if is_kept && has_new_work {
                    world.work_on(key);
                }
                then(world, is_kept);
            }),
        );
    }

    /// Commits a change and its event together, by way of the call.
    fn keep_change(&mut self, change: Change, then: Done) {
        let Change { record, kind, detail } = change;
        let call = record.call;
        let caller = self.caller_of(call);
        self.tell(caller, || format!("gateway: {kind} {detail}"));
        let mut message = Message::new(Event::Noted { kind, detail });
        message.writes = vec![Write::Recording(Box::new(record))];
        message.done = Some(then);
        self.deliver(call, message);
    }

    // === the worker ===

    /// Takes up what an earlier process left.
    pub(super) fn take_up_recordings(&mut self) {
        self.disk.parts.clear();
        if self.broken == Some(Broken::RecordingsForgotten) {
            return;
        }
        let known = &self.disk.books.recordings;
        let of = |wanted: fn(&RecordingRecord) -> bool| -> Vec<Key> {
            known.iter().filter(|(_, record)| wanted(record)).map(|(key, _)| key.clone()).collect()
        };
        let (left, kept) = (of(RecordingRecord::has_work), of(RecordingRecord::is_kept));
        left.into_iter().for_each(|key| self.work_on(key));
        kept.into_iter().for_each(|key| self.sweep_later(key));
    }

    /// Hands a recording to the worker; its record is on disk.
    fn work_on(&mut self, key: Key) {
        let now = self.now_since_dawn();
        if let Some(process) = &mut self.process {
            process.archive.jobs.entry(key).or_insert_with(|| Job::new(now)).has_new_work(now);
        }
        self.start_due();
    }

    fn start_due(&mut self) {
        let now = self.now_since_dawn();
        let Some(process) = &mut self.process else { return };
        let jobs = &mut process.archive.jobs;
        let mut begun = Vec::new();
        while jobs.values().filter(|job| job.is_running).count() < AT_ONCE {
            let waiting = jobs.iter_mut().filter(|(_, job)| !job.is_running && job.due <= now);
            let Some((key, job)) = waiting.min_by_key(|(_, job)| job.due) else { break };
            job.is_running = true;
            begun.push((key.clone(), job.gives_up(now)));
        }
        let next = jobs.values().filter(|job| !job.is_running).map(|job| job.due).min();
        process.archive.alarm += 1;
        let mine = process.archive.alarm;
        for (key, gives_up) in begun {
            self.attempt(key, gives_up);
        }
        // Where all places are taken, the end of a try looks again.
        if let Some(due) = next.filter(|due| *due > now) {
            self.while_up(due - now, move |world| {
                if world.process.as_ref().is_some_and(|process| process.archive.alarm == mine) {
                    world.start_due();
                }
            });
        }
    }

    fn attempt(&mut self, key: Key, gives_up: bool) {
        let known = self.disk.recording(&key);
        let Some((record, step)) = known.and_then(|record| Step::of(&record).map(|step| (record, step)))
        else {
            return self.tried(key, Outcome::Done);
        };
        let tried: Tried = Box::new(move |world, done| world.came_of_it(key, step, gives_up, done));
        match step {
            // Nothing is recorded here in the simulation.
            Step::TakeUp => {}
            Step::Ask => self.ask_carrier_of(record, tried),
            Step::Fetch => self.fetch(record, tried),
            Step::Delete => self.delete_here(key_of(&record), tried),
            Step::DeleteAtCarrier => self.delete_there(record, tried),
        }
    }

    fn came_of_it(&mut self, key: Key, step: Step, gives_up: bool, done: Result<(), Trouble>) {
        let trouble = match done {
            Ok(()) => return self.tried(key, Outcome::More),
            Err(trouble) => trouble,
        };
        let (later, is_over) = (trouble.later(), trouble.ends(step, gives_up));
        let call = key.0;
        self.in_turn(call, move |world| {
            let known = world.disk.recording(&key);
            let is_gone = known.is_none();
            if let Some(record) = known.as_ref().filter(|_| is_over) {
                world.disk.files.remove(&work::file_of(record));
            }
            match known.and_then(|record| work::troubled(record, &trouble, is_over)) {
                None => {
                    world.turn_over(call);
                    world.tried(key, if is_gone { Outcome::Done } else { later });
                }
                Some(change) => world.keep_change(
                    change,
                    Box::new(move |world, is_kept| {
                        world.turn_over(call);
                        world.tried(key, if is_kept && is_over { Outcome::Done } else { later });
                    }),
                ),
            }
        });
    }

    /// A try is over.
    fn tried(&mut self, key: Key, outcome: Outcome) {
        self.while_up(Duration::from_micros(1), move |world| {
            let now = world.now_since_dawn();
            let Some(process) = &mut world.process else { return };
            let Some(job) = process.archive.jobs.get_mut(&key) else { return };
            if job.settle(outcome, now) == Settled::Over {
                process.archive.jobs.remove(&key);
            }
            world.start_due();
        });
    }

    // === asked, fetched ===

    fn ask_carrier_of(&mut self, record: RecordingRecord, tried: Tried) {
        if !work::may_ask(&record, self.gateway_now()) {
            return tried(self, Err(Trouble::Running));
        }
        let takes = self.chance.millis(60, 400);
        self.while_up(takes, move |world| {
            let known = match world.tape_known(&record.id) {
                Ok(known) => known,
                Err(error) => return tried(world, Err(error.into())),
            };
            match work::answered(&record, &known, world.gateway_now()) {
                None => tried(world, Err(Trouble::Running)),
                Some(report) => {
                    let taken = move |world: &mut World, is_kept| tried(world, kept(is_kept));
                    world.take_report(record.call, report, Box::new(taken));
                }
            }
        });
    }

    fn fetch(&mut self, record: RecordingRecord, tried: Tried) {
        let takes = self.chance.millis(60, 400);
        self.while_up(takes, move |world| {
            let bytes = match world.tape_sound(&record.id) {
                Ok(bytes) => bytes,
                Err(error) => return tried(world, Err(error.into())),
            };
            if world.disk.is_full {
                let full = FileError::Full { free_bytes: 0, keep_bytes: bytes };
                return tried(world, Err(full.into()));
            }
            let name = Recordings::name(record.call, &record.id);
            world.disk.parts.insert(name.clone());
            let takes = world.chance.millis(50, 4_000);
            let breaks = world.chance.permille(world.weather.sound_breaks);
            world.while_up(takes, move |world| {
                if breaks {
                    world.disk.parts.remove(&name);
                    let broken = FileError::WrongSize { bytes: 0, expected: bytes };
                    return tried(world, Err(broken.into()));
                }
                world.fetched(record, StoredFile { sha256: format!("{bytes:x}"), file: name, bytes }, tried);
            });
        });
    }

    /// The sound is here, and goes under its name where somebody waits for it.
    fn fetched(&mut self, record: RecordingRecord, file: StoredFile, tried: Tried) {
        let told = if record.started.is_none() { self.tape_known(&record.id).ok() } else { None };
        let call = record.call;
        self.in_turn(call, move |world| {
            world.disk.parts.remove(&file.file);
            let known = world.disk.recording(&key_of(&record));
            let Some(mut record) = known.filter(|record| work::is_waited_for(Some(record))) else {
                world.turn_over(call);
                return tried(world, Ok(()));
            };
            if world.broken != Some(Broken::KeptBeforeFile) {
                world.finish_file(&file);
            }
            world.worst_moment();
            if let Some(told) = told {
                let report = work::report_of(&record, ReportedStatus::Completed, &told);
                record.report(&report, world.gateway_now());
            }
            let syncs = world.chance.millis(1, 30);
            world.while_up(syncs, move |world| world.keep_fetched(record, file, tried));
        });
    }

    fn keep_fetched(&mut self, record: RecordingRecord, file: StoredFile, tried: Tried) {
        let Some(call) = self.disk.record(record.call) else { return };
        if self.broken == Some(Broken::CopyGoesEarly) {
            let _ = self.delete_tape(&record.id);
        }
        let change =
            work::fetched(record, (file, 2), &call, self.house.delete_at_carrier, self.gateway_now());
        let key = key_of(&change.record);
        let kept_it = move |world: &mut World, is_kept| {
            world.turn_over(key.0);
            if is_kept {
                world.sweep_later(key);
            }
            tried(world, kept(is_kept));
        };
        self.keep_change(change, Box::new(kept_it));
    }

    /// A file is whole, under its name, and synced; some disks do not keep what they were given.
    fn finish_file(&mut self, file: &StoredFile) {
        let rots = self.chance.permille(self.weather.disk_rots);
        let sha256 = if rots { "rotten".to_owned() } else { file.sha256.clone() };
        self.disk.files.insert(file.file.clone(), StoredFile { sha256, ..file.clone() });
    }

    // === deleted ===

    fn delete_there(&mut self, record: RecordingRecord, tried: Tried) {
        let file = record.file.as_ref().and_then(|name| self.disk.files.get(name));
        if record.is_kept() && !work::is_as_kept(&record, file) {
            return self.fetch_again(key_of(&record), tried);
        }
        let takes = self.chance.millis(60, 400);
        self.while_up(takes, move |world| {
            if let Err(error) = world.delete_tape(&record.id) {
                return tried(world, Err(error.into()));
            }
            world.worst_moment();
            world.change_in_turn(key_of(&record), |record, _| Some(work::deleted_at_carrier(record)), tried);
        });
    }

    fn fetch_again(&mut self, key: Key, tried: Tried) {
        self.law.tally.recordings_damaged += 1;
        let damaged = |record: RecordingRecord, now| record.is_kept().then(|| work::damaged(record, now));
        self.change_in_turn(key, damaged, tried);
    }

    fn change_in_turn(
        &mut self,
        key: Key,
        change: impl FnOnce(RecordingRecord, crate::clock::Timestamp) -> Option<Change> + 'static,
        tried: Tried,
    ) {
        let call = key.0;
        self.in_turn(call, move |world| {
            let now = world.gateway_now();
            match world.disk.recording(&key).and_then(|record| change(record, now)) {
                None => {
                    world.turn_over(call);
                    tried(world, Ok(()));
                }
                Some(change) => world.keep_change(
                    change,
                    Box::new(move |world, is_kept| {
                        world.turn_over(call);
                        tried(world, kept(is_kept));
                    }),
                ),
            }
        });
    }

    fn delete_here(&mut self, key: Key, tried: Tried) {
        let call = key.0;
        self.in_turn(call, move |world| match world.disk.recording(&key) {
            Some(record) => world.remove_file(
                record,
                Box::new(move |world, is_kept| {
                    world.turn_over(call);
                    tried(world, kept(is_kept));
                }),
            ),
            None => {
                world.turn_over(call);
                tried(world, Ok(()));
            }
        });
    }

    fn remove_file(&mut self, record: RecordingRecord, then: Done) {
        if record.state != RecordingState::Deleting {
            return then(self, true);
        }
        self.disk.files.remove(&work::file_of(&record));
        self.keep_change(work::deleted(record), then);
    }

    /// An operator wants a call's recordings gone, here and at the carrier.
    pub(super) fn operator_deletes(&mut self, call: CallId) {
        if self.process.is_none() {
            return;
        }
        let of_call = |key: &&Key| key.0 == call;
        let keys: Vec<Key> = self.disk.books.recordings.keys().filter(of_call).cloned().collect();
        for key in keys {
            self.delete_recording(key, DeletedBy::Operator, true);
        }
    }

    fn delete_recording(&mut self, key: Key, by: DeletedBy, and_at_carrier: bool) {
        let call = key.0;
        self.in_turn(call, move |world| {
            let now = world.gateway_now();
            let known = world.disk.recording(&key);
            let Some(change) = known.and_then(|record| work::deleting(record, by, and_at_carrier, now))
            else {
                return world.turn_over(call);
            };
            let record = change.record.clone();
            world.keep_change(
                change,
                Box::new(move |world, is_kept| {
                    if !is_kept {
                        return world.turn_over(call);
                    }
                    world.work_on(key);
                    world.remove_file(record, Box::new(move |world, _| world.turn_over(call)));
                }),
            );
        });
    }

    /// A recording that is kept is deleted when it has had its time.
    fn sweep_later(&mut self, key: Key) {
        let Some(age) = self.house.recordings_kept else { return };
        let looked_for = self.chance.millis(0, 60_000);
        let due = (key.0.began() + age).since(self.gateway_now());
        self.while_up(due + looked_for, move |world| world.sweep(key, age));
    }

    fn sweep(&mut self, key: Key, age: Duration) {
        if !self.disk.recording(&key).is_some_and(|record| record.is_kept()) {
            return;
        }
        if key.0.began() >= self.gateway_now() - age {
            return self.while_up(SWEEP_EVERY, move |world| world.sweep(key, age));
        }
        // What cannot be kept now is swept once more.
        let again = key.clone();
        self.while_up(SWEEP_EVERY, move |world| world.sweep(again, age));
        self.delete_recording(key, DeletedBy::Retention, self.house.delete_at_carrier);
    }
}

fn turn_of(call: CallId) -> String {
    format!("r/{call}")
}

fn key_of(record: &RecordingRecord) -> Key {
    (record.call, record.id.clone())
}

fn kept(is_kept: bool) -> Result<(), Trouble> {
    if is_kept { Ok(()) } else { Err(Trouble::Recording(RecordingError::Deliver(DeliverError::Stopping))) }
}
