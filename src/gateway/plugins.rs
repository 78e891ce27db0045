//! Plugins and tools for a gateway: loaded side by side, from the cache where it has them, with the store's key-value
//! namespaces; and put together to a toolbox that fits the configuration.
//!
//! One bad plugin never keeps a gateway down: at a start it is left out, and calls are answered without its tools.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio::time::Instant;

use super::StartError;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::store::Store;
use crate::text::chain;
use crate::tool::http::HttpTool;
use crate::tool::outbound::SystemResolver;
use crate::tool::plugin::{self, Host, LoadError, Origin, Plugin};
use crate::tool::{self, Toolbox, ToolboxError};

/// What came of a plugin at a start.
pub(super) enum First {
    /// It can be loaded.
    Loaded(Plugin),
    /// It is left out.
    LeftOut {
        /// Why, and what to do.
        why: String,
        /// The plugin, where only the others keep it out.
        plugin: Option<Plugin>,
        /// Whether the same file may do at another time.
        may_pass: bool,
    },
}

/// Loads the plugins of one configuration.
pub(super) struct Loader {
    host: Arc<Host>,
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
        if let Err(error) = host.open_cache(&config.plugin_cache) {
            tracing::warn!(
                error = %chain(&error),
                "compiled plugins are not kept: every start compiles them again"
            );
        }
        let http_tools = http_tools(config);
        Ok(Loader { host: Arc::new(host), store: store.clone(), config: Arc::clone(config), http_tools })
    }

    /// The same machine for another configuration. Its HTTP tools are new: what was known of their backends is
    /// forgotten.
    pub fn with(&self, config: &Arc<Config>) -> Loader {
        Loader {
            host: Arc::clone(&self.host),
            store: self.store.clone(),
            config: Arc::clone(config),
            http_tools: http_tools(config),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
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
    pub async fn load_all(&self) -> Vec<First> {
        let began = Instant::now();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // Made here, and not as they are taken: so whoever starts a gateway may do it on any thread.
        let loading: Vec<_> = self.settings().iter().map(|settings| self.load_first(settings)).collect();
        let all: Vec<First> = stream::iter(loading).buffered(cores).collect().await;
        let plugins: Vec<Plugin> = all.iter().filter_map(First::loaded).cloned().collect();
        self.prune_cache(&plugins);
        log_loaded(&plugins, began.elapsed());
        all
    }

    async fn load_first(&self, settings: &plugin::Settings) -> First {
        match self.load(settings).await {
            Ok(plugin) => First::Loaded(plugin),
            Err(error) => First::LeftOut { why: error.told(), plugin: None, may_pass: error.may_pass() },
        }
    }

    /// Puts the tools of the plugins and of the configuration itself together. A plugin that does not fit those before
    /// it is left out, as one that cannot be loaded, and so are tools that sessions offer and nobody provides.
    ///
    /// # Errors
    ///
    /// What is wrong although no plugin is to blame.
    pub fn first_toolbox(&self, all: &mut [First]) -> Result<Toolbox, StartError> {
        let toolbox = loop {
            let plugins = all.iter().filter_map(First::loaded).cloned();
            match Toolbox::of(plugins, self.http_tools.clone()) {
                Ok(toolbox) => break toolbox,
                Err(errors) => {
                    // One at a time: without it the next one may fit.
                    let misfit = errors.iter().find_map(|error| Some((error, self.place_of(error)?)));
                    let Some((error, at)) = misfit else {
                        return Err(StartError::Tools(self.config.misfits(&errors).render(false)));
                    };
                    all[at].leave_out(chain(error));
                }
            }
        };
        let missing = self.config.check_tools(&toolbox.names());
        if !missing.is_empty() && self.config.plugins.is_empty() {
            return Err(StartError::Tools(missing.render(false)));
        }
        for problem in missing.iter() {
            tracing::warn!(
                what = problem.label,
                help = problem.help,
                "{}: calls are answered without it",
                problem.message
            );
        }
        let named = self.settings().iter().zip(all.iter());
        let left_out = named.filter(|(_, first)| first.loaded().is_none());
        Ok(toolbox.without(left_out.map(|(settings, _)| settings.name.clone()).collect()))
    }

    /// The plugin that cannot be offered beside the others, by its place in the configuration.
    fn place_of(&self, error: &ToolboxError) -> Option<usize> {
        match error.origin() {
            tool::Origin::Plugin(name) => self.settings().iter().position(|settings| settings.name == *name),
            tool::Origin::Http(_) | tool::Origin::Embedded => None,
        }
    }

    /// Puts the tools of the plugins together for new calls that had those of `before`. None of these that a session
    /// offers may be missing.
    ///
    /// # Errors
    ///
    /// Why these plugins do not go together.
    pub fn toolbox(&self, plugins: Vec<Plugin>, before: &Toolbox) -> Result<Toolbox, StartError> {
        let toolbox = self
            .all_tools(plugins)
            .map_err(|errors| StartError::Tools(self.config.misfits(&errors).render(false)))?;
        let problems = self.config.lost_tools(&before.names(), &toolbox.names());
        if !problems.is_empty() {
            return Err(StartError::Tools(problems.render(false)));
        }
        Ok(toolbox)
    }

    /// The tools of these plugins and of the configuration itself. Plugins that are not among them are out of order.
    ///
    /// # Errors
    ///
    /// Why these plugins do not go together.
    pub fn all_tools(&self, plugins: Vec<Plugin>) -> Result<Toolbox, Vec<ToolboxError>> {
        let left_out = self.settings().iter().map(|settings| &settings.name);
        let left_out = left_out.filter(|name| plugins.iter().all(|plugin| plugin.name() != name.as_str()));
        let left_out = left_out.cloned().collect();
        Ok(Toolbox::of(plugins, self.http_tools.clone())?.without(left_out))
    }

    /// Removes compiled plugins that are not among these, except the newest few.
    pub fn prune_cache(&self, in_use: &[Plugin]) {
        let digests: Vec<[u8; 32]> = in_use.iter().map(|plugin| plugin.loaded().digest).collect();
        self.host.prune_cache(&digests);
    }
}

impl First {
    fn loaded(&self) -> Option<&Plugin> {
        match self {
            First::Loaded(plugin) => Some(plugin),
            First::LeftOut { .. } => None,
        }
    }

    fn leave_out(&mut self, why: String) {
        let plugin = self.loaded().cloned();
        *self = First::LeftOut { why, plugin, may_pass: false };
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
