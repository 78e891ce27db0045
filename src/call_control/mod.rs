//! Where calls live: who is let in, who looks after each call, and how many there are.
//!
//! [`CallControl`] is what the doors talk to. `intake` decides about new calls, [`admission`] whether there is room for one more, [`pulse`] whether the machine keeps up, `answering` how they are answered; `runner` is the one
//! task that owns a call and does what [`crate::call::Call::step`] says, over a `link` to the provider;
//! `streams` lets the audio of bridged calls in; [`paths`] says which way a call goes, [`features`] what operators set of that, and `afterwards` what
//! becomes of a caller when that is over; [`rules`] is what the configuration says of all that; `registry` finds the runner
//! of a call; `resume` goes on with the calls that an earlier process left, `draining` leaves them to the next; `incoming` asks plugins before a call is accepted, `following` tells them what happens in
//! it; [`finished`] says how it was; [`feed`] has what operators watch. Whatever happens to a call goes through its runner, so that a call needs no lock; a call
//! that nobody looks after any more is read back from the store when something late arrives for it.
//! [`recordings`] looks after what outlives the call, [`notifications`] tells other systems of it. What of all this is a function of data is in [`order`].

pub mod admission;
mod afterwards;
mod answering;
mod draining;
pub mod erasing;
pub mod features;
pub mod feed;
pub mod finished;
mod following;
mod handing;
mod incoming;
mod intake;
mod link;
pub mod notifications;
pub mod order;
pub mod paths;
pub mod pulse;
pub mod recordings;
mod registry;
mod resume;
pub mod rules;
mod runner;
mod streams;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::call::Call;
use crate::call::event::{CarrierEvent, Command, Event, Wish, Wished};
use crate::call::record::{CallRecord, Path, State};
use crate::clock::{Clock, Entropy};
use crate::ids::{CallId, CallSid};
use crate::metrics::Metrics;
use crate::routing::Action;
use crate::store::{Alias, Store, StoreError};
use crate::telemetry::Traces;
use crate::tool::generation::Generations;
use crate::wire::join_token::JoinKey;

use admission::{Admission, Place};
pub use afterwards::Next;
use feed::Feed;
pub use intake::{Asked, Delivery, DialPlan, Offered};
use order::Left;
use paths::{Paths, Trial};
use pulse::Pulse;
use registry::{Done, Handle, Mailbox, Message, Registry};
pub use rules::{Rules, Settings};
use runner::Runner;
pub use streams::{Stream, StreamRefusal};

/// What a call holds while it is looked after.
#[derive(Default)]
struct Held {
    place: Option<Place>,
    /// It will show whether its path works.
    trial: Option<Trial>,
}

/// Everything a call needs, shared by all calls of one gateway.
pub struct CallControl {
    rules: ArcSwap<Rules>,
    store: Store,
    tools: Arc<Generations>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    entropy: Entropy,
    join_key: JoinKey,
    registry: Arc<Registry>,
    deliveries: intake::Deliveries,
    runners: TaskTracker,
    paths: Paths,
    archive: recordings::Archive,
    notifications: Arc<notifications::Notifications>,
    admission: Admission,
    feed: Arc<Feed>,
    traces: Option<Traces>,
    /// Whose turn it is to take up a call that an earlier process left.
    resuming: Arc<Semaphore>,
    /// No new calls are let in: the gateway is being stopped.
    closing: CancellationToken,
    /// How many calls have their audio carried here.
    bridged: AtomicUsize,
    /// Callers whose stream was closed because the gateway stops, and whom the carrier was told to keep for the
    /// next process.
    sent_on: AtomicUsize,
    /// No tool begins any more that may not run twice: the calls are about to be left.
    finishing: CancellationToken,
    /// Has a token for every call in which such a tool runs.
    unfinished: TaskTracker,
    /// Calls that are not over are left as they are: the next process goes on with them.
    leaving: CancellationToken,
    /// The same for bridged calls, which are left first.
    leaving_streams: CancellationToken,
}

/// What a gateway's call control is made of.
pub struct Parts {
    /// What its configuration says.
    pub rules: Rules,
    /// Where calls are kept.
    pub store: Store,
    /// The tools, of which a call gets the newest when it begins.
    pub tools: Arc<Generations>,
    /// What operators watch.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Entropy,
    /// Signs the tokens that join the provider's call to the carrier's.
    pub join_key: JoinKey,
    /// Whether the machine keeps up.
    pub pulse: Arc<Pulse>,
    /// Where traces of calls go; none: nowhere.
    pub traces: Option<Traces>,
}

/// Why something could not be brought to a call.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// There is no such call.
    #[error("no call `{0}`")]
    NoSuchCall(CallId),
    /// It could not be kept.
    #[error("the call could not be kept")]
    Store(#[from] StoreError),
    /// The call's task went away while it was being told; only at shutdown.
    #[error("the gateway is stopping")]
    Stopping,
}

impl CallControl {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Arc<CallControl> {
        let breaker = parts.rules.settings.failover.as_ref().and_then(|failover| failover.breaker);
        Arc::new(CallControl {
            admission: Admission::new(parts.pulse),
            paths: Paths::new(breaker, Arc::clone(&parts.metrics)),
            archive: recordings::Archive::new(&parts.rules.recordings, &parts.store),
            notifications: notifications::Notifications::new(&parts.rules.notifications),
            feed: Feed::new(parts.clock.now()),
            rules: ArcSwap::from_pointee(parts.rules),
            traces: parts.traces,
            store: parts.store,
            tools: parts.tools,
            metrics: parts.metrics,
            clock: parts.clock,
            entropy: parts.entropy,
            join_key: parts.join_key,
            registry: Arc::default(),
            deliveries: intake::Deliveries::default(),
            runners: TaskTracker::new(),
            resuming: Arc::new(Semaphore::new(resume::AT_ONCE)),
            closing: CancellationToken::new(),
            bridged: AtomicUsize::new(0),
            sent_on: AtomicUsize::new(0),
            finishing: CancellationToken::new(),
            unfinished: TaskTracker::new(),
            leaving: CancellationToken::new(),
            leaving_streams: CancellationToken::new(),
        })
    }

    /// The store, for those who read.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What operators watch.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The tools.
    pub fn tools(&self) -> &Generations {
        &self.tools
    }

    /// What happens in calls, for those who watch.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// What the configuration says now.
    pub fn rules(&self) -> Arc<Rules> {
        self.rules.load_full()
    }

    /// From now on this is what the configuration says. Calls that are answered keep the session, the tools and the
    /// prices they began with; what is still to be decided of them is decided by this.
    pub fn adopt(&self, rules: Rules) {
        self.paths.guard_with(rules.settings.failover.as_ref().and_then(|failover| failover.breaker));
        self.set_notifications(&rules.notifications);
        self.rules.store(Arc::new(rules));
    }

    /// The path that an answered call of this route and caller would take now; none: there is none.
    pub fn foresee_path(&self, route: Option<&str>, caller: &str, has_stream: bool) -> Option<Path> {
        self.paths.foresee(&self.rules().settings, route, caller, has_stream, Instant::now())
    }

    /// How late the machine is, where that is too late to let anybody in.
    pub fn behind(&self) -> Option<Duration> {
        self.admission.behind()
    }

    /// The paths that are left alone now because they failed too often.
    pub fn resting_paths(&self) -> Vec<Path> {
        self.paths.resting(Instant::now())
    }

    /// How many calls are being looked after.
    pub fn active(&self) -> usize {
        self.registry.len()
    }

    /// Waits until nobody looks after a call any more. Take no new calls before.
    pub async fn drained(&self) {
        self.runners.close();
        self.runners.wait().await;
    }

    /// Brings a report of the carrier to its call; durable when this returns.
    ///
    /// # Errors
    ///
    /// [`DeliverError`]; a report for a call that is not known is one.
    pub async fn carrier_reported(
        self: &Arc<Self>,
        call: CallId,
        event: CarrierEvent,
    ) -> Result<(), DeliverError> {
        let writes = order::aliases_of(call, &event);
        self.deliver(call, Message::durable(Event::Carrier(event), writes)).await
    }

    /// Our call to which a leg of the carrier belongs: the caller's own.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store cannot be read.
    pub fn call_of_carrier(&self, call_sid: &CallSid) -> Result<Option<CallId>, StoreError> {
        self.store.call_by_alias(&Alias::Carrier(call_sid.clone()))
    }

    /// Brings an operator's wish to a call.
    ///
    /// # Errors
    ///
    /// [`DeliverError`].
    pub async fn command(self: &Arc<Self>, call: CallId, command: Command) -> Result<(), DeliverError> {
        self.deliver(call, Message::durable(Event::Command(command), Vec::new())).await
    }

    /// Brings to a call what somebody beside it wants of it, as a plugin's wish is brought; `by` says who.
    ///
    /// # Errors
    ///
    /// [`DeliverError`].
    pub async fn wish(self: &Arc<Self>, call: CallId, by: String, wish: Wish) -> Result<(), DeliverError> {
        let wished = Wished { by, tool_call: None, wish };
        self.deliver(call, Message::durable(Event::Wished(wished), Vec::new())).await
    }

    /// To whom a caller can be handed on, by name; nobody once the call is over. Before it is offered these are those of
    /// its route's session.
    pub fn transfer_targets(&self, call: &CallRecord) -> Vec<String> {
        if call.state == State::Ended {
            return Vec::new();
        }
        let rules = self.rules();
        let of_route = || match &rules.settings.routes.named(call.route.as_deref()?)?.action {
            Action::Answer { session, .. } => Some(session.as_str()),
            Action::Reject(_) | Action::Forward(_) => None,
        };
        let session = call.session.as_deref().or_else(of_route).and_then(|name| rules.sessions.get(name));
        session.map(|session| session.transfer.keys().cloned().collect()).unwrap_or_default()
    }

    /// Goes on with something to its end, also when whoever wanted it is gone; the gateway waits for it when it stops.
    pub fn finish(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runners.spawn(task);
    }

    /// Chance, for those who need an id that nobody can guess.
    pub fn draw<const N: usize>(&self) -> [u8; N] {
        self.entropy.bytes()
    }

    /// Brings a message to the call's task, which is started if there is none, and waits until what
    /// came of it is on disk.
    async fn deliver(
        self: &Arc<Self>,
        id: CallId,
        (message, done): (Message, Done),
    ) -> Result<(), DeliverError> {
        let mut message = Box::new(message);
        loop {
            let handle = match self.registry.find(id) {
                Some(handle) => handle,
                None => self.revive(id)?,
            };
            match handle.send(message).await {
                Ok(()) => break,
                // Its task is about to go: wait until it has written everything, then ask the store.
                Err(returned) => {
                    message = returned;
                    handle.gone().await;
                }
            }
        }
        done.await.map_err(|_| DeliverError::Stopping)?.map_err(DeliverError::Store)
    }

    /// Starts a task for a call that nobody looks after, with what the store knows of it.
    fn revive(self: &Arc<Self>, id: CallId) -> Result<Handle, DeliverError> {
        // Entered before it is read: from here on nobody else can write it.
        let (handle, mailbox) = self.registry.enter(id);
        if let Some(mailbox) = mailbox {
            let record = self.store.call(id)?.ok_or(DeliverError::NoSuchCall(id))?;
            if self.left().has(&record) {
                return Err(DeliverError::Stopping);
            }
            self.spawn(Call::from_record(record), mailbox, Held::default());
        }
        Ok(handle)
    }

    /// Which calls were left to the next process.
    fn left(&self) -> Left {
        match (self.leaving.is_cancelled(), self.leaving_streams.is_cancelled()) {
            (true, _) => Left::All,
            (false, true) => Left::Bridged,
            (false, false) => Left::None,
        }
    }

    /// Starts the task of a new call.
    fn look_after(self: &Arc<Self>, call: Call, held: Held) {
        let (_, mailbox) = self.registry.enter(call.record.id);
        if let Some(mailbox) = mailbox {
            self.spawn(call, mailbox, held);
        }
    }

    fn spawn(self: &Arc<Self>, call: Call, mailbox: Mailbox, held: Held) {
        self.runners.spawn(Runner::new(Arc::clone(self), call, mailbox, held).run());
    }
}
