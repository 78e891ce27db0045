//! The embedded store: calls, their parts, webhooks already seen, and what plugins keep.
//!
//! # What it promises
//!
//! 1. When [`Store::commit`] (or a [`Receipt`]) says yes, the transaction is on disk (`fdatasync`) and visible
//!    to reads. A webhook is answered, and an event acknowledged, only then.
//! 2. What was acknowledged survives a killed process, a panic, a power cut, a full disk, and the
//!    loss or corruption of the whole index.
//! 3. It does not survive the loss of the disk, or a disk that lies about syncs.
//! 4. Damage to acknowledged journal records is never hidden: the store refuses to open.
//! 5. All of a transaction is applied or nothing, and only if all it expects holds.
//!
//! # How
//!
//! ```text
//! data/                       0700
//!   lock                      held while open: one process at a time
//!   format                    {"format":1}
//!   journal/000000000001.jsonl …   the truth: checksummed lines of text, see `journal`
//!   journal/000000001234.base the journal up to a record, each key once, see `base`
//!   index/                    sled, made anew from the journal whenever it is in doubt, see `disk`
//!   checkpoint, clean         up to where the index was synced; that the last run closed in order
//!   quarantine/               damaged indexes and torn tails, moved out of the way
//!   recordings/               the sound of calls, a file each, see `recordings`
//!   keys                      which keys are needed to read what is sealed, see `vault`
//! ```
//!
//! One thread writes the journal (`committer`); many transactions share one sync. What is durable is
//! visible at once from memory (`recent`), and a second thread (`indexer`) carries it into sled. Opening is
//! told in `opening`, looking without touching in `examine`, keys in `key`, how the journal is kept short in `compaction`,
//! how a call goes in `erasure`.
//!
//! # Errors
//!
//! [`OpenError`] names place, problem and way out. [`StoreError`] tells a conflict from a full disk from a
//! poisoned store; only after [`StoreError::Full`] may the same transaction be tried again later.

mod audit;
mod base;
mod committer;
mod compaction;
mod disk;
mod erasure;
mod error;
mod examine;
mod files;
mod index;
mod indexer;
mod journal;
mod key;
mod kv;
mod mark;
mod notifications;
mod opening;
mod placement;
mod query;
mod recent;
mod recordings;
mod search;
mod space;
mod tx;
mod vault;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot};

pub use self::audit::{AuditEntry, AuditLog};
pub use self::compaction::Compacted;
pub use self::erasure::{ErasedBy, ErasedRecording, Erasure};
pub use self::error::{CompactError, OpenError, StoreError};
pub use self::examine::{Finding, Thoroughness, examine};
pub use self::kv::{Entry, KEY_BYTES_MAX, KeyValue, Keys, LIST_MAX, Quota, VALUE_BYTES_MAX};
pub use self::notifications::{Due, NotificationKey};
pub use self::opening::Opened;
pub use self::query::{By, CallFilter, CallQuery, Cursor, PAGE_MAX, Page};
pub use self::recordings::{FileError, Growing, ListedRecording, Recordings, Sound, Writing};
pub use self::search::{Found, Searched, search};
pub use self::space::free_bytes;
pub use self::tx::{Alias, Expect, Outdated, Tx, Write};
pub use self::vault::{NotAKey, Vault};

use self::committer::{Answer, Committer, Request};
use self::index::Index;
use self::indexer::Indexer;
use self::key::Part;
use self::recent::Recent;
use self::tx::Prepared;
use crate::call::record::{CallDetail, CallRecord, EventRecord, Line, ToolCallRecord, UsageRecord};
use crate::clock::Clock;
use crate::ids::{CallId, WebhookId};

/// How many transactions may wait for the committer; more wait in [`Store::submit`].
const QUEUE_MAX: usize = 1_024;

/// What the store needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The data directory (`store.path`); created with mode 0700 when absent.
    pub path: PathBuf,
    /// How much memory the index may use for its cache, in bytes.
    pub cache_bytes: u64,
    /// With less than this free on the disk, in bytes, [`Store::health`] is [`Health::Full`]: no new calls.
    pub free_bytes_min: u64,
    /// How long to wait for another process to let go of the data directory.
    pub lock_wait: Duration,
    /// How many keys a namespace of plugins may keep, where nothing else is said.
    pub plugin_keys_max: u64,
    /// How many bytes a namespace of plugins may keep, keys included, where nothing else is said.
    pub plugin_bytes_max: u64,
    /// So much of what the journal changes is sorted in memory at once by a compaction, in bytes; more goes by way of files.
    pub merge_bytes: usize,
    /// The keys that seal what is written and open what is read.
    pub vault: Vault,
}

impl Settings {
    /// The defaults, for this data directory.
    pub fn at(path: impl Into<PathBuf>) -> Settings {
        Settings {
            path: path.into(),
            cache_bytes: 64 << 20,
            free_bytes_min: 1 << 30,
            lock_wait: Duration::from_secs(2),
            plugin_keys_max: 10_000,
            plugin_bytes_max: 16 << 20,
            merge_bytes: 128 << 20,
            vault: Vault::default(),
        }
    }
}

/// The store. A cheap handle. Dropping the last one writes what is queued and waits for that; only
/// [`Store::close`] also marks the directory as closed in order.
#[derive(Clone)]
pub struct Store(Arc<Handle>);

/// The fields go in this order: without the queue the committer ends, and then the directory is free.
struct Handle {
    queue: mpsc::Sender<Request>,
    _committer: Joined,
    shared: Arc<Shared>,
}

/// A thread that is waited for when this goes.
struct Joined(Option<JoinHandle<()>>);

impl Drop for Joined {
    fn drop(&mut self) {
        // A panic of the thread has poisoned the store already.
        let _ = self.0.take().map(JoinHandle::join);
    }
}

/// What readers and the committer share.
struct Shared {
    settings: Settings,
    clock: Arc<dyn Clock>,
    index: Index,
    poison: OnceLock<String>,
    /// One compaction at a time.
    compacting: tokio::sync::Mutex<()>,
    /// The index is to be synced up to this record as soon as it can be.
    sync_wanted: AtomicU64,
    /// A compaction is to stop.
    closing: AtomicBool,
    /// Never read: it keeps the data directory locked for as long as somebody may use it.
    _lock: std::fs::File,
}

/// A transaction that is durable and visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its number in the journal; none when there was nothing to write.
    pub seq: Option<u64>,
}

/// A transaction on its way; resolves when it is durable and visible, or will never be.
///
/// Dropping it does not take the transaction back.
#[must_use = "a transaction is acknowledged only when its receipt says so"]
pub struct Receipt {
    answer: oneshot::Receiver<Result<Committed, StoreError>>,
    shared: Arc<Shared>,
}

/// Whether the store can take new calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It can.
    Ok,
    /// It has too little room for new calls; those under way are still written.
    Full {
        /// Bytes free on the disk.
        free_bytes: u64,
        /// Bytes that must be free, `Settings::free_bytes_min`.
        needed_bytes: u64,
    },
    /// It takes no more writes at all.
    Poisoned {
        /// What failed first.
        reason: String,
    },
}

impl Store {
    /// Opens the data directory, making good what an earlier run left behind.
    ///
    /// Blocks, for seconds when the index must be made anew: call it before the runtime starts, or on a
    /// thread of its own.
    pub fn open(settings: &Settings, clock: Arc<dyn Clock>) -> Result<(Store, Opened), OpenError> {
        let (parts, opened) = opening::open(settings, &*clock)?;
        let (queue, requests) = mpsc::channel(QUEUE_MAX);
        let shared = Arc::new(Shared {
            settings: settings.clone(),
            clock,
            index: Index::new(
                Arc::new(Recent::default()),
                parts.writer.disk().clone(),
                settings.vault.clone(),
            ),
            poison: OnceLock::new(),
            compacting: tokio::sync::Mutex::default(),
            sync_wanted: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            _lock: parts.lock,
        });
        let no_thread = |error| OpenError::io("start a thread for", &settings.path, error);
        let indexer = Indexer::start(shared.clone(), parts.writer).map_err(no_thread)?;
        let committer = Committer::new(requests, shared.clone(), parts.journal, indexer);
        let thread = std::thread::Builder::new().name("store-committer".to_owned());
        let thread = thread.spawn(move || committer.run()).map_err(no_thread)?;
        Ok((Store(Arc::new(Handle { queue, _committer: Joined(Some(thread)), shared })), opened))
    }

    /// Queues a transaction; waits only for a place in the queue. Transactions of one caller are decided and
    /// written in the order in which they were submitted.
    pub async fn submit(&self, tx: &Tx) -> Result<Receipt, StoreError> {
        self.submit_with(tx, None).await
    }

    /// The same, of a transaction that writes this record of a call, too.
    pub async fn submit_with(&self, tx: &Tx, record: Option<&CallRecord>) -> Result<Receipt, StoreError> {
        let prepared = Prepared::from_tx(tx, record)?;
        self.request(|answer| Request::Commit(prepared, answer)).await
    }

    /// Writes a transaction; it is durable and visible on return.
    pub async fn commit(&self, tx: Tx) -> Result<Committed, StoreError> {
        self.submit(&tx).await?.await
    }

    /// Writes what is queued, syncs the index and marks the directory as closed in order. All handles are
    /// then closed for writing; the directory can be opened again when the last one is gone.
    pub async fn close(self) -> Result<(), StoreError> {
        let (answer, closed) = oneshot::channel();
        self.0.shared.closing.store(true, Ordering::Relaxed);
        if self.0.queue.send(Request::Close(answer)).await.is_err() {
            return Err(self.0.shared.gone());
        }
        closed.await.unwrap_or_else(|_| Err(self.0.shared.gone()))
    }

    /// A call's record.
    pub fn call(&self, id: CallId) -> Result<Option<CallRecord>, StoreError> {
        read(&self.0.shared.index, &key::call(id))
    }

    /// The call that is known under `alias`.
    pub fn call_by_alias(&self, alias: &Alias) -> Result<Option<CallId>, StoreError> {
        read(&self.0.shared.index, &key::alias(alias))
    }

    /// Whether a webhook delivery was recorded.
    pub fn webhook_seen(&self, id: &WebhookId) -> Result<bool, StoreError> {
        self.0.shared.index.contains(&key::webhook(id))
    }

    /// A small value of our own, written with [`Write::Meta`].
    pub fn meta(&self, name: &str) -> Result<Option<String>, StoreError> {
        read(&self.0.shared.index, &key::meta(name))
    }

    /// A page of calls, newest first, after `after`; `limit` is held to 1..=[`PAGE_MAX`].
    pub async fn calls(
        &self,
        query: CallQuery,
        after: Option<Cursor>,
        limit: u16,
    ) -> Result<Page<CallRecord>, StoreError> {
        self.scan(move |index| query.run(index, after, limit)).await
    }

    /// The same, of the calls that pass the filter. Where a bounded number of calls was looked at, the page may have
    /// fewer than `limit` and go on all the same.
    pub async fn calls_like(
        &self,
        query: CallQuery,
        filter: CallFilter,
        after: Option<Cursor>,
        limit: u16,
    ) -> Result<Page<CallRecord>, StoreError> {
        self.scan(move |index| query.run_like(index, &filter, after, limit)).await
    }

    /// A call's transcript, in the order in which speech started.
    pub async fn lines(&self, id: CallId) -> Result<Vec<Line>, StoreError> {
        self.scan(move |index| lines(index, id)).await
    }

    /// A call's tool calls, in the order of their numbers.
    pub async fn tool_calls(&self, id: CallId) -> Result<Vec<ToolCallRecord>, StoreError> {
        self.scan(move |index| parts(index, Part::ToolCall, id)).await
    }

    /// A call's usage records, in the order of their numbers.
    pub async fn usage(&self, id: CallId) -> Result<Vec<UsageRecord>, StoreError> {
        self.scan(move |index| parts(index, Part::Usage, id)).await
    }

    /// A call's events, in the order of their numbers.
    pub async fn events(&self, id: CallId) -> Result<Vec<EventRecord>, StoreError> {
        self.scan(move |index| parts(index, Part::Event, id)).await
    }

    /// The keys that seal and open what is kept.
    pub fn vault(&self) -> &Vault {
        self.0.shared.index.vault()
    }

    /// The data directory.
    pub fn path(&self) -> &std::path::Path {
        &self.0.shared.settings.path
    }

    /// Everything that is kept of a call; none when there is no such call.
    pub async fn detail(&self, id: CallId) -> Result<Option<CallDetail>, StoreError> {
        self.scan(move |index| {
            let Some(call) = read(index, &key::call(id))? else { return Ok(None) };
            Ok(Some(CallDetail {
                call,
                lines: lines(index, id)?,
                tool_calls: parts(index, Part::ToolCall, id)?,
                usage: parts(index, Part::Usage, id)?,
                events: parts(index, Part::Event, id)?,
                recordings: recordings::of_call(index, id)?,
            }))
        })
        .await
    }

    /// The values of one plugin.
    pub fn kv(&self, namespace: &str) -> KeyValue {
        KeyValue::new(self.clone(), namespace)
    }

    /// Whether new calls may be taken. Asks the system for the free space each time, which is cheap.
    pub fn health(&self) -> Health {
        let shared = &self.0.shared;
        if let Some(reason) = shared.poison.get() {
            return Health::Poisoned { reason: reason.clone() };
        }
        let needed_bytes = shared.settings.free_bytes_min;
        match space::free_bytes(&shared.settings.path) {
            Ok(free_bytes) if free_bytes < needed_bytes => Health::Full { free_bytes, needed_bytes },
            Ok(_) => Health::Ok,
            Err(error) => Health::Poisoned { reason: format!("cannot read the disk's free space: {error}") },
        }
    }

    /// Runs a longer read on a thread where it may block.
    async fn scan<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Index) -> Result<T, StoreError> + Send + 'static,
    {
        let shared = self.0.shared.clone();
        match tokio::task::spawn_blocking(move || read(&shared.index)).await {
            Ok(result) => result,
            Err(error) if error.is_panic() => Err(StoreError::Corrupt {
                key: "index".to_owned(),
                problem: "reading it panicked".to_owned(),
            }),
            Err(_) => Err(StoreError::Closed),
        }
    }

    async fn request<F>(&self, request: F) -> Result<Receipt, StoreError>
    where
        F: FnOnce(Answer) -> Request,
    {
        let (answer, received) = oneshot::channel();
        let shared = &self.0.shared;
        self.0.queue.send(request(answer)).await.map_err(|_| shared.gone())?;
        Ok(Receipt { answer: received, shared: shared.clone() })
    }
}

/// A call's transcript, in the order in which speech started.
fn lines(index: &Index, id: CallId) -> Result<Vec<Line>, StoreError> {
    let mut lines: Vec<Line> = parts(index, Part::Line, id)?;
    lines.sort_by_key(|line| (line.started, line.n));
    Ok(lines)
}

/// What is kept beside a call's record, in the order of its numbers.
fn parts<T: DeserializeOwned>(index: &Index, part: Part, id: CallId) -> Result<Vec<T>, StoreError> {
    values(index, &key::parts(part, id))
}

/// All values whose keys begin with `prefix`, in order.
fn values<T: DeserializeOwned>(index: &Index, prefix: &str) -> Result<Vec<T>, StoreError> {
    index.values(prefix)?.iter().map(|(key, value)| parse(key, value)).collect()
}

impl Future for Receipt {
    type Output = Result<Committed, StoreError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answered = Pin::new(&mut self.answer).poll(context);
        answered.map(|answered| answered.unwrap_or_else(|_| Err(self.shared.gone())))
    }
}

/// Poisons the store when its thread panics, so that nobody waits for ever.
struct PanicGuard {
    shared: Weak<Shared>,
    reason: &'static str,
}

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade().filter(|_| std::thread::panicking()) {
            shared.poison(self.reason.to_owned());
        }
    }
}

impl Shared {
    fn poison_on_panic(self: &Arc<Shared>, reason: &'static str) -> PanicGuard {
        PanicGuard { shared: Arc::downgrade(self), reason }
    }

    /// Remembers the first failure.
    fn poison(&self, reason: String) {
        if self.poison.set(reason.clone()).is_ok() {
            tracing::error!(reason, "the store takes no more writes");
        }
    }

    fn poisoned(&self) -> Option<StoreError> {
        self.poison.get().map(|reason| StoreError::Poisoned { reason: reason.clone() })
    }

    /// Why the committer does not answer.
    fn gone(&self) -> StoreError {
        self.poisoned().unwrap_or(StoreError::Closed)
    }
}

fn read<T: DeserializeOwned>(index: &Index, key: &str) -> Result<Option<T>, StoreError> {
    index.get(key)?.map(|value| parse(key, &value)).transpose()
}

fn parse<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(value)
        .map_err(|error| StoreError::Corrupt { key: key.to_owned(), problem: error.to_string() })
}
