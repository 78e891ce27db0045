//! Checkpoints: from time to time the index is synced, and up to where is written down.
//!
//! The journal alone is enough to lose nothing. A checkpoint makes it likely that the index is usable
//! after a power cut, and its mark betrays a journal that lost records at its end. Marks are small files
//! `<seq> <crc32>`: `checkpoint`, and `clean` after an orderly close.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::error::OpenError;
use super::files;
use super::index::Index;

/// How long after a commit the index is synced, at the latest.
const INTERVAL: Duration = Duration::from_secs(30);
/// After how many commits it is synced earlier than that.
const COMMITS_MAX: u64 = 50_000;

/// A number written down beside the journal.
pub(super) struct Mark;

impl Mark {
    /// Up to where the index was synced.
    pub(super) const CHECKPOINT: &str = "checkpoint";
    /// The journal's last record at an orderly close.
    pub(super) const CLEAN: &str = "clean";

    /// The mark's number; none when there is no such mark.
    pub(super) fn read(dir: &Path, name: &str) -> Result<Option<u64>, OpenError> {
        let path = dir.join(name);
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(OpenError::io("read", &path, error)),
        };
        let seq = text.split_once(' ').and_then(|(seq, _)| seq.parse().ok());
        match seq.filter(|seq| text == Mark::text(*seq)) {
            Some(seq) => Ok(Some(seq)),
            None => Err(OpenError::Damaged {
                path,
                problem: "it cannot be read".to_owned(),
                fix: "remove it: it only guards against a journal that lost records at its end",
            }),
        }
    }

    /// Writes the mark, durable on return.
    pub(super) fn write(dir: &Path, name: &str, seq: u64) -> io::Result<()> {
        files::replace(dir, name, &Mark::text(seq))
    }

    fn text(seq: u64) -> String {
        let crc = crc32fast::hash(seq.to_string().as_bytes());
        format!("{seq} {crc:08x}\n")
    }
}

/// The thread that makes checkpoints beside the committer.
pub(super) struct Checkpoints {
    applied: Arc<AtomicU64>,
    since_last: u64,
    hurry: SyncSender<()>,
    thread: JoinHandle<io::Result<()>>,
}

impl Checkpoints {
    pub(super) fn start(dir: PathBuf, index: Index, applied: u64) -> io::Result<Checkpoints> {
        let applied = Arc::new(AtomicU64::new(applied));
        let (hurry, hurried) = sync_channel(1);
        let seen = applied.clone();
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(move || run(&dir, &index, &seen, &hurried))?;
        Ok(Checkpoints { applied, since_last: 0, hurry, thread })
    }

    /// Tells that the index now holds the journal up to `seq`.
    pub(super) fn applied(&mut self, seq: u64, commits: u64) {
        self.applied.store(seq, Ordering::Release);
        self.since_last += commits;
        if self.since_last >= COMMITS_MAX {
            self.since_last = 0;
            // A full channel means that it was told already.
            let _ = self.hurry.try_send(());
        }
    }

    /// Whether the thread is still there; it ends early only when a checkpoint failed.
    pub(super) fn is_well(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Makes the last checkpoint and ends the thread.
    pub(super) fn finish(self) -> io::Result<()> {
        drop(self.hurry);
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the checkpoint thread panicked")))
    }
}

fn run(dir: &Path, index: &Index, applied: &AtomicU64, hurried: &Receiver<()>) -> io::Result<()> {
    let mut last = None;
    loop {
        let is_over = hurried.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Disconnected);
        // Noted before the flush: what is applied meanwhile may miss it.
        let seq = applied.load(Ordering::Acquire);
        if last != Some(seq) {
            write(dir, index, seq)?;
            last = Some(seq);
        }
        if is_over {
            return Ok(());
        }
    }
}

fn write(dir: &Path, index: &Index, seq: u64) -> io::Result<()> {
    let index_dir = dir.join("index");
    index.flush().map_err(io::Error::other)?;
    File::open(index_dir.join("db"))?.sync_data()?;
    files::sync_dir(&index_dir)?;
    files::sync_dir(dir)?;
    Mark::write(dir, Mark::CHECKPOINT, seq)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_back_and_a_damaged_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Mark::read(dir.path(), Mark::CLEAN).unwrap(), None);
        Mark::write(dir.path(), Mark::CLEAN, 42).unwrap();
        assert_eq!(Mark::read(dir.path(), Mark::CLEAN).unwrap(), Some(42));
        for text in ["", "42", "43 00000000\n", "x", "42 zz\n"] {
            fs::write(dir.path().join(Mark::CLEAN), text).unwrap();
            let refused = Mark::read(dir.path(), Mark::CLEAN).unwrap_err().to_string();
            assert!(refused.contains("remove it"), "{refused}");
        }
    }
}
