//! Recordings that are made here, on the bridge: in the records from their first sample on, and kept like those
//! that are fetched.
//!
//! The file grows while the call lasts. What a crash leaves of it is taken up at the next start, and kept as
//! far as it goes; so is what could not be written down at its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::work::{Change, Trouble, kept};
use super::{Archive, RecordingError, blocking};
use crate::call::recording::{RecordingRecord, RecordingState, StoredFile};
use crate::call_control::CallControl;
use crate::clock::Timestamp;
use crate::ids::{CallId, RecordingId};
use crate::media::recorder::{Made, Tape};
use crate::store::{FileError, Recordings};
use crate::wire::wave;

/// A recording that is being made. Dropping it leaves it to the worker, whatever became of it.
pub(in crate::call_control) struct Making {
    control: Arc<CallControl>,
    call: CallId,
    id: RecordingId,
    began: oneshot::Receiver<Timestamp>,
}

impl Drop for Making {
    fn drop(&mut self) {
        self.control.archive.making().remove(&self.call);
    }
}

impl Archive {
    /// Claims that a recording of this call is being made here, so that nobody else touches its file.
    pub(super) fn is_making(&self, call: CallId) -> bool {
        self.making().contains(&call)
    }
}

impl CallControl {
    /// A tape for a call that is about to be bridged, and what is to be told of it.
    pub(in crate::call_control) fn tape(self: &Arc<Self>, call: CallId) -> Option<(Tape, Making)> {
        let is_free = |id: &RecordingId| self.store.recording(call, id).is_ok_and(|known| known.is_none());
        let id = (1..=super::PER_CALL_MAX).map(RecordingRecord::id_made_here).find(is_free)?;
        let (told, began) = oneshot::channel();
        let tape = Tape { files: self.archive.files.clone(), name: Recordings::name(call, &id), began: told };
        self.archive.making().insert(call);
        Some((tape, Making { control: Arc::clone(self), call, id, began }))
    }

    /// The sound of a recording begins: from here on it is known.
    async fn recording_began(
        self: &Arc<Self>,
        call: CallId,
        id: &RecordingId,
        started: Timestamp,
    ) -> Result<(), RecordingError> {
        let _turn = self.archive.lock_of(call).lock().await;
        let record = RecordingRecord::made_here(call, id.clone(), started, self.clock.now());
        let detail = id.to_string();
        self.keep_change(Change { record, kind: "recording.running", detail }).await
    }

    /// The sound of a recording is over: its file is whole, or what there is of it is left to the worker.
    async fn recording_made(
        self: &Arc<Self>,
        call: CallId,
        id: &RecordingId,
        made: Option<Made>,
    ) -> Result<(), RecordingError> {
        let _turn = self.archive.lock_of(call).lock().await;
        let now = self.clock.now();
        let known = self.store.recording(call, id)?;
        let is_wanted = known.as_ref().is_none_or(|record| record.state == RecordingState::Running);
        let Some(made) = made else {
            let Some(mut record) = known.filter(|_| is_wanted) else { return Ok(()) };
            record.state = RecordingState::Absent;
            let detail = format!("{id}: the caller's line brought no sound");
            self.metrics.recording("absent");
            return self.keep_change(Change { record, kind: "recording.absent", detail }).await;
        };
        self.metrics.recording_lost(made.lost);
        match made.file {
            Ok(file) if is_wanted => {
                // Its first record could not be kept; then this is the first.
                let begun = || RecordingRecord::made_here(call, id.clone(), made.began, now);
                let mut record = known.unwrap_or_else(begun);
                record.keep_made(file, made.duration, made.lost, now);
                record.place(&self.call_of(&record)?);
                self.keep_change(kept(record.clone())).await?;
                self.count_kept(&record);
                Ok(())
            }
            Ok(file) => {
                let files = self.archive.files.clone();
                Ok(blocking(move || files.remove(&file.file)).await?)
            }
            Err(error) => {
                let Some(mut record) = known.filter(|_| is_wanted) else { return Ok(()) };
                let trouble = Trouble::File(error);
                self.metrics.recording_delayed(trouble.name());
                let detail = format!("{id}: {}", trouble.problem());
                record.problem = Some(trouble.problem());
                self.keep_change(Change { record, kind: "recording.delayed", detail }).await
            }
        }
    }
}

impl Making {
    /// Looks after the recording while its bridge is there and until it is on disk.
    pub async fn follow(mut self, bridge: impl Future<Output = Option<Made>>) {
        let (control, call, id) = (Arc::clone(&self.control), self.call, self.id.clone());
        let beginning = async {
            if let Ok(started) = (&mut self.began).await
                && let Err(error) = control.recording_began(call, &id, started).await
            {
                tracing::error!(%call, %error, "the begin of a recording could not be kept");
            }
        };
        let (made, ()) = tokio::join!(bridge, beginning);
        let kept = control.recording_made(call, &id, made).await;
        drop(self);
        match kept {
            Ok(()) => {}
            Err(error) => tracing::error!(%call, %error, "a recording could not be kept yet"),
        }
        // What is left to do with it, should it be something, is the worker's from here on.
        if let Ok(Some(record)) = control.store.recording(call, &id)
            && record.has_work()
        {
            control.archive.work_on(&record);
        }
    }
}

/// Keeps what there is of a recording that was made here and did not become whole.
pub(super) async fn take_up(control: &Arc<CallControl>, listed: &RecordingRecord) -> Result<(), Trouble> {
    let (call, id) = (listed.call, &listed.id);
    let _turn = control.archive.lock_of(call).lock().await;
    let known = control.store.recording(call, id).map_err(RecordingError::from)?;
    let Some(mut record) = known.filter(|record| record.state == RecordingState::Running) else {
        return Ok(());
    };
    let files = control.archive.files.clone();
    let name = Recordings::name(call, id);
    let Some(file) = blocking(move || whole(&files, &name)).await? else {
        return Err(Trouble::NoSound(record.problem.unwrap_or_else(|| "nothing was written".to_owned())));
    };
    let (duration, now) = (wave::duration(file.bytes), control.clock.now());
    record.keep_made(file, duration, Duration::ZERO, now);
    record.place(&control.call_of(&record)?);
    control.keep_change(kept(record.clone())).await?;
    control.count_kept(&record);
    Ok(())
}

/// The file of a recording, made whole if it is not; none when there is nothing of it.
fn whole(files: &Recordings, name: &str) -> Result<Option<StoredFile>, FileError> {
    let Some(mut left) = files.take_up(name)? else {
        // It became whole, and its record did not say so.
        return Ok(files.digest(name).ok());
    };
    let samples = wave::samples(left.bytes());
    if samples == 0 {
        files.remove(name)?;
        return Ok(None);
    }
    left.cut(wave::HEAD_BYTES + samples * wave::FRAME_BYTES)?;
    left.set_head(&wave::head(samples))?;
    left.finish().map(Some)
}
