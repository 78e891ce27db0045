//! The committed `.wasm` files belong to the sources beside them.

use std::fs;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::root;

/// The custom section in which `plugins/build` leaves the digest of the source.
const SOURCE_SECTION: &str = "switchboard-source";

/// What lies in a plugin's folder and is not built from; `plugins/build` has the same list.
const NOT_SOURCE: [&str; 9] = [
    "target",
    "node_modules",
    "dist",
    "__pycache__",
    ".venv",
    ".gitignore",
    "README.md",
    "plugin.toml",
    "tests.toml",
];

/// The plugins of this repository that are built and kept.
const PLUGINS: [&str; 4] = ["customer-lookup", "appointment-booking", "opening-hours", "test-guests"];

/// The digest of everything a plugin is built from, as `plugins/build` computes it: its own folder, the
/// interface and, where it leans on it, the SDK.
fn source_digest(plugins: &Path, name: &str) -> String {
    let mut files = Vec::new();
    sources(plugins, name, &mut files);
    sources(plugins, "wit", &mut files);
    if fs::read_to_string(plugins.join(name).join("Cargo.toml")).is_ok_and(|text| text.contains("\"../sdk\""))
    {
        sources(plugins, "sdk", &mut files);
    }
    files.sort();
    let mut digest = Sha256::new();
    for file in files {
        let bytes = fs::read(plugins.join(&file)).expect("a readable file");
        digest.update(format!("{file} {}\n", bytes.len()));
        digest.update(bytes);
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The files below a folder, as paths from `plugins`, without what is not source.
fn sources(plugins: &Path, folder: &str, files: &mut Vec<String>) {
    for entry in fs::read_dir(plugins.join(folder)).expect("a folder") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().to_string_lossy().into_owned();
        if NOT_SOURCE.contains(&name.as_str()) || name.ends_with(".wasm") {
            continue;
        }
        let path = format!("{folder}/{name}");
        match entry.path().is_dir() {
            true => sources(plugins, &path, files),
            false => files.push(path),
        }
    }
}

/// The contents of a component's custom section of this name.
fn custom_section<'a>(component: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut rest = component.get(8..)?;
    while let [id, after @ ..] = rest {
        let (size, body) = number(after)?;
        let section = body.get(..size)?;
        rest = &body[size..];
        if *id != 0 {
            continue;
        }
        let (length, named) = number(section)?;
        if named.get(..length)? == name.as_bytes() {
            return Some(&named[length..]);
        }
    }
    None
}

/// An unsigned LEB128 number, and what follows it.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let end = bytes.iter().take(5).position(|byte| byte & 0x80 == 0)?;
    let value = bytes[..=end].iter().rev().fold(0, |value, byte| value << 7 | usize::from(byte & 0x7f));
    Some((value, &bytes[end + 1..]))
}

/// Whether a plugin's `.wasm` says that it was built from the source beside it.
fn belongs(plugins: &Path, name: &str) -> bool {
    let component = fs::read(plugins.join(format!("{name}/{name}.wasm"))).expect("a built plugin");
    let built_from = custom_section(&component, SOURCE_SECTION).expect("a plugin that says its source");
    built_from == source_digest(plugins, name).as_bytes()
}

#[test]
fn every_built_plugin_belongs_to_its_source() {
    for name in PLUGINS {
        assert!(
            belongs(&root().join("plugins"), name),
            "{name}.wasm is of another source: run `just plugins`"
        );
    }
}

#[test]
fn a_source_that_was_changed_is_noticed() {
    let dir = tempfile::tempdir().expect("a directory");
    let (from, to) = (root().join("plugins"), dir.path());
    let mut files = vec!["customer-lookup/customer-lookup.wasm".to_owned()];
    for folder in ["customer-lookup", "sdk", "wit"] {
        sources(&from, folder, &mut files);
    }
    for file in files {
        let copy = to.join(&file);
        fs::create_dir_all(copy.parent().expect("a folder")).expect("a new folder");
        fs::copy(from.join(&file), copy).expect("a copy");
    }
    assert!(belongs(to, "customer-lookup"));
    for changed in [
        "customer-lookup/src/lib.rs",
        "customer-lookup/Cargo.lock",
        "sdk/src/plugin.rs",
        "wit/v0.2.0/plugin.wit",
    ] {
        let original = fs::read(to.join(changed)).expect("a file");
        fs::write(to.join(changed), [&original[..], b"\n"].concat()).expect("a changed file");
        assert!(!belongs(to, "customer-lookup"), "{changed}");
        fs::write(to.join(changed), original).expect("the file as it was");
    }
    fs::write(to.join("customer-lookup/tests.toml"), "").expect("a file that is not built from");
    assert!(belongs(to, "customer-lookup"), "tests are no source");
    fs::write(to.join("customer-lookup/src/new.rs"), "").expect("a new file");
    assert!(!belongs(to, "customer-lookup"), "a new file");
}

#[test]
fn the_interface_is_the_same_wherever_it_travels() {
    let plugins = root().join("plugins");
    let interface = fs::read_to_string(plugins.join("wit/v0.2.0/plugin.wit")).expect("the interface");
    for copy in ["sdk/wit", "templates/ts/wit", "templates/python/wit"] {
        let copied = fs::read_to_string(plugins.join(copy).join("plugin.wit")).expect("a copy");
        assert!(copied == interface, "plugins/{copy}/plugin.wit is not plugins/wit/v0.2.0/plugin.wit");
    }
}

/// A name of the interface as JavaScript has it.
fn camel(name: &str) -> String {
    let mut words = name.split('-');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| name + &word[..1].to_uppercase() + &word[1..])
}

#[test]
fn the_types_for_typescript_have_every_field_and_function_of_the_interface() {
    let plugins = root().join("plugins");
    let interface = fs::read_to_string(plugins.join("wit/v0.2.0/plugin.wit")).expect("the interface");
    let types = fs::read_to_string(plugins.join("appointment-booking/switchboard.d.ts")).expect("the types");
    let template = fs::read_to_string(plugins.join("templates/ts/switchboard.d.ts")).expect("the types");
    assert!(types == template, "the template's switchboard.d.ts is not that of appointment-booking");
    let (mut is_record, mut seen) = (false, 0);
    for line in interface.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
        is_record = line.starts_with("record ") || is_record && line != "}";
        let Some((name, rest)) = line.split_once(": ") else { continue };
        let expected = match rest.starts_with("func(") {
            true => format!("{}(", camel(name)),
            false if is_record => format!("{}: ", camel(name)),
            false => continue,
        };
        assert!(types.contains(&expected), "switchboard.d.ts has no `{expected}`");
        seen += 1;
    }
    assert!(seen > 40, "only {seen} names were found in the interface");
}
