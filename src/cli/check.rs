//! `switchboard check`: everything that is wrong with the configuration, at once.

use std::path::Path;
use std::sync::Arc;

use clap::Args;

use super::Failure;
use crate::config::{Config, Problems};
use crate::gateway::http_tools;
use crate::store::Quota;
use crate::tool::Toolbox;
use crate::tool::plugin::{Host, KeyValueStore, NothingKept};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Fail on warnings too.
    #[arg(long)]
    deny_warnings: bool,
    /// Keep the compiled plugins where the gateway looks for them at its start.
    #[arg(long)]
    keep_compiled: bool,
}

pub(super) async fn run(path: &Path, arguments: Arguments) -> Result<(), Failure> {
    let config = super::load_config(path)?;
    let cache = arguments.keep_compiled.then_some(&*config.plugin_cache);
    let (tools, unused) = toolbox(&config, &nothing_kept, cache).await?;
    for warnings in [&config.warnings, &unused] {
        if !warnings.is_empty() {
            eprint!("{}", warnings.render(super::anstream_color()));
        }
    }
    println!("{}", good(path, &config, &tools));
    if arguments.deny_warnings && !(config.warnings.is_empty() && unused.is_empty()) {
        return Err(Failure::Said);
    }
    Ok(())
}

/// That nothing is wrong, in a line or two.
pub(super) fn good(path: &Path, config: &Config, tools: &Toolbox) -> String {
    let tests = match config.tests_passed.len() {
        0 => String::new(),
        1 => "\n1 test passed".to_owned(),
        many => format!("\n{many} tests passed"),
    };
    format!(
        "{} is good (routes: {}, sessions: {}, plugins: {}, tools: {})",
        path.display(),
        config.routes.iter().count(),
        config.sessions.len(),
        config.plugins.len(),
        tools.names().len()
    ) + &tests
}

/// How a plugin keeps its values: by the namespace that it was granted, and how much it may keep.
pub(super) type Keeping<'a> = dyn Fn(&str, Quota) -> Arc<dyn KeyValueStore> + 'a;

/// Keeps nothing: what a plugin would keep is nobody's business while it is only looked at.
pub(super) fn nothing_kept(_: &str, _: Quota) -> Arc<dyn KeyValueStore> {
    Arc::new(NothingKept)
}

/// Loads every plugin, from the cache where there is one, and puts all tools together. Gives the warnings too.
pub(super) async fn toolbox(
    config: &Config,
    keeping: &Keeping<'_>,
    cache: Option<&Path>,
) -> Result<(Toolbox, Problems), Failure> {
    let mut host = Host::new(&config.sandbox)?;
    if let Some(cache) = cache {
        host.open_cache(cache).map_err(anyhow::Error::from)?;
    }
    let mut plugins = Vec::new();
    let mut failures = Vec::new();
    for settings in &config.plugins {
        let kv = settings.grants.kv.as_deref().map(|space| keeping(space, settings.limits.kv_quota()));
        match host.load(settings, kv).await {
            Ok(plugin) => plugins.push(plugin),
            Err(error) => failures.push((settings.name.clone(), error)),
        }
    }
    if !failures.is_empty() {
        return Err(Failure::Config(Box::new(config.unloadable(&failures))));
    }
    let unused = config.unused_grants(&plugins);
    let toolbox = Toolbox::of(plugins, http_tools(config))
        .map_err(|errors| Failure::Config(Box::new(config.misfits(&errors))))?;
    let problems = config.check_tools(&toolbox.names());
    if problems.is_empty() { Ok((toolbox, unused)) } else { Err(Failure::Config(Box::new(problems))) }
}
