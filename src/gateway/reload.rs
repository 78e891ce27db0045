//! Plugins that change while calls are running: the new version for new calls, the old one for those that
//! run, and no version that is broken.
//!
//! A hint of the system that something happened in a plugin's directory, SIGHUP, or some time that passed
//! leads to a *look*: the files' stamps are compared, nothing is read. A file whose stamp differs is left
//! alone until it has stopped changing, as it may be half written; then its digest decides. A new version
//! is loaded and must fit the other plugins and the configuration; else it is refused whole, the version in
//! use stays, and the operator is told once. A plugin that was left out at the start comes in the same way. A hint that is lost costs time, not correctness: looks happen
//! without hints too. The configuration itself is read again by `configuration`.

mod configuration;
mod stamp;
mod watch;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::StartError;
use super::plugins::{First, Loader, millis, short};
use crate::call_control::CallControl;
use crate::clock::Clock;
use crate::http::{Entrance, ReloadAsked, Reloads};
use crate::metrics::Metrics;
use crate::secret::Secret;
use crate::text::chain;
use crate::tool::Toolbox;
use crate::tool::generation::{Change, Generations};
use crate::tool::plugin::{self, LoadError, Plugin, Settings};
use configuration::Configuration;
pub(super) use stamp::Stamp;
use stamp::{Look, Settling};
use watch::Watcher;

/// From a hint to a look, and between looks while a file is changing: hints come in swarms.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Between looks while nothing changes and the system gives hints.
const LOOK_IN_CALM: Duration = Duration::from_secs(30);
/// Between looks where the system gives no hints.
const LOOK_WITHOUT_HINTS: Duration = Duration::from_secs(2);
/// How often a version is tried before it is refused: a copy may pause longer than a file needs to settle.
const TRIES: u32 = 2;
/// How long after it failed in a way that may pass a plugin that is out of order is tried again; each time twice as
/// long, as a try may compute for seconds.
const AGAIN_AFTER: Duration = Duration::from_secs(30);
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// A file is hashed in parts of this size.
const READ_BYTES: usize = 64 << 10;

/// Watches over the files of plugins and of the configuration until the gateway stops.
pub(super) struct Reloader {
    loader: Loader,
    around: Around,
    watched: Vec<Watched>,
    configuration: Configuration,
    watcher: Watcher,
}

/// What follows changes.
pub(super) struct Around {
    pub tools: Arc<Generations>,
    pub metrics: Arc<Metrics>,
    pub clock: Arc<dyn Clock>,
    pub control: Arc<CallControl>,
    pub entrance: Arc<Entrance>,
    pub reloads: Arc<Reloads>,
    pub admin_token: Secret,
}

/// A plugin, and what is known of its file.
#[derive(Clone)]
struct Watched {
    settings: Settings,
    /// The version in use; none: it is out of order, and new calls do without it.
    plugin: Option<Plugin>,
    file: Settling,
    /// When the same file is tried again, where it failed in a way that may pass, and the time between two such tries.
    again_at: Option<Instant>,
    pause: Duration,
    /// Failed tries to load what the file holds now.
    tries: u32,
    /// A new version that can be loaded, but perhaps does not fit the others yet.
    candidate: Option<Plugin>,
    /// The digest of the version that was refused last.
    refused: Option<[u8; 32]>,
}

impl Reloader {
    /// Begins with what came of the plugins, and their files' stamps from before they were loaded.
    pub fn new(loader: Loader, first: impl Iterator<Item = (First, Stamp)>, around: Around) -> Reloader {
        let all = loader.settings().iter().zip(first);
        let watched =
            all.map(|(settings, (first, stamp))| Watched::new(settings.clone(), first, stamp, &around));
        let watched: Vec<Watched> = watched.collect();
        around.metrics.plugins_out_of_order(out_of_order(&watched));
        let configuration = Configuration::new(Arc::clone(loader.config()));
        Reloader { loader, around, watched, configuration, watcher: Watcher::new() }
    }

    /// Looks whenever there is reason to.
    pub async fn run(mut self, mut asked: mpsc::Receiver<ReloadAsked>, stopping: CancellationToken) {
        let hints = self.watcher.hints();
        let reloads = Arc::clone(&self.around.reloads);
        let mut pause = self.watch();
        loop {
            let mut reload = None;
            let is_asked = tokio::select! {
                () = stopping.cancelled() => return,
                Some(ask) = asked.recv() => {
                    reload = Some(ask);
                    false
                }
                () = reloads.asked_to_look() => true,
                () = async { hints.notified().await; tokio::time::sleep(LOOK_EVERY).await } => false,
                () = tokio::time::sleep(pause) => false,
            };
            if is_asked {
                self.forget_decisions();
            }
            tokio::select! {
                () = stopping.cancelled() => return,
                unsettled = self.look_or_read(reload) => {
                    pause = if unsettled { LOOK_EVERY } else { self.watch() };
                }
            }
        }
    }

    /// Reads the configuration where somebody asks for it, then looks; `true`: some files are still changing.
    async fn look_or_read(&mut self, reload: Option<ReloadAsked>) -> bool {
        if let Some(ask) = reload {
            // Who asked may be gone.
            let _ = ask.send(self.read_again().await);
        }
        let is_changing = self.look_at_configuration().await;
        self.look().await || is_changing
    }

    /// Asks the system for hints, also about directories that were replaced; how long to wait without any.
    fn watch(&mut self) -> Duration {
        let mut files = self.configuration.watched_files();
        files.extend(self.watched.iter().map(|watched| watched.settings.path.clone()));
        if self.watcher.watch(&files) { LOOK_IN_CALM } else { LOOK_WITHOUT_HINTS }
    }

    /// An operator wants to know it again, also of what was refused.
    fn forget_decisions(&mut self) {
        tracing::info!(
            plugins = self.watched.len(),
            "asked to look: every plugin's file is compared with what is in use"
        );
        for watched in &mut self.watched {
            watched.file.forget();
            watched.refused = None;
        }
    }

    /// Compares the files with what is known of them; `true`: some are still changing.
    async fn look(&mut self) -> bool {
        let files = self.watched.iter().map(|watched| watched.settings.path.clone()).collect();
        let (mut is_unsettled, mut has_news) = (false, false);
        for (at, stamp) in stamps(files).await.into_iter().enumerate() {
            let watched = &mut self.watched[at];
            let now = Instant::now();
            if watched.again_at.is_some_and(|again_at| again_at <= now) {
                watched.again_at = None;
                watched.file.forget();
            }
            match watched.file.look(stamp, now) {
                Look::Calm => {}
                Look::Began => {
                    watched.tries = 0;
                    is_unsettled = true;
                }
                Look::Changing => is_unsettled = true,
                Look::Settled => match examine(watched, &self.loader).await {
                    Examined::Bad { .. } if watched.tries + 1 < TRIES => {
                        watched.tries += 1;
                        watched.file.wait(Instant::now());
                        is_unsettled = true;
                    }
                    examined => {
                        watched.file.decide();
                        has_news |= self.conclude(at, examined);
                    }
                },
            }
        }
        if has_news {
            self.take_in();
        }
        is_unsettled
    }

    /// Does what follows from what a file holds; `true`: there is a version to take in.
    fn conclude(&mut self, at: usize, examined: Examined) -> bool {
        let watched = &mut self.watched[at];
        match examined {
            Examined::Refused => false,
            Examined::InUse => {
                (watched.candidate, watched.refused) = (None, None);
                let name = &watched.settings.name;
                if self.around.tools.change_of(name).is_some_and(|change| change.refused.is_some()) {
                    tracing::info!(plugin = name, "a plugin's file is again the version in use");
                    self.around.tools.note(name, Change { at: self.around.clock.now(), refused: None });
                }
                false
            }
            Examined::New(plugin) => {
                watched.candidate = Some(plugin);
                true
            }
            Examined::Bad { digest, why, may_pass } => {
                watched.candidate = None;
                watched.again_at =
                    (may_pass && watched.plugin.is_none()).then(|| Instant::now() + watched.pause);
                watched.pause = (watched.pause * 2).min(AGAIN_AFTER_MAX);
                self.refuse(at, digest, &why);
                false
            }
        }
    }

    /// Takes the new versions in that fit: all together if they do, else each that does.
    fn take_in(&mut self) {
        let all: Vec<usize> =
            (0..self.watched.len()).filter(|&at| self.watched[at].candidate.is_some()).collect();
        if let Ok(toolbox) = self.toolbox_with(&all) {
            return self.swap(&all, toolbox);
        }
        // A version may fit only once another was taken in: as long as one was, the rest has another try.
        let mut left = all;
        loop {
            let fitting = left.iter().copied().find_map(|at| Some((at, self.toolbox_with(&[at]).ok()?)));
            let Some((at, toolbox)) = fitting else { break };
            self.swap(&[at], toolbox);
            left.retain(|&other| other != at);
        }
        for at in left {
            let Err(error) = self.toolbox_with(&[at]) else { continue };
            let watched = &self.watched[at];
            let digest = watched.candidate.as_ref().map(|plugin| plugin.loaded().digest);
            if digest != watched.refused {
                self.refuse(at, digest, &chain(&error));
            }
        }
    }

    /// Tells the operator why a new version is not taken.
    fn refuse(&mut self, at: usize, digest: Option<[u8; 32]>, why: &str) {
        let watched = &mut self.watched[at];
        watched.refused = digest;
        let name = watched.settings.name.as_str();
        match &watched.plugin {
            Some(plugin) => {
                let in_use = short(&plugin.loaded().digest);
                tracing::error!(
                    plugin = name,
                    in_use,
                    why,
                    "a changed plugin is refused: the version in use stays"
                );
            }
            None => {
                tracing::error!(plugin = name, why, "a plugin cannot be taken in: it stays out of order");
            }
        }
        self.around.tools.note(name, Change { at: self.around.clock.now(), refused: Some(why.to_owned()) });
        // Whoever sees it counted can ask why.
        self.around.metrics.plugin_reloaded(name, "refused");
    }

    /// The plugins in use, with the new versions of these.
    fn toolbox_with(&self, new: &[usize]) -> Result<Toolbox, StartError> {
        let plugins = self.watched.iter().enumerate().filter_map(|(at, watched)| {
            let candidate = watched.candidate.as_ref().filter(|_| new.contains(&at));
            candidate.or(watched.plugin.as_ref()).cloned()
        });
        self.loader.toolbox(plugins.collect(), &self.around.tools.current())
    }

    /// New calls get these tools from now on.
    fn swap(&mut self, new: &[usize], toolbox: Toolbox) {
        self.around.tools.replace(toolbox);
        for &at in new {
            let watched = &mut self.watched[at];
            let Some(plugin) = watched.candidate.take() else { continue };
            let (name, loaded, tools) = (&watched.settings.name, plugin.loaded(), plugin.tools().len());
            let old = watched.plugin.replace(plugin);
            (watched.refused, watched.again_at, watched.pause) = (None, None, AGAIN_AFTER);
            tracing::info!(
                plugin = name,
                from = old.map(|old| short(&old.loaded().digest)),
                to = short(&loaded.digest),
                tools,
                took_ms = millis(loaded.took),
                "a changed plugin is in use: new calls get it, calls that run keep the old one"
            );
            self.around.tools.note(name, Change { at: self.around.clock.now(), refused: None });
            self.around.metrics.plugin_reloaded(name, "loaded");
        }
        self.around.metrics.plugins_out_of_order(out_of_order(&self.watched));
        let in_use: Vec<Plugin> = self.watched.iter().filter_map(|watched| watched.plugin.clone()).collect();
        self.loader.prune_cache(&in_use);
    }
}

impl Watched {
    /// A plugin as the start left it, with its file as it was before. The operator is told of one that is left out.
    fn new(settings: Settings, first: First, stamp: Stamp, around: &Around) -> Watched {
        let file = Settling::decided(stamp);
        let (plugin, candidate, again_at) = match first {
            First::Loaded(plugin) => (Some(plugin), None, None),
            First::LeftOut { why, plugin, may_pass } => {
                tracing::error!(
                    plugin = settings.name,
                    why,
                    "a plugin is out of order: calls are answered without its tools and hooks"
                );
                around.tools.note(&settings.name, Change { at: around.clock.now(), refused: Some(why) });
                (None, plugin, may_pass.then(|| Instant::now() + AGAIN_AFTER))
            }
        };
        let refused = candidate.as_ref().map(|plugin| plugin.loaded().digest);
        Watched { settings, plugin, file, again_at, pause: AGAIN_AFTER, tries: 0, candidate, refused }
    }
}

fn out_of_order(watched: &[Watched]) -> usize {
    watched.iter().filter(|watched| watched.plugin.is_none()).count()
}

/// What is in a file that has settled.
enum Examined {
    /// The version in use.
    InUse,
    /// The version that was refused already.
    Refused,
    /// Another one, which can be loaded.
    New(Plugin),
    /// Another one, which cannot, or none at all.
    Bad { digest: Option<[u8; 32]>, why: String, may_pass: bool },
}

impl Examined {
    fn bad(digest: Option<[u8; 32]>, error: &LoadError) -> Examined {
        Examined::Bad { digest, why: error.told(), may_pass: error.may_pass() }
    }
}

async fn examine(watched: &Watched, loader: &Loader) -> Examined {
    let digest = match digest_of(&watched.settings.path).await {
        Ok(digest) => digest,
        Err(error) => {
            let error = LoadError::Unreadable { path: watched.settings.path.clone(), source: error };
            return Examined::bad(None, &error);
        }
    };
    let in_use = watched.plugin.as_ref().map(|plugin| plugin.loaded().digest);
    if Some(digest) == in_use {
        return Examined::InUse;
    }
    if watched.refused == Some(digest) {
        return Examined::Refused;
    }
    match loader.load(&watched.settings).await {
        Ok(plugin) if Some(plugin.loaded().digest) == in_use => Examined::InUse,
        Ok(plugin) => Examined::New(plugin),
        Err(error) => Examined::bad(Some(digest).filter(|_| !error.may_pass()), &error),
    }
}

async fn digest_of(path: &Path) -> std::io::Result<[u8; 32]> {
    let path = path.to_owned();
    let reading = tokio::task::spawn_blocking(move || {
        let (mut file, mut digest) = (plugin::open(&path)?, Sha256::new());
        let mut part = vec![0; READ_BYTES];
        loop {
            match file.read(&mut part)? {
                0 => return Ok(digest.finalize().into()),
                bytes => digest.update(&part[..bytes]),
            }
        }
    });
    reading.await.map_err(std::io::Error::other).flatten()
}

async fn stamps(files: Vec<PathBuf>) -> Vec<Stamp> {
    // A file system that does not answer holds up this task only.
    let reading = tokio::task::spawn_blocking(move || files.iter().map(|file| Stamp::of(file)).collect());
    reading.await.unwrap_or_default()
}
