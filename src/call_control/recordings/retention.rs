//! Recordings that have had their time, or of which there are too many, are deleted.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::RecordingError;
use crate::call::recording::DeletedBy;
use crate::call_control::CallControl;
use crate::clock::Timestamp;
use crate::store::ListedRecording;

/// How many recordings one sweep deletes; the next one goes on.
const PER_SWEEP: usize = 64;

impl CallControl {
    /// Deletes what is too old `now`, then the oldest while there is too much; a bounded number at once.
    /// Gives how many were deleted.
    ///
    /// # Errors
    ///
    /// [`RecordingError`]; what was deleted before stays deleted.
    pub async fn sweep_recordings(self: &Arc<Self>, now: Timestamp) -> Result<usize, RecordingError> {
        let rules = self.rules();
        let settings = &rules.recordings;
        let mut deleted = 0;
        if let Some(age) = settings.age_max {
            for listed in self.store.recordings_kept(Some(now - age), PER_SWEEP).await? {
                deleted += self.sweep_one(&listed, DeletedBy::Retention).await?;
            }
        }
        let Some(total) = settings.total_bytes_max else { return Ok(deleted) };
        if self.archive.bytes.load(Ordering::Relaxed) <= total {
            return Ok(deleted);
        }
        for listed in self.store.recordings_kept(None, PER_SWEEP).await? {
            if self.archive.bytes.load(Ordering::Relaxed) <= total {
                break;
            }
            deleted += self.sweep_one(&listed, DeletedBy::Size).await?;
        }
        Ok(deleted)
    }

    async fn sweep_one(
        self: &Arc<Self>,
        listed: &ListedRecording,
        by: DeletedBy,
    ) -> Result<usize, RecordingError> {
        Ok(self.delete_recordings(listed.call, Some(&listed.id), by).await?.len())
    }
}
