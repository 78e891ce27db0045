//! Which plugin is meant: a folder, a component, or a name of the configuration.

use std::path::{Path, PathBuf};

use anyhow::anyhow;

use super::manifest::{self, Manifest};
use crate::cli::Failure;
use crate::config::{self, Environment};
use crate::tool::plugin::{Grants, Limits, Settings};

/// A plugin that is meant.
pub(super) enum Target {
    /// A folder with a `plugin.toml`.
    Folder(Manifest),
    /// A component alone.
    File(PathBuf),
    /// A plugin of the configuration.
    Configured(Box<Settings>),
}

impl Target {
    /// Finds what is meant; a path wins over a name.
    ///
    /// # Errors
    ///
    /// There is no such thing.
    pub fn find(what: &str, config: &Path) -> Result<Target, Failure> {
        let path = Path::new(what);
        if path.is_file() {
            return Ok(Target::File(path.to_owned()));
        }
        if path.join(manifest::FILE).is_file() {
            return Ok(Target::Folder(Manifest::read(path)?));
        }
        let is_name = manifest::check_name(what).is_ok();
        if is_name && config.is_file() {
            let configured = configured(config)?;
            let names: Vec<String> =
                configured.iter().map(|settings| format!("`{}`", settings.name)).collect();
            return match configured.into_iter().find(|settings| settings.name == what) {
                Some(settings) => Ok(Target::Configured(Box::new(settings))),
                None => Err(Failure::Unavailable(anyhow!(
                    "`{what}` is no plugin's folder, no file, and no plugin of {}: it has {}",
                    config.display(),
                    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
                ))),
            };
        }
        if path.is_dir() {
            // Says what is missing in it.
            return Manifest::read(path).map(Target::Folder);
        }
        Err(Failure::Unavailable(anyhow!(
            "`{what}` does not exist: give a plugin's folder, a `.wasm` file, or the name of a plugin in {}",
            config.display()
        )))
    }

    /// What its operator says. A component alone is granted nothing.
    ///
    /// # Errors
    ///
    /// What says it is wrong.
    pub fn settings(&self) -> Result<Settings, Failure> {
        match self {
            Target::Folder(manifest) => manifest.settings(),
            Target::Configured(settings) => Ok(Settings::clone(settings)),
            Target::File(path) => Ok(Settings {
                name: path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default(),
                path: path.clone(),
                sha256: None,
                config: Default::default(),
                grants: Grants::default(),
                limits: Limits::default(),
                breaker: None,
            }),
        }
    }
}

/// The plugins of a configuration.
///
/// # Errors
///
/// Its `[plugins.*]` are wrong.
pub(super) fn configured(config: &Path) -> Result<Vec<Settings>, Failure> {
    config::alone::plugins(config, &Environment::of_process())
        .map_err(|problems| Failure::Config(Box::new(problems)))
}
