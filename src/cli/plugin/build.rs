//! `switchboard plugin build`: the language's ordinary build, and what makes a plugin of its outcome.
//!
//! What is missing on this machine is told with the command that brings it. The component says which
//! source it was built from, and is loaded in the real host before it is called good.

mod python;
mod rust;
mod typescript;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;

use super::manifest::{Lang, Manifest};
use super::{inspect, sections, source};
use crate::cli::Failure;

/// Where the builds of ts and python leave the component, from the plugin's folder.
const BUILT: &str = "dist/plugin.wasm";

#[derive(Clone, Debug, Args)]
pub(super) struct Arguments {
    /// The plugin's folder.
    #[arg(default_value = ".")]
    dir: PathBuf,
    #[command(flatten)]
    options: Options,
}

/// How it is built.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Options {
    /// Do not install what the folder's own files ask for; say what is missing instead.
    #[arg(long)]
    no_install: bool,
    /// Build with the versions of the lock file or not at all.
    #[arg(long)]
    locked: bool,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let manifest = Manifest::read(&arguments.dir)?;
    build(&manifest, arguments.options).await?;
    let settings = manifest.settings()?;
    let sheet = inspect::Sheet::load(&settings).await?;
    crate::cli::print(&sheet.text())
}

/// Builds the component and writes it where gateways find it.
///
/// # Errors
///
/// A tool is missing, the build fails, or what it gives is no component.
pub(super) async fn build(manifest: &Manifest, options: Options) -> Result<(), Failure> {
    let manifest = manifest.clone();
    // Other programs work for seconds, and are waited for.
    tokio::task::spawn_blocking(move || {
        let component = compile(&manifest, options)?;
        write(&manifest.wasm(), &component).map_err(Failure::Failed)
    })
    .await?
}

/// The sources of a plugin that stand outside its folder.
///
/// # Errors
///
/// The crate's own file cannot be read.
pub(super) fn sources_outside(manifest: &Manifest) -> anyhow::Result<Vec<String>> {
    let mut sources = manifest.build.sources.clone();
    sources.extend(manifest.build.wit.clone());
    if manifest.lang == Lang::Rust {
        sources.extend(rust::path_dependencies(&manifest.folder)?);
    }
    Ok(sources)
}

fn compile(manifest: &Manifest, options: Options) -> Result<Vec<u8>, Failure> {
    let mut component = match manifest.lang {
        Lang::Rust => rust::build(manifest, options)?,
        Lang::Ts => typescript::build(manifest, options)?,
        Lang::Python => python::build(manifest, options)?,
    };
    if component.starts_with(b"\0asm\x01\0\0\0") {
        return Err(
            anyhow!("the build gave a core module, not a component: see docs/plugins/README.md").into()
        );
    }
    if let Some(small) = sections::stripped(&component) {
        component = small;
    }
    let digest = source::digest(&manifest.folder, &sources_outside(manifest)?)?;
    source::stamp(&mut component, &digest);
    Ok(component)
}

/// In one piece: a gateway that watches the file never sees half of it.
fn write(path: &Path, component: &[u8]) -> anyhow::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let unfinished = path.with_file_name(format!(".{name}.unfinished"));
    let written = std::fs::write(&unfinished, component).and_then(|()| std::fs::rename(&unfinished, path));
    written.with_context(|| format!("cannot write {}", path.display()))
}

/// What the build of ts or python left.
fn built(folder: &Path, who: &str) -> Result<Vec<u8>, Failure> {
    let path = folder.join(BUILT);
    std::fs::read(&path).map_err(|error| {
        let path = path.display();
        anyhow!("{who} did not write {path} ({error}): have it write the component there").into()
    })
}

/// Runs a step of the build; what it says goes to standard error.
fn step(command: &mut Command, shown: &str) -> Result<(), Failure> {
    eprintln!("  {shown}");
    // Our standard output is for results.
    command.stdout(std::io::stderr());
    let status = command.status().with_context(|| format!("`{shown}` cannot be started"))?;
    if status.success() { Ok(()) } else { Err(anyhow!("`{shown}` failed ({status}); see above").into()) }
}

/// A program, where the system finds it.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Something without which it cannot be built.
fn missing(words: impl std::fmt::Display) -> Failure {
    Failure::Unavailable(anyhow!("{words}"))
}

/// A file's text.
fn text(path: &Path) -> anyhow::Result<String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) => bail!("cannot read {}: {error}", path.display()),
    }
}
