//! What operators watch of notifications: how tries go, what waits, what nobody took.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Metrics;

/// Figures by endpoint of the configuration, so that there are few.
#[derive(Debug, Default)]
pub(super) struct Notifications {
    tries: Family<TryLabels, Counter>,
    waiting: Family<EndpointName, Gauge>,
    oldest_seconds: Family<EndpointName, Gauge<f64, AtomicU64>>,
    disabled: Family<EndpointName, Gauge>,
    dead: Gauge,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct TryLabels {
    endpoint: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct EndpointName {
    endpoint: String,
}

impl Notifications {
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "notifications",
            "Notifications, by endpoint and what became of a try or of them",
            self.tries.clone(),
        );
        registry.register(
            "notifications_waiting",
            "Notifications that an endpoint has yet to take",
            self.waiting.clone(),
        );
        registry.register(
            "notifications_oldest_seconds",
            "How long ago that happened which an endpoint has waited for longest to be told; 0 where nothing waits",
            self.oldest_seconds.clone(),
        );
        registry.register(
            "notifications_disabled",
            "1 while an endpoint is told nothing because it answered 410",
            self.disabled.clone(),
        );
        registry.register(
            "notifications_dead",
            "Notifications that nobody took and that are not tried any more",
            self.dead.clone(),
        );
    }
}

impl Metrics {
    /// A try came to an end, or something became of a notification: `delivered`, `failed` (it is tried again), `dead`,
    /// `dropped`. `endpoint` is a name of the configuration.
    pub fn notification(&self, endpoint: &str, outcome: &'static str) {
        let labels = TryLabels { endpoint: endpoint.to_owned(), outcome };
        self.notifications.tries.get_or_create(&labels).inc();
    }

    /// What an endpoint has yet to take: how many, and how old the oldest is.
    pub fn notifications_waiting(&self, endpoint: &str, count: usize, oldest: Duration, is_disabled: bool) {
        let name = EndpointName { endpoint: endpoint.to_owned() };
        self.notifications.waiting.get_or_create(&name).set(i64::try_from(count).unwrap_or(i64::MAX));
        self.notifications.oldest_seconds.get_or_create(&name).set(oldest.as_secs_f64());
        self.notifications.disabled.get_or_create(&name).set(i64::from(is_disabled));
    }

    /// How many dead letters are kept.
    pub fn notifications_dead(&self, count: usize) {
        self.notifications.dead.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
