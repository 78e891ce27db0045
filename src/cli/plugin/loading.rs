//! Plugins in the real host, for people who try them out.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::anyhow;

use crate::cli::Failure;
use crate::tool::plugin::{Host, HostSettings, NothingKept, Plugin, Settings};

/// Sets the host up, with compiled plugins kept where this user's other caches are.
///
/// # Errors
///
/// The machine cannot run plugins.
pub(super) fn host() -> Result<Host, Failure> {
    let host = Host::new(&HostSettings::default())?;
    Ok(host)
}

/// Loads a plugin to look at it: it keeps nothing and reaches nobody.
///
/// # Errors
///
/// It cannot be loaded.
pub(super) async fn look_at(settings: &Settings) -> Result<Plugin, Failure> {
    let kv = settings.grants.kv.as_ref().map(|_| Arc::new(NothingKept) as _);
    let loaded = host()?.load(settings, kv).await;
    loaded.map_err(|error| Failure::Misfit(anyhow!(error).context(format!("`{}` cannot be loaded", settings.name))))
}

/// Where this user's caches are.
fn caches() -> Option<PathBuf> {
    let given = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    given.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))
}
