//! Plugins without a gateway around them: for their authors, who have neither keys nor routes.

use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::tool::plugin;

use super::codes;
use super::defaults::Defaults;
use super::document::Document;
use super::environment::Environment;
use super::problem::{Location, Problem, Problems, Source};
use super::{check, files, read, shape, with_defaults};

/// The `[plugins.*]` of a configuration, whatever else is wrong or missing in it.
///
/// # Errors
///
/// Everything that is wrong with these tables; or the file cannot be read, or is not TOML.
pub fn plugins(path: &Path, environment: &Environment) -> Result<Vec<plugin::Settings>, Problems> {
    read_alone(path, environment, |document| {
        document.table = kept(std::mem::take(&mut document.table), |key| key == "plugins");
    })
}

/// One plugin whose file has in its table `key` what `[plugins.NAME]` would say; `wasm` is the component's
/// path, from the file's directory.
///
/// # Errors
///
/// As [`plugins`].
pub fn plugin(
    path: &Path,
    name: &str,
    key: &str,
    wasm: &str,
    environment: &Environment,
) -> Result<plugin::Settings, Problems> {
    let found = read_alone(path, environment, |document| {
        let unplaced = |value: DeValue<'static>| Spanned::new(0..0, value);
        let word = |text: &str| Spanned::new(0..0, text.to_owned().into());
        let own = std::mem::take(&mut document.table).remove(key);
        let mut own = own.unwrap_or_else(|| unplaced(DeValue::Table(DeTable::new())));
        if let DeValue::Table(table) = own.get_mut() {
            table.insert(word("path"), unplaced(DeValue::String(wasm.to_owned().into())));
        }
        let mut named = DeTable::new();
        named.insert(word(name), own);
        document.table.insert(word("plugins"), Spanned::new(0..0, DeValue::Table(named)));
    });
    found.and_then(|found| found.into_iter().next().ok_or_else(Problems::default))
}

/// The entries whose keys are wanted.
fn kept<'i>(table: DeTable<'i>, is_wanted: impl Fn(&str) -> bool) -> DeTable<'i> {
    let mut kept = DeTable::new();
    for (key, value) in table {
        if is_wanted(key.get_ref()) {
            kept.insert(key, value);
        }
    }
    kept
}

fn read_alone(
    path: &Path,
    environment: &Environment,
    prepare: impl FnOnce(&mut Document<'_>),
) -> Result<Vec<plugin::Settings>, Problems> {
    let name = path.display().to_string();
    let mut problems = Problems::default();
    let bytes = match files::read(path, files::CONFIG_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(why) => {
            let location = Location::Whole(Arc::new(Source { name, text: None }));
            problems.push(Problem::new(&codes::FILE, location, format!("the file cannot be read: {why}")));
            return Err(problems);
        }
    };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let checked = checked(&name, &bytes, directory, environment, prepare, &mut problems);
    problems.sort();
    checked.filter(|_| !problems.has_errors()).ok_or(problems)
}

fn checked(
    name: &str,
    bytes: &[u8],
    directory: &Path,
    environment: &Environment,
    prepare: impl FnOnce(&mut Document<'_>),
    problems: &mut Problems,
) -> Option<Vec<plugin::Settings>> {
    let environment = environment.clone().or(read::dotenv(directory, problems));
    let mut document = read::parse(name, bytes, problems)?;
    prepare(&mut document);
    read::complete(&mut document, directory, &environment, problems);
    shape::fit(&mut document, problems);
    let defaults = Defaults::read();
    let raw = shape::typed(with_defaults(&document, &defaults)).ok()?;
    check::plugins_alone(&document, directory, &defaults, raw, problems)
}
