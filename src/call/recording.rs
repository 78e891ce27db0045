//! What is kept of a recording of a call, from the first word of it to the proof that it is gone.
//!
//! The carrier makes the recording and tells of it, late, twice or in any order; we fetch it, keep it, and
//! delete it in time. [`RecordingRecord`] is the stored form and the only truth about how far that is:
//! what is to be done can be read from it after any crash ([`RecordingRecord::has_work`]). A recording
//! that is made here (on the bridge) has its record from its first sample on; nobody tells of it, and it is
//! not fetched.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::record::{CallRecord, FORMAT, Path};
use crate::clock::Timestamp;
use crate::ids::{CallId, RecordingId};

/// The carrier tells the begin of a recording in whole seconds.
const SECOND: Duration = Duration::from_secs(1);
/// The id of a recording that is made here.
const BRIDGE: &str = "bridge";

/// One recording of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecordingRecord {
    /// Format number, see [`FORMAT`].
    pub v: u8,
    /// Whose recording.
    pub call: CallId,
    /// The carrier's id of it, or `bridge` (a second one of a call: `bridge-2`).
    pub id: RecordingId,
    /// Who made it.
    pub source: Source,
    /// How far it is.
    pub state: RecordingState,
    /// When we first heard of it.
    pub told: Timestamp,
    /// When the carrier said that it is whole; fetching began then.
    pub wanted: Option<Timestamp>,
    /// Its first moment: on the carrier's clock in whole seconds, or ours where it was made here.
    pub started: Option<Timestamp>,
    /// Where its first moment lies on the time line of the transcript: so many milliseconds after the call
    /// began, or before where it is negative. Known once it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset_ms: Option<i64>,
    /// How long it is, in seconds (whole ones at the carrier).
    pub duration_s: Option<f64>,
    /// Seconds of it that could not be written down here, and are silence in it or missing at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_s: Option<f64>,
    /// How many channels it has. Of two the first is the caller, the second the assistant.
    pub channels: Option<u8>,
    /// Its file, below `recordings/` in the data directory.
    pub file: Option<String>,
    /// The file's size in bytes.
    pub bytes: Option<u64>,
    /// The file's SHA-256 in hexadecimal digits.
    pub sha256: Option<String>,
    /// When the file was on disk.
    pub kept: Option<Timestamp>,
    /// What is known of the carrier's own copy.
    pub carrier_copy: CarrierCopy,
    /// Why it is not kept (yet), for a person.
    pub problem: Option<String>,
    /// When and why our copy was deleted.
    pub deleted: Option<Deletion>,
}

/// Who made a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The carrier, on the SIP path.
    Carrier,
    /// We ourselves, from the audio that was bridged.
    Bridge,
}

/// How far a recording is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordingState {
    /// It is being made.
    Running,
    /// The carrier has it whole; it is being fetched.
    Wanted,
    /// It is on our disk.
    Kept,
    /// There is nothing in it.
    Absent,
    /// It could not be had, and will not be tried again.
    Failed,
    /// It is to be deleted, and its file may still be there.
    Deleting,
    /// It is gone from our disk.
    Deleted,
}

impl RecordingState {
    /// The name as it stands in records and on the terminal.
    pub fn as_str(self) -> &'static str {
        match self {
            RecordingState::Running => "running",
            RecordingState::Wanted => "wanted",
            RecordingState::Kept => "kept",
            RecordingState::Absent => "absent",
            RecordingState::Failed => "failed",
            RecordingState::Deleting => "deleting",
            RecordingState::Deleted => "deleted",
        }
    }
}

/// The copy that the carrier has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CarrierCopy {
    /// It never had one.
    None,
    /// It is there, as far as we know.
    There,
    /// It is there and shall go.
    Unwanted,
    /// It is gone.
    Deleted,
}

/// The end of our copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Deletion {
    /// When it was decided.
    pub at: Timestamp,
    /// Why.
    pub by: DeletedBy,
}

/// Why a recording was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeletedBy {
    /// It was older than `retention.recordings`.
    Retention,
    /// All recordings together were larger than `retention.recordings_max`.
    Size,
    /// An operator wanted it.
    Operator,
}

impl DeletedBy {
    /// The name as it stands in records and events.
    pub fn as_str(self) -> &'static str {
        match self {
            DeletedBy::Retention => "retention",
            DeletedBy::Size => "size",
            DeletedBy::Operator => "operator",
        }
    }
}

/// What the carrier reports of a recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Its id.
    pub id: RecordingId,
    /// How far it is there.
    pub status: ReportedStatus,
    /// How long it is, in seconds.
    pub duration_s: Option<f64>,
    /// How many channels it has.
    pub channels: Option<u8>,
    /// When it began.
    pub started: Option<Timestamp>,
    /// The carrier's code of what went wrong.
    pub error_code: Option<u32>,
}

/// How far a recording is at the carrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportedStatus {
    /// It is being made.
    InProgress,
    /// It is whole.
    Completed,
    /// There is nothing in it.
    Absent,
}

/// A file that is on disk, whole and synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFile {
    /// Below `recordings/` in the data directory.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256 in hexadecimal digits.
    pub sha256: String,
}

impl RecordingRecord {
    /// A recording of the carrier that we heard of `now`.
    pub fn new(call: CallId, id: RecordingId, now: Timestamp) -> RecordingRecord {
        RecordingRecord {
            v: FORMAT,
            call,
            id,
            source: Source::Carrier,
            state: RecordingState::Running,
            told: now,
            wanted: None,
            started: None,
            offset_ms: None,
            duration_s: None,
            lost_s: None,
            channels: None,
            file: None,
            bytes: None,
            sha256: None,
            kept: None,
            carrier_copy: CarrierCopy::There,
            problem: None,
            deleted: None,
        }
    }

    /// The id of the `n`th recording of a call that is made here, counted from one.
    pub fn id_made_here(n: usize) -> RecordingId {
        match n {
            0 | 1 => RecordingId::from(BRIDGE),
            n => RecordingId::from(format!("{BRIDGE}-{n}")),
        }
    }

    /// A recording of two channels that is being made here, on the bridge; its first sample was at `started`.
    pub fn made_here(call: CallId, id: RecordingId, started: Timestamp, now: Timestamp) -> RecordingRecord {
        RecordingRecord {
            source: Source::Bridge,
            started: Some(started),
            channels: Some(2),
            carrier_copy: CarrierCopy::None,
            ..RecordingRecord::new(call, id, now)
        }
    }

    /// It is on our disk from now on, this long, with so much lost of it.
    pub fn keep_made(&mut self, file: StoredFile, duration: Duration, lost: Duration, now: Timestamp) {
        self.duration_s = Some(duration.as_secs_f64());
        self.lost_s = (!lost.is_zero()).then_some(lost.as_secs_f64());
        self.keep(file, now);
    }

    /// Brings in what the carrier reports. Claims that something is to be kept: a report may come late,
    /// twice and in any order, and none leads back.
    pub fn report(&mut self, report: &Report, now: Timestamp) -> bool {
        let before = self.clone();
        self.started = self.started.or(report.started);
        self.duration_s = report.duration_s.or(self.duration_s);
        self.channels = self.channels.or(report.channels);
        match (report.status, self.state) {
            (ReportedStatus::Completed, RecordingState::Running | RecordingState::Absent) => {
                self.state = RecordingState::Wanted;
                self.carrier_copy = CarrierCopy::There;
                self.wanted = Some(now);
                self.problem = None;
            }
            (ReportedStatus::Absent, RecordingState::Running) => {
                self.state = RecordingState::Absent;
                self.carrier_copy = CarrierCopy::None;
                self.problem = report.error_code.map(|code| format!("the carrier's error {code}"));
            }
            _ => {}
        }
        *self != before
    }

    /// It is on our disk from now on.
    pub fn keep(&mut self, file: StoredFile, now: Timestamp) {
        self.state = RecordingState::Kept;
        self.file = Some(file.file);
        self.bytes = Some(file.bytes);
        self.sha256 = Some(file.sha256);
        self.kept = Some(now);
        self.problem = None;
    }

    /// Lays it on the time line of its call's transcript.
    pub fn place(&mut self, call: &CallRecord) {
        let (Some(first), Some(zero)) = (self.first_moment(call), call.stages.began()) else { return };
        let millis = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        // One of the two is nothing: a span is never negative.
        self.offset_ms = Some(millis(first.since(zero)) - millis(zero.since(first)));
    }

    /// Our copy is not what it was when it was kept; the carrier has it still, and it is fetched again.
    pub fn spoil(&mut self, now: Timestamp) {
        self.state = RecordingState::Wanted;
        self.wanted = Some(now);
        self.carrier_copy = CarrierCopy::There;
        (self.file, self.bytes, self.sha256, self.kept) = (None, None, None, None);
    }

    /// Our copy shall go, and the carrier's too where `and_at_carrier`. Claims that there is something to
    /// delete.
    pub fn delete(&mut self, by: DeletedBy, and_at_carrier: bool, now: Timestamp) -> bool {
        let before = self.clone();
        if and_at_carrier && self.carrier_copy == CarrierCopy::There {
            self.carrier_copy = CarrierCopy::Unwanted;
        }
        if !matches!(self.state, RecordingState::Deleting | RecordingState::Deleted) {
            self.state = RecordingState::Deleting;
            self.deleted = Some(Deletion { at: now, by });
        }
        *self != before
    }

    /// Claims that something is left to do: wait for its end, fetch, delete here, delete there.
    pub fn has_work(&self) -> bool {
        matches!(self.state, RecordingState::Running | RecordingState::Wanted | RecordingState::Deleting)
            || self.carrier_copy == CarrierCopy::Unwanted
    }

    /// Claims that it can be listened to.
    pub fn is_kept(&self) -> bool {
        self.state == RecordingState::Kept
    }

    /// Its first moment on the time line of the transcript, as well as it can be known.
    ///
    /// The carrier tells whole seconds. It begins to record when the leg is answered, and the report of
    /// that arrives a little later: within the second that the carrier names, the report is the better
    /// witness. Both clocks must agree for that, as they do where time is kept at all.
    pub fn first_moment(&self, call: &CallRecord) -> Option<Timestamp> {
        let started = self.started?;
        if self.source == Source::Bridge {
            return Some(started);
        }
        let answered = call.stages_on(Path::Sip).and_then(|stages| stages.leg_answered).unwrap_or(started);
        Some(answered.clamp(started, started + SECOND))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_795_316_403);

    fn new() -> RecordingRecord {
        let call = CallId::new(NOW, [7; 10]);
        RecordingRecord::new(call, RecordingId::from("RE00000000000000000000000000000001"), NOW)
    }

    fn report(status: ReportedStatus) -> Report {
        let is_whole = status == ReportedStatus::Completed;
        Report {
            id: new().id,
            status,
            duration_s: is_whole.then_some(12.0),
            channels: Some(2),
            started: Some(NOW),
            error_code: None,
        }
    }

    fn stored() -> StoredFile {
        StoredFile { file: "a.wav".into(), bytes: 44, sha256: "00".into() }
    }

    #[test]
    fn reports_in_any_order_lead_to_the_same_and_none_leads_back() {
        use ReportedStatus::{Completed, InProgress};
        for order in
            [&[InProgress, Completed][..], &[Completed, InProgress], &[Completed, Completed, InProgress]]
        {
            let mut record = new();
            for status in order {
                record.report(&report(*status), NOW);
            }
            assert_eq!(record.state, RecordingState::Wanted, "{order:?}");
            assert_eq!((record.duration_s, record.channels), (Some(12.0), Some(2)), "{order:?}");
            record.keep(stored(), NOW);
            for status in [InProgress, Completed, ReportedStatus::Absent] {
                assert!(!record.report(&report(status), NOW), "{order:?}: nothing new");
                assert_eq!(record.state, RecordingState::Kept);
            }
            assert!(!record.has_work());
        }
    }

    #[test]
    fn an_absent_recording_is_not_fetched_and_a_deleted_one_not_again() {
        let mut record = new();
        assert!(record.report(&report(ReportedStatus::Absent), NOW));
        assert!(!record.has_work());
        let mut record = new();
        record.report(&report(ReportedStatus::Completed), NOW);
        assert!(record.delete(DeletedBy::Operator, true, NOW));
        assert!(!record.delete(DeletedBy::Retention, true, NOW), "once is enough");
        record.report(&report(ReportedStatus::Completed), NOW);
        assert_eq!(record.state, RecordingState::Deleting);
        assert_eq!(record.carrier_copy, CarrierCopy::Unwanted);
        assert_eq!(record.deleted.map(|deleted| deleted.by), Some(DeletedBy::Operator));
    }

    #[test]
    fn the_report_of_the_answer_is_believed_within_the_carriers_second() {
        use crate::call::record::Stages;
        let beginning = crate::call::Beginning {
            id: new().call,
            path: Path::Sip,
            caller: None,
            callee: None,
            route: None,
            carrier: None,
            carrier_asked: None,
            vars: Default::default(),
            other_path: None,
            avoided: None,
        };
        let mut call = crate::call::Call::begin(beginning).record;
        let mut record = new();
        assert_eq!(record.first_moment(&call), None);
        record.started = Some(NOW);
        assert_eq!(record.first_moment(&call), Some(NOW));
        for (answered_ms, expected_ms) in [(400, 400), (1_900, 1_000), (-500, 0)] {
            let millis = (NOW.as_millis() as i64 + answered_ms) as u64;
            call.stages = Stages { leg_answered: Some(Timestamp::from_millis(millis)), ..Stages::default() };
            let expected = NOW + Duration::from_millis(expected_ms);
            assert_eq!(record.first_moment(&call), Some(expected), "{answered_ms}");
        }
    }
}
