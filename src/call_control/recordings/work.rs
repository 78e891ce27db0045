//! What is left to do with a recording, when it is tried again, and what is kept of what came of it: the decisions, as
//! functions of data.
//!
//! The doors and `worker` carry them out; the simulation of whole days (`crate::proof`) asks the same functions, so that
//! what it proves is what runs. Moments of tries are spans since the worker began.

use std::time::Duration;

use super::{KEPT, RecordingError};
use crate::call::record::CallRecord;
use crate::call::recording::{
    CarrierCopy, DeletedBy, RecordingRecord, RecordingState, Report, ReportedStatus, Source, StoredFile,
};
use crate::clock::Timestamp;
use crate::ids::CallId;
use crate::store::{FileError, Recordings};
use crate::text::chain;
use crate::twilio::rest::{Metadata, RestError};

/// How many are worked on at once: enough to use the line, few enough to leave calls their disk.
pub(crate) const AT_ONCE: usize = 4;
/// How often it is looked for recordings that have had their time.
pub(crate) const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// The first pause before another try.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause while the carrier has it not ready (Twilio is expected to be by then).
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// The longest pause while something is out of order.
pub(super) const TROUBLE_PAUSE_MAX: Duration = Duration::from_secs(600);
/// A recording that the carrier does not have, or has damaged, for this long, it will never have.
const GIVE_UP_AFTER: Duration = Duration::from_secs(600);
/// How often the carrier is asked about a recording that it said it was making: should the report of its
/// end be lost, this finds it.
const ASK_EVERY: Duration = Duration::from_secs(300);
/// A recording that is still being made after this long never will be: no call is as long.
const MADE_WITHIN: Duration = Duration::from_secs(25 * 3_600);

/// A change of a recording, and what stands of it in its call's events.
pub(crate) struct Change {
    pub record: RecordingRecord,
    pub kind: &'static str,
    pub detail: String,
}

impl Change {
    /// Nothing stands there but which recording it was.
    fn plain(record: RecordingRecord, kind: &'static str) -> Change {
        let detail = record.id.to_string();
        Change { record, kind, detail }
    }
}

// === what is next ===

/// The next thing that is left to do with a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It was made here, and its end was not written down.
    TakeUp,
    /// Its end was not reported.
    Ask,
    /// The carrier has it whole.
    Fetch,
    /// Its file is to go.
    Delete,
    /// The carrier's copy is to go.
    DeleteAtCarrier,
}

impl Step {
    /// What follows from the record; none: nothing is left to do.
    pub fn of(record: &RecordingRecord) -> Option<Step> {
        match record.state {
            _ if !record.has_work() => None,
            RecordingState::Running if record.source == Source::Bridge => Some(Step::TakeUp),
            RecordingState::Running => Some(Step::Ask),
            RecordingState::Wanted => Some(Step::Fetch),
            RecordingState::Deleting => Some(Step::Delete),
            _ => Some(Step::DeleteAtCarrier),
        }
    }

    /// Claims that it is given up when no try can fare better; what is to be deleted never is.
    pub fn can_be_given_up(self) -> bool {
        matches!(self, Step::TakeUp | Step::Ask | Step::Fetch)
    }
}

// === when ===

/// A recording with something left to do.
#[derive(Debug)]
pub(crate) struct Job {
    pub due: Duration,
    tries: u32,
    /// Since when the carrier has it not.
    missing_since: Option<Duration>,
    pub is_running: bool,
    /// Something happened to it while it was worked on: it is looked at again at once.
    has_news: bool,
}

/// What came of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing is left to do.
    Done,
    /// Something else is.
    More,
    /// It is tried again.
    Later { reason: Reason, after: Option<Duration> },
}

/// What becomes of a job after a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    Over,
    Again,
    Later(Reason),
}

impl Job {
    /// It is due at once.
    pub fn new(now: Duration) -> Job {
        Job { due: now, tries: 0, missing_since: None, is_running: false, has_news: false }
    }

    /// It has something new to do: it is looked at at once, or as soon as the try that runs is over.
    pub fn has_new_work(&mut self, now: Duration) {
        self.due = now;
        self.tries = 0;
        self.has_news = self.is_running;
    }

    /// Claims that the carrier has had it not for so long that it never will.
    pub fn gives_up(&self, now: Duration) -> bool {
        self.missing_since.is_some_and(|since| since + GIVE_UP_AFTER <= now)
    }

    /// A try is over.
    pub fn settle(&mut self, outcome: Outcome, now: Duration) -> Settled {
        self.is_running = false;
        let has_news = std::mem::take(&mut self.has_news);
        let (reason, after) = match outcome {
            Outcome::Done if !has_news => return Settled::Over,
            Outcome::Later { reason, after } if !has_news => (reason, after),
            _ => {
                self.due = now;
                return Settled::Again;
            }
        };
        self.tries += 1;
        self.missing_since = reason.ends_by_itself().then(|| self.missing_since.unwrap_or(now));
        self.due = now + after.unwrap_or_else(|| pause_after(reason, self.tries));
        Settled::Later(reason)
    }
}

/// The pause before try number `tries + 1`.
fn pause_after(reason: Reason, tries: u32) -> Duration {
    let longest = match reason {
        Reason::Running => return ASK_EVERY,
        reason if reason.ends_by_itself() => PAUSE_MAX,
        _ => TROUBLE_PAUSE_MAX,
    };
    PAUSE.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(longest)
}

// === what went wrong ===

/// Why something is tried again; also the label of `switchboard_recording_delays_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Running,
    NotReady,
    Damaged,
    Refused,
    Full,
    Disk,
    Busy,
    Denied,
    Unreachable,
    NotKept,
}

impl Reason {
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Running => "running",
            Reason::NotReady => "not_ready",
            Reason::Damaged => "damaged",
            Reason::Refused => "refused",
            Reason::Full => "full",
            Reason::Disk => "disk",
            Reason::Busy => "busy",
            Reason::Denied => "denied",
            Reason::Unreachable => "unreachable",
            Reason::NotKept => "not_kept",
        }
    }

    /// Claims that time alone ends it, one way or the other.
    fn ends_by_itself(self) -> bool {
        matches!(self, Reason::NotReady | Reason::Damaged | Reason::Refused)
    }
}

/// Why a try failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error(transparent)]
    Carrier(#[from] RestError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("it did not come within half an hour")]
    Slow,
    #[error("the carrier is making it still")]
    Running,
    #[error("nothing of it could be written: {0}")]
    NoSound(String),
    #[error("there is no carrier to ask: `[twilio]` is missing in the configuration")]
    NoCarrier,
    #[error(transparent)]
    Recording(#[from] RecordingError),
}

impl Trouble {
    /// What stands of it in the recording's record.
    pub fn problem(&self) -> String {
        format!("{}: {}", self.name(), chain(self))
    }

    /// A stable name, for metrics.
    pub fn name(&self) -> &'static str {
        self.reason().as_str()
    }

    pub fn reason(&self) -> Reason {
        match self {
            Trouble::Carrier(RestError::NotFound) => Reason::NotReady,
            Trouble::Carrier(RestError::Denied(_)) | Trouble::NoCarrier => Reason::Denied,
            Trouble::Carrier(RestError::Busy { .. }) => Reason::Busy,
            Trouble::Carrier(RestError::Passing(_)) | Trouble::Slow => Reason::Unreachable,
            Trouble::Carrier(_) => Reason::Refused,
            Trouble::File(FileError::Full { .. }) => Reason::Full,
            Trouble::File(FileError::NotWave | FileError::WrongSize { .. }) => Reason::Damaged,
            Trouble::File(_) | Trouble::NoSound(_) => Reason::Disk,
            Trouble::Running => Reason::Running,
            Trouble::Recording(_) => Reason::NotKept,
        }
    }

    /// When it is tried again.
    pub fn later(&self) -> Outcome {
        let after = match self {
            Trouble::Carrier(RestError::Busy { after, .. }) => *after,
            _ => None,
        };
        Outcome::Later { reason: self.reason(), after }
    }

    /// Claims that the recording is lost to us: no other try can fare better, or its time is up.
    pub fn ends(&self, step: Step, gives_up: bool) -> bool {
        let is_final = matches!(self, Trouble::File(FileError::TooLarge { .. }) | Trouble::NoSound(_));
        step.can_be_given_up() && (is_final || (gives_up && self.reason().ends_by_itself()))
    }
}

// === what is kept of it ===

/// What the carrier reported of a recording, brought in; none: it says nothing new. The second value claims that there is
/// something new to do.
pub(crate) fn reported(
    known: Option<RecordingRecord>,
    call: CallId,
    report: &Report,
    now: Timestamp,
) -> Option<(Change, bool)> {
    let is_new = known.is_none();
    let mut record = known.unwrap_or_else(|| RecordingRecord::new(call, report.id.clone(), now));
    let before = record.state;
    if !record.report(report, now) && !is_new {
        return None;
    }
    let is_told_more = !is_new && record.state == before;
    let kind = match report.status {
        _ if is_told_more => "recording.told_more",
        ReportedStatus::InProgress => "recording.running",
        ReportedStatus::Completed => "recording.wanted",
        ReportedStatus::Absent => "recording.absent",
    };
    let has_new_work = record.has_work() && !is_told_more;
    Some((Change::plain(record, kind), has_new_work))
}

/// Claims that a recording has been made for so long that the carrier may be asked about its end.
pub(crate) fn may_ask(record: &RecordingRecord, now: Timestamp) -> bool {
    now.since(record.told) >= ASK_EVERY
}

/// What the carrier's answer about a recording means; none: it goes on.
pub(crate) fn answered(record: &RecordingRecord, known: &Metadata, now: Timestamp) -> Option<Report> {
    let status = match known.status.as_str() {
        "completed" => ReportedStatus::Completed,
        "absent" | "deleted" => ReportedStatus::Absent,
        _ if now.since(record.told) > MADE_WITHIN => ReportedStatus::Absent,
        _ => return None,
    };
    Some(report_of(record, status, known))
}

/// What the carrier knows of a recording, as it reports it.
pub(crate) fn report_of(record: &RecordingRecord, status: ReportedStatus, known: &Metadata) -> Report {
    Report {
        id: record.id.clone(),
        status,
        duration_s: known.duration_s.map(f64::from),
        channels: known.channels,
        started: known.started,
        error_code: None,
    }
}

/// Claims that somebody waits for the file of a recording; who does not find it so has fetched it for nobody.
pub(crate) fn is_waited_for(known: Option<&RecordingRecord>) -> bool {
    known.is_some_and(|record| record.state == RecordingState::Wanted)
}

/// The file of a recording that was waited for is on disk, whole.
pub(crate) fn fetched(
    mut record: RecordingRecord,
    (file, channels): (StoredFile, u8),
    call: &CallRecord,
    delete_at_carrier: bool,
    now: Timestamp,
) -> Change {
    record.channels = Some(channels);
    record.keep(file, now);
    record.place(call);
    if delete_at_carrier {
        record.carrier_copy = CarrierCopy::Unwanted;
    }
    kept(record)
}

/// A recording is on our disk.
pub(super) fn kept(record: RecordingRecord) -> Change {
    let detail = proof(&record);
    Change { record, kind: KEPT, detail }
}

/// Our copy shall go, and the carrier's too where `and_at_carrier`; none: it goes already.
pub(crate) fn deleting(
    mut record: RecordingRecord,
    by: DeletedBy,
    and_at_carrier: bool,
    now: Timestamp,
) -> Option<Change> {
    let detail = format!("{} by {}", record.id, by.as_str());
    record.delete(by, and_at_carrier, now).then_some(Change { record, kind: "recording.deleting", detail })
}

/// Where there may be something of a recording, also where its record does not say so: a process that dies may have its
/// file on disk and nothing of that in the record, and one that was damaged is written over when it is fetched again.
pub(crate) fn file_of(record: &RecordingRecord) -> String {
    record.file.clone().unwrap_or_else(|| Recordings::name(record.call, &record.id))
}

/// Its file is gone. The proof of it: what it was, and why it went.
pub(crate) fn deleted(mut record: RecordingRecord) -> Change {
    record.state = RecordingState::Deleted;
    let by = record.deleted.map_or("", |deleted| deleted.by.as_str());
    let detail = format!("{} by {by}", proof(&record));
    Change { record, kind: "recording.deleted", detail }
}

/// The carrier's copy is gone.
pub(crate) fn deleted_at_carrier(mut record: RecordingRecord) -> Change {
    record.carrier_copy = CarrierCopy::Deleted;
    record.problem = None;
    Change::plain(record, "recording.deleted_at_carrier")
}

/// Claims that what was found on disk is what was kept.
pub(crate) fn is_as_kept(record: &RecordingRecord, found: Option<&StoredFile>) -> bool {
    found.is_some_and(|found| {
        (Some(found.bytes), Some(found.sha256.as_str())) == (record.bytes, record.sha256.as_deref())
    })
}

/// Our copy is damaged, and the carrier has a good one: it is wanted again.
pub(crate) fn damaged(mut record: RecordingRecord, now: Timestamp) -> Change {
    let detail = format!("{}: what is on disk is not what was written", record.id);
    record.spoil(now);
    Change { record, kind: "recording.damaged", detail }
}

/// What is in the way, once for each kind of trouble, or that the recording is lost where it `is_over`; none: it is known.
pub(crate) fn troubled(mut record: RecordingRecord, trouble: &Trouble, is_over: bool) -> Option<Change> {
    if matches!(trouble, Trouble::Running | Trouble::Recording(_)) {
        return None;
    }
    let problem = trouble.problem();
    let kind_of = |problem: &str| problem.split(':').next().map(str::to_owned);
    let is_known = record.problem.as_deref().and_then(kind_of) == kind_of(&problem);
    if is_known && !is_over {
        return None;
    }
    let kind = if is_over { "recording.failed" } else { "recording.delayed" };
    let detail = format!("{}: {problem}", record.id);
    record.problem = Some(problem);
    if is_over {
        record.state = RecordingState::Failed;
    }
    Some(Change { record, kind, detail })
}

fn proof(record: &RecordingRecord) -> String {
    match (&record.bytes, &record.sha256) {
        (Some(bytes), Some(sha256)) => format!("{}, {bytes} bytes, sha256 {sha256}", record.id),
        _ => format!("{}, never fetched", record.id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_longest() {
        let pauses =
            |reason| (1..=12).map(move |tries| pause_after(reason, tries).as_secs()).collect::<Vec<_>>();
        assert_eq!(pauses(Reason::NotReady), [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60, 60]);
        assert_eq!(pauses(Reason::Full), [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
        assert_eq!(pause_after(Reason::Full, u32::MAX), TROUBLE_PAUSE_MAX);
        assert_eq!(pause_after(Reason::Running, 1), ASK_EVERY);
    }

    #[test]
    fn what_there_may_be_of_a_recording_is_found_whatever_its_record_says() {
        let now = Timestamp::from_secs(1_795_316_403);
        let call = CallId::new(now, [7; 10]);
        let mut record = RecordingRecord::new(call, "RE1".into(), now);
        let name = Recordings::name(call, &record.id);
        assert_eq!(file_of(&record), name, "a process died when the file was whole");
        record.keep(StoredFile { file: name.clone(), bytes: 44, sha256: "00".to_owned() }, now);
        record.spoil(now);
        assert_eq!(
            (record.file.as_deref(), file_of(&record)),
            (None, name),
            "what is damaged is there still"
        );
    }
}
