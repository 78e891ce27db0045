//! Rust: cargo's module, made a component.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, anyhow};
use serde_json::Value;

use super::{Manifest, Options, find, missing, text};
use crate::cli::Failure;

const TARGET: &str = "wasm32-unknown-unknown";
/// Debian's compiler, and its standard library as source.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_LIBRARY: &str = "/usr/lib/rustlib/src/rust/library";
/// Crates beside the plugin that it is built from; more of them is a circle.
const CRATES_MAX: usize = 64;

/// Which compiler is used.
enum Compiler {
    /// The ordinary one, with the target's standard library.
    Ordinary,
    /// Debian's, which compiles the standard library as well.
    Debian,
}

pub(super) fn build(manifest: &Manifest, options: Options) -> Result<Vec<u8>, Failure> {
    let compiler = compiler()?;
    let mut cargo = Command::new("cargo");
    let mut shown = format!("cargo build --release --target {TARGET}");
    cargo.current_dir(&manifest.folder).args(["build", "--release", "--target", TARGET]);
    cargo.arg("--message-format=json-render-diagnostics");
    if options.locked {
        cargo.arg("--locked");
        shown.push_str(" --locked");
    }
    if let Compiler::Debian = compiler {
        cargo.args(["-Z", "build-std=std,panic_abort"]);
        cargo.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1");
        shown.push_str(" (with Debian's compiler and the standard library from source)");
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags(manifest, &compiler).join("\u{1f}"));
    let module = std::fs::read(module(&mut cargo, &shown)?)?;
    let encoder = wit_component::ComponentEncoder::default().validate(true).module(&module);
    let component = encoder.and_then(|mut encoder| encoder.encode());
    component.map_err(|error| {
        anyhow!("cargo's module cannot be made a component: {error:#}; build against plugins/wit").into()
    })
}

fn compiler() -> Result<Compiler, Failure> {
    if find("cargo").is_none() {
        return Err(missing(
            "Rust is not here: install it as https://rustup.rs tells, then run `rustup target add \
             wasm32-unknown-unknown` and try again",
        ));
    }
    if has_target() {
        return Ok(Compiler::Ordinary);
    }
    if Path::new(DEBIAN_RUSTC).is_file() && Path::new(DEBIAN_LIBRARY).is_dir() {
        return Ok(Compiler::Debian);
    }
    Err(missing(format!(
        "Rust's target {TARGET} is not here: run `rustup target add {TARGET}` and try again; on Debian \
         without rustup, `apt-get install rustc-web rust-web-src lld-22` does it too"
    )))
}

fn has_target() -> bool {
    let asked = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output();
    asked.is_ok_and(|output| {
        let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        output.status.success() && path.is_dir()
    })
}

/// Nothing of the machine that builds belongs into what is built. The last that fits is taken.
fn flags(manifest: &Manifest, compiler: &Compiler) -> Vec<String> {
    let mut flags = Vec::new();
    let mut remap =
        |from: &Path, to: &str| flags.push(format!("--remap-path-prefix={}={to}", from.display()));
    if let Compiler::Debian = compiler {
        remap(Path::new("/usr"), "usr");
    }
    for (variable, shown) in [("HOME", "home"), ("CARGO_HOME", "cargo")] {
        if let Some(path) = std::env::var_os(variable) {
            remap(Path::new(&path), shown);
        }
    }
    if let Ok(folder) = manifest.folder.canonicalize() {
        if let Some(above) = folder.parent() {
            remap(above, "plugins");
        }
        remap(&folder, &manifest.name);
    }
    flags
}

/// Runs cargo and gives the module that it made.
fn module(cargo: &mut Command, shown: &str) -> Result<PathBuf, Failure> {
    eprintln!("  {shown}");
    let output = cargo.stderr(Stdio::inherit()).output().context("cargo cannot be started")?;
    if !output.status.success() {
        return Err(anyhow!("cargo failed ({}); see above", output.status).into());
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let mut made =
        messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).filter_map(module_of);
    made.next_back().ok_or_else(|| {
        anyhow!("cargo made no module: write `crate-type = [\"cdylib\"]` under `[lib]` in Cargo.toml").into()
    })
}

fn module_of(message: Value) -> Option<PathBuf> {
    let files = message.get("filenames")?.as_array()?;
    files.iter().filter_map(Value::as_str).find(|file| file.ends_with(".wasm")).map(PathBuf::from)
}

/// The crates outside the folder that the plugin is built from, as paths from there.
///
/// # Errors
///
/// A `Cargo.toml` cannot be read.
pub(super) fn path_dependencies(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![String::new()];
    while let Some(from) = waiting.pop() {
        for path in paths_in(&folder.join(&from).join("Cargo.toml"))? {
            let name = plain(&from, &path);
            if found.len() < CRATES_MAX && found.insert(name.clone()) {
                waiting.push(name);
            }
        }
    }
    let mut roots: Vec<String> = Vec::new();
    for name in found.into_iter().filter(|name| name.starts_with("..")) {
        // A crate inside another's folder is counted with it.
        if !roots.iter().any(|root| name.starts_with(&format!("{root}/"))) {
            roots.push(name);
        }
    }
    Ok(roots)
}

/// The paths of a crate's dependencies.
fn paths_in(cargo_toml: &Path) -> anyhow::Result<Vec<String>> {
    let table: toml::Table =
        toml::from_str(&text(cargo_toml)?).with_context(|| format!("{} is no TOML", cargo_toml.display()))?;
    let targets = table.get("target").and_then(toml::Value::as_table);
    let targets = targets.into_iter().flat_map(|targets| targets.values()).filter_map(toml::Value::as_table);
    let mut paths = Vec::new();
    for tables in std::iter::once(&table).chain(targets) {
        for kind in ["dependencies", "build-dependencies"] {
            let dependencies = tables.get(kind).and_then(toml::Value::as_table);
            let named = dependencies.into_iter().flat_map(|dependencies| dependencies.values());
            paths.extend(named.filter_map(|one| Some(one.get("path")?.as_str()?.to_owned())));
        }
    }
    Ok(paths)
}

/// `path`, seen from `from`, without detours: `../sdk` and `macros` give `../sdk/macros`.
fn plain(from: &str, path: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        match parts.last() {
            Some(last) if part == ".." && *last != ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_seen_from_the_folder() {
        assert_eq!(plain("", "../sdk"), "../sdk");
        assert_eq!(plain("../sdk", "macros"), "../sdk/macros");
        assert_eq!(plain("../sdk", "../common/./x"), "../common/x");
        assert_eq!(plain("sdk", "../../x"), "../x");
    }

    #[test]
    fn crates_beside_the_plugin_are_found_with_theirs() {
        let folder = std::env::temp_dir().join(format!("switchboard-crates-{}", std::process::id()));
        for (file, content) in [
            (
                "p/Cargo.toml",
                "[dependencies]\nsdk = { path = \"../sdk\" }\ninner = { path = \"inner\" }\nserde = \"1\"",
            ),
            ("p/inner/Cargo.toml", "[target.'cfg(x)'.dependencies]\nfar = { path = \"../../far\" }"),
            ("sdk/Cargo.toml", "[dependencies]\nmacros = { path = \"macros\" }"),
            ("sdk/macros/Cargo.toml", "[dependencies]\nsdk = { path = \"..\" }"),
            ("far/Cargo.toml", ""),
        ] {
            let path = folder.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        let found = path_dependencies(&folder.join("p"));
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(found.unwrap(), ["../far", "../sdk"]);
    }
}
