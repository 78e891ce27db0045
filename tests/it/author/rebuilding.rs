//! The repository's plugins are built from their source, with the versions of their lock files, and what comes
//! of it is the plugin that lies beside the source.
//!
//! They are built in a copy that stays from run to run, with what the languages' own tools fetched and
//! compiled for it: only what has changed is written anew, so that only that is built anew.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;
use switchboard::cli::plugin::is_current;

use super::{Bench, command, good, root, toolchains, well};

/// What is fetched or built, and stays in the copy.
const KEPT: [&str; 5] = ["target", "node_modules", "dist", "__pycache__", ".venv"];

/// The copy of `plugins` for one of them.
fn workshop(name: &str) -> Bench {
    let bench = Bench::as_it_was(name);
    for part in [name, "sdk", "wit"] {
        let (from, to) = (root().join("plugins").join(part), bench.path().join(part));
        if differs(&from.join("package-lock.json"), &to.join("package-lock.json")) {
            let _ = fs::remove_dir_all(to.join("node_modules"));
        }
        renew(&from, &to);
    }
    bench
}

/// Makes a folder like another one, without a touch to what is alike already.
fn renew(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    let names = names(from);
    for gone in self::names(to).difference(&names) {
        let path = to.join(gone);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.expect("it goes");
    }
    for name in names {
        let (from, to) = (from.join(&name), to.join(&name));
        if from.is_dir() {
            renew(&from, &to);
        } else if differs(&from, &to) {
            fs::copy(&from, &to).expect("a copy");
        }
    }
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    names.filter(|name| !KEPT.contains(&name.as_str())).collect()
}

fn differs(one: &Path, other: &Path) -> bool {
    fs::read(one).ok() != fs::read(other).ok()
}

/// What a plugin is for those who use it: all that `inspect` tells of it but the file.
fn told_of(plugin: &str, folder: &Path) -> Value {
    let told = good(&["plugin", "inspect", plugin, "--json"], folder);
    let mut sheet: Value = serde_json::from_str(&told).expect("JSON");
    for of_the_file in ["file", "bytes", "sha256"] {
        assert!(sheet.as_object_mut().expect("an object").remove(of_the_file).is_some(), "{told}");
    }
    sheet
}

fn is_built_from_source(name: &str, lang: &str) {
    if !toolchains::is_here(lang, &format!("the build of plugins/{name}")) {
        return;
    }
    let bench = workshop(name);
    let plugins = bench.path();
    let component = plugins.join(name).join(format!("{name}.wasm"));
    fs::remove_file(&component).expect("the copy of the built plugin goes");
    let mut build = command(&["plugin", "build", "--locked", name], plugins);
    well(build.env("CARGO_TARGET_DIR", plugins.join(name).join("target")));
    assert!(is_current(&plugins.join(name)).expect("a plugin that was built"), "it is of another source");
    assert_eq!(told_of(name, plugins), told_of(&format!("plugins/{name}"), root()), "run `just plugins`");
    let told = good(&["plugin", "test", name], plugins);
    let tests = fs::read_to_string(root().join("plugins").join(name).join("tests.toml")).expect("tests");
    let count = tests.lines().filter(|line| line.trim() == "[[tests]]").count();
    assert!(count > 0 && told.ends_with(&format!("\n{count} passed, 0 failed\n")), "{count}: {told}");
}

#[test]
fn the_example_in_rust_is_built_from_its_source() {
    is_built_from_source("customer-lookup", "rust");
}

#[test]
fn the_example_in_typescript_is_built_from_its_source() {
    is_built_from_source("appointment-booking", "ts");
}

#[test]
fn the_example_in_python_is_built_from_its_source() {
    is_built_from_source("opening-hours", "python");
}
