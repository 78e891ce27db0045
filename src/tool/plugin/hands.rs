//! What a plugin's imports reach for: the real things, or others in their place.
//!
//! The sandbox is the same with any hands: grants, limits and refusals are not theirs to decide. So a plugin
//! can be tried out in the real sandbox with a mocked backend.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, Entropy, SystemClock};
use crate::tool::outbound::{Client, FetchError, Request, Resolve, Response, Rules, SystemResolver};

use super::kv::KeyValueStore;

/// What the imports of one plugin work on.
#[derive(Clone)]
pub struct Hands {
    /// The namespace that it was granted; none: what it keeps is refused as unavailable.
    pub kv: Option<Arc<dyn KeyValueStore>>,
    /// What answers its HTTP requests.
    pub outbound: Outbound,
    /// What it reads as the time of day. What it reads as growing time is always the machine's.
    pub clock: Arc<dyn Clock>,
    /// Where its chance comes from.
    pub entropy: Arc<Entropy>,
    /// Where its log goes.
    pub log: Arc<dyn LogSink>,
}

/// What answers a plugin's HTTP requests.
#[derive(Clone)]
pub enum Outbound {
    /// The network, names being looked up so.
    Network(Arc<dyn Resolve>),
    /// Something in its place. It is asked only for what the plugin may reach.
    Instead(Arc<dyn Fetch>),
}

/// What a fetch gives.
pub type Fetching<'a> = Pin<Box<dyn Future<Output = Result<Response, FetchError>> + Send + 'a>>;

/// Answers HTTP requests.
pub trait Fetch: Send + Sync {
    /// Sends a request and reads the whole answer within `time`.
    fn fetch<'a>(&'a self, request: Request, time: Duration) -> Fetching<'a>;
}

/// How much a message of a plugin matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// For the plugin's author.
    Debug,
    /// An ordinary event.
    Info,
    /// Something is not as it should be.
    Warn,
    /// Something failed.
    Error,
}

/// Takes a plugin's messages.
pub trait LogSink: Send + Sync {
    /// Writes one down.
    fn write(&self, plugin: &str, level: LogLevel, message: &str);
}

/// The operator's log.
#[derive(Clone, Copy, Debug, Default)]
pub struct OperatorsLog;

impl LogSink for OperatorsLog {
    fn write(&self, plugin: &str, level: LogLevel, message: &str) {
        match level {
            LogLevel::Debug => tracing::debug!(plugin, "{message}"),
            LogLevel::Info => tracing::info!(plugin, "{message}"),
            LogLevel::Warn => tracing::warn!(plugin, "{message}"),
            LogLevel::Error => tracing::error!(plugin, "{message}"),
        }
    }
}

impl Hands {
    /// The real ones.
    pub fn real(kv: Option<Arc<dyn KeyValueStore>>) -> Hands {
        Hands {
            kv,
            outbound: Outbound::Network(Arc::new(SystemResolver)),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(Entropy::System),
            log: Arc::new(OperatorsLog),
        }
    }
}

impl Outbound {
    /// The way out within these rules.
    pub(super) fn within(&self, rules: Rules) -> Arc<dyn Fetch> {
        match self {
            Outbound::Network(resolve) => Arc::new(Client::new(rules, resolve.clone())),
            Outbound::Instead(inner) => Arc::new(Gate { rules, inner: inner.clone() }),
        }
    }
}

impl Fetch for Client {
    fn fetch<'a>(&'a self, request: Request, time: Duration) -> Fetching<'a> {
        Box::pin(Client::fetch(self, request, time))
    }
}

/// Holds what stands in for the network to the rules of the real one.
struct Gate {
    rules: Rules,
    inner: Arc<dyn Fetch>,
}

impl Fetch for Gate {
    fn fetch<'a>(&'a self, request: Request, time: Duration) -> Fetching<'a> {
        Box::pin(async move {
            let is_allowed =
                self.rules.allow.iter().any(|pattern| pattern.matches(&request.method, &request.url));
            if !is_allowed {
                let shown = request.url.split(['?', '#']).next().unwrap_or_default();
                return Err(FetchError::Denied(format!("nothing allows `{} {shown}`", request.method)));
            }
            let answered = tokio::time::timeout(time, self.inner.fetch(request, time)).await;
            let response = answered.unwrap_or(Err(FetchError::Timeout))?;
            let bytes_max = self.rules.response_bytes_max;
            if response.body.len() > bytes_max {
                Err(FetchError::TooLarge { bytes_max })
            } else {
                Ok(response)
            }
        })
    }
}
