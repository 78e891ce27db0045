//! Recordings at the carrier: made while a dial is answered, reported late, twice or never, and to be fetched when they are
//! ready, which some never are.

use std::time::Duration;

use super::doors::Answer;
use super::world::World;
use crate::call::recording::{Report, ReportedStatus};
use crate::clock::Timestamp;
use crate::ids::{CallId, RecordingId};
use crate::twilio::rest::{Metadata, RestError};

/// How often a report is tried again that was not taken (`http/twilio/recording.rs` asks for that).
const REPORT_AGAIN: u32 = 3;
/// There is nothing in a shorter one.
const ABSENT_BELOW: Duration = Duration::from_secs(1);

/// One recording at the carrier.
#[derive(Debug)]
pub(super) struct Tape {
    pub call: CallId,
    caller: u32,
    began: Timestamp,
    status: ReportedStatus,
    /// From when on its sound can be had; none: never.
    pub ready: Option<Timestamp>,
    pub bytes: u64,
    pub is_deleted: bool,
}

impl World {
    /// The leg of a caller who is to be recorded is answered.
    pub(super) fn tape_begins(&mut self, caller: u32) {
        let Some(call) = self.phone(caller).filter(|phone| phone.is_recorded).and_then(|phone| phone.call)
        else {
            return;
        };
        self.law_recorded(call, caller);
        let id = RecordingId(format!("RE{}", self.number()));
        let (began, bytes) = (self.now, self.chance.between(44, 10_000_000));
        let status = ReportedStatus::InProgress;
        let tape = Tape { call, caller, began, status, ready: None, bytes, is_deleted: false };
        self.tapes.insert(id.clone(), tape);
        if let Some(phone) = self.phone(caller) {
            phone.tape = Some(id.clone());
        }
        self.report_tape(&id);
    }

    /// The leg is over, and its recording with it. Names it, where there is something in it.
    pub(super) fn tape_ends(&mut self, caller: u32) -> Option<RecordingId> {
        let id = self.phones.get_mut(&caller)?.tape.take()?;
        let is_silent = self.chance.permille(20);
        let takes = match self.chance.permille(self.weather.sound_late) {
            true => self.chance.seconds(60, 900),
            false => self.chance.millis(200, 20_000),
        };
        let is_lost = self.chance.permille(self.weather.sound_never);
        let now = self.now;
        let tape = self.tapes.get_mut(&id)?;
        let is_absent = is_silent || now.since(tape.began) < ABSENT_BELOW;
        tape.status = if is_absent { ReportedStatus::Absent } else { ReportedStatus::Completed };
        tape.ready = (!is_absent && !is_lost).then_some(now + takes);
        let told = self.chance.millis(500, 4_000);
        let (call, ended) = (tape.call, id.clone());
        if self.chance.permille(150) {
            let is_hasty = self.chance.permille(500);
            let decides = if is_hasty { self.chance.seconds(0, 12) } else { self.chance.seconds(20, 3_600) };
            self.after(decides, move |world| world.operator_deletes(call));
        }
        self.after(told, move |world| world.report_tape(&ended));
        (!is_absent).then_some(id)
    }

    /// A report comes soon, late, twice or never, and again where it is not taken.
    fn report_tape(&mut self, id: &RecordingId) {
        let Some((report, call, caller)) = self.tape_report(id) else { return };
        if self.chance.permille(self.weather.callback_lost) {
            return self.tell(caller, || format!("carrier: a report of {} is lost", report.id));
        }
        let times = if self.chance.permille(self.weather.callback_doubled) { 2 } else { 1 };
        for _ in 0..times {
            let late = self.chance.permille(self.weather.callback_late);
            let takes = if late { self.chance.seconds(1, 30) } else { self.chance.millis(20, 400) };
            let report = report.clone();
            self.after(takes, move |world| world.deliver_report(call, report, 0));
        }
    }

    fn tape_report(&self, id: &RecordingId) -> Option<(Report, CallId, u32)> {
        let tape = self.tapes.get(id)?;
        let duration_s = (tape.status == ReportedStatus::Completed).then_some(12.0);
        let (channels, started) = (Some(2), Some(tape.began));
        let report =
            Report { id: id.clone(), status: tape.status, duration_s, channels, started, error_code: None };
        Some((report, tape.call, tape.caller))
    }

    fn deliver_report(&mut self, call: CallId, report: Report, tries: u32) {
        let again = report.clone();
        self.post(
            move |world, request| world.recording(request, call, report),
            move |world, answer| {
                if !matches!(answer, Answer::Ok) && tries < REPORT_AGAIN {
                    let pause = world.chance.millis(100, 3_000);
                    world.after(pause, move |world| world.deliver_report(call, again, tries + 1));
                }
            },
        );
    }

    // === asked by the gateway ===

    fn is_away(&mut self) -> Result<(), RestError> {
        match self.chance.permille(self.weather.rest_fails) {
            true => Err(RestError::Passing("503".to_owned())),
            false => Ok(()),
        }
    }

    /// What the carrier knows of a recording.
    pub(super) fn tape_known(&mut self, id: &RecordingId) -> Result<Metadata, RestError> {
        self.is_away()?;
        let tape = self.tapes.get(id).filter(|tape| !tape.is_deleted).ok_or(RestError::NotFound)?;
        let status = match tape.status {
            ReportedStatus::InProgress => "in-progress",
            ReportedStatus::Completed => "completed",
            ReportedStatus::Absent => "absent",
        };
        let started = Some(tape.began);
        Ok(Metadata { status: status.to_owned(), duration_s: None, channels: Some(2), started })
    }

    /// Its sound: how many bytes.
    pub(super) fn tape_sound(&mut self, id: &RecordingId) -> Result<u64, RestError> {
        self.is_away()?;
        let now = self.now;
        let is_there = |tape: &&Tape| !tape.is_deleted && tape.ready.is_some_and(|ready| ready <= now);
        self.tapes.get(id).filter(is_there).map(|tape| tape.bytes).ok_or(RestError::NotFound)
    }

    /// Deletes the carrier's copy; one that is being made stays.
    pub(super) fn delete_tape(&mut self, id: &RecordingId) -> Result<(), RestError> {
        self.is_away()?;
        let Some(tape) = self.tapes.get(id) else { return Ok(()) };
        if tape.status == ReportedStatus::InProgress {
            let text = "it is in progress".to_owned();
            return Err(RestError::Refused { status: 409, code: None, text });
        }
        let (call, caller) = (tape.call, tape.caller);
        self.law_tape_goes((call, id.clone()), caller);
        if let Some(tape) = self.tapes.get_mut(id) {
            tape.is_deleted = true;
        }
        Ok(())
    }
}
