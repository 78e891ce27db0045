//! Encryption at rest: what callers say is in no file, everybody who may read it still can, and without its key a
//! data directory does not open.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, StatusCode};
use switchboard::clock::SystemClock;
use switchboard::secret::Secret;
use switchboard::store::{
    OpenError, Settings, Store, StoreError, Thoroughness, Vault, Write, examine, search,
};

use crate::cli::SERVED;
use crate::harness::{House, Plan};
use crate::recordings::{config, kept, operator, recording, sha256};
use crate::store::{NOON_MS, id, line, tool_call, tx};

const STEPS: &str = r#"
steps = [
  { model = { says = "hello, this is the shop" } },
  { caller = { says = "my card ends with forty-two", for_ms = 900 } },
  { model = { calls = [{ name = "echo", arguments = { text = "the alarm code is kumquat" } }] } },
  { model = { says = "your secret is kept" } },
]
"#;
const WORDS: [&str; 3] = ["forty-two", "kumquat", "your secret is kept"];

fn key(byte: u8) -> String {
    STANDARD.encode([byte; 32])
}

fn vault(keys: &[u8]) -> Vault {
    let secrets: Vec<Secret> = keys.iter().map(|byte| Secret::new(key(*byte))).collect();
    Vault::new(&secrets).expect("keys")
}

fn open(data: &Path, keys: &[u8]) -> Result<Store, OpenError> {
    let settings = Settings { free_bytes_min: 0, vault: vault(keys), ..Settings::at(data) };
    Store::open(&settings, Arc::new(SystemClock)).map(|(store, _)| store)
}

/// In how many files of the directory something of these words is.
fn told(data: &Path, words: &[&str]) -> Vec<PathBuf> {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    search(data, &words).expect("a search").found.into_iter().map(|found| found.path).collect()
}

fn wave_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { found.extend(wave_files(&path)) } else { found.push(path) }
    }
    found
}

/// A command against a data directory, with these keys in its configuration.
fn switchboard(data: &Path, keys: &str, words: &[&str]) -> (String, Option<i32>) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = format!("[store]\npath = \"{}\"\nencryption_keys = {keys}\n", data.display());
    fs::write(folder.path().join("gateway.toml"), format!("{SERVED}\n{store}")).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    let output = command.args(words).current_dir(folder.path()).env_clear().output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout) + &text(&output.stderr), output.status.code())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_call_is_in_no_file_and_everybody_who_may_still_reads_it() {
    let config = format!("[store]\nencryption_keys = \"{}\"\n\n{}", key(1), config(""));
    let house = House::with(Plan { config, ..Plan::default() }).await;
    house.call(STEPS).await;
    let (detail, record) = recording(&house, kept).await;
    let said: String = detail.lines.iter().map(|line| line.text.as_str()).collect();
    assert!(said.contains(WORDS[0]) && said.contains(WORDS[2]), "{said}");
    assert!(
        detail.tool_calls.iter().any(|call| call.arguments.contains(WORDS[1])),
        "{:?}",
        detail.tool_calls
    );

    let path = format!("/calls/{}/recording", detail.call.id);
    let (status, _, whole) = operator(&house, Method::GET, &path, &[]).await;
    assert_eq!((status, Some(sha256(&whole))), (StatusCode::OK, record.sha256.clone()));
    let (status, _, part) = operator(&house, Method::GET, &path, &[("range", "bytes=100-20099")]).await;
    assert!(status == StatusCode::PARTIAL_CONTENT && part == whole[100..20_100], "{status}, {}", part.len());

    let data = house.close().await;
    assert_eq!(told(data.path(), &WORDS), Vec::<PathBuf>::new());
    let files = wave_files(&data.path().join("recordings"));
    assert_eq!(files.len(), 1);
    let on_disk = fs::read(&files[0]).expect("the file");
    assert!(!on_disk.windows(4).any(|part| part == b"RIFF") && on_disk.len() > whole.len());

    let right = format!("[\"{}\"]", key(1));
    let (said, code) = switchboard(data.path(), &right, &["calls", "export"]);
    assert!(code == Some(0) && said.contains(WORDS[0]), "{said}");
    let (said, code) = switchboard(data.path(), &right, &["doctor", "--store", "--digests"]);
    assert!(code == Some(0) && said.contains("every digest right"), "{said}");
    let copy = data.path().with_file_name(format!("{}-copy", detail.call.id));
    let (said, code) = switchboard(data.path(), &right, &["backup", copy.to_str().expect("text")]);
    assert!(code == Some(0) && told(&copy, &WORDS).is_empty() && copy.join("keys").is_file(), "{said}");
    fs::remove_dir_all(&copy).expect("removed");
    for wrong in [format!("[\"{}\"]", key(2)), "[]".to_owned()] {
        let (said, code) = switchboard(data.path(), &wrong, &["calls", "ls"]);
        assert!(code == Some(69) && said.contains("which is not among `store.encryption_keys`"), "{said}");
    }
    let (said, code) = switchboard(data.path(), "[\"c2hvcnQ=\"]", &["check"]);
    assert!(code == Some(78) && said.contains("E0405") && said.contains("openssl rand -base64 32"), "{said}");
    assert!(!said.contains("c2hvcnQ="), "a key that is none is one all the same: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_sealed_later_and_with_another_key_by_a_compaction() {
    let data = tempfile::tempdir().expect("a folder");
    let place = data.path();
    let call = id(1);
    let store = open(place, &[]).expect("a new store");
    let writes =
        vec![Write::Line(call, line(0, NOON_MS, WORDS[0])), Write::ToolCall(call, tool_call(0, WORDS[2]))];
    store.commit(tx(writes)).await.expect("committed");
    store.kv("crm").put("alice", WORDS[1].as_bytes(), None, None).await.expect("kept");
    store.close().await.expect("closed");
    assert!(!told(place, &WORDS).is_empty(), "the words are looked for in the right way");

    let holds = |store: Store, when: &'static str| async move {
        assert_eq!(store.lines(call).await.expect("lines")[0].text, WORDS[0], "{when}");
        let value = store.kv("crm").get("alice").await.expect("a value").expect("kept").value;
        assert_eq!(value, WORDS[1].as_bytes(), "{when}");
        store
    };
    let store = holds(open(place, &[1]).expect("opened"), "read as it was").await;
    let done = store.compact().await.expect("compacted");
    assert_eq!(done.resealed, 3, "the line, the tool call and the value");
    let store = holds(store, "after the compaction").await;
    store.close().await.expect("closed");
    let store = holds(open(place, &[1]).expect("opened"), "sealed").await;
    assert_eq!(told(place, &WORDS), Vec::<PathBuf>::new(), "the index was made anew");
    // Compare-and-set and quotas look through the seal.
    let entry = store.kv("crm").get("alice").await.expect("a value").expect("kept");
    let again = store.kv("crm").put("alice", WORDS[1].as_bytes(), None, Some(entry.revision)).await;
    assert!(again.expect("kept") > entry.revision);
    let stale = store.kv("crm").put("alice", b"x", None, Some(entry.revision)).await;
    assert!(matches!(stale, Err(StoreError::Conflict { .. })), "{stale:?}");
    store.close().await.expect("closed");

    for wrong in [&[][..], &[2]] {
        let refused = open(place, wrong).err().expect("refused").to_string();
        assert!(refused.contains("`store.encryption_keys`"), "{refused}");
    }
    let store = holds(open(place, &[2, 1]).expect("opened"), "both keys").await;
    store.compact().await.expect("compacted");
    store.close().await.expect("closed");
    let store = holds(open(place, &[2]).expect("the old key is not needed any more"), "the new key").await;
    store.close().await.expect("closed");
    let scratch = tempfile::tempdir().expect("a folder");
    let how = Thoroughness { vault: vault(&[2]), digests: true };
    let findings = examine(place, scratch.path(), how);
    assert!(findings.iter().all(|finding| finding.is_well), "{findings:?}");
}
