//! `switchboard plugin`: the author's tools, from an empty folder to a component that a gateway loads.

mod build;
mod cases;
mod compare;
mod given;
mod inspect;
mod interfaces;
mod loading;
mod ls;
mod manifest;
mod mocked;
mod new;
mod places;
mod run;
mod sections;
mod source;
mod target;
mod templates;
mod test;
mod trial;
mod watch;

use std::path::Path;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::Failure;
pub(super) use loading::compiled_cache;
use manifest::Manifest;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Begin a plugin: a small complete one, in a folder of its own.
    New(new::Arguments),
    /// Build a plugin from its folder.
    Build(build::Arguments),
    /// Run the plugin's own tests, of its `tests.toml`.
    Test(test::Arguments),
    /// Call one tool in the real sandbox.
    Run(run::Arguments),
    /// Build and test again whenever something changes.
    Watch(watch::Arguments),
    /// Say what a plugin is, wants and may do.
    Inspect(inspect::Arguments),
    /// List the plugins of the configuration.
    Ls(ls::Arguments),
}

pub(super) async fn run(config: &Path, arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        Command::New(arguments) => new::run(&arguments),
        Command::Build(arguments) => build::run(arguments).await,
        Command::Test(arguments) => test::run(arguments).await,
        Command::Run(arguments) => run::run(config, arguments).await,
        Command::Watch(arguments) => watch::run(arguments).await,
        Command::Inspect(arguments) => inspect::run(config, arguments).await,
        Command::Ls(arguments) => ls::run(config, arguments).await,
    }
}

/// Claims that the component in a plugin's folder was built from the source beside it.
///
/// # Errors
///
/// The folder is no plugin's, or the plugin is not built.
pub fn is_current(folder: &Path) -> anyhow::Result<bool> {
    let manifest = Manifest::read(folder).map_err(Failure::into_error)?;
    let component = std::fs::read(manifest.wasm())
        .with_context(|| format!("cannot read {}", manifest.wasm().display()))?;
    let digest = source::digest(folder, &build::sources_outside(&manifest)?)?;
    Ok(source::stamped(&component) == Some(digest))
}
