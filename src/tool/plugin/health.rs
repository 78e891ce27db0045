//! How a plugin fares: every call into it is counted and timed, and one that fails again and again is left
//! alone for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::Instant;

use super::Failure;
use crate::breaker::{self, Breaker};
use crate::metrics::Metrics;

/// The health of one loaded version of a plugin. A new version begins healthy.
pub(super) struct Health {
    plugin: String,
    metrics: Arc<Metrics>,
    breaker: Option<Breaker>,
    /// The breaker is counted as open.
    is_resting: AtomicBool,
}

/// What a call says about its plugin.
enum Verdict {
    /// It works; also when it honestly says no.
    Well,
    /// It does not work.
    Ill,
    /// Something behind it is away, or it had no place: neither.
    Unknown,
}

impl Health {
    /// Healthy. Without settings a plugin is always called.
    pub fn new(plugin: &str, breaker: Option<breaker::Settings>, metrics: Arc<Metrics>) -> Health {
        let breaker = breaker.map(Breaker::new);
        Health { plugin: plugin.to_owned(), metrics, breaker, is_resting: AtomicBool::new(false) }
    }

    /// Claims that the plugin is not called at the moment.
    pub fn is_resting(&self) -> bool {
        self.breaker.as_ref().is_some_and(|breaker| breaker.is_open(Instant::now()))
    }

    /// Makes a call into the plugin, unless it is left alone; counts it, and learns from it. A call that is
    /// dropped before its end says nothing.
    pub async fn watch<T>(&self, call: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let began = Instant::now();
        let admission = match &self.breaker {
            None => None,
            Some(breaker) => match breaker.admit(began) {
                Some(admission) => Some(admission),
                None => {
                    self.metrics.plugin_call(&self.plugin, "breaker_open", began.elapsed());
                    return Err(Failure::Unavailable("it is out of order for the moment".to_owned()));
                }
            },
        };
        let result = call.await;
        self.metrics.plugin_call(&self.plugin, outcome(&result), began.elapsed());
        let Some(admission) = admission else { return result };
        match verdict(&result) {
            Verdict::Well => {
                if admission.succeeded() {
                    tracing::info!(plugin = self.plugin, "a plugin's breaker closed: it answers again");
                    self.rest(false);
                }
            }
            Verdict::Ill => {
                if admission.failed(Instant::now()) {
                    tracing::warn!(
                        plugin = self.plugin,
                        last = outcome(&result),
                        "a plugin's breaker opened: it failed too often and is left alone for `breaker.open_for`"
                    );
                    self.rest(true);
                }
            }
            Verdict::Unknown => {}
        }
        result
    }

    fn rest(&self, is_resting: bool) {
        if self.is_resting.swap(is_resting, Ordering::Relaxed) != is_resting {
            self.metrics.plugin_breaker(&self.plugin, is_resting);
        }
    }
}

impl Drop for Health {
    fn drop(&mut self) {
        self.rest(false);
    }
}

fn verdict<T>(result: &Result<T, Failure>) -> Verdict {
    match result {
        Err(Failure::Unavailable(_) | Failure::Busy(_)) => Verdict::Unknown,
        Err(failure) if failure.is_fault() => Verdict::Ill,
        _ => Verdict::Well,
    }
}

/// The outcome as a metric label.
fn outcome<T>(result: &Result<T, Failure>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(failure) => match failure {
            Failure::UnknownTool(_) => "unknown_tool",
            Failure::InvalidArguments(_) => "invalid_arguments",
            Failure::NotFound(_) => "not_found",
            Failure::Denied(_) => "denied",
            Failure::Unavailable(_) => "unavailable",
            Failure::Busy(_) => "busy",
            Failure::Timeout(_) => "timeout",
            Failure::TooLarge { .. } => "too_large",
            Failure::BadOutput(_) => "bad_output",
            Failure::OutOfMemory(_) | Failure::OutOfTable(_) | Failure::TooManyInstances(_) => {
                "out_of_memory"
            }
            Failure::OutOfStack(_) | Failure::Trapped(_) => "trapped",
            Failure::Internal(_) => "internal",
        },
    }
}
