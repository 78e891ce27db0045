//! Opening a data directory: lock it, judge the index, replay the journal, say what was done.
//!
//! 1. Lock. A busy lock is never taken for damage.
//! 2. Refuse when there is no room, or when a later version wrote the directory.
//! 3. Accept the index if its head belongs to this journal, if it is not behind the checkpoint and - unless
//!    the last run closed in order - if a full scan gives its digest. Else move it to `quarantine/` and begin
//!    an empty one.
//! 4. Replay what the journal has beyond the index; cut off a torn tail (kept in `quarantine/`).
//! 5. Refuse if the journal ends before what the index, the checkpoint or the `clean` mark know of.
//!
//! A base stands for the records up to it: an index that is behind it is made anew, from the base and what follows it.
//! Files that a base stands for, and an index that `renew-index` says is to go, are removed.
//!
//! Each step can be killed and done again.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::Settings;
use super::disk::{Head, Unusable, Writer};
use super::error::OpenError;
use super::files;
use super::journal::{self, End, Journal, Trail};
use super::mark::Mark;
use super::recent::Layer;
use super::space::{RESERVE_BYTES, free_bytes};
use crate::clock::Clock;

const FORMAT: u32 = 1;
const LOCK_RETRY: Duration = Duration::from_millis(50);
/// sled's threads let go of an index late.
const INDEX_LOCK_WAIT: Duration = Duration::from_secs(2);
/// Replayed changes are applied in layers of about this size.
const REPLAY_LAYER_BYTES: usize = 4 << 20;
/// A file of this name has the next start make the index anew and remove the old one.
pub(super) const RENEW_INDEX: &str = "renew-index";
const ACCEPT_LOSS: &str = "restore the journal from a backup, or move `index`, `checkpoint` and `clean` out of the \
                           data directory to go on with what the journal has";

/// What opening the store found and did; for one event in the log.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Opened {
    /// The directory was new.
    pub created: bool,
    /// The last run closed in order.
    pub was_clean: bool,
    /// Why the index was made anew from the journal; none when it was accepted.
    pub index_rebuilt: Option<String>,
    /// The last record of the base that was read into the index; none when none was.
    pub base_seq: Option<u64>,
    /// How many journal records were replayed into the index.
    pub replayed: u64,
    /// How many bytes of a never-acknowledged group were cut off the journal.
    pub torn_bytes: u64,
    /// Where damaged files and torn bytes were moved.
    pub quarantined: Vec<PathBuf>,
    /// The last record of the journal.
    pub last_seq: u64,
}

/// What the committer works with.
pub(super) struct Parts {
    pub(super) lock: File,
    pub(super) journal: Journal,
    pub(super) writer: Writer,
}

#[derive(Serialize, Deserialize)]
struct Format {
    format: u32,
}

/// Opens the data directory of `settings`.
pub(super) fn open(settings: &Settings, clock: &dyn Clock) -> Result<(Parts, Opened), OpenError> {
    let dir = settings.path.as_path();
    files::create_dir(dir).map_err(|error| OpenError::io("create", dir, error))?;
    let lock = lock(dir, settings.lock_wait)?;
    check_space(dir)?;
    let journal_dir = dir.join("journal");
    let created = check_format(dir)?;
    settings.vault.prepare(dir)?;
    let made = files::create_dir(&journal_dir).and_then(|()| files::sync_dir(dir));
    made.map_err(|error| OpenError::io("create", &journal_dir, error))?;
    let mut trail = Trail::find(&journal_dir)?;
    trail.remove_outdated(&journal_dir)?;
    let clean = Mark::Clean.read(dir)?;
    let checkpoint = Mark::Checkpoint.read(dir)?.unwrap_or(0);
    Mark::Clean.remove(dir)?;

    let opened = Opened { created, was_clean: clean.is_some(), ..Opened::default() };
    let mut opening = Opening { settings, clock, trail, opened };
    let mut writer = opening.accept_index(clean.is_some(), checkpoint)?;
    let end = opening.replay(&mut writer)?;
    let known = checkpoint.max(clean.unwrap_or(0)).max(writer.head().applied);
    if end.seq < known {
        return Err(lost(journal_dir, end.seq, known));
    }
    files::remove(dir, RENEW_INDEX)
        .map_err(|error| OpenError::io("remove", &dir.join(RENEW_INDEX), error))?;
    opening.cut_off_torn_tail(&end)?;
    opening.opened.last_seq = end.seq;
    let journal = Journal::begin(&journal_dir, &end)
        .map_err(|error| OpenError::io("begin a segment in", &journal_dir, error))?;
    Ok((Parts { lock, journal, writer }, opening.opened))
}

/// The journal ends before what was known to be in it.
pub(super) fn lost(journal: PathBuf, end: u64, known: u64) -> OpenError {
    let problem = format!("it ends with record {end}, but record {known} was acknowledged");
    OpenError::Damaged { path: journal, problem, fix: ACCEPT_LOSS }
}

struct Opening<'a> {
    settings: &'a Settings,
    clock: &'a dyn Clock,
    trail: Trail,
    opened: Opened,
}

impl Opening<'_> {
    /// The index as it is if it can be trusted, else an empty one.
    fn accept_index(&mut self, was_clean: bool, checkpoint: u64) -> Result<Writer, OpenError> {
        let path = self.settings.path.join("index");
        let is_unwanted = self.settings.path.join(RENEW_INDEX).exists();
        if is_unwanted && path.exists() {
            // It may hold what was erased, in space that sled has not used again.
            fs::remove_dir_all(&path).map_err(|error| OpenError::io("remove", &path, error))?;
        }
        let is_new = self.trail.segments.is_empty() && self.trail.base.is_none();
        if !path.exists() && !is_new {
            let reason = if is_unwanted { "something was erased" } else { "it is missing" };
            return self.renew_index(&path, reason.to_owned());
        }
        let reason = match self.open_index(&path)? {
            Ok(writer) => match self.distrust(&writer, was_clean, checkpoint)? {
                None => return Ok(writer),
                Some(reason) => reason,
            },
            Err(reason) => reason,
        };
        self.renew_index(&path, reason)
    }

    /// Opens sled; the inner error tells of damage.
    fn open_index(&self, path: &Path) -> Result<Result<Writer, String>, OpenError> {
        for _ in 0..attempts(INDEX_LOCK_WAIT) {
            match Writer::open(path, self.settings.cache_bytes) {
                Ok(writer) => return Ok(Ok(writer)),
                Err(Unusable::Damaged(reason)) => return Ok(Err(reason)),
                Err(Unusable::System(error)) => return Err(OpenError::io("open", path, error)),
                Err(Unusable::Busy) => std::thread::sleep(LOCK_RETRY),
            }
        }
        Err(OpenError::InUse { path: self.settings.path.clone() })
    }

    /// Why the index cannot be trusted, if it cannot.
    fn distrust(
        &self,
        writer: &Writer,
        was_clean: bool,
        checkpoint: u64,
    ) -> Result<Option<String>, OpenError> {
        let Head { applied, crc, .. } = writer.head();
        if applied < checkpoint {
            return Ok(Some(format!("it ends at record {applied}, before the checkpoint {checkpoint}")));
        }
        let mut journal_crc = None;
        if let Some(base) = &self.trail.base {
            if applied > 0 && applied < base.seq {
                return Ok(Some(format!(
                    "it ends at record {applied}, and the journal begins after {}",
                    base.seq
                )));
            }
            if applied == base.seq {
                journal_crc = Some(base.read()?.head.crc);
            }
        }
        let end = journal::read(&self.trail, applied, |entry| {
            if entry.seq == applied {
                journal_crc = Some(entry.crc);
            }
            Ok(())
        })?;
        if journal_crc.is_some_and(|journal_crc| journal_crc != crc) {
            return Ok(Some(format!("its record {applied} is not the journal's")));
        }
        // An orderly close leaves nothing to replay.
        if was_clean && end.seq == applied {
            return Ok(None);
        }
        Ok(writer.verify().err())
    }

    fn renew_index(&mut self, path: &Path, reason: String) -> Result<Writer, OpenError> {
        if path.exists() {
            let refused = |error| OpenError::io("move away", path, error);
            let dir = &self.settings.path;
            let place = files::quarantine_place(dir, self.clock.now(), "index").map_err(refused)?;
            fs::rename(path, &place).map_err(refused)?;
            files::sync_dir(dir).map_err(refused)?;
            self.opened.quarantined.push(place);
        }
        self.opened.index_rebuilt = Some(reason);
        self.open_index(path)?.map_err(|problem| OpenError::Index { path: path.to_owned(), problem })
    }

    /// Brings the index up to the end of the journal.
    fn replay(&mut self, writer: &mut Writer) -> Result<End, OpenError> {
        let index_dir = self.settings.path.join("index");
        let unwritable = |error| match error {
            sled::Error::Io(source) => OpenError::io("write", &index_dir, source),
            other => OpenError::Index { path: index_dir.clone(), problem: other.to_string() },
        };
        let journal_dir = self.settings.path.join("journal");
        let unreadable = |seq, error| OpenError::Damaged {
            path: journal_dir.clone(),
            problem: format!("record {seq} is whole, but cannot be understood ({error})"),
            fix: "run the version that wrote it",
        };
        let applied = writer.head().applied;
        let mut layer = Layer::default();
        if let Some(base) = self.trail.base.as_ref().filter(|base| applied < base.seq) {
            let mut reading = base.read()?;
            while let Some((key, value)) = reading.next()? {
                // The head moves only with the last of it.
                layer.add([(key, Some(value))], (0, 0));
                if layer.bytes() >= REPLAY_LAYER_BYTES {
                    writer.apply(&std::mem::take(&mut layer)).map_err(unwritable)?;
                }
            }
            layer.add([], (base.seq, reading.head.crc));
            writer.apply(&std::mem::take(&mut layer)).map_err(unwritable)?;
            self.opened.base_seq = Some(base.seq);
        }
        let end = journal::read(&self.trail, applied, |entry| {
            if entry.seq == applied {
                return Ok(());
            }
            self.opened.replayed += 1;
            let ops = entry.ops().map_err(|error| unreadable(entry.seq, error))?;
            layer.add(ops.into_iter().map(|op| (op.key, op.value)), (entry.seq, entry.crc));
            if layer.bytes() < REPLAY_LAYER_BYTES {
                return Ok(());
            }
            writer.apply(&std::mem::take(&mut layer)).map_err(unwritable)
        })?;
        if !layer.is_empty() {
            writer.apply(&layer).and_then(|()| writer.disk().flush()).map_err(unwritable)?;
        }
        Ok(end)
    }

    fn cut_off_torn_tail(&mut self, end: &End) -> Result<(), OpenError> {
        let Some(torn) = &end.torn else { return Ok(()) };
        let refused = |error| OpenError::io("cut the torn tail off", &torn.path, error);
        let place = files::quarantine_place(&self.settings.path, self.clock.now(), "journal-tail");
        let place = place.map_err(refused)?;
        self.opened.torn_bytes = torn.cut_off(&place).map_err(refused)?;
        self.opened.quarantined.push(place);
        Ok(())
    }
}

fn attempts(wait: Duration) -> u128 {
    1 + wait.as_millis() / LOCK_RETRY.as_millis()
}

fn lock(dir: &Path, wait: Duration) -> Result<File, OpenError> {
    let path = dir.join("lock");
    let refused = |error| OpenError::io("open", &path, error);
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(refused)?;
    for attempt in 1..=attempts(wait) {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if attempt < attempts(wait) => std::thread::sleep(LOCK_RETRY),
            Err(rustix::io::Errno::WOULDBLOCK) => break,
            Err(error) => return Err(OpenError::io("lock", &path, error.into())),
        }
    }
    Err(OpenError::InUse { path: dir.to_owned() })
}

fn check_space(dir: &Path) -> Result<(), OpenError> {
    let free_bytes = free_bytes(dir).map_err(|error| OpenError::io("read the free space of", dir, error))?;
    if free_bytes < RESERVE_BYTES {
        return Err(OpenError::Full { path: dir.to_owned(), free_bytes, needed_bytes: RESERVE_BYTES });
    }
    Ok(())
}

/// Reads the directory's format, or writes it into a new directory; says whether it was new.
fn check_format(dir: &Path) -> Result<bool, OpenError> {
    if read_format(dir)?.is_some() {
        return Ok(false);
    }
    let text = super::tx::json(&Format { format: FORMAT });
    files::replace(dir, "format", &text)
        .map_err(|error| OpenError::io("write", &dir.join("format"), error))?;
    Ok(true)
}

/// The directory's format; none where there is neither a format nor a journal.
pub(super) fn read_format(dir: &Path) -> Result<Option<u32>, OpenError> {
    let path = dir.join("format");
    let damaged = |problem: String| OpenError::Damaged {
        path: path.clone(),
        problem,
        fix: "write {\"format\":1} into it, if this is a data directory of this version",
    };
    match fs::read_to_string(&path) {
        Ok(text) => {
            let found: Format = serde_json::from_str(&text)
                .map_err(|error| damaged(format!("it cannot be read ({error})")))?;
            if found.format > FORMAT {
                return Err(OpenError::NewerFormat { path, found: found.format, supported: FORMAT });
            }
            Ok(Some(found.format))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && dir.join("journal").exists() => {
            Err(damaged("it is missing, but there is a journal".to_owned()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(damaged("it is not text".to_owned())),
        Err(error) => Err(OpenError::io("read", &path, error)),
    }
}
