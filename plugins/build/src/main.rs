//! Builds the plugins of this repository: compiles each to WebAssembly, makes a component of it, and
//! writes beside its source a `.wasm` that says which source it was built from.
//!
//! With the target installed (`rustup target add wasm32-unknown-unknown`) the ordinary compiler is used.
//! Without it, a Debian machine can do it too (`apt-get install rustc-web rust-web-src lld`): its
//! compiler builds the standard library from source.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};
use wasm_encoder::{CustomSection, Encode, Section};

const TARGET: &str = "wasm32-unknown-unknown";
/// The custom section that holds the digest of the source; `tests/it/plugin/source.rs` reads it.
const SOURCE_SECTION: &str = "switchboard-source";
/// The plugins, as folders beside this one's.
const PLUGINS: [&str; 2] = ["customer-lookup", "test-guests"];

fn main() -> Result<()> {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no folder above")?.to_owned();
    for name in PLUGINS {
        let component = build(&plugins, name).with_context(|| format!("building `{name}`"))?;
        let path = plugins.join(name).join(format!("{name}.wasm"));
        fs::write(&path, &component)?;
        println!("{name}: {} bytes", component.len());
    }
    Ok(())
}

fn build(plugins: &Path, name: &str) -> Result<Vec<u8>> {
    let folder = plugins.join(name);
    let mut cargo = Command::new("cargo");
    cargo.current_dir(&folder).args(["build", "--release", "--locked", "--target", TARGET]);
    // Nothing of the machine that builds belongs into what is built.
    let mut flags = vec![format!("--remap-path-prefix={}=plugins", plugins.display())];
    for (variable, shown) in [("CARGO_HOME", "cargo"), ("HOME", "home")] {
        if let Ok(path) = std::env::var(variable) {
            flags.push(format!("--remap-path-prefix={path}={shown}"));
        }
    }
    if !has_target()? {
        ensure!(Path::new("/usr/bin/rustc").exists(), "run `rustup target add {TARGET}`, then try again");
        cargo.args(["-Z", "build-std=std,panic_abort"]);
        cargo.env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1");
        flags.push("--remap-path-prefix=/usr=usr".to_owned());
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    if !cargo.status().context("cargo cannot be started")?.success() {
        bail!("cargo failed");
    }
    let file = format!("target/{TARGET}/release/{}.wasm", name.replace('-', "_"));
    let module = fs::read(folder.join(&file)).with_context(|| format!("reading {file}"))?;
    let mut encoder = wit_component::ComponentEncoder::default().validate(true).module(&module)?;
    let mut component = encoder.encode()?;
    let digest = source_digest(plugins, name)?;
    let section = CustomSection { name: SOURCE_SECTION.into(), data: digest.as_bytes().into() };
    component.push(Section::id(&section));
    section.encode(&mut component);
    Ok(component)
}

fn has_target() -> Result<bool> {
    let output = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output()?;
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    Ok(output.status.success() && path.exists())
}

/// The digest of everything a plugin is built from; `tests/it/plugin/source.rs` computes the same.
fn source_digest(plugins: &Path, name: &str) -> Result<String> {
    let mut files = vec![format!("{name}/Cargo.toml"), format!("{name}/Cargo.lock")];
    for folder in [format!("{name}/src"), "wit".to_owned()] {
        for entry in fs::read_dir(plugins.join(&folder))? {
            files.push(format!("{folder}/{}", entry?.file_name().to_string_lossy()));
        }
    }
    files.sort();
    let mut digest = Sha256::new();
    for file in files {
        let bytes = fs::read(plugins.join(&file)).with_context(|| format!("reading {file}"))?;
        digest.update(format!("{file} {}\n", bytes.len()));
        digest.update(bytes);
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
