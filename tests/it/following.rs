//! Plugins in the life of a call, over real sockets: asked before it is accepted, told what happens,
//! and heard when they want something. The plugins are plain code; the sandbox has tests of its own.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::json;
use switchboard::call::event::Wish;
use switchboard::call::record::{CallDetail, EndedReason, ToolOutcomeKind};
use switchboard::call::terms::ToolTerms;
use switchboard::session::ToolDefinition;
use switchboard::sim::fault::ProviderFaults;
use switchboard::sim::twilio::CallerSetup;
use switchboard::sim::world::Played;
use switchboard::tool::Toolbox;
use switchboard::tool::context::{CallContext, Refused, Wishes};
use switchboard::tool::embedded::Embedded;
use switchboard::tool::hooks::{CallEvent, Decision, Hook, Hooked, Hooks, IncomingAnswer, Instructions};
use switchboard::tool::plugin::Failure;
use tokio::sync::Notify;

use crate::harness::{CALLEE, CALLER, CONFIG, House, Plan, SHORT, eventually, script};

// === a plugin that does as it is told ===

type Answer = Result<IncomingAnswer, Failure>;

#[derive(Default)]
struct Fake {
    name: &'static str,
    hooks: Vec<Hook>,
    answer: Option<Answer>,
    /// Never answers in time.
    is_slow: bool,
    /// What it was told, in order.
    told: Mutex<Vec<String>>,
    /// What it wants when the call is live.
    wish: Option<Wish>,
}

impl Fake {
    fn told(&self) -> Vec<String> {
        self.told.lock().expect("nobody panics with it").clone()
    }

    fn hear(&self, what: String) {
        self.told.lock().expect("nobody panics with it").push(what);
    }
}

impl Hooked for Fake {
    fn name(&self) -> &str {
        self.name
    }

    fn hooks(&self) -> &[Hook] {
        &self.hooks
    }

    fn incoming<'a>(
        &'a self,
        context: &'a CallContext,
        headers: &'a [(String, String)],
    ) -> BoxFuture<'a, Answer> {
        async move {
            self.hear(format!("incoming {:?} {}", context.session, !headers.is_empty()));
            if self.is_slow {
                std::future::pending::<()>().await;
            }
            self.answer.clone().unwrap_or_else(|| Ok(IncomingAnswer::default()))
        }
        .boxed()
    }

    fn event<'a>(
        &'a self,
        context: &'a CallContext,
        event: &'a CallEvent,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        async move {
            if let (CallEvent::State("live"), Some(wish)) = (event, &self.wish) {
                context.wishes.send(self.name, wish.clone()).expect("a call that listens");
            }
            self.hear(match event {
                CallEvent::Line(said) => format!("{:?}: {}", said.speaker, said.text),
                CallEvent::Keys(keys) => format!("keys {keys}"),
                CallEvent::State(state) => (*state).to_owned(),
            });
            Ok(())
        }
        .boxed()
    }

    fn ended<'a>(&'a self, _: &'a CallContext, record: &'a str) -> BoxFuture<'a, Result<(), Failure>> {
        async move {
            self.hear(record.to_owned());
            Ok(())
        }
        .boxed()
    }
}

fn incoming(name: &'static str, answer: IncomingAnswer) -> Arc<Fake> {
    Arc::new(Fake { name, hooks: vec![Hook::Incoming], answer: Some(Ok(answer)), ..Fake::default() })
}

fn follower(name: &'static str, hooks: &[Hook]) -> Fake {
    Fake { name, hooks: hooks.to_vec(), ..Fake::default() }
}

/// A house whose calls are followed by these, without any plugin of the sandbox.
async fn house_with(fakes: &[&Arc<Fake>]) -> House {
    let house = House::without_plugins(ProviderFaults::default()).await;
    follow(&house, fakes);
    house
}

fn follow(house: &House, fakes: &[&Arc<Fake>]) {
    let hooked = fakes.iter().map(|fake| Arc::clone(*fake) as Arc<dyn Hooked>);
    house.gateway.control().tools().replace(Toolbox::default().with_hooks(Hooks::new(hooked)));
}

/// A house with these tools and no others.
async fn house_of(tools: Vec<Embedded>) -> House {
    let house = House::without_plugins(ProviderFaults::default()).await;
    let add = |toolbox: Toolbox, tool| toolbox.with_embedded(tool).expect("a schema");
    house.gateway.control().tools().replace(tools.into_iter().fold(Toolbox::default(), add));
    house
}

pub fn tool<F>(name: &str, run: F) -> Embedded
where
    F: Fn(CallContext, String) -> BoxFuture<'static, Result<String, Failure>> + Send + Sync + 'static,
{
    Embedded {
        definition: ToolDefinition {
            name: name.to_owned(),
            description: "A tool of a test.".to_owned(),
            parameters: json!({ "type": "object" }),
        },
        terms: ToolTerms { say_first: None, interruptible: true },
        may_repeat: true,
        wants_history: false,
        time_max: Duration::from_secs(30),
        run: Arc::new(run),
    }
}

fn kinds(kept: &CallDetail) -> Vec<&str> {
    kept.events.iter().map(|event| event.kind.as_str()).collect()
}

fn detail_of(kept: &CallDetail, kind: &str) -> String {
    let event = kept.events.iter().find(|event| event.kind == kind).expect("such an event");
    event.data.as_ref().map(ToString::to_string).unwrap_or_default()
}

fn is_sound(played: &Played) {
    assert_eq!(played.carrier.problems, [""; 0]);
    let provider = played.provider.as_ref().expect("the carrier dialled the provider");
    assert_eq!(provider.protocol_errors, [""; 0]);
}

fn said(kept: &CallDetail) -> Vec<&str> {
    kept.lines.iter().map(|line| line.text.as_str()).collect()
}

// === before the accept ===

#[tokio::test(flavor = "multi_thread")]
async fn an_incoming_hook_changes_variables_and_instructions() {
    let one = IncomingAnswer {
        vars: vec![("tier".into(), "gold".into()), ("no name".into(), "x".into())],
        instructions: Some(Instructions::Append("The caller is a friend.".into())),
        ..IncomingAnswer::default()
    };
    let two = IncomingAnswer {
        session: Some("moon".into()),
        vars: vec![("tier".into(), "silver".into())],
        instructions: Some(Instructions::Append("Speak slowly.".into())),
        decision: Decision::Forward("nowhere".into()),
    };
    let (one, two) = (incoming("one", one), incoming("two", two));
    let house = house_with(&[&two, &one]).await;
    let played = house.call(SHORT).await;
    is_sound(&played);
    let kept = house.ended().await;
    assert_eq!(kept.call.vars, BTreeMap::from([("tier".to_owned(), "silver".to_owned())]));
    let accept: serde_json::Value =
        serde_json::from_str(&played.provider.expect("a call").accepts[0]).expect("JSON");
    let instructions = accept["instructions"].as_str().expect("instructions");
    assert!(instructions.ends_with(".\n\nThe caller is a friend.\n\nSpeak slowly."), "{instructions}");
    assert_eq!(one.told(), ["incoming Some(\"shop\") true"]);
    let ignored = kept.events.iter().filter(|event| event.kind == "hook.ignored").count();
    assert_eq!(ignored, 3, "{:?}", kinds(&kept));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incoming_hook_turns_a_call_away_or_sends_it_on() {
    let reject = IncomingAnswer { decision: Decision::Reject(486), ..IncomingAnswer::default() };
    let forward =
        IncomingAnswer { decision: Decision::Forward("+81399999999".into()), ..IncomingAnswer::default() };
    // The first by name decides.
    let house = house_with(&[&incoming("b", forward.clone()), &incoming("a", reject)]).await;
    let played = house.call(SHORT).await;
    let kept = house.ended().await;
    assert_eq!(kept.call.ended.as_ref().map(|ended| ended.reason), Some(EndedReason::Rejected));
    assert_eq!(played.provider.expect("a call").rejects, [486]);
    assert!(detail_of(&kept, "hook.reject").contains("a: SIP 486"));

    let house = house_with(&[&incoming("b", forward)]).await;
    let played = house.call(SHORT).await;
    assert_eq!(played.provider.expect("a call").refers, ["tel:+81399999999"]);
    let kept = house.ended().await;
    assert_eq!(kept.call.ended.as_ref().map(|ended| ended.reason), Some(EndedReason::Forwarded));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_or_failing_hook_costs_a_call_nothing_but_its_time() {
    let late = Fake { name: "late", hooks: vec![Hook::Incoming], is_slow: true, ..Fake::default() };
    let broken = Err(Failure::Trapped("unreachable".into()));
    let broken =
        Fake { name: "broken", hooks: vec![Hook::Incoming], answer: Some(broken), ..Fake::default() };
    let good = IncomingAnswer { vars: vec![("tier".into(), "gold".into())], ..IncomingAnswer::default() };
    // Slow enough that the carrier's patience is longer than the hooks' time.
    let config = CONFIG.split("[plugins").next().unwrap_or_default().to_owned();
    let house = House::with(Plan { config, speed: 10.0, ..Plan::default() }).await;
    follow(&house, &[&Arc::new(late), &Arc::new(broken), &incoming("zzz", good)]);
    is_sound(&house.call(SHORT).await);
    let kept = house.ended().await;
    assert_eq!(kept.call.vars["tier"], "gold");
    let notes: Vec<String> = kept
        .events
        .iter()
        .filter(|event| event.kind == "hook.ignored")
        .map(|event| event.data.as_ref().map(ToString::to_string).unwrap_or_default())
        .collect();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(notes[0].contains("broken: its `incoming` hook failed"), "{notes:?}");
    let late =
        |plugin: &str| house.metric(&format!("switchboard_plugin_hooks_late_total{{plugin=\"{plugin}\"}}"));
    assert_eq!((late("late"), late("broken")), (1.0, 0.0));
    assert!(notes[1].contains("late: its `incoming` hook took longer than the 500 ms"), "{notes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_is_asked_once_in_a_call_that_is_moved_and_what_it_said_holds() {
    let answer = IncomingAnswer {
        session: Some("vip".into()),
        vars: vec![("tier".into(), "gold".into())],
        instructions: Some(Instructions::Append("The caller is a friend.".into())),
        ..IncomingAnswer::default()
    };
    let hooks = vec![Hook::Incoming, Hook::Event];
    let fake = Arc::new(Fake { name: "friends", hooks, answer: Some(Ok(answer)), ..Fake::default() });
    let shop = CONFIG.split("[plugins").next().unwrap_or_default();
    let vip = "[sessions.vip]\nvars = { tier = \"no\" }\ninstructions = \"A {{ vars.tier }} caller over {{ call.path }}.\"\ngreeting = \"Say hello.\"\n";
    let environment = vec![
        ("SWITCHBOARD__FEATURES__FAILOVER", "true".to_owned()),
        ("SWITCHBOARD__FAILOVER__ACCEPT_WITHIN", "10s".to_owned()),
    ];
    // As slow as in `failover.rs`: a carrier's ten seconds must be some real ones.
    let plan = Plan { config: format!("{vip}{shop}"), speed: 4.0, environment, ..Plan::default() };
    let house = House::with(plan).await;
    follow(&house, &[&fake]);
    let steps = r#"steps = [
        { model = { says = "はい。" } },
        { caller = { says = "もしもし" } },
        { provider_drops_after_ms = 300 },
        { model = { says = "失礼しました。" } },
        { hang_up = "caller" },
    ]"#;
    let played = house.call(steps).await;
    is_sound(&played);
    let kept = house.ended().await;
    house.gateway.control().drained().await;
    assert!(kept.call.moved.is_some(), "{:?}", kinds(&kept));
    assert_eq!(kept.call.vars, BTreeMap::from([("tier".to_owned(), "gold".to_owned())]));
    assert_eq!(kept.call.session.as_deref(), Some("vip"));
    let notes = kept.events.iter().filter(|event| event.kind.starts_with("hook.")).count();
    assert_eq!(notes, 2, "its session and its instructions: {:?}", kinds(&kept));
    let accept: serde_json::Value =
        serde_json::from_str(&played.provider.expect("a call").accepts[0]).expect("JSON");
    let friend = |path: &str| format!("A gold caller over {path}.\n\nThe caller is a friend.");
    assert_eq!(accept["instructions"], friend("sip"));
    let bridged: Vec<String> =
        house.world.openai.calls().into_iter().flat_map(|call| call.instructions).collect();
    assert_eq!(bridged, [friend("media-streams")]);
    let told = fake.told();
    assert_eq!(told.iter().filter(|what| what.starts_with("incoming")).count(), 1, "{told:?}");
    let lines: Vec<&str> = told.iter().filter_map(|what| what.strip_prefix("Assistant: ")).collect();
    assert_eq!(lines, ["はい。", "失礼しました。"]);
}

// === while it is up, and after ===

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_is_told_everything_in_order_and_the_whole_record_last() {
    let follower = Arc::new(follower("follower", &[Hook::Event, Hook::Ended]));
    let house = house_with(&[&follower]).await;
    let played = house
        .call(
            r##"steps = [
            { model = { says = "はい。" } },
            { caller = { says = "もしもし" } },
            { model = { says = "どうぞ。" } },
            { keys = "42#" },
            { model = { says = "承りました。" } },
            { hang_up = "caller" },
        ]"##,
        )
        .await;
    is_sound(&played);
    let kept = house.ended().await;
    let control = Arc::clone(house.gateway.control());
    control.drained().await;
    let mut told = follower.told();
    let record = told.pop().expect("the record");
    assert_eq!(record, serde_json::to_string(&kept).expect("JSON"));
    let lines: Vec<&String> = told.iter().filter(|what| what.contains(": ")).collect();
    assert_eq!(lines.len(), 4, "{told:?}");
    assert_eq!(told.first().map(String::as_str), Some("live"));
    assert_eq!(told.last().map(String::as_str), Some("ended"));
    assert!(told.contains(&"keys 42#".to_owned()), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_hook_wants_is_done() {
    let fake = Fake { wish: Some(Wish::HangUp), ..follower("watchdog", &[Hook::Event]) };
    let house = house_with(&[&Arc::new(fake)]).await;
    let played = house
        .call(
            r#"steps = [
            { model = { says = "はい。" } },
            { model = { says = "失礼いたします。" } },
            { hang_up = "gateway" },
        ]"#,
        )
        .await;
    is_sound(&played);
    let kept = house.ended().await;
    assert_eq!(kept.call.ended.as_ref().map(|ended| ended.reason), Some(EndedReason::AssistantHangup));
    assert_eq!(said(&kept), ["はい。", "失礼いたします。"]);
    assert!(detail_of(&kept, "wish.hang_up").contains("watchdog"));
}

// === tools ===

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_tool_is_covered_by_its_phrase_and_its_progress() {
    let (is_said, is_told) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (said_first, told_progress) = (Arc::clone(&is_said), Arc::clone(&is_told));
    let mut slow = tool("slow", move |context: CallContext, _| {
        let (is_said, is_told) = (Arc::clone(&is_said), Arc::clone(&is_told));
        async move {
            is_said.notified().await;
            context.wishes.send("orders", Wish::Progress("half done".into())).expect("a call");
            is_told.notified().await;
            Ok(r#"{"answer":"九時"}"#.to_owned())
        }
        .boxed()
    });
    slow.terms.say_first = Some("少々お待ちください。".into());
    let house = house_of(vec![slow]).await;
    let steps = r#"steps = [
        { model = { says = "はい。" } },
        { caller = { says = "営業時間は？" } },
        { model = { calls = [{ name = "slow" }] } },
        { model = { says = "少々お待ちください。" } },
        { model = { says = "半分まで来ました。" } },
        { model = { says = "{/answer}です。" } },
        { hang_up = "caller" },
    ]"#;
    let release = async {
        has_line(&house, "少々お待ちください。").await;
        said_first.notify_one();
        has_line(&house, "半分まで来ました。").await;
        told_progress.notify_one();
    };
    let (played, ()) = tokio::join!(house.play(CallerSetup::new(CALLER, CALLEE, script(steps))), release);
    is_sound(&played);
    let kept = house.ended().await;
    assert_eq!(
        said(&kept),
        ["はい。", "営業時間は？", "少々お待ちください。", "半分まで来ました。", "九時です。"]
    );
    // The greeting, the phrase, the progress, and one continuation.
    assert_eq!(played.provider.expect("a call").response_creates, 4);
}

async fn has_line(house: &House, text: &str) {
    eventually("the line is kept", || async {
        let call = house.calls().await.first().map(|call| call.id)?;
        let lines = house.gateway.control().store().lines(call).await.expect("a readable store");
        lines.iter().any(|line| line.text == text).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_sets_variables_that_the_next_sees_and_knows_what_was_said() {
    let set = tool("set", |context: CallContext, _| {
        async move {
            let wish = Wish::SetVariable { name: "customer".into(), value: "42".into() };
            context.wishes.send("orders", wish).expect("a call");
            Ok("{}".to_owned())
        }
        .boxed()
    });
    let mut get = tool("get", |context: CallContext, _| {
        async move {
            let history: Vec<&str> = context.history.iter().map(|said| said.text.as_str()).collect();
            Ok(json!({ "customer": context.vars.get("customer"), "history": history }).to_string())
        }
        .boxed()
    });
    get.wants_history = true;
    let house = house_of(vec![set, get]).await;
    let played = house
        .call(
            r#"steps = [
            { model = { says = "はい。" } },
            { caller = { says = "佐藤です" } },
            { model = { calls = [{ name = "set" }] } },
            { model = { calls = [{ name = "get" }] } },
            { model = { says = "{/customer}番様。" } },
            { hang_up = "caller" },
        ]"#,
        )
        .await;
    is_sound(&played);
    let kept = house.ended().await;
    assert_eq!(kept.call.vars["customer"], "42");
    assert_eq!(said(&kept).last(), Some(&"42番様。"));
    let output = kept.tool_calls[1].output.as_deref().expect("an answer");
    assert!(output.contains(r#""history":["はい。""#), "{output}");
    assert!(detail_of(&kept, "wish.set_variable").contains("orders: customer"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_runs_when_the_call_ends_is_dropped_and_nobody_hears_its_wishes() {
    struct Dropped(Arc<AtomicBool>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let (is_dropped, way) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Wishes::default())));
    let (flag, kept_way) = (Arc::clone(&is_dropped), Arc::clone(&way));
    let endless = tool("endless", move |context: CallContext, _| {
        let guard = Dropped(Arc::clone(&flag));
        *kept_way.lock().expect("nobody panics with it") = context.wishes;
        async move {
            let _guard = guard;
            std::future::pending().await
        }
        .boxed()
    });
    let house = house_of(vec![endless]).await;
    let played = house
        .call(
            r#"steps = [
            { model = { says = "はい。" } },
            { caller = { says = "お願いします" } },
            { model = { says = "少々。", calls = [{ name = "endless" }] } },
            { pause_ms = 2000 },
            { hang_up = "caller" },
        ]"#,
        )
        .await;
    is_sound(&played);
    let kept = house.ended().await;
    assert_eq!(kept.tool_calls[0].outcome, Some(ToolOutcomeKind::Cancelled));
    eventually("the tool is dropped", || async { is_dropped.load(Ordering::SeqCst).then_some(()) }).await;
    let refused = way.lock().expect("nobody panics with it").send("orders", Wish::HangUp);
    assert_eq!(refused, Err(Refused::NoCall));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_while_a_tool_is_not_to_be_spoken_over_is_kept_and_starts_no_turn() {
    let release = Arc::new(Notify::new());
    let released = Arc::clone(&release);
    let mut payment = tool("payment", move |_, _| {
        let released = Arc::clone(&released);
        async move {
            released.notified().await;
            Ok(r#"{"paid":"済"}"#.to_owned())
        }
        .boxed()
    });
    payment.terms.interruptible = false;
    let house = house_of(vec![payment]).await;
    let steps = r#"steps = [
        { model = { says = "はい。" } },
        { caller = { says = "払います" } },
        { model = { says = "お待ちください。", calls = [{ name = "payment" }] } },
        { caller = { says = "まだですか" } },
        { model = { says = "お支払い{/paid}です。" } },
        { caller = { says = "どうも" } },
        { model = { says = "いいえ。" } },
        { hang_up = "caller" },
    ]"#;
    let wait = async {
        has_line(&house, "まだですか").await;
        release.notify_one();
    };
    let (played, ()) = tokio::join!(house.play(CallerSetup::new(CALLER, CALLEE, script(steps))), wait);
    is_sound(&played);
    let kept = house.ended().await;
    assert_eq!(
        said(&kept),
        ["はい。", "払います", "お待ちください。", "まだですか", "お支払い済です。", "どうも", "いいえ。"]
    );
    // The greeting and the continuation; the caller's other turns began by themselves.
    assert_eq!(played.provider.expect("a call").response_creates, 2);
}
