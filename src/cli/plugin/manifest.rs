//! `plugin.toml`: what a plugin's folder says about itself.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use serde::Deserialize;
use toml::Spanned;

use super::places::{self, Misplaced};
use crate::cli::Failure;
use crate::config::{self, Environment};
use crate::tool::plugin::Settings;

/// The file's name.
pub(super) const FILE: &str = "plugin.toml";
/// Its table that is what `[plugins.NAME]` of a gateway.toml would say.
const GATEWAY: &str = "gateway";

/// A plugin's folder.
#[derive(Clone, Debug)]
pub(super) struct Manifest {
    /// The folder.
    pub folder: PathBuf,
    /// The plugin's name.
    pub name: String,
    /// What it is written in.
    pub lang: Lang,
    /// How it is built, where that is not as usual.
    pub build: BuildSettings,
}

/// A language that plugins are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Lang {
    /// Rust.
    Rust,
    /// TypeScript or JavaScript.
    Ts,
    /// Python.
    Python,
}

/// `[build]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct BuildSettings {
    /// What is built from, besides the folder.
    pub sources: Vec<String>,
    /// Python: the folder of the interface.
    pub wit: Option<String>,
    /// Python: the module with the exports.
    pub module: Option<String>,
    /// Python: the world it is built for.
    pub world: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: Spanned<String>,
    lang: Spanned<String>,
    #[serde(default)]
    build: BuildSettings,
    // Read by the configuration's own rules when the plugin is loaded.
    #[serde(rename = "gateway")]
    _gateway: Option<toml::Table>,
}

impl fmt::Display for Lang {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lang::Rust => "rust",
            Lang::Ts => "ts",
            Lang::Python => "python",
        })
    }
}

impl Manifest {
    /// Reads the `plugin.toml` of a folder.
    ///
    /// # Errors
    ///
    /// There is none, or it says something wrong.
    pub fn read(folder: &Path) -> Result<Manifest, Failure> {
        let path = folder.join(FILE);
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Failure::Unavailable(anyhow!(
                "cannot read {}: {error}; give the folder of a plugin, or begin one with `switchboard plugin \
                 new NAME --lang rust`",
                path.display()
            ))
        })?;
        Manifest::parse(folder, &path, &text).map_err(Failure::Misfit)
    }

    fn parse(folder: &Path, path: &Path, text: &str) -> anyhow::Result<Manifest> {
        let at = |misplaced| places::error(path, text, misplaced);
        let raw: Raw = toml::from_str(text).map_err(|error| places::of_toml(path, text, &error))?;
        let wrong = |place: &Spanned<String>, words: String| at(Misplaced { span: place.span(), words });
        check_name(raw.name.get_ref()).map_err(|words| wrong(&raw.name, words))?;
        let lang = match raw.lang.get_ref().as_str() {
            "rust" => Lang::Rust,
            "ts" => Lang::Ts,
            "python" => Lang::Python,
            other => {
                let words = format!("`{other}` is not a language: write `rust`, `ts` or `python`");
                return Err(wrong(&raw.lang, words));
            }
        };
        Ok(Manifest { folder: folder.to_owned(), name: raw.name.into_inner(), lang, build: raw.build })
    }

    /// What a grant is written to: an author's is in the plugin's own file.
    pub fn in_own_words(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Misfit(error) => {
                let table = format!("[plugins.{}.allow]", self.name);
                let own = format!("[{GATEWAY}.allow]` of `{FILE}");
                Failure::Misfit(anyhow!("{}", format!("{error:#}").replace(&table, &own)))
            }
            other => other,
        }
    }

    /// The component that is built.
    pub fn wasm(&self) -> PathBuf {
        self.folder.join(format!("{}.wasm", self.name))
    }

    /// What the operator of a gateway would say: what the folder grants and configures.
    ///
    /// # Errors
    ///
    /// The plugin is not built, or `plugin.toml` says something wrong.
    pub fn settings(&self) -> Result<Settings, Failure> {
        if !self.wasm().is_file() {
            return Err(Failure::Unavailable(anyhow!(
                "{} does not exist: run `switchboard plugin build {}`",
                self.wasm().display(),
                self.folder.display()
            )));
        }
        let (path, wasm) = (self.folder.join(FILE), format!("{}.wasm", self.name));
        config::alone::plugin(&path, &self.name, GATEWAY, &wasm, &Environment::of_process())
            .map_err(|problems| Failure::Config(Box::new(problems)))
    }
}

/// A name is a folder's, a file's, a crate's and a key's.
///
/// # Errors
///
/// Why it cannot be one, and what can.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_fit = (1..=64).contains(&name.len())
        && name.chars().all(is_plain)
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-');
    if is_fit {
        return Ok(());
    }
    Err(format!(
        "`{}` cannot be the name of a plugin: use 1 to 64 small letters, digits and `-`, beginning with a \
         letter, such as `order-status`",
        name.escape_debug()
    ))
}
