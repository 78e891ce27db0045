//! Plugins and tools for a gateway: loaded side by side, from the cache where it has them, with the store's key-value
//! namespaces; and put together to a toolbox that fits the configuration.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::Instant;

use super::StartError;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::store::Store;
use crate::text::chain;
use crate::tool::Toolbox;
use crate::tool::http::HttpTool;
use crate::tool::outbound::SystemResolver;
use crate::tool::plugin::{self, Host, LoadError, Origin, Plugin};

/// The directory for compiled plugins, in the data directory.
pub const PLUGIN_CACHE: &str = "plugin-cache";

/// Loads the plugins of one configuration.
pub(super) struct Loader {
    host: Host,
    store: Store,
    config: Arc<Config>,
    /// The same through all generations: their breakers and caches outlive a plugin's new version.
    http_tools: Vec<HttpTool>,
}

impl Loader {
    /// Sets up the machine that plugins run on.
    pub fn new(
        config: &Arc<Config>,
        store: &Store,
        metrics: &Arc<Metrics>,
    ) -> Result<Loader, plugin::HostError> {
        let mut host = Host::new(&config.sandbox)?.counting_in(Arc::clone(metrics));
        if let Err(error) = host.open_cache(&config.store.path.join(PLUGIN_CACHE)) {
            tracing::warn!(
                error = %chain(&error),
                "compiled plugins are not kept: every start compiles them again"
            );
        }
        let http_tools = http_tools(config);
        Ok(Loader { host, store: store.clone(), config: Arc::clone(config), http_tools })
    }

    /// What the configuration says of each plugin.
    pub fn settings(&self) -> &[plugin::Settings] {
        &self.config.plugins
    }

    /// Loads one plugin.
    pub async fn load(&self, settings: &plugin::Settings) -> Result<Plugin, LoadError> {
        let quota = settings.limits.kv_quota();
        let kv = settings.grants.kv.as_deref().map(|namespace| self.store.kv(namespace).within(quota));
        self.host.load(settings, kv.map(|kv| Arc::new(kv) as _)).await
    }

    /// Loads every plugin, as many at once as there are cores, and keeps their order.
    pub async fn load_all(&self) -> Result<Vec<Plugin>, StartError> {
        let began = Instant::now();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let loading = stream::iter(self.settings()).map(|settings| async move {
            self.load(settings).await.map_err(|source| StartError::Plugin {
                name: settings.name.clone(),
                source: Box::new(source),
            })
        });
        let plugins: Vec<Plugin> = loading.buffered(cores).try_collect().await?;
        self.prune_cache(&plugins);
        log_loaded(&plugins, began.elapsed());
        Ok(plugins)
    }

    /// Puts the tools of the plugins and of the configuration itself together.
    pub fn toolbox(&self, plugins: Vec<Plugin>) -> Result<Toolbox, StartError> {
        let toolbox = Toolbox::of(plugins, self.http_tools.clone())
            .map_err(|errors| StartError::Tools(self.config.misfits(&errors).render(false)))?;
        let problems = self.config.check_tools(&toolbox.names());
        if !problems.is_empty() {
            return Err(StartError::Tools(problems.render(false)));
        }
        Ok(toolbox)
    }

    /// Removes compiled plugins that are not among these, except the newest few.
    pub fn prune_cache(&self, in_use: &[Plugin]) {
        let digests: Vec<[u8; 32]> = in_use.iter().map(|plugin| plugin.loaded().digest).collect();
        self.host.prune_cache(&digests);
    }
}

/// The HTTP tools of the configuration; nothing is sent yet.
pub fn http_tools(config: &Config) -> Vec<HttpTool> {
    config.tools.iter().map(|tool| HttpTool::new(tool.clone(), Arc::new(SystemResolver))).collect()
}

/// One line that says what a start spent its time on.
fn log_loaded(plugins: &[Plugin], took: Duration) {
    let told: Vec<String> = plugins.iter().map(tell).collect();
    tracing::info!(
        plugins = plugins.len(),
        tools = plugins.iter().map(|plugin| plugin.tools().len()).sum::<usize>(),
        cached = plugins.iter().filter(|plugin| plugin.loaded().origin == Origin::Cache).count(),
        took_ms = millis(took),
        "plugins are loaded: {}",
        if told.is_empty() { "none".to_owned() } else { told.join("; ") }
    );
}

/// `crm 3fa9c1d27b04 (find_customer, find_order), cached, 4 ms`.
fn tell(plugin: &Plugin) -> String {
    let loaded = plugin.loaded();
    let tools: Vec<&str> = plugin.tools().iter().map(|tool| tool.name.as_str()).collect();
    let origin = if loaded.origin == Origin::Cache { "cached" } else { "compiled" };
    let (name, digest) = (plugin.name(), short(&loaded.digest));
    format!("{name} {digest} ({}), {origin}, {} ms", tools.join(", "), millis(loaded.took))
}

/// Enough of a digest to tell versions apart.
pub(super) fn short(digest: &[u8; 32]) -> String {
    digest[..6].iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
