//! Events as they happen: what each role sees of them, and that nobody misses any.

use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::Value;
use switchboard::http::{API, Role};
use switchboard::sim::twilio::CallerSetup;

use super::Office;
use crate::harness::{CALLEE, CALLER, SHORT, script};

/// Somebody who watches.
struct Watcher {
    response: Response,
    unread: String,
}

#[derive(Debug)]
struct Event {
    id: String,
    name: String,
    data: Value,
}

impl Watcher {
    async fn of(office: &Office, role: Role, question: &str, last: Option<&str>) -> Watcher {
        let somebody = office.anybody(role);
        let path = format!("{API}/events{question}");
        let mut request = somebody.request(Method::GET, &path).bearer_auth(&somebody.token);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Watcher { response, unread: String::new() }
    }

    async fn next(&mut self) -> Event {
        loop {
            if let Some((event, rest)) = self.unread.split_once("\n\n") {
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
                let read = field("event: ").map(|name| Event {
                    id: field("id: ").unwrap_or_default().to_owned(),
                    name: name.to_owned(),
                    data: serde_json::from_str(field("data: ").unwrap_or("null")).expect("JSON"),
                });
                self.unread = rest.to_owned();
                match read {
                    Some(event) => return event,
                    None => continue,
                }
            }
            let piece = tokio::time::timeout(Duration::from_secs(30), self.response.chunk()).await;
            let piece = piece.expect("something happens").expect("a connection").expect("more");
            self.unread.push_str(std::str::from_utf8(&piece).expect("UTF-8"));
        }
    }

    /// Everything up to the one that is so, which is the last.
    async fn until(&mut self, is_so: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let event = self.next().await;
            let is_last = is_so(&event);
            events.push(event);
            if is_last {
                return events;
            }
        }
    }
}

fn is_end(event: &Event) -> bool {
    event.name == "call" && event.data["state"] == "ended"
}

fn named<'a>(events: &'a [Event], name: &str) -> Vec<&'a Event> {
    events.iter().filter(|event| event.name == name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_watch_see_a_call_as_it_happens_and_miss_nothing() {
    let office = Office::open("").await;
    let mut listener = Watcher::of(&office, Role::Listener, "?unmasked=true", None).await;
    let mut viewer = Watcher::of(&office, Role::Viewer, "", None).await;
    assert_eq!(listener.next().await.name, "hello");
    let hello = viewer.next().await;
    office.house.call(SHORT).await;
    let seen = listener.until(is_end).await;
    let calls = named(&seen, "call");
    assert_eq!((&calls[0].data["state"], &calls[0].data["caller"]), (&"dialing".into(), &CALLER.into()));
    assert!(calls.iter().any(|call| call.data["state"] == "live"));
    let lines = named(&seen, "line");
    assert!(lines.iter().any(|line| line.data["line"]["text"] == "はい。"), "{lines:?}");
    let speaking = named(&seen, "speaking");
    assert!(speaking.iter().any(|event| event.data["assistant"] == true), "{seen:?}");
    assert!(!named(&seen, "happened").is_empty() && !named(&seen, "usage").is_empty());

    let masked = viewer.until(is_end).await;
    for event in &masked {
        let text = event.data.to_string();
        assert!(!text.contains("はい") && !text.contains("9012345678"), "{event:?}");
    }
    let call = named(&masked, "call")[0];
    assert_eq!((&call.data["caller"], &call.data["hidden"]), (&"+81•••••5678".into(), &true.into()));
    assert!(named(&masked, "growing").is_empty());

    // The same again from the beginning, and from the middle, by whoever lost the connection.
    let durable = |events: &[Event]| {
        let news = events.iter().filter(|event| event.name != "growing" && event.name != "hello");
        news.map(|event| event.id.clone()).collect::<Vec<_>>()
    };
    let mut again = Watcher::of(&office, Role::Listener, "?unmasked=true", Some(&hello.id)).await;
    assert_eq!(again.next().await.name, "hello");
    assert_eq!(durable(&again.until(is_end).await), durable(&seen));
    let middle = seen[seen.len() / 2].id.clone();
    let mut rest =
        Watcher::of(&office, Role::Listener, &format!("?unmasked=true&after={middle}"), None).await;
    rest.next().await;
    let rest = durable(&rest.until(is_end).await);
    assert_eq!(rest, durable(&seen[seen.len() / 2 + 1..]));

    let mut lost = Watcher::of(&office, Role::Viewer, "", Some("another-7")).await;
    assert_eq!(lost.next().await.name, "reset");

    let id = calls[0].data["id"].as_str().expect("an id").to_owned();
    let mut other = Watcher::of(&office, Role::Viewer, &format!("?call={id}"), None).await;
    other.next().await;
    let (status, _) = office.ask(Role::Admin, Method::DELETE, &format!("/calls/{id}"), "").await;
    assert_eq!(status, 200);
    assert_eq!(
        other.until(|event| event.name == "gone").await.last().map(|gone| &gone.data["call"]),
        Some(&id.into())
    );
    let audit = office.audit().await;
    assert!(audit.contains(&"the-listener events.watch unmasked".to_owned()), "{audit:#?}");
    // Nobody who watches is waited for.
    office.house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_while_somebody_speaks_is_told_so() {
    const LONG_WORDS: &str = r#"steps = [
        { model = { says = "はい。" } },
        { caller = { says = "もしもし", for_ms = 600000 } },
        { hang_up = "gateway" },
    ]"#;
    let office = Office::open("").await;
    let watching = async {
        let mut first = Watcher::of(&office, Role::Viewer, "", None).await;
        let speaks = |event: &Event| event.name == "speaking" && event.data["caller"] == true;
        let id = first.until(speaks).await.last().expect("the caller speaks").data["call"].clone();
        for question in
            ["".to_owned(), format!("?call={}", id.as_str().expect("an id")), "?after=x".to_owned()]
        {
            let mut late = Watcher::of(&office, Role::Viewer, &question, None).await;
            let begin = late.next().await;
            let told = late.next().await;
            assert!(told.name == "speaking" && told.id == begin.id, "{begin:?} {told:?}");
            let expected = serde_json::json!({ "call": id, "caller": true, "assistant": false });
            assert_eq!(told.data, expected);
        }
        let hang_up = format!("/calls/{}/hangup", id.as_str().expect("an id"));
        assert_eq!(office.ask(Role::Operator, Method::POST, &hang_up, "").await.0, 202);
        first.until(is_end).await;
        let mut late = Watcher::of(&office, Role::Viewer, "", None).await;
        late.next().await;
        let (status, _) = office.ask(Role::Admin, Method::DELETE, &hang_up.replace("/hangup", ""), "").await;
        assert_eq!(status, 200);
        let told = late.until(|event| event.name == "gone").await;
        assert!(named(&told, "speaking").is_empty(), "nobody speaks any more: {told:?}");
    };
    let playing = office.house.play(CallerSetup::new(CALLER, CALLEE, script(LONG_WORDS)));
    tokio::join!(playing, watching);
    office.house.close().await;
}
