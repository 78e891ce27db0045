//! `switchboard demo`: a whole gateway answers a simulated call, over real sockets, without an account.
//!
//! Without a scenario of one's own two more calls follow in short: the same caller over the rollback path, and one
//! whose SIP leg breaks off in the middle.
//!
//! The configuration is the `gateway.toml` in this folder, so that newcomers hear their own change, or
//! else the copy inside the binary. Only what must differ is overridden: the vendors' addresses and
//! secrets, the listeners, and a data directory of its own that is thrown away.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use serde_json::json;

use super::init::placeholders;
use super::plugin::compiled_cache;
use super::scratch::Scratch;
use super::{Failure, failures, print, pull_the_plug, torture, view};
use crate::call::record::CallDetail;
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
const SCENARIO: &str = include_str!("../../examples/scenarios/japanese-customer-lookup.toml");
/// For a configuration that does not know the customers of the story above.
const FIRST_CALL: &str = include_str!("../../examples/scenarios/first-call.toml");
const FAILOVER: &str = include_str!("../../examples/scenarios/failover.toml");

/// How long the gateway may take to close a call that the carrier has seen the end of.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A scenario file; without one a Japanese caller asks for her order, or where the configuration has nothing to look
    /// one up, somebody asks a question.
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Simulated seconds per second, instead of the scenario's.
    #[arg(long)]
    speed: Option<f64>,
    /// How the caller's audio reaches the model first, instead of the scenario's path.
    #[arg(long, value_name = "PATH", value_enum)]
    path: Option<Way>,
    /// Play every failure of the SIP leg instead, and print what the caller was left with.
    #[arg(long, conflicts_with_all = ["scenario", "path", "json"])]
    failures: bool,
    /// Kill the gateway in the middle of live calls instead, start it again, and print what was lost.
    #[arg(long, conflicts_with_all = ["scenario", "path", "json", "failures", "speed", "keep"])]
    pull_the_plug: bool,
    /// With `--pull-the-plug`: how many calls.
    #[arg(long, default_value_t = 20, requires = "pull_the_plug", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    calls: u32,
    /// With `--pull-the-plug`: instead of once, so often, at random moments and also while it starts.
    #[arg(long, value_name = "ROUNDS", requires = "pull_the_plug", conflicts_with_all = ["calls", "handover"], value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rounds: Option<u32>,
    /// With `--rounds`: what the moments and the callers come from.
    #[arg(long, default_value_t = 1, requires = "rounds")]
    seed: u64,
    /// With `--pull-the-plug`: hand over to a new program in an orderly way instead of killing the old one.
    #[arg(long, requires = "pull_the_plug")]
    handover: bool,
    /// Keep the data directory here instead of throwing it away; it must not exist yet.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// Print the exchanges and the stored call as JSON.
    #[arg(long)]
    json: bool,
}

/// How audio reaches the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Way {
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

pub(super) async fn run(path: &Path, arguments: Arguments) -> Result<(), Failure> {
    if arguments.pull_the_plug {
        return match arguments.rounds {
            Some(rounds) => torture::run(rounds, arguments.seed).await,
            None => pull_the_plug::run(arguments.calls, arguments.handover).await,
        };
    }
    if arguments.failures {
        return play_failures(arguments.speed.unwrap_or(1.0)).await;
    }
    let is_own = arguments.scenario.is_none() && is_own(path);
    let scenario = match &arguments.scenario {
        Some(path) => Scenario::load(path)?,
        None if is_own => Scenario::parse(FIRST_CALL, "first-call.toml")?,
        None => Scenario::parse(SCENARIO, "japanese-customer-lookup.toml")?,
    };
    let is_tour = arguments.scenario.is_none() && !is_own && arguments.path.is_none() && !arguments.json;
    let listener: Option<Listener> =
        if arguments.json { None } else { Some(Box::new(|line| println!("{line}"))) };
    let stage = Stage { config: path, arguments: &arguments };
    if !arguments.json {
        println!("{}: {}\n", scenario.name, scenario.description);
    }
    let told = Box::pin(stage.play(scenario, arguments.path, listener, arguments.keep.as_deref())).await?;
    if arguments.json {
        told.print_json();
    } else {
        println!("\n{}", view::detail(&told.kept));
    }
    if let Some(folder) = &arguments.keep {
        eprintln!("what the gateway keeps is in {}", folder.display());
    }
    if is_tour {
        println!("two more callers, in short, in a moment …\n");
        // Beside each other: newcomers have waited long enough.
        let bridged = Scenario::parse(SCENARIO, "japanese-customer-lookup.toml")?;
        let broken = Scenario::parse(FAILOVER, "failover.toml")?;
        let (bridged, broken) = tokio::try_join!(
            Box::pin(stage.play(bridged, Some(Way::MediaStreams), None, None)),
            Box::pin(stage.play(broken, None, None, None)),
        )?;
        println!("the same caller over the rollback path, USE_OPENAI_SIP=false:\n{}", bridged.in_short());
        println!("a caller whose SIP leg breaks off in the middle:\n{}", broken.in_short());
        bridged.verdict()?;
        broken.verdict()?;
    }
    told.verdict()
}

/// Where calls are played.
struct Stage<'a> {
    /// The configuration's file.
    config: &'a Path,
    arguments: &'a Arguments,
}

/// A call that was played.
struct Told {
    scenario: Scenario,
    log: WorldLog,
    kept: CallDetail,
    mismatches: Vec<Mismatch>,
}

impl Stage<'_> {
    /// Plays one call with a world and a gateway of its own.
    async fn play(
        &self,
        mut scenario: Scenario,
        way: Option<Way>,
        listener: Option<Listener>,
        keep: Option<&Path>,
    ) -> Result<Told, Failure> {
        let own = match scenario.path {
            FirstPath::Sip => Way::Sip,
            FirstPath::MediaStreams => Way::MediaStreams,
        };
        let way = way.unwrap_or(own);
        if way != own {
            scenario.expect = scenario.expect.over(way.name());
        }
        let scratch = Scratch::new().context("a temporary folder cannot be made")?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let log = WorldLog::new(Arc::clone(&clock), listener);
        let speed = self.arguments.speed.unwrap_or(scenario.speed);
        let world = World::start(Options {
            seed: scenario.seed,
            provider_faults: scenario.provider_faults.clone(),
            backend: scenario.backend.clone(),
            ..Options::new(Arc::clone(&clock), log.clone(), speed)
        })
        .await
        .context("the simulated provider cannot listen")?;
        let data = match keep {
            Some(folder) if folder.exists() => {
                return Err(anyhow!("{} exists already: name a new folder", folder.display()).into());
            }
            Some(folder) => std::path::absolute(folder)?,
            None => scratch.path().join("data"),
        };
        let config = scenario.config.as_ref().map(|path| beside(self.arguments.scenario.as_deref(), path));
        let config = config.as_deref().unwrap_or(self.config);
        let mut config = load(config, &world, scratch.path(), &data, "127.0.0.1:0")?;
        config.features.openai_sip = Rollout::from(way == Way::Sip);
        at_ease(&mut config);
        let gateway = Gateway::start(config, clock, Entropy::System).await?;
        let world = world.connect(&format!("http://{}", gateway.public), OPENAI_WEBHOOK)?;
        let played = world.play(scenario.caller_setup()).await;
        let kept = closed_call(&gateway).await;
        gateway.stop().await;
        let kept = kept?;
        let mismatches = scenario.expect.grade(&seen(&played, &kept));
        Ok(Told { scenario, log, kept, mismatches })
    }
}

/// Claims that this is somebody's own configuration, with nothing to look an order up.
fn is_own(path: &Path) -> bool {
    let looks_up = |config: Config| {
        let mut tools = config.sessions.values().flat_map(|session| &session.tools);
        tools.any(|pattern| pattern.matches("lookup_customer"))
    };
    // What is wrong with it is told when it is played.
    path.exists() && config::load(path, &placeholders()).is_ok_and(|config| !looks_up(config))
}

/// One after the other: each takes as long as its caller waits.
async fn play_failures(speed: f64) -> Result<(), Failure> {
    print(failures::HEAD)?;
    let mut lost = 0;
    for failure in failures::ALL {
        let outcome = failure.play(speed, "").await?;
        lost += usize::from(!outcome.is_saved);
        print(&failures::row(failure, &outcome))?;
    }
    match lost {
        0 => Ok(()),
        lost => Err(anyhow!("{lost} callers were lost").into()),
    }
}

/// A path that a scenario names, which is relative to the scenario's own folder.
fn beside(scenario: Option<&Path>, path: &str) -> PathBuf {
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
    let mut environment = world.environment();
    for (name, value) in [
        ("SWITCHBOARD__SERVER__LISTEN", "127.0.0.1:0".to_owned()),
        ("SWITCHBOARD__ADMIN__LISTEN", admin.to_owned()),
        ("SWITCHBOARD__STORE__PATH", data.display().to_string()),
    ] {
        environment.push((name.to_owned(), value));
    }
    let environment: Environment = environment.into_iter().collect();
    let explain = |problems| Failure::Config(Box::new(problems));
    if path.exists() {
        return config::load(path, &environment).map_err(explain);
    }
    let plugin = scratch.join("plugins/customer-lookup/customer-lookup.wasm");
    if let Some(folder) = plugin.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(&plugin, CUSTOMER_LOOKUP)?;
    config::parse("gateway.toml", GATEWAY_TOML.as_bytes(), scratch, &environment).map_err(explain)
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
fn is_settled(kept: &CallDetail) -> bool {
    let is_recorded = kept.call.consent.is_some() && kept.call.stages.attached.is_some();
    let is_done = kept.recordings.iter().all(|record| !record.has_work());
    is_done && !(is_recorded && kept.recordings.is_empty())
}

/// What was seen, in the words of scenarios.
fn seen(played: &Played, kept: &CallDetail) -> Seen {
    let word = |value: serde_json::Result<serde_json::Value>| {
        value.ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    };
    let provider = played.provider.as_ref();
    let mut problems = played.carrier.problems.clone();
    problems.extend(provider.map(|report| report.protocol_errors.clone()).unwrap_or_default());
    Seen {
        ended: kept.call.ended.as_ref().map(|ended| ended.reason.as_str().to_owned()),
        route: kept.call.route.clone(),
        session: kept.call.session.clone(),
        path: Some(word(serde_json::to_value(kept.call.path))),
        tool_calls: kept
            .tool_calls
            .iter()
            .map(|call| SeenToolCall {
                name: call.name.clone(),
                outcome: call.outcome.map(|outcome| outcome.as_str().to_owned()),
                output: call.output.clone(),
            })
            .collect(),
        lines: kept
            .lines
            .iter()
            .map(|line| SeenLine {
                speaker: word(serde_json::to_value(line.speaker)),
                text: line.text.clone(),
                status: word(serde_json::to_value(line.status)),
            })
            .collect(),
        caller_hears: played.carrier.heard.iter().map(ToString::to_string).collect(),
        accepts: provider.map_or(0, |report| report.accepted as usize),
        recordings: kept.recordings.iter().filter(|record| record.is_kept()).count(),
        problems,
    }
}

impl Told {
    fn print_json(&self) {
        let lines: Vec<String> = self.log.text().lines().map(str::to_owned).collect();
        let mismatches: Vec<String> = self.mismatches.iter().map(ToString::to_string).collect();
        let name = &self.scenario.name;
        let page = json!({ "scenario": name, "log": lines, "call": self.kept, "mismatches": mismatches });
        println!("{page:#}");
    }

    fn in_short(&self) -> String {
        view::in_short(&self.kept)
    }

    fn verdict(&self) -> Result<(), Failure> {
        let name = &self.scenario.name;
        if self.mismatches.is_empty() {
            eprintln!("the call over {} went as `{name}` says", self.kept.call.path.as_str());
            return Ok(());
        }
        for mismatch in &self.mismatches {
            eprintln!("{mismatch}");
        }
        Err(anyhow!("the call did not go as `{name}` says").into())
    }
}
