//! Does what is left to do with recordings: asks, fetches, deletes; again and again until it is done.
//!
//! Only a few are worked on at once. What fails is tried again after a pause that doubles; what the carrier
//! does not have after [`GIVE_UP_AFTER`] is given up, and everything else is never given up: a full disk, a
//! wrong key or a carrier that is away are for a person to mend.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Change, RecordingError, blocking, kept, made};
use crate::call::recording::{
    CarrierCopy, RecordingRecord, RecordingState, Report, ReportedStatus, Source, StoredFile,
};
use crate::call_control::CallControl;
use crate::ids::{CallId, RecordingId};
use crate::store::{FileError, ListedRecording, Recordings};
use crate::text::chain;
use crate::twilio::rest::{self, Media, Metadata, RestError};

/// How many are worked on at once: enough to use the line, few enough to leave calls their disk.
const AT_ONCE: usize = 4;
/// The first pause before another try.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause while the carrier has it not ready (Twilio is expected to be by then).
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// The longest pause while something is out of order.
const TROUBLE_PAUSE_MAX: Duration = Duration::from_secs(600);
/// A recording that the carrier does not have, or has damaged, for this long, it will never have.
const GIVE_UP_AFTER: Duration = Duration::from_secs(600);
/// How often the carrier is asked about a recording that it said it was making: should the report of its
/// end be lost, this finds it.
const ASK_EVERY: Duration = Duration::from_secs(300);
/// A recording that is still being made after this long never will be: no call is as long.
const MADE_WITHIN: Duration = Duration::from_secs(25 * 3_600);
/// How long fetching one recording may take.
const FETCH_MAX: Duration = Duration::from_secs(1_800);
/// How often it is looked for recordings that have had their time.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// A worker with nothing to do looks again after this long; nothing depends on it.
const LOOK_AGAIN: Duration = Duration::from_secs(3_600);

type Key = (CallId, RecordingId);

/// A recording with something left to do.
struct Job {
    due: Instant,
    tries: u32,
    /// Since when the carrier has it not.
    missing_since: Option<Instant>,
    is_running: bool,
    /// Something happened to it while it was worked on: it is looked at again at once.
    has_news: bool,
}

/// What came of a try.
enum Outcome {
    /// Nothing is left to do.
    Done,
    /// Something else is.
    More,
    /// It is tried again.
    Later { reason: Reason, after: Option<Duration> },
}

/// Why something is tried again; also the label of `switchboard_recording_delays_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
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
    fn as_str(self) -> &'static str {
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
pub(super) enum Trouble {
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
    pub(super) fn problem(&self) -> String {
        format!("{}: {}", self.name(), chain(self))
    }

    /// A stable name, for metrics.
    pub(super) fn name(&self) -> &'static str {
        self.reason().as_str()
    }

    fn reason(&self) -> Reason {
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

    fn after(&self) -> Option<Duration> {
        match self {
            Trouble::Carrier(RestError::Busy { after, .. }) => *after,
            _ => None,
        }
    }

    /// Claims that no other try can fare better.
    fn is_final(&self) -> bool {
        matches!(self, Trouble::File(FileError::TooLarge { .. }) | Trouble::NoSound(_))
    }
}

/// The worker's own state.
struct Worker {
    control: Arc<CallControl>,
    jobs: HashMap<Key, Job>,
    running: JoinSet<(Key, Outcome)>,
    sweep_at: Instant,
    /// The disk was full at the last try.
    is_full: bool,
}

impl CallControl {
    /// Works on recordings until told to stop; what is left then is on disk, and done after the next start.
    pub async fn work_on_recordings(self: Arc<Self>, stopping: CancellationToken) {
        let mut worker = Worker {
            control: Arc::clone(&self),
            jobs: HashMap::new(),
            running: JoinSet::new(),
            sweep_at: Instant::now(),
            is_full: false,
        };
        worker.begin().await;
        loop {
            worker.start_due();
            let pause = worker.pause();
            tokio::select! {
                () = stopping.cancelled() => break,
                () = self.archive.wake.notified() => worker.take_fresh(),
                Some(ended) = worker.running.join_next() => match ended {
                    Ok((key, outcome)) => worker.settle(key, outcome),
                    Err(error) => worker.recover(&error),
                },
                () = tokio::time::sleep_until(pause) => worker.sweep_if_due().await,
            }
            self.metrics.recordings_backlog(worker.jobs.len());
        }
        // A fetch that is cut off leaves a `.part`, and its recording wanted.
        worker.running.shutdown().await;
    }
}

impl Worker {
    /// Takes up what an earlier run left.
    async fn begin(&mut self) {
        let files = self.control.archive.files.clone();
        match blocking(move || files.clean()).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "unfinished recordings of an earlier run were removed"),
            Err(error) => tracing::error!(%error, "the recordings' directory cannot be read"),
        }
        let store = &self.control.store;
        let left = match store.recordings_with_work().await {
            Ok(left) => left,
            Err(error) => return tracing::error!(%error, "the list of recordings cannot be read"),
        };
        let kept = store.recordings_kept(None, usize::MAX).await.unwrap_or_default();
        let bytes = kept.iter().map(|listed| listed.bytes).sum();
        self.control.archive.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.control.metrics.recording_bytes(self.control.archive.bytes.load(Ordering::Relaxed));
        if !left.is_empty() {
            tracing::info!(count = left.len(), "recordings are left to fetch or to delete");
        }
        left.into_iter().for_each(|listed| self.take(listed));
        self.control.metrics.recordings_backlog(self.jobs.len());
    }

    fn take_fresh(&mut self) {
        let mut fresh = self.control.archive.fresh.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let taken = std::mem::take(&mut *fresh);
        drop(fresh);
        taken.into_iter().for_each(|listed| self.take(listed));
    }

    /// Takes a recording up, or looks at it at once where it is waited for.
    fn take(&mut self, listed: ListedRecording) {
        let now = Instant::now();
        let fresh = Job { due: now, tries: 0, missing_since: None, is_running: false, has_news: false };
        let job = self.jobs.entry((listed.call, listed.id)).or_insert(fresh);
        job.due = now;
        job.tries = 0;
        job.has_news = job.is_running;
    }

    fn start_due(&mut self) {
        let now = Instant::now();
        while self.running.len() < AT_ONCE {
            let waiting = self.jobs.iter_mut().filter(|(_, job)| !job.is_running && job.due <= now);
            let Some((key, job)) = waiting.min_by_key(|(_, job)| job.due) else { return };
            job.is_running = true;
            let (control, key) = (Arc::clone(&self.control), key.clone());
            let gives_up = job.missing_since.is_some_and(|since| since + GIVE_UP_AFTER <= now);
            self.running.spawn(async move {
                let outcome = attempt(&control, &key, gives_up).await;
                (key, outcome)
            });
        }
    }

    /// When something is due.
    fn pause(&self) -> Instant {
        let is_busy = self.running.len() >= AT_ONCE;
        let due = self.jobs.values().filter(|job| !job.is_running && !is_busy).map(|job| job.due).min();
        due.unwrap_or_else(|| Instant::now() + LOOK_AGAIN).min(self.sweep_at)
    }

    fn settle(&mut self, key: Key, outcome: Outcome) {
        let Some(job) = self.jobs.get_mut(&key) else { return };
        job.is_running = false;
        let has_news = std::mem::take(&mut job.has_news);
        let (reason, after) = match outcome {
            Outcome::Done if !has_news => {
                self.jobs.remove(&key);
                return;
            }
            _ if has_news => {
                job.due = Instant::now();
                return;
            }
            Outcome::Done | Outcome::More => {
                job.due = Instant::now();
                return;
            }
            Outcome::Later { reason, after } => (reason, after),
        };
        job.tries += 1;
        let now = Instant::now();
        job.missing_since = reason.ends_by_itself().then(|| job.missing_since.unwrap_or(now));
        job.due = now + after.unwrap_or_else(|| pause_after(reason, job.tries));
        if reason != Reason::Running {
            self.control.metrics.recording_delayed(reason.as_str());
        }
        let is_full = reason == Reason::Full;
        if is_full && !self.is_full {
            tracing::error!("recordings cannot be fetched: the disk is full; they wait at the carrier");
        }
        self.is_full = is_full;
    }

    /// A task that panicked does not say which it was: all that run are looked at again.
    fn recover(&mut self, error: &tokio::task::JoinError) {
        tracing::error!(%error, "work on a recording was cut off");
        self.running.abort_all();
        let due = Instant::now() + TROUBLE_PAUSE_MAX;
        for job in self.jobs.values_mut().filter(|job| job.is_running) {
            job.is_running = false;
            job.due = due;
        }
    }

    async fn sweep_if_due(&mut self) {
        if Instant::now() < self.sweep_at {
            return;
        }
        self.sweep_at = Instant::now() + SWEEP_EVERY;
        match self.control.sweep_recordings(self.control.clock.now()).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "recordings that had had their time were deleted"),
            Err(error) => tracing::error!(%error, "recordings that have had their time cannot be deleted"),
        }
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

/// Does the next thing that is left to do with a recording.
async fn attempt(control: &Arc<CallControl>, key: &Key, gives_up: bool) -> Outcome {
    let record = match control.store.recording(key.0, &key.1) {
        // One that is being made is handed over when its sound is over.
        Ok(Some(record)) if is_growing(&record) && control.archive.is_making(key.0) => return Outcome::Done,
        Ok(Some(record)) if record.has_work() => record,
        Ok(_) => return Outcome::Done,
        Err(error) => {
            tracing::error!(%error, "a recording's record cannot be read");
            return Outcome::Later { reason: Reason::Disk, after: None };
        }
    };
    let done = match record.state {
        RecordingState::Running if is_growing(&record) => made::take_up(control, &record).await,
        RecordingState::Running => ask(control, &record).await,
        RecordingState::Wanted => fetch_and_keep(control, &record).await,
        RecordingState::Deleting => delete(control, key).await,
        _ => delete_at_carrier(control, &record).await,
    };
    let trouble = match done {
        Ok(()) => return Outcome::More,
        Err(trouble) => trouble,
    };
    let is_fetch = matches!(record.state, RecordingState::Running | RecordingState::Wanted);
    let is_hopeless = trouble.is_final() || (gives_up && trouble.reason().ends_by_itself());
    let said = tell(control, key, &trouble, is_fetch && is_hopeless).await;
    match said {
        Ok(true) => Outcome::Done,
        _ => Outcome::Later { reason: trouble.reason(), after: trouble.after() },
    }
}

/// Claims that it is made here, and not whole yet.
fn is_growing(record: &RecordingRecord) -> bool {
    record.source == Source::Bridge && record.state == RecordingState::Running
}

/// Asks the carrier about a recording whose end was not reported.
async fn ask(control: &Arc<CallControl>, record: &RecordingRecord) -> Result<(), Trouble> {
    if control.clock.now().since(record.told) < ASK_EVERY {
        return Err(Trouble::Running);
    }
    let rules = control.rules();
    let carrier = rules.carrier.as_ref().ok_or(Trouble::NoCarrier)?;
    let known = carrier.recording(&record.id).await?;
    let status = match known.status.as_str() {
        "completed" => ReportedStatus::Completed,
        "absent" | "deleted" => ReportedStatus::Absent,
        _ if control.clock.now().since(record.told) > MADE_WITHIN => ReportedStatus::Absent,
        _ => return Err(Trouble::Running),
    };
    let report = reported(record, status, &known);
    Ok(control.recording_reported(record.call, None, &report).await?)
}

/// Fetches a recording and keeps it, unless it was deleted meanwhile.
async fn fetch_and_keep(control: &Arc<CallControl>, record: &RecordingRecord) -> Result<(), Trouble> {
    let rules = control.rules();
    let carrier = rules.carrier.as_ref().ok_or(Trouble::NoCarrier)?;
    let name = Recordings::name(record.call, &record.id);
    let fetching = fetch(&control.archive.files, carrier, &record.id, name);
    let (file, channels) = tokio::time::timeout(FETCH_MAX, fetching).await.map_err(|_| Trouble::Slow)??;
    // Where the report of the recording was lost, nobody has told when it began.
    let told = if record.started.is_none() { carrier.recording(&record.id).await.ok() } else { None };
    let _turn = control.archive.lock_of(record.call).lock().await;
    let known = control.store.recording(record.call, &record.id).map_err(RecordingError::from)?;
    let Some(mut record) = known.filter(|record| record.state == RecordingState::Wanted) else {
        let files = control.archive.files.clone();
        return Ok(blocking(move || files.remove(&file.file)).await?);
    };
    if let Some(told) = told {
        record.report(&reported(&record, ReportedStatus::Completed, &told), control.clock.now());
    }
    record.channels = Some(channels);
    record.keep(file, control.clock.now());
    control.place(&mut record)?;
    if control.rules().recordings.delete_at_carrier {
        record.carrier_copy = CarrierCopy::Unwanted;
    }
    control.keep_change(kept(record.clone())).await?;
    control.count_kept(&record);
    Ok(())
}

/// Streams a recording into its file. The second value is how many channels it has.
async fn fetch(
    files: &Recordings,
    carrier: &rest::Client,
    id: &RecordingId,
    name: String,
) -> Result<(StoredFile, u8), Trouble> {
    let mut media: Media = carrier.recording_media(id).await?;
    let (files, length) = (files.clone(), media.length);
    let mut writing = blocking(move || files.create(&name, length)).await?;
    while let Some(piece) = media.next().await? {
        writing = blocking(move || {
            writing.write(&piece)?;
            Ok(writing)
        })
        .await?;
    }
    let file = blocking(move || writing.finish()).await?;
    Ok((file, media.channels))
}

async fn delete(control: &Arc<CallControl>, key: &Key) -> Result<(), Trouble> {
    let _turn = control.archive.lock_of(key.0).lock().await;
    let known = control.store.recording(key.0, &key.1).map_err(RecordingError::from)?;
    match known {
        Some(mut record) => Ok(control.remove_file(&mut record).await?),
        None => Ok(()),
    }
}

async fn delete_at_carrier(control: &Arc<CallControl>, record: &RecordingRecord) -> Result<(), Trouble> {
    let rules = control.rules();
    let carrier = rules.carrier.as_ref().ok_or(Trouble::NoCarrier)?;
    if record.is_kept() && !is_sound(control, record).await {
        return fetch_again(control, record).await;
    }
    carrier.delete_recording(&record.id).await?;
    let _turn = control.archive.lock_of(record.call).lock().await;
    let known = control.store.recording(record.call, &record.id).map_err(RecordingError::from)?;
    let Some(mut record) = known else { return Ok(()) };
    record.carrier_copy = CarrierCopy::Deleted;
    record.problem = None;
    let detail = record.id.to_string();
    control.keep_change(Change { record, kind: "recording.deleted_at_carrier", detail }).await?;
    control.metrics.recording("deleted_at_carrier");
    Ok(())
}

/// Claims that our copy is on disk as it was kept: the last moment at which that can be mended.
async fn is_sound(control: &Arc<CallControl>, record: &RecordingRecord) -> bool {
    let Some(name) = record.file.clone() else { return false };
    let files = control.archive.files.clone();
    let known = (record.bytes, record.sha256.as_deref());
    match blocking(move || files.digest(&name)).await {
        Ok(found) => (Some(found.bytes), Some(found.sha256.as_str())) == known,
        Err(_) => false,
    }
}

/// Our copy is damaged, and the carrier has a good one.
async fn fetch_again(control: &Arc<CallControl>, listed: &RecordingRecord) -> Result<(), Trouble> {
    let _turn = control.archive.lock_of(listed.call).lock().await;
    let known = control.store.recording(listed.call, &listed.id).map_err(RecordingError::from)?;
    let Some(mut record) = known.filter(RecordingRecord::is_kept) else { return Ok(()) };
    tracing::error!(call = %record.call, recording = %record.id, "a kept recording is damaged: fetched again");
    let detail = format!("{}: what is on disk is not what was written", record.id);
    control.count_gone(&record);
    record.spoil(control.clock.now());
    Ok(control.keep_change(Change { record, kind: "recording.damaged", detail }).await?)
}

/// Writes down what is in the way, once for each kind of trouble. Claims that the recording was given up.
async fn tell(
    control: &Arc<CallControl>,
    key: &Key,
    trouble: &Trouble,
    is_hopeless: bool,
) -> Result<bool, RecordingError> {
    if matches!(trouble, Trouble::Running | Trouble::Recording(_)) {
        return Ok(false);
    }
    let _turn = control.archive.lock_of(key.0).lock().await;
    let Some(mut record) = control.store.recording(key.0, &key.1)? else { return Ok(true) };
    let problem = trouble.problem();
    let kind_of = |problem: &str| problem.split(':').next().map(str::to_owned);
    let is_known = record.problem.as_deref().and_then(kind_of) == kind_of(&problem);
    if is_known && !is_hopeless {
        return Ok(false);
    }
    let kind = if is_hopeless { "recording.failed" } else { "recording.delayed" };
    let detail = format!("{}: {problem}", record.id);
    record.problem = Some(problem);
    if is_hopeless {
        record.state = RecordingState::Failed;
        control.metrics.recording("failed");
        tracing::error!(call = %record.call, recording = %record.id, %trouble, "a recording is lost to us");
    } else if trouble.reason() != Reason::NotReady {
        tracing::warn!(call = %record.call, recording = %record.id, %trouble, "a recording must wait");
    }
    control.keep_change(Change { record, kind, detail }).await?;
    Ok(is_hopeless)
}

fn reported(record: &RecordingRecord, status: ReportedStatus, known: &Metadata) -> Report {
    Report {
        id: record.id.clone(),
        status,
        duration_s: known.duration_s.map(f64::from),
        channels: known.channels,
        started: known.started,
        error_code: None,
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
}
