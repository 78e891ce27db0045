//! From the start of the process until it takes calls, with the three plugins of
//! `examples/configs/three-plugins.toml`: once when they have to be compiled, then when they were compiled
//! before. `cargo bench --bench startup`; the figures are in `docs/performance.md`.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use switchboard::clock::SystemClock;
use switchboard::sim::log::WorldLog;
use switchboard::sim::world::{Options, World};

const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/configs/three-plugins.toml");
/// How often it is started with compiled plugins.
const STARTS: usize = 30;

fn main() {
    // What `cargo bench` and `cargo test` add says how to run, not what: only a run for figures does anything.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let clock = Arc::new(SystemClock);
    let options = Options::new(clock.clone(), WorldLog::quiet(clock), 1.0);
    let world = runtime.block_on(World::start(options)).expect("a world");
    let environment: BTreeMap<String, String> = world.environment().into_iter().collect();

    let data = tempfile::tempdir().expect("a folder");
    println!("compiled at the start: {:.0} ms until it is ready", ms(start(data.path(), &environment)));
    let mut warm: Vec<Duration> = (0..STARTS).map(|_| start(data.path(), &environment)).collect();
    warm.sort_unstable();
    let (p50, max) = (warm[STARTS / 2], warm[STARTS - 1]);
    println!("compiled before:       {:.0} ms p50, {:.0} ms at most, of {STARTS} starts", ms(p50), ms(max));
}

/// Starts the gateway, waits until it says that it is ready, and stops it in an orderly way.
fn start(data: &Path, environment: &BTreeMap<String, String>) -> Duration {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    command.args(["serve", "--config", CONFIG]).envs(environment);
    command
        .env("SWITCHBOARD__SERVER__LISTEN", "127.0.0.1:0")
        .env("SWITCHBOARD__ADMIN__LISTEN", "127.0.0.1:0");
    command.env("SWITCHBOARD__STORE__PATH", data);
    command
        .env("SWITCHBOARD__TELEMETRY__LOG__LEVEL", "info")
        .env("SWITCHBOARD__TELEMETRY__LOG__FORMAT", "json");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let began = Instant::now();
    let mut child = command.spawn().expect("the gateway starts");
    let log = child.stderr.take().expect("a log");
    let mut lines = BufReader::new(log).lines().map_while(Result::ok);
    let mut said = Vec::new();
    let is_ready = lines.any(|line| {
        let is_ready = line.contains(r#""message":"ready""#);
        said.push(line);
        is_ready
    });
    let took = began.elapsed();
    assert!(is_ready, "the gateway is not ready:\n{}", said.join("\n"));
    stop(child, lines);
    took
}

fn stop(mut child: Child, lines: impl Iterator<Item = String>) {
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("a signal");
    // The log must be read, or the child would wait for somebody to.
    lines.for_each(drop);
    assert!(child.wait().expect("it ends").success(), "an orderly end");
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}
