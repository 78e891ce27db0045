//! Which source a built plugin was built from: a digest of the source, kept in a section of the component.
//!
//! Everything in a plugin's folder is its source, except what is built, fetched or only told about. What
//! stands outside (a crate beside it, a folder of WIT) is named and counts too.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::sections;
use crate::text::hex;
use sha2::{Digest as _, Sha256};

/// The custom section that holds the digest.
const SECTION: &str = "switchboard-source";
/// Folders that hold what is built or fetched, wherever they are. Names that begin with a dot are left out too.
const NOT_SOURCE: [&str; 3] = ["target", "node_modules", "__pycache__"];
/// What is no source at the top of the folder: what is built, and what only tells about it.
const NOT_SOURCE_AT_TOP: [&str; 6] =
    ["build", "dist", "plugin.toml", "tests.toml", "mocks.toml", "README.md"];
/// A folder with more files than this is not a plugin's.
const FILES_MAX: usize = 10_000;
/// Nor is one that is deeper.
const DEPTH_MAX: usize = 16;

/// The digest of a plugin's source: its folder, and what `more` names from there.
///
/// # Errors
///
/// A file or folder cannot be read, or there are too many of them.
pub(super) fn digest(folder: &Path, more: &[String]) -> io::Result<String> {
    let mut digest = Sha256::new();
    for (name, path) in files(folder, more)? {
        let bytes = std::fs::read(&path).map_err(|error| told(&path, error))?;
        digest.update(format!("{name} {}\n", bytes.len()));
        digest.update(bytes);
    }
    Ok(hex(&digest.finalize()))
}

/// Writes the digest into a component that has none yet.
pub(super) fn stamp(component: &mut Vec<u8>, digest: &str) {
    sections::add_custom(component, SECTION, digest.as_bytes());
}

/// The digest that a component says it was built from.
pub(super) fn stamped(component: &[u8]) -> Option<String> {
    String::from_utf8(sections::custom(component, SECTION)?.to_vec()).ok()
}

/// Claims that a change of this file is a change of the source that is in `folder`.
pub(super) fn is_source(folder: &Path, path: &Path) -> bool {
    let Ok(inside) = path.strip_prefix(folder) else { return true };
    let mut at_top = true;
    for part in inside.components() {
        let Component::Normal(name) = part else { return false };
        if !is_counted(&name.to_string_lossy(), at_top) {
            return false;
        }
        at_top = false;
    }
    !at_top
}

/// The files of the source by their names from the folder, in order.
fn files(folder: &Path, more: &[String]) -> io::Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    collect(folder, "", 0, &mut found)?;
    for name in more {
        let path = folder.join(name);
        let name = name.trim_end_matches('/');
        if path.is_dir() {
            collect(&path, &format!("{name}/"), 0, &mut found)?;
        } else {
            found.insert(name.to_owned(), path);
        }
    }
    Ok(found)
}

fn collect(
    folder: &Path,
    prefix: &str,
    depth: usize,
    found: &mut BTreeMap<String, PathBuf>,
) -> io::Result<()> {
    let too_much = |what: &str| io::Error::other(format!("{} {what}", folder.display()));
    if depth > DEPTH_MAX {
        return Err(too_much("is too deep for the source of a plugin"));
    }
    for entry in std::fs::read_dir(folder).map_err(|error| told(folder, error))? {
        let entry = entry.map_err(|error| told(folder, error))?;
        let (name, path) = (entry.file_name().to_string_lossy().into_owned(), entry.path());
        if !is_counted(&name, depth == 0) {
            continue;
        }
        if path.is_dir() {
            collect(&path, &format!("{prefix}{name}/"), depth + 1, found)?;
        } else {
            found.insert(format!("{prefix}{name}"), path);
        }
        if found.len() > FILES_MAX {
            return Err(too_much("has too many files for the source of a plugin"));
        }
    }
    Ok(())
}

fn is_counted(name: &str, at_top: bool) -> bool {
    let is_built = at_top && (NOT_SOURCE_AT_TOP.contains(&name) || name.ends_with(".wasm"));
    !name.starts_with('.') && !NOT_SOURCE.contains(&name) && !is_built
}

fn told(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_source_counts() {
        let folder = Path::new("/p");
        for (path, counts) in [
            ("/p/src/lib.rs", true),
            ("/p/src/build/x.rs", true),
            ("/p/src/README.md", true),
            ("/elsewhere/x", true),
            ("/p/target/x", false),
            ("/p/sdk/target/x", false),
            ("/p/.venv/x", false),
            ("/p/plugin.toml", false),
            ("/p/p.wasm", false),
            ("/p", false),
        ] {
            assert_eq!(is_source(folder, Path::new(path)), counts, "{path}");
        }
    }
}
