//! Builds the plugins of this repository: has each language's own tools make a component of it, and writes
//! beside its source a `.wasm` that says which source it was built from.
//!
//! `build-plugins` builds all, `build-plugins NAME …` some. What language a plugin is in, its files tell:
//! `Cargo.toml`, `package.json` (npm) or `pyproject.toml` (componentize-py).
//!
//! With the target installed (`rustup target add wasm32-unknown-unknown`) the ordinary compiler is used.
//! Without it, a Debian machine can do it too (`apt-get install rustc-web rust-web-src lld`): its
//! compiler builds the standard library from source.

mod strip;

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
const PLUGINS: [&str; 4] = ["customer-lookup", "appointment-booking", "opening-hours", "test-guests"];
/// What lies in a plugin's folder and is not built from: what was built, and what is for people or `plugin test`.
/// `tests/it/plugin/source.rs` has the same list.
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

fn main() -> Result<()> {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no folder above")?.to_owned();
    let asked: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = asked.iter().find(|name| !PLUGINS.contains(&name.as_str())) {
        bail!("there is no plugin `{unknown}`; there are {}", PLUGINS.join(", "));
    }
    for name in PLUGINS.iter().filter(|name| asked.is_empty() || asked.iter().any(|asked| asked == *name)) {
        let component = build(&plugins, name).with_context(|| format!("building `{name}`"))?;
        let path = plugins.join(name).join(format!("{name}.wasm"));
        fs::write(&path, &component)?;
        println!("{name}: {} bytes", component.len());
    }
    Ok(())
}

fn build(plugins: &Path, name: &str) -> Result<Vec<u8>> {
    let folder = plugins.join(name);
    let mut component = if folder.join("Cargo.toml").exists() {
        rust(plugins, name)?
    } else if folder.join("package.json").exists() {
        if !folder.join("node_modules").exists() {
            run(Command::new("npm").current_dir(&folder).arg("ci"))?;
        }
        run(Command::new("npm").current_dir(&folder).args(["run", "build"]))?;
        strip::component(&fs::read(folder.join("dist/plugin.wasm"))?)?
    } else {
        fs::create_dir_all(folder.join("dist"))?;
        let arguments =
            ["-d", "../wit/v0.2.0", "-w", "tool-plugin", "componentize", "plugin", "-o", "dist/plugin.wasm"];
        run(Command::new("componentize-py").current_dir(&folder).args(arguments))?;
        strip::component(&fs::read(folder.join("dist/plugin.wasm"))?)?
    };
    let digest = source_digest(plugins, name)?;
    let section = CustomSection { name: SOURCE_SECTION.into(), data: digest.as_bytes().into() };
    component.push(Section::id(&section));
    section.encode(&mut component);
    Ok(component)
}

fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("{name} cannot be started: is it installed?"))?;
    ensure!(status.success(), "{name} failed");
    Ok(())
}

fn rust(plugins: &Path, name: &str) -> Result<Vec<u8>> {
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
    run(&mut cargo)?;
    let file = format!("target/{TARGET}/release/{}.wasm", name.replace('-', "_"));
    let module = fs::read(folder.join(&file)).with_context(|| format!("reading {file}"))?;
    let mut encoder = wit_component::ComponentEncoder::default().validate(true).module(&module)?;
    encoder.encode()
}

fn has_target() -> Result<bool> {
    let output = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output()?;
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    Ok(output.status.success() && path.exists())
}

/// The digest of everything a plugin is built from: its own folder, the interface and, where
/// it leans on it, the SDK;
/// `tests/it/plugin/source.rs` computes the same.
fn source_digest(plugins: &Path, name: &str) -> Result<String> {
    let mut files = Vec::new();
    sources(plugins, name, &mut files)?;
    sources(plugins, "wit", &mut files)?;
    if fs::read_to_string(plugins.join(name).join("Cargo.toml")).is_ok_and(|text| text.contains("\"../sdk\""))
    {
        sources(plugins, "sdk", &mut files)?;
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

/// The files below a folder, as paths from `plugins`, without what is not source.
fn sources(plugins: &Path, folder: &str, files: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(plugins.join(folder)).with_context(|| format!("reading {folder}"))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if NOT_SOURCE.contains(&name.as_str()) || name.ends_with(".wasm") {
            continue;
        }
        let path = format!("{folder}/{name}");
        if entry.file_type()?.is_dir() {
            sources(plugins, &path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
