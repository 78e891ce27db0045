//! A configuration that changes while calls are running: checked whole, then followed whole, or not at all.
//!
//! Somebody asks for it (SIGHUP, the admin API), or its files are watched and have stopped changing. Plugins that it says
//! the same of stay as they are; others are loaded first. Only when everything fits is anything swapped: tools, then what
//! call control decides by, then the doors. What the process cannot follow (sockets, store, engine, log) is told.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::time::Instant;

use super::stamp::{Look, Settling, Stamp};
use super::{Reloader, Watched, out_of_order, stamps};
use crate::clock::Timestamp;
use crate::config::{self, Config, Problems, difference};
use crate::gateway::plugins::{First, Loader};
use crate::gateway::{checking, following};
use crate::http::Reloaded;
use crate::text::chain;
use crate::tool::Toolbox;

/// What is known of the configuration's files.
pub(super) struct Configuration {
    /// As the process began: what it does not follow is compared with this.
    first: Arc<Config>,
    /// Each file with its stamp; none of them where they are not watched.
    files: Vec<(PathBuf, Settling)>,
}

/// What a new configuration makes of the tools.
struct Prepared {
    loader: Loader,
    watched: Vec<Watched>,
    toolbox: Toolbox,
    warnings: Problems,
}

impl Configuration {
    pub fn new(config: Arc<Config>) -> Configuration {
        let files = watched(&config);
        Configuration { first: config, files }
    }

    /// The files whose changes matter.
    pub fn watched_files(&self) -> Vec<PathBuf> {
        self.files.iter().map(|(path, _)| path.clone()).collect()
    }
}

fn watched(config: &Config) -> Vec<(PathBuf, Settling)> {
    let files = config.read_from.is_watched.then(|| config.read_from.files.iter().cloned());
    files.into_iter().flatten().map(|path| (path.clone(), Settling::decided(Stamp::of(&path)))).collect()
}

impl Reloader {
    /// Compares the configuration's files with what is known of them, where they are watched, and reads them again once
    /// they have stopped changing; `true`: they are still changing.
    pub(super) async fn look_at_configuration(&mut self) -> bool {
        if self.configuration.files.is_empty() {
            return false;
        }
        let (now, stamps) = (Instant::now(), stamps(self.configuration.watched_files()).await);
        let looks: Vec<Look> = self
            .configuration
            .files
            .iter_mut()
            .zip(stamps)
            .map(|((_, file), stamp)| file.look(stamp, now))
            .collect();
        if looks.iter().any(|look| matches!(look, Look::Began | Look::Changing)) {
            return true;
        }
        if looks.contains(&Look::Settled) {
            self.read_again().await;
        }
        false
    }

    /// Reads the configuration again and follows it, or refuses it whole.
    pub(super) async fn read_again(&mut self) -> Reloaded {
        for (_, file) in &mut self.configuration.files {
            // What changes from here on is looked at again.
            file.decide();
        }
        let at = self.around.clock.now();
        let mut reloaded = match self.read().await {
            Ok(config) => self.follow(config, at).await,
            Err(problems) => Reloaded { problems: self.shown(&problems), ..Reloaded::default() },
        };
        reloaded.at = at;
        self.around.metrics.config_reloaded(reloaded.ok);
        match reloaded.ok {
            true => tracing::info!(
                changes = reloaded.changes.len(),
                needs_restart = ?reloaded.needs_restart,
                "the configuration was read again: it holds for what is decided from now on"
            ),
            false => tracing::error!(
                problems = reloaded.problems,
                "the configuration was read again and refused: everything stays as it is"
            ),
        }
        self.around.reloads.note(reloaded.clone());
        reloaded
    }

    async fn read(&self) -> Result<Config, Problems> {
        let read_from = Arc::clone(&self.loader.config().read_from);
        let reading = tokio::task::spawn_blocking(move || config::load_again(&read_from));
        reading.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }

    /// Follows a configuration that is right in itself, where everything it names is too.
    async fn follow(&mut self, config: Config, at: Timestamp) -> Reloaded {
        let refused = |problems: String| Reloaded { problems, ..Reloaded::default() };
        let rules = match following::rules(&config) {
            Ok(rules) => rules,
            Err(error) => return refused(chain(&error)),
        };
        let config = Arc::new(config);
        let prepared = match self.prepare(&config).await {
            Ok(prepared) => prepared,
            Err(problems) => return refused(self.shown(&problems)),
        };
        let changes = difference::between(self.loader.config(), &config);
        let since_start = difference::between(&self.configuration.first, &config);
        let needs_restart = since_start
            .into_iter()
            .map(|change| change.key)
            .filter(|key| following::needs_restart(key))
            .collect();
        // From here on nothing can fail.
        self.around.tools.replace(prepared.toolbox);
        self.around.control.adopt(rules);
        self.around.entrance.adopt(following::doors(&config, &self.around.admin_token, at));
        self.loader = prepared.loader;
        self.watched = prepared.watched;
        self.around.metrics.plugins_out_of_order(out_of_order(&self.watched));
        self.configuration.files = watched(&config);
        let mut warnings = prepared.warnings;
        warnings.extend(config.warnings.clone());
        Reloaded { at, ok: true, changes, needs_restart, problems: self.shown(&warnings) }
    }

    /// Loads the plugins of which the configuration says something new, and puts all tools together.
    async fn prepare(&self, config: &Arc<Config>) -> Result<Prepared, Problems> {
        let loader = self.loader.with(config);
        let mut all = Vec::new();
        let mut bad = Vec::new();
        for settings in loader.settings() {
            let known = self.watched.iter().find(|watched| watched.settings == *settings);
            if let Some(known) = known {
                all.push(known.clone());
                continue;
            }
            let stamp = Stamp::of(&settings.path);
            match loader.load(settings).await {
                Ok(plugin) => {
                    all.push(Watched::new(settings.clone(), First::Loaded(plugin), stamp, &self.around));
                }
                Err(error) => bad.push((settings.name.clone(), error)),
            }
        }
        if !bad.is_empty() {
            return Err(config.unloadable(&bad));
        }
        let plugins = all.iter().filter_map(|watched| watched.plugin.clone()).collect();
        let toolbox = loader.all_tools(plugins).map_err(|errors| config.misfits(&errors))?;
        let missing = config.check_tools(&toolbox.names());
        // What a plugin that was out of order before may have had is not missed by this configuration alone.
        if !missing.is_empty() && out_of_order(&all) == 0 {
            return Err(missing);
        }
        Ok(Prepared { loader, watched: all, toolbox, warnings: missing })
    }

    /// Problems as a person reads them, without what is secret.
    fn shown(&self, problems: &Problems) -> String {
        checking::shown(&self.loader.config().read_from, problems)
    }
}
