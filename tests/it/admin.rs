//! The operators' door, and the lock on the data directory.

use std::sync::Arc;

use reqwest::Method;
use switchboard::call::record::{CallDetail, CallRecord};
use switchboard::clock::{Clock as _, Entropy, SystemClock};
use switchboard::gateway::Gateway;
use switchboard::http::Page;
use switchboard::ids::CallId;

use crate::harness::{CALLER, House, Operator, Plan, SHORT, prepare};

#[tokio::test(flavor = "multi_thread")]
async fn health_is_for_everybody_and_all_else_wants_the_token() {
    let house = House::open().await;
    let operator = Operator::of(&house);
    for (path, words) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        assert_eq!(operator.ask_showing(Method::GET, path, None).await, (200, words.to_owned()));
    }
    let (status, list) = operator.ask_showing(Method::GET, "/readyz?verbose", None).await;
    assert_eq!(status, 200, "{list}");
    for line in ["[+]store ok", "[+]machine ok", "[+]path sip ok", "[+]configuration ok", "ready"] {
        assert!(list.lines().any(|is| is == line), "{line} is not in\n{list}");
    }
    let call = format!("/api/v1/calls/{}", CallId::new(SystemClock.now(), [7; 10]));
    let hang_up = format!("{call}/hangup");
    let doors = [
        (Method::GET, "/metrics"),
        (Method::GET, "/api/v1/calls"),
        (Method::GET, &call),
        (Method::POST, &hang_up),
    ];
    let cut = &operator.token[1..];
    let wrong = ["Bearer ".into(), format!("Bearer {cut}"), operator.token.clone(), format!("Basic {cut}")];
    for (method, path) in doors {
        assert_eq!(operator.ask_showing(method.clone(), path, None).await.0, 401, "{path}");
        for authorization in &wrong {
            let (status, words) = operator.ask_showing(method.clone(), path, Some(authorization)).await;
            assert_eq!(status, 401, "{path}");
            assert!(!words.contains(&operator.token), "{path}");
        }
    }
    let (status, text) = operator.get("/metrics").await;
    assert_eq!((status, text.lines().last()), (200, Some("# EOF")));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_listed_page_by_page_and_found_by_number() {
    let house = House::open().await;
    let operator = Operator::of(&house);
    for n in 0..5 {
        let from = if n < 2 { CALLER.to_owned() } else { "+81312345670".to_owned() };
        house.ask(&house.world.twilio.new_call_sid(), &from).await;
    }
    let mut expected: Vec<CallId> = house.calls().await.iter().map(|call| call.id).collect();
    let (mut listed, mut path) = (Vec::new(), "/api/v1/calls?limit=2".to_owned());
    let mut pages = 0;
    loop {
        let page = page(&operator, &path).await;
        pages += 1;
        listed.extend(page.calls.iter().map(|call| call.id));
        let Some(next) = page.next else { break };
        path = format!("/api/v1/calls?limit=2&after={next}");
    }
    assert_eq!((listed.len(), pages), (5, 3));
    assert_eq!(listed, expected);
    expected.sort();
    expected.reverse();
    assert_eq!(listed, expected, "newest first");

    let of_caller = page(&operator, "/api/v1/calls?unmasked=true&number=%2B819012345678").await.calls;
    assert_eq!(of_caller.iter().filter_map(|call| call.caller.as_deref()).collect::<Vec<_>>(), [CALLER; 2]);
    assert_eq!(page(&operator, "/api/v1/calls?state=ended").await.calls, Vec::<CallRecord>::new());
    assert_eq!(page(&operator, "/api/v1/calls?state=dialing&limit=65535").await.calls.len(), 5);
}

async fn page(operator: &Operator, path: &str) -> Page {
    let (status, body) = operator.get(path).await;
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).expect("a page")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_shown_whole_and_what_is_no_call_is_told_apart_from_nonsense() {
    let house = House::open().await;
    house.call(SHORT).await;
    let kept = house.ended().await;
    let operator = Operator::of(&house);
    let (status, body) = operator.get(&format!("/api/v1/calls/{}?unmasked=true", kept.call.id)).await;
    let shown: CallDetail = serde_json::from_str(&body).expect("a call");
    assert_eq!((status, shown.call, shown.lines), (200, kept.call, kept.lines));

    let unknown = CallId::new(SystemClock.now(), [7; 10]);
    assert_eq!(operator.get(&format!("/api/v1/calls/{unknown}")).await.0, 404);
    for path in [
        "/api/v1/calls/nonsense",
        "/api/v1/calls/%00%ff",
        "/api/v1/calls?after=nonsense",
        "/api/v1/calls?limit=-1",
        "/api/v1/calls?limit=65536",
        "/api/v1/calls?state=asleep",
        "/api/v1/calls?colour=red",
    ] {
        assert_eq!(operator.get(path).await.0, 400, "{path}");
    }
    assert_eq!(operator.get("/api/v2/calls").await.0, 404);

    let hang_up = |id: &str| format!("/api/v1/calls/{id}/hangup");
    for (id, expected) in [(unknown.to_string().as_str(), 404), ("nonsense", 400)] {
        assert_eq!(operator.ask(Method::POST, &hang_up(id), "").await.0, expected, "{id}");
    }
    assert_eq!(operator.get(&hang_up("nonsense")).await.0, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_gateway_over_one_data_directory_does_not_start() {
    let house = House::open().await;
    let (_world, config) = prepare(Plan::default(), house.data.path()).await;
    let started = Gateway::start(config, Arc::new(SystemClock), Entropy::seeded(8)).await;
    let error = started.err().expect("one process at a time").to_string();
    let expected = format!(
        "the data directory {} is in use by another process: stop it, or set another `store.path`",
        house.data.path().display()
    );
    assert_eq!(error, expected);
    let provider = house.call(SHORT).await.provider.expect("the first one is not harmed");
    assert_eq!(provider.accepted, 1);
}
