//! `switchboard plugin new`: a small complete plugin, in a folder of its own.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::Args;

use super::manifest::{Lang, check_name};
use super::templates;
use crate::cli::Failure;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The plugin's name: small letters, digits and `-`.
    #[arg(value_parser = name)]
    name: String,
    /// What it is written in.
    #[arg(long)]
    lang: Lang,
    /// The folder to write to; by default one of the plugin's name.
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

fn name(text: &str) -> Result<String, String> {
    check_name(text).map(|()| text.to_owned())
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let folder = arguments.dir.clone().unwrap_or_else(|| PathBuf::from(&arguments.name));
    check_empty(&folder)?;
    let files = templates::files(arguments.lang, &arguments.name);
    for (name, text) in &files {
        write(&folder.join(name), text)?;
    }
    eprintln!("{} files in {}", files.len(), folder.display());
    crate::cli::print(&format!(
        "now run:\n  switchboard plugin build {folder}\n  switchboard plugin test {folder}\n",
        folder = folder.display()
    ))
}

/// Nothing that is there is written over.
fn check_empty(folder: &Path) -> Result<(), Failure> {
    let is_taken = match std::fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => folder.exists(),
    };
    if is_taken {
        let shown = folder.display();
        return Err(
            anyhow!("{shown} is there already and not empty: give another folder with `--dir`").into()
        );
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
