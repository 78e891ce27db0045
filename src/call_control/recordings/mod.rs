//! What becomes of recordings: told of, fetched, kept, deleted in time.
//!
//! The store is the truth and the queue: a recording's record says what is left to do, and every change of
//! it is committed together with an event of its call before anything follows from it. So a crash at any
//! point resumes: `worker` begins with the store's list of recordings that have work. The carrier's copy
//! is deleted only after ours was on disk and its record committed.
//!
//! Changes of one recording follow each other ([`Archive::lock_of`]); fetching waits for nobody.
//! What is made here, on the bridge, is told by `made` and kept in the same place. What of all this is a function of data
//! is in `work`.

mod made;
mod retention;
pub(crate) mod work;
mod worker;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as SyncMutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Mutex, Notify};

use super::{CallControl, DeliverError, Message};
use crate::call::event::Event;
use crate::call::notification::Kind;
use crate::call::record::{CallRecord, EventRecord, FORMAT};
use crate::call::recording::{DeletedBy, RecordingRecord, RecordingState, Report};
use crate::clock::Timestamp;
use crate::ids::{CallId, CallSid, RecordingId};
use crate::store::{FileError, ListedRecording, Recordings, Store, StoreError, Tx, Write};

use work::Change;

/// How many recordings one call may have: a dial and its failovers have one each.
const PER_CALL_MAX: usize = 16;
/// Changes of recordings of one call follow each other; calls share this many places.
const LOCKS: usize = 16;
/// The event of a recording that is on disk from then on.
const KEPT: &str = "recording.kept";

/// What is to become of recordings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The carrier's copy is deleted once ours is on disk.
    pub delete_at_carrier: bool,
    /// A larger recording is not fetched.
    pub file_bytes_max: u64,
    /// This much stays free on the disk beside recordings.
    pub keep_free_bytes: u64,
    /// Recordings of calls that began longer ago are deleted; none: they are kept.
    pub age_max: Option<Duration>,
    /// The oldest recordings are deleted while all together are larger; none: they are kept.
    pub total_bytes_max: Option<u64>,
}

/// The recordings of one gateway.
pub(super) struct Archive {
    files: Recordings,
    locks: [Mutex<()>; LOCKS],
    /// What was given new work since the worker last looked; all of it is on disk.
    fresh: SyncMutex<Vec<ListedRecording>>,
    wake: Notify,
    /// The calls of which a recording is being made here.
    making: SyncMutex<HashSet<CallId>>,
    /// The size of all recordings on disk.
    bytes: AtomicU64,
}

/// Why a recording could not be told of, changed or deleted.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// It belongs to another call than it says, or to none.
    #[error("the recording does not belong to the call it names")]
    OtherCall,
    /// One call has too many.
    #[error("the call has {PER_CALL_MAX} recordings already")]
    TooMany,
    /// The call is not known, or the change could not be kept.
    #[error(transparent)]
    Deliver(#[from] DeliverError),
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
}

impl From<StoreError> for RecordingError {
    fn from(error: StoreError) -> RecordingError {
        RecordingError::Deliver(error.into())
    }
}

impl Archive {
    pub(super) fn new(settings: &Settings, store: &Store) -> Archive {
        let files =
            Recordings::below(store.path(), settings.file_bytes_max, settings.keep_free_bytes, store.vault());
        Archive {
            files,
            locks: Default::default(),
            fresh: SyncMutex::default(),
            wake: Notify::new(),
            making: SyncMutex::default(),
            bytes: AtomicU64::new(0),
        }
    }

    fn lock_of(&self, call: CallId) -> &Mutex<()> {
        &self.locks[usize::from(call.as_bytes()[15]) % LOCKS]
    }

    fn making(&self) -> MutexGuard<'_, HashSet<CallId>> {
        self.making.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Hands a recording to the worker; its record is on disk.
    fn work_on(&self, record: &RecordingRecord) {
        let listed =
            ListedRecording { call: record.call, id: record.id.clone(), bytes: record.bytes.unwrap_or(0) };
        self.fresh.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(listed);
        self.wake.notify_one();
    }
}

impl CallControl {
    /// The files of recordings.
    pub fn recording_files(&self) -> &Recordings {
        &self.archive.files
    }

    /// Takes what the carrier reports of a recording of `call`; durable when this returns. `call_sid` is
    /// the caller's leg, where the report names it.
    ///
    /// # Errors
    ///
    /// [`RecordingError`]; a report for a call that is not known is one.
    pub async fn recording_reported(
        self: &Arc<Self>,
        call: CallId,
        call_sid: Option<&CallSid>,
        report: &Report,
    ) -> Result<(), RecordingError> {
        let known = self.store.call(call)?.ok_or(DeliverError::NoSuchCall(call))?;
        let carrier = known.carrier.as_ref();
        if carrier.is_none_or(|carrier| call_sid.is_some_and(|sid| *sid != carrier.call_sid)) {
            return Err(RecordingError::OtherCall);
        }
        let _turn = self.archive.lock_of(call).lock().await;
        let now = self.clock.now();
        let known = self.store.recording(call, &report.id)?;
        let is_new = known.is_none();
        if is_new && self.store.recordings_of(call).await?.len() >= PER_CALL_MAX {
            return Err(RecordingError::TooMany);
        }
        let Some((change, has_new_work)) = work::reported(known, call, report, now) else { return Ok(()) };
        let record = change.record.clone();
        if change.kind == "recording.absent" {
            self.metrics.recording("absent");
        }
        self.keep_change(change).await?;
        if has_new_work {
            self.archive.work_on(&record);
        }
        Ok(())
    }

    /// Deletes the recordings of a call, or one of them, here and at the carrier. Gives what was deleted;
    /// its files are gone when this returns, and the carrier is asked as soon as it can be.
    ///
    /// # Errors
    ///
    /// [`RecordingError`].
    pub async fn delete_recordings(
        self: &Arc<Self>,
        call: CallId,
        only: Option<&RecordingId>,
        by: DeletedBy,
    ) -> Result<Vec<RecordingRecord>, RecordingError> {
        let records = self.store.recordings_of(call).await?;
        let mut deleted = Vec::new();
        for record in records.into_iter().filter(|record| only.is_none_or(|only| *only == record.id)) {
            // What an operator deletes shall be gone; what has had its time here may stay where it is paid for.
            let and_at_carrier = by == DeletedBy::Operator || self.rules().recordings.delete_at_carrier;
            deleted.extend(self.delete_recording(&record, by, and_at_carrier).await?);
        }
        Ok(deleted)
    }

    async fn delete_recording(
        self: &Arc<Self>,
        listed: &RecordingRecord,
        by: DeletedBy,
        and_at_carrier: bool,
    ) -> Result<Option<RecordingRecord>, RecordingError> {
        let _turn = self.archive.lock_of(listed.call).lock().await;
        let Some(record) = self.store.recording(listed.call, &listed.id)? else { return Ok(None) };
        let Some(change) = work::deleting(record, by, and_at_carrier, self.clock.now()) else {
            return Ok(None);
        };
        let mut record = change.record.clone();
        self.keep_change(change).await?;
        self.archive.work_on(&record);
        self.remove_file(&mut record).await?;
        Ok(Some(record))
    }

    /// Removes the file of a recording that is to go, and keeps the proof; whoever calls this has the lock.
    async fn remove_file(self: &Arc<Self>, record: &mut RecordingRecord) -> Result<(), RecordingError> {
        if record.state != RecordingState::Deleting {
            return Ok(());
        }
        self.remove_what_is_there(record).await?;
        let change = work::deleted(record.clone());
        *record = change.record.clone();
        self.keep_change(change).await?;
        self.metrics.recording("deleted");
        if record.kept.is_some() {
            self.count_gone(record);
        }
        Ok(())
    }

    async fn remove_what_is_there(&self, record: &RecordingRecord) -> Result<(), RecordingError> {
        let (files, name) = (self.archive.files.clone(), work::file_of(record));
        Ok(blocking(move || files.remove(&name)).await?)
    }

    fn count_gone(&self, record: &RecordingRecord) {
        let bytes = record.bytes.unwrap_or(0);
        let before = self.archive.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.metrics.recording_bytes(before.saturating_sub(bytes));
    }

    /// Commits a change of a recording and its event together, by way of the call's own task.
    async fn keep_change(self: &Arc<Self>, change: Change) -> Result<(), RecordingError> {
        let Change { record, kind, detail } = change;
        let call = record.call;
        let mut writes = vec![Write::Recording(Box::new(record.clone()))];
        if kind == KEPT {
            let known = self.store.call(call)?.ok_or(DeliverError::NoSuchCall(call))?;
            writes.extend(self.notify(Kind::RecordingReady, &known, Some(&record)));
        }
        self.deliver(call, Message::durable(Event::Noted { kind, detail }, writes)).await?;
        Ok(())
    }

    /// The call of a recording.
    fn call_of(&self, record: &RecordingRecord) -> Result<CallRecord, RecordingError> {
        Ok(self.store.call(record.call)?.ok_or(DeliverError::NoSuchCall(record.call))?)
    }

    fn count_kept(&self, record: &RecordingRecord) {
        self.metrics.recording("kept");
        let bytes = record.bytes.unwrap_or(0);
        let before = self.archive.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.metrics.recording_bytes(before.saturating_add(bytes));
    }
}

/// Deletes the recordings of a call where no gateway runs: for a command that has the store to itself.
/// The carrier's copy is deleted by the gateway that runs next.
///
/// # Errors
///
/// [`RecordingError`].
pub async fn delete_at_rest(
    store: &Store,
    files: &Recordings,
    call: CallId,
    only: Option<&RecordingId>,
    now: Timestamp,
) -> Result<Vec<RecordingRecord>, RecordingError> {
    let mut known = store.call(call)?.ok_or(DeliverError::NoSuchCall(call))?;
    let mut gone = Vec::new();
    for record in store.recordings_of(call).await? {
        let is_meant = only.is_none_or(|only| *only == record.id);
        let Some(change) = Some(record)
            .filter(|_| is_meant)
            .and_then(|record| work::deleting(record, DeletedBy::Operator, true, now))
        else {
            continue;
        };
        let record = change.record.clone();
        keep_at_rest(store, &mut known, change, now).await?;
        let (files, name) = (files.clone(), work::file_of(&record));
        blocking(move || files.remove(&name)).await?;
        let change = work::deleted(record);
        gone.push(change.record.clone());
        keep_at_rest(store, &mut known, change, now).await?;
    }
    Ok(gone)
}

async fn keep_at_rest(
    store: &Store,
    call: &mut CallRecord,
    change: Change,
    now: Timestamp,
) -> Result<(), StoreError> {
    let json = serde_json::json!({ "detail": change.detail }).to_string();
    let data = serde_json::value::RawValue::from_string(json).ok();
    let event = EventRecord { v: FORMAT, n: call.counts.events, at: now, kind: change.kind.to_owned(), data };
    call.counts.events += 1;
    let writes = vec![
        Write::Recording(Box::new(change.record)),
        Write::Event(call.id, event),
        Write::Call(Box::new(call.clone())),
    ];
    store.commit(Tx { expect: Vec::new(), writes }).await.map(drop)
}

/// Runs what touches files where it may block.
async fn blocking<T, F>(work: F) -> Result<T, FileError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, FileError> + Send + 'static,
{
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}
