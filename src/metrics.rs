//! What operators watch: names, units and the text that Prometheus reads.
//!
//! Base units, few labels, never a call id or a number as a label. The names are listed in
//! `docs/operations.md`; a test keeps that list true.

mod notifications;
mod seen;

use std::fmt::Write as _;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use notifications::Notifications;
use seen::Seen;
pub use seen::ToolFigures;

/// Seconds, from far below our own part to the patience of a caller.
const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0];

/// All metrics of one gateway. A gateway has its own; there is no global registry.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    calls: Family<CallLabels, Counter>,
    calls_active: Gauge,
    calls_refused: Family<RefusedLabels, Counter>,
    lag_seconds: Gauge<f64, std::sync::atomic::AtomicU64>,
    webhooks: Family<WebhookLabels, Counter>,
    tool_calls: Family<ToolLabels, Counter>,
    tool_seconds: Family<ToolName, Histogram>,
    plugin_calls: Family<PluginLabels, Counter>,
    plugin_seconds: Family<PluginName, Histogram>,
    plugin_breakers: Family<PluginName, Gauge>,
    plugins_out_of_order: Gauge,
    moves: Family<MoveLabels, Counter>,
    path_breakers: Family<PathName, Gauge>,
    plugin_hooks_late: Family<PluginName, Counter>,
    plugin_reloads: Family<ReloadLabels, Counter>,
    config_reloads: Family<ResultLabels, Counter>,
    config_last_reload_successful: Gauge,
    plugin_cache: Family<ResultLabels, Counter>,
    accept_seconds: Histogram,
    first_word_seconds: Histogram,
    provider_events_unknown: Counter,
    sideband_losses: Counter,
    taken_up: Family<PathName, Counter>,
    store_failures: Counter,
    cost_usd: Counter<f64, std::sync::atomic::AtomicU64>,
    transfers: Family<ResultLabels, Counter>,
    calls_erased: Family<ErasedLabels, Counter>,
    recordings: Family<RecordingLabels, Counter>,
    recording_delays: Family<DelayLabels, Counter>,
    recording_lost: Counter<f64, std::sync::atomic::AtomicU64>,
    recording_bytes: Gauge,
    recordings_backlog: Gauge,
    notifications: Notifications,
    traces: Family<ResultLabels, Counter>,
    /// For who looks at this gateway now.
    seen: Seen,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErasedLabels {
    by: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RecordingLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DelayLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RefusedLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CallLabels {
    route: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct WebhookLabels {
    source: &'static str,
    verdict: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ToolLabels {
    tool: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ToolName {
    tool: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PluginLabels {
    plugin: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PluginName {
    plugin: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct MoveLabels {
    from: &'static str,
    to: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PathName {
    path: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReloadLabels {
    plugin: String,
    result: &'static str,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

impl Metrics {
    /// Fresh metrics, all at zero.
    pub fn new() -> Metrics {
        let mut metrics = Metrics {
            registry: Registry::with_prefix("switchboard"),
            calls: Family::default(),
            calls_active: Gauge::default(),
            calls_refused: Family::default(),
            lag_seconds: Gauge::default(),
            webhooks: Family::default(),
            tool_calls: Family::default(),
            tool_seconds: Family::new_with_constructor(seconds),
            plugin_calls: Family::default(),
            plugin_seconds: Family::new_with_constructor(seconds),
            plugin_breakers: Family::default(),
            plugins_out_of_order: Gauge::default(),
            moves: Family::default(),
            path_breakers: Family::default(),
            plugin_hooks_late: Family::default(),
            plugin_reloads: Family::default(),
            config_reloads: Family::default(),
            config_last_reload_successful: Gauge::default(),
            plugin_cache: Family::default(),
            accept_seconds: seconds(),
            first_word_seconds: seconds(),
            provider_events_unknown: Counter::default(),
            sideband_losses: Counter::default(),
            taken_up: Family::default(),
            store_failures: Counter::default(),
            cost_usd: Counter::default(),
            transfers: Family::default(),
            calls_erased: Family::default(),
            recordings: Family::default(),
            recording_delays: Family::default(),
            recording_lost: Counter::default(),
            recording_bytes: Gauge::default(),
            recordings_backlog: Gauge::default(),
            notifications: Notifications::default(),
            traces: Family::default(),
            seen: Seen::default(),
        };
        metrics.register();
        metrics.register_plugins();
        metrics.notifications.register(&mut metrics.registry);
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("calls", "Calls that ended, by route and outcome", self.calls.clone());
        registry.register("calls_active", "Calls in progress", self.calls_active.clone());
        registry.register(
            "calls_refused",
            "Callers who were one too many, by what there was too much of",
            self.calls_refused.clone(),
        );
        registry.register(
            "lag_seconds",
            "How late a timer fired that fires ten times a second",
            self.lag_seconds.clone(),
        );
        registry.register(
            "webhooks",
            "Requests of carrier and provider, by source and verdict",
            self.webhooks.clone(),
        );
        registry.register("tool_calls", "Tool calls, by tool and outcome", self.tool_calls.clone());
        registry.register(
            "tool_duration_seconds",
            "From the model's request to the tool's answer",
            self.tool_seconds.clone(),
        );
        registry.register(
            "webhook_to_accept_seconds",
            "From a call's webhook to our accept",
            self.accept_seconds.clone(),
        );
        registry.register(
            "first_word_seconds",
            "From a call's webhook to the first audio the caller hears",
            self.first_word_seconds.clone(),
        );
        registry.register(
            "provider_events_unknown",
            "Events on the sideband that this version does not know",
            self.provider_events_unknown.clone(),
        );
        registry.register(
            "sideband_losses",
            "Sidebands that were lost while their call was up",
            self.sideband_losses.clone(),
        );
        registry.register(
            "calls_taken_up",
            "Calls that an earlier process left and this one looks after again, by path",
            self.taken_up.clone(),
        );
        registry.register(
            "store_failures",
            "Commits that the store refused or failed",
            self.store_failures.clone(),
        );
        registry.register("cost_usd", "Cost of ended calls by the price table", self.cost_usd.clone());
        registry.register(
            "failovers",
            "Calls whose path failed and that went on over the other one",
            self.moves.clone(),
        );
        registry.register(
            "path_breaker_open",
            "1 while new calls do not take a path because it failed too often",
            self.path_breakers.clone(),
        );
        registry.register("transfers", "Callers who were handed on", self.transfers.clone());
        registry.register(
            "calls_erased",
            "Calls that were erased, by who wanted it",
            self.calls_erased.clone(),
        );
        registry.register("recordings", "Recordings, by what became of them", self.recordings.clone());
        registry.register(
            "recording_delays",
            "Tries to fetch or delete a recording that must be repeated, by reason",
            self.recording_delays.clone(),
        );
        registry.register(
            "recording_lost_seconds",
            "Sound of bridged calls that could not be written down",
            self.recording_lost.clone(),
        );
        registry.register("recording_bytes", "Size of all recordings on disk", self.recording_bytes.clone());
        registry.register(
            "recordings_backlog",
            "Recordings that are yet to be fetched or deleted",
            self.recordings_backlog.clone(),
        );
        registry.register("traces", "Traces of calls, by what became of them", self.traces.clone());
    }

    /// A call that an earlier process left is looked after again.
    pub fn call_taken_up(&self, path: crate::call::record::Path) {
        self.taken_up.get_or_create(&PathName { path: path.as_str() }).inc();
    }

    /// The dial to whom a caller was handed on is over.
    pub fn transfer(&self, result: &'static str) {
        self.transfers.get_or_create(&ResultLabels { result }).inc();
    }

    /// Something became of the traces of so many calls.
    pub fn traces(&self, result: &'static str, calls: u64) {
        self.traces.get_or_create(&ResultLabels { result }).inc_by(calls);
    }

    /// A call was erased.
    pub fn call_erased(&self, by: &'static str) {
        self.calls_erased.get_or_create(&ErasedLabels { by }).inc();
    }

    /// Something became of a recording.
    pub fn recording(&self, outcome: &'static str) {
        self.recordings.get_or_create(&RecordingLabels { outcome }).inc();
    }

    /// A recording could not be fetched or deleted just now.
    pub fn recording_delayed(&self, reason: &'static str) {
        self.recording_delays.get_or_create(&DelayLabels { reason }).inc();
    }

    /// So much of a recording that was made here could not be written down.
    pub fn recording_lost(&self, span: Duration) {
        self.recording_lost.inc_by(span.as_secs_f64());
    }

    /// How large all recordings on disk are.
    pub fn recording_bytes(&self, bytes: u64) {
        self.recording_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// How many recordings have something left to do.
    pub fn recordings_backlog(&self, count: usize) {
        self.recordings_backlog.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    fn register_plugins(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "plugin_calls",
            "Calls into plugins, tools and hooks alike, by plugin and outcome",
            self.plugin_calls.clone(),
        );
        registry.register(
            "plugin_call_seconds",
            "How long calls into plugins took, the wait for a place included",
            self.plugin_seconds.clone(),
        );
        registry.register(
            "plugin_breaker_open",
            "1 while a plugin is not called because it failed too often",
            self.plugin_breakers.clone(),
        );
        registry.register(
            "plugins_out_of_order",
            "Plugins of the configuration that new calls do without, because they cannot be loaded",
            self.plugins_out_of_order.clone(),
        );
        registry.register(
            "plugin_hooks_late",
            "Offered calls that went on without a plugin, because its `incoming` hook took too long",
            self.plugin_hooks_late.clone(),
        );
        registry.register(
            "plugin_reloads",
            "Changed plugin files, by plugin and what became of them",
            self.plugin_reloads.clone(),
        );
        registry.register(
            "config_reloads",
            "Times that the configuration was read again, by what became of it",
            self.config_reloads.clone(),
        );
        // The configuration of the start holds until another one is read.
        self.config_last_reload_successful.set(1);
        registry.register(
            "config_last_reload_successful",
            "1: what the configuration's file said when it was read last is in use, 0: it was refused",
            self.config_last_reload_successful.clone(),
        );
        registry.register(
            "plugin_cache",
            "Plugins looked for in the cache of compiled ones, by result",
            self.plugin_cache.clone(),
        );
    }

    /// A call began to need our attention.
    pub fn call_began(&self) {
        self.calls_active.inc();
    }

    /// A call needs our attention no more.
    pub fn call_left(&self) {
        self.calls_active.dec();
    }

    /// A call ended. `route` comes from the configuration, so that there are few.
    pub fn call_ended(&self, route: Option<&str>, outcome: &'static str, cost_usd: Option<f64>) {
        let route_name = route.unwrap_or("none");
        let route = route_name.to_owned();
        self.calls.get_or_create(&CallLabels { route, outcome }).inc();
        self.cost_usd.inc_by(cost_usd.unwrap_or(0.0));
        self.seen.route(route_name);
    }

    /// A caller was one too many.
    pub fn call_refused(&self, reason: &'static str) {
        self.calls_refused.get_or_create(&RefusedLabels { reason }).inc();
    }

    /// How late the machine is.
    pub fn set_lag(&self, lag: Duration) {
        self.lag_seconds.set(lag.as_secs_f64());
    }

    /// A request came from the carrier or the provider.
    pub fn webhook(&self, source: &'static str, verdict: &'static str) {
        self.webhooks.get_or_create(&WebhookLabels { source, verdict }).inc();
    }

    /// A tool answered or failed. `tool` is a tool of the configuration, or `unknown`.
    pub fn tool_call(&self, tool: &str, outcome: &'static str, took: Duration) {
        self.tool_calls.get_or_create(&ToolLabels { tool: tool.to_owned(), outcome }).inc();
        self.tool_seconds.get_or_create(&ToolName { tool: tool.to_owned() }).observe(took.as_secs_f64());
        self.seen.tool_call(tool, outcome, took);
    }

    /// How a tool of the configuration fared since the start.
    pub fn tool_figures(&self, tool: &str) -> ToolFigures {
        self.seen.tool(tool)
    }

    /// How many calls of a route ended since the start.
    pub fn calls_of(&self, route: &str) -> u64 {
        self.seen.calls_of(route)
    }

    /// How late the machine was at the last look, in seconds.
    pub fn lag_seconds(&self) -> f64 {
        self.lag_seconds.get()
    }

    /// A call into a plugin came to an end. `plugin` is a name of the configuration.
    pub fn plugin_call(&self, plugin: &str, outcome: &'static str, took: Duration) {
        self.plugin_calls.get_or_create(&PluginLabels { plugin: plugin.to_owned(), outcome }).inc();
        self.plugin_seconds
            .get_or_create(&PluginName { plugin: plugin.to_owned() })
            .observe(took.as_secs_f64());
    }

    /// The circuit breaker of a version of a plugin opened, or closed, or is gone.
    pub fn plugin_breaker(&self, plugin: &str, is_open: bool) {
        let open = self.plugin_breakers.get_or_create(&PluginName { plugin: plugin.to_owned() });
        // Counted, not set: a call may still use an old version while new calls use another.
        open.inc_by(if is_open { 1 } else { -1 });
    }

    /// A call's path failed, and it went on over the other one.
    pub fn call_moved(&self, from: &'static str, to: &'static str, reason: &'static str) {
        self.moves.get_or_create(&MoveLabels { from, to, reason }).inc();
    }

    /// New calls do not take a path any more, or take it again.
    pub fn path_breaker(&self, path: &'static str, is_open: bool) {
        self.path_breakers.get_or_create(&PathName { path }).set(i64::from(is_open));
    }

    /// A call went on without the answer of a plugin's `incoming` hook, which took too long.
    pub fn plugin_hook_late(&self, plugin: &str) {
        self.plugin_hooks_late.get_or_create(&PluginName { plugin: plugin.to_owned() }).inc();
    }

    /// So many plugins of the configuration are not there for new calls.
    pub fn plugins_out_of_order(&self, count: usize) {
        self.plugins_out_of_order.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A plugin's file changed, and the new one was `loaded` or `refused`.
    pub fn plugin_reloaded(&self, plugin: &str, result: &'static str) {
        self.plugin_reloads.get_or_create(&ReloadLabels { plugin: plugin.to_owned(), result }).inc();
    }

    /// The configuration was read again, and is in use now or was refused.
    pub fn config_reloaded(&self, is_in_use: bool) {
        let result = if is_in_use { "loaded" } else { "refused" };
        self.config_reloads.get_or_create(&ResultLabels { result }).inc();
        self.config_last_reload_successful.set(i64::from(is_in_use));
    }

    /// A plugin was looked for in the cache: `hit`, `miss`, or `distrusted`.
    pub fn plugin_cached(&self, result: &'static str) {
        self.plugin_cache.get_or_create(&ResultLabels { result }).inc();
    }

    /// How long a call's webhook waited for our accept.
    pub fn accepted_after(&self, took: Duration) {
        self.accept_seconds.observe(took.as_secs_f64());
    }

    /// How long a caller waited for the first word.
    pub fn first_word_after(&self, took: Duration) {
        self.first_word_seconds.observe(took.as_secs_f64());
    }

    /// The provider sent something this version does not know.
    pub fn unknown_event(&self) {
        self.provider_events_unknown.inc();
    }

    /// A sideband was lost while its call was up.
    pub fn sideband_lost(&self) {
        self.sideband_losses.inc();
    }

    /// The store refused or failed a commit.
    pub fn store_failed(&self) {
        self.store_failures.inc();
    }

    /// All metrics in the OpenMetrics text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if prometheus_client::encoding::text::encode(&mut text, &self.registry).is_err() {
            // Writing to a string cannot fail; should it ever, an empty page says so to the scraper.
            text.clear();
            let _ = write!(text, "# EOF");
        }
        text
    }
}

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_can_be_read() {
        let metrics = Metrics::new();
        metrics.webhook("openai", "verified");
        metrics.call_ended(Some("reception"), "caller_hangup", Some(0.25));
        metrics.tool_call("lookup", "ok", Duration::from_millis(2));
        let text = metrics.text();
        for line in [
            r#"switchboard_webhooks_total{source="openai",verdict="verified"} 1"#,
            r#"switchboard_calls_total{route="reception",outcome="caller_hangup"} 1"#,
            r#"switchboard_tool_duration_seconds_bucket{le="0.0025",tool="lookup"} 1"#,
            "switchboard_cost_usd_total 0.25",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }
}
