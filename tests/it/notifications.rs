//! Other systems are told of calls: a receiver over a real socket that checks every signature for itself, and everything
//! that can go wrong between it and the gateway.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use switchboard::call::notification::{Kind, Notification, NotificationState, RETRIES};
use switchboard::call::record::FORMAT;
use switchboard::call_control::erasing::Erased;
use switchboard::call_control::notifications::WAITING_MAX;
use switchboard::clock::{Clock, SystemClock, Timestamp};
use switchboard::ids::{CallId, NotificationId};
use switchboard::store::{ErasedBy, Expect, Settings, Store, StoreError, Tx, Write};

use crate::backend::{Asked, Backend, Manner, Reply};
use crate::cli::SERVED;
use crate::harness::{CALLEE, CALLER, CONFIG, House, Operator, Plan, SHORT, eventually};
use crate::recordings;

const DAY: Duration = Duration::from_secs(86_400);
/// 32 bytes each.
const SECRET: &str = "whsec_c3dpdGNoYm9hcmQtdGVzdC1zaWduaW5nLWtleS0wMQ==";
const NEXT_SECRET: &str = "whsec_c3dpdGNoYm9hcmQtdGVzdC1zaWduaW5nLWtleS0wMg==";

/// A clock that goes like the machine's, and can be put forward.
#[derive(Default)]
pub struct Ahead(AtomicU64);

impl Ahead {
    pub fn leap(&self, span: Duration) {
        self.0.fetch_add(span.as_micros() as u64, Ordering::SeqCst);
    }
}

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        SystemClock.now() + Duration::from_micros(self.0.load(Ordering::SeqCst))
    }

    fn elapsed(&self) -> Duration {
        SystemClock.elapsed()
    }
}

/// An endpoint of this name.
pub fn endpoint(name: &str, receiver: &Backend, more: &str) -> String {
    let url = receiver.url(&format!("/{name}?from=switchboard"));
    format!("\n[notifications.{name}]\nurl = \"{url}\"\nsecrets = \"{SECRET}\"\n{more}\n")
}

/// The shop without its plugin, and these endpoints.
fn shop(endpoints: &str) -> String {
    format!("{}{endpoints}", CONFIG.split("[plugins").next().unwrap_or_default())
}

async fn house(endpoints: &str) -> House {
    House::with(Plan { config: shop(endpoints), ..Plan::default() }).await
}

async fn house_ahead(endpoints: &str) -> (House, Arc<Ahead>) {
    let clock = Arc::new(Ahead::default());
    let plan =
        Plan { config: shop(endpoints), clock: Arc::clone(&clock) as Arc<dyn Clock>, ..Plan::default() };
    (House::with(plan).await, clock)
}

/// Claims that the holder of `secret` signed this request, by what the standard says and not by our own code.
fn is_signed(asked: &Asked, secret: &str) -> bool {
    let header = |name: &str| asked.header(name).unwrap_or_else(|| panic!("no {name}: {asked:?}"));
    let key = STANDARD.decode(secret.strip_prefix("whsec_").expect("a secret")).expect("base64");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key");
    mac.update(format!("{}.{}.{}", header("webhook-id"), header("webhook-timestamp"), asked.body).as_bytes());
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    header("webhook-signature").split(' ').any(|signature| signature == expected)
}

fn id(asked: &Asked) -> &str {
    asked.header("webhook-id").expect("an id")
}

fn body(asked: &Asked) -> Value {
    serde_json::from_str(&asked.body).expect("JSON")
}

fn kinds(asked: &[Asked]) -> Vec<String> {
    asked.iter().map(|asked| body(asked)["type"].as_str().expect("a type").to_owned()).collect()
}

/// What a receiver was told, once it was told so much.
async fn told(receiver: &Backend, count: usize) -> Vec<Asked> {
    let told = eventually("it is told", || async {
        let asked = receiver.asked();
        (asked.len() >= count).then_some(asked)
    })
    .await;
    assert_eq!(told.len(), count, "{:#?}", kinds(&told));
    told
}

async fn counted(house: &House, endpoint: &str, outcome: &str, count: usize) {
    let name = format!(r#"switchboard_notifications_total{{endpoint="{endpoint}",outcome="{outcome}"}}"#);
    recordings::is_metric(house, &name, count as f64).await;
}

/// What operators see.
async fn listed(house: &House, question: &str) -> Value {
    let (status, text) = Operator::of(house).get(&format!("/api/v1/notifications{question}")).await;
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).expect("JSON")
}

async fn resend(house: &House, path: &str) -> (u16, Value) {
    let path = format!("/api/v1/notifications{path}");
    let (status, text) = Operator::of(house).ask(Method::POST, &path, "").await;
    (status, serde_json::from_str(&text).expect("JSON"))
}

// === what is told ===

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_told_signed_and_without_words_and_whole_numbers() {
    let receiver = Backend::answering(204, "").await;
    let config = format!("{}{}", recordings::config(""), endpoint("crm", &receiver, ""));
    let house = House::with(Plan { config, ..Plan::default() }).await;
    let talk = r#"steps = [
        { model = { says = "はい、さくら商店です。" } },
        { caller = { says = "もしもし", for_ms = 2000 } },
        { hang_up = "caller" },
    ]"#;
    house.call(talk).await;
    let (detail, record) = recordings::recording(&house, recordings::kept).await;
    let told = told(&receiver, 4).await;
    counted(&house, "crm", "delivered", 4).await;
    let names: BTreeSet<String> = kinds(&told).into_iter().collect();
    assert_eq!(names, Kind::ALL.map(|kind| kind.as_str().to_owned()).into());
    assert_eq!(told.iter().map(id).collect::<BTreeSet<_>>().len(), 4, "an id each");
    for asked in &told {
        assert!(is_signed(asked, SECRET) && !is_signed(asked, NEXT_SECRET), "{asked:?}");
        assert_eq!(asked.line(), "POST /crm?from=switchboard");
        assert_eq!(asked.header("content-type"), Some("application/json"));
        assert!(id(asked).starts_with("msg_"), "{}", id(asked));
        for private in [&CALLER[1..], &CALLEE[1..], "さくら", "もしもし", "録音"] {
            assert!(!asked.body.contains(private), "{private} in {}", asked.body);
        }
        let body = body(asked);
        let at: Timestamp = body["timestamp"].as_str().expect("a time").parse().expect("RFC 3339");
        assert!(
            detail.call.stages.began().is_some_and(|began| began <= at + Duration::from_millis(1)),
            "{at}"
        );
        let call = &body["data"]["call"];
        assert_eq!(call["id"], json!(detail.call.id));
        assert_eq!((&call["caller"], &call["masked"]), (&json!("+81•••••5678"), &json!(true)));
    }
    let of = |kind: Kind| {
        let found = told.iter().map(body).find(|body| body["type"] == kind.as_str());
        found.expect("told")["data"].clone()
    };
    assert_eq!(of(Kind::CallStarted)["call"]["state"], "dialing");
    assert_eq!(of(Kind::CallEnded)["call"]["ended"]["reason"], "caller_hangup");
    let lines = of(Kind::TranscriptReady)["lines"].as_array().expect("lines").clone();
    assert_eq!(lines.len(), detail.lines.len());
    assert!(lines.iter().all(|line| line["text"] == "" && line["speaker"].is_string()), "{lines:#?}");
    let ready = of(Kind::RecordingReady)["recording"].clone();
    assert_eq!(ready, json!(detail.recordings[0]));
    assert_eq!((&ready["sha256"], &ready["state"]), (&json!(record.sha256), &json!("kept")));
    let nothing = listed(&house, "").await;
    assert_eq!(nothing["notifications"], json!([]), "what was taken is not kept");
    assert_eq!(nothing["endpoints"][0]["name"], "crm");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_endpoint_is_told_what_it_wants_and_may_have_with_both_secrets_while_one_is_rotated() {
    let receiver = Backend::answering(200, "{}").await;
    let own = endpoint("own", &receiver, "content = true")
        .replace(&format!("secrets = \"{SECRET}\""), &format!("secrets = [\"{NEXT_SECRET}\", \"{SECRET}\"]"));
    let house = house(&format!("{own}{}", endpoint("bill", &receiver, "events = [\"call.*\"]"))).await;
    house.call(SHORT).await;
    let told = told(&receiver, 5).await;
    let (own, bill): (Vec<Asked>, Vec<Asked>) =
        told.into_iter().partition(|asked| asked.target.starts_with("/own"));
    assert_eq!(kinds(&bill), ["call.started", "call.ended"]);
    let ids: BTreeSet<&str> = own.iter().map(id).collect();
    assert!(bill.iter().all(|asked| ids.contains(id(asked))), "one event has one id");
    assert!(bill.iter().all(|asked| !asked.body.contains(&CALLER[1..])));
    for asked in &own {
        assert!(is_signed(asked, SECRET) && is_signed(asked, NEXT_SECRET), "{asked:?}");
        assert_eq!(body(asked)["data"]["call"]["caller"], CALLER);
    }
    let transcript = own.iter().map(body).find(|body| body["type"] == "transcript.ready").expect("told");
    assert_eq!(transcript["data"]["lines"][0]["text"], "はい。");
    assert_eq!(transcript["data"]["lines_left_out"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_is_turned_away_begins_and_ends_too() {
    let receiver = Backend::answering(200, "").await;
    let config = format!("{}\n[[routes]]\nname = \"no\"\nreject = 603\n", endpoint("crm", &receiver, ""));
    let config = shop(&config).replace("[[routes]]\nname = \"all\"\nsession = \"shop\"\n", "");
    let house = House::with(Plan { config, ..Plan::default() }).await;
    house.ask("CA00000000000000000000000000000001", CALLER).await;
    let told = told(&receiver, 2).await;
    let names: BTreeSet<String> = kinds(&told).into_iter().collect();
    assert_eq!(names, ["call.ended", "call.started"].map(str::to_owned).into());
    assert_eq!(body(&told[0])["data"]["call"]["ended"]["reason"], "rejected");
}

// === tries ===

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_taken_is_tried_again_by_the_schedule_with_the_same_id() {
    // A failure, a redirect, a broken connection, and an answer that is far too long, but well.
    let receiver = Backend::start(|_, before| match before {
        0 => Reply::new(500, "no"),
        1 => Reply::new(307, "").header("location", "/elsewhere"),
        2 => Reply::new(200, "").manner(Manner::Closed),
        3 => Reply::new(503, "").header("retry-after", "7200"),
        _ => Reply::new(200, &"x".repeat(100_000)),
    })
    .await;
    let (house, clock) = house_ahead(&endpoint("crm", &receiver, "events = [\"call.ended\"]")).await;
    house.call(SHORT).await;
    for (tries, pause) in RETRIES.iter().take(3).enumerate() {
        counted(&house, "crm", "failed", tries + 1).await;
        assert_eq!(told(&receiver, tries + 1).await.len(), tries + 1, "not before its time");
        clock.leap(*pause * 110 / 100);
    }
    counted(&house, "crm", "failed", 4).await;
    let waiting = listed(&house, "").await["notifications"][0].clone();
    assert_eq!((&waiting["tries"], &waiting["state"]), (&json!(4), &json!("waiting")));
    assert_eq!(waiting["problem"], "status 503");
    assert_eq!(waiting["type"], "call.ended");
    assert!(waiting.get("data").is_none(), "{waiting}");
    // Two hours were asked for, and the schedule says about as much: no less than that.
    let next = Timestamp::from_micros(waiting["next"].as_u64().expect("a time"));
    let pause = next.since(clock.now());
    assert!((Duration::from_secs(7_100)..=RETRIES[3] * 110 / 100).contains(&pause), "{pause:?}");
    clock.leap(RETRIES[3] * 110 / 100);
    let told = told(&receiver, 5).await;
    counted(&house, "crm", "delivered", 1).await;
    assert!(told.iter().all(|asked| is_signed(asked, SECRET) && asked.target.starts_with("/crm")));
    assert_eq!(told.iter().map(id).collect::<BTreeSet<_>>().len(), 1);
    assert_eq!(told.iter().map(|asked| &asked.body).collect::<BTreeSet<_>>().len(), 1);
    let times: BTreeSet<_> = told.iter().map(|asked| asked.header("webhook-timestamp")).collect();
    assert_eq!(times.len(), 5, "each try is signed when it is sent");
    assert_eq!(house.metric(r#"switchboard_notifications_waiting{endpoint="crm"}"#), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_does_not_answer_delays_no_other_and_no_call() {
    let silent = Backend::start(|_, _| Reply::new(200, "").manner(Manner::Silent)).await;
    let receiver = Backend::answering(200, "").await;
    let slow = endpoint("slow", &silent, "");
    let house = house(&format!("{slow}{}", endpoint("crm", &receiver, ""))).await;
    for _ in 0..3 {
        house.call(SHORT).await;
    }
    told(&receiver, 9).await;
    counted(&house, "crm", "delivered", 9).await;
    let waiting = r#"switchboard_notifications_waiting{endpoint="slow"}"#;
    recordings::is_metric(&house, waiting, 9.0).await;
    assert!(house.metric(r#"switchboard_notifications_oldest_seconds{endpoint="slow"}"#) > 0.0);
    assert_eq!(silent.asked().len(), 4, "so many at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_takes_becomes_a_dead_letter_and_can_be_sent_again() {
    let taken_from = Arc::new(AtomicUsize::new(usize::MAX));
    let from = Arc::clone(&taken_from);
    let receiver = Backend::start(move |_, before| {
        Reply::new(if before >= from.load(Ordering::SeqCst) { 200 } else { 500 }, "")
    })
    .await;
    let (house, clock) = house_ahead(&endpoint("crm", &receiver, "events = [\"call.ended\"]")).await;
    house.call(SHORT).await;
    for (tries, pause) in RETRIES.iter().enumerate() {
        counted(&house, "crm", "failed", tries + 1).await;
        clock.leap(*pause * 110 / 100);
    }
    counted(&house, "crm", "dead", 1).await;
    recordings::is_metric(&house, "switchboard_notifications_dead", 1.0).await;
    clock.leap(DAY);
    let dead = listed(&house, "?state=dead").await["notifications"].clone();
    assert_eq!((&dead[0]["tries"], &dead[0]["next"]), (&json!(10), &Value::Null));
    assert_eq!(listed(&house, "?state=waiting").await["notifications"], json!([]));
    assert_eq!(listed(&house, "?endpoint=other").await["notifications"], json!([]));
    let first = told(&receiver, 10).await[0].clone();

    let (admin, data) = (house.gateway.admin.to_string(), house.data.path());
    let (said, code) = switchboard_at(&admin, data, &["notifications", "ls", "--state", "dead"]);
    assert!(code == Some(0) && said.contains(id(&first)) && said.contains("status 500"), "{said}");
    let words = ["notifications", "resend", "--all", "--endpoint", "other"];
    let (said, code) = switchboard_at(&admin, data, &words);
    assert!(code == Some(1) && said.contains("[notifications.other]"), "{said}");
    assert_eq!(resend(&house, "/msg_1/resend").await.0, 404);
    assert_eq!(resend(&house, "/resend?endpoint=other").await.0, 404);
    taken_from.store(10, Ordering::SeqCst);
    let (status, again) = resend(&house, &format!("/{}/resend", id(&first))).await;
    assert_eq!((status, &again["notifications"][0]["state"]), (200, &json!("waiting")));
    let last = told(&receiver, 11).await[10].clone();
    counted(&house, "crm", "delivered", 1).await;
    assert!(is_signed(&last, SECRET));
    assert_eq!((id(&last), &last.body), (id(&first), &first.body));
    assert_eq!(listed(&house, "").await["notifications"], json!([]));
    let (status, none) = resend(&house, "/resend").await;
    assert_eq!((status, &none["notifications"]), (200, &json!([])));
    let audit = Operator::of(&house).get("/api/v1/audit").await.1;
    assert!(audit.contains("notifications.resend") && audit.contains(id(&first)), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_gone_is_left_alone_until_the_configuration_is_loaded_again() {
    let receiver = Backend::start(|_, before| Reply::new(if before == 0 { 410 } else { 200 }, "")).await;
    let house = house(&endpoint("crm", &receiver, "events = [\"call.ended\"]")).await;
    house.call(SHORT).await;
    counted(&house, "crm", "dead", 1).await;
    recordings::is_metric(&house, r#"switchboard_notifications_disabled{endpoint="crm"}"#, 1.0).await;
    house.call(SHORT).await;
    recordings::is_metric(&house, r#"switchboard_notifications_waiting{endpoint="crm"}"#, 1.0).await;
    let list = listed(&house, "").await;
    assert_eq!(
        (&list["endpoints"][0]["disabled"], &list["endpoints"][0]["waiting"]),
        (&json!(true), &json!(1))
    );
    let admin = house.gateway.admin.to_string();
    let (said, code) = switchboard_at(&admin, house.data.path(), &["notifications", "ls"]);
    assert!(code == Some(0) && said.contains("`crm` answered 410 Gone"), "{said}");
    assert_eq!(told(&receiver, 1).await.len(), 1);

    let (_, config) = crate::harness::prepare(
        Plan { config: shop(&endpoint("crm", &receiver, "events = [\"call.ended\"]")), ..Plan::default() },
        house.data.path(),
    )
    .await;
    house.gateway.control().set_notifications(&config.notifications);
    counted(&house, "crm", "delivered", 1).await;
    assert_eq!(told(&receiver, 2).await.len(), 2);
    assert_eq!(listed(&house, "").await["endpoints"][0]["disabled"], false);

    // One that is not in the configuration any more: what waits for it is dead, and can be sent nowhere.
    house.gateway.control().set_notifications(&Default::default());
    house.call(SHORT).await;
    assert_eq!(listed(&house, "?state=waiting").await["notifications"], json!([]));
    assert_eq!(resend(&house, "/resend").await.1["notifications"], json!([]));
}

// === what is kept ===

/// One that waits for long.
fn row(n: usize, endpoint: &str) -> Notification {
    let at = Timestamp::from_secs(1_795_000_000) + Duration::from_millis(n as u64);
    Notification {
        v: FORMAT,
        id: NotificationId::new(at, [0; 10]),
        endpoint: endpoint.to_owned(),
        kind: Kind::CallEnded,
        at,
        call: CallId::new(at, [0; 10]),
        state: NotificationState::Waiting,
        tries: 1,
        next: Some(SystemClock.now() + DAY),
        problem: None,
        content: false,
        data: Default::default(),
    }
}

async fn prepared(rows: impl Iterator<Item = Notification>) -> tempfile::TempDir {
    let data = tempfile::tempdir().expect("a folder");
    let settings = Settings { free_bytes_min: 0, ..Settings::at(data.path()) };
    let (store, _) = Store::open(&settings, Arc::new(SystemClock)).expect("a store");
    let writes: Vec<Write> = rows.map(|row| Write::Notification(Box::new(row))).collect();
    for some in writes.chunks(2_000) {
        store.commit(Tx { expect: Vec::new(), writes: some.to_vec() }).await.expect("kept");
    }
    store.close().await.expect("closed");
    data
}

#[tokio::test(flavor = "multi_thread")]
async fn where_too_much_waits_the_newest_is_not_taken_and_counted() {
    let receiver = Backend::answering(200, "").await;
    let data = prepared((0..WAITING_MAX).map(|n| row(n, "full"))).await;
    let full = endpoint("full", &receiver, "");
    let config = shop(&format!("{full}{}", endpoint("crm", &receiver, "")));
    let house = House::at(Plan { config, ..Plan::default() }, data).await;
    let waiting = r#"switchboard_notifications_waiting{endpoint="full"}"#;
    recordings::is_metric(&house, waiting, WAITING_MAX as f64).await;
    house.call(SHORT).await;
    counted(&house, "full", "dropped", 3).await;
    counted(&house, "crm", "delivered", 3).await;
    assert_eq!(house.metric(waiting), WAITING_MAX as f64);
    assert!(told(&receiver, 3).await.iter().all(|asked| asked.target.starts_with("/crm")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_an_endpoint_that_is_no_more_is_dead_and_old_dead_letters_go() {
    let receiver = Backend::answering(200, "").await;
    // Of calls that began in November 2026; the clock is put far beyond.
    let data = prepared((0..100).map(|n| row(n, "former"))).await;
    let clock = Arc::new(Ahead::default());
    let plan = Plan {
        config: shop(&endpoint("crm", &receiver, "")),
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        ..Plan::default()
    };
    let house = House::at(plan, data).await;
    recordings::is_metric(&house, "switchboard_notifications_dead", 100.0).await;
    let list = listed(&house, "?limit=1000").await["notifications"].clone();
    assert_eq!(list.as_array().map(Vec::len), Some(100));
    assert_eq!(list[0]["problem"], "the configuration has no such endpoint");
    clock.leap(60 * DAY);
    // Another configuration is a reason to look.
    house.gateway.control().set_notifications(&Default::default());
    recordings::is_metric(&house, "switchboard_notifications_dead", 0.0).await;
    assert_eq!(listed(&house, "").await["notifications"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_and_what_is_dead_goes_with_its_call() {
    let receiver =
        Backend::start(|asked, _| Reply::new(if asked.target.starts_with("/gone") { 410 } else { 500 }, ""))
            .await;
    let endpoints = endpoint("crm", &receiver, "content = true") + &endpoint("gone", &receiver, "");
    let (house, clock) = house_ahead(&endpoints).await;
    house.call(SHORT).await;
    let call = house.ended().await.call.id;
    counted(&house, "crm", "failed", 3).await;
    let dead = r#"switchboard_notifications_total{endpoint="gone",outcome="dead"}"#;
    eventually("some are dead", || async { (house.metric(dead) >= 1.0).then_some(()) }).await;
    let before = listed(&house, "").await["notifications"].as_array().map(Vec::len);
    assert_eq!(before, Some(6));
    let erased = house.gateway.control().erase_call(call, ErasedBy::Operator).await.expect("erased");
    assert!(matches!(erased, Erased::Gone(_)), "{erased:?}");
    assert_eq!(listed(&house, "").await["notifications"], json!([]));
    recordings::is_metric(&house, r#"switchboard_notifications_waiting{endpoint="crm"}"#, 0.0).await;
    // A try that comes to its end only now puts nothing back.
    let late = Notification { call, ..row(1, "crm") };
    let tx = Tx { expect: vec![Expect::NotErased(call)], writes: vec![Write::Notification(Box::new(late))] };
    let refused = house.gateway.control().store().commit(tx).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
    let asked = receiver.asked().len();
    clock.leap(DAY);
    house.call(SHORT).await;
    eventually("the next call is told", || async { (receiver.asked().len() >= asked + 3).then_some(()) })
        .await;
    let later = receiver.asked().split_off(asked);
    assert!(later.iter().all(|asked| body(asked)["data"]["call"]["id"] != json!(call)), "{later:#?}");
}

/// Runs a command against this data directory, whose endpoint is `crm`.
fn switchboard(data: &std::path::Path, words: &[&str]) -> (String, Option<i32>) {
    switchboard_at("127.0.0.1:9", data, words)
}

/// The same with the gateway that has it, should one run, at this address.
fn switchboard_at(admin: &str, data: &std::path::Path, words: &[&str]) -> (String, Option<i32>) {
    let folder = tempfile::tempdir().expect("a folder");
    let rest = format!(
        "[admin]\nlisten = \"{admin}\"\n\n[store]\npath = \"{}\"\n\n[notifications.crm]\nurl = \"https://crm.example.com/in\"\nsecrets = \"{SECRET}\"\n",
        data.display()
    );
    std::fs::write(folder.path().join("gateway.toml"), format!("{SERVED}\n{rest}")).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    let output = command.args(words).current_dir(folder.path()).env_clear().output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout) + &text(&output.stderr), output.status.code())
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_work_on_the_store_where_no_gateway_runs() {
    let mut dead = row(1, "crm");
    dead.bury();
    dead.problem = Some("status 500".to_owned());
    let id = dead.id.clone();
    let data = prepared([dead, row(2, "former")].into_iter()).await;
    let (said, code) = switchboard(data.path(), &["notifications", "ls"]);
    assert!(code == Some(0) && said.contains(id.as_str()) && said.contains("status 500"), "{said}");
    let words = ["notifications", "ls", "--state", "dead", "--endpoint", "crm", "--format", "json"];
    let (said, code) = switchboard(data.path(), &words);
    let list: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((code, &list["notifications"][0]["id"]), (Some(0), &json!(id)));
    assert_eq!(list["notifications"].as_array().map(Vec::len), Some(1));
    let (said, code) = switchboard(data.path(), &["notifications", "resend", "msg_1"]);
    assert!(code == Some(1) && said.contains("msg_1"), "{said}");
    let (said, code) = switchboard(data.path(), &["notifications", "resend", id.as_str()]);
    assert!(code == Some(0) && said.contains("is sent again to crm"), "{said}");
    let (said, _) = switchboard(data.path(), &["notifications", "ls", "--state", "dead"]);
    assert!(said.contains("no dead letters"), "{said}");

    let receiver = Backend::answering(200, "").await;
    let config = shop(&endpoint("crm", &receiver, ""));
    let house = House::at(Plan { config, ..Plan::default() }, data).await;
    assert_eq!(told(&receiver, 1).await[0].header("webhook-id"), Some(id.as_str()));
    drop(house);
}

// === what the page tells ===

/// The first program in this language on the page.
fn on_the_page(language: &str) -> &'static str {
    let page = include_str!("../../docs/notifications.md");
    let code = page.split(&format!("```{language}\n")).nth(1).and_then(|rest| rest.split("```").next());
    code.expect("a program")
}

/// A receiver of the page, in a process of its own; none where its language is not here.
fn receiver_of_the_page(language: &str, command: &str) -> Option<(Child, BufReader<ChildStdout>, String)> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("receiver");
    std::fs::write(&file, on_the_page(language)).expect("a file");
    let spawned = Command::new(command)
        .arg(&file)
        .env("PORT", "0")
        .env("WEBHOOK_SECRET", SECRET)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = spawned else {
        eprintln!("skipped: `{command}` is not here");
        return None;
    };
    let mut said = BufReader::new(child.stdout.take().expect("its words"));
    let mut line = String::new();
    said.read_line(&mut line).expect("a line");
    let port = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("{command}: {line}"));
    Some((child, said, format!("http://127.0.0.1:{port}/")))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_receivers_of_the_page_take_what_is_signed_and_nothing_else() {
    for (language, command) in [("python", "python3"), ("js", "node")] {
        let Some((mut child, mut said, url)) = receiver_of_the_page(language, command) else { continue };
        let right = format!(
            "\n[notifications.right]\nurl = \"{url}\"\nsecrets = [\"{NEXT_SECRET}\", \"{SECRET}\"]\n"
        );
        let wrong = format!("\n[notifications.wrong]\nurl = \"{url}\"\nsecrets = \"{NEXT_SECRET}\"\n");
        let house = house(&format!("{right}{wrong}")).await;
        house.call(SHORT).await;
        counted(&house, "right", "delivered", 3).await;
        counted(&house, "wrong", "failed", 3).await;
        let list = listed(&house, "").await["notifications"].clone();
        assert_eq!(list[0]["problem"], "status 401", "{command}");
        let call = house.ended().await.call.id;
        let _ = child.kill();
        let _ = child.wait();
        let mut lines = String::new();
        said.read_to_string(&mut lines).expect("its words");
        let told: BTreeSet<&str> = lines.lines().collect();
        let expected =
            ["call.started", "call.ended", "transcript.ready"].map(|kind| format!("{kind} {call}"));
        assert_eq!(told, expected.iter().map(String::as_str).collect(), "{command}");
    }
}
