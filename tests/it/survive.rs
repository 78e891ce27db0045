//! Live calls outlive the process: it dies without a word, another one starts over the same data, and carrier,
//! provider and caller are still there.
//!
//! The process is a runtime of its own, which is thrown away with everything in it; nothing is closed in order.

mod features;
mod notifications;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use reqwest::Client;
use switchboard::call::record::*;
use switchboard::call::{Beginning, Call};
use switchboard::call_control::{Asked, DialPlan};
use switchboard::clock::{Clock as _, Entropy, SystemClock, Timestamp};
use switchboard::config::Config;
use switchboard::gateway::Gateway;
use switchboard::http::{OPENAI_WEBHOOK, detail};
use switchboard::ids::CallId;
use switchboard::phone::{CallingCode, PartyNumber};
use switchboard::routing::RejectReason;
use switchboard::sim::fault::ProviderFaults;
use switchboard::sim::log::WorldLog;
use switchboard::sim::openai::CallReport;
use switchboard::sim::twilio::{CallerSetup, Heard};
use switchboard::sim::world::{ACCOUNT_SID, API_KEY, AUTH_TOKEN, ConnectedWorld, Options, Played, World};
use switchboard::store::{Alias, CallQuery, Settings, Store, Tx, Write};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::backend::{Backend, Manner, Reply};
use crate::harness::{CALLEE, CALLER, CONFIG, Plan, attach, configure, eventually, place, ring, script};

/// How much faster than life a hundred callers speak at once: at a higher speed the carrier's timeouts would be shorter
/// than a slow machine takes to answer them.
const FLOOD_SPEED: f64 = 3.0;

/// How long a carrier's fallback may wait for somebody to listen.
const FALLBACK_WITHIN_MS: u64 = 30_000;

/// A world whose gateway dies and comes back. Talks are ended by the gateway, which has then heard all of them.
struct Town {
    world: ConnectedWorld,
    /// The configuration, and the environment that makes it one of this world.
    config: (String, Vec<(String, String)>),
    process: Option<Process>,
    data: tempfile::TempDir,
}

/// A gateway and its runtime; both are there until the end.
struct Process {
    gateway: Option<Gateway>,
    runtime: Option<Runtime>,
}

impl Drop for Process {
    fn drop(&mut self) {
        // A test that is over, or failed.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Process {
    async fn start(config: Config) -> Process {
        let starting = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            let runtime = runtime.expect("a runtime");
            let gateway = Gateway::start(config, Arc::new(SystemClock), Entropy::System);
            let gateway = runtime.block_on(gateway).expect("a gateway");
            Process { gateway: Some(gateway), runtime: Some(runtime) }
        });
        starting.await.expect("no panic")
    }

    fn parts(&mut self) -> (Gateway, Runtime) {
        (self.gateway.take().expect("a gateway"), self.runtime.take().expect("a runtime"))
    }

    /// It is asked to stop, and does. Gives how many calls it left.
    async fn stop(mut self) -> usize {
        let (gateway, runtime) = self.parts();
        let stopping = tokio::task::spawn_blocking(move || {
            let left = runtime.block_on(gateway.stop());
            runtime.shutdown_timeout(Duration::from_secs(20));
            left
        });
        stopping.await.expect("no panic")
    }

    /// It makes place for the next process.
    async fn hand_over(mut self) {
        let (gateway, runtime) = self.parts();
        let handing = tokio::task::spawn_blocking(move || {
            drop(runtime.block_on(gateway.hand_over()));
            runtime.shutdown_timeout(Duration::from_secs(20));
        });
        handing.await.expect("no panic");
    }

    /// Everything stops where it is.
    async fn kill(mut self) {
        let (gateway, runtime) = self.parts();
        let dying = tokio::task::spawn_blocking(move || {
            drop(gateway);
            runtime.shutdown_timeout(Duration::from_secs(20));
        });
        dying.await.expect("killed");
    }
}

impl Town {
    async fn open(plan: Plan) -> Town {
        let data = tempfile::tempdir().expect("a temporary directory");
        Town::at(plan, data, async |_| {}).await
    }

    /// A town whose gateway finds what was prepared in its store.
    async fn at(plan: Plan, data: tempfile::TempDir, before: impl AsyncFnOnce(&Prepared<'_>)) -> Town {
        let mut options =
            Options::new(Arc::new(SystemClock), WorldLog::new(Arc::new(SystemClock), None), plan.speed);
        options.provider_faults = plan.faults;
        let world = World::start(options).await.expect("a world");
        // Its next process must listen where this one did.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let mut environment = world.environment();
        environment.extend(place(data.path()));
        environment.push(("SWITCHBOARD__SERVER__LISTEN".to_owned(), address.to_string()));
        environment.extend(plan.environment.into_iter().map(|(name, value)| (name.to_owned(), value)));
        let config = (plan.config, environment);
        let world = world.connect(&format!("http://{address}"), OPENAI_WEBHOOK).expect("a client");
        before(&Prepared { world: &world, data: data.path() }).await;
        let mut town = Town { world, config, process: None, data };
        town.start().await;
        town
    }

    fn gateway(&self) -> &Gateway {
        self.process.as_ref().and_then(|process| process.gateway.as_ref()).expect("a gateway")
    }

    async fn kill(&mut self) {
        self.process.take().expect("a process").kill().await;
    }

    async fn start(&mut self) {
        let (text, environment) = self.config.clone();
        self.process = Some(Process::start(configure(&text, environment)).await);
    }

    fn ring(&self, caller: CallerSetup) -> JoinHandle<Played> {
        let world = self.world.clone();
        tokio::spawn(async move {
            let playing = world.play(caller);
            let played = tokio::time::timeout(Duration::from_secs(60), playing).await;
            played.unwrap_or_else(|_| panic!("the call does not end; the world's log:\n{}", world.log.text()))
        })
    }

    async fn calls(&self) -> Vec<CallRecord> {
        let page = self.gateway().control().store().calls(CallQuery::default(), None, 200).await;
        page.expect("a readable store").items
    }

    async fn detail(&self, id: CallId) -> CallDetail {
        let store = self.gateway().control().store();
        detail(store, id).await.expect("a readable store").expect("a call")
    }

    /// The one call that is kept, once this is so.
    async fn once(&self, what: &str, is_so: impl Fn(&CallDetail) -> bool) -> CallDetail {
        eventually(what, || async {
            let calls = self.calls().await;
            let kept = self.detail(calls.first()?.id).await;
            is_so(&kept).then_some(kept)
        })
        .await
    }

    async fn ended(&self) -> CallDetail {
        self.once("the call is over", |kept| kept.call.ended.is_some()).await
    }

    /// The carrier hangs up on somebody.
    async fn hang_up(&self, call_sid: &str) {
        let base = self.world.carrier_rest.base_url();
        let url = format!("{base}/2010-04-01/Accounts/{ACCOUNT_SID}/Calls/{call_sid}.json");
        let client = Client::builder().no_proxy().build().expect("a client");
        let request = client.post(url).basic_auth(ACCOUNT_SID, Some(AUTH_TOKEN));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let answer = request.body("Status=completed").send().await.expect("an answer");
        assert!(answer.status().is_success(), "{answer:?}");
    }
}

/// What there is before the gateway.
struct Prepared<'a> {
    world: &'a ConnectedWorld,
    data: &'a std::path::Path,
}

fn plain() -> Plan {
    let config = CONFIG.split("[plugins").next().unwrap_or_default().to_owned();
    Plan { config, ..Plan::default() }
}

fn caller(steps: &str) -> CallerSetup {
    CallerSetup::new(CALLER, CALLEE, script(steps))
}

fn reason(kept: &CallDetail) -> EndedReason {
    kept.call.ended.as_ref().expect("an ended call").reason
}

fn has_event(kept: &CallDetail, kind: &str) -> bool {
    kept.events.iter().any(|event| event.kind == kind)
}

fn texts(kept: &CallDetail) -> Vec<&str> {
    kept.lines.iter().map(|line| line.text.as_str()).collect()
}

fn whole(report: &CallReport) {
    assert_eq!((report.accepted, report.protocol_errors.as_slice()), (1, [].as_slice()), "{report:#?}");
    assert!(report.script_done, "{report:#?}");
}

const TALK: &str = r#"steps = [
    { model = { says = "はい、さくら商店です。" } },
    { caller = { says = "もしもし。" } },
    { model = { says = "ご用件をどうぞ。" } },
    { await_sidebands = 2 },
    { caller = { says = "注文はどこですか。" } },
    { model = { says = "発送済みです。", calls = [{ name = "hangup" }] } },
    { hang_up = "gateway" },
]"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_talking_call_goes_on() {
    let mut town = Town::open(plain()).await;
    let call = town.ring(caller(TALK));
    let before = town.once("three lines are kept", |kept| kept.lines.len() == 3).await;
    town.kill().await;
    town.start().await;
    let played = call.await.expect("played");
    let report = played.provider.expect("a provider's call");
    whole(&report);
    assert_eq!(report.attached, 2);
    let kept = town.ended().await;
    assert_eq!(reason(&kept), EndedReason::AssistantHangup);
    assert!(has_event(&kept, "gateway.restarted") && has_event(&kept, "sideband.reattached"), "{kept:#?}");
    assert_eq!(texts(&kept)[..3], texts(&before)[..]);
    assert_eq!(texts(&kept)[3..], ["注文はどこですか。", "発送済みです。"]);
    let numbers: Vec<u32> = kept.lines.iter().map(|line| line.n).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4]);
    let metrics = town.gateway().control().metrics().text();
    assert!(metrics.contains(r#"switchboard_calls_taken_up_total{path="sip"} 1"#), "{metrics}");
}

/// Three tools: one that was answered, one that may run twice, one that may not.
fn with_tools(backend: &Backend) -> Plan {
    let mut plan = plain();
    for (name, method) in [("fast", "POST"), ("look", "GET"), ("pay", "POST")] {
        plan.config += &format!(
            "\n[tools.{name}]\ndescription = \"Does it.\"\n[tools.{name}.http]\nmethod = \"{method}\"\n\
             url = \"{}\"\nprivate_hosts = [\"127.0.0.1\"]\n",
            backend.url(&format!("/{name}"))
        );
    }
    plan
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_in_flight_are_answered_once() {
    // Nobody answers the first `look`; nobody ever answers `pay`.
    let looked = std::sync::atomic::AtomicUsize::new(0);
    let backend = Backend::start(move |asked, _| {
        let reply = Reply::new(200, r#"{"done":true}"#);
        match asked.line().as_str() {
            "GET /look" if looked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 0 => reply,
            "POST /fast" => reply,
            _ => reply.manner(Manner::Silent),
        }
    })
    .await;
    let mut town = Town::open(with_tools(&backend)).await;
    let call = town.ring(caller(
        r#"steps = [
        { model = { says = "はい。" } },
        { caller = { says = "お願いします。" } },
        { model = { calls = [{ name = "fast" }] } },
        { model = { calls = [{ name = "look" }, { name = "pay" }] } },
        { model = { says = "確認しました。" } },
        { hang_up = "caller" },
    ]"#,
    ));
    let asked = |line: &str| backend.lines().iter().filter(|known| *known == line).count();
    town.once("the first tool's answer has reached the model", |kept| {
        kept.tool_calls.first().is_some_and(|tool| tool.acknowledged) && kept.tool_calls.len() == 3
    })
    .await;
    eventually("both run", || async { (asked("GET /look") == 1 && asked("POST /pay") == 1).then_some(()) })
        .await;
    town.kill().await;
    town.start().await;
    let report = call.await.expect("played").provider.expect("a provider's call");
    whole(&report);
    assert_eq!((asked("POST /fast"), asked("GET /look"), asked("POST /pay")), (1, 2, 1));
    assert_eq!((report.tool_calls, report.tool_outputs.len()), (3, 3), "{report:#?}");
    let kept = town.ended().await;
    let outcome = |name: &str| {
        let tool = kept.tool_calls.iter().find(|tool| tool.name == name).expect("called");
        (tool.outcome.expect("an outcome"), tool.output.clone().unwrap_or_default())
    };
    assert_eq!(outcome("fast").0, ToolOutcomeKind::Ok);
    assert_eq!(outcome("look"), (ToolOutcomeKind::Ok, r#"{"done":true}"#.to_owned()));
    let (kind, told) = outcome("pay");
    assert_eq!(kind, ToolOutcomeKind::Interrupted);
    assert!(told.contains("not known"), "{told}");
    assert!(report.tool_outputs.iter().any(|output| output.output == told), "{report:#?}");
    assert!(report.spoken.contains(&"確認しました。".to_owned()), "{report:#?}");
}

/// A gateway leaves its calls while a tool runs that may not run twice, and another call asks for one.
async fn left_with_tools(leave: fn(Process) -> BoxFuture<'static, ()>) {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let backend = Backend::start(move |asked, _| match asked.line().as_str() {
        "POST /pay" => Reply::new(200, r#"{"paid":true}"#).held_by(Arc::clone(&held)),
        _ => Reply::new(200, r#"{"done":true}"#),
    })
    .await;
    let mut plan = with_tools(&backend);
    plan.environment.push(("SWITCHBOARD__SERVER__DRAIN_TIMEOUT", "0s".to_owned()));
    let mut town = Town::open(plan).await;
    let orders = |before: &str, tool: &str| {
        caller(&format!(
            r#"steps = [
                {{ model = {{ says = "はい。" }} }},{before}
                {{ caller = {{ says = "お願いします。" }} }},
                {{ model = {{ calls = [{{ name = "{tool}" }}] }} }},
                {{ model = {{ says = "確認しました。" }} }},
                {{ hang_up = "caller" }},
            ]"#
        ))
    };
    let asked = |line: &str| backend.lines().iter().filter(|known| *known == line).count();
    let second = town.ring(orders("{ await_sidebands = 2 },", "fast"));
    let waiting = town.once("the second call is up", |kept| kept.lines.len() == 1).await.call;
    let first = town.ring(orders("", "pay"));
    eventually("the tool runs", || async { (asked("POST /pay") == 1).then_some(()) }).await;

    let control = Arc::clone(town.gateway().control());
    let leaving = tokio::spawn(leave(town.process.take().expect("a process")));
    eventually("it is to leave", || async { control.is_finishing().then_some(()) }).await;
    // This is what the second call waits for.
    let provider_call = waiting.provider.expect("a provider").call_id;
    let signal = attach(&town.world.openai, provider_call.as_str(), API_KEY).await;
    eventually("the second tool waits for the next process", || async {
        let kept = detail(control.store(), waiting.id).await.expect("a readable store")?;
        kept.tool_calls.first()?.deferred.then_some(())
    })
    .await;
    assert_eq!(asked("POST /fast"), 0);
    gate.add_permits(1);
    leaving.await.expect("left");
    drop((control, signal));
    town.start().await;

    for (call, output) in [(first, r#"{"paid":true}"#), (second, r#"{"done":true}"#)] {
        let report = call.await.expect("played").provider.expect("a provider's call");
        whole(&report);
        let outputs: Vec<_> = report.tool_outputs.iter().map(|told| told.output.as_str()).collect();
        assert_eq!(outputs, [output]);
    }
    assert_eq!((asked("POST /pay"), asked("POST /fast")), (1, 1));
    for call in eventually("both are over", || async {
        let calls = town.calls().await;
        calls.iter().all(|call| call.ended.is_some()).then_some(calls)
    })
    .await
    {
        let kept = town.detail(call.id).await;
        assert_eq!(kept.tool_calls[0].outcome, Some(ToolOutcomeKind::Ok), "{kept:#?}");
        assert_eq!(has_event(&kept, "tool.deferred"), call.id == waiting.id);
        assert!(!has_event(&kept, "tool.interrupted"), "{kept:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_are_finished_before_a_handover() {
    left_with_tools(|process| process.hand_over().boxed()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_are_finished_before_calls_are_left_at_a_stop() {
    left_with_tools(|process| process.stop().map(|left| assert!(left > 0)).boxed()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_ended_meanwhile_is_closed() {
    let mut town = Town::open(plain()).await;
    let call = town.ring(caller(r#"steps = [{ model = { says = "はい。" } }, { hang_up = "gateway" }]"#));
    let before = town.once("a line is kept", |kept| kept.lines.len() == 1).await;
    town.kill().await;
    town.hang_up(before.call.carrier.expect("a carrier").call_sid.as_str()).await;
    call.await.expect("played");
    town.start().await;
    let kept = town.once("the carrier has told", |kept| {
        kept.call.carrier.as_ref().is_some_and(|carrier| carrier.status == "completed")
    });
    kept.await;
    let kept = town.ended().await;
    assert_eq!(reason(&kept), EndedReason::CallerHangup);
    let detail = kept.call.ended.as_ref().and_then(|ended| ended.detail.clone());
    assert_eq!(detail.as_deref(), Some("it ended while the gateway was away"));
    assert_eq!(texts(&kept), ["はい。"]);
}

/// A call that was offered and kept, and of which nothing else happened before the process died.
async fn offered(town: &Prepared<'_>, created: Timestamp) -> CallId {
    let leg = town.world.openai.invite(ring(&[("From", "<sip:+819012345678@x>")], TALK_ALONE)).await;
    let now = SystemClock.now();
    let mut call = Call::begin(Beginning {
        id: CallId::new(now, [9; 10]),
        path: Path::Sip,
        caller: Some(CALLER.to_owned()),
        callee: Some(CALLEE.to_owned()),
        route: Some("all".to_owned()),
        carrier: None,
        carrier_asked: None,
        vars: Default::default(),
        other_path: None,
        avoided: None,
    });
    let record = &mut call.record;
    record.state = State::Offered;
    record.session = Some("shop".to_owned());
    record.stages.webhook_created = Some(created);
    record.stages.webhook_received = Some(created);
    record.provider = Some(Provider {
        name: "openai-realtime".to_owned(),
        call_id: leg.call_id.as_str().into(),
        webhook_id: "wh_1".into(),
        joined_by: JoinedBy::None,
        model: None,
        expires_at: None,
        reattached: 0,
        sip_headers: Vec::new(),
    });
    let (id, call_id) = (record.id, leg.call_id.clone());
    // The leg lives for as long as somebody holds it.
    tokio::spawn(async move {
        let mut leg = leg;
        while leg.events.recv().await.is_some() {}
    });
    let settings = Settings { free_bytes_min: 0, ..Settings::at(town.data) };
    let (store, _) = Store::open(&settings, Arc::new(SystemClock)).expect("a store");
    let alias = Write::Alias(Alias::ProviderCall(call_id.as_str().into()), id);
    let writes = vec![Write::Call(Box::new(call.record)), alias];
    store.commit(Tx { expect: vec![], writes }).await.expect("kept");
    store.close().await.expect("closed");
    id
}

const TALK_ALONE: &str =
    r#"steps = [{ model = { says = "はい、さくら商店です。" } }, { hang_up = "caller" }]"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_webhook_is_accepted_and_a_stale_one_is_not() {
    for (age, is_fresh) in [(Duration::from_secs(5), true), (Duration::from_secs(600), false)] {
        let faults = ProviderFaults { webhook_never: true, ..ProviderFaults::default() };
        let data = tempfile::tempdir().expect("a temporary directory");
        let created = SystemClock.now() - age;
        let before = async |prepared: &Prepared<'_>| {
            offered(prepared, created).await;
        };
        let town = Town::at(Plan { faults, ..plain() }, data, before).await;
        let kept = town.ended().await;
        let call_id = kept.call.provider.as_ref().expect("a provider").call_id.clone();
        let report = town.world.openai.call(call_id.as_str()).expect("a report");
        match is_fresh {
            true => {
                whole(&report);
                assert_eq!(
                    (texts(&kept), reason(&kept)),
                    (vec!["はい、さくら商店です。"], EndedReason::CallerHangup)
                );
            }
            false => {
                assert_eq!((report.accepts.len(), report.attached), (0, 0), "{report:#?}");
                assert_eq!(reason(&kept), EndedReason::GatewayLost);
            }
        }
    }
}

fn bridged() -> Plan {
    let environment = vec![("SWITCHBOARD__FEATURES__OPENAI_SIP", "false".to_owned())];
    Plan { environment, ..plain() }
}

const BRIDGED_TALK: &str = r#"steps = [
    { model = { says = "はい、さくら商店です。" } },
    { caller = { says = "もしもし。" } },
    { model = { says = "ご用件をどうぞ。" } },
    { hang_up = "gateway" },
]"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_bridged_caller_comes_back_into_the_same_call() {
    let mut town = Town::open(bridged()).await;
    let mut setup = caller(BRIDGED_TALK);
    setup.faults.fallback_within_ms = FALLBACK_WITHIN_MS;
    let call = town.ring(setup);
    let before = town.once("three lines are kept", |kept| kept.lines.len() == 3).await;
    town.kill().await;
    town.start().await;
    let back = town.once("the caller is back", |kept| kept.lines.len() > 3).await;
    assert_eq!(back.call.id, before.call.id);
    assert_eq!(texts(&back)[..3], texts(&before)[..]);
    let interrupted = back.call.interrupted.expect("interrupted");
    assert!(interrupted.returned.is_some() && has_event(&back, "caller.returned"), "{back:#?}");
    town.hang_up(back.call.carrier.expect("a carrier").call_sid.as_str()).await;
    let played = call.await.expect("played");
    assert_eq!(played.carrier.streams.len(), 2, "{:#?}", played.carrier);
    let told: Vec<String> =
        town.world.openai.calls().iter().flat_map(|report| report.told_again.clone()).collect();
    assert_eq!(told, texts(&before), "the next session was told the conversation");
    let kept = town.ended().await;
    assert_eq!(town.calls().await.len(), 1);
    assert!(matches!(reason(&kept), EndedReason::CallerHangup | EndedReason::ProviderDropped), "{kept:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridged_caller_who_is_gone_is_not_waited_for() {
    let mut town = Town::open(bridged()).await;
    let call = town.ring(caller(BRIDGED_TALK));
    town.once("a line is kept", |kept| !kept.lines.is_empty()).await;
    town.kill().await;
    // The carrier finds nobody, and the number has no fallback.
    let played = call.await.expect("played");
    assert_eq!(played.carrier.heard.last(), Some(&Heard::ApplicationError));
    town.start().await;
    let kept = town.ended().await;
    // What dies within this process may see its stream fall first: then the call was over before the next one began.
    let was_over = has_event(&kept, "stream.ended") && !has_event(&kept, "gateway.restarted");
    let expected = if was_over { EndedReason::CallerHangup } else { EndedReason::GatewayLost };
    assert_eq!(reason(&kept), expected, "{kept:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_calls_are_all_taken_up() {
    const CALLS: usize = 100;
    let mut town = Town::open(Plan { speed: FLOOD_SPEED, ..plain() }).await;
    let talk = r#"steps = [
        { model = { says = "はい、さくら商店です。" } },
        { await_sidebands = 2 },
        { caller = { says = "もしもし。" } },
        { model = { says = "ありがとうございました。", calls = [{ name = "hangup" }] } },
        { hang_up = "gateway" },
    ]"#;
    let calls: Vec<_> = (0..CALLS).map(|_| town.ring(caller(talk))).collect();
    eventually("all have been greeted", || async {
        let calls = town.calls().await;
        let is_greeted = |call: &&CallRecord| call.state == State::Live && call.counts.lines == 1;
        (calls.iter().filter(is_greeted).count() == CALLS).then_some(())
    })
    .await;
    town.kill().await;
    town.start().await;
    for call in calls {
        let report = call.await.expect("played").provider.expect("a provider's call");
        whole(&report);
        assert_eq!(report.attached, 2, "{report:#?}");
    }
    let kept = eventually("all are closed", || async {
        let calls = town.calls().await;
        calls.iter().all(|call| call.ended.is_some()).then_some(calls)
    })
    .await;
    assert_eq!(kept.len(), CALLS);
    for call in kept {
        assert_eq!(call.counts.lines, 3, "{call:#?}");
        assert_eq!(call.ended.map(|ended| ended.reason), Some(EndedReason::AssistantHangup));
    }
}

/// Also while they are still being taken up.
#[tokio::test(flavor = "multi_thread")]
async fn calls_that_were_let_in_are_counted_before_anybody_else_is() {
    const CALLS: usize = 8;
    let plan = plain();
    let config = format!("[server]\nmax_calls = {CALLS}\n{}", plan.config);
    let mut town = Town::open(Plan { config, ..plan }).await;
    let calls: Vec<_> = (0..CALLS).map(|_| town.ring(caller(TALK))).collect();
    eventually("all are live", || async {
        let calls = town.calls().await;
        (calls.iter().filter(|call| call.state == State::Live).count() == CALLS).then_some(())
    })
    .await;
    town.kill().await;
    town.start().await;
    let number = |text| PartyNumber::read(text, CallingCode::JAPAN);
    let asked = Asked {
        carrier: "twilio",
        call_sid: "CA000000000000000000000000000000ff".into(),
        account_sid: ACCOUNT_SID.to_owned(),
        from: number(CALLER),
        to: number(CALLEE),
        status: "ringing".to_owned(),
    };
    let plan = town.gateway().control().carrier_asked(asked).await.expect("kept");
    assert_eq!(plan, DialPlan::Reject(RejectReason::Busy));
    for call in calls {
        whole(&call.await.expect("played").provider.expect("a provider's call"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_stopped_leaves_its_calls_to_the_next_one() {
    let mut plan = plain();
    plan.environment.push(("SWITCHBOARD__SERVER__DRAIN_TIMEOUT", "0s".to_owned()));
    let mut town = Town::open(plan).await;
    let call = town.ring(caller(TALK));
    town.once("three lines are kept", |kept| kept.lines.len() == 3).await;
    assert_eq!(town.process.take().expect("a process").stop().await, 1);
    town.start().await;
    whole(&call.await.expect("played").provider.expect("a provider's call"));
    let kept = town.ended().await;
    assert_eq!((reason(&kept), kept.lines.len()), (EndedReason::AssistantHangup, 5));
    assert!(town.data.path().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridged_call_is_handed_to_the_next_process() {
    let mut plan = bridged();
    plan.environment.push(("SWITCHBOARD__SERVER__DRAIN_TIMEOUT", "0s".to_owned()));
    let mut town = Town::open(plan).await;
    let mut setup = caller(BRIDGED_TALK);
    setup.faults.fallback_within_ms = FALLBACK_WITHIN_MS;
    let call = town.ring(setup);
    town.once("three lines are kept", |kept| kept.lines.len() == 3).await;
    town.process.take().expect("a process").stop().await;
    town.start().await;
    let back = town.once("the caller is back", |kept| kept.lines.len() > 3).await;
    town.hang_up(back.call.carrier.expect("a carrier").call_sid.as_str()).await;
    let played = call.await.expect("played");
    assert!(played.carrier.documents.iter().any(|text| text.contains("<Pause")), "{:#?}", played.carrier);
    assert_eq!(played.carrier.streams.len(), 2);
}
