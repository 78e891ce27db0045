//! The world's log: one line per exchange between the parties, readable as a story.
//!
//! That text is the demo's output, the tests' evidence and the documentation's example:
//!
//! ```text
//! 00.000   twilio → gateway  POST /twilio/voice  CA01…  +819012345678 → +815012345678
//! 00.004   twilio ← gateway  200 Dial Sip sip:proj_demo@sip.api.openai.com;transport=tls
//! ```

use std::sync::{Arc, Mutex};

use crate::clock::{Clock, Timestamp};

/// A party to an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// The person on the phone.
    Caller,
    /// The carrier.
    Twilio,
    /// The voice provider.
    OpenAi,
    /// The gateway under test.
    Gateway,
    /// The business behind the tools.
    Backend,
}

impl Party {
    fn name(self) -> &'static str {
        match self {
            Party::Caller => "caller",
            Party::Twilio => "twilio",
            Party::OpenAi => "openai",
            Party::Gateway => "gateway",
            Party::Backend => "backend",
        }
    }
}

/// One exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// When.
    pub at: Timestamp,
    /// Who began it.
    pub from: Party,
    /// Who answered or received it.
    pub to: Party,
    /// `true` when this is the answer of `to` to something `from` began earlier.
    pub is_answer: bool,
    /// What, in the vendor's words.
    pub text: String,
}

/// Is handed each line as it is written.
pub type Listener = Box<dyn Fn(&str) + Send + Sync>;

/// The shared log of one world. Cloning gives another handle to the same log.
#[derive(Clone)]
pub struct WorldLog {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Arc<dyn Clock>,
    began: Timestamp,
    exchanges: Mutex<Vec<Exchange>>,
    listener: Option<Listener>,
    keeps_nothing: bool,
}

impl WorldLog {
    /// A log that starts now; `listener` is handed each line as it is written.
    pub fn new(clock: Arc<dyn Clock>, listener: Option<Listener>) -> WorldLog {
        WorldLog::of(clock, listener, false)
    }

    /// A log that tells and keeps nothing: for worlds that last.
    pub fn passing(clock: Arc<dyn Clock>, listener: Listener) -> WorldLog {
        WorldLog::of(clock, Some(listener), true)
    }

    /// A log that neither tells nor keeps: for load, where a line per exchange would be the heaviest work.
    pub fn quiet(clock: Arc<dyn Clock>) -> WorldLog {
        WorldLog::of(clock, None, true)
    }

    fn of(clock: Arc<dyn Clock>, listener: Option<Listener>, keeps_nothing: bool) -> WorldLog {
        let began = clock.now();
        let exchanges = Mutex::default();
        WorldLog { inner: Arc::new(Inner { clock, began, exchanges, listener, keeps_nothing }) }
    }

    /// Writes that `from` said `text` to `to`.
    pub fn say(&self, from: Party, to: Party, text: impl FnOnce() -> String) {
        self.write(from, to, false, text);
    }

    /// Writes that `from`, asked by `to`, answered `text`. Printed as `to ← from`.
    pub fn answer(&self, from: Party, to: Party, text: impl FnOnce() -> String) {
        self.write(to, from, true, text);
    }

    fn write(&self, from: Party, to: Party, is_answer: bool, text: impl FnOnce() -> String) {
        if self.inner.keeps_nothing && self.inner.listener.is_none() {
            return;
        }
        let exchange = Exchange { at: self.inner.clock.now(), from, to, is_answer, text: text() };
        if let Some(listener) = &self.inner.listener {
            listener(&self.line(&exchange));
        }
        if !self.inner.keeps_nothing {
            self.lock().push(exchange);
        }
    }

    /// All exchanges so far.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.lock().clone()
    }

    /// The log as text, a line per exchange.
    pub fn text(&self) -> String {
        self.exchanges().iter().map(|exchange| self.line(exchange) + "\n").collect()
    }

    fn line(&self, exchange: &Exchange) -> String {
        let since = exchange.at.since(self.inner.began);
        let arrow = if exchange.is_answer { '←' } else { '→' };
        format!(
            "{:02}.{:03}  {:>7} {arrow} {:<7}  {}",
            since.as_secs(),
            since.subsec_millis(),
            exchange.from.name(),
            exchange.to.name(),
            exchange.text
        )
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Exchange>> {
        self.inner.exchanges.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
