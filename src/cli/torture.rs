//! `switchboard demo --pull-the-plug --rounds N`: `kill -9` at random moments, again and again, while people keep calling.
//!
//! The gateway is a process of its own and dies wherever it is: in the middle of calls, of a write, of its own start. In the
//! end everything that it ever acknowledged is compared with what is on disk: every webhook and every callback that
//! was answered with 2xx, every line and every call that an operator was shown, every order at the shop. Moments and
//! callers come from one seed; what the operating system does in between does not.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::task::JoinHandle;

use super::load::serve::Serve;
use super::pull_the_plug::{CONFIG, Shop};
use super::scratch::Scratch;
use super::{Failure, print, progress};
use crate::call::record::{CallDetail, CallRecord, State, Usage};
use crate::clock::{Clock, Entropy, SystemClock};
use crate::http::OPENAI_WEBHOOK;
use crate::ids::CallId;
use crate::sim::log::WorldLog;
use crate::sim::openai::CallReport;
use crate::sim::script::Script;
use crate::sim::twilio::{CallerSetup, Delivery, RequestKind};
use crate::sim::world::{ConnectedWorld, Options, Played, World};
use crate::store::{CallQuery, PAGE_MAX, Settings, Store};

const SCRIPT: &str = r#"
steps = [
    { model = { says = "Sakura Shop." } },
    { caller = { says = "Tea, please." } },
    { model = { calls = [{ name = "place_order", arguments = { order = "{caller}-tea" } }] } },
    { model = { says = "Thank you. Anything else?" } },
    { pause_ms = 1500 },
    { caller = { says = "And a cup." } },
    { model = { calls = [{ name = "place_order", arguments = { order = "{caller}-cup" } }] } },
    { model = { says = "Thank you." } },
    { hang_up = "caller" },
]
"#;
/// Simulated seconds per second.
const SPEED: f64 = 5.0;
/// So many people call at the same time; each calls again when the last call is over.
const AT_ONCE: u32 = 12;
/// A caller whose model waits for an answer that was lost on its way puts the phone down after this, simulated.
const PATIENCE: Duration = Duration::from_secs(40);
/// The gateway lives so long after it is ready, in milliseconds.
const LIVES_MS: std::ops::Range<u64> = 20..900;
/// One start of so many is killed before it is ready, after so many milliseconds at most.
const KILLED_AT_START: u64 = 4;
const START_MS: u64 = 250;
/// How long the last calls may take to end.
const ENDS_WITHIN: Duration = Duration::from_secs(120);
/// Between the end of a caller's call and the next one, so that a gateway that is away is not stormed.
const PAUSE: Duration = Duration::from_millis(50);
/// The first caller's number.
const FIRST_CALLER: u32 = 1_000_000;
/// Of what went wrong, so much is printed.
const PROBLEMS_SHOWN: usize = 10;

/// Callers who call until they are told to stop.
struct Town {
    world: ConnectedWorld,
    is_over: AtomicBool,
    next: AtomicU32,
}

impl Town {
    async fn keep_calling(self: Arc<Self>, script: Script) -> Vec<Played> {
        let mut played = Vec::new();
        while !self.is_over.load(Ordering::Relaxed) {
            let number = FIRST_CALLER + self.next.fetch_add(1, Ordering::Relaxed);
            let mut setup = CallerSetup::new(&format!("+8190{number:08}"), "+815012345678", script.clone());
            setup.hangs_up_after = Some(PATIENCE);
            played.push(self.world.play(setup).await);
            tokio::time::sleep(PAUSE).await;
        }
        played
    }
}

/// What was seen, and what was not as it should be.
#[derive(Default)]
struct Seen {
    kills: u32,
    killed_at_start: u32,
    /// How many lines a call had that an operator was shown.
    lines: BTreeMap<CallId, u32>,
    webhooks: usize,
    callbacks: usize,
    calls: usize,
    problems: Vec<String>,
}

/// Pulls the plug so often.
pub(super) async fn run(rounds: u32, seed: u64) -> Result<(), Failure> {
    let scratch = Scratch::new().context("a temporary folder cannot be made")?;
    let data = scratch.path().join("data");
    let config = scratch.path().join("gateway.toml");
    std::fs::write(&config, CONFIG)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut options = Options::new(Arc::clone(&clock), WorldLog::quiet(Arc::clone(&clock)), SPEED);
    options.seed = seed;
    let world = World::start(options).await?;
    let shop = Shop::default();
    let mut environment = world.environment();
    environment.push(("SHOP_URL".to_owned(), shop.open().await?));
    environment.push(("SWITCHBOARD_CONFIG".to_owned(), config.display().to_string()));
    let chance = Entropy::seeded(seed);
    environment.push(("SWITCHBOARD__SERVER__LISTEN".to_owned(), free_address(&chance)?));
    let first = Serve::start(environment.clone(), &data).await?;
    let world = world.connect(&format!("http://{}", first.public), OPENAI_WEBHOOK)?;
    let town = Arc::new(Town { world, is_over: AtomicBool::new(false), next: AtomicU32::new(0) });
    let script: Script = toml::from_str(SCRIPT)?;
    let callers: Vec<JoinHandle<Vec<Played>>> =
        (0..AT_ONCE).map(|_| tokio::spawn(Arc::clone(&town).keep_calling(script.clone()))).collect();

    let mut seen = Seen::default();
    let mut gateway = first;
    let bar = progress::counting(u64::from(rounds), "kills");
    for _ in 0..rounds {
        seen.let_die(&mut gateway, &chance).await?;
        gateway = seen.start(&environment, &data, &chance).await?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    town.is_over.store(true, Ordering::Relaxed);
    let mut played = Vec::new();
    for caller in callers {
        let ended = tokio::time::timeout(ENDS_WITHIN, caller).await;
        played.extend(ended.context("not every call came to its end")??);
    }
    gateway.records(u32::MAX).await?;
    gateway.stop().await?;
    let kept = read(&data, clock).await?;
    seen.look_back(&town.world.openai.calls(), &played, &kept);
    seen.look_at_orders(&shop);
    seen.report(rounds, seed, &kept, &shop)
}

/// Everything that is on disk.
async fn read(data: &std::path::Path, clock: Arc<dyn Clock>) -> anyhow::Result<Vec<CallDetail>> {
    let (store, _) = Store::open(&Settings::at(data), clock)?;
    let (mut kept, mut after) = (Vec::new(), None);
    loop {
        let page = store.calls(CallQuery::default(), after, PAGE_MAX).await?;
        for record in &page.items {
            kept.extend(store.detail(record.id).await?);
        }
        after = match page.next {
            Some(next) => Some(next),
            None => break,
        };
    }
    store.close().await?;
    Ok(kept)
}

/// An address that stays free while the gateway is away: the operating system gives ports above 32,767 to whoever
/// connects somewhere.
fn free_address(chance: &Entropy) -> anyhow::Result<String> {
    for _ in 0..100 {
        let address = format!("127.0.0.1:{}", 20_000 + below(chance, 10_000));
        if std::net::TcpListener::bind(&address).is_ok() {
            return Ok(address);
        }
    }
    Err(anyhow!("no port between 20,000 and 30,000 is free"))
}

fn below(chance: &Entropy, bound: u64) -> u64 {
    u64::from(u32::from_be_bytes(chance.bytes())) % bound.max(1)
}

impl Seen {
    /// The gateway lives for a while; then it is gone.
    async fn let_die(&mut self, gateway: &mut Serve, chance: &Entropy) -> anyhow::Result<()> {
        let lives = LIVES_MS.start + below(chance, LIVES_MS.end - LIVES_MS.start);
        tokio::time::sleep(Duration::from_millis(lives)).await;
        if below(chance, 3) == 0 {
            for record in gateway.newest(50).await? {
                let lines = self.lines.entry(record.id).or_default();
                *lines = record.counts.lines.max(*lines);
            }
        }
        gateway.kill().await?;
        self.kills += 1;
        Ok(())
    }

    /// The next one starts; some die of that.
    async fn start(
        &mut self,
        environment: &[(String, String)],
        data: &std::path::Path,
        chance: &Entropy,
    ) -> anyhow::Result<Serve> {
        while below(chance, KILLED_AT_START) == 0 {
            let within = Duration::from_millis(below(chance, START_MS));
            match Serve::start_within(within, environment.to_vec(), data).await? {
                Some(started) => return Ok(started),
                None => self.killed_at_start += 1,
            }
        }
        Serve::start(environment.to_vec(), data).await
    }

    /// What was acknowledged is on disk, and what is on disk is whole.
    fn look_back(&mut self, sessions: &[CallReport], played: &[Played], kept: &[CallDetail]) {
        let records: Vec<&CallRecord> = kept.iter().map(|detail| &detail.call).collect();
        self.calls = records.len();
        self.webhooks_are_kept(sessions, &records);
        self.callbacks_are_kept(played, &records);
        for detail in kept {
            if let Some(problem) = incomplete(detail) {
                self.problems.push(format!("{}: {problem}", detail.call.id));
            }
        }
        let lines: HashMap<CallId, u32> =
            records.iter().map(|record| (record.id, record.counts.lines)).collect();
        for (id, shown) in &self.lines {
            match lines.get(id) {
                None => self.problems.push(format!("{id} was shown and is not on disk")),
                Some(now) if now < shown => {
                    self.problems.push(format!("{id}: {shown} lines were shown, {now} are there"));
                }
                Some(_) => {}
            }
        }
    }

    fn webhooks_are_kept(&mut self, sessions: &[CallReport], records: &[&CallRecord]) {
        let by_moved = |record: &&CallRecord| record.moved.as_ref()?.provider_call.clone();
        let by_provider = records.iter().filter_map(|record| Some(record.provider.as_ref()?.call_id.clone()));
        let known: HashSet<String> =
            by_provider.chain(records.iter().filter_map(by_moved)).map(|id| id.0).collect();
        for session in sessions {
            let acknowledged =
                session.webhook_statuses.iter().filter(|status| (200..300).contains(*status)).count();
            self.webhooks += acknowledged;
            if acknowledged > 0 && !known.contains(&session.call_id) {
                self.problems
                    .push(format!("the webhook of {} was acknowledged and is not on disk", session.call_id));
            }
            if session.accepted > 1 {
                self.problems.push(format!("{} was accepted {} times", session.call_id, session.accepted));
            }
        }
    }

    fn callbacks_are_kept(&mut self, played: &[Played], records: &[&CallRecord]) {
        let mut known: HashMap<&str, Vec<&CallRecord>> = HashMap::new();
        for record in records {
            if let Some(carrier) = &record.carrier {
                known.entry(carrier.call_sid.as_str()).or_default().push(record);
            }
        }
        for call in played {
            let is_taken =
                |delivery: &&Delivery| delivery.status().is_some_and(|status| (200..300).contains(&status));
            let taken: Vec<&Delivery> = call.carrier.deliveries.iter().filter(is_taken).collect();
            self.callbacks += taken.len();
            let sid = call.carrier.call_sid.as_str();
            // The end of a call that nobody ever answered is nothing to be kept.
            let mut kinds = taken.iter().map(|delivery| delivery.kind);
            let is_unknown = kinds.all(|kind| kind == RequestKind::Status);
            let problem = match known.get(sid).map(Vec::as_slice) {
                None | Some([]) if is_unknown => continue,
                None | Some([]) => {
                    let kinds: Vec<RequestKind> = taken.iter().map(|delivery| delivery.kind).collect();
                    format!("was answered ({kinds:?}) and is not on disk")
                }
                Some([record]) => {
                    let told_end = taken.iter().any(|delivery| delivery.kind == RequestKind::Status);
                    let knows_end = record.carrier.as_ref().is_some_and(|carrier| carrier.is_over());
                    if !told_end || knows_end {
                        continue;
                    }
                    "was told that the caller is gone, and does not know it".to_owned()
                }
                Some(several) => format!("has {} calls", several.len()),
            };
            self.problems.push(format!("{sid} {problem}"));
        }
    }

    fn look_at_orders(&mut self, shop: &Shop) {
        for (order, times) in shop.orders().iter().filter(|(_, times)| **times > 1) {
            self.problems.push(format!("{order} was placed {times} times"));
        }
    }

    fn report(&self, rounds: u32, seed: u64, kept: &[CallDetail], shop: &Shop) -> Result<(), Failure> {
        let lines: usize = kept.iter().map(|detail| detail.lines.len()).sum();
        let tools: usize = kept.iter().map(|detail| detail.tool_calls.len()).sum();
        let interrupted = kept.iter().flat_map(|detail| &detail.events);
        let restarts = interrupted.filter(|event| event.kind == "gateway.restarted").count();
        print(&format!(
            "rounds      {rounds} (seed {seed}): {} kills of a running gateway, {} of one that was starting\n\
             calls       {} kept and closed; {restarts} times one was taken up by the next process\n\
             vendors     {} webhooks and {} requests of the carrier were acknowledged\n\
             transcripts {lines} lines, {} calls shown to an operator before a kill\n\
             effects     {tools} tool calls, {} orders placed\n",
            self.kills,
            self.killed_at_start,
            self.calls,
            self.webhooks,
            self.callbacks,
            self.lines.len(),
            shop.orders().len(),
        ))?;
        for problem in self.problems.iter().take(PROBLEMS_SHOWN) {
            eprintln!("{problem}");
        }
        if self.problems.is_empty() {
            return print("everything that was acknowledged is there, nothing is there twice\n");
        }
        Err(anyhow!("{} things are not as they were acknowledged", self.problems.len()).into())
    }
}

/// What is missing of a call that is over, or there twice.
fn incomplete(detail: &CallDetail) -> Option<String> {
    let call = &detail.call;
    if call.state != State::Ended || call.ended.is_none() {
        return Some(format!("it was never closed: {:?}", call.state));
    }
    let told = [call.counts.lines, call.counts.tool_calls, call.counts.usage, call.counts.events];
    let found = [detail.lines.len(), detail.tool_calls.len(), detail.usage.len(), detail.events.len()];
    if found != told.map(|count| count as usize) {
        return Some(format!("its record counts {told:?} parts, and there are {found:?}"));
    }
    if let Some(tool) = detail.tool_calls.iter().find(|tool| tool.outcome.is_none()) {
        return Some(format!("tool call {} has no outcome", tool.tool_call_id));
    }
    let mut usage = Usage::default();
    detail.usage.iter().for_each(|used| usage += &used.usage);
    let turns: Vec<_> = detail.usage.iter().filter_map(|used| used.turn.as_ref()).collect();
    if turns.iter().collect::<HashSet<_>>().len() != turns.len() || usage != call.usage {
        return Some("its usage is counted otherwise than it was reported".to_owned());
    }
    None
}
