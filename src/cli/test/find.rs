//! Which scenarios there are to be played.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::anyhow;

use crate::cli::Failure;
use crate::cli::stage::beside;
use crate::sim::scenario::Scenario;

/// Where scenarios are looked for, beside the configuration, when nobody says where.
pub(super) const FOLDERS: [&str; 2] = ["tests", "scenarios"];
/// Folders in which no scenario is looked for: what other tools keep, and what tests of other kinds are given.
const NOT_LOOKED_INTO: [&str; 3] = ["fixtures", "node_modules", "target"];
/// The tests of a plugin, which have another form (`switchboard plugin test`).
const OF_PLUGINS: [&str; 2] = ["tests.toml", "plugin.toml"];
/// How deep folders may lie in each other: links can lead in a circle.
const DEPTH_MAX: usize = 16;

/// A scenario file.
pub(super) struct Found {
    pub file: PathBuf,
    /// What stands in it, or why that is no scenario.
    pub scenario: Result<Scenario, String>,
}

impl Found {
    /// What the test is called.
    pub fn name(&self) -> String {
        match &self.scenario {
            Ok(scenario) => scenario.name.clone(),
            Err(_) => self.file.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        }
    }
}

/// Where to look: what was named, else the folders beside the configuration.
pub(super) fn places(config: &Path, named: &[PathBuf]) -> Vec<PathBuf> {
    if !named.is_empty() {
        return named.to_vec();
    }
    FOLDERS.iter().map(|folder| beside(Some(config), folder)).filter(|folder| folder.is_dir()).collect()
}

/// The scenarios in these places, in the order of the places, and within a folder in that of their names.
///
/// # Errors
///
/// A place is not there, or cannot be read; a folder that was named holds none.
pub(super) fn scenarios(places: &[PathBuf], are_named: bool) -> Result<Vec<Found>, Failure> {
    let mut files: Vec<PathBuf> = Vec::new();
    for place in places {
        let mut inside = BTreeSet::new();
        match place.is_dir() {
            true => look_into(place, 0, &mut inside).map_err(|error| unreadable(place, &error))?,
            false => {
                std::fs::metadata(place).map_err(|error| unreadable(place, &error))?;
                inside.insert(place.clone());
            }
        }
        if inside.is_empty() && are_named {
            let message = format!("there is no scenario (`*.toml`) in {}", place.display());
            return Err(Failure::Usage(anyhow!(message)));
        }
        files.extend(inside);
    }
    let mut known = BTreeSet::new();
    files.retain(|file| known.insert(file.clone()));
    let found = files.into_iter().map(|file| {
        let scenario = Scenario::load(&file).map_err(|error| crate::text::chain(&error));
        Found { file, scenario }
    });
    Ok(found.collect())
}

fn unreadable(place: &Path, error: &std::io::Error) -> Failure {
    Failure::Usage(anyhow!("cannot read {}: {error}", place.display()))
}

fn look_into(folder: &Path, depth: usize, files: &mut BTreeSet<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            if depth < DEPTH_MAX && !NOT_LOOKED_INTO.contains(&&*name) {
                look_into(&path, depth + 1, files)?;
            }
        } else if is_scenario(&name) {
            files.insert(path);
        }
    }
    Ok(())
}

/// Claims that a file in a folder is a scenario, by its name.
pub(super) fn is_scenario(name: &str) -> bool {
    name.ends_with(".toml") && !name.starts_with('.') && !OF_PLUGINS.contains(&name)
}
