//! What other systems are to be told outlives the process: none is lost, whatever it dies in.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Town, caller, plain};
use crate::backend::{Backend, Manner, Reply};
use crate::harness::{SHORT, eventually};
use crate::notifications::endpoint;

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_loses_no_notification() {
    let answers = Arc::new(AtomicBool::new(false));
    let is_answering = Arc::clone(&answers);
    let receiver = Backend::start(move |_, _| match is_answering.load(Ordering::SeqCst) {
        true => Reply::new(200, ""),
        false => Reply::new(200, "").manner(Manner::Silent),
    })
    .await;
    let mut plan = plain();
    plan.config += &endpoint("crm", &receiver, "");
    plan.config += &format!("\n[store]\nencryption_keys = \"{}\"\n", STANDARD.encode([1; 32]));
    let mut town = Town::open(plan).await;
    for _ in 0..3 {
        town.ring(caller(SHORT)).await.expect("played");
    }
    let ended = eventually("all calls are over", || async {
        let calls = town.calls().await;
        (calls.len() == 3 && calls.iter().all(|call| call.ended.is_some())).then_some(calls)
    });
    let calls: BTreeSet<String> = ended.await.iter().map(|call| call.id.to_string()).collect();
    eventually("some are under way", || async { (receiver.asked().len() == 4).then_some(()) }).await;
    town.kill().await;
    answers.store(true, Ordering::SeqCst);
    town.start().await;
    let told = eventually("all are told", || async {
        let asked = receiver.asked().split_off(4);
        (asked.len() >= 9).then_some(asked)
    })
    .await;
    let body = |body: &str| serde_json::from_str::<serde_json::Value>(body).expect("JSON");
    let what: BTreeSet<(String, String)> = told
        .iter()
        .map(|asked| {
            let body = body(&asked.body);
            let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
            (text(&body["data"]["call"]["id"]), text(&body["type"]))
        })
        .collect();
    let kinds = ["call.started", "call.ended", "transcript.ready"];
    let all = calls.iter().flat_map(|call| kinds.map(|kind| (call.clone(), kind.to_owned())));
    assert_eq!(what, all.collect());
    assert_eq!(told.len(), 9, "once each");
    let before: BTreeSet<_> =
        receiver.asked()[..4].iter().map(|asked| asked.header("webhook-id").map(str::to_owned)).collect();
    let after: BTreeSet<_> = told.iter().map(|asked| asked.header("webhook-id").map(str::to_owned)).collect();
    assert!(before.is_subset(&after), "what was under way is sent again with its id");
}
