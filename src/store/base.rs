//! A base: what the journal says up to one record, every key once and in order, as text.
//!
//! `journal/<seq, 12 digits>.base` stands for all records up to that one, and the segments before it are gone. Like the
//! journal it is lines `<crc32> <json>`: a head, the entries, and a tail that counts them.
//!
//! ```text
//! 6bd5f8a1 {"v":1,"base":1234,"crc":2712847316,"t":1795000000000}
//! 0c1f77e2 ["c/call_…",{"v":1,…}]
//! 9e01ab5d {"end":1234,"count":1}
//! ```
//!
//! It is written under another name, synced, read back whole, and only then gets its own. A line that is altered
//! shows by its CRC, one that is missing by the count, one in the wrong place by the order of the keys.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::error::OpenError;
use super::files;
use super::journal::{FORMAT, LINE_BYTES_MAX, RESTORE, check_line, seal_line};
use super::tx::json;
use crate::clock::Timestamp;

/// What a base is called that is being written; backups leave a `.part` out.
const UNFINISHED: &str = "base.part";
/// How the files end that nobody needs but who writes them.
const PART: &str = "part";
/// What stands in a run for a key that was deleted; no value is that.
pub(super) const DELETED: &str = "null";
const EXTENSION: &str = "base";
/// Synced so often, so that the journal never waits for a long sync of something else.
const SYNC_BYTES: u64 = 4 << 20;

/// A base on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Base {
    /// The last record that is in it.
    pub(super) seq: u64,
    pub(super) path: PathBuf,
}

/// How a base begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    v: u8,
    /// The last record that is in it.
    #[serde(rename = "base")]
    pub(super) seq: u64,
    /// That record's CRC: it tells this journal from another one.
    pub(super) crc: u32,
    /// When it was made, in milliseconds.
    t: u64,
}

/// How a base ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Tail {
    #[serde(rename = "end")]
    seq: u64,
    count: u64,
}

/// A base that is being written.
pub(super) struct Writing {
    file: BufWriter<File>,
    path: PathBuf,
    head: Head,
    count: u64,
    unsynced: u64,
    line: Vec<u8>,
}

/// A base that is being read, entry by entry.
pub(super) struct Reading {
    pub(super) head: Head,
    path: PathBuf,
    lines: BufReader<File>,
    line: Vec<u8>,
    count: u64,
    last_key: String,
    is_over: bool,
}

impl Base {
    /// The newest base in `dir`, and those that it stands for too.
    pub(super) fn find(dir: &Path) -> Result<(Option<Base>, Vec<Base>), OpenError> {
        let refused = |error| OpenError::io("read", dir, error);
        let mut bases = Vec::new();
        for entry in fs::read_dir(dir).map_err(refused)? {
            let path = entry.map_err(refused)?.path();
            let is_base = path.extension().is_some_and(|extension| extension == EXTENSION);
            let seq = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
            if let Some(seq) = seq.filter(|_| is_base) {
                bases.push(Base { seq, path });
            }
        }
        bases.sort_by_key(|base| base.seq);
        Ok((bases.pop(), bases))
    }

    /// Begins to read it.
    pub(super) fn read(&self) -> Result<Reading, OpenError> {
        let file = File::open(&self.path).map_err(|error| OpenError::io("read", &self.path, error))?;
        let mut reading = Reading {
            head: Head { v: FORMAT, seq: self.seq, crc: 0, t: 0 },
            path: self.path.clone(),
            lines: BufReader::with_capacity(1 << 20, file),
            line: Vec::new(),
            count: 0,
            last_key: String::new(),
            is_over: false,
        };
        let text = reading.next_line()?;
        let head = text.then(|| reading.parse::<Head>()).flatten();
        match head {
            Some(head) if head.v != FORMAT => {
                Err(reading.damaged(format!("it has the unknown format {}", head.v)))
            }
            Some(head) if head.seq == self.seq => Ok(Reading { head, ..reading }),
            _ => Err(reading.damaged("its first line cannot be read".to_owned())),
        }
    }

    /// Reads all of it; gives how many entries there are. None: it was told to stop.
    pub(super) fn verify(&self, stop: &AtomicBool) -> Result<Option<u64>, OpenError> {
        let mut reading = self.read()?;
        while reading.next()?.is_some() {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
        }
        Ok(Some(reading.count))
    }
}

/// Removes what a compaction that did not come to its end was writing.
pub(super) fn remove_parts(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == PART) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

impl Head {
    /// When it was made.
    pub(super) fn made(&self) -> Timestamp {
        Timestamp::from_millis(self.t)
    }
}

impl Reading {
    /// The next entry; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<(String, String)>, OpenError> {
        if self.is_over {
            return Ok(None);
        }
        if !self.next_line()? {
            return Err(self.damaged("its end is missing".to_owned()));
        }
        if let Some((key, value)) = self.parse::<(String, Box<RawValue>)>() {
            if self.count > 0 && key <= self.last_key {
                return Err(self.damaged(format!("`{key}` is in the wrong place")));
            }
            self.count += 1;
            self.last_key.clone_from(&key);
            return Ok(Some((key, Box::<str>::from(value).into_string())));
        }
        let tail = self.parse::<Tail>();
        let is_whole = tail == Some(Tail { seq: self.head.seq, count: self.count });
        if !is_whole || self.next_line()? {
            return Err(self.damaged(format!("what follows entry {} cannot be read", self.count)));
        }
        self.is_over = true;
        Ok(None)
    }

    /// Reads a line; false at the end of the file.
    fn next_line(&mut self) -> Result<bool, OpenError> {
        self.line.clear();
        let line = self.lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut self.line);
        Ok(line.map_err(|error| OpenError::io("read", &self.path, error))? > 0)
    }

    /// The line, if it is whole and has this form.
    fn parse<'a, T: Deserialize<'a>>(&'a self) -> Option<T> {
        serde_json::from_slice(check_line(&self.line)?.1).ok()
    }

    fn damaged(&self, problem: String) -> OpenError {
        OpenError::Damaged { path: self.path.clone(), problem, fix: RESTORE }
    }
}

impl Writing {
    /// Begins a base of everything up to record `seq`.
    pub(super) fn begin(dir: &Path, seq: u64, crc: u32, made: Timestamp) -> io::Result<Writing> {
        let head = Head { v: FORMAT, seq, crc, t: made.as_millis() };
        Writing::begin_as(dir.join(UNFINISHED), head)
    }

    /// Begins the `nth` run: what some segments up to record `seq` change, in the form of a base.
    pub(super) fn begin_run(dir: &Path, nth: usize, seq: u64, made: Timestamp) -> io::Result<Writing> {
        let head = Head { v: FORMAT, seq, crc: 0, t: made.as_millis() };
        Writing::begin_as(dir.join(format!("run-{nth}.{PART}")), head)
    }

    fn begin_as(path: PathBuf, head: Head) -> io::Result<Writing> {
        if path.exists() {
            fs::remove_file(&path)?;
        }
        let file = BufWriter::with_capacity(1 << 20, files::create_file(&path)?);
        let mut writing = Writing { file, path, head, count: 0, unsynced: 0, line: Vec::new() };
        writing.line(json(&head).as_bytes())?;
        Ok(writing)
    }

    /// Adds an entry; the keys come in order.
    pub(super) fn entry(&mut self, key: &str, value: &str) -> io::Result<()> {
        self.count += 1;
        // Keys need no escaping in JSON.
        self.line(format!("[\"{key}\",{value}]").as_bytes())
    }

    /// Makes it durable, reads it back, and gives it its name; gives also how many entries it has. None: it was told to
    /// stop.
    pub(super) fn finish(self, dir: &Path, stop: &AtomicBool) -> Result<Option<(Base, u64)>, OpenError> {
        let count = self.count;
        let unfinished = self.finish_run()?;
        if unfinished.verify(stop)?.is_none() {
            return Ok(None);
        }
        let failed = |error| OpenError::io("write", &unfinished.path, error);
        let path = dir.join(format!("{:012}.{EXTENSION}", unfinished.seq));
        fs::rename(&unfinished.path, &path).map_err(failed)?;
        files::sync_dir(dir).map_err(failed)?;
        Ok(Some((Base { seq: unfinished.seq, path }, count)))
    }

    /// Makes it durable; it keeps its name.
    pub(super) fn finish_run(mut self) -> Result<Base, OpenError> {
        let tail = Tail { seq: self.head.seq, count: self.count };
        let written = self.line(json(&tail).as_bytes()).and_then(|()| self.file.flush());
        let synced = written.and_then(|()| self.file.get_ref().sync_all());
        synced.map_err(|error| OpenError::io("write", &self.path, error))?;
        Ok(Base { seq: self.head.seq, path: self.path })
    }

    fn line(&mut self, json: &[u8]) -> io::Result<()> {
        self.line.clear();
        seal_line(&mut self.line, json);
        self.file.write_all(&self.line)?;
        self.unsynced += self.line.len() as u64;
        if self.unsynced >= SYNC_BYTES {
            self.unsynced = 0;
            self.file.flush()?;
            self.file.get_ref().sync_data()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(dir: &Path) -> Base {
        let mut writing = Writing::begin(dir, 42, 7, Timestamp::from_millis(5)).unwrap();
        for key in ["a/1", "b", "c/x"] {
            writing.entry(key, "{\"v\":1}").unwrap();
        }
        writing.finish(dir, &AtomicBool::new(false)).unwrap().unwrap().0
    }

    #[test]
    fn a_base_is_text_and_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let base = written(dir.path());
        assert_eq!(Base::find(dir.path()).unwrap(), (Some(base.clone()), vec![]));
        let text = fs::read_to_string(&base.path).unwrap();
        let lines: Vec<&str> = text.lines().map(|line| &line[9..]).collect();
        assert_eq!(
            lines,
            [
                "{\"v\":1,\"base\":42,\"crc\":7,\"t\":5}",
                "[\"a/1\",{\"v\":1}]",
                "[\"b\",{\"v\":1}]",
                "[\"c/x\",{\"v\":1}]",
                "{\"end\":42,\"count\":3}"
            ]
        );
        assert_eq!(base.verify(&AtomicBool::new(false)).unwrap(), Some(3));
    }

    #[test]
    fn whatever_happens_to_a_base_shows() {
        let dir = tempfile::tempdir().unwrap();
        let base = written(dir.path());
        let whole = fs::read(&base.path).unwrap();
        let spoil = |text: &[u8], what: &str| {
            fs::write(&base.path, text).unwrap();
            let refused = base.verify(&AtomicBool::new(false)).unwrap_err().to_string();
            assert!(refused.contains("restore the data directory"), "{what}: {refused}");
        };
        for at in 0..whole.len() {
            spoil(&whole[..at], "cut");
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            spoil(&flipped, "flipped");
        }
        let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
        for at in 0..lines.len() {
            let mut without = lines.clone();
            without.remove(at);
            spoil(&without.concat(), "a line less");
            let mut twice = lines.clone();
            twice.insert(at, lines[at]);
            spoil(&twice.concat(), "a line twice");
        }
    }
}
