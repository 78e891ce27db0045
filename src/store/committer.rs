//! The committer: the one thread that writes.
//!
//! It takes everything that is queued, decides each transaction against what is stored and what the
//! group before it in the queue will store, writes all of the group's records with one write and one
//! sync, makes them visible, and only then answers everybody - also those whose
//! transaction met a conflict, for the record that they conflict with must be durable before anybody
//! acts on it. The sync itself gathers the next group; where many commit at once, a moment more is waited for it, for
//! a sync costs CPU whatever its size. Who commits alone never waits.
//!
//! Any failure to write is final: the store is poisoned, everybody waiting is told, and the thread ends. A
//! failed sync must not be tried again, since the system may have dropped the pages it could not write.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::erasure;
use super::error::StoreError;
use super::index::Index;
use super::indexer::Indexer;
use super::journal::Journal;
use super::kv::{self, Ledger};
use super::mark::Mark;
use super::placement::Placements;
use super::space::{free_bytes, needed_bytes};
use super::tx::{Op, Prepared, Step};
use super::{Committed, Shared};

/// The most commits that share one sync.
const GROUP_COMMITS_MAX: usize = 1_024;
/// At this size no more commits are taken into a group.
const GROUP_BYTES: usize = 1 << 20;
/// After a group of so many, others are about to commit as well …
const SIBLINGS: usize = 4;
/// … and are given this long to come along. On a disk that syncs slowly it is little beside the sync.
const GATHERING: Duration = Duration::from_millis(1);

/// Where the outcome of a request goes.
pub(super) type Answer = oneshot::Sender<Result<Committed, StoreError>>;

/// What the committer is asked.
pub(super) enum Request {
    /// Write a transaction.
    Commit(Prepared, Answer),
    /// Change a plugin's value.
    Kv(kv::Change, Answer),
    /// Write what is queued, then begin a new segment of the journal; the answer is the last record before it.
    Seal(oneshot::Sender<Result<u64, StoreError>>),
    /// Write what is queued, then end in order.
    Close(oneshot::Sender<Result<(), StoreError>>),
}

/// The committer's thread.
pub(super) struct Committer {
    queue: mpsc::Receiver<Request>,
    shared: Arc<Shared>,
    journal: Journal,
    indexer: Indexer,
    placements: Placements,
    ledger: Ledger,
    pending: HashMap<String, Option<String>>,
}

/// What is stored, as a transaction of this group sees it.
pub(super) struct View<'a> {
    index: &'a Index,
    pending: &'a HashMap<String, Option<String>>,
}

/// Requests that share one sync, with what each will be told.
#[derive(Default)]
struct Group {
    answers: Vec<(Answer, Result<Committed, StoreError>)>,
    seal: Option<oneshot::Sender<Result<u64, StoreError>>>,
    close: Option<oneshot::Sender<Result<(), StoreError>>>,
}

impl Committer {
    pub(super) fn new(
        queue: mpsc::Receiver<Request>,
        shared: Arc<Shared>,
        journal: Journal,
        indexer: Indexer,
    ) -> Committer {
        Committer {
            queue,
            journal,
            indexer,
            placements: Placements::default(),
            ledger: Ledger::default(),
            pending: HashMap::new(),
            shared,
        }
    }

    /// Works until the store is closed, forgotten or poisoned.
    pub(super) fn run(mut self) {
        let _guard = self.shared.poison_on_panic("the committer panicked");
        let mut siblings = 0;
        while let Some(first) = self.queue.blocking_recv() {
            if siblings >= SIBLINGS {
                thread::sleep(GATHERING);
            }
            let (group, outcome) = self.work(first);
            siblings = group.answers.len();
            let is_over = outcome.is_err() || group.close.is_some();
            if let Err(reason) = outcome {
                self.shared.poison(reason);
            }
            if let Some(answer) = group.seal {
                let sealed = self.seal();
                // As above: who gave up waiting needs no answer.
                let _ = answer.send(sealed);
            }
            for (answer, result) in group.answers {
                // Who gave up waiting needs no answer.
                let _ = answer.send(self.shared.poisoned().map_or(result, Err));
            }
            if is_over {
                self.end(group.close);
                return;
            }
        }
        self.end(None);
    }

    /// Gathers a group and makes it durable. The error is the reason to poison the store.
    fn work(&mut self, first: Request) -> (Group, Result<(), String>) {
        let mut group = Group::default();
        let refusal = match self.refusal() {
            Ok(refusal) => refusal,
            Err(reason) => {
                self.take(first, Some(&StoreError::Closed), &mut group);
                return (group, Err(reason));
            }
        };
        let mut next = Some(first);
        while let Some(request) = next {
            self.take(request, refusal.as_ref(), &mut group);
            let is_full =
                group.answers.len() >= GROUP_COMMITS_MAX || self.journal.buffered_bytes() >= GROUP_BYTES;
            let is_last = group.close.is_some() || group.seal.is_some();
            next = if is_full || is_last { None } else { self.queue.try_recv().ok() };
        }
        (group, self.write())
    }

    /// Why nothing can be written just now, if so.
    fn refusal(&self) -> Result<Option<StoreError>, String> {
        let path = &self.shared.settings.path;
        let free_bytes =
            free_bytes(path).map_err(|error| format!("cannot read the disk's free space: {error}"))?;
        let needed_bytes = needed_bytes(self.shared.index.recent().bytes());
        let is_full = free_bytes < needed_bytes;
        Ok(is_full.then_some(StoreError::Full { free_bytes, needed_bytes }))
    }

    fn take(&mut self, request: Request, refusal: Option<&StoreError>, group: &mut Group) {
        let (answer, result) = match (request, refusal) {
            (Request::Seal(answer), _) => {
                group.seal = Some(answer);
                return;
            }
            (Request::Close(answer), _) => {
                group.close = Some(answer);
                return;
            }
            (Request::Commit(_, answer) | Request::Kv(_, answer), Some(refusal)) => {
                (answer, Err(refusal.clone()))
            }
            (Request::Commit(prepared, answer), None) => (answer, self.commit(prepared)),
            (Request::Kv(change, answer), None) => (answer, self.change_kv(change)),
        };
        group.answers.push((answer, result));
    }

    /// Decides a transaction and puts its record into the journal's buffer.
    fn commit(&mut self, prepared: Prepared) -> Result<Committed, StoreError> {
        let view = View { index: &self.shared.index, pending: &self.pending };
        for (key, expect) in &prepared.absent {
            if view.contains(key)? {
                return Err(expect.conflict());
            }
        }
        let mut ops = Vec::with_capacity(prepared.steps.len() + 4);
        for step in prepared.steps {
            match step {
                Step::Put(op) => ops.push(op),
                Step::Call { id, put, placement } => {
                    let stored = || Ok(view.get(&put.key)?.map(Cow::into_owned));
                    self.placements.change(id, placement, &mut ops, stored)?;
                    ops.push(put);
                }
                Step::Erase { id, by, at } => {
                    ops.extend(erasure::ops(id, by, at, &view)?);
                    self.placements.forget(id);
                }
            }
        }
        Ok(self.record(ops))
    }

    fn change_kv(&mut self, change: kv::Change) -> Result<Committed, StoreError> {
        let now = self.shared.clock.now();
        let view = View { index: &self.shared.index, pending: &self.pending };
        let expired = self.ledger.make_room(&change, &view, now)?;
        self.record(expired);
        let view = View { index: &self.shared.index, pending: &self.pending };
        let revision = self.journal.last().0 + 1;
        let op = self.ledger.decide(change, &view, now, revision)?;
        Ok(self.record(op.into_iter().collect()))
    }

    /// Puts a record into the journal's buffer; nothing when it would be empty.
    fn record(&mut self, ops: Vec<Op>) -> Committed {
        if ops.is_empty() {
            return Committed { seq: None };
        }
        let vault = self.shared.index.vault();
        let sealed = |op: Op| match op.value {
            Some(value) => Op { value: Some(vault.seal_value(&op.key, value)), key: op.key },
            None => op,
        };
        let ops: Vec<Op> = ops.into_iter().map(sealed).collect();
        let seq = self.journal.append(self.shared.clock.now(), &ops);
        self.pending.extend(ops.into_iter().map(|op| (op.key, op.value)));
        Committed { seq: Some(seq) }
    }

    /// Begins a new segment; all that was written is on disk.
    fn seal(&mut self) -> Result<u64, StoreError> {
        if let Some(poisoned) = self.shared.poisoned() {
            return Err(poisoned);
        }
        self.journal.seal().map_err(|error| {
            self.shared.poison(format!("a segment of the journal could not be begun: {error}"));
            StoreError::Closed
        })
    }

    /// Makes the journal's buffer durable, then visible.
    fn write(&mut self) -> Result<(), String> {
        let recent = self.shared.index.recent();
        recent.wait_for_room(|| self.shared.poisoned().is_none());
        if let Some(reason) = self.shared.poison.get() {
            return Err(reason.clone());
        }
        if !self.pending.is_empty() {
            self.journal.sync().map_err(|error| format!("the journal could not be written: {error}"))?;
            recent.add(self.pending.drain(), self.journal.last());
        }
        Ok(())
    }

    /// Ends the thread; with the `clean` mark, when an orderly close was asked for.
    fn end(mut self, close: Option<oneshot::Sender<Result<(), StoreError>>>) {
        self.queue.close();
        // Dropping a request drops its answer, which tells its sender that the store is closed.
        while self.queue.try_recv().is_ok() {}
        self.indexer.finish();
        let Some(close) = close else { return };
        if self.shared.poisoned().is_none() {
            let written = Mark::Clean.write(&self.shared.settings.path, self.journal.last().0);
            if let Err(error) = written {
                self.shared.poison(format!("the close could not be written down: {error}"));
            }
        }
        let _ = close.send(self.shared.poisoned().map_or(Ok(()), Err));
    }
}

impl View<'_> {
    pub(super) fn get(&self, key: &str) -> Result<Option<Cow<'_, [u8]>>, StoreError> {
        match self.pending.get(key) {
            Some(None) => Ok(None),
            Some(Some(text)) => self.index.vault().open_value(key, text.as_bytes()).map(Some),
            None => Ok(self.index.get(key)?.map(|value| Cow::Owned(value.to_vec()))),
        }
    }

    fn contains(&self, key: &str) -> Result<bool, StoreError> {
        match self.pending.get(key) {
            Some(value) => Ok(value.is_some()),
            None => self.index.contains(key),
        }
    }

    /// All keys and values that begin with `prefix`.
    pub(super) fn values(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let stored = self.index.values(prefix)?.into_iter();
        let mut values: HashMap<String, Vec<u8>> = stored.map(|(key, value)| (key, value.to_vec())).collect();
        for (key, value) in self.pending.iter().filter(|(key, _)| key.starts_with(prefix)) {
            match value {
                Some(value) => {
                    let opened = self.index.vault().open_value(key, value.as_bytes())?;
                    values.insert(key.clone(), opened.into_owned())
                }
                None => values.remove(key),
            };
        }
        Ok(values.into_iter().collect())
    }
}
