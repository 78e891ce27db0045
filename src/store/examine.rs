//! Looking at a data directory without changing anything in it, also while a gateway runs with it.
//!
//! The journal is judged by the code that opens it. The index, which is made anew whenever it is in doubt, is judged in a
//! copy, and only where nobody writes to it meanwhile. Recordings are held against their records in the journal.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use serde::Serialize;

use super::base::Base;
use super::disk::{Unusable, Writer};
use super::error::OpenError;
use super::journal::{self, End, Trail};
use super::key;
use super::mark::Mark;
use super::opening::read_format;
use super::recordings::{Recordings, bytes_in};
use super::vault::Vault;
use crate::call::recording::{RecordingRecord, RecordingState};
use crate::text::chain;

/// Enough to read an index once.
const CACHE_BYTES: u64 = 16 << 20;

/// What is to be looked at besides.
#[derive(Clone, Debug, Default)]
pub struct Thoroughness {
    /// Opens what is sealed.
    pub vault: Vault,
    /// Read every recording whole, and compare its digest.
    pub digests: bool,
}

/// What was found in one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at: `format`, `journal`, `marks`, `index`, `recordings`.
    pub what: &'static str,
    /// Whether all is well there.
    pub is_well: bool,
    /// What was seen, or what is wrong and what can be done.
    pub words: String,
}

/// Looks at the data directory `dir`; `scratch` is an empty directory that the index is copied into.
///
/// Blocks: it reads the whole journal.
pub fn examine(dir: &Path, scratch: &Path, how: Thoroughness) -> Vec<Finding> {
    let is_running = is_in_use(dir);
    let mut findings = vec![finding("format", format(dir))];
    let mut seen = Seen::default();
    let read = seen.read(dir);
    findings.push(finding("journal", read.as_ref().map(|end| seen.words(end, is_running)).map_err(chain_of)));
    let Ok(end) = read else { return findings };
    findings.push(finding("marks", marks(dir, &end, is_running).map_err(|error| chain_of(&error))));
    findings.push(match is_running {
        true => finding("index", Ok("not looked at: a gateway is running with it".to_owned())),
        false => finding("index", index(dir, scratch, &seen)),
    });
    findings.push(finding("recordings", recordings(dir, &seen, &how)));
    findings
}

fn finding(what: &'static str, found: Result<String, String>) -> Finding {
    let is_well = found.is_ok();
    Finding { what, is_well, words: found.unwrap_or_else(|problem| problem) }
}

fn chain_of(error: &OpenError) -> String {
    chain(error)
}

/// Claims that somebody has the directory open.
fn is_in_use(dir: &Path) -> bool {
    let Ok(lock) = File::open(dir.join("lock")) else { return false };
    flock(&lock, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK)
}

fn format(dir: &Path) -> Result<String, String> {
    match read_format(dir) {
        Ok(Some(format)) => Ok(format!("format {format}")),
        Ok(None) => Err(format!("{} has no `format`: it is no data directory", dir.display())),
        Err(error) => Err(chain(&error)),
    }
}

/// What the journal says.
#[derive(Default)]
struct Seen {
    /// The last record of the base, and how many keys it has.
    base: Option<(u64, u64)>,
    segments: usize,
    records: u64,
    bytes: u64,
    /// By journal record, the CRC; the newest only, for the index to be held against.
    crcs: BTreeMap<u64, u32>,
    recordings: BTreeMap<String, RecordingRecord>,
    unreadable: Option<String>,
}

/// An index that is behind by more is made anew from the journal faster than it is argued about.
const CRCS_MAX: usize = 100_000;

impl Seen {
    fn read(&mut self, dir: &Path) -> Result<End, OpenError> {
        let trail = Trail::find(&dir.join("journal"))?;
        self.segments = trail.segments.len();
        let bases = trail.base.iter().map(|base| &base.path);
        let paths = bases.chain(trail.segments.iter().map(|segment| &segment.path));
        self.bytes = paths.filter_map(|path| fs::metadata(path).ok()).map(|found| found.len()).sum();
        if let Some(base) = &trail.base {
            self.base(base)?;
        }
        journal::read(&trail, 0, |entry| {
            self.records += 1;
            self.crcs.insert(entry.seq, entry.crc);
            if self.crcs.len() > CRCS_MAX {
                self.crcs.pop_first();
            }
            match entry.ops() {
                Ok(ops) => {
                    for op in ops.into_iter().filter(|op| op.key.starts_with(key::RECORDINGS)) {
                        self.recording(op.key, op.value);
                    }
                }
                Err(error) => {
                    self.unreadable.get_or_insert(format!(
                        "record {} is whole, but cannot be understood ({error})",
                        entry.seq
                    ));
                }
            }
            Ok(())
        })
    }

    fn base(&mut self, base: &Base) -> Result<(), OpenError> {
        let mut reading = base.read()?;
        self.crcs.insert(base.seq, reading.head.crc);
        let mut keys = 0;
        while let Some((key, value)) = reading.next()? {
            keys += 1;
            if key.starts_with(key::RECORDINGS) {
                self.recording(key, Some(value));
            }
        }
        self.base = Some((base.seq, keys));
        Ok(())
    }

    fn recording(&mut self, key: String, value: Option<String>) {
        match value.map(|text| serde_json::from_str(&text)) {
            Some(Ok(record)) => {
                self.recordings.insert(key, record);
            }
            Some(Err(error)) => {
                self.unreadable.get_or_insert(format!("the recording `{key}` cannot be read ({error})"));
            }
            None => {
                self.recordings.remove(&key);
            }
        }
    }

    fn words(&self, end: &End, is_running: bool) -> String {
        let files = self.segments + usize::from(self.base.is_some());
        let mut words = format!(
            "{} records up to number {}, {} bytes in {files} files, every checksum right",
            self.records, end.seq, self.bytes
        );
        if let Some((seq, keys)) = self.base {
            words.push_str(&format!("; a base of {keys} keys stands for the records up to number {seq}"));
        }
        if end.torn.is_some() {
            words.push_str(match is_running {
                true => "; the last ones are being written",
                false => "; a torn write at its end, which nobody was told of, is cut off at the next start",
            });
        }
        words
    }
}

/// The journal must not end before what was known to be in it.
fn marks(dir: &Path, end: &End, is_running: bool) -> Result<String, OpenError> {
    let clean = Mark::Clean.read(dir)?;
    let checkpoint = Mark::Checkpoint.read(dir)?;
    let known = clean.max(checkpoint).unwrap_or(0);
    // While a gateway runs, records may have come after the journal was read.
    if end.seq < known && !is_running {
        return Err(super::opening::lost(dir.join("journal"), end.seq, known));
    }
    Ok(match (clean, is_running) {
        (_, true) => "a gateway is running".to_owned(),
        (Some(seq), false) => format!("closed in order after record {seq}"),
        (None, false) => {
            format!("not closed in order; the index was on disk up to record {}", checkpoint.unwrap_or(0))
        }
    })
}

/// Opens a copy: opening changes files.
fn index(dir: &Path, scratch: &Path, seen: &Seen) -> Result<String, String> {
    const ANEW: &str = "it is made anew from the journal at the next start";
    let (from, copy) = (dir.join("index"), scratch.join("index"));
    if !from.exists() {
        return Ok(format!("missing: {ANEW}"));
    }
    copy_all(&from, &copy).map_err(|error| format!("it cannot be copied to be looked at: {error}"))?;
    let writer = match Writer::open(&copy, CACHE_BYTES) {
        Ok(writer) => writer,
        Err(Unusable::Damaged(reason)) => return Err(format!("damaged ({reason}): {ANEW}")),
        Err(Unusable::System(error)) => return Err(format!("it cannot be opened: {error}")),
        Err(Unusable::Busy) => return Err("it cannot be opened: its copy is in use".to_owned()),
    };
    let head = writer.head();
    if seen.crcs.get(&head.applied).is_some_and(|crc| *crc != head.crc) {
        return Err(format!("it belongs to another journal: {ANEW}"));
    }
    writer.verify().map_err(|reason| format!("damaged ({reason}): {ANEW}"))?;
    Ok(format!("whole, up to record {}", head.applied))
}

fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_all(&entry.path(), &place)?,
            false => fs::copy(entry.path(), place).map(drop)?,
        }
    }
    Ok(())
}

fn recordings(dir: &Path, seen: &Seen, how: &Thoroughness) -> Result<String, String> {
    if let Some(problem) = &seen.unreadable {
        return Err(format!("{problem}: run the version that wrote it"));
    }
    let files = Recordings::below(dir, u64::MAX, 0, &how.vault);
    let (mut kept, mut bytes, mut problems) = (0, 0, Vec::new());
    for record in seen.recordings.values().filter(|record| record.state == RecordingState::Kept) {
        kept += 1;
        let Some(name) = &record.file else { continue };
        let path = dir.join("recordings").join(name);
        match look_at(&path, name, record, how.digests.then_some(&files)) {
            Ok(found) => bytes += found,
            Err(problem) => problems.push(format!("{}: {problem}", path.display())),
        }
    }
    let how =
        if how.digests { "every digest right" } else { "every size right (`--digests` reads them too)" };
    match problems.as_slice() {
        [] => Ok(format!("{kept} kept, {bytes} bytes, {how}")),
        [first, ..] => Err(format!(
            "{} of {kept} are not as they were kept: {first}; restore them from a backup, or delete them with `switchboard recordings delete`",
            problems.len()
        )),
    }
}

/// The size of a recording that is as its record says.
fn look_at(
    path: &Path,
    name: &str,
    record: &RecordingRecord,
    digests: Option<&Recordings>,
) -> Result<u64, String> {
    let found = File::open(path).and_then(|file| bytes_in(&file)).map_err(|error| error.to_string())?;
    if record.bytes.is_some_and(|bytes| bytes != found) {
        return Err(format!("it has {found} bytes, and had {}", record.bytes.unwrap_or_default()));
    }
    if let (Some(digest), Some(files)) = (&record.sha256, digests)
        && *digest != files.digest(name).map_err(|error| chain(&error))?.sha256
    {
        return Err("its content has changed".to_owned());
    }
    Ok(found)
}
