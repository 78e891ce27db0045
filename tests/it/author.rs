//! The author's commands as a person runs them: from an empty folder to a plugin that is tested.
//!
//! What needs a language's toolchain runs where there is one, and says so where there is none.

mod building;
mod inspecting;
mod pages;
mod testing;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The command in a folder, with the environment that builds need and nothing of the tester's gateway.
fn command(words: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    command.args(words).current_dir(folder).env_clear();
    for name in ["PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME", "PIP_INDEX_URL", "npm_config_registry"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    // What was built and compiled for one test is there for the next.
    command
        .env("CARGO_TARGET_DIR", root().join("target/plugins"))
        .env("XDG_CACHE_HOME", root().join("target/tmp"));
    command
}

fn switchboard(words: &[&str], folder: &Path) -> Output {
    command(words, folder).output().expect("the command runs")
}

/// What a command says that must go well.
fn good(words: &[&str], folder: &Path) -> String {
    let output = switchboard(words, folder);
    assert!(output.status.success(), "{words:?}\n{}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// What a command says on standard error that must end with this exit code.
fn bad(words: &[&str], folder: &Path, code: i32) -> String {
    let output = switchboard(words, folder);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{words:?}\n{}\n{told}", text(&output.stdout));
    told
}

/// A copy of a built example with its own `plugin.toml` and tests, without its source.
fn example(name: &str, folder: &Path) -> PathBuf {
    let (from, to) = (root().join("plugins").join(name), folder.join(name));
    std::fs::create_dir(&to).expect("a folder");
    for file in ["plugin.toml", "tests.toml", &format!("{name}.wasm")] {
        std::fs::copy(from.join(file), to.join(file)).expect("a copy");
    }
    to
}
