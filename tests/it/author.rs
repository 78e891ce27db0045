//! The author's commands as a person runs them: from an empty folder to a plugin that is tested.
//!
//! What needs a language's toolchain runs where there is one, and says so where there is none.

mod building;
mod inspecting;
mod live;
pub mod pages;
mod rebuilding;
mod testing;
pub mod toolchains;
mod watching;

use std::fs::{self, File};
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
        .env("XDG_CACHE_HOME", root().join("target/tmp"))
        .env("npm_config_prefer_offline", "true");
    command
}

fn switchboard(words: &[&str], folder: &Path) -> Output {
    command(words, folder).output().expect("the command runs")
}

/// What a command says that must go well.
fn good(words: &[&str], folder: &Path) -> String {
    well(&mut command(words, folder))
}

/// What this command says, which must go well.
fn well(command: &mut Command) -> String {
    let output = command.output().expect("the command runs");
    assert!(output.status.success(), "{command:?}\n{}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// What a command says on standard error that must end with this exit code.
fn bad(words: &[&str], folder: &Path, code: i32) -> String {
    let output = switchboard(words, folder);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{words:?}\n{}\n{told}", text(&output.stdout));
    told
}

/// A folder that is locked as long as this lives, and is the same in every run: cargo compiles a plugin's
/// crates anew where the plugin lies elsewhere.
struct Bench {
    folder: PathBuf,
    _lock: File,
}

impl Bench {
    /// The folder as it was left.
    fn as_it_was(name: &str) -> Bench {
        let folder = root().join("target/tmp/benches").join(name);
        fs::create_dir_all(&folder).expect("a folder");
        let lock = File::create(folder.with_extension("lock")).expect("a file");
        lock.lock().expect("a lock");
        Bench { folder, _lock: lock }
    }

    /// The folder, empty.
    fn empty(name: &str) -> Bench {
        let bench = Bench::as_it_was(name);
        fs::remove_dir_all(&bench.folder).expect("the folder goes");
        fs::create_dir(&bench.folder).expect("a folder");
        bench
    }

    fn path(&self) -> &Path {
        &self.folder
    }
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
