//! What attacks cost the process in memory: no more at once than the limits of the calls that run say, and nothing
//! that stays. Measured in a process of its own, for other tests occupy memory too.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use switchboard::tool::plugin::Limits;

use super::{AMPLE, call_with, guests_within, load};

const CHILD: &str = "GROWTH_CHILD";
/// So many calls attack at the same time …
const AT_ONCE: usize = 4;
/// … so many times.
const ROUNDS: usize = 40;
const MEMORY_BYTES: u64 = 16 << 20;
/// What a call may occupy beside its memory: its stack, its answer and its log on their way through the host.
const BESIDE_BYTES: u64 = 8 << 20;
/// What the allocator, the pool's kept pages and the threads may add once.
const SLACK_BYTES: u64 = 48 << 20;

#[test]
fn attacks_take_no_more_memory_than_their_limits_say_and_give_it_back() {
    let binary = std::env::current_exe().expect("this binary");
    let words = ["--exact", "plugin::growth::child_is_attacked", "--nocapture", "--test-threads=1"];
    let output = Command::new(binary).args(words).env(CHILD, "1").output().expect("a child");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("attacks:"), "{said}{complained}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_is_attacked() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let limits = Limits { memory_bytes: MEMORY_BYTES as usize, time: AMPLE, ..Limits::default() };
    let plugin = load(&guests_within(limits)).await;
    for _ in 0..50 {
        call_with(&plugin, "echo", "{}").await.expect("an answer");
    }
    let calm = occupied_bytes();
    let (peak, is_over) = (Arc::new(AtomicU64::new(calm)), Arc::new(AtomicBool::new(false)));
    let watching = std::thread::spawn({
        let (peak, is_over) = (Arc::clone(&peak), Arc::clone(&is_over));
        move || {
            while !is_over.load(Ordering::Relaxed) {
                peak.fetch_max(occupied_bytes(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    });
    for attack in ["eat_memory", "recurse", "trap", "huge_answer", "not_json", "flood_log"] {
        let plugin = &plugin;
        let calls = (0..ROUNDS).map(|_| async move { call_with(plugin, attack, "{}").await.is_ok() });
        let succeeded = stream::iter(calls).buffer_unordered(AT_ONCE).filter(|ok| std::future::ready(*ok));
        // A flood of log lines is cut, and the call goes on; all others fail.
        let expected = if attack == "flood_log" { ROUNDS } else { 0 };
        assert_eq!(succeeded.count().await, expected, "{attack}");
    }
    is_over.store(true, Ordering::Relaxed);
    watching.join().expect("the watch");
    let after = occupied_bytes();
    let (peak, mib) = (peak.load(Ordering::Relaxed) - calm, |bytes: u64| bytes >> 20);
    println!(
        "attacks: at most {} MiB more than in calm, {} MiB after",
        mib(peak),
        mib(after.saturating_sub(calm))
    );
    assert!(peak <= AT_ONCE as u64 * (MEMORY_BYTES + BESIDE_BYTES) + SLACK_BYTES, "{} MiB", mib(peak));
    assert!(after.saturating_sub(calm) <= SLACK_BYTES, "{} MiB stay", mib(after - calm));
}

/// Memory of the process' own (`RssAnon`).
fn occupied_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("KiB") << 10
}
