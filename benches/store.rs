//! How long a commit takes while nothing else happens, and while the journal is compacted beside it; plain, and with
//! values sealed. `cargo bench --bench store`; `STORE_MIB=1024` says how much is there first. The figures are in
//! `docs/performance.md`.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use switchboard::call::record::{FORMAT, Line, LineStatus, Speaker};
use switchboard::clock::{SystemClock, Timestamp};
use switchboard::ids::CallId;
use switchboard::secret::Secret;
use switchboard::store::{Settings, Store, Tx, Vault, Write};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Calls that say something at the same time.
const SPEAKERS: u64 = 32;
/// Between two lines of one of them.
const PACE: Duration = Duration::from_millis(100);
/// How long it is calm.
const CALM: Duration = Duration::from_secs(10);
/// Lines of one commit, while the store is filled.
const LINES_AT_ONCE: u64 = 256;
/// A line of this many bytes.
const TEXT_BYTES: usize = 400;

fn main() {
    // What `cargo bench` and `cargo test` add says how to run, not what: only a run for figures does anything.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let mib: u64 = std::env::var("STORE_MIB").ok().and_then(|text| text.parse().ok()).unwrap_or(256);
    let key = Secret::new(STANDARD.encode([7; 32]));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    println!("{:8} {:>10}  {:>27}  {:>27}  compaction", "", "filled", "commit in calm", "commit beside it");
    for (name, vault) in [("plain", Vault::default()), ("sealed", Vault::new(&[key]).expect("a key"))] {
        let data = tempfile::tempdir().expect("a folder");
        runtime.block_on(measure(name, data.path(), vault, mib << 20));
    }
}

async fn measure(name: &str, data: &Path, vault: Vault, bytes: u64) {
    let settings = Settings { free_bytes_min: 0, vault, ..Settings::at(data) };
    let (store, _) = Store::open(&settings, Arc::new(SystemClock)).expect("it opens");
    let began = Instant::now();
    fill(&store, bytes).await;
    let filled = began.elapsed();
    let calm = speak(&store, async || tokio::time::sleep(CALM).await).await;
    let began = Instant::now();
    let mut compacted = None;
    let beside = speak(&store, async || compacted = Some(store.compact().await.expect("a compaction"))).await;
    let (took, compacted) = (began.elapsed(), compacted.expect("it was done"));
    println!(
        "{name:8} {:>8.1} s  {}  {}  {:.1} s: {} keys, {} MiB",
        filled.as_secs_f64(),
        told(calm),
        told(beside),
        took.as_secs_f64(),
        compacted.keys,
        compacted.bytes >> 20
    );
    store.close().await.expect("it closes");
}

/// Writes lines until about so many bytes are in the journal; each is written twice, as a line grows before it is final.
async fn fill(store: &Store, bytes: u64) {
    let commits = bytes / (2 * LINES_AT_ONCE * TEXT_BYTES as u64);
    for commit in 0..commits {
        for status in [LineStatus::Partial, LineStatus::Final] {
            let writes = (0..LINES_AT_ONCE).map(|n| line(commit, n, status)).collect();
            store.commit(Tx { expect: Vec::new(), writes }).await.expect("a commit");
        }
    }
}

/// How long commits take while something is done.
async fn speak(store: &Store, done: impl AsyncFnOnce()) -> Vec<Duration> {
    let stop = CancellationToken::new();
    let mut speakers = JoinSet::new();
    for speaker in 0..SPEAKERS {
        let (store, stop) = (store.clone(), stop.clone());
        speakers.spawn(async move {
            let mut took = Vec::new();
            let mut pace = tokio::time::interval(PACE);
            for n in 0.. {
                tokio::select! {
                    () = stop.cancelled() => break,
                    _ = pace.tick() => {}
                }
                let began = Instant::now();
                let writes = vec![line(u64::MAX - speaker, n, LineStatus::Final)];
                store.commit(Tx { expect: Vec::new(), writes }).await.expect("a commit");
                took.push(began.elapsed());
            }
            took
        });
    }
    done().await;
    stop.cancel();
    speakers.join_all().await.concat()
}

fn line(call: u64, n: u64, status: LineStatus) -> Write {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&call.to_be_bytes());
    let text = format!("line {n} of call {call} ").repeat(TEXT_BYTES / 20);
    let n = u32::try_from(n).expect("few lines");
    let (started, speaker) = (Timestamp::from_millis(1), Speaker::Assistant);
    Write::Line(
        CallId::from_bytes(id),
        Line { v: FORMAT, n, speaker, text, started, ended: None, status, item: None, turn: None },
    )
}

fn told(mut took: Vec<Duration>) -> String {
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1_000.0;
    format!("{:5.1} p50 {:6.1} p99 {:6.1} max ms", at(0.5), at(0.99), at(1.0))
}
