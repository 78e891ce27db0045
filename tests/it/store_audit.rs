//! The audit log: numbered through restarts, a reading told once, and forgotten in time.

use std::sync::Arc;
use std::time::Duration;

use switchboard::clock::{SystemClock, Timestamp};
use switchboard::store::{AuditEntry, AuditLog, Settings, Store, Tx, Write};

const BEGAN: Timestamp = Timestamp::from_secs(1_795_000_000);

fn entry(seconds: u64, what: &str) -> AuditEntry {
    AuditEntry {
        n: 0,
        at: BEGAN + Duration::from_secs(seconds),
        who: "ops".to_owned(),
        role: "operator".to_owned(),
        what: what.to_owned(),
        call: None,
        detail: None,
        from: None,
    }
}

fn open(folder: &std::path::Path) -> Store {
    Store::open(&Settings::at(folder), Arc::new(SystemClock)).expect("a store").0
}

async fn listed(store: &Store) -> Vec<(u64, String)> {
    let entries = store.audit(None, 100).await.expect("a readable store");
    entries.into_iter().map(|entry| (entry.n, entry.what)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_outlive_the_process_in_their_order_and_go_when_they_have_had_their_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let log = AuditLog::open(store.clone()).await.expect("a log");
    for (seconds, what) in [(0, "call.read"), (59, "call.read"), (60, "call.read"), (60, "call.play")] {
        log.record_reading(entry(seconds, what)).await.expect("kept");
    }
    for _ in 0..2 {
        log.record(entry(61, "call.hangup")).await.expect("kept");
    }
    let name = |n: u64, what: &str| (n, what.to_owned());
    let expected = [
        name(4, "call.hangup"),
        name(3, "call.hangup"),
        name(2, "call.play"),
        name(1, "call.read"),
        name(0, "call.read"),
    ];
    assert_eq!(listed(&store).await, expected, "a reading within a minute is the same one, an act never is");
    drop(log);
    store.close().await.expect("closed");

    let store = open(folder.path());
    let log = AuditLog::open(store.clone()).await.expect("a log");
    log.record(entry(3_600, "compact")).await.expect("kept");
    let page = store.audit(Some(2), 1).await.expect("a readable store");
    assert_eq!(page.iter().map(|entry| entry.n).collect::<Vec<_>>(), [1]);
    let old = store.old_audit(BEGAN + Duration::from_secs(61), 100).await.expect("a list");
    assert_eq!(old.len(), 3);
    let writes = old.into_iter().map(Write::Forget).collect();
    store.commit(Tx { expect: Vec::new(), writes }).await.expect("forgotten");
    assert_eq!(listed(&store).await, [name(5, "compact"), name(4, "call.hangup"), name(3, "call.hangup")]);
}
