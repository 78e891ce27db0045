//! Compaction: the journal's older segments become one base, and what was overwritten or erased is then gone from the
//! files too.
//!
//! Everything comes from the journal itself, checked line by line; the index has no part in it. Sealed segments are read
//! into memory and sorted, where that reaches a bound into files of their own; then all of it is merged with the present base into
//! a new one in one go, and removed once that is on disk and has been read back. Only records that the synced index has already are taken, so that a start after a crash
//! finds an index that is not behind the base.
//!
//! There is one base, not two: a second would keep what was erased. Damage is what backups are for.
//!
//! A crash at any point leaves the old files, or the new base with old files that the next start removes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::base::{self, Base, DELETED, Reading, Writing};
use super::committer::Request;
use super::error::{CompactError, OpenError, StoreError};
use super::journal::{self, End, Segment, Trail};
use super::mark::Mark;
use super::opening::RENEW_INDEX;
use super::space::{RESERVE_BYTES, free_bytes};
use super::{Settings, Store, erasure, files};
use crate::clock::Timestamp;

/// About what a key costs in memory beside itself and its value.
const KEY_BYTES: usize = 96;

/// So much in closed segments is worth a new base, or half as much as there is in the base.
const BACKLOG_BYTES: u64 = 256 << 20;
/// What was erased may be found in the files for so long.
const ERASED_WITHIN: Duration = Duration::from_secs(86_400);
/// How long the index may take to be synced.
const SYNC_WITHIN: Duration = Duration::from_secs(60);
/// How often it is looked whether it is.
const SYNC_LOOK: Duration = Duration::from_millis(20);

/// The last value of each changed key; none: it was deleted.
type Changes = BTreeMap<String, Option<String>>;

/// What a compaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Compacted {
    /// The last record that is in the base now; zero while there is none.
    pub seq: u64,
    /// How many keys the base has.
    pub keys: u64,
    /// The size of the base, in bytes.
    pub bytes: u64,
    /// The size of the files that were removed, in bytes.
    pub removed_bytes: u64,
    /// How many values were sealed with another key than before, or for the first time.
    pub resealed: u64,
}

/// How much of the journal could be compacted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Backlog {
    /// Bytes in segments that are not written to any more.
    pub(super) sealed_bytes: u64,
    /// Bytes of the base.
    pub(super) base_bytes: u64,
    /// When the base was made; none: there is none.
    pub(super) made: Option<Timestamp>,
}

impl Backlog {
    /// Claims that so much has gathered that reading and writing all of it again pays.
    fn is_large(&self) -> bool {
        self.sealed_bytes >= BACKLOG_BYTES.max(self.base_bytes / 2)
    }

    /// Claims that what was erased `last` has been in the files for long enough.
    fn is_stale(&self, last: Option<Timestamp>, now: Timestamp) -> bool {
        let Some(last) = last else { return false };
        self.made.is_none_or(|made| last > made && now.since(made) >= ERASED_WITHIN)
    }
}

/// Where the journal of this data directory is.
fn journal_of(data: &Path) -> PathBuf {
    data.join("journal")
}

/// How much there is to compact.
pub(super) fn backlog(data: &Path) -> Result<Backlog, OpenError> {
    let trail = Trail::find(&journal_of(data))?;
    let sealed = trail.segments.split_last().map_or(&[][..], |(_, sealed)| sealed);
    let size = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
    let made = trail.base.as_ref().map(|base| base.read().map(|reading| reading.head.made())).transpose()?;
    Ok(Backlog {
        sealed_bytes: sealed.iter().map(|segment| size(&segment.path)).sum(),
        base_bytes: trail.base.as_ref().map_or(0, |base| size(&base.path)),
        made,
    })
}

/// Makes a base of all segments that end at record `until` or before it.
///
/// Blocks, for as long as it takes to read and write all that is kept, or until it is told to `stop`.
pub(super) fn compact(
    settings: &Settings,
    until: u64,
    now: Timestamp,
    stop: &AtomicBool,
) -> Result<Compacted, CompactError> {
    let dir = journal_of(&settings.path);
    let mut trail = Trail::find(&dir)?;
    base::remove_parts(&dir).map_err(|error| OpenError::io("remove what is left in", &dir, error))?;
    let mut done = Compacted { removed_bytes: trail.remove_outdated(&dir)?, ..Compacted::default() };
    let mut keys = None;
    while let Some(merged) = merge(&trail, until, settings, now, stop)? {
        keys = Some(merged.keys);
        done.resealed += merged.renewed;
        let covered = trail.segments.drain(..merged.segments).map(|segment| segment.path);
        let mut outdated: Vec<PathBuf> = covered.collect();
        outdated.extend(trail.base.replace(merged.base).map(|old| old.path));
        trail.outdated = outdated;
        done.removed_bytes += trail.remove_outdated(&dir)?;
    }
    if let Some(base) = &trail.base {
        done.seq = base.seq;
        // A new one was read back already.
        done.keys = match keys {
            Some(keys) => keys,
            None => base.verify(stop)?.ok_or(CompactError::Stopped)?,
        };
        done.bytes = fs::metadata(&base.path).map_or(0, |found| found.len());
    }
    Ok(done)
}

/// A new base.
struct Merged {
    base: Base,
    keys: u64,
    /// How many values were sealed for it, with another key or for the first time.
    renewed: u64,
    /// How many segments are in it.
    segments: usize,
}

/// Merges the sealed segments that end at record `until` or before it into a new base. None: there are none.
fn merge(
    trail: &Trail,
    until: u64,
    settings: &Settings,
    now: Timestamp,
    stop: &AtomicBool,
) -> Result<Option<Merged>, CompactError> {
    let dir = &journal_of(&settings.path);
    let segments = trail.segments.windows(2).take_while(|pair| pair[1].first_seq <= until + 1).count();
    if segments == 0 {
        return Ok(None);
    }
    let segments = that_fit(trail, segments, settings)?;
    let failed = |error| OpenError::io("write a base in", dir, error);
    let (mut sources, end) = sort(&trail.segments[..=segments], trail.base.as_ref(), settings, now, stop)?;
    let mut writing = Writing::begin(dir, end.seq, end.crc, now).map_err(failed)?;
    let mut renewed = 0;
    while let Some((key, value)) = next(&mut sources)? {
        if stop.load(Ordering::Relaxed) {
            return Err(CompactError::Stopped);
        }
        if value != DELETED {
            let (value, is_another) = settings.vault.renew_value(&key, &value)?;
            renewed += u64::from(is_another);
            writing.entry(&key, &value).map_err(failed)?;
        }
    }
    drop(sources);
    let finished = writing.finish(dir, stop)?;
    base::remove_parts(dir).map_err(|error| OpenError::io("remove what is left in", dir, error))?;
    let (base, keys) = finished.ok_or(CompactError::Stopped)?;
    Ok(Some(Merged { base, keys, renewed, segments }))
}

/// How many of the first segments can be merged at once, as far as there is room on the disk: all of them, where there is.
/// Until it is done everything is there twice, and what is sorted by way of files three times.
fn that_fit(trail: &Trail, segments: usize, settings: &Settings) -> Result<usize, CompactError> {
    let size = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
    let base_bytes = trail.base.as_ref().map_or(0, |base| size(&base.path));
    let needed_bytes = |segments: usize| {
        let sealed: u64 = trail.segments[..segments].iter().map(|segment| size(&segment.path)).sum();
        let runs = if sealed > settings.merge_bytes as u64 { sealed } else { 0 };
        RESERVE_BYTES + base_bytes + sealed + runs
    };
    let refused = |error| OpenError::io("read the free space of", &settings.path, error);
    let free_bytes = free_bytes(&settings.path).map_err(refused)?;
    let fits = (1..=segments).rev().find(|segments| needed_bytes(*segments) <= free_bytes);
    fits.ok_or_else(|| CompactError::Full { free_bytes, needed_bytes: needed_bytes(1) })
}

/// Keys in order with their values, or [`DELETED`].
enum Source {
    File(Reading),
    Memory(std::collections::btree_map::IntoIter<String, Option<String>>),
}

impl Source {
    fn next(&mut self) -> Result<Option<(String, String)>, OpenError> {
        match self {
            Source::File(reading) => reading.next(),
            Source::Memory(changes) => {
                let value = |value: Option<String>| value.unwrap_or_else(|| DELETED.to_owned());
                Ok(changes.next().map(|(key, changed)| (key, value(changed))))
            }
        }
    }
}

/// A source and the entry that it has next, older sources first.
type Sources = Vec<(Source, Option<(String, String)>)>;

/// The base and what the segments change, sorted: the last part in memory, those before it in files of their own, so that
/// what is merged is read once whatever there is of it.
///
/// The last of the segments only says where the one before it ends.
fn sort(
    segments: &[Segment],
    base: Option<&Base>,
    settings: &Settings,
    now: Timestamp,
    stop: &AtomicBool,
) -> Result<(Sources, End), CompactError> {
    let dir = journal_of(&settings.path);
    let mut sources = Vec::new();
    let mut end = End::default();
    if let Some(base) = base {
        let reading = base.read()?;
        end = End { seq: base.seq, crc: reading.head.crc, torn: None };
        sources.push(Source::File(reading));
    }
    let (mut changes, mut bytes) = (Changes::new(), 0);
    for (nth, pair) in segments.windows(2).enumerate() {
        if stop.load(Ordering::Relaxed) {
            return Err(CompactError::Stopped);
        }
        if bytes > settings.merge_bytes {
            sources.push(Source::File(run(std::mem::take(&mut changes), nth, end.seq, &dir, now)?));
        }
        read(&pair[0], &mut end, &mut changes)?;
        if pair[1].first_seq != end.seq + 1 {
            let problem = format!("records from {} on are missing before it", end.seq + 1);
            return Err(damaged(&pair[1].path, problem).into());
        }
        bytes = bytes_of(&changes);
    }
    sources.push(Source::Memory(changes.into_iter()));
    let mut begun = Vec::new();
    for mut source in sources {
        let first = source.next()?;
        begun.push((source, first));
    }
    Ok((begun, end))
}

/// Writes changes to a file, and begins to read it.
fn run(changes: Changes, nth: usize, seq: u64, dir: &Path, now: Timestamp) -> Result<Reading, OpenError> {
    let failed = |error| OpenError::io("write changes in", dir, error);
    let mut writing = Writing::begin_run(dir, nth, seq, now).map_err(failed)?;
    for (key, value) in changes {
        writing.entry(&key, value.as_deref().unwrap_or(DELETED)).map_err(failed)?;
    }
    writing.finish_run()?.read()
}

/// The first key of all sources, with what the newest says of it.
fn next(sources: &mut Sources) -> Result<Option<(String, String)>, OpenError> {
    let first = sources.iter().filter_map(|(_, next)| Some(&next.as_ref()?.0)).min().cloned();
    let Some(key) = first else { return Ok(None) };
    let mut newest = None;
    for (source, next) in sources.iter_mut() {
        if next.as_ref().is_some_and(|(of, _)| *of == key) {
            newest = std::mem::replace(next, source.next()?);
        }
    }
    Ok(newest)
}

fn read(segment: &Segment, end: &mut End, changes: &mut Changes) -> Result<(), OpenError> {
    if segment.first_seq != end.seq + 1 {
        return Err(damaged(&segment.path, format!("records from {} on are missing before it", end.seq + 1)));
    }
    journal::read_sealed(segment, end, &mut |entry| {
        let ops = entry.ops().map_err(|error| {
            let problem = format!("record {} is whole, but cannot be understood ({error})", entry.seq);
            damaged(&segment.path, problem)
        })?;
        changes.extend(ops.into_iter().map(|op| (op.key, op.value)));
        Ok(())
    })
}

fn bytes_of(changes: &Changes) -> usize {
    changes.iter().map(|(key, value)| KEY_BYTES + key.len() + value.as_ref().map_or(0, String::len)).sum()
}

fn damaged(path: &Path, problem: String) -> OpenError {
    OpenError::Damaged { path: path.to_owned(), problem, fix: journal::RESTORE }
}

impl Store {
    /// Makes one base of everything that is committed by now, and removes what it stands for: the journal is then as
    /// short as it can be, and what was erased is gone from its files.
    ///
    /// Reads and writes all that is kept, on a thread of its own; commits go on meanwhile.
    ///
    /// # Errors
    ///
    /// [`CompactError`]; nothing is lost.
    pub async fn compact(&self) -> Result<Compacted, CompactError> {
        let _turn = self.0.shared.compacting.lock().await;
        let until = self.seal().await?;
        let done = self.compact_until(until).await?;
        self.vault().settle(self.path())?;
        Ok(done)
    }

    /// The same where enough has gathered, or where something was erased a day ago; none: it is not worth it yet.
    ///
    /// # Errors
    ///
    /// [`CompactError`]; nothing is lost.
    pub async fn compact_if_due(&self) -> Result<Option<Compacted>, CompactError> {
        let shared = &self.0.shared;
        let _turn = shared.compacting.lock().await;
        let path = shared.settings.path.clone();
        let backlog = blocking(move || backlog(&path)).await??;
        let last_erased = erasure::last_erased(&shared.index)?;
        let until = if backlog.is_stale(last_erased, shared.clock.now()) {
            self.seal().await?
        } else if backlog.is_large() {
            Mark::Checkpoint.read(&shared.settings.path)?.unwrap_or(0)
        } else {
            return Ok(None);
        };
        self.compact_until(until).await.map(Some)
    }

    /// Has the next start make the index anew and remove the old one, whose free space may hold what was erased.
    ///
    /// # Errors
    ///
    /// [`CompactError::Files`].
    pub fn renew_index_at_next_start(&self) -> Result<(), CompactError> {
        let path = &self.0.shared.settings.path;
        let written = files::replace(path, RENEW_INDEX, "");
        Ok(written.map_err(|error| OpenError::io("write", &path.join(RENEW_INDEX), error))?)
    }

    /// Begins a new segment of the journal; gives the last record before it.
    async fn seal(&self) -> Result<u64, StoreError> {
        let (answer, sealed) = oneshot::channel();
        let shared = &self.0.shared;
        self.0.queue.send(Request::Seal(answer)).await.map_err(|_| shared.gone())?;
        sealed.await.unwrap_or_else(|_| Err(shared.gone()))
    }

    async fn compact_until(&self, until: u64) -> Result<Compacted, CompactError> {
        let shared = Arc::clone(&self.0.shared);
        let began = tokio::time::Instant::now();
        shared.sync_wanted.fetch_max(until, Ordering::Relaxed);
        while Mark::Checkpoint.read(&shared.settings.path)?.unwrap_or(0) < until {
            if let Some(poisoned) = shared.poisoned() {
                return Err(poisoned.into());
            }
            if began.elapsed() > SYNC_WITHIN {
                return Err(CompactError::Slow { within: SYNC_WITHIN });
            }
            tokio::time::sleep(SYNC_LOOK).await;
        }
        let now = shared.clock.now();
        let done = blocking(move || compact(&shared.settings, until, now, &shared.closing)).await??;
        if done.resealed > 0 {
            // The index has them as they were.
            self.renew_index_at_next_start()?;
        }
        Ok(done)
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Closed)
}
