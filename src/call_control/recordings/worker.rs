//! Does what is left to do with recordings: asks, fetches, deletes; again and again until it is done.
//!
//! Only a few are worked on at once. What fails is tried again after a pause that doubles; what the carrier
//! does not have for too long is given up, and everything else is never given up: a full disk, a
//! wrong key or a carrier that is away are for a person to mend. What is next, and when, says `work`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::work::{
    self, AT_ONCE, Job, Outcome, Reason, SWEEP_EVERY, Settled, Step, TROUBLE_PAUSE_MAX, Trouble,
};
use super::{RecordingError, blocking, made};
use crate::call::recording::{RecordingRecord, RecordingState, ReportedStatus, Source};
use crate::call_control::CallControl;
use crate::ids::{CallId, RecordingId};
use crate::store::{ListedRecording, Recordings, Writing};
use crate::twilio::rest::{self, Media};

/// How long fetching one recording may take.
const FETCH_MAX: Duration = Duration::from_secs(1_800);
/// A worker with nothing to do looks again after this long; nothing depends on it.
const LOOK_AGAIN: Duration = Duration::from_secs(3_600);

type Key = (CallId, RecordingId);

/// The worker's own state.
struct Worker {
    control: Arc<CallControl>,
    began: Instant,
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
            began: Instant::now(),
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

    /// Since the worker began.
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Takes a recording up, or looks at it at once where it is waited for.
    fn take(&mut self, listed: ListedRecording) {
        let now = self.now();
        self.jobs.entry((listed.call, listed.id)).or_insert_with(|| Job::new(now)).has_new_work(now);
    }

    fn start_due(&mut self) {
        let now = self.now();
        while self.running.len() < AT_ONCE {
            let waiting = self.jobs.iter_mut().filter(|(_, job)| !job.is_running && job.due <= now);
            let Some((key, job)) = waiting.min_by_key(|(_, job)| job.due) else { return };
            job.is_running = true;
            let (control, key) = (Arc::clone(&self.control), key.clone());
            let gives_up = job.gives_up(now);
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
        due.map_or_else(|| Instant::now() + LOOK_AGAIN, |due| self.began + due).min(self.sweep_at)
    }

    fn settle(&mut self, key: Key, outcome: Outcome) {
        let now = self.now();
        let Some(job) = self.jobs.get_mut(&key) else { return };
        let reason = match job.settle(outcome, now) {
            Settled::Over => {
                self.jobs.remove(&key);
                return;
            }
            Settled::Again => return,
            Settled::Later(reason) => reason,
        };
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
        let due = self.now() + TROUBLE_PAUSE_MAX;
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

/// Does the next thing that is left to do with a recording.
async fn attempt(control: &Arc<CallControl>, key: &Key, gives_up: bool) -> Outcome {
    let record = match control.store.recording(key.0, &key.1) {
        // One that is being made is handed over when its sound is over.
        Ok(Some(record)) if is_growing(&record) && control.archive.is_making(key.0) => return Outcome::Done,
        Ok(record) => record,
        Err(error) => {
            tracing::error!(%error, "a recording's record cannot be read");
            return Outcome::Later { reason: Reason::Disk, after: None };
        }
    };
    let Some(record) = record else { return Outcome::Done };
    let Some(step) = Step::of(&record) else { return Outcome::Done };
    let done = match step {
        Step::TakeUp => made::take_up(control, &record).await,
        Step::Ask => ask(control, &record).await,
        Step::Fetch => fetch_and_keep(control, &record).await,
        Step::Delete => delete(control, key).await,
        Step::DeleteAtCarrier => delete_at_carrier(control, &record).await,
    };
    let trouble = match done {
        Ok(()) => return Outcome::More,
        Err(trouble) => trouble,
    };
    match tell(control, key, &trouble, trouble.ends(step, gives_up)).await {
        Ok(true) => Outcome::Done,
        _ => trouble.later(),
    }
}

/// Claims that it is made here, and not whole yet.
fn is_growing(record: &RecordingRecord) -> bool {
    record.source == Source::Bridge && record.state == RecordingState::Running
}

/// Asks the carrier about a recording whose end was not reported.
async fn ask(control: &Arc<CallControl>, record: &RecordingRecord) -> Result<(), Trouble> {
    if !work::may_ask(record, control.clock.now()) {
        return Err(Trouble::Running);
    }
    let rules = control.rules();
    let carrier = rules.carrier.as_ref().ok_or(Trouble::NoCarrier)?;
    let known = carrier.recording(&record.id).await?;
    let report = work::answered(record, &known, control.clock.now()).ok_or(Trouble::Running)?;
    Ok(control.recording_reported(record.call, None, &report).await?)
}

/// Fetches a recording and keeps it, unless it was deleted meanwhile.
async fn fetch_and_keep(control: &Arc<CallControl>, record: &RecordingRecord) -> Result<(), Trouble> {
    let rules = control.rules();
    let carrier = rules.carrier.as_ref().ok_or(Trouble::NoCarrier)?;
    let name = Recordings::name(record.call, &record.id);
    let fetching = fetch(&control.archive.files, carrier, &record.id, name);
    let (writing, channels) =
        tokio::time::timeout(FETCH_MAX, fetching).await.map_err(|_| Trouble::Slow)??;
    // Where the report of the recording was lost, nobody has told when it began.
    let told = if record.started.is_none() { carrier.recording(&record.id).await.ok() } else { None };
    let _turn = control.archive.lock_of(record.call).lock().await;
    let known = control.store.recording(record.call, &record.id).map_err(RecordingError::from)?;
    // Deleted meanwhile: nothing of it may go under its name, for nobody would take that away after a crash.
    let Some(mut record) = known.filter(|record| work::is_waited_for(Some(record))) else { return Ok(()) };
    let file = blocking(move || writing.finish()).await?;
    if let Some(told) = told {
        let report = work::report_of(&record, ReportedStatus::Completed, &told);
        record.report(&report, control.clock.now());
    }
    let call = control.call_of(&record)?;
    let and_there = control.rules().recordings.delete_at_carrier;
    let change = work::fetched(record, (file, channels), &call, and_there, control.clock.now());
    let record = change.record.clone();
    control.keep_change(change).await?;
    control.count_kept(&record);
    Ok(())
}

/// Streams a recording into a file that is not whole yet. The second value is how many channels it has.
async fn fetch(
    files: &Recordings,
    carrier: &rest::Client,
    id: &RecordingId,
    name: String,
) -> Result<(Writing, u8), Trouble> {
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
    Ok((writing, media.channels))
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
    let Some(record) = known else { return Ok(()) };
    control.keep_change(work::deleted_at_carrier(record)).await?;
    control.metrics.recording("deleted_at_carrier");
    Ok(())
}

/// Claims that our copy is on disk as it was kept: the last moment at which that can be mended.
async fn is_sound(control: &Arc<CallControl>, record: &RecordingRecord) -> bool {
    let Some(name) = record.file.clone() else { return false };
    let files = control.archive.files.clone();
    let found = blocking(move || files.digest(&name)).await.ok();
    work::is_as_kept(record, found.as_ref())
}

/// Our copy is damaged, and the carrier has a good one.
async fn fetch_again(control: &Arc<CallControl>, listed: &RecordingRecord) -> Result<(), Trouble> {
    let _turn = control.archive.lock_of(listed.call).lock().await;
    let known = control.store.recording(listed.call, &listed.id).map_err(RecordingError::from)?;
    let Some(record) = known.filter(RecordingRecord::is_kept) else { return Ok(()) };
    tracing::error!(call = %record.call, recording = %record.id, "a kept recording is damaged: fetched again");
    control.count_gone(&record);
    Ok(control.keep_change(work::damaged(record, control.clock.now())).await?)
}

/// Writes down what is in the way. Claims that the recording was given up.
async fn tell(
    control: &Arc<CallControl>,
    key: &Key,
    trouble: &Trouble,
    is_over: bool,
) -> Result<bool, RecordingError> {
    let _turn = control.archive.lock_of(key.0).lock().await;
    let Some(record) = control.store.recording(key.0, &key.1)? else { return Ok(true) };
    let Some(change) = work::troubled(record, trouble, is_over) else { return Ok(false) };
    let record = &change.record;
    if is_over {
        // A process that died may have had it whole.
        control.remove_what_is_there(record).await?;
        control.metrics.recording("failed");
        tracing::error!(call = %record.call, recording = %record.id, %trouble, "a recording is lost to us");
    } else if trouble.reason() != Reason::NotReady {
        tracing::warn!(call = %record.call, recording = %record.id, %trouble, "a recording must wait");
    }
    control.keep_change(change).await?;
    Ok(is_over)
}
