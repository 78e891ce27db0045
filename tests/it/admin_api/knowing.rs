//! What each role knows of calls, and that every reading is in the audit log.

use reqwest::Method;
use switchboard::http::{ENDPOINTS, Role};

use super::Office;
use crate::harness::{CALLEE, CALLER};

pub const TALK: &str = r#"steps = [
    { model = { says = "はい。" } },
    { caller = { says = "在庫はありますか。" } },
    { model = { says = "ございます。" } },
    { hang_up = "caller" },
]"#;

#[tokio::test(flavor = "multi_thread")]
async fn words_are_for_listeners_and_numbers_for_those_who_ask_for_them() {
    let office = Office::open("").await;
    office.house.call(TALK).await;
    let kept = office.house.ended().await;
    let id = kept.call.id;
    let (path, unmasked) = (format!("/calls/{id}"), format!("/calls/{id}?unmasked=true"));

    let viewed = office.get(Role::Viewer, &path).await;
    assert_eq!(viewed["call"]["hidden"], true);
    assert_eq!(viewed["call"]["caller"], "+81•••••5678");
    assert_eq!(viewed["lines"].as_array().map(Vec::len), Some(kept.lines.len()));
    assert!(viewed["lines"].as_array().expect("lines").iter().all(|line| line["text"] == ""));
    let text = viewed.to_string();
    for secret in ["在庫", &CALLER[1..], &CALLEE[1..], "X-Switchboard-Token"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    // Nor by whatever other way.
    let ways = ENDPOINTS.iter().filter(|endpoint| endpoint.method == Method::GET);
    for way in ways.filter(|way| way.needs == Some(Role::Viewer) && way.path != "/events") {
        let text = office.get(Role::Viewer, &way.path.replace(":id", &id.to_string())).await.to_string();
        assert!(!text.contains("在庫") && !text.contains(&CALLER[1..]), "{}: {text}", way.path);
    }
    assert_eq!(office.ask(Role::Viewer, Method::GET, &unmasked, "").await.0, 403);
    assert_eq!(office.ask(Role::Viewer, Method::GET, "/calls?text=x", "").await.0, 403);
    assert!(!office.audit().await.iter().any(|entry| entry.contains("call.read")), "no words were read");

    for role in [Role::Listener, Role::Operator, Role::Admin] {
        let heard = office.get(role, &path).await;
        assert_eq!((&heard["call"]["hidden"], &heard["call"]["masked"]), (&false.into(), &true.into()));
        assert!(heard["lines"].to_string().contains("在庫"));
        assert!(!heard["call"].to_string().contains(&CALLER[1..]), "{}", heard["call"]);
    }
    let whole = office.get(Role::Listener, &unmasked).await;
    assert_eq!((&whole["call"]["caller"], &whole["call"]["masked"]), (&CALLER.into(), &false.into()));
    let again = office.get(Role::Listener, &unmasked).await;
    assert_eq!(again, whole);

    let readings: Vec<String> =
        office.audit().await.into_iter().filter(|entry| entry.contains("call.read")).collect();
    let expected = ["the-listener", "the-operator", "the-admin"].map(|who| format!("{who} call.read masked"));
    assert_eq!(readings[..3], expected);
    assert_eq!(readings[3..], ["the-listener call.read unmasked"], "twice within a minute is once");
    let page = office.get(Role::Admin, "/audit").await.to_string();
    assert!(!page.contains(&CALLER[1..]) && page.contains(&id.to_string()) && page.contains("127.0.0.1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_found_by_whatever_is_known_of_them() {
    let office = Office::open("").await;
    office.house.call(TALK).await;
    office.house.ended().await;
    office.house.ask(&office.house.world.twilio.new_call_sid(), "+81312345670").await;
    let found = async |question: &str| {
        let page = office.get(Role::Listener, &format!("/calls?{question}")).await;
        page["calls"].as_array().expect("calls").len()
    };
    for (question, count) in [
        ("", 2),
        ("route=all", 2),
        ("route=none", 0),
        ("outcome=caller_hangup", 1),
        ("outcome=transferred", 0),
        ("text=%E5%9C%A8%E5%BA%AB", 1),
        ("text=nothing", 0),
        ("tool=transfer", 0),
        ("path=none", 0),
        ("number=%2B81312345670&state=dialing", 1),
        ("number=%2B81312345670&state=ended", 0),
        ("since=2026-01-01T00:00:00Z", 2),
        ("until=2026-01-01T00:00:00Z", 0),
    ] {
        assert_eq!(found(question).await, count, "{question}");
    }
    for bad in ["since=yesterday", "path=air", "colour=red", "unmasked=perhaps"] {
        let (status, refused) = office.ask(Role::Listener, Method::GET, &format!("/calls?{bad}"), "").await;
        assert_eq!((status, &refused["error"]["code"]), (400, &"bad_request".into()), "{bad}");
    }
}
