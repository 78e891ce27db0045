//! One caller too many, a machine that cannot keep up, and strangers who use up connections: what each gets, and
//! that it passes.

use std::time::Duration;

use switchboard::call::record::EndedReason;
use switchboard::http::TWILIO_VOICE;
use switchboard::sim::fault::ProviderFaults;
use switchboard::sim::twiml::{Document, RejectReason, Verb};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{CALLER, CONFIG, House, Operator, Plan, SHORT, eventually};

fn plain() -> &'static str {
    CONFIG.split("[plugins").next().unwrap_or_default().trim_end()
}

async fn house(before: &str, of_the_route: &str) -> House {
    let config = format!("{before}\n{}\n{of_the_route}\n", plain());
    House::with(Plan { config, ..Plan::default() }).await
}

async fn ring(house: &House, from: &str) -> Vec<Verb> {
    let answer = house.ask(&house.world.twilio.new_call_sid(), from).await;
    Document::read(answer.content_type.as_deref(), &answer.body).expect("a good document").verbs
}

fn is_answered(verbs: &[Verb]) -> bool {
    matches!(verbs, [Verb::Dial(_)] | [Verb::Connect(_), ..])
}

const BUSY: [Verb; 1] = [Verb::Reject(RejectReason::Busy)];

async fn refused_for(house: &House) -> String {
    let ended = house.calls().await[0].ended.clone().expect("it is over");
    assert_eq!(ended.reason, EndedReason::Busy);
    ended.detail.expect("a reason")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_has_its_own_room() {
    let house = house("", "max_calls = 1").await;
    assert!(is_answered(&ring(&house, CALLER).await));
    assert_eq!(ring(&house, "+819011111111").await, BUSY);
    assert_eq!(refused_for(&house).await, "the route's max_calls are being answered");
    assert_eq!(house.metric(r#"switchboard_calls_refused_total{reason="route_max_calls"}"#), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_has_its_own_rate() {
    let house = house("", "rate = \"2/1h\"").await;
    for from in [CALLER, "+819011111111"] {
        assert!(is_answered(&ring(&house, from).await));
    }
    assert_eq!(ring(&house, "+819022222222").await, BUSY);
    assert_eq!(refused_for(&house).await, "the route's rate is used up: 2 calls within 3600 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_calls_no_more_often_than_it_may_and_others_are_served() {
    let house = house("[admission]\nper_caller = \"1/1h\"", "").await;
    assert!(is_answered(&ring(&house, CALLER).await));
    assert_eq!(ring(&house, CALLER).await, BUSY);
    assert!(refused_for(&house).await.starts_with("admission.per_caller is used up"));
    for other in ["+819011111111", "anonymous", "anonymous"] {
        assert!(is_answered(&ring(&house, other).await), "{other}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_one_too_many_gets_what_the_route_falls_back_on() {
    let before = "[server]\nmax_calls = 1\n[admission]\nanswer = \"fallback\"";
    let house = house(before, "fallback = { forward = \"+81312345678\" }").await;
    assert!(is_answered(&ring(&house, CALLER).await));
    let call_sid = house.world.twilio.new_call_sid();
    let first = house.ask(&call_sid, CALLER).await;
    assert!(first.text().contains("<Number>+81312345678</Number>"), "{}", first.text());
    assert_eq!(house.ask(&call_sid, CALLER).await, first, "the same question has the same answer");
    assert_eq!(refused_for(&house).await, "server.max_calls are being answered");
}

/// The runtime's threads do nothing for a while, as on a machine that is far too busy.
fn freeze() {
    let threads = tokio::runtime::Handle::current().metrics().num_workers();
    for _ in 0..threads {
        // Not in the threads for that: these are the ones that everything else needs.
        tokio::spawn(async { std::thread::sleep(Duration::from_millis(700)) });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_cannot_keep_up_lets_nobody_in_until_it_can() {
    let house = House::without_plugins(ProviderFaults::default()).await;
    let operator = Operator::of(&house);
    assert!(is_answered(&ring(&house, CALLER).await));
    let refused = eventually("it is noticed", || async {
        freeze();
        tokio::time::sleep(Duration::from_millis(900)).await;
        (ring(&house, CALLER).await == BUSY).then_some(())
    });
    refused.await;
    let behind = r#"switchboard_calls_refused_total{reason="behind"}"#;
    assert!(house.metric(behind) >= 1.0);
    eventually("it lets callers in again", || async {
        is_answered(&ring(&house, CALLER).await).then_some(())
    })
    .await;
    eventually("it says so", || async { (operator.get("/readyz").await.0 == 200).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_makes_room_for_who_does() {
    let house = house("[server]\nmax_connections = 16", "").await;
    let mut silent = Vec::new();
    for _ in 0..40 {
        let mut stream = TcpStream::connect(house.gateway.public).await.expect("a connection");
        // Some drip, some are silent.
        stream.write_all(b"POST /twi").await.expect("a few bytes");
        silent.push(stream);
    }
    assert!(is_answered(&ring(&house, CALLER).await));
    let played = house.call(SHORT).await;
    assert_eq!(played.carrier.problems, [""; 0], "{}", house.world.log.text());
    // The first of them are gone; that there were never more than 16 is why.
    let ended = tokio::time::timeout(Duration::from_secs(10), silent[0].read(&mut [0; 16])).await;
    assert!(matches!(ended, Ok(Ok(0) | Err(_))), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_is_not_spoken() {
    let house = House::without_plugins(ProviderFaults::default()).await;
    let mut stream = TcpStream::connect(house.gateway.public).await.expect("a connection");
    for piece in [b"PRI * HT".as_slice(), b"TP/2.0\r\n\r\nSM\r\n\r\n"] {
        if stream.write_all(piece).await.is_err() {
            return;
        }
    }
    let mut answer = Vec::new();
    // Closed, in whichever way; not an HTTP/2 settings frame.
    let _ = stream.read_to_end(&mut answer).await;
    assert_eq!(answer, b"", "{TWILIO_VOICE}");
}
