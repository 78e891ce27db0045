//! HTTP tools: a request written in TOML, for those who never compile.
//!
//! The model's arguments are checked against the schema, put into the request where they can do no harm, and
//! what comes back is JSON for the model. Tries, pauses and the answer share one deadline. A backend that
//! fails again and again is left alone for a while, and the model is told so at once. The log names method,
//! host and the path as the configuration has it, never what was put in.

mod answer;
mod settings;
pub mod template;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::context::CallContext;
use super::outbound::{Client, FetchError, Request, Resolve, Response, Rules};
use crate::breaker::Breaker;
use crate::call::record::ToolOutcomeKind;

pub use answer::Trouble;
pub use settings::{Meaning, Retry, RetryOn, Settings};

use template::{Facts, RenderError};

/// Before the first further try; each one after that waits twice as long.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// How many redirects are followed: one for a moved path, one for a slash, one to spare.
const REDIRECTS_MAX: u8 = 3;
/// How much one tool keeps of its answers, in bytes.
const CACHE_BYTES_MAX: u64 = 4 << 20;

/// A tool that asks an HTTP backend; cloning gives another handle.
#[derive(Clone)]
pub struct HttpTool {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    client: Client,
    breaker: Option<Breaker>,
    cache: Option<Cache<[u8; 32], Arc<str>>>,
}

impl HttpTool {
    /// Makes the tool; nothing is sent yet.
    pub fn new(settings: Settings, resolve: Arc<dyn Resolve>) -> HttpTool {
        let mut allow: Vec<_> = settings.request.url.origin_pattern().into_iter().collect();
        allow.extend(settings.follow.clone());
        let rules = Rules {
            allow,
            private_hosts: settings.private_hosts.clone(),
            response_bytes_max: settings.response_bytes_max,
            redirects_max: REDIRECTS_MAX,
        };
        let cache = settings.cache.map(|time_to_live| {
            Cache::builder()
                .weigher(|_, answer: &Arc<str>| {
                    u32::try_from(answer.len()).unwrap_or(u32::MAX).saturating_add(64)
                })
                .max_capacity(CACHE_BYTES_MAX)
                .time_to_live(time_to_live)
                .build()
        });
        let breaker = settings.breaker.map(Breaker::new);
        HttpTool { inner: Arc::new(Inner { settings, client: Client::new(rules, resolve), breaker, cache }) }
    }

    /// What the operator said.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// Claims that its backend failed too often and is not asked at the moment.
    pub fn is_resting(&self) -> bool {
        self.inner.breaker.as_ref().is_some_and(|breaker| breaker.is_open(Instant::now()))
    }

    /// Asks the backend. `arguments` fit the schema. The answer is JSON text.
    ///
    /// # Errors
    ///
    /// [`Trouble`]; it has been logged where it is for the operator.
    pub async fn call(&self, context: &CallContext, arguments: &Value) -> Result<String, Trouble> {
        let began = Instant::now();
        let deadline = began + self.inner.settings.time;
        let asked = tokio::time::timeout_at(deadline, self.inner.ask(context, arguments, deadline)).await;
        let outcome = asked.unwrap_or_else(|_| Err(answer::failed(&FetchError::Timeout)));
        let outcome = outcome.map_err(|trouble| self.inner.in_own_words(trouble));
        self.inner.log(&outcome, began.elapsed());
        outcome
    }
}

impl fmt::Debug for HttpTool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTool").field("name", &self.inner.settings.name).finish_non_exhaustive()
    }
}

impl Inner {
    async fn ask(
        &self,
        context: &CallContext,
        arguments: &Value,
        deadline: Instant,
    ) -> Result<String, Trouble> {
        let arguments = self.with_defaults(arguments);
        let properties = self.settings.parameters.get("properties").and_then(Value::as_object);
        let known = properties.into_iter().flat_map(|properties| properties.keys());
        let facts = Facts::new(context, &arguments, known);
        let request = self.settings.request.render(&facts).map_err(unrendered)?;
        let key = digest(&request);
        if let Some(cache) = &self.cache
            && let Some(answer) = cache.get(&key).await
        {
            tracing::debug!(tool = self.settings.name, "an HTTP tool answered from its cache");
            return Ok(answer.to_string());
        }
        let outcome = self.guarded(request, deadline).await;
        if let (Some(cache), Ok(answer)) = (&self.cache, &outcome) {
            cache.insert(key, Arc::from(answer.as_str())).await;
        }
        outcome
    }

    fn with_defaults(&self, arguments: &Value) -> Value {
        let mut arguments = arguments.clone();
        if let Some(table) = arguments.as_object_mut() {
            for (name, value) in &self.settings.defaults {
                table.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
        arguments
    }

    /// Asks unless the breaker is open, and tells it what came of it.
    async fn guarded(&self, request: Request, deadline: Instant) -> Result<String, Trouble> {
        let Some(breaker) = &self.breaker else { return self.insist(request, deadline).await };
        let Some(admission) = breaker.admit(Instant::now()) else {
            let words = "it failed several times in a row and is left alone for a moment; try again later";
            return Err(
                Trouble::new(ToolOutcomeKind::Unavailable, words).because("the circuit breaker is open")
            );
        };
        // The deadline is kept here too, so that a try which is too slow counts as one that failed.
        let asked = tokio::time::timeout_at(deadline, self.insist(request, deadline)).await;
        let outcome = asked.unwrap_or_else(|_| Err(answer::failed(&FetchError::Timeout)));
        let is_failure = outcome.as_ref().is_err_and(Trouble::is_of_backend);
        let tool = self.settings.name.as_str();
        if is_failure {
            if admission.failed(Instant::now()) {
                tracing::warn!(tool, "a circuit breaker opened: the backend is left alone for a while");
            }
        } else if admission.succeeded() {
            tracing::info!(tool, "a circuit breaker closed: the backend answers again");
        }
        outcome
    }

    /// Tries until there is an answer, no try is left, or no time.
    async fn insist(&self, request: Request, deadline: Instant) -> Result<String, Trouble> {
        let retry = &self.settings.retry;
        let mut pause = RETRY_PAUSE;
        let mut tries_left = retry.attempts.max(1);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            // Where a try that takes too long shall be followed by another, it may not take all the time.
            let share = if retry.on.contains(&RetryOn::Timeout) { left / tries_left } else { left };
            let fetched = self.client.fetch(request.clone(), share).await;
            tries_left -= 1;
            let may_help = retry_reason(&fetched).is_some_and(|reason| retry.on.contains(&reason));
            let wait = retry_after(&fetched).unwrap_or(pause);
            pause *= 2;
            if tries_left == 0 || !may_help || Instant::now() + wait >= deadline {
                return match fetched {
                    Ok(response) => answer::read(&self.settings, &response),
                    Err(error) => Err(answer::failed(&error)),
                };
            }
            tracing::debug!(
                tool = self.settings.name,
                wait_ms = wait.as_millis(),
                "an HTTP tool tries again"
            );
            tokio::time::sleep(wait).await;
        }
    }

    /// The operator's words in place of ours, where the backend did not answer as it should.
    fn in_own_words(&self, trouble: Trouble) -> Trouble {
        let is_own = matches!(trouble.kind, ToolOutcomeKind::InvalidArguments | ToolOutcomeKind::NotFound);
        match &self.settings.on_error {
            Some(words) if !is_own => Trouble { message: words.clone(), ..trouble },
            _ => trouble,
        }
    }

    fn log(&self, outcome: &Result<String, Trouble>, took: Duration) {
        let (tool, url) = (self.settings.name.as_str(), &self.settings.request.url);
        let (method, origin, path) =
            (self.settings.request.method.as_str(), url.origin(), url.shown.as_str());
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        match outcome {
            Ok(_) => tracing::info!(tool, method, origin, path, ms, "an HTTP tool answered"),
            Err(trouble) => {
                let (outcome, detail) =
                    (trouble.kind.as_str(), trouble.detail.as_deref().unwrap_or_default());
                tracing::warn!(tool, method, origin, path, outcome, detail, ms, "an HTTP tool failed");
            }
        }
    }
}

fn unrendered(error: RenderError) -> Trouble {
    match error {
        RenderError::Value(words) => Trouble::new(ToolOutcomeKind::InvalidArguments, words),
        RenderError::Template(error) => {
            Trouble::new(ToolOutcomeKind::Failed, "it failed inside").because(error.to_string())
        }
    }
}

/// Why another try may help.
fn retry_reason(fetched: &Result<Response, FetchError>) -> Option<RetryOn> {
    match fetched {
        Ok(response) => match response.status {
            429 => Some(RetryOn::TooMany),
            500..=599 => Some(RetryOn::ServerError),
            _ => None,
        },
        Err(FetchError::Timeout) => Some(RetryOn::Timeout),
        Err(FetchError::Connect(_) | FetchError::Dns(_)) => Some(RetryOn::Connect),
        Err(_) => None,
    }
}

/// How long the backend asks to be left alone, in seconds; dates are not read, as clocks differ.
fn retry_after(fetched: &Result<Response, FetchError>) -> Option<Duration> {
    let seconds = fetched.as_ref().ok()?.header("retry-after")?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// What makes two requests the same; a digest, as there are secrets in them.
fn digest(request: &Request) -> [u8; 32] {
    let mut digest = Sha256::new();
    let mut add = |part: &[u8]| {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    };
    add(request.method.as_bytes());
    add(request.url.as_bytes());
    for (name, value) in &request.secret_headers {
        add(name.as_bytes());
        add(value.expose().as_bytes());
    }
    add(request.body.as_deref().unwrap_or_default());
    digest.finalize().into()
}
