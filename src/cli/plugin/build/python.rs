//! Python: componentize-py, the system's or one in the plugin's own `.venv`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::{BUILT, Manifest, Options, built, find, missing, step, text};
use crate::cli::Failure;

const TOOL: &str = "componentize-py";
/// The plugin's own environment.
const VENV: &str = ".venv";
/// What holds where `[build]` of `plugin.toml` does not say otherwise.
const WIT: &str = "wit";
const MODULE: &str = "plugin";
const WORLD: &str = "tool-plugin";

pub(super) fn build(manifest: &Manifest, options: Options) -> Result<Vec<u8>, Failure> {
    let folder = &manifest.folder;
    let tool = tool(folder, options)?;
    let wit = manifest.build.wit.as_deref().unwrap_or(WIT);
    let module = manifest.build.module.as_deref().unwrap_or(MODULE);
    let world = manifest.build.world.as_deref().unwrap_or(WORLD);
    if let Some(parent) = folder.join(BUILT).parent() {
        std::fs::create_dir_all(parent)?;
    }
    // What an earlier build left is not taken for this one's.
    let _ = std::fs::remove_file(folder.join(BUILT));
    let words = ["--wit-path", wit, "--world", world, "componentize", module, "-o", BUILT];
    step(Command::new(tool).current_dir(folder).args(words), &format!("{TOOL} {}", words.join(" ")))?;
    built(folder, TOOL)
}

/// The plugin's own tool, else the system's, else one that is installed for the plugin.
fn tool(folder: &Path, options: Options) -> Result<PathBuf, Failure> {
    let own = folder.join(VENV).join("bin").join(TOOL);
    if own.is_file() {
        // The command runs in the plugin's folder, so that the way to it must not depend on ours.
        return Ok(std::path::absolute(own)?);
    }
    if let Some(found) = find(TOOL) {
        return Ok(found);
    }
    let what = requirements(folder)?;
    let shown = what.join(" ");
    let by_hand = format!("`python3 -m venv {VENV} && {VENV}/bin/pip install {shown}`");
    if find("python3").is_none() {
        return Err(missing(
            "Python is not here: install version 3.10 or newer as https://www.python.org tells (on Debian: \
             `apt-get install python3 python3-venv`) and try again",
        ));
    }
    if options.no_install {
        return Err(missing(format!("{TOOL} is not here: run {by_hand} in {}", folder.display())));
    }
    let venv = step(
        Command::new("python3").current_dir(folder).args(["-m", "venv", VENV]),
        &format!("python3 -m venv {VENV}"),
    );
    if venv.is_err() {
        return Err(missing(
            "Python cannot make an environment: on Debian, `apt-get install python3-venv`, then try again",
        ));
    }
    let mut pip = Command::new(std::path::absolute(folder.join(VENV).join("bin/python"))?);
    pip.current_dir(folder).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    step(pip.args(what), &format!("{VENV}/bin/pip install {shown}"))?;
    Ok(std::path::absolute(own)?)
}

/// What the group `build` of `pyproject.toml` asks for; without one, the tool in its newest version.
fn requirements(folder: &Path) -> anyhow::Result<Vec<String>> {
    let path = folder.join("pyproject.toml");
    if !path.is_file() {
        return Ok(vec![TOOL.to_owned()]);
    }
    let table: toml::Table =
        toml::from_str(&text(&path)?).with_context(|| format!("{} is no TOML", path.display()))?;
    let group = table.get("dependency-groups").and_then(|groups| groups.get("build")?.as_array());
    let asked: Vec<String> =
        group.into_iter().flatten().filter_map(toml::Value::as_str).map(str::to_owned).collect();
    Ok(if asked.is_empty() { vec![TOOL.to_owned()] } else { asked })
}
