//! Calls that go for good: on request and in time, with their recordings here and at the carrier, and the proof of it.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use switchboard::call::recording::CarrierCopy;
use switchboard::call_control::erasing::{EraseError, Erased};
use switchboard::clock::{Clock as _, SystemClock};
use switchboard::http::ErasedCall;
use switchboard::sim::twilio::{CallerSetup, Refusal};
use switchboard::store::{ErasedBy, Settings, Store, search};

use crate::cli::SERVED;
use crate::harness::{CALLEE, CALLER, CONFIG, House, Plan, SHORT, eventually, script};
use crate::recordings::{config, kept, operator, recording};

const DAY: Duration = Duration::from_secs(86_400);

/// Runs a command against the data directory of a house; gives what it says and how it ended.
fn switchboard(admin: &str, data: &Path, words: &[&str]) -> (String, Option<i32>) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = format!("[admin]\nlisten = \"{admin}\"\n\n[store]\npath = \"{}\"\n", data.display());
    std::fs::write(folder.path().join("gateway.toml"), format!("{SERVED}\n{store}")).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    let output = command.args(words).current_dir(folder.path()).env_clear().output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout) + &text(&output.stderr), output.status.code())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_erases_a_call_and_its_recording_here_and_at_the_carrier() {
    let house = House::with(Plan { config: config(""), ..Plan::default() }).await;
    // The carrier is busy for some seconds: the call goes when its recording has gone.
    let busy = Refusal { method: Some("DELETE"), status: 500, ..Refusal::default() };
    house.world.carrier_rest.refuse([busy.clone(), busy.clone(), busy]);
    house.call(SHORT).await;
    let (detail, record) = recording(&house, kept).await;
    let id = detail.call.id;
    let path = format!("/calls/{id}");

    let (status, _, body) = operator(&house, Method::DELETE, &path, &[]).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let answer: ErasedCall = serde_json::from_slice(&body).expect("an answer");
    assert_eq!(answer.proof, None);
    let control = house.gateway.control();
    eventually("the carrier's copy is gone", || async {
        let record = control.store().recording(id, &record.id).expect("readable")?;
        (record.carrier_copy == CarrierCopy::Deleted).then_some(())
    })
    .await;
    assert_eq!(control.sweep_calls(SystemClock.now()).await.expect("swept"), 1);
    assert_eq!(control.sweep_calls(SystemClock.now()).await.expect("swept"), 0, "once");

    assert_eq!(house.world.carrier_rest.sound(record.id.as_str()), None);
    assert_eq!(operator(&house, Method::GET, &path, &[]).await.0, StatusCode::NOT_FOUND);
    assert!(house.calls().await.is_empty());
    let (status, _, body) = operator(&house, Method::DELETE, &path, &[]).await;
    assert_eq!(status, StatusCode::OK, "asked again, the proof is given again");
    let proof = serde_json::from_slice::<ErasedCall>(&body).expect("an answer").proof.expect("the proof");
    assert_eq!((proof.lines, proof.by), (detail.lines.len(), ErasedBy::Operator));
    assert_eq!(proof.recordings[0].sha256, record.sha256);
    assert_eq!(house.metric("switchboard_calls_erased_total{by=\"operator\"}"), 1.0);

    // What the carrier says of it later is of a call that nobody knows.
    let sid = detail.call.carrier.expect("the carrier's side").call_sid;
    let fields = house.world.twilio.voice_fields(sid.as_str(), CALLER, CALLEE, "completed");
    let late = house.tell("/twilio/status", fields).await;
    assert!(house.calls().await.is_empty(), "{late:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_call_is_not_erased() {
    let house = House::open().await;
    let steps = "steps = [{ model = { says = \"hello\" } }, { caller = { says = \"hm\", for_ms = 60000 } }]";
    let talk = house.world.play(CallerSetup::new(CALLER, CALLEE, script(steps)));
    let look = async {
        let id = eventually("the call is kept", || async { Some(house.calls().await.first()?.id) }).await;
        let (status, _, body) = operator(&house, Method::DELETE, &format!("/calls/{id}"), &[]).await;
        let words = String::from_utf8_lossy(&body).into_owned();
        assert_eq!(status, StatusCode::CONFLICT, "{words}");
        assert!(words.contains("hang it up first"), "{words}");
        operator(&house, Method::POST, &format!("/calls/{id}/hangup"), &[]).await;
        id
    };
    let (_, id) = tokio::join!(talk, look);
    let none = "call_00000000000000000000000000000000".parse().expect("an id");
    let control = house.gateway.control();
    let unknown = control.erase_call(none, ErasedBy::Operator).await;
    assert!(matches!(unknown, Err(EraseError::NoSuchCall(_))), "{unknown:?}");
    house.ended_call(id).await;
    let erased = control.erase_call(id, ErasedBy::Operator).await.expect("erased");
    assert!(matches!(erased, Erased::Gone(_)), "it is over now, and waited for: {erased:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_have_had_their_time_go_and_younger_ones_stay() {
    let config = format!("[retention]\ncalls = \"20d\"\n\n{CONFIG}");
    let house = House::with(Plan { config, ..Plan::default() }).await;
    house.call(SHORT).await;
    let call = house.ended().await.call.id;
    let control = house.gateway.control();
    let now = SystemClock.now();
    assert_eq!(control.sweep_calls(now + 19 * DAY).await.expect("swept"), 0);
    assert!(control.store().call(call).expect("readable").is_some());
    assert_eq!(control.sweep_calls(now + 21 * DAY).await.expect("swept"), 1);
    assert!(control.store().call(call).expect("readable").is_none());
    let proof = control.store().erasure(call).expect("readable").expect("a proof");
    assert_eq!(proof.by, ErasedBy::Retention);
    // The proofs of what went by itself have their time, too.
    control.sweep_calls(now + 90 * DAY).await.expect("swept");
    assert_eq!(control.store().erasure(call).expect("readable"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_forgotten_beside_a_running_gateway_and_nothing_is_left_after_its_next_start() {
    let house = House::open().await;
    house.call(SHORT).await;
    let other = "+815099998888";
    house.play(CallerSetup::new(other, CALLEE, script(SHORT))).await;
    let admin = house.gateway.admin.to_string();
    let data = house.data.path().to_owned();
    let forget = ["calls", "forget", CALLER];
    let (said, code) =
        tokio::task::spawn_blocking(move || switchboard(&admin, &data, &forget)).await.expect("it runs");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("erased 1 calls: "), "{said}");
    assert!(said.contains("nothing of them is left") || said.contains("index/"), "{said}");
    assert!(!said.contains("journal/"), "{said}");
    let left: Vec<Option<String>> = house.calls().await.into_iter().map(|call| call.caller).collect();
    assert_eq!(left, [Some(other.to_owned())]);

    let data = house.close().await;
    // A start of the store is enough.
    let (listed, code) = switchboard("127.0.0.1:9", data.path(), &["calls", "ls"]);
    assert!(code == Some(0) && listed.contains(other) && !listed.contains(CALLER), "{listed}");
    let digits = CALLER.trim_start_matches('+').to_owned();
    let searched = search(data.path(), &[digits]).expect("a search");
    assert!(searched.found.is_empty(), "{searched:?}");

    // Without a gateway all of it is done at once.
    let (said, code) = switchboard("127.0.0.1:9", data.path(), &["calls", "forget", other, "--json"]);
    assert_eq!(code, Some(0), "{said}");
    let report: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(report["erased"].as_array().map(Vec::len), Some(1), "{said}");
    assert_eq!(report["searched"]["found"], serde_json::json!([]), "{said}");
    let settings = Settings { free_bytes_min: 0, ..Settings::at(data.path()) };
    let (store, _) = Store::open(&settings, Arc::new(SystemClock)).expect("it opens");
    let audited = store.audit(None, 10).await.expect("readable");
    let acts: Vec<_> = audited.iter().map(|entry| (entry.what.as_str(), entry.role.as_str())).collect();
    assert_eq!(acts.first(), Some(&("call.erase", "local")), "{acts:?}");
    store.close().await.expect("closed");
    let (said, code) = switchboard("127.0.0.1:9", data.path(), &["compact"]);
    assert!(code == Some(0) && said.contains("the journal up to record"), "{said}");
}
