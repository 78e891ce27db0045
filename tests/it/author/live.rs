//! `plugin run --live`: requests go over the network, to whom the plugin's own `plugin.toml` grants by name.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{bad, example, switchboard, text};
use crate::backend::{Backend, Reply};

const SLOTS: &str = r#"{"slots": [{"id": "s1", "start": "2026-12-01T10:00:00+09:00"}]}"#;
const FIND: [&str; 6] =
    ["plugin", "run", "find_slots", r#"{"date": "2026-12-01"}"#, "--plugin", "appointment-booking"];

/// The example that books, whose booking system is this backend, granted as `allow` says.
fn booking(backend: &Backend, allow: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = example("appointment-booking", folder.path());
    let manifest = format!(
        "name = 'appointment-booking'\nlang = 'ts'\n[gateway.config]\nbase_url = '{}'\n[gateway.allow]\n\
         kv = 'appointments'\nsecrets = {{ BOOKING_TOKEN = 't0p' }}\n{}\n",
        backend.url("/v1"),
        allow.replace("BACKEND", &backend.url("")),
    );
    fs::write(plugin.join("plugin.toml"), manifest).expect("a file");
    (folder, plugin)
}

const GRANTED: &str = "http = ['BACKEND/v1/*']\nprivate_hosts = ['127.0.0.1']";

#[tokio::test(flavor = "multi_thread")]
async fn a_request_goes_to_the_server_that_is_granted_by_name() {
    let backend = Backend::answering(200, SLOTS).await;
    let (folder, _) = booking(&backend, GRANTED);
    let output = switchboard(&[&FIND[..], &["--live"]].concat(), folder.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON on standard output");
    assert_eq!(answer["slots"], json!([{ "id": "s1", "start": "2026-12-01T10:00:00+09:00" }]));
    assert_eq!(backend.lines(), ["GET /v1/slots?date=2026-12-01"]);
    assert_eq!(backend.asked()[0].header("authorization"), Some("Bearer t0p"));
    assert!(!text(&output.stderr).contains("t0p"), "{}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_is_sent_once_and_kept_no_longer_than_the_command() {
    let backend = Backend::start(|_, before| match before {
        0 => Reply::new(503, ""),
        _ => Reply::new(201, r#"{"id": "apt_7"}"#),
    })
    .await;
    let (folder, _) = booking(&backend, GRANTED);
    // Would the third know of the second, it would not ask again.
    for (before, (code, word)) in [(1, "unavailable"), (0, "apt_7"), (0, "apt_7")].into_iter().enumerate() {
        let book = ["plugin", "run", "book_appointment", r#"{"slot": "s1", "name": "Ada"}"#];
        let whom = ["--plugin", "appointment-booking", "--caller", "+819012345678", "--live"];
        let output = switchboard(&[&book[..], &whom].concat(), folder.path());
        let told = text(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{told}\n{}", text(&output.stderr));
        assert!(told.contains(word) || text(&output.stderr).contains(word), "{told}");
        assert_eq!(backend.lines().len(), before + 1, "{:?}", backend.lines());
    }
    assert_eq!(backend.lines(), ["POST /v1/appointments"; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_where_it_is_not_live_or_not_granted() {
    let backend = Backend::answering(200, SLOTS).await;
    // Without `--live` mocks answer, and there is none.
    let (folder, _) = booking(&backend, GRANTED);
    let told = bad(&FIND, folder.path(), 1);
    assert!(told.contains("no mock answers `GET http://127.0.0.1:") && told.contains("`--live`"), "{told}");
    // An address that is not public, and not granted by name.
    let (folder, _) = booking(&backend, "http = ['BACKEND/v1/*']");
    let output = switchboard(&[&FIND[..], &["--live"]].concat(), folder.path());
    let failure: Value = serde_json::from_slice(&output.stdout).expect("JSON on standard output");
    assert_eq!((output.status.code(), &failure["error"]), (Some(1), &json!("internal")), "{failure}");
    let message = failure["message"].as_str().unwrap_or_default();
    assert!(message.contains("grant it by name in `private_hosts`"), "{failure}");
    // Another place than the one that is granted: the plugin is not even called.
    let (folder, _) = booking(&backend, "http = ['BACKEND/v2/*']\nprivate_hosts = ['127.0.0.1']");
    let told = bad(&[&FIND[..], &["--live"]].concat(), folder.path(), 78);
    let fix = "in `[gateway.allow]` of `plugin.toml`, if that is meant";
    assert_eq!(told.matches(fix).count(), 1, "the way out is told once: {told}");
    assert_eq!(backend.lines(), [""; 0]);
}
