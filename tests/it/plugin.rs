//! The sandbox and the tools in it: whatever a plugin does costs its own call a failure, and nobody else
//! anything. The guests of `plugins/test-guests` are named for what they do wrong.

mod by_hand;
mod customer_lookup;
mod growth;
mod health;
mod earlier;
mod greedy;
mod hooks;
mod lane;
mod loading;
mod needs;
mod powers;
mod reach;
mod refused;
mod sandbox;
mod tables;
mod source;
mod told;
mod toolbox;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use switchboard::clock::Timestamp;
use switchboard::ids::CallId;
use switchboard::tool::context::{CallContext, Wishes};
use switchboard::tool::plugin::{
    Failure, Grants, Host, HostSettings, KeyValueStore, Limits, LoadError, NothingKept, Plugin, Settings,
};

/// Longer than anything takes that is not meant to be stopped.
const AMPLE: Duration = Duration::from_secs(30);

/// One machine for all tests, as there is one in a gateway.
static HOST: LazyLock<Host> = LazyLock::new(|| Host::new(&HostSettings::default()).expect("a machine"));

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A plugin of this repository.
fn settings(name: &str) -> Settings {
    Settings {
        name: name.to_owned(),
        path: root().join(format!("plugins/{name}/{name}.wasm")),
        sha256: None,
        config: BTreeMap::new(),
        grants: Grants { kv: Some(name.to_owned()), ..Grants::default() },
        limits: Limits { time: AMPLE, ..Limits::default() },
        breaker: None,
    }
}

/// The guests, with something said in their config.
fn guests_with(key: &str, value: &str) -> Settings {
    let config = BTreeMap::from([(key.to_owned(), value.to_owned())]);
    Settings { config, ..settings("test-guests") }
}

/// The guests within limits.
fn guests_within(limits: Limits) -> Settings {
    Settings { limits, ..settings("test-guests") }
}

/// The guests, asking for this (one need a line) and granted that.
fn guests_asking(needs: &str, grants: Grants) -> Settings {
    Settings { grants, ..guests_with("needs", needs) }
}

/// What is logged on this thread, to be read by the test.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    /// Listens until the guard is dropped.
    fn listen() -> (Sink, tracing::subscriber::DefaultGuard) {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        (sink, tracing::subscriber::set_default(subscriber))
    }

    /// What was logged since the last time.
    fn take(&self) -> String {
        let bytes = std::mem::take(&mut *self.0.lock().expect("no writer panics"));
        String::from_utf8(bytes).expect("text")
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no writer panics").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn load(settings: &Settings) -> Plugin {
    load_over(settings, Arc::new(NothingKept)).await
}

async fn load_over(settings: &Settings, kv: Arc<dyn KeyValueStore>) -> Plugin {
    HOST.load(settings, Some(kv)).await.unwrap_or_else(|error| panic!("{error:?}"))
}

/// Why a plugin is not loaded and what to do, as a person reads it, in one line.
async fn refusal(settings: &Settings) -> String {
    let error: LoadError = HOST.load(settings, Some(Arc::new(NothingKept))).await.expect_err("it is refused");
    without_places(&error.told())
}

/// An error and its causes, without the names of this machine's directories.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let words: Vec<String> = causes.map(ToString::to_string).collect();
    without_places(&words.join(": "))
}

fn without_places(words: &str) -> String {
    words.replace(&format!("{}/", root().display()), "")
}

/// A call from a number.
fn from(caller: Option<&str>) -> CallContext {
    CallContext {
        call_id: CallId::new(Timestamp::from_millis(1_795_000_000_000), [7; 10]),
        caller: caller.map(str::to_owned),
        callee: Some("+815012345678".to_owned()),
        language: Some("ja".to_owned()),
        route: Some("all".to_owned()),
        session: Some("shop".to_owned()),
        vars: BTreeMap::from([("shop".to_owned(), "さくら商店".to_owned())]),
        history: Vec::new(),
        wishes: Wishes::default(),
    }
}

/// Calls a tool of the guests with all the time in the world.
async fn call(plugin: &Plugin, tool: &str) -> Result<String, Failure> {
    call_with(plugin, tool, "{}").await
}

async fn call_with(plugin: &Plugin, tool: &str, arguments: &str) -> Result<String, Failure> {
    plugin.call(&from(Some("+819012345678")), tool, arguments, AMPLE).await
}

/// What a fixture among those of the plugins holds; none where it holds just this. `BLESS=1` writes it anew.
fn differs(fixture: &str, told: &str) -> Option<String> {
    let path = root().join("tests/fixtures/plugins").join(fixture);
    if std::env::var_os("BLESS").is_some() {
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("a writable directory");
        std::fs::write(&path, told).expect("a writable fixture");
    }
    let held = std::fs::read_to_string(&path).unwrap_or_default();
    (held != told).then_some(held)
}

/// A file of the test's own.
fn file(dir: &tempfile::TempDir, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join("plugin.wasm");
    std::fs::write(&path, bytes).expect("a writable directory");
    path
}
