//! What plugins cost those beside them: the memory of a thousand plugins, and how long a neighbour's tool call
//! takes while another plugin attacks. `cargo bench --bench sandbox`, or only one of them with `-- memory` or
//! `-- neighbour` (`-- neighbour eat_memory`: beside one attack); the figures are in `docs/performance.md`.
//!
//! Both are measured, not asserted. Calm and attack alternate within one run, on one machine.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use switchboard::clock::Timestamp;
use switchboard::ids::CallId;
use switchboard::tool::context::{CallContext, Wishes};
use switchboard::tool::outbound::Pattern;
use switchboard::tool::plugin::{Grants, Host, HostSettings, Limits, Plugin, Settings};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

/// How many plugins are loaded.
const PLUGINS: usize = 1_000;
/// How often the neighbour is called, and for how long.
const PERIOD: Duration = Duration::from_millis(5);
const FOR: Duration = Duration::from_secs(6);
/// How many calls the attacker makes at once: all that its `limits.concurrency` lets through.
const ATTACKERS: usize = 16;
const ATTACKS: [&str; 8] =
    ["spin", "spin_in_host", "eat_memory", "recurse", "trap", "huge_answer", "flood_log", SLOW_DRIP];
/// A request to somebody who answers a byte at a time and never ends.
const SLOW_DRIP: &str = "slow_drip";
const DRIP_EVERY: Duration = Duration::from_millis(10);
/// The child that measures memory is told its folder with this.
const CHILD: &str = "SANDBOX_BENCH_FOLDER";

fn main() {
    if let Some(folder) = std::env::var_os(CHILD) {
        return hold(Path::new(&folder));
    }
    // What `cargo bench` and `cargo test` add says how to run, not what: only a run for figures does anything.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--bench") {
        let is_wanted =
            |part: &str| arguments.len() == 1 || arguments.iter().any(|argument| argument == part);
        if is_wanted("memory") {
            memory();
        }
        if is_wanted("neighbour") {
            neighbour(&arguments);
        }
    }
}

// === the memory of a thousand plugins ===

/// Loads a thousand different plugins into the cache, and has a fresh process hold them.
fn memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let component = std::fs::read(guests()).expect("the test guests");
    for number in 0..PLUGINS {
        std::fs::write(file(folder.path(), number), variant(&component, number)).expect("a file");
    }
    let began = Instant::now();
    let plugins = load_all(folder.path());
    let (count, bytes, seconds) = (plugins.len(), component.len(), began.elapsed().as_secs_f64());
    println!("memory: {count} different plugins of {bytes} bytes compiled in {seconds:.1} s");
    drop(plugins);
    let this = std::env::current_exe().expect("this program");
    let status = Command::new(this).env(CHILD, folder.path()).status().expect("a child");
    assert!(status.success(), "the child measures");
}

/// In a process of its own: what it takes to hold them, and to have called each once.
fn hold(folder: &Path) {
    let empty = Memory::now();
    let began = Instant::now();
    let plugins = load_all(folder);
    let took = began.elapsed();
    let loaded = Memory::now();
    let runtime = Runtime::new().expect("a runtime");
    for plugin in &plugins {
        let called = runtime.block_on(plugin.call(&context(), "echo", "{}", Limits::default().time));
        assert_eq!(called.as_deref(), Ok("{}"), "{}", plugin.name());
    }
    let called = Memory::now();
    let count = plugins.len() as f64;
    println!("memory: loaded from the cache in {:.2} s, {:.2} ms each", took.as_secs_f64(), ms(took) / count);
    for (when, now) in [("loaded", loaded), ("and called once", called)] {
        let (own, mapped) = (now.own_kib - empty.own_kib, now.mapped_kib - empty.mapped_kib);
        println!(
            "memory: {when}: {:.1} KiB of its own for each plugin, {:.1} KiB mapped from the cache's files",
            own / count,
            mapped / count
        );
    }
}

fn load_all(folder: &Path) -> Vec<Plugin> {
    let runtime = Runtime::new().expect("a runtime");
    let mut host = Host::new(&HostSettings::default()).expect("a machine for plugins");
    host.open_cache(&folder.join("cache")).expect("a cache");
    let load = |number: usize| {
        let settings = settings(&format!("plugin-{number}"), file(folder, number));
        runtime.block_on(host.load(&settings, None)).unwrap_or_else(|error| panic!("{error:?}"))
    };
    (0..PLUGINS).map(load).collect()
}

fn file(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("{number}.wasm"))
}

/// The same plugin with other words in it: another file, another digest.
fn variant(component: &[u8], number: usize) -> Vec<u8> {
    let words = b"no such order";
    let at = component.windows(words.len()).position(|part| part == words).expect("its words");
    let mut variant = component.to_vec();
    variant[at..at + words.len()].copy_from_slice(format!("no such {number:05}").as_bytes());
    variant
}

/// What a process occupies.
#[derive(Clone, Copy)]
struct Memory {
    own_kib: f64,
    mapped_kib: f64,
}

impl Memory {
    fn now() -> Memory {
        let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
        let line = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
            value.trim().trim_end_matches(" kB").parse::<f64>().expect("KiB")
        };
        Memory { own_kib: line("RssAnon:"), mapped_kib: line("RssFile:") }
    }
}

// === a neighbour beside an attacker ===

/// Beside every attack, or only beside those that are named.
fn neighbour(named: &[String]) {
    let runtime = Runtime::new().expect("a runtime");
    let host = Host::new(&HostSettings::default()).expect("a machine for plugins");
    let load = |settings: &Settings| {
        runtime.block_on(host.load(settings, None)).unwrap_or_else(|error| panic!("{error:?}"))
    };
    let url = dripping();
    let good = load(&settings("good", guests()));
    let bad = load(&Settings {
        config: BTreeMap::from([("needs".to_owned(), format!("http {url}"))]),
        grants: Grants {
            http: vec![Pattern::parse(&url).expect("a pattern")],
            private_hosts: vec!["127.0.0.1".to_owned()],
            ..Grants::default()
        },
        ..settings("bad", guests())
    });
    println!(
        "neighbour: a call every {} ms, beside {ATTACKERS} calls of the attacker at once",
        PERIOD.as_millis()
    );
    println!(
        "{:<14} {:>9} {:>9} {:>9} {:>9} {:>12} {:>12}",
        "attack", "p50 ms", "p99 ms", "max ms", "calls", "attacks", "memory KiB"
    );
    let some_are_named = named.iter().any(|name| ATTACKS.contains(&name.as_str()));
    for attack in ATTACKS {
        if some_are_named && !named.iter().any(|name| name == attack) {
            continue;
        }
        for attack in [None, Some(attack)] {
            runtime.block_on(beside(&good, &bad, attack, &url));
        }
    }
}

/// Somebody who answers every request a byte at a time; gives the address. It ends with the process.
fn dripping() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/drip", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || drip(stream));
        }
    });
    url
}

fn drip(mut stream: TcpStream) {
    // Whatever was asked, and as long as somebody listens.
    let _ = stream.read(&mut [0; 4096]);
    let mut next: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
    while stream.write_all(next).is_ok() {
        std::thread::sleep(DRIP_EVERY);
        next = b".";
    }
}

/// Measures the neighbour for a while, beside one attack or in calm.
async fn beside(good: &Plugin, bad: &Plugin, attack: Option<&'static str>, url: &str) {
    let goes_on = Arc::new(AtomicBool::new(true));
    let attackers: Vec<_> = attack
        .into_iter()
        .flat_map(|attack| (0..ATTACKERS).map(move |_| attack))
        .map(|attack| match attack {
            SLOW_DRIP => ("fetch", format!("\"GET {url}\"")),
            attack => (attack, "{}".to_owned()),
        })
        .map(|(tool, arguments)| tokio::spawn(attacks(bad.clone(), tool, arguments, Arc::clone(&goes_on))))
        .collect();
    // What begins with an attack is not yet what goes on during it.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = Memory::now();
    let mut latencies = called(good).await;
    let after = Memory::now();
    goes_on.store(false, Ordering::Relaxed);
    let mut attacks = 0;
    for attacker in attackers {
        attacks += attacker.await.expect("an attacker");
    }
    latencies.sort_unstable();
    let at = |share: f64| ms(latencies[((latencies.len() - 1) as f64 * share) as usize]);
    println!(
        "{:<14} {:>9.3} {:>9.3} {:>9.3} {:>9} {:>12} {:>12.0}",
        attack.unwrap_or("(calm)"),
        at(0.5),
        at(0.99),
        at(1.0),
        latencies.len(),
        attacks,
        after.own_kib - before.own_kib
    );
}

/// Attacks again and again; gives how often.
async fn attacks(bad: Plugin, tool: &str, arguments: String, goes_on: Arc<AtomicBool>) -> usize {
    let mut count = 0;
    while goes_on.load(Ordering::Relaxed) {
        // Whatever comes of it is the business of the tests.
        let _ = bad.call(&context(), tool, &arguments, Limits::default().time).await;
        count += 1;
    }
    count
}

/// How long each of the neighbour's calls takes, from the moment that a thread of its own asks for it, as a
/// socket would: the wait for a worker is part of it, and a slow call does not put off the next.
async fn called(good: &Plugin) -> Vec<Duration> {
    let (asks, mut asked) = mpsc::unbounded_channel();
    let count = (FOR.as_nanos() / PERIOD.as_nanos()) as usize;
    std::thread::spawn(move || {
        let began = Instant::now();
        for number in 0..count {
            let due = began + PERIOD * number as u32;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if asks.send(Instant::now()).is_err() {
                return;
            }
        }
    });
    let mut calls = tokio::task::JoinSet::new();
    while let Some(at) = asked.recv().await {
        let good = good.clone();
        calls.spawn(async move {
            let answer = good.call(&context(), "echo", r#"{"text":"hello"}"#, Limits::default().time).await;
            assert_eq!(answer.as_deref(), Ok(r#"{"text":"hello"}"#), "the neighbour is answered");
            at.elapsed()
        });
    }
    calls.join_all().await
}

// === what both need ===

fn guests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/test-guests/test-guests.wasm")
}

fn settings(name: &str, path: PathBuf) -> Settings {
    Settings {
        name: name.to_owned(),
        path,
        sha256: None,
        // The guests ask for nothing.
        config: BTreeMap::from([("needs".to_owned(), String::new())]),
        grants: Grants::default(),
        limits: Limits::default(),
        breaker: None,
    }
}

fn context() -> CallContext {
    CallContext {
        call_id: CallId::new(Timestamp::from_millis(1_795_000_000_000), [7; 10]),
        caller: None,
        callee: None,
        language: None,
        route: None,
        session: None,
        vars: BTreeMap::new(),
        history: Vec::new(),
        wishes: Wishes::default(),
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}
