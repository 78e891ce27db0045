//! The audit log: who read and did what. An entry is on disk before the thing is done, and none is ever changed;
//! entries that have had their time are forgotten.
//!
//! An entry names calls and never callers: what is erased leaves nothing behind in it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::index::with_prefix;
use super::tx::{Outdated, Tx, Write};
use super::{Store, key, read};
use crate::clock::Timestamp;
use crate::ids::CallId;

/// A reading that is repeated within this time is the same reading: a player asks for a recording in dozens of parts.
const SAME_READING: Duration = Duration::from_secs(60);
/// How many readings are remembered for that.
const READINGS_MAX: usize = 256;

/// Who did what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditEntry {
    /// Its number; given when it is written.
    pub n: u64,
    /// When.
    pub at: Timestamp,
    /// The name of the token.
    pub who: String,
    /// Its role.
    pub role: String,
    /// What: `call.read`, `call.hangup` …
    pub what: String,
    /// The call it was about.
    pub call: Option<CallId>,
    /// More of it, without callers' words and numbers.
    pub detail: Option<String>,
    /// The address it came from.
    pub from: Option<String>,
}

/// Writes the audit log of one process.
pub struct AuditLog {
    store: Store,
    next: AtomicU64,
    readings: Mutex<VecDeque<AuditEntry>>,
}

impl AuditLog {
    /// The log in this store, to be gone on with.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store cannot be read.
    pub async fn open(store: Store) -> Result<AuditLog, StoreError> {
        let last = store.audit(None, 1).await?;
        let next = last.first().map_or(0, |entry| entry.n + 1);
        Ok(AuditLog { store, next: AtomicU64::new(next), readings: Mutex::default() })
    }

    /// Keeps an entry; it is on disk when this returns.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: what it tells of is not to be done then.
    pub async fn record(&self, mut entry: AuditEntry) -> Result<(), StoreError> {
        entry.n = self.next.fetch_add(1, Ordering::Relaxed);
        let writes = vec![Write::Audit(Box::new(entry))];
        self.store.commit(Tx { expect: Vec::new(), writes }).await.map(drop)
    }

    /// The same for something that is read, which may be repeated for a while without another entry.
    ///
    /// # Errors
    ///
    /// As [`AuditLog::record`].
    pub async fn record_reading(&self, entry: AuditEntry) -> Result<(), StoreError> {
        if self.is_repeated(&entry) {
            return Ok(());
        }
        self.record(entry.clone()).await?;
        // Only what is on disk counts.
        let mut readings = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
        if readings.len() == READINGS_MAX {
            readings.pop_front();
        }
        readings.push_back(entry);
        Ok(())
    }

    fn is_repeated(&self, entry: &AuditEntry) -> bool {
        let mut readings = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
        readings.retain(|known| entry.at.since(known.at) < SAME_READING);
        readings.iter().any(|known| AuditEntry { at: known.at, ..entry.clone() } == *known)
    }
}

impl Store {
    /// Entries of the audit log, newest first, after the one of this number.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store cannot be read.
    pub async fn audit(&self, after: Option<u64>, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        self.scan(move |index| {
            let all = with_prefix(key::AUDIT);
            let end = after.map_or(all.end, key::audit);
            let mut entries = Vec::new();
            for listed in index.keys_back(&(all.start..end)).take(limit) {
                entries.extend(read(index, &listed?)?);
            }
            Ok(entries)
        })
        .await
    }

    /// Up to `limit` entries of the audit log from before `before`.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store cannot be read.
    pub async fn old_audit(&self, before: Timestamp, limit: usize) -> Result<Vec<Outdated>, StoreError> {
        self.scan(move |index| {
            let mut old = Vec::new();
            // The oldest first, so that the first young one ends it.
            for listed in index.keys(&with_prefix(key::AUDIT)).take(limit) {
                let listed = listed?;
                let entry: Option<AuditEntry> = read(index, &listed)?;
                if entry.is_some_and(|entry| entry.at >= before) {
                    break;
                }
                old.push(Outdated(listed));
            }
            Ok(old)
        })
        .await
    }
}
