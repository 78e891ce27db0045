//! Backup, restore and the doctor, as a person runs them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use switchboard::call::record::{FORMAT, Line, LineStatus, Speaker};
use switchboard::clock::{SystemClock, Timestamp};
use switchboard::ids::CallId;
use switchboard::store::{Settings, Store, Tx, Write};

use crate::cli::SERVED;

/// A folder with a configuration whose calls are kept in `data` there.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().expect("a folder");
        let config = format!("{SERVED}\n[store]\npath = \"data\"\n");
        std::fs::write(folder.path().join("gateway.toml"), config).expect("a file");
        Place(folder)
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
        command.args(words).current_dir(self.0.path()).env_clear().env("HOME", self.0.path());
        command.output().expect("the command runs")
    }

    /// Runs it, and gives what it says; it must end well.
    fn says(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    fn refuses(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(!output.status.success(), "{words:?}: {}", text(&output.stdout));
        text(&output.stdout) + &text(&output.stderr)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn id() -> CallId {
    CallId::from_bytes([7; 16])
}

fn line(n: u32) -> Tx {
    let line = Line {
        v: FORMAT,
        n,
        speaker: Speaker::Caller,
        text: format!("line {n}"),
        started: Timestamp::from_millis(u64::from(n)),
        ended: None,
        status: LineStatus::Final,
        item: None,
        turn: None,
    };
    Tx { expect: vec![], writes: vec![Write::Line(id(), line)] }
}

fn open(data: &Path) -> Store {
    let settings = Settings { free_bytes_min: 0, ..Settings::at(data) };
    Store::open(&settings, Arc::new(SystemClock)).expect("it opens").0
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_backed_up_beside_a_running_gateway_is_there_after_a_restore() {
    let place = Place::new();
    let store = open(&place.data());
    for n in 0..50 {
        store.commit(line(n)).await.expect("a commit");
    }
    let writing = tokio::spawn({
        let store = store.clone();
        async move {
            for n in 50..400 {
                store.commit(line(n)).await.expect("a commit");
            }
        }
    });
    let said = place.says(&["backup", "copy"]);
    assert!(said.starts_with("backed up to copy: ") && said.contains("every checksum right"), "{said}");
    writing.await.expect("written");
    drop(store);

    let elsewhere = Place::new();
    let copy = place.0.path().join("copy");
    let copy = copy.to_str().expect("a path");
    let said = elsewhere.says(&["restore", copy]);
    assert!(said.starts_with("restored to "), "{said}");
    let lines = open(&elsewhere.data()).lines(id()).await.expect("lines");
    assert!(lines.len() >= 50, "{} lines", lines.len());
    assert!(lines.iter().map(|line| line.n).eq(0..lines.len() as u32));

    assert!(elsewhere.refuses(&["restore", copy]).contains("has something in it"));
    assert!(place.refuses(&["backup", "copy"]).contains("exists already"));
    assert!(elsewhere.refuses(&["backup", "copy2", "--nonsense"]).contains("--nonsense"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_is_told_and_not_copied_as_if_it_were_good() {
    let place = Place::new();
    let nothing = place.refuses(&["backup", "copy"]);
    assert!(nothing.contains("has no journal"), "{nothing}");
    let store = open(&place.data());
    for n in 0..9 {
        store.commit(line(n)).await.expect("a commit");
    }
    store.close().await.expect("closed");
    let said = place.says(&["doctor", "--store"]);
    for words in [
        "✓ format",
        "✓ journal     9 records up to number 9",
        "✓ marks       closed in order",
        "✓ index",
        "✓ recordings",
    ] {
        assert!(said.contains(words), "`{words}` is missing in\n{said}");
    }
    let journal = std::fs::read_dir(place.data().join("journal")).expect("a journal");
    let segment = journal.map(|entry| entry.expect("an entry").path()).min().expect("a segment");
    let mut bytes = std::fs::read(&segment).expect("a segment");
    bytes[100] ^= 1;
    std::fs::write(&segment, bytes).expect("written");

    let said = place.refuses(&["doctor", "--store"]);
    assert!(
        said.contains("✗ journal") && said.contains("restore the data directory from a backup"),
        "{said}"
    );
    let json = place.run(&["doctor", "--store", "--json"]);
    let found: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!((json.status.code(), &found[1]["is_well"]), (Some(1), &false.into()));
    let said = place.refuses(&["backup", "copy"]);
    assert!(said.contains("nothing was copied to copy") && said.contains("is damaged"), "{said}");
    assert!(!place.0.path().join("copy").exists());
}
