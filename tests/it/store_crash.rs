//! The store against a hostile machine: killed processes, and disks that fill up.
//!
//! The victim is this very test binary, started again for one of the tests named `child_…`; without the
//! variable that says where to work, those do nothing.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use switchboard::call::record::{FORMAT, Line, LineStatus, Speaker};
use switchboard::clock::{Entropy, SystemClock, Timestamp};
use switchboard::ids::CallId;
use switchboard::store::{Health, OpenError, Opened, Settings, Store, StoreError, Tx, Write};

const PLACE: &str = "SWITCHBOARD_TEST_STORE";
const WRITERS: u8 = 8;
const ROUNDS: u8 = 10;

/// Starts the test `name` of this binary in `place`, through the program `before` if there is one.
fn child(name: &str, place: &Path, before: &[&str]) -> Command {
    let binary = env::current_exe().expect("this binary");
    let mut words = before.iter().map(PathBuf::from).chain([binary]);
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words).args(["--exact", name, "--nocapture", "--test-threads=1"]);
    command.env(PLACE, place).stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// Where a child is to work; none when the test runs as one among others.
fn place() -> Option<PathBuf> {
    env::var_os(PLACE).map(PathBuf::from)
}

fn settings(path: &Path) -> Settings {
    Settings { cache_bytes: 4 << 20, free_bytes_min: 0, ..Settings::at(path) }
}

fn open(path: &Path) -> (Store, Opened) {
    Store::open(&settings(path), Arc::new(SystemClock)).expect("the store opens")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// The call that a writer of a round appends lines to.
fn call(round: u8, writer: u8) -> CallId {
    CallId::from_bytes([round, writer, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
}

/// Writes line `n`; now and then one that is kept in pieces.
fn line(id: CallId, n: u32, bytes: usize) -> Tx {
    let word = format!("{n} ");
    let line = Line {
        v: FORMAT,
        n,
        speaker: Speaker::Assistant,
        text: word.repeat(bytes.div_ceil(word.len())),
        started: Timestamp::from_millis(u64::from(n)),
        ended: None,
        status: LineStatus::Final,
        item: None,
        turn: None,
    };
    Tx { expect: vec![], writes: vec![Write::Line(id, line)] }
}

#[test]
fn child_commits_until_it_is_killed() {
    let Some(place) = place() else { return };
    let round: u8 = env::var("ROUND").expect("a round").parse().expect("a number");
    let (store, _) = open(&place);
    println!("\nopen");
    runtime().block_on(async {
        let writers = (0..WRITERS).map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in 0.. {
                    let bytes = if n % 16 == 0 { 20_000 } else { 40 };
                    store.commit(line(call(round, writer), n, bytes)).await.expect("a commit");
                    println!("ack {writer} {n}");
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.expect("a writer never ends by itself");
        }
    });
}

/// Reads acknowledgements until `enough` have come, or to the end.
fn acknowledged(lines: &mut Lines<BufReader<ChildStdout>>, seen: &mut BTreeMap<u8, u32>, enough: usize) {
    let mut count = 0;
    while count < enough {
        // The line that the kill cut in two says nothing.
        let Some(Ok(text)) = lines.next() else { return };
        let mut words = text.split(' ');
        if let (Some("ack"), Some(writer), Some(n)) = (words.next(), words.next(), words.next()) {
            let (Ok(writer), Ok(n)) = (writer.parse(), n.parse::<u32>()) else { continue };
            let last = seen.entry(writer).or_insert(n);
            *last = n.max(*last);
            count += 1;
        }
    }
}

fn kill(child: &mut Child) {
    child.kill().expect("killed");
    child.wait().expect("waited for");
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let place = dir.path().join("data");
    let chance = Entropy::seeded(7);
    let mut known: BTreeMap<(u8, u8), u32> = BTreeMap::new();
    for round in 0..ROUNDS {
        let mut command = child("store_crash::child_commits_until_it_is_killed", &place, &[]);
        let mut victim = command.env("ROUND", round.to_string()).spawn().expect("a child");
        let mut lines = BufReader::new(victim.stdout.take().expect("its output")).lines();
        let mut seen = BTreeMap::new();
        let [enough] = chance.bytes::<1>();
        if round % 5 == 4 {
            // While it opens, or soon after.
            std::thread::sleep(Duration::from_millis(u64::from(enough) / 8));
        } else {
            acknowledged(&mut lines, &mut seen, usize::from(enough) * 2);
        }
        kill(&mut victim);
        // What it had said before it died.
        acknowledged(&mut lines, &mut seen, usize::MAX);
        known.extend(seen.into_iter().map(|(writer, n)| ((round, writer), n)));
        verify(&place, round, &known);
    }
    assert!(known.len() >= 4 * usize::from(WRITERS), "the children wrote: {known:?}");
}

/// Everything acknowledged in this round and before is there, and nothing is there in parts.
fn verify(place: &Path, round: u8, known: &BTreeMap<(u8, u8), u32>) {
    let (store, opened) = open(place);
    assert!(!opened.was_clean, "round {round}");
    let runtime = runtime();
    for ((round, writer), last) in known {
        let lines = runtime.block_on(store.lines(call(*round, *writer))).expect("lines");
        assert!(lines.len() > *last as usize, "round {round}, writer {writer}: {last}, but {}", lines.len());
        for (n, line) in lines.iter().enumerate() {
            assert_eq!(line.n as usize, n, "round {round}, writer {writer}: no gaps");
            assert!(line.text.split_whitespace().all(|word| word == n.to_string()), "{}", line.text);
        }
    }
}

/// A small disk of our own: a `tmpfs` in a mount namespace that only this child sees.
#[test]
fn child_fills_a_small_disk() {
    let Some(place) = place() else { return };
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=48m", "tmpfs"]).arg(&place).status();
    assert!(mounted.is_ok_and(|status| status.success()), "a tmpfs is mounted");
    let data = place.join("data");
    let filler = place.join("filler");

    // Too full to open: refused before anything is touched.
    fs::write(&filler, vec![1; 40 << 20]).expect("a filler");
    let refusal = Store::open(&settings(&data), Arc::new(SystemClock)).err().expect("too full to open");
    assert!(matches!(refusal, OpenError::Full { .. }), "{refusal}");
    assert!(refusal.to_string().contains(&data.display().to_string()), "{refusal}");
    fs::remove_file(&filler).expect("removed");

    let marked = Settings { free_bytes_min: 28 << 20, ..settings(&data) };
    let (store, _) = Store::open(&marked, Arc::new(SystemClock)).expect("the store opens");
    runtime().block_on(async {
        assert_eq!(store.health(), Health::Ok);
        let id = call(0, 0);
        let mut n = 0;
        let mut warned_at = None;
        let refusal = loop {
            match store.commit(line(id, n, 60_000)).await {
                Ok(_) => n += 1,
                // Room is kept for what the index has yet to write; some comes back once it is written.
                Err(StoreError::Full { free_bytes, .. }) if free_bytes > 16 << 20 => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err(error) => break error,
            }
            if warned_at.is_none() && matches!(store.health(), Health::Full { .. }) {
                warned_at = Some(n);
            }
        };
        assert!(matches!(refusal, StoreError::Full { .. }), "{refusal}");
        assert!(
            warned_at.is_some_and(|warned_at| warned_at < n),
            "new calls were refused before: {warned_at:?}"
        );
        assert_eq!(store.lines(id).await.expect("it can be read").len(), n as usize);

        // Still full, still unharmed; and with more room it goes on, without a restart.
        let refusal = store.commit(line(id, n, 10)).await.expect_err("full");
        assert!(matches!(refusal, StoreError::Full { .. }), "{refusal}");
        let remount = ["-o", "remount,size=128m"];
        let grown = Command::new("mount").args(remount).arg(&place).status();
        assert!(grown.is_ok_and(|status| status.success()), "the disk is grown");
        store.commit(line(id, n, 10)).await.expect("a commit");
        assert_eq!(store.health(), Health::Ok);
        store.close().await.expect("an orderly close");
        let (store, _) = open(&data);
        assert_eq!(store.lines(id).await.expect("lines").len(), n as usize + 1);
    });
    println!("\nfilled and freed");
}

#[test]
fn a_full_disk_is_refused_in_words_and_forgotten_when_there_is_room() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let is_allowed = |words: &[&str]| {
        let mut probe = Command::new(words[0]);
        probe.args(&words[1..]).args(["mount", "-t", "tmpfs", "tmpfs"]).arg(dir.path()).stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    };
    let ways: [&[&str]; 2] = [&["unshare", "--mount"], &["unshare", "--map-root-user", "--mount"]];
    let Some(way) = ways.into_iter().find(|way| is_allowed(way)) else {
        eprintln!("skipped: a small disk cannot be mounted here (needs `unshare --mount`)");
        return;
    };
    let output = child("store_crash::child_fills_a_small_disk", dir.path(), way).output().expect("a child");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("filled and freed"), "{text}\n{errors}");
    assert!(!errors.contains("panicked"), "{errors}");
}

/// Runs under a limit of file sizes, so that a write fails in the middle of the journal.
#[test]
fn child_writes_until_a_write_fails() {
    let Some(place) = place() else { return };
    let (store, _) = open(&place);
    runtime().block_on(async {
        let id = call(0, 0);
        let n = 5;
        for n in 0..n {
            store.commit(line(id, n, 10)).await.expect("a commit");
        }
        // More than a file may have, and far more than the index has by now.
        let refusal = store.commit(line(id, n, 1_800_000)).await.expect_err("a write fails");
        assert!(matches!(refusal, StoreError::Poisoned { .. }), "{refusal}");
        assert!(refusal.to_string().contains("the journal could not be written"), "{refusal}");
        assert!(matches!(store.health(), Health::Poisoned { .. }));
        let again = store.commit(line(id, n, 10)).await.expect_err("poisoned for good");
        assert!(matches!(again, StoreError::Poisoned { .. }), "{again}");
        assert_eq!(store.lines(id).await.expect("it can be read").len(), n as usize);
        assert!(matches!(store.close().await, Err(StoreError::Poisoned { .. })));
        println!("\nacknowledged {n}");
    });
}

#[test]
fn a_failed_write_poisons_and_a_restart_has_everything_acknowledged() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let place = dir.path().join("data");
    // 1,500 blocks of 512 or 1,024 bytes; the signal would kill before the write could fail.
    let limited = ["sh", "-c", "trap '' XFSZ; ulimit -f 1500; exec \"$@\"", "sh"];
    let output =
        child("store_crash::child_writes_until_a_write_fails", &place, &limited).output().expect("a child");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    let acknowledged = text.lines().find_map(|line| line.strip_prefix("acknowledged ")).expect("a count");
    let acknowledged: usize = acknowledged.parse().expect("a number");

    let (store, opened) = open(&place);
    assert!(opened.torn_bytes > 0, "the failed write left half a line: {opened:?}");
    let lines = runtime().block_on(store.lines(call(0, 0))).expect("lines");
    assert_eq!(lines.len(), acknowledged);
}
