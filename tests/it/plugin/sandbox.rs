//! Attacks: each is stopped at its limit, and a well-behaved call beside it is answered all the same.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use switchboard::call::record::ToolOutcomeKind;
use switchboard::clock::{Clock, SystemClock};
use switchboard::metrics::Metrics;
use switchboard::store;
use switchboard::tool::Toolbox;
use switchboard::tool::plugin::{
    Entry, Failure, Host, HostSettings, KeyPage, KeyValueError, KeyValueStore, Limits,
};
use tokio::sync::Semaphore;

use super::toolbox::{message, run, session};
use super::{AMPLE, Sink, call, call_with, from, guests_with, guests_within, load, load_over, settings};

/// So little time that a loop is soon stopped, in tests that need not finish anything in it.
const SHORT: Duration = Duration::from_millis(100);

fn small() -> Limits {
    Limits {
        memory_bytes: 8 << 20,
        time: AMPLE,
        output_bytes: 64 << 10,
        log_bytes: 16 << 10,
        concurrency: 16,
        ..Limits::default()
    }
}

/// A store whose `get` is answered once per permit of the test's.
struct Gate {
    entered: Semaphore,
    open: Semaphore,
}

impl Gate {
    fn closed() -> Arc<Gate> {
        Arc::new(Gate { entered: Semaphore::new(0), open: Semaphore::new(0) })
    }

    /// Until somebody stands before the gate.
    async fn entered(&self) {
        self.entered.acquire().await.expect("a gate").forget();
    }
}

type Kept<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, KeyValueError>> + Send + 'a>>;

impl KeyValueStore for Gate {
    fn get<'a>(&'a self, _: &'a str) -> Kept<'a, Option<Entry>> {
        Box::pin(async {
            self.entered.add_permits(1);
            self.open.acquire().await.expect("a gate").forget();
            Ok(None)
        })
    }

    fn put<'a>(&'a self, _: &'a str, _: Vec<u8>, _: Option<Duration>, _: Option<u64>) -> Kept<'a, u64> {
        Box::pin(async { Ok(1) })
    }

    fn delete<'a>(&'a self, _: &'a str) -> Kept<'a, bool> {
        Box::pin(async { Ok(false) })
    }

    fn list<'a>(&'a self, _: &'a str, _: Option<&'a str>, _: u32) -> Kept<'a, KeyPage> {
        Box::pin(async { Ok(KeyPage::default()) })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_attack_gets_its_failure_and_a_neighbour_is_answered() {
    let attacker = load(&guests_within(small())).await;
    let neighbour = load(&settings("test-guests")).await;
    for attack in [
        "spin",
        "spin_in_host",
        "eat_memory",
        "recurse",
        "trap",
        "huge_answer",
        "not_json",
        "flood_log",
        "fail_inside",
        "say_not_found",
        "say_too_much",
        "no_such_tool",
    ] {
        let time = if attack.starts_with("spin") { SHORT } else { AMPLE };
        let context = from(None);
        let attacking = attacker.call(&context, attack, "{}", time);
        let (attacked, answered) = tokio::join!(attacking, call_with(&neighbour, "echo", "{\"a\":1}"));
        assert_eq!(answered.as_deref(), Ok("{\"a\":1}"), "beside {attack}");
        let is_right = match (attack, &attacked) {
            ("spin" | "spin_in_host", Err(Failure::Timeout(time))) => *time == SHORT,
            ("eat_memory" | "huge_answer", Err(Failure::OutOfMemory(bytes))) => *bytes == 8 << 20,
            ("recurse", Err(Failure::OutOfStack(bytes))) => *bytes == 512 << 10,
            ("trap", Err(Failure::Trapped(words))) => words.contains("unreachable"),
            ("not_json", Err(Failure::BadOutput(_))) => true,
            ("flood_log", Ok(output)) => output == "true",
            ("fail_inside", Err(Failure::Internal(words))) => words == "the password is 1234",
            ("say_not_found", Err(Failure::NotFound(words))) => words == "no such order",
            ("say_too_much", Err(Failure::NotFound(words))) => words.len() == 500,
            ("no_such_tool", Err(Failure::UnknownTool(name))) => name == "no_such_tool",
            _ => false,
        };
        assert!(is_right, "{attack}: {attacked:?}");
    }
    assert_eq!(call(&attacker, "echo").await.as_deref(), Ok("{}"), "the plugin itself works as before");
}

#[tokio::test]
async fn an_answer_of_30_megabytes_is_refused_whole() {
    let plugin = load(&guests_within(Limits { memory_bytes: 256 << 20, ..small() })).await;
    let bytes_max = 64 << 10;
    assert_eq!(call(&plugin, "huge_answer").await, Err(Failure::TooLarge { bytes_max }));
    let longest = format!("\"{}\"", "x".repeat(bytes_max - 2));
    assert_eq!(call_with(&plugin, "echo", &longest).await.as_deref(), Ok(longest.as_str()));
}

#[tokio::test]
async fn a_guest_that_computes_lets_others_go_first_even_on_one_thread() {
    let plugin = load(&settings("test-guests")).await;
    let order = Mutex::new(Vec::new());
    let context = from(None);
    let spinning = async {
        let spun = plugin.call(&context, "spin", "{}", Duration::from_secs(1)).await;
        order.lock().unwrap().push("spin");
        spun
    };
    let answering = async {
        let answered = call(&plugin, "echo").await;
        order.lock().unwrap().push("echo");
        answered
    };
    let (spun, answered) = tokio::join!(spinning, answering);
    assert_eq!((spun, answered.is_ok()), (Err(Failure::Timeout(Duration::from_secs(1))), true));
    assert_eq!(*order.lock().unwrap(), ["echo", "spin"]);
}

#[tokio::test]
async fn a_loop_is_stopped_also_when_the_host_is_gone() {
    let host = Host::new(&HostSettings { instances_max: 2, ..HostSettings::default() }).expect("a machine");
    let kv = Arc::new(switchboard::tool::plugin::NothingKept);
    let plugin = host.load(&settings("test-guests"), Some(kv)).await.expect("a plugin");
    drop(host);
    let spun = plugin.call(&from(None), "spin", "{}", SHORT).await;
    assert_eq!(spun, Err(Failure::Timeout(SHORT)));
}

#[tokio::test]
async fn a_host_call_that_never_ends_is_stopped_too() {
    let gate = Gate::closed();
    let plugin = load_over(&guests_within(small()), gate).await;
    let waited = plugin.call(&from(None), "kv_get", "{}", SHORT).await;
    assert_eq!(waited, Err(Failure::Timeout(SHORT)));
    assert!(call(&plugin, "echo").await.is_ok());
}

#[tokio::test]
async fn every_call_has_an_instance_of_its_own() {
    let plugin = load(&settings("test-guests")).await;
    for _ in 0..3 {
        assert_eq!(call(&plugin, "leave_a_trace").await.as_deref(), Ok("1"));
    }
}

#[tokio::test]
async fn a_plugin_reads_its_own_config_and_what_it_may_know_of_the_call() {
    let plugin = load(&guests_with("greeting", "hello")).await;
    let known = call(&plugin, "context").await.expect("an answer");
    let known: String = serde_json::from_str(&known).expect("a text");
    assert_eq!(known, r#"Some("+819012345678") Some("ja") Some("hello") 1"#);
    let withheld = plugin.call(&from(None), "context", "{}", AMPLE).await.expect("an answer");
    assert!(withheld.starts_with("\"None "), "{withheld}");
}

#[tokio::test]
async fn more_calls_than_may_run_wait_and_give_up_at_their_deadline() {
    let gate = Gate::closed();
    let plugin = load_over(&guests_within(Limits { concurrency: 1, ..small() }), gate.clone()).await;
    let context = from(None);
    let first = call(&plugin, "kv_get");
    let others = async {
        gate.entered().await;
        let impatient = plugin.call(&context, "echo", "{}", Duration::from_millis(20)).await;
        let patient = call(&plugin, "echo");
        let opening = async { gate.open.add_permits(1) };
        (impatient, tokio::join!(patient, opening).0)
    };
    let (first, (impatient, patient)) = tokio::join!(first, others);
    assert_eq!(impatient, Err(Failure::Busy("too many calls of it are running")));
    assert_eq!((first.as_deref(), patient.as_deref()), (Ok("null"), Ok("{}")));
}

#[tokio::test]
async fn a_full_machine_is_busy_and_no_trap() {
    let metrics = Arc::new(Metrics::new());
    let host = Host::new(&HostSettings { instances_max: 1, ..HostSettings::default() }).expect("a machine");
    let host = host.counting_in(Arc::clone(&metrics));
    let gate = Gate::closed();
    let plugin = host.load(&settings("test-guests"), Some(gate.clone())).await.expect("a plugin");
    let (toolbox, session) = (Toolbox::new([plugin.clone()]).expect("a toolbox"), session(&["*"]));
    let beside = async {
        gate.entered().await;
        let refused = (call(&plugin, "echo").await, run(&toolbox, &session, "echo", "{}").await);
        gate.open.add_permits(1);
        refused
    };
    let (first, (refused, read)) = tokio::join!(call(&plugin, "kv_get"), beside);
    assert_eq!(refused, Err(Failure::Busy("too many tools are running")));
    assert_eq!(read.0, ToolOutcomeKind::Unavailable);
    let words = "too many tools are running".to_owned();
    assert_eq!(message(&read.1), ("unavailable".to_owned(), words, true), "the model may try again");
    assert_eq!(first.as_deref(), Ok("null"));
    assert_eq!(call(&plugin, "echo").await.as_deref(), Ok("{}"), "the place is free again");
    let counted = r#"switchboard_plugin_calls_total{plugin="test-guests",outcome="busy"} 2"#;
    assert!(metrics.text().contains(counted), "{}", metrics.text());
}

#[tokio::test]
async fn a_flood_of_messages_is_dropped_and_counted() {
    let plugin = load(&guests_within(small())).await;
    let (sink, _logging) = Sink::listen();
    for (attack, kept) in [("flood_log", (16 << 10) / 1_064), ("log_nothing", (16 << 10) / 64)] {
        assert_eq!(call(&plugin, attack).await.as_deref(), Ok("true"));
        let text = sink.take();
        assert_eq!(text.lines().filter(|line| line.contains(" INFO ")).count(), kept, "{attack}");
        assert!(text.contains(&format!("dropped={}", 10_000 - kept)), "{attack}: {text}");
    }
}

/// A store of the test's own, with little room.
fn open(dir: &tempfile::TempDir, settings: impl FnOnce(&mut store::Settings)) -> store::Store {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut little =
        store::Settings { cache_bytes: 4 << 20, free_bytes_min: 0, ..store::Settings::at(dir.path()) };
    settings(&mut little);
    store::Store::open(&little, clock).expect("the store opens").0
}

#[tokio::test]
async fn what_a_plugin_keeps_survives_and_is_its_own() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(&dir, |_| {});
    let one = load_over(&settings("test-guests"), Arc::new(store.kv("one"))).await;
    let other = load_over(&settings("test-guests"), Arc::new(store.kv("other"))).await;
    assert_eq!(call(&one, "kv_get").await.as_deref(), Ok("null"));
    assert!(call_with(&one, "kv_put", "{\"n\":1}").await.is_ok());
    assert_eq!(call(&one, "kv_get").await.as_deref(), Ok("{\"n\":1}"));
    assert_eq!(call(&one, "kv_list").await.as_deref(), Ok("1"));
    assert_eq!(call(&other, "kv_get").await.as_deref(), Ok("null"));
    assert_eq!(call(&other, "kv_list").await.as_deref(), Ok("0"));

    drop((one, other));
    store.close().await.expect("closed in order");
    let store = open(&dir, |_| {});
    let one = load_over(&settings("test-guests"), Arc::new(store.kv("one"))).await;
    assert_eq!(call(&one, "kv_get").await.as_deref(), Ok("{\"n\":1}"));
}

#[tokio::test]
async fn what_the_store_refuses_the_plugin_hears() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(&dir, |settings| settings.plugin_bytes_max = 1_000);
    let plugin = load_over(&settings("test-guests"), Arc::new(store.kv("one"))).await;
    let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes));
    let told = |result: Result<String, Failure>| match result {
        Err(Failure::Unavailable(words)) => words,
        other => panic!("{other:?}"),
    };
    let too_large = told(call_with(&plugin, "kv_put", &text(9 << 10)).await);
    assert!(too_large.contains("TooLarge"), "{too_large}");
    let quota = told(call_with(&plugin, "kv_put", &text(2_000)).await);
    assert!(quota.contains("Quota"), "{quota}");
    let first: u64 = call(&plugin, "kv_put_new").await.expect("a first one").parse().expect("a revision");
    assert!(first > 0);
    let conflict = told(call(&plugin, "kv_put_new").await);
    assert!(conflict.contains("Conflict"), "{conflict}");
    store.clone().close().await.expect("closed in order");
    let gone = told(call(&plugin, "kv_put").await);
    assert!(gone.contains("Unavailable"), "{gone}");
}

#[tokio::test]
async fn of_two_plugins_that_share_a_namespace_each_is_held_to_its_own_quota() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(&dir, |_| {});
    let little = Limits { kv_bytes: 1_000, ..small() }.kv_quota();
    let modest = load_over(&settings("test-guests"), Arc::new(store.kv("one").within(little))).await;
    let large = load_over(&settings("test-guests"), Arc::new(store.kv("one"))).await;
    let text = format!("\"{}\"", "x".repeat(2_000));
    let refused = call_with(&modest, "kv_put", &text).await;
    assert_eq!(refused, Err(Failure::Unavailable("Error::Quota".to_owned())));
    assert!(call_with(&large, "kv_put", &text).await.is_ok());
    assert!(call_with(&modest, "kv_put", "1").await.is_ok(), "what makes it small again is no overrun");
    let none = Limits { kv_keys: 0, ..small() }.kv_quota();
    let none = load_over(&settings("test-guests"), Arc::new(store.kv("two").within(none))).await;
    assert_eq!(call_with(&none, "kv_put", "1").await, Err(Failure::Unavailable("Error::Quota".to_owned())));
}
