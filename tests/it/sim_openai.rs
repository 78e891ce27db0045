//! The simulated provider keeps the vendor's contract: decisions, order of events, one turn at a time.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use switchboard::clock::{Entropy, SystemClock};
use switchboard::sim::fault::ProviderFaults;
use switchboard::sim::log::WorldLog;
use switchboard::sim::openai::{OpenAiSim, Options};
use switchboard::sim::sip::{Invite, SipEvent, SipLeg};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Sideband, attach, script};

const API_KEY: &str = "sk-x";
const SESSION: &str = r#"{"type":"realtime","model":"gpt-realtime-2.1","instructions":"Be kind."}"#;

async fn provider(pending_ttl: Duration) -> OpenAiSim {
    let faults = ProviderFaults { webhook_never: true, ..ProviderFaults::default() };
    OpenAiSim::start(Options {
        clock: Arc::new(SystemClock),
        entropy: Entropy::seeded(3),
        log: WorldLog::quiet(Arc::new(SystemClock)),
        project_id: "proj_x".to_owned(),
        api_key: API_KEY.to_owned(),
        webhook_secrets: vec!["whsec_c2VjcmV0".to_owned()],
        pending_ttl,
        speed: 20.0,
        faults,
    })
    .await
    .expect("a provider")
}

async fn invite(provider: &OpenAiSim, steps: &str) -> SipLeg {
    let request_uri = "sip:proj_x@sip.api.openai.com;transport=tls".to_owned();
    let headers = vec![("From".to_owned(), "<sip:+819012345678@x>".to_owned())];
    provider.invite(Invite { request_uri, headers, script: script(steps) }).await
}

/// POSTs to a call; gives the status.
async fn post(provider: &OpenAiSim, call: &str, verb: &str, body: &str) -> u16 {
    let url = format!("{}/realtime/calls/{call}/{verb}", provider.base_url());
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let request = client.post(url).bearer_auth(API_KEY).body(body.to_owned());
    request.send().await.expect("an answer").status().as_u16()
}

async fn send(socket: &mut Sideband, event: Value) {
    socket.send(Message::text(event.to_string())).await.expect("an open socket");
}

/// Types of all events up to and with this one.
async fn until(socket: &mut Sideband, last: &str) -> Vec<String> {
    let mut kinds = Vec::new();
    let reading = async {
        while let Some(Ok(message)) = socket.next().await {
            let Message::Text(text) = message else { continue };
            let event: Value = serde_json::from_str(text.as_str()).expect("JSON");
            kinds.push(event["type"].as_str().expect("a type").to_owned());
            if kinds.last().is_some_and(|kind| kind == last) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), reading).await.expect("the event comes");
    kinds
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_decision_counts() {
    let provider = provider(Duration::from_secs(10)).await;
    let leg = invite(&provider, "steps = [{ hang_up = \"gateway\" }]").await;
    assert_eq!(post(&provider, &leg.call_id, "accept", SESSION).await, 200);
    assert_eq!(post(&provider, &leg.call_id, "accept", SESSION).await, 409);
    assert_eq!(post(&provider, &leg.call_id, "reject", "{}").await, 409);
    assert_eq!(post(&provider, &leg.call_id, "hangup", "").await, 200);
    assert_eq!(post(&provider, &leg.call_id, "hangup", "").await, 404);
    assert_eq!(post(&provider, "rtc_unknown", "accept", SESSION).await, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_nobody_decides_about_fails_with_400() {
    let provider = provider(Duration::from_millis(50)).await;
    let mut leg = invite(&provider, "").await;
    assert_eq!(leg.events.recv().await, Some(SipEvent::Failed(400)));
    assert_eq!(post(&provider, &leg.call_id, "accept", SESSION).await, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_session_is_refused_and_remembered() {
    let provider = provider(Duration::from_secs(10)).await;
    let leg = invite(&provider, "").await;
    let with_format =
        r#"{"type":"realtime","model":"m","audio":{"output":{"format":{"type":"audio/pcmu"}}}}"#;
    for body in ["{}", "not json", with_format] {
        assert_eq!(post(&provider, &leg.call_id, "accept", body).await, 400, "{body}");
    }
    let report = provider.call(&leg.call_id).expect("a report");
    assert_eq!((report.accepts.len(), report.accepted, report.protocol_errors.len()), (3, 0, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_a_turn_come_in_the_vendors_order() {
    let provider = provider(Duration::from_secs(10)).await;
    let steps =
        r#"steps = [{ model = { says = "はい", calls = [{ name = "lookup" }] } }, { hang_up = "gateway" }]"#;
    let leg = invite(&provider, steps).await;
    post(&provider, &leg.call_id, "accept", SESSION).await;
    let mut socket = attach(&provider, &leg.call_id, API_KEY).await;
    assert_eq!(until(&mut socket, "conversation.created").await, ["session.created", "conversation.created"]);
    send(&mut socket, json!({ "type": "response.create", "event_id": "e1" })).await;
    let kinds = until(&mut socket, "output_audio_buffer.stopped").await;
    assert_eq!(
        kinds,
        [
            "response.created",
            "response.output_item.added",
            "conversation.item.added",
            "response.content_part.added",
            "output_audio_buffer.started",
            "response.output_audio_transcript.delta",
            "response.output_audio.done",
            "response.output_audio_transcript.done",
            "response.content_part.done",
            "conversation.item.done",
            "response.output_item.done",
            "response.output_item.added",
            "conversation.item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "conversation.item.done",
            "response.output_item.done",
            "response.done",
            "rate_limits.updated",
            "output_audio_buffer.stopped",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_turn_at_a_time_is_an_error_that_names_the_request() {
    let provider = provider(Duration::from_secs(10)).await;
    let leg = invite(&provider, "steps = [{ model = { says = \"はい\" } }, { hang_up = \"gateway\" }]").await;
    post(&provider, &leg.call_id, "accept", SESSION).await;
    let mut socket = attach(&provider, &leg.call_id, API_KEY).await;
    until(&mut socket, "conversation.created").await;
    send(&mut socket, json!({ "type": "response.create", "event_id": "e1" })).await;
    send(&mut socket, json!({ "type": "response.create", "event_id": "e2" })).await;
    let error = loop {
        let message = socket.next().await.expect("an open socket").expect("a frame");
        let event: Value = serde_json::from_str(message.to_text().expect("text")).expect("JSON");
        if event["type"] == "error" {
            break event;
        }
    };
    assert_eq!(error["error"]["code"], "conversation_already_has_active_response");
    assert_eq!(error["error"]["event_id"], "e2");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_ends_without_a_close_frame_when_the_caller_hangs_up() {
    let provider = provider(Duration::from_secs(10)).await;
    let mut leg = invite(&provider, "steps = [{ hang_up = \"caller\" }]").await;
    post(&provider, &leg.call_id, "accept", SESSION).await;
    let mut socket = attach(&provider, &leg.call_id, API_KEY).await;
    let mut saw_close = false;
    while let Some(Ok(message)) = socket.next().await {
        saw_close |= message.is_close();
    }
    assert!(!saw_close);
    let mut last = None;
    while let Some(event) = leg.events.recv().await {
        last = Some(event);
    }
    assert_ne!(last, Some(SipEvent::Bye), "the caller hung up, not the provider");
}
