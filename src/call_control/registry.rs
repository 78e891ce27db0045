//! The calls that somebody looks after now: found by id, counted.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::incoming::Decided;
use super::runner::Plan;
use crate::call::Event;
use crate::call::record::Speaker;
use crate::ids::CallId;
use crate::media::phone::Phone;
use crate::store::{StoreError, Write};
use crate::wire::media::StreamSid;

/// How many messages may wait for one call. Doors wait for a place; a call that is that far behind is
/// stuck on its disk.
const MAILBOX_PLACES: usize = 32;
/// Locks are held for a few instructions only; shards keep thousands of calls out of each other's way.
const SHARDS: usize = 16;

/// Something that happened, on its way to the call it happened to.
pub(super) struct Message {
    /// What happened.
    pub event: Event,
    /// To be kept in the same commit as what comes of it.
    pub writes: Vec<Write>,
    /// How to answer, with an offer that is to be answered.
    pub plan: Option<Box<Plan>>,
    /// The caller's audio, with an offer that comes over a media stream.
    pub caller: Option<Box<Caller>>,
    /// Told once all of it is on disk.
    pub done: Option<oneshot::Sender<Result<(), StoreError>>>,
}

/// The caller's end of a bridged call.
pub(super) struct Caller {
    /// The carrier's socket.
    pub phone: Phone,
    /// The stream on it.
    pub stream: StreamSid,
    /// What was said before, where the call was moved here.
    pub said: Vec<(Speaker, String)>,
}

/// Resolves once a message and what came of it are on disk.
pub(super) type Done = oneshot::Receiver<Result<(), StoreError>>;

impl Message {
    /// A message whose sender wants to know when it is on disk.
    pub fn durable(event: Event, writes: Vec<Write>) -> (Message, Done) {
        let (sender, done) = oneshot::channel();
        (Message { event, writes, plan: None, caller: None, done: Some(sender) }, done)
    }
}

/// The way to the task of one call. Messages are boxed: a mailbox keeps room for some dozens as long as the call lasts.
#[derive(Clone)]
pub(super) struct Handle {
    mailbox: mpsc::Sender<Box<Message>>,
    gone: CancellationToken,
    /// What was decided about the call when it was offered first, where it may be offered once more.
    pub decided: Arc<OnceLock<Decided>>,
}

impl Handle {
    /// Hands a message over; gives it back when the task takes none any more.
    pub async fn send(&self, message: Box<Message>) -> Result<(), Box<Message>> {
        self.mailbox.send(message).await.map_err(|refused| refused.0)
    }

    /// Waits until the task has written everything and left the registry.
    pub async fn gone(&self) {
        self.gone.cancelled().await;
    }
}

/// A call's own end of its entry. Dropping it takes the call out of the registry, and whoever waits
/// for that goes on; also when the task that held it was cut off.
pub(super) struct Mailbox {
    /// What happened, in order.
    pub messages: mpsc::Receiver<Box<Message>>,
    id: CallId,
    gone: CancellationToken,
    registry: Arc<Registry>,
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        // Closed first: a message that would never be read is given back to its sender.
        self.messages.close();
        self.registry.shard(self.id).remove(&self.id);
        self.registry.count.fetch_sub(1, Ordering::Relaxed);
        self.gone.cancel();
    }
}

/// The calls that somebody looks after now.
#[derive(Default)]
pub(super) struct Registry {
    shards: [Mutex<HashMap<CallId, Handle>>; SHARDS],
    count: AtomicUsize,
}

impl Registry {
    /// The way to the call's task, if there is one.
    pub fn find(&self, id: CallId) -> Option<Handle> {
        self.shard(id).get(&id).cloned()
    }

    /// How many calls are looked after.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Enters a call. The mailbox is given to the one who entered it first.
    pub fn enter(self: &Arc<Self>, id: CallId) -> (Handle, Option<Mailbox>) {
        match self.shard(id).entry(id) {
            Entry::Occupied(entry) => (entry.get().clone(), None),
            Entry::Vacant(entry) => {
                let (mailbox, messages) = mpsc::channel(MAILBOX_PLACES);
                let gone = CancellationToken::new();
                let handle = Handle { mailbox, gone: gone.clone(), decided: Arc::default() };
                entry.insert(handle.clone());
                self.count.fetch_add(1, Ordering::Relaxed);
                let registry = Arc::clone(self);
                (handle, Some(Mailbox { messages, id, gone, registry }))
            }
        }
    }

    fn shard(&self, id: CallId) -> MutexGuard<'_, HashMap<CallId, Handle>> {
        let at = usize::from(id.as_bytes()[15]) % SHARDS;
        // Nothing panics while it holds a shard; were it so, the map itself would still be whole.
        self.shards[at].lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
