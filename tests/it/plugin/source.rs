//! The committed `.wasm` files belong to the sources beside them.

use std::fs;
use std::path::{Path, PathBuf};

use switchboard::cli::plugin::is_current;

use super::root;

/// The folders of the repository's plugins.
fn plugins() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("plugins")).expect("a folder");
    let folders = entries.map(|entry| entry.expect("an entry").path());
    folders.filter(|folder| folder.join("plugin.toml").is_file()).collect()
}

/// Copies what is not built.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a new folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if path.is_file() {
            fs::copy(&path, to.join(&name)).expect("a copy");
        } else if !["target", "node_modules", ".venv"].contains(&name.as_str()) {
            copy(&path, &to.join(&name));
        }
    }
}

#[test]
fn every_built_plugin_belongs_to_its_source() {
    let plugins = plugins();
    assert!(plugins.len() > 1, "the plugins were found: {plugins:?}");
    for folder in plugins {
        let is_current = is_current(&folder).expect("a plugin that was built");
        assert!(is_current, "{} is of another source: run `just plugins`", folder.display());
    }
}

#[test]
fn a_source_that_was_changed_is_noticed() {
    let dir = tempfile::tempdir().expect("a directory");
    copy(&root().join("plugins"), dir.path());
    let folder = dir.path().join("customer-lookup");
    let belongs = || is_current(&folder).expect("a plugin that was built");
    assert!(belongs(), "a copy is as good");
    for changed in ["customer-lookup/src/lib.rs", "customer-lookup/Cargo.lock", "sdk/src/lib.rs"] {
        let path = dir.path().join(changed);
        let original = fs::read(&path).expect("a file");
        fs::write(&path, [&original[..], b"\n"].concat()).expect("a changed file");
        assert!(!belongs(), "{changed}");
        fs::write(&path, original).expect("the file as it was");
    }
    fs::write(folder.join("tests.toml"), "").expect("a file that is no source");
    assert!(belongs(), "tests are no source");
    fs::write(folder.join("src/new.rs"), "").expect("a new file");
    assert!(!belongs(), "a new file");
}
