//! The indexer: the thread that carries commits from memory into sled, and syncs sled from time to time.
//!
//! The journal alone is enough to lose nothing. A checkpoint makes it likely that the index is usable after
//! a power cut, and writes down up to where ([`Mark::Checkpoint`]).

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Shared;
use super::disk::Writer;
use super::files;
use super::mark::Mark;
use super::space::{RESERVE_BYTES, free_bytes, needed_bytes};

/// How long commits are gathered before sled gets them …
const INTERVAL: Duration = Duration::from_millis(250);
/// … unless they are as many bytes as this.
const BYTES: usize = 4 << 20;
/// How often the index is synced, when anything was written.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(30);

/// A running indexer.
pub(super) struct Indexer {
    /// Never used: the thread ends when it is dropped.
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Indexer {
    pub(super) fn start(shared: Arc<Shared>, writer: Writer) -> io::Result<Indexer> {
        let (stop, stopped) = channel();
        let checkpointed = writer.head().applied;
        let work = Work { shared, writer, checkpointed, last_checkpoint: Instant::now() };
        let thread = std::thread::Builder::new().name("store-indexer".to_owned());
        Ok(Indexer { stop, thread: thread.spawn(move || work.run(&stopped))? })
    }

    /// Brings everything into sled, makes a last checkpoint, and ends the thread.
    pub(super) fn finish(self) {
        drop(self.stop);
        // A panic has poisoned the store already.
        let _ = self.thread.join();
    }
}

struct Work {
    shared: Arc<Shared>,
    writer: Writer,
    checkpointed: u64,
    last_checkpoint: Instant,
}

impl Work {
    fn run(mut self, stopped: &Receiver<()>) {
        let _guard = self.shared.clone().poison_on_panic("the indexer panicked");
        loop {
            let is_behind = self.shared.index.recent().bytes() >= BYTES;
            let wait = if is_behind { Duration::ZERO } else { INTERVAL };
            let is_over = stopped.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected);
            if let Err(reason) = self.step(is_over) {
                self.shared.poison(reason);
                return;
            }
            if is_over {
                return;
            }
        }
    }

    /// Carries what there is into sled, if there is room for it; else it stays in memory and the journal.
    fn step(&mut self, is_over: bool) -> Result<(), String> {
        let Some(dir) = self.writable_dir()? else { return Ok(()) };
        let layer = self.shared.index.recent().take();
        if !layer.is_empty() {
            // Flushed at once, so that sled never writes when nobody looks after the room for it.
            let applied = self.writer.apply(&layer).and_then(|()| self.shared.index.disk().flush());
            applied.map_err(|error| format!("the index could not be written: {error}"))?;
        }
        self.shared.index.recent().forget();
        let applied = self.writer.head().applied;
        let wanted = self.shared.sync_wanted.load(Ordering::Relaxed);
        let is_wanted = self.checkpointed < wanted && wanted <= applied;
        let is_due = is_over || is_wanted || self.last_checkpoint.elapsed() >= CHECKPOINT_INTERVAL;
        if is_due && applied != self.checkpointed {
            let written = checkpoint(&dir, applied);
            written.map_err(|error| format!("the index could not be synced: {error}"))?;
            (self.checkpointed, self.last_checkpoint) = (applied, Instant::now());
        }
        Ok(())
    }

    /// The data directory while it can be written: sled fails for good on a full disk, and after a failed
    /// write to the journal it is better left readable.
    fn writable_dir(&self) -> Result<Option<PathBuf>, String> {
        let dir = &self.shared.settings.path;
        let free_bytes =
            free_bytes(dir).map_err(|error| format!("cannot read the disk's free space: {error}"))?;
        let owed_bytes = self.shared.index.recent().bytes();
        let has_room = free_bytes >= needed_bytes(owed_bytes) - RESERVE_BYTES / 2;
        Ok((has_room && self.shared.poison.get().is_none()).then(|| dir.clone()))
    }
}

fn checkpoint(dir: &Path, applied: u64) -> io::Result<()> {
    let index_dir = dir.join("index");
    File::open(index_dir.join("db"))?.sync_data()?;
    files::sync_dir(&index_dir)?;
    files::sync_dir(dir)?;
    Mark::Checkpoint.write(dir, applied)
}
