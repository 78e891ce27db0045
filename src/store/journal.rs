//! The journal: the truth. One line of text per commit, synced before anybody is told.
//!
//! ```text
//! 1f0a93c2 {"v":1,"seq":7,"d":6,"t":1795000000042,"ops":[["s/live/call_…",1],["s/offered/call_…",null]]}
//! ```
//!
//! First the CRC-32 of the JSON. `seq` counts commits without a gap over all segments. `d` is the highest
//! `seq` known to be on disk when the line was written. `t` is the time in milliseconds. Each of `ops`
//! puts a value under a key, or deletes the key with `null`; they are absolute, so applying a line twice
//! is harmless.
//!
//! A segment is named after its first `seq`. A new one is begun at every start and at 64 MiB; a segment of
//! an earlier run is never appended to.
//!
//! **Holes.** A crash can leave the last group of lines torn, in any order of pages. A line that cannot be
//! read is such a torn tail when nothing after it in its segment, and no other segment, was written by
//! somebody who knew it to be on disk (`d`). Otherwise acknowledged records are damaged, and reading
//! stops with [`OpenError::Damaged`].

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::base::Base;
use super::error::OpenError;
use super::files;
use super::tx::Op;
use crate::clock::Timestamp;

/// The form of lines described above.
pub(super) const FORMAT: u8 = 1;
/// At this size a new segment is begun.
const SEGMENT_BYTES: u64 = 64 << 20;
/// The longest line that is read; a transaction is far smaller.
pub(super) const LINE_BYTES_MAX: u64 = 16 << 20;
/// CRC and space before the JSON.
const PREFIX_BYTES: usize = 9;
pub(super) const RESTORE: &str = "restore the data directory from a backup";

/// Appends to the newest segment.
pub(super) struct Journal {
    dir: PathBuf,
    file: File,
    segment_bytes: u64,
    /// The last record in the buffer, or on disk when the buffer is empty.
    seq: u64,
    crc: u32,
    durable: u64,
    buffer: Vec<u8>,
}

/// One file of the journal.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) first_seq: u64,
    pub(super) path: PathBuf,
}

/// What a journal consists of: a base, perhaps, and the segments after it.
#[derive(Debug, Default)]
pub(super) struct Trail {
    pub(super) base: Option<Base>,
    pub(super) segments: Vec<Segment>,
    /// Files that the base stands for: a crash came before they were removed.
    pub(super) outdated: Vec<PathBuf>,
}

/// One record as read back.
pub(super) struct Entry<'a> {
    pub(super) seq: u64,
    pub(super) crc: u32,
    ops: &'a RawValue,
}

/// Where the journal ends.
#[derive(Debug, Default)]
pub(super) struct End {
    /// The last good record.
    pub(super) seq: u64,
    pub(super) crc: u32,
    /// Bytes after it that were never acknowledged.
    pub(super) torn: Option<Torn>,
}

/// A torn tail: everything of `path` from `offset` on.
#[derive(Debug)]
pub(super) struct Torn {
    pub(super) path: PathBuf,
    pub(super) offset: u64,
}

#[derive(Deserialize)]
struct Line<'a> {
    v: u8,
    seq: u64,
    d: u64,
    #[serde(borrow)]
    ops: &'a RawValue,
}

impl Journal {
    /// Begins a new segment after the record `end`.
    pub(super) fn begin(dir: &Path, end: &End) -> io::Result<Journal> {
        Ok(Journal {
            dir: dir.to_owned(),
            file: create_segment(dir, end.seq + 1)?,
            segment_bytes: 0,
            seq: end.seq,
            crc: end.crc,
            durable: end.seq,
            buffer: Vec::new(),
        })
    }

    /// Adds a record to the buffer; gives its number.
    pub(super) fn append(&mut self, now: Timestamp, ops: &[Op]) -> u64 {
        self.seq += 1;
        let line = begin_line(&mut self.buffer);
        let head = format!(
            r#"{{"v":{FORMAT},"seq":{},"d":{},"t":{},"ops":["#,
            self.seq,
            self.durable,
            now.as_millis()
        );
        self.buffer.extend_from_slice(head.as_bytes());
        for (number, op) in ops.iter().enumerate() {
            self.buffer.extend_from_slice(if number == 0 { b"[\"" } else { b",[\"" });
            self.buffer.extend_from_slice(op.key.as_bytes());
            self.buffer.extend_from_slice(b"\",");
            self.buffer.extend_from_slice(op.value.as_deref().unwrap_or("null").as_bytes());
            self.buffer.push(b']');
        }
        self.buffer.extend_from_slice(b"]}");
        self.crc = end_line(&mut self.buffer, line);
        self.seq
    }

    /// How much waits to be written.
    pub(super) fn buffered_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// The last record's number and CRC.
    pub(super) fn last(&self) -> (u64, u32) {
        (self.seq, self.crc)
    }

    /// Writes the buffer and syncs it. An error is final: what is on disk is then unknown.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.file.write_all(&self.buffer)?;
        self.file.sync_data()?;
        self.segment_bytes += self.buffer.len() as u64;
        self.buffer.clear();
        self.durable = self.seq;
        if self.segment_bytes >= SEGMENT_BYTES {
            self.seal()?;
        }
        Ok(())
    }

    /// Begins a new segment, unless the present one is empty; gives the last record of those before it. Nothing waits to be
    /// written.
    pub(super) fn seal(&mut self) -> io::Result<u64> {
        if self.segment_bytes > 0 {
            self.file = create_segment(&self.dir, self.seq + 1)?;
            self.segment_bytes = 0;
        }
        Ok(self.seq)
    }
}

impl Trail {
    /// What there is in `dir`. Files that the newest base stands for are left out.
    pub(super) fn find(dir: &Path) -> Result<Trail, OpenError> {
        let (base, mut outdated) = Base::find(dir)?;
        let covered = base.as_ref().map_or(0, |base| base.seq);
        let (old, segments) = segments(dir)?.into_iter().partition(|segment| segment.first_seq <= covered);
        let old: Vec<Segment> = old;
        let outdated = outdated.drain(..).map(|base| base.path).chain(old.into_iter().map(|old| old.path));
        Ok(Trail { base, segments, outdated: outdated.collect() })
    }

    /// The first record that is in a segment, if one is.
    fn first(&self) -> u64 {
        self.base.as_ref().map_or(1, |base| base.seq + 1)
    }

    /// Removes the files that the base stands for; gives their size.
    pub(super) fn remove_outdated(&mut self, dir: &Path) -> Result<u64, OpenError> {
        let mut bytes = 0;
        for path in self.outdated.drain(..) {
            let refused = |error| OpenError::io("remove", &path, error);
            bytes += fs::metadata(&path).map_err(refused)?.len();
            fs::remove_file(&path).map_err(refused)?;
        }
        if bytes > 0 {
            files::sync_dir(dir).map_err(|error| OpenError::io("sync", dir, error))?;
        }
        Ok(bytes)
    }
}

impl Entry<'_> {
    /// What the record changes.
    pub(super) fn ops(&self) -> Result<Vec<Op>, serde_json::Error> {
        let ops: Vec<(String, Option<Box<RawValue>>)> = serde_json::from_str(self.ops.get())?;
        Ok(ops
            .into_iter()
            .map(|(key, value)| Op { key, value: value.map(|raw| Box::<str>::from(raw).into_string()) })
            .collect())
    }
}

impl Torn {
    /// Keeps the torn bytes as `place` and cuts them off; gives their number.
    pub(super) fn cut_off(&self, place: &Path) -> io::Result<u64> {
        use std::io::{Seek, SeekFrom};
        let mut segment = fs::OpenOptions::new().read(true).write(true).open(&self.path)?;
        segment.seek(SeekFrom::Start(self.offset))?;
        let mut kept = files::create_file(place)?;
        let bytes = io::copy(&mut segment, &mut kept)?;
        kept.sync_all()?;
        if let Some(dir) = place.parent() {
            files::sync_dir(dir)?;
        }
        segment.set_len(self.offset)?;
        segment.sync_all()?;
        Ok(bytes)
    }
}

/// The journal's segments, in order.
fn segments(dir: &Path) -> Result<Vec<Segment>, OpenError> {
    let refused = |error| OpenError::io("read", dir, error);
    let mut segments = Vec::new();
    for entry in fs::read_dir(dir).map_err(refused)? {
        let path = entry.map_err(refused)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(first_seq) = name.strip_suffix(".jsonl").and_then(|digits| digits.parse().ok()) {
            segments.push(Segment { first_seq, path });
        }
    }
    segments.sort_by_key(|segment: &Segment| segment.first_seq);
    Ok(segments)
}

/// Reads the records after the base: from the segment that holds the record `from` to the end. Shows `visit` every
/// record whose number is `from` or higher.
pub(super) fn read<F>(trail: &Trail, from: u64, mut visit: F) -> Result<End, OpenError>
where
    F: FnMut(&Entry<'_>) -> Result<(), OpenError>,
{
    let from = from.max(trail.first());
    let skipped = trail.segments.iter().rposition(|segment| segment.first_seq <= from).unwrap_or(0);
    let segments = &trail.segments[skipped..];
    let mut end = match &trail.base {
        Some(base) => End { seq: base.seq, crc: base.read()?.head.crc, torn: None },
        None => End::default(),
    };
    let Some(first) = segments.first() else { return Ok(end) };
    if first.first_seq > from {
        let problem = match &trail.base {
            None => format!("the journal begins with record {}, all before is missing", first.first_seq),
            Some(base) => format!("records from {} on are missing before it", base.seq + 1),
        };
        return Err(OpenError::Damaged { path: first.path.clone(), problem, fix: RESTORE });
    }
    if first.first_seq != end.seq + 1 {
        end = End { seq: first.first_seq - 1, ..End::default() };
    }
    for (number, segment) in segments.iter().enumerate() {
        if segment.first_seq != end.seq + 1 || end.torn.is_some() {
            let problem = format!("records from {} on are missing before it", end.seq + 1);
            return Err(OpenError::Damaged { path: segment.path.clone(), problem, fix: RESTORE });
        }
        read_segment(segment, number + 1 == segments.len(), &mut end, &mut |entry| {
            if entry.seq >= from { visit(entry) } else { Ok(()) }
        })?;
    }
    Ok(end)
}

/// Reads a segment that is not written to any more; `end` is the end of the one before it.
pub(super) fn read_sealed(
    segment: &Segment,
    end: &mut End,
    visit: &mut dyn FnMut(&Entry<'_>) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    read_segment(segment, false, end, visit)
}

/// Reads one segment, moving `end` on.
fn read_segment(
    segment: &Segment,
    is_last: bool,
    end: &mut End,
    visit: &mut dyn FnMut(&Entry<'_>) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    let refused = |error| OpenError::io("read", &segment.path, error);
    let damaged = |problem: String| OpenError::Damaged { path: segment.path.clone(), problem, fix: RESTORE };
    let file = File::open(&segment.path).map_err(refused)?;
    // What is appended from here on is not read: half a line, and its other half later, would look like damage.
    let length = file.metadata().map_err(refused)?.len();
    let mut reader = BufReader::with_capacity(1 << 20, file.take(length));
    let mut text = Vec::new();
    let mut offset = 0;
    let mut hole = None;
    loop {
        text.clear();
        let read = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut text).map_err(refused)?;
        if read == 0 {
            break;
        }
        let line = parse(&text);
        match (&line, hole) {
            (Some((_, line)), Some(hole_at)) if line.d > end.seq => {
                let lost = end.seq + 1;
                return Err(damaged(format!(
                    "record {lost} at byte {hole_at} was acknowledged, but cannot be read"
                )));
            }
            (_, Some(_)) => {}
            (None, None) => hole = Some(offset),
            (Some((_, line)), None) if line.v != FORMAT => {
                return Err(damaged(format!("record {} has the unknown format {}", line.seq, line.v)));
            }
            (Some((_, line)), None) if line.seq != end.seq + 1 => {
                let (expected, found) = (end.seq + 1, line.seq);
                return Err(damaged(format!(
                    "record {expected} is missing at byte {offset} (found {found})"
                )));
            }
            (Some((crc, line)), None) => {
                (end.seq, end.crc) = (line.seq, *crc);
                visit(&Entry { seq: line.seq, crc: *crc, ops: line.ops })?;
            }
        }
        offset += read as u64;
    }
    match hole {
        Some(hole_at) if !is_last => {
            Err(damaged(format!("record {} at byte {hole_at} cannot be read", end.seq + 1)))
        }
        Some(offset) => {
            end.torn = Some(Torn { path: segment.path.clone(), offset });
            Ok(())
        }
        None => Ok(()),
    }
}

/// One record's line with its CRC, if it is whole.
fn parse(text: &[u8]) -> Option<(u32, Line<'_>)> {
    let (crc, json) = check_line(text)?;
    Some((crc, serde_json::from_slice(json).ok()?))
}

/// A line's CRC and what follows it, if the line is whole.
pub(super) fn check_line(text: &[u8]) -> Option<(u32, &[u8])> {
    let text = text.strip_suffix(b"\n")?;
    let (crc, json) = (text.get(..PREFIX_BYTES - 1)?, text.get(PREFIX_BYTES..)?);
    let crc = u32::from_str_radix(std::str::from_utf8(crc).ok()?, 16).ok()?;
    (text[PREFIX_BYTES - 1] == b' ' && crc32fast::hash(json) == crc).then_some((crc, json))
}

/// Appends a line with its CRC.
pub(super) fn seal_line(buffer: &mut Vec<u8>, json: &[u8]) {
    let line = begin_line(buffer);
    buffer.extend_from_slice(json);
    end_line(buffer, line);
}

/// Makes place for a CRC; gives where the line begins.
fn begin_line(buffer: &mut Vec<u8>) -> usize {
    let line = buffer.len();
    buffer.extend_from_slice(&[b' '; PREFIX_BYTES]);
    line
}

/// Writes the CRC of the line that begins at `line`.
fn end_line(buffer: &mut Vec<u8>, line: usize) -> u32 {
    let crc = crc32fast::hash(&buffer[line + PREFIX_BYTES..]);
    let text = format!("{crc:08x}");
    buffer[line..line + text.len()].copy_from_slice(text.as_bytes());
    buffer.push(b'\n');
    crc
}

fn create_segment(dir: &Path, first_seq: u64) -> io::Result<File> {
    let path = dir.join(format!("{first_seq:012}.jsonl"));
    // A run that wrote nothing leaves an empty segment of the same name.
    if fs::metadata(&path).is_ok_and(|found| found.len() == 0) {
        fs::remove_file(&path)?;
    }
    let file = files::create_file(&path)?;
    file.sync_all()?;
    files::sync_dir(dir)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes groups of records, each group synced, into one segment; gives its text.
    fn written(dir: &Path, groups: &[usize]) -> Vec<u8> {
        let mut journal = Journal::begin(dir, &End::default()).unwrap();
        for count in groups {
            for _ in 0..*count {
                let op = Op::put("m/a".to_owned(), "\"text\"".to_owned());
                journal.append(Timestamp::from_millis(42), &[op, Op::delete("m/b".to_owned())]);
            }
            journal.sync().unwrap();
        }
        fs::read(dir.join("000000000001.jsonl")).unwrap()
    }

    fn read_back(dir: &Path, from: u64) -> Result<(End, Vec<u64>), String> {
        let mut seen = Vec::new();
        let end = read(&Trail::find(dir).unwrap(), from, |entry| {
            assert_eq!(entry.ops().unwrap().len(), 2);
            seen.push(entry.seq);
            Ok(())
        });
        end.map(|end| (end, seen)).map_err(|error| error.to_string())
    }

    /// The start of the line with this number, from 0.
    fn line_start(text: &[u8], number: usize) -> usize {
        let ends = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
        std::iter::once(0).chain(ends).nth(number).unwrap()
    }

    #[test]
    fn a_line_is_plain_text() {
        let dir = tempfile::tempdir().unwrap();
        let text = String::from_utf8(written(dir.path(), &[1])).unwrap();
        assert_eq!(
            &text[9..],
            "{\"v\":1,\"seq\":1,\"d\":0,\"t\":42,\"ops\":[[\"m/a\",\"text\"],[\"m/b\",null]]}\n"
        );
        assert_eq!(text[..8], format!("{:08x}", crc32fast::hash(text[9..].trim_end().as_bytes())));
    }

    #[test]
    fn a_torn_group_is_dropped_wherever_it_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        let text = written(dir.path(), &[2, 3]);
        let acknowledged = line_start(&text, 2);
        for cut in acknowledged..text.len() {
            fs::write(dir.path().join("000000000001.jsonl"), &text[..cut]).unwrap();
            let (end, seen) = read_back(dir.path(), 0).unwrap();
            assert!(end.seq >= 2 && seen.len() as u64 == end.seq, "cut at {cut}");
        }
    }

    #[test]
    fn good_lines_behind_a_hole_of_the_same_group_are_no_damage() {
        let dir = tempfile::tempdir().unwrap();
        let mut text = written(dir.path(), &[2, 3]);
        let hole = line_start(&text, 3);
        text[hole + 20] ^= 1;
        fs::write(dir.path().join("000000000001.jsonl"), &text).unwrap();
        let (end, seen) = read_back(dir.path(), 0).unwrap();
        assert_eq!(seen, [1, 2, 3]);
        let torn = end.torn.unwrap();
        assert_eq!(torn.offset, hole as u64);
        let kept = dir.path().join("kept");
        assert_eq!(torn.cut_off(&kept).unwrap(), (text.len() - hole) as u64);
        assert_eq!(fs::read(&kept).unwrap(), text[hole..]);
        assert!(read_back(dir.path(), 0).unwrap().0.torn.is_none());
    }

    #[test]
    fn a_flipped_bit_in_an_acknowledged_record_is_damage() {
        let dir = tempfile::tempdir().unwrap();
        let text = written(dir.path(), &[2, 1, 1]);
        // Without its line break the third record would hide the fourth, which knows of it.
        for at in 0..line_start(&text, 3) - 1 {
            let mut flipped = text.clone();
            flipped[at] ^= 4;
            fs::write(dir.path().join("000000000001.jsonl"), &flipped).unwrap();
            let problem = read_back(dir.path(), 0).unwrap_err();
            assert!(problem.contains("000000000001.jsonl is damaged"), "byte {at}: {problem}");
        }
    }

    #[test]
    fn a_missing_or_broken_segment_is_damage() {
        let dir = tempfile::tempdir().unwrap();
        written(dir.path(), &[2]);
        let mut journal = Journal::begin(dir.path(), &End { seq: 2, ..End::default() }).unwrap();
        journal.append(Timestamp::default(), &[Op::delete("a".to_owned()), Op::delete("b".to_owned())]);
        journal.sync().unwrap();
        assert_eq!(read_back(dir.path(), 0).unwrap().1, [1, 2, 3]);
        assert_eq!(read_back(dir.path(), 3).unwrap().1, [3]);

        let first = dir.path().join("000000000001.jsonl");
        let text = fs::read(&first).unwrap();
        fs::write(&first, &text[..text.len() - 1]).unwrap();
        assert!(read_back(dir.path(), 0).unwrap_err().contains("record 2"));
        fs::remove_file(&first).unwrap();
        assert!(read_back(dir.path(), 0).unwrap_err().contains("all before is missing"));
        assert_eq!(read_back(dir.path(), 3).unwrap().1, [3]);
    }
}
