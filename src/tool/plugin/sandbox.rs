//! One plugin in its sandbox: a fresh instance for each call, stopped at its limits, and every way in which it
//! can end told apart.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use wasmtime::component::Component;
use wasmtime::{PoolConcurrencyLimitError, Store, Trap, UpdateDeadline};

use super::engine::{Host, Ticker};
use super::failure::{Failure, LoadError, cut};
use super::guest::{Described, Guest, Surface};
use super::hands::Hands;
use super::lane::{Lane, Work};
use super::settings::Settings;
use super::state::{Overrun, Powers, Shared, State};
use crate::tool::context::CallContext;
use crate::tool::hooks::{CallEvent, IncomingAnswer};

/// The most that a guest may hand over in one host call, besides its answer: the body of a request.
const HOST_CALL_BYTES_MAX: usize = 1 << 20;
/// How long a plugin may take to describe itself.
const DESCRIBE_WITHIN: Duration = Duration::from_secs(5);
/// How much a plugin may say when it describes itself, in bytes: some more than its tools may have.
const DESCRIBE_BYTES_MAX: usize = 4 << 20;
/// How long a call that failed keeps its place where its plugin computes more than its share: nothing is
/// quicker than failing, and thousands of such calls a second would wake threads at the cost of everybody.
const REST: Duration = Duration::from_millis(10);

/// A plugin, ready to be called. Cloning gives another handle: a call takes one along, wherever it is run.
#[derive(Clone)]
pub(super) struct Sandbox {
    guest: Arc<Guest>,
    pub surface: Arc<Surface>,
    pub shared: Arc<Shared>,
    engine: wasmtime::Engine,
    lane: Arc<Lane>,
    stack_bytes: usize,
    /// Without it nothing would stop a loop.
    ticker: Arc<Ticker>,
}

impl Sandbox {
    /// Links a component. Nothing is granted yet.
    ///
    /// # Errors
    ///
    /// [`LoadError`] for what is no plugin of a version that is spoken.
    pub fn new(
        host: &Host,
        component: &Component,
        settings: &Settings,
        hands: Hands,
    ) -> Result<Sandbox, LoadError> {
        let surface = Surface::of(component, &settings.path)?;
        let guest = Guest::link(component, &surface, &settings.path)?;
        let shared = Shared {
            name: settings.name.as_str().into(),
            config: settings.config.clone(),
            limits: settings.limits.clone(),
            powers: Powers::default(),
            memory_peak_bytes: AtomicUsize::new(0),
            hands,
            began: Instant::now(),
        };
        Ok(Sandbox {
            guest: Arc::new(guest),
            surface: Arc::new(surface),
            lane: Arc::new(Lane::new(&shared.name)),
            shared: Arc::new(shared),
            engine: host.engine.clone(),
            stack_bytes: host.settings.stack_bytes,
            ticker: Arc::clone(&host.ticker),
        })
    }

    /// The same plugin with these powers.
    pub fn with(self, powers: Powers) -> Sandbox {
        let old = &self.shared;
        let shared = Shared {
            name: Arc::clone(&old.name),
            config: old.config.clone(),
            limits: old.limits.clone(),
            powers,
            // Describing itself does not count.
            memory_peak_bytes: AtomicUsize::new(0),
            hands: old.hands.clone(),
            began: old.began,
        };
        Sandbox { shared: Arc::new(shared), ..self }
    }

    /// Asks it what it is. A failure comes with what it said last.
    pub async fn describe(&self) -> Result<Described, (Failure, Option<String>)> {
        let this = self.clone();
        let described = Box::pin(async move {
            let mut store = this.store(None, DESCRIBE_WITHIN);
            store.set_hostcall_fuel(DESCRIBE_BYTES_MAX);
            let described = this.guest.describe(&mut store, &this.surface);
            let described = tokio::time::timeout(DESCRIBE_WITHIN, described).await;
            let settled = this.settle(described, &store, DESCRIBE_WITHIN, "describe", DESCRIBE_BYTES_MAX);
            let messages = Arc::clone(&store.data().messages);
            // An unfinished line of its outputs is said when they are gone.
            drop(store);
            Ok(settled.map_err(|failure| (failure, messages.last())))
        });
        self.run(described).await.map_err(|failure| (failure, None))?
    }

    pub async fn call(
        &self,
        context: &CallContext,
        tool: &str,
        arguments: &str,
        time: Duration,
    ) -> Result<String, Failure> {
        let (this, context) = (self.clone(), context.clone());
        let (tool, arguments) = (tool.to_owned(), arguments.to_owned());
        let called = Box::pin(async move {
            let mut store = this.store(Some(&context), time);
            let called = this.guest.call(&mut store, &context, &tool, &arguments);
            let called = tokio::time::timeout(time, called).await;
            this.settle(called, &store, time, &tool, this.shared.limits.output_bytes)?
        });
        self.run(called).await
    }

    pub async fn incoming(
        &self,
        context: &CallContext,
        headers: &[(String, String)],
        time: Duration,
    ) -> Result<IncomingAnswer, Failure> {
        let (this, context, headers) = (self.clone(), context.clone(), headers.to_owned());
        let answered = Box::pin(async move {
            let mut store = this.store(Some(&context), time);
            let answered = this.guest.incoming(&mut store, &context, &headers);
            let answered = tokio::time::timeout(time, answered).await;
            this.settle(answered, &store, time, "incoming", this.shared.limits.output_bytes)
        });
        self.run(answered).await
    }

    pub async fn event(
        &self,
        context: &CallContext,
        event: &CallEvent,
        time: Duration,
    ) -> Result<(), Failure> {
        let (this, context, event) = (self.clone(), context.clone(), event.clone());
        let told = Box::pin(async move {
            let mut store = this.store(Some(&context), time);
            let told = tokio::time::timeout(time, this.guest.event(&mut store, &context, &event)).await;
            this.settle(told, &store, time, "event", this.shared.limits.output_bytes)
        });
        self.run(told).await
    }

    pub async fn ended(&self, context: &CallContext, record: &str, time: Duration) -> Result<(), Failure> {
        let (this, context, record) = (self.clone(), context.clone(), record.to_owned());
        let told = Box::pin(async move {
            let mut store = this.store(Some(&context), time);
            let told = tokio::time::timeout(time, this.guest.ended(&mut store, &context, &record)).await;
            this.settle(told, &store, time, "ended", this.shared.limits.output_bytes)
        });
        self.run(told).await
    }

    /// Runs a call where the plugin is welcome at the moment.
    async fn run<T: Send + 'static>(&self, call: Work<Result<T, Failure>>) -> Result<T, Failure> {
        let broken_off = || Err(Failure::Unavailable("the thread that it ran on broke off".to_owned()));
        let ended = self.lane.run(call).await.unwrap_or_else(broken_off);
        if ended.as_ref().is_err_and(Failure::is_fault) && self.lane.failed() {
            tokio::time::sleep(REST).await;
        }
        ended
    }

    fn store(&self, context: Option<&CallContext>, time: Duration) -> Store<State> {
        let mut store = Store::new(&self.engine, State::new(&self.shared, self.ticker.wake(), context, time));
        store.limiter(|state| &mut state.watch);
        // What crosses over is copied: no more than an answer may have, and what host calls need.
        store.set_hostcall_fuel(self.shared.limits.output_bytes.saturating_add(HOST_CALL_BYTES_MAX));
        // A guest that computes lets everybody else go first at every tick, and stops at its deadline. The
        // timeout around each call stops one that waits in a host call.
        let deadline = store.data().deadline();
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |_| {
            if Instant::now() >= deadline {
                return Ok(UpdateDeadline::Interrupt);
            }
            Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
        });
        store
    }

    /// Tells apart how it ended, and tells the operator what there was too much of.
    fn settle<T>(
        &self,
        ended: Result<wasmtime::Result<T>, tokio::time::error::Elapsed>,
        store: &Store<State>,
        time: Duration,
        what: &str,
        bytes_max: usize,
    ) -> Result<T, Failure> {
        self.tell_overrun(store.data(), what);
        self.shared.memory_peak_bytes.fetch_max(store.data().watch.memory_bytes(), Ordering::Relaxed);
        match ended {
            Ok(Ok(answer)) => Ok(answer),
            // The engine has no type for this; the test of a huge answer keeps the words honest.
            Ok(Err(error)) if error.root_cause().to_string().contains("fuel allocated for hostcalls") => {
                Err(Failure::TooLarge { bytes_max })
            }
            Ok(Err(error)) => Err(self.failure_of(error, store.data(), time)),
            Err(_) => Err(Failure::Timeout(time)),
        }
    }

    fn tell_overrun(&self, state: &State, what: &str) {
        let plugin = &*self.shared.name;
        let limits = &self.shared.limits;
        let key = |name: &str| format!("plugins.{plugin}.limits.{name}");
        let dropped = state.messages.dropped();
        if dropped > 0 {
            tracing::warn!(
                plugin,
                what,
                dropped,
                bytes_max = limits.log_bytes,
                key = key("log"),
                "a plugin logs more than `limits.log` allows"
            );
        }
        let Overrun { actions, reports, requests } = state.overrun;
        if actions > 0 {
            tracing::warn!(
                plugin,
                what,
                refused = actions,
                "a plugin acts on a call more than 16 times, or at length"
            );
        }
        if reports > 0 {
            tracing::warn!(
                plugin,
                what,
                dropped = reports,
                "a plugin reports progress more than 8 times, or at length"
            );
        }
        if requests > 0 {
            tracing::warn!(
                plugin,
                what,
                refused = requests,
                requests_max = limits.http_requests,
                bytes_max = limits.http_bytes,
                key = key("http_requests"),
                "a plugin sends more than `limits.http_requests` or `limits.http_bytes` allow"
            );
        }
    }

    fn failure_of(&self, error: wasmtime::Error, state: &State, time: Duration) -> Failure {
        match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => return Failure::Timeout(time),
            Some(Trap::StackOverflow) => return Failure::OutOfStack(self.stack_bytes),
            _ => {}
        }
        if state.watch.is_out_of_memory {
            return Failure::OutOfMemory(self.shared.limits.memory_bytes);
        }
        if state.watch.is_out_of_table {
            return Failure::OutOfTable(self.shared.limits.table_elements);
        }
        if error.is::<PoolConcurrencyLimitError>() {
            return Failure::Busy("too many tools are running");
        }
        // The engine has no type for this either; the test of too many instances keeps the words honest.
        if error.root_cause().to_string().contains("instance count too high") {
            return Failure::TooManyInstances(self.shared.limits.instances);
        }
        // Where it trapped is for the plugin's author.
        tracing::debug!(plugin = &*self.shared.name, "a plugin trapped: {error:#}");
        Failure::Trapped(cut(&error.root_cause().to_string()))
    }
}
