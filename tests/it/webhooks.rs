//! The provider's door under bad input, against a whole gateway: what is refused, what is taken once,
//! and that a caller who comes after it is served.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use switchboard::call::record::EndedReason;
use switchboard::clock::{Clock as _, SystemClock};
use switchboard::http::OPENAI_WEBHOOK;
use switchboard::sim::fault::ProviderFaults;
use switchboard::sim::openai::{Delivery, sign};
use switchboard::sim::world::WEBHOOK_SECRET;
use switchboard::wire::join_token::HEADER;

use crate::bridge::time::LeapingClock;
use crate::harness::{CONFIG, House, Plan, SHORT, oversized, raw};
use crate::joining::asked;

const FROM: &str = "<sip:+819012345678@carrier.example>;tag=1";
const DIVERSION: &str = "<sip:+815012345678@carrier.example>;reason=unconditional";

fn now_s() -> i64 {
    i64::try_from(SystemClock.now().as_secs()).expect("a time of this age")
}

/// The event of an incoming call, made now.
fn event(call_id: &str) -> Value {
    json!({
        "object": "event", "id": "evt_by_hand", "type": "realtime.call.incoming", "created_at": now_s(),
        "data": { "call_id": call_id, "sip_headers": [
            { "name": "From", "value": FROM }, { "name": "Diversion", "value": DIVERSION },
        ] },
    })
}

/// The event with one member replaced, at a JSON pointer.
fn with(mut event: Value, at: &str, value: Value) -> Value {
    *event.pointer_mut(at).expect("a member") = value;
    event
}

/// A delivery signed right.
fn letter(id: &str, body: impl AsRef<[u8]>) -> Delivery {
    letter_of(WEBHOOK_SECRET, id, now_s(), body)
}

fn letter_of(secret: &str, id: &str, at_s: i64, body: impl AsRef<[u8]>) -> Delivery {
    let (body, timestamp) = (body.as_ref().to_vec(), at_s.to_string());
    Delivery { id: id.to_owned(), signature: sign(secret, id, &timestamp, &body), timestamp, body }
}

fn client() -> Client {
    Client::builder().no_proxy().build().expect("a client")
}

/// Sends a delivery without the headers of these names; gives the status.
async fn post(client: &Client, url: &str, delivery: &Delivery, without: &[&str]) -> u16 {
    let headers = [
        ("webhook-id", &delivery.id),
        ("webhook-timestamp", &delivery.timestamp),
        ("webhook-signature", &delivery.signature),
    ];
    let mut request = client.post(url).header("content-type", "application/json");
    for (name, value) in headers.into_iter().filter(|(name, _)| !without.contains(name)) {
        request = request.header(name, value);
    }
    request.body(delivery.body.clone()).send().await.expect("an answer").status().as_u16()
}

fn seen(house: &House, verdict: &str) -> f64 {
    house.metric(&format!("switchboard_webhooks_total{{source=\"openai\",verdict=\"{verdict}\"}}"))
}

/// Claims that the delivery is answered and counted like this, and that nobody is told of a call.
async fn check(house: &House, delivery: &Delivery, without: &[&str], expected: (u16, &str)) {
    let (status, verdict) = expected;
    let before = seen(house, verdict);
    let answered = post(&client(), &house.url(OPENAI_WEBHOOK), delivery, without).await;
    let words = String::from_utf8_lossy(&delivery.body[..delivery.body.len().min(80)]);
    assert_eq!(answered, status, "{verdict}: {words}");
    assert_eq!(seen(house, verdict) - before, 1.0, "{verdict}: {words}");
}

/// Claims that nothing came of all that was sent, and that the next caller is served.
async fn check_served(house: &House) {
    assert_eq!(house.calls().await, []);
    assert!(house.world.openai.calls().is_empty());
    let provider = house.call(SHORT).await.provider.expect("the provider saw the call");
    assert_eq!((provider.accepted, provider.spoken.as_slice()), (1, &["はい。".to_owned()][..]));
    house.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_signed_by_the_provider_is_refused() {
    let house = House::open().await;
    let body = event("rtc_1").to_string();
    let good = letter("wh_1", &body);
    for missing in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        check(&house, &good, &[missing], (400, "missing_header")).await;
    }
    check(&house, &Delivery { signature: String::new(), ..good.clone() }, &[], (400, "no_match")).await;
    check(&house, &letter_of("another secret", "wh_1", now_s(), &body), &[], (400, "no_match")).await;
    check(&house, &Delivery { id: "wh_2".into(), ..good.clone() }, &[], (400, "no_match")).await;
    let cut = Delivery { body: good.body[..good.body.len() / 2].to_vec(), ..good.clone() };
    check(&house, &cut, &[], (400, "no_match")).await;
    check(&house, &letter("wh 1", &body), &[], (400, "bad_id")).await;
    check(&house, &letter(&"w".repeat(129), &body), &[], (400, "bad_id")).await;
    let undated = Delivery { timestamp: "yesterday".into(), ..good };
    check(&house, &undated, &[], (400, "bad_timestamp")).await;
    check_served(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_signed_long_ago_or_ahead_is_refused() {
    let house = House::open().await;
    let body = event("rtc_1").to_string();
    let signed_at = |at_s| letter_of(WEBHOOK_SECRET, "wh_1", at_s, &body);
    check(&house, &signed_at(now_s() - 301), &[], (400, "too_old")).await;
    // Seconds may pass on the way, which bring it nearer.
    check(&house, &signed_at(now_s() + 330), &[], (400, "too_new")).await;
    check(&house, &signed_at(i64::MIN), &[], (400, "too_old")).await;
    check(&house, &signed_at(i64::MAX), &[], (400, "too_new")).await;
    check_served(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_body_that_cannot_be_read_is_refused() {
    let house = House::open().await;
    let bodies: [Vec<u8>; 7] = [
        Vec::new(),
        b"\xff\xfe{}".to_vec(),
        b"call_id=rtc_1".to_vec(),
        event("rtc_1").to_string().into_bytes()[..100].to_vec(),
        "[".repeat(100_000).into_bytes(),
        with(event("rtc_1"), "/data", json!({})).to_string().into_bytes(),
        event("rtc 1\r\n").to_string().into_bytes(),
    ];
    for (at, body) in bodies.iter().enumerate() {
        check(&house, &letter(&format!("wh_{at}"), body), &[], (400, "unreadable")).await;
    }
    check_served(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_call_of_ours_is_acknowledged_and_nothing_comes_of_it() {
    let house = House::open().await;
    for (at, kind) in ["live.transport.incoming", "response.completed", ""].into_iter().enumerate() {
        let body = with(event("rtc_1"), "/type", json!(kind)).to_string();
        check(&house, &letter(&format!("wh_{at}"), body), &[], (200, "ignored")).await;
    }
    let old = with(event("rtc_1"), "/created_at", json!(now_s() - 61)).to_string();
    check(&house, &letter("wh_old", old), &[], (200, "stale")).await;
    check_served(&house).await;
}

/// A process may have accepted it, and not have lived to keep it: nobody else would look after that caller.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_webhook_is_taken_where_its_call_still_waits() {
    let clock = Arc::new(LeapingClock::default());
    let house = House::with(Plan { clock: clock.clone(), ..Plan::default() }).await;
    let (call, token) = asked(&house).await;
    let old = event("rtc_1");
    clock.leap(Duration::from_secs(61));
    let old = with(old, "/data/sip_headers/1", json!({ "name": HEADER, "value": token })).to_string();
    let client = client();
    let url = house.url(OPENAI_WEBHOOK);
    assert_eq!(post(&client, &url, &letter("wh_old", &old), &[]).await, 200);
    assert_eq!((seen(&house, "taken"), seen(&house, "stale")), (1.0, 0.0));
    // The provider knows nothing of it: nobody is there any more.
    let kept = house.ended_at_provider("rtc_1").await;
    assert_eq!(
        (kept.call.id, kept.call.ended.map(|ended| ended.reason)),
        (call, Some(EndedReason::CallerGone))
    );
    // Now it is over, and its old webhooks are old.
    let again = old.replace("rtc_1", "rtc_2");
    assert_eq!(post(&client, &url, &letter("wh_older", &again), &[]).await, 200);
    assert_eq!((seen(&house, "taken"), seen(&house, "stale")), (1.0, 1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_beyond_the_limit_is_not_read() {
    let house = House::open().await;
    for request in oversized(OPENAI_WEBHOOK) {
        let answer = raw(house.gateway.public, &request).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    }
    assert_eq!(seen(&house, "too_large"), 2.0);

    let head = format!("POST {OPENAI_WEBHOOK} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
    let ended_early = format!("{head}content-length: 1000\r\n\r\n{{\"object\":");
    let answer = raw(house.gateway.public, ended_early.as_bytes()).await;
    assert!(!answer.contains(" 200 "), "{answer}");
    check_served(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn either_secret_and_either_signature_will_do_while_they_are_rotated() {
    const NEXT: &str = "whsec_bmV4dC13ZWJob29rLXNlY3JldA==";
    let secrets = format!("{NEXT},{WEBHOOK_SECRET}");
    let environment = vec![("SWITCHBOARD__OPENAI__WEBHOOK_SECRETS", secrets)];
    let house = House::with(Plan { environment, ..Plan::default() }).await;
    let body = with(event("rtc_1"), "/type", json!("response.completed")).to_string();
    let signed_with = |secret| letter_of(secret, "wh_1", now_s(), &body);
    check(&house, &signed_with(WEBHOOK_SECRET), &[], (200, "ignored")).await;
    check(&house, &signed_with(NEXT), &[], (200, "ignored")).await;
    check(&house, &signed_with("neither"), &[], (400, "no_match")).await;

    let (good, bad) = (signed_with(NEXT), signed_with("neither"));
    let both =
        |first: &str, second: &str| Delivery { signature: format!("{first} {second}"), ..good.clone() };
    check(&house, &both(&bad.signature, &good.signature), &[], (200, "ignored")).await;
    check(&house, &both(&good.signature, &bad.signature), &[], (200, "ignored")).await;
    check(&house, &both(&bad.signature, &bad.signature), &[], (400, "no_match")).await;
    check_served(&house).await;
}

/// A house that takes bare SIP trunks, whose provider leaves the webhooks to the test.
fn without_webhooks() -> Plan {
    let faults = ProviderFaults { webhook_never: true, ..ProviderFaults::default() };
    Plan { config: format!("[server]\ndirect_sip = true\n{CONFIG}"), faults, ..Plan::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_delivery_is_taken_once() {
    let house = House::with(without_webhooks()).await;
    let leg = house.invite(&[("From", FROM)], SHORT).await;
    let delivery = letter("wh_1", event(&leg.call_id).to_string());
    check(&house, &delivery, &[], (200, "taken")).await;
    check(&house, &delivery, &[], (200, "duplicate")).await;
    // The same call in another envelope is no second call.
    check(&house, &letter("wh_2", &delivery.body), &[], (200, "duplicate")).await;
    let kept = house.ended().await;
    check(&house, &delivery, &[], (200, "duplicate")).await;
    assert_eq!(kept.call.ended.map(|ended| ended.reason), Some(EndedReason::CallerHangup));
    let provider = house.provider_call(&leg.call_id, |report| report.is_over).await;
    assert_eq!((provider.accepts.len(), provider.accepted), (1, 1));
}

/// Sends copies of one delivery at the same time; gives their statuses.
async fn flood(house: &House, delivery: &Delivery, copies: usize) -> Vec<u16> {
    let (client, url, delivery) = (client(), Arc::new(house.url(OPENAI_WEBHOOK)), Arc::new(delivery.clone()));
    let sent: Vec<_> = (0..copies)
        .map(|_| {
            let (client, url, delivery) = (client.clone(), Arc::clone(&url), Arc::clone(&delivery));
            tokio::spawn(async move { post(&client, &url, &delivery, &[]).await })
        })
        .collect();
    let mut statuses = Vec::with_capacity(copies);
    for answered in sent {
        statuses.push(answered.await.expect("an answer"));
    }
    statuses
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_copies_make_one_call_also_across_a_restart() {
    let house = House::with(without_webhooks()).await;
    let leg = house.invite(&[("From", FROM)], SHORT).await;
    let delivery = letter("wh_1", event(&leg.call_id).to_string());
    assert_eq!(flood(&house, &delivery, 1_000).await, [200; 1_000]);
    assert_eq!((seen(&house, "taken"), seen(&house, "duplicate")), (1.0, 999.0));
    let first = house.ended().await.call;
    let provider = house.provider_call(&leg.call_id, |report| report.is_over).await;
    assert_eq!((provider.accepts.len(), provider.accepted), (1, 1));
    assert_eq!(provider.protocol_errors, [""; 0]);

    let house = House::at(without_webhooks(), house.close().await).await;
    assert_eq!(flood(&house, &delivery, 200).await, [200; 200]);
    assert_eq!(seen(&house, "duplicate"), 200.0);
    assert_eq!(house.calls().await, [first]);
}
