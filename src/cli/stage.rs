//! Where scenarios are played: a simulated world around a whole gateway, for one call.
//!
//! Each call has a world, a gateway and a data directory of its own, so that nothing one scenario does (a plugin's
//! values, a breaker that opens, a fault of the provider) can be seen by another, however many are played at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};

use super::Failure;
use super::live::{Line, Live};
use super::plugin::compiled_cache;
use super::scratch::Scratch;
use crate::call::record::{CallDetail, CallRecord, Speaker};
use crate::clock::{Clock, Entropy, SystemClock};
use crate::config::{self, Config, Environment};
use crate::gateway::Gateway;
use crate::http::{OPENAI_WEBHOOK, detail};
use crate::routing::Rollout;
use crate::sim::log::{Listener, WorldLog};
use crate::sim::scenario::{FirstPath, Mismatch, Scenario, Seen, SeenLine, SeenToolCall};
use crate::sim::world::{Options, Played, World};
use crate::store::CallQuery;

/// What a binary needs where there is no repository around it.
const GATEWAY_TOML: &str = include_str!("../../gateway.toml");
const CUSTOMER_LOOKUP: &[u8] = include_bytes!("../../plugins/customer-lookup/customer-lookup.wasm");

/// Where nobody else listens.
pub(super) const ANY_PORT: &str = "127.0.0.1:0";

/// How long the gateway may take to close a call that the carrier has seen the end of.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);
/// What stands in a scenario's `environment` for the address of the simulated business.
const BACKEND_URL: &str = "${BACKEND_URL}";

/// What of the world is the configuration's own where the provider is not simulated.
const PROVIDER: [&str; 4] = [
    "SWITCHBOARD__OPENAI__BASE_URL",
    "SWITCHBOARD__OPENAI__REALTIME_URL",
    "SWITCHBOARD__OPENAI__API_KEY",
    "SWITCHBOARD__OPENAI__PROJECT_ID",
];

/// How audio reaches the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Way {
    /// The carrier sends it to the provider.
    Sip,
    /// The gateway bridges the carrier's media stream.
    MediaStreams,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Way::Sip => "sip",
            Way::MediaStreams => "media-streams",
        }
    }
}

/// A scenario that is to be played.
pub(super) struct Show {
    pub scenario: Scenario,
    /// Where it was read; none: it is the program's own.
    pub file: Option<PathBuf>,
    /// Simulated seconds per second.
    pub speed: f64,
    /// The path, instead of the scenario's.
    pub way: Option<Way>,
    /// Is told each exchange.
    pub listener: Option<Listener>,
    /// Where the data directory is kept.
    pub keep: Option<PathBuf>,
}

/// Who the configuration is played for.
pub(super) struct Stage {
    /// The configuration's file, where a scenario names no other.
    pub config: PathBuf,
    /// What the configuration may read of the environment, besides what is simulated.
    pub environment: Environment,
    /// How the real provider is spoken to; none: it is simulated too.
    pub live: Option<Live>,
}

/// A call that was played.
pub(super) struct Told {
    pub scenario: Scenario,
    pub log: WorldLog,
    pub kept: CallDetail,
    pub mismatches: Vec<Mismatch>,
    /// What whoever reads the result should know.
    pub notes: Vec<String>,
}

impl Stage {
    /// Plays one call with a world and a gateway of its own.
    pub async fn play(&self, show: Show) -> Result<Told, Failure> {
        let Show { mut scenario, file, speed, way, listener, keep } = show;
        let own = match scenario.path {
            FirstPath::Sip => Way::Sip,
            FirstPath::MediaStreams => Way::MediaStreams,
        };
        let way = if self.live.is_some() { Way::MediaStreams } else { way.unwrap_or(own) };
        if self.live.is_some() {
            scenario.expect = scenario.expect.live();
        } else if way != own {
            scenario.expect = scenario.expect.over(way.name());
        }
        let scratch = Scratch::new().context("a temporary folder cannot be made")?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let log = WorldLog::new(Arc::clone(&clock), listener);
        let world = World::start(Options {
            seed: scenario.seed,
            provider_faults: scenario.provider_faults.clone(),
            backend: scenario.backend.clone(),
            ..Options::new(Arc::clone(&clock), log.clone(), speed)
        })
        .await
        .context("the simulated provider cannot listen")?;
        let data = match &keep {
            Some(folder) if folder.exists() => {
                return Err(anyhow!("{} exists already: name a new folder", folder.display()).into());
            }
            Some(folder) => std::path::absolute(folder)?,
            None => scratch.path().join("data"),
        };
        let named = scenario.config.as_ref().map(|path| beside(file.as_deref(), path));
        let path = named.as_deref().unwrap_or(&self.config);
        let environment = self.environment_of(&scenario.environment, &world);
        let mut config = load_in(path, environment, scratch.path(), &data, ANY_PORT)?;
        config.features.openai_sip = Rollout::from(way == Way::Sip);
        at_ease(&mut config);
        if keep.is_none() {
            // The call is closed by then: whoever still waits for late reports about it waits for nothing.
            config.server.drain_timeout = Duration::ZERO;
        }
        let line = match &self.live {
            Some(live) => Some(Line::open(*live, &mut config, &scenario, file.as_deref(), speed).await?),
            None => None,
        };
        let gateway = Gateway::start(config, clock, Entropy::System).await?;
        let gateway_url = format!("http://{}", gateway.public);
        let world = match &line {
            Some(line) => world.connect_to(&gateway_url, OPENAI_WEBHOOK, line.peer())?,
            None => world.connect(&gateway_url, OPENAI_WEBHOOK)?,
        };
        let played = world.play(scenario.caller_setup()).await;
        let kept = closed_call(&gateway).await;
        gateway.stop().await;
        let (notes, instructions) = match line {
            Some(line) => {
                let report = line.report()?;
                (report.notes, report.instructions)
            }
            None => (Vec::new(), instructions(&played)),
        };
        let kept = kept?;
        let mismatches = scenario.grade(&seen(&played, instructions, &kept, speed));
        Ok(Told { scenario, log, kept, mismatches, notes })
    }

    /// The variables that a scenario's configuration may read: those of the scenario, then of the world, then others.
    /// What stands for the vendors is the world's, whatever anybody says of it.
    fn environment_of(&self, own: &BTreeMap<String, String>, world: &World) -> Environment {
        let of_world = world.environment();
        let backend = of_world.iter().find(|(name, _)| name == "BACKEND_URL");
        let backend = backend.map(|(_, url)| url.as_str()).unwrap_or_default();
        let own = own.iter().map(|(name, text)| (name.clone(), text.replace(BACKEND_URL, backend)));
        let is_ours =
            |(name, _): &(String, String)| self.live.is_none() || !PROVIDER.contains(&name.as_str());
        let of_world: Environment = of_world.iter().filter(|one| is_ours(one)).cloned().collect();
        of_world.or(own.collect()).or(self.environment.clone())
    }
}

/// A path that a scenario names, which is relative to the scenario's own folder.
pub(super) fn beside(scenario: Option<&Path>, path: &str) -> PathBuf {
    scenario.and_then(Path::parent).unwrap_or(Path::new("")).join(path)
}

/// The configuration in this folder, or the binary's own, put into the simulated world; operators are heard there.
pub(super) fn load(
    path: &Path,
    world: &World,
    scratch: &Path,
    data: &Path,
    admin: &str,
) -> Result<Config, Failure> {
    load_in(path, world.environment().into_iter().collect(), scratch, data, admin)
}

fn load_in(
    path: &Path,
    environment: Environment,
    scratch: &Path,
    data: &Path,
    admin: &str,
) -> Result<Config, Failure> {
    let environment = places(admin, data).or(environment);
    let explain = |problems| Failure::Config(Box::new(problems));
    if path.exists() {
        return config::load(path, &environment).map_err(explain);
    }
    put_plugin(scratch)?;
    config::parse("gateway.toml", GATEWAY_TOML.as_bytes(), scratch, &environment).map_err(explain)
}

/// Where a simulated gateway listens, and keeps its calls: beside any other.
pub(super) fn places(admin: &str, data: &Path) -> Environment {
    let places = [
        ("SWITCHBOARD__SERVER__LISTEN", ANY_PORT.to_owned()),
        ("SWITCHBOARD__ADMIN__LISTEN", admin.to_owned()),
        ("SWITCHBOARD__STORE__PATH", data.display().to_string()),
    ];
    places.into_iter().collect()
}

/// The binary's own plugin, where a configuration in this folder looks for it.
pub(super) fn put_plugin(folder: &Path) -> std::io::Result<()> {
    let plugin = folder.join("plugins/customer-lookup/customer-lookup.wasm");
    if let Some(folder) = plugin.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(&plugin, CUSTOMER_LOOKUP)
}

/// A few calls of some kilobytes are no danger to any disk; what is compiled for them is of use to the next ones.
pub(super) fn at_ease(config: &mut Config) {
    config.store.free_bytes_min = 0;
    config.recordings.keep_free_bytes = 0;
    if let Some(cache) = compiled_cache() {
        config.plugin_cache = cache;
    }
}

/// The call as it is kept, once it is closed and its recordings are kept.
async fn closed_call(gateway: &Gateway) -> Result<CallDetail, Failure> {
    let store = gateway.control().store();
    let closed = async {
        loop {
            let page = store.calls(CallQuery::default(), None, 1).await?;
            if let Some(call) = page.items.first().filter(|call| call.ended.is_some()) {
                let kept = detail(store, call.id).await?;
                if kept.as_ref().is_none_or(is_settled) {
                    return anyhow::Ok(kept);
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let closed = tokio::time::timeout(CLOSED_WITHIN, closed).await;
    let kept = closed.context("the gateway did not close the call")??;
    kept.ok_or_else(|| anyhow!("the call was not kept").into())
}

/// Claims that a call that is recorded has its recordings.
pub(super) fn is_settled(kept: &CallDetail) -> bool {
    let is_recorded = kept.call.consent.is_some() && kept.call.stages.attached.is_some();
    let is_done = kept.recordings.iter().all(|record| !record.has_work());
    is_done && !(is_recorded && kept.recordings.is_empty())
}

/// The instructions of the model's last session, as the simulated provider was given them.
fn instructions(played: &Played) -> Option<String> {
    let report = played.provider.as_ref()?;
    if let Some(bridged) = report.instructions.last() {
        return Some(bridged.clone());
    }
    let accept: serde_json::Value = serde_json::from_str(report.accepts.last()?).ok()?;
    accept["instructions"].as_str().map(str::to_owned)
}

/// What was seen, in the words of scenarios; spans of time as they are in a world of this speed.
fn seen(played: &Played, instructions: Option<String>, kept: &CallDetail, speed: f64) -> Seen {
    let word = |value: serde_json::Result<serde_json::Value>| {
        value.ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    };
    let provider = played.provider.as_ref();
    let mut problems = played.carrier.problems.clone();
    problems.extend(provider.map(|report| report.protocol_errors.clone()).unwrap_or_default());
    let call = &kept.call;
    Seen {
        ended: call.ended.as_ref().map(|ended| ended.reason.as_str().to_owned()),
        route: call.route.clone(),
        session: call.session.clone(),
        path: Some(call.path.as_str().to_owned()),
        tool_calls: kept
            .tool_calls
            .iter()
            .map(|call| SeenToolCall {
                name: call.name.clone(),
                arguments: call.arguments.clone(),
                outcome: call.outcome.map(|outcome| outcome.as_str().to_owned()),
                output: call.output.clone(),
                took: call.finished.map(|finished| finished.since(call.requested).mul_f64(speed)),
            })
            .collect(),
        lines: kept
            .lines
            .iter()
            .enumerate()
            .map(|(at, line)| SeenLine {
                speaker: word(serde_json::to_value(line.speaker)),
                text: line.text.clone(),
                status: word(serde_json::to_value(line.status)),
                reply_after: reply_after(kept, at).map(|took| took.mul_f64(speed)),
            })
            .collect(),
        instructions,
        first_word: call.stages.first_word_after().map(|took| took.mul_f64(speed)),
        call: lasted(call).map(|lasted| lasted.mul_f64(speed)),
        vars: call.vars.clone(),
        transferred_to: call.handed_to.clone(),
        events: kept.events.iter().map(|event| event.kind.clone()).collect(),
        caller_hears: played.carrier.heard.iter().map(ToString::to_string).collect(),
        accepts: provider.map_or(0, |report| report.accepted as usize),
        recordings: kept.recordings.iter().filter(|record| record.is_kept()).count(),
        problems,
    }
}

/// How long after the caller's last words the assistant began this line; none where it answers nothing.
fn reply_after(kept: &CallDetail, at: usize) -> Option<Duration> {
    let line = kept.lines.get(at).filter(|line| line.speaker == Speaker::Assistant)?;
    let before = kept.lines.get(at.checked_sub(1)?).filter(|line| line.speaker == Speaker::Caller)?;
    Some(line.started.since(before.ended?))
}

fn lasted(call: &CallRecord) -> Option<Duration> {
    Some(call.stages.ended?.since(call.stages.began()?))
}
