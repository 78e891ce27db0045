//! `switchboard demo --pull-the-plug`: live calls, `kill -9`, and what is left of them.
//!
//! The gateway runs in a process of its own; carrier, provider, callers and the shop whose tool has effects are
//! simulated here, and live on. Every caller has been greeted and has ordered something when the process is killed;
//! some orders are on their way just then. The next process must find every call, lose no line that was kept,
//! and place no order twice.

use std::collections::{BTreeSet, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use poem::{EndpointExt as _, Request, Response, Server};
use tokio::task::JoinHandle;

use super::load::serve::Serve;
use super::scratch::Scratch;
use super::{Failure, print};
use crate::call::record::{CallRecord, ToolOutcomeKind};
use crate::clock::{Clock, SystemClock};
use crate::http::OPENAI_WEBHOOK;
use crate::net::PromptAcceptor;
use crate::sim::log::WorldLog;
use crate::sim::openai::CallReport;
use crate::sim::script::Script;
use crate::sim::twilio::CallerSetup;
use crate::sim::world::{ConnectedWorld, Options, Played, World};

pub(super) const CONFIG: &str = r#"
[sessions.shop]
model = "gpt-realtime-2.1"
instructions = "You take orders."
greeting = "Greet the caller."
tools = ["*"]
turn_detection = { type = "server_vad", silence_duration = "200ms" }

[[routes]]
name = "all"
session = "shop"

[tools.place_order]
description = "Places an order. It must not be placed twice."

[tools.place_order.params]
order = { type = "string" }

[tools.place_order.http]
method = "POST"
url = "${SHOP_URL}/orders/{{ args.order }}"
private_hosts = ["127.0.0.1"]
"#;

/// The pause, four real seconds: callers do not all speak in the second in which their sidebands come back, so that
/// what is measured is the coming back.
const SCRIPT: &str = r#"
steps = [
    { model = { says = "Sakura Shop, good morning." } },
    { caller = { says = "One box of tea, please." } },
    { model = { calls = [{ name = "place_order", arguments = { order = "{caller}-tea" } }] } },
    { model = { says = "Thank you. Anything else?" } },
    { await_sidebands = 2 },
    { pause_ms = 20000 },
    { caller = { says = "And one cup, please." } },
    { model = { calls = [{ name = "place_order", arguments = { order = "{caller}-cup" } }] } },
    { model = { says = "Thank you for your order.", calls = [{ name = "hangup" }] } },
    { hang_up = "gateway" },
]
"#;
/// Simulated seconds per second.
const SPEED: f64 = 5.0;
/// How long the shop takes for an order.
const ORDER_TAKES: Duration = Duration::from_millis(400);
/// So long a few callers take to dial in, so that they are at different places of their talk when the plug is pulled.
const CALLERS_WITHIN: Duration = Duration::from_millis(1_500);
/// Many take longer: so far apart are they at least, that the simulated carrier's timeouts are not at fault.
const CALLERS_APART: Duration = Duration::from_millis(15);
/// How long all callers may take until they have ordered, and until they are done.
const PLAYED_WITHIN: Duration = Duration::from_secs(180);
/// How often it is looked how far things are.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The first caller's number.
const FIRST_CALLER: u64 = 819_000_000_000;

/// What was seen of all calls.
#[derive(Default)]
struct Seen {
    live: usize,
    orders_at_work: usize,
    lines_before: HashMap<String, u32>,
    ready_after: Duration,
    attached: usize,
    attached_after: Duration,
    alone_longest: Duration,
    lines_lost: u32,
    lines_after: u32,
    orders: usize,
    orders_doubled: usize,
    answered: usize,
    asked: u32,
    interrupted: usize,
    sent_again: usize,
    closed: usize,
    /// What was not as it should be.
    problems: Vec<String>,
}

/// Orders by number, and how often each was placed.
#[derive(Clone, Default)]
pub(super) struct Shop(Arc<Mutex<HashMap<String, u32>>>);

impl Shop {
    /// Opens; gives its address.
    pub async fn open(&self) -> std::io::Result<String> {
        let acceptor = PromptAcceptor::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let url = format!("http://{}", acceptor.address());
        let shop = self.clone();
        let endpoint =
            poem::endpoint::make::<_, _, Response, poem::Result<Response>>(move |request: Request| {
                let shop = shop.clone();
                async move {
                    // Placed when it comes; the answer takes its time.
                    *shop.orders().entry(request.uri().path().to_owned()).or_default() += 1;
                    tokio::time::sleep(ORDER_TAKES).await;
                    Ok(Response::builder().content_type("application/json").body(r#"{"placed":true}"#))
                }
            });
        tokio::spawn(Server::new_with_acceptor(acceptor).run(endpoint.map_to_response()));
        Ok(url)
    }

    /// The orders so far.
    pub fn orders(&self) -> std::sync::MutexGuard<'_, HashMap<String, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Plays it with so many calls.
pub(super) async fn run(calls: u32, is_handover: bool) -> Result<(), Failure> {
    let scratch = Scratch::new().context("a temporary folder cannot be made")?;
    let data = scratch.path().join("data");
    let config = scratch.path().join("gateway.toml");
    std::fs::write(&config, CONFIG)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let log = WorldLog::quiet(Arc::clone(&clock));
    let world = World::start(Options::new(clock, log, SPEED)).await?;
    let shop = Shop::default();
    let mut environment = world.environment();
    environment.push(("SHOP_URL".to_owned(), shop.open().await?));
    environment.push(("SWITCHBOARD_CONFIG".to_owned(), config.display().to_string()));
    let mut first = Serve::start(environment.clone(), &data).await?;
    environment.push(("SWITCHBOARD__SERVER__LISTEN".to_owned(), first.public.clone()));
    let world = world.connect(&format!("http://{}", first.public), OPENAI_WEBHOOK)?;
    let callers = ring(&world, calls).await?;
    let mut seen = Seen::default();

    let has_ordered = |report: &CallReport| report.tool_calls > 0;
    wait(&world, calls, has_ordered, "not every caller could order something").await?;
    let before = first.newest(calls).await?;
    seen.lines_before = before.iter().map(|call| (call.id.to_string(), call.counts.lines)).collect();
    seen.live = before.iter().filter(|call| call.ended.is_none()).count();
    if !is_handover {
        first.kill().await?;
    }
    let reports = world.openai.calls();
    seen.orders_at_work = reports.iter().filter(|report| report.tool_outputs.is_empty()).count();
    say(&format!("{} calls are live, {} orders are on their way", seen.live, seen.orders_at_work))?;
    say(match is_handover {
        true => "handover: a new program takes the gateway's place, and the callers keep hearing the model",
        false => "kill -9: the gateway is gone, and the callers keep hearing the model",
    })?;
    let began = Instant::now();
    let mut second = match is_handover {
        true => {
            first.hand_over().await?;
            first
        }
        false => Serve::start(environment, &data).await?,
    };
    seen.ready_after = began.elapsed();
    let is_back = |report: &CallReport| report.attached > 1 || report.is_over;
    wait(&world, calls, is_back, "not every sideband came back").await?;
    seen.attached_after = began.elapsed();
    for caller in callers {
        let played = tokio::time::timeout(PLAYED_WITHIN, caller).await;
        played.context("not every call came to its end")??;
    }
    seen.look_back(&world, &shop, &second.records(calls).await?);
    if is_handover && seen.interrupted > 0 {
        seen.problems.push("tools are finished before a handover, and some were interrupted".to_owned());
    }
    second.stop().await?;
    seen.report(calls)
}

/// Callers dial in, one after the other.
async fn ring(world: &ConnectedWorld, calls: u32) -> anyhow::Result<Vec<JoinHandle<Played>>> {
    let script: Script = toml::from_str(SCRIPT)?;
    let mut callers = Vec::new();
    for n in 0..calls {
        let setup =
            CallerSetup::new(&format!("+{}", FIRST_CALLER + u64::from(n)), "+815012345678", script.clone());
        let world = world.clone();
        callers.push(tokio::spawn(async move { world.play(setup).await }));
        tokio::time::sleep(CALLERS_APART.max(CALLERS_WITHIN / calls)).await;
    }
    Ok(callers)
}

async fn wait(
    world: &ConnectedWorld,
    calls: u32,
    is_so: impl Fn(&CallReport) -> bool,
    otherwise: &'static str,
) -> anyhow::Result<()> {
    let all = async {
        while world.openai.count(&is_so) < calls as usize {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::time::timeout(PLAYED_WITHIN, all).await.context(otherwise)
}

fn say(line: &str) -> Result<(), Failure> {
    print(&format!("{line}\n"))
}

impl Seen {
    /// What the vendors, the shop and the records know in the end.
    fn look_back(&mut self, world: &ConnectedWorld, shop: &Shop, records: &[CallRecord]) {
        for report in world.openai.calls() {
            self.attached += usize::from(report.attached > 1);
            self.alone_longest = self.alone_longest.max(report.alone_longest);
            self.asked += report.tool_calls;
            let answered: BTreeSet<&str> =
                report.tool_outputs.iter().map(|output| output.tool_call.as_str()).collect();
            self.answered += answered.len();
            // Those whose acknowledgement was under way when the process went (docs/durability.md, "Live calls", 3).
            let sent_again = report.tool_outputs.len() - answered.len();
            self.sent_again += sent_again;
            let follows_from_that = |error: &String| {
                sent_again > 0
                    && (error.starts_with("two outputs for ") || error.starts_with("response.create while "))
            };
            let has_errors = !report.protocol_errors.iter().all(follows_from_that);
            let interrupted = format!("\"error\":\"{}\"", ToolOutcomeKind::Interrupted.as_str());
            self.interrupted +=
                report.tool_outputs.iter().filter(|output| output.output.contains(&interrupted)).count();
            if report.accepted != 1 || !report.script_done || has_errors {
                self.problems.push(format!(
                    "{}: accepted {}, attached {}, {:?}",
                    report.call_id, report.accepted, report.attached, report.protocol_errors
                ));
            }
        }
        let orders = shop.orders();
        self.orders = orders.len();
        self.orders_doubled = orders.values().filter(|placed| **placed > 1).count();
        for record in records {
            self.closed += usize::from(record.ended.is_some());
            self.lines_after += record.counts.lines;
            let before = self.lines_before.get(&record.id.to_string()).copied().unwrap_or(0);
            self.lines_lost += before.saturating_sub(record.counts.lines);
        }
    }

    fn report(&self, calls: u32) -> Result<(), Failure> {
        let all = calls as usize;
        let before: u32 = self.lines_before.values().sum();
        let seconds = |span: Duration| format!("{:.2} s", span.as_secs_f64());
        say(&format!("started again: ready after {}\n", seconds(self.ready_after)))?;
        say(&format!(
            "sidebands    {} of {all} attached again, the last {} after the start; down for {} at most",
            self.attached,
            seconds(self.attached_after),
            seconds(self.alone_longest)
        ))?;
        say(&format!(
            "transcripts  {before} lines were kept before, {} of them lost; {} in the end",
            self.lines_lost, self.lines_after
        ))?;
        say(&format!(
            "tools        {} asked, {} answered, {} of them sent again; {} were interrupted, and the model was told so",
            self.asked, self.answered, self.sent_again, self.interrupted
        ))?;
        say(&format!("effects      {} orders placed, {} doubled", self.orders, self.orders_doubled))?;
        say(&format!("calls        {} of {all} closed", self.closed))?;
        for problem in self.problems.iter().take(10) {
            eprintln!("{problem}");
        }
        let is_whole = self.attached == all
            && self.live == all
            && self.closed == all
            && self.lines_lost == 0
            && self.orders_doubled == 0
            && self.answered == self.asked as usize
            && self.problems.is_empty();
        if is_whole { Ok(()) } else { Err(anyhow!("something was lost").into()) }
    }
}
