//! Where a plugin computes: on the gateway's own threads as long as it is brief, and otherwise on one thread
//! of its own.
//!
//! A guest gives way at every tick, but sixteen that compute would still keep a short call waiting for
//! sixteen ticks. So a plugin has an account of computing time that fills up with time. Who overdraws it goes
//! on elsewhere, in the middle of a call if need be, where its calls wait for each other only, and takes no
//! more than one processor. That thread is an ordinary one: of low priority it was found to be put off while
//! it held what others wait for, the lock of the process's memory above all.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle};
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument as _;
use tracing::instrument::WithSubscriber as _;

use super::engine::TICK;

/// How long a plugin may compute at a stretch on the gateway's threads.
const BRIEF: Duration = TICK;
/// The share of one processor that fills its account again, as a divisor.
const REFILL_DIVISOR: u32 = 4;
/// The deepest debt: paid back within four tenths of a second.
const DEBT_MAX: Duration = Duration::from_millis(100);

/// One plugin's way to a processor.
pub(super) struct Lane {
    name: Arc<str>,
    account: Arc<Account>,
    /// Begun when it is first needed; none: the system gives no more threads.
    thread: OnceLock<Option<mpsc::UnboundedSender<Job>>>,
}

/// A call of a plugin. On the heap, where it can go on elsewhere.
pub(super) type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The rest of a call, for the plugin's own thread. There are no more of them than `limits.concurrency`.
type Job = Work<()>;

impl Lane {
    pub fn new(name: &Arc<str>) -> Lane {
        Lane { name: Arc::clone(name), account: Arc::default(), thread: OnceLock::new() }
    }

    /// Runs a call to its end, here or elsewhere. None only when its thread broke off.
    pub async fn run<T: Send + 'static>(&self, work: Work<T>) -> Option<T> {
        let mut call = Metered::new(work, &self.account);
        if self.account.is_trusted() {
            let briefly = std::future::poll_fn(|context| match Pin::new(&mut call).poll(context) {
                Poll::Ready(answer) => Poll::Ready(Some(answer)),
                Poll::Pending if self.account.is_overdrawn() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            });
            if let Some(answer) = briefly.await {
                return Some(answer);
            }
        }
        self.elsewhere(call).await
    }

    /// Claims that it computes more than its share. Its next call begins on its own thread: the last one failed.
    pub fn failed(&self) -> bool {
        let mut balance = self.account.balance();
        balance.was_good = false;
        balance.left.is_zero()
    }

    async fn elsewhere<T: Send + 'static>(&self, mut call: Metered<T>) -> Option<T> {
        let Some(thread) = self.thread.get_or_init(|| begin(&self.name)) else {
            return Some(call.await);
        };
        // Its timers and connections stay with the gateway's runtime, what it logs with the call.
        call.home = Some(Handle::current());
        let call = call.in_current_span().with_current_subscriber();
        let (mut answer, answered) = oneshot::channel();
        let job: Job = Box::pin(async move {
            tokio::select! {
                biased;
                // Nobody waits any more: the call is over, or the plugin is too late.
                () = answer.closed() => {}
                done = call => drop(answer.send(done)),
            }
        });
        if let Err(mpsc::error::SendError(job)) = thread.send(job) {
            job.await;
        }
        answered.await.ok()
    }
}

/// Begins a plugin's own thread. It ends when the plugin is gone.
fn begin(name: &str) -> Option<mpsc::UnboundedSender<Job>> {
    let (jobs, mut waiting) = mpsc::unbounded_channel::<Job>();
    let serve = move || {
        let Ok(runtime) = Builder::new_current_thread().build() else { return };
        runtime.block_on(async {
            while let Some(job) = waiting.recv().await {
                tokio::spawn(job);
            }
        });
    };
    match std::thread::Builder::new().name(format!("plugin-{name}")).spawn(serve) {
        Ok(_) => Some(jobs),
        Err(error) => {
            tracing::warn!(plugin = name, %error, "no thread can be had for a plugin that computes long");
            None
        }
    }
}

/// A call whose computing is paid from the plugin's account.
struct Metered<T> {
    work: Work<T>,
    account: Arc<Account>,
    spent: Duration,
    /// The runtime it belongs to, where that is not the one that polls it.
    home: Option<Handle>,
}

impl<T> Metered<T> {
    fn new(work: Work<T>, account: &Arc<Account>) -> Metered<T> {
        Metered { work, account: Arc::clone(account), spent: Duration::ZERO, home: None }
    }
}

impl<T> Future for Metered<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let this = &mut *self;
        let _home = this.home.as_ref().map(Handle::enter);
        let began = Instant::now();
        let polled = this.work.as_mut().poll(context);
        let took = began.elapsed();
        this.spent += took;
        this.account.balance().pay(took);
        polled
    }
}

impl<T> Drop for Metered<T> {
    fn drop(&mut self) {
        self.account.balance().was_good = self.spent <= BRIEF;
    }
}

/// How much computing time a plugin has left.
struct Account {
    balance: Mutex<Balance>,
}

struct Balance {
    left: Duration,
    debt: Duration,
    at: Instant,
    /// Its last call was done within what is brief, and did not fail.
    was_good: bool,
}

impl Default for Account {
    fn default() -> Account {
        let balance = Balance { left: BRIEF, debt: Duration::ZERO, at: Instant::now(), was_good: true };
        Account { balance: Mutex::new(balance) }
    }
}

impl Account {
    /// Claims that its next call may begin on the gateway's threads.
    fn is_trusted(&self) -> bool {
        let mut balance = self.balance();
        balance.refill();
        balance.was_good && !balance.left.is_zero()
    }

    fn is_overdrawn(&self) -> bool {
        self.balance().left.is_zero()
    }

    fn balance(&self) -> MutexGuard<'_, Balance> {
        // Numbers cannot be left half changed by a panic elsewhere.
        self.balance.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Balance {
    fn pay(&mut self, cost: Duration) {
        self.refill();
        let unpaid = cost.saturating_sub(self.left);
        self.left = self.left.saturating_sub(cost);
        self.debt = (self.debt + unpaid).min(DEBT_MAX);
    }

    fn refill(&mut self) {
        let earned = self.at.elapsed() / REFILL_DIVISOR;
        self.at = Instant::now();
        let above = earned.saturating_sub(self.debt);
        self.debt = self.debt.saturating_sub(earned);
        self.left = (self.left + above).min(BRIEF);
    }
}
