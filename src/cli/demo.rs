//! `switchboard demo`: a whole gateway answers a simulated call, over real sockets, without an account.
//!
//! Without a scenario of one's own two more calls follow in short: the same caller over the rollback path, and one
//! whose SIP leg breaks off in the middle.
//!
//! The configuration is the `gateway.toml` in this folder, so that newcomers hear their own change, or
//! else the copy inside the binary. Only what must differ is overridden: the vendors' addresses and
//! secrets, the listeners, and a data directory of its own that is thrown away.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Args;
use serde_json::json;

use super::init::placeholders;
use super::stage::{Show, Stage, Told, Way};
use super::{Failure, failures, print, pull_the_plug, torture, view};
use crate::config::{self, Config, Environment};
use crate::sim::log::Listener;
use crate::sim::scenario::Scenario;

const SCENARIO: &str = include_str!("../../examples/scenarios/japanese-customer-lookup.toml");
/// For a configuration that does not know the customers of the story above.
const FIRST_CALL: &str = include_str!("../../examples/scenarios/first-call.toml");
const FAILOVER: &str = include_str!("../../examples/scenarios/failover.toml");

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
    let stage = Stage { config: path.to_owned(), environment: Environment::default(), live: None };
    let show = |scenario: Scenario, way, listener| Show {
        speed: arguments.speed.or(scenario.speed).unwrap_or(1.0),
        scenario,
        file: arguments.scenario.clone(),
        way,
        listener,
        keep: None,
    };
    if !arguments.json {
        println!("{}: {}\n", scenario.name, scenario.description);
    }
    let first = Show { keep: arguments.keep.clone(), ..show(scenario, arguments.path, listener) };
    let told = Box::pin(stage.play(first)).await?;
    if arguments.json {
        print_json(&told);
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
            Box::pin(stage.play(show(bridged, Some(Way::MediaStreams), None))),
            Box::pin(stage.play(show(broken, None, None))),
        )?;
        println!(
            "the same caller over the rollback path, USE_OPENAI_SIP=false:\n{}",
            view::in_short(&bridged.kept)
        );
        println!("a caller whose SIP leg breaks off in the middle:\n{}", view::in_short(&broken.kept));
        verdict(&bridged)?;
        verdict(&broken)?;
    }
    verdict(&told)
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

fn print_json(told: &Told) {
    let lines: Vec<String> = told.log.text().lines().map(str::to_owned).collect();
    let mismatches: Vec<String> = told.mismatches.iter().map(ToString::to_string).collect();
    let name = &told.scenario.name;
    let page = json!({ "scenario": name, "log": lines, "call": told.kept, "mismatches": mismatches });
    println!("{page:#}");
}

fn verdict(told: &Told) -> Result<(), Failure> {
    let name = &told.scenario.name;
    if told.mismatches.is_empty() {
        eprintln!("the call over {} went as `{name}` says", told.kept.call.path.as_str());
        return Ok(());
    }
    for mismatch in &told.mismatches {
        eprintln!("{mismatch}");
    }
    Err(anyhow!("the call did not go as `{name}` says").into())
}
