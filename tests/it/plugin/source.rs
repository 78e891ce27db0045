//! The committed `.wasm` files belong to the sources beside them.

use std::fs;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::root;

/// The custom section in which `plugins/build` leaves the digest of the source.
const SOURCE_SECTION: &str = "switchboard-source";

/// The digest of everything a plugin is built from, as `plugins/build` computes it.
fn source_digest(plugins: &Path, name: &str) -> String {
    let mut files = vec![format!("{name}/Cargo.toml"), format!("{name}/Cargo.lock")];
    for folder in [format!("{name}/src"), "wit".to_owned()] {
        for entry in fs::read_dir(plugins.join(&folder)).expect("a folder") {
            let entry = entry.expect("an entry");
            files.push(format!("{folder}/{}", entry.file_name().to_string_lossy()));
        }
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
    for name in ["customer-lookup", "test-guests"] {
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
    for folder in ["customer-lookup", "customer-lookup/src", "wit"] {
        fs::create_dir(to.join(folder)).expect("a new folder");
        for entry in fs::read_dir(from.join(folder)).expect("a folder") {
            let entry = entry.expect("an entry");
            if entry.path().is_file() {
                fs::copy(entry.path(), to.join(folder).join(entry.file_name())).expect("a copy");
            }
        }
    }
    assert!(belongs(to, "customer-lookup"));
    for changed in ["customer-lookup/src/guest.rs", "customer-lookup/Cargo.lock", "wit/plugin.wit"] {
        let original = fs::read(to.join(changed)).expect("a file");
        fs::write(to.join(changed), [&original[..], b"\n"].concat()).expect("a changed file");
        assert!(!belongs(to, "customer-lookup"), "{changed}");
        fs::write(to.join(changed), original).expect("the file as it was");
    }
    fs::write(to.join("customer-lookup/src/new.rs"), "").expect("a new file");
    assert!(!belongs(to, "customer-lookup"), "a new file");
}
