//! Plugins in the real host, for people who try them out.

use std::path::PathBuf;

use anyhow::anyhow;

use crate::cli::Failure;
use crate::tool::plugin::{About, Hands, Host, HostSettings, LoadError, Loaded, Plugin, Settings};

/// Sets the host up, with compiled plugins kept among this user's caches: what is tried out again and
/// again is compiled once.
///
/// # Errors
///
/// The machine cannot run plugins.
pub(super) fn host() -> Result<Host, Failure> {
    let mut host = Host::new(&HostSettings::default())?;
    // Without a cache everything works, only later.
    if compiled_cache().is_some_and(|cache| host.open_cache(&cache).is_ok()) {
        host.prune_cache(&[]);
    }
    Ok(host)
}

/// Says what a plugin is, whatever it is granted; it reaches nothing.
///
/// # Errors
///
/// It cannot be loaded.
pub(super) async fn look_at(settings: &Settings) -> Result<(About, Loaded), Failure> {
    host()?.inspect(settings).await.map_err(|error| explain(settings, error))
}

/// Loads a plugin.
///
/// # Errors
///
/// It cannot be loaded.
pub(super) async fn load(host: &Host, settings: &Settings, hands: Hands) -> Result<Plugin, Failure> {
    host.load_with(settings, hands).await.map_err(|error| explain(settings, error))
}

fn explain(settings: &Settings, error: LoadError) -> Failure {
    Failure::Misfit(anyhow!("`{}` cannot be loaded: {}", settings.name, error.told()))
}

/// Where compiled plugins are kept among this user's caches; the folder around it is made.
pub(in crate::cli) fn compiled_cache() -> Option<PathBuf> {
    let given = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = given.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    std::fs::create_dir_all(&caches).ok()?;
    Some(caches.join("switchboard"))
}
