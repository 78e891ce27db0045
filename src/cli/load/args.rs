//! The words of `switchboard load`, and what run they make together.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use super::call::{HangUp, Script};
use super::pace::Model;
use super::thresholds::{self, Threshold};
use super::timetable::{self, Rate, Spacing};
use crate::http::OPENAI_WEBHOOK;
use crate::sim::scenario::Scenario;

/// How fast simulated time may pass.
const SPEEDS: std::ops::RangeInclusive<f64> = 1.0..=300.0;
/// The most calls that can be held: about what one address has ports for.
const HELD_MAX: i64 = 28_000;
/// The heaviest that one scenario can be.
const WEIGHT_MAX: u32 = 1_000;
/// The scenario that is played where none is named.
const SCENARIO: &str = include_str!("../../../examples/scenarios/japanese-customer-lookup.toml");

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// Open model: so many calls arrive in a second, whatever becomes of them: `20/s`, `300/m`.
    #[arg(long, value_parser = timetable::rate, help_heading = "How calls come")]
    pub(super) rate: Option<Rate>,
    /// For how long they arrive.
    #[arg(long = "for", value_name = "TIME", default_value = "60s", value_parser = timetable::span, requires = "rate",
        help_heading = "How calls come")]
    pub(super) span: Duration,
    /// How far apart they are.
    #[arg(long, value_enum, default_value_t = Spacing::Even, requires = "rate", help_heading = "How calls come")]
    pub(super) spacing: Spacing,
    /// Closed model: how many calls; one begins when another ends.
    #[arg(long, default_value_t = 500, conflicts_with = "rate", value_parser = clap::value_parser!(u32).range(1..),
        help_heading = "How calls come")]
    pub(super) calls: u32,
    /// How many of them at once.
    #[arg(long, default_value_t = 50, conflicts_with = "rate", value_parser = clap::value_parser!(u32).range(1..=HELD_MAX),
        help_heading = "How calls come")]
    pub(super) concurrency: u32,
    /// Hold so many calls up at once, with their sidebands open, and measure what each costs.
    #[arg(long, value_name = "CALLS", conflicts_with_all = ["rate", "calls", "concurrency", "scenario"],
        value_parser = clap::value_parser!(u32).range(1..=HELD_MAX), help_heading = "How calls come")]
    pub(super) concurrent: Option<u32>,
    /// How long they are held once all are up.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = timetable::span, requires = "concurrent",
        help_heading = "How calls come")]
    pub(super) hold: Duration,
    /// How many of them begin in a second.
    #[arg(long, value_name = "RATE", default_value = "100/s", value_parser = timetable::rate, requires = "concurrent",
        help_heading = "How calls come")]
    pub(super) ramp: Rate,
    /// So many bridged calls at once (at most 10,000), with 50 frames of audio a second each way.
    #[arg(long, value_name = "CALLS", value_parser = clap::value_parser!(u32).range(1..=10_000),
        conflicts_with_all = ["rate", "calls", "concurrency", "concurrent", "scenario", "speed", "path", "gateway"],
        help_heading = "How calls come")]
    pub(super) streams: Option<u32>,
    /// For how many seconds their audio is measured.
    #[arg(long, default_value_t = 20, requires = "streams", value_parser = clap::value_parser!(u64).range(1..=3_600),
        help_heading = "How calls come")]
    pub(super) seconds: u64,
    /// Decides what is left to chance.
    #[arg(long, default_value_t = 1, help_heading = "How calls come")]
    pub(super) seed: u64,

    /// Play this scenario with the full simulators, which check every rule and cost more; several: in turns, by weight.
    #[arg(long, value_name = "FILE[:WEIGHT]", help_heading = "What calls are")]
    pub(super) scenario: Vec<Weighted>,
    /// The way of the callers' audio; `media-streams` is played with the full simulators.
    #[arg(long, value_enum, default_value_t = Way::Sip, help_heading = "What calls are")]
    pub(super) path: Way,
    /// Simulated seconds per second in scenarios.
    #[arg(long, default_value_t = 200.0, value_parser = speed, help_heading = "What calls are")]
    pub(super) speed: f64,
    /// How often the model calls a tool in a lean call.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=100), help_heading = "What calls are")]
    pub(super) turns: u32,
    /// Which tool.
    #[arg(long, value_name = "NAME", default_value = "lookup_customer", value_parser = tool_name,
        help_heading = "What calls are")]
    pub(super) tool: String,
    /// With which arguments.
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = json, help_heading = "What calls are")]
    pub(super) tool_arguments: String,
    /// Who ends a lean call: the model by the tool `hangup`, or the caller.
    #[arg(long, value_enum, default_value_t = HangUp::Model, help_heading = "What calls are")]
    pub(super) hang_up: HangUp,
    /// How long each answer may take before the call counts as failed.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = timetable::span, help_heading = "What calls are")]
    pub(super) timeout: Duration,

    /// A gateway that runs already, by its address: `http://127.0.0.1:8080`. By default `serve` is started for this.
    #[arg(long, value_name = "URL", value_parser = url, conflicts_with_all = ["data", "scenario"],
        help_heading = "Against what")]
    pub(super) gateway: Option<String>,
    /// Where the simulated vendors listen for it; by default 9400 with `--gateway` and `--print-env`.
    #[arg(long, value_name = "PORT", help_heading = "Against what")]
    pub(super) vendors_port: Option<u16>,
    /// Print the environment that such a gateway must have been started with, and end.
    #[arg(long, help_heading = "Against what")]
    pub(super) print_env: bool,
    /// How long to wait until it answers; `0`: not at all.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = timetable::span, requires = "gateway",
        help_heading = "Against what")]
    pub(super) wait: Duration,
    /// Without a carrier: the provider's webhook comes by itself, as for a SIP trunk that leads there.
    #[arg(long, help_heading = "Against what", conflicts_with_all = ["streams", "scenario"])]
    pub(super) no_carrier: bool,
    /// Where the provider's webhooks go.
    #[arg(long, value_name = "PATH", default_value = OPENAI_WEBHOOK, value_parser = path, help_heading = "Against what")]
    pub(super) webhook_path: String,
    /// A process of that gateway, whose CPU and memory are read with those of its children.
    #[arg(long, value_name = "PID", requires = "gateway", help_heading = "Against what")]
    pub(super) pid: Vec<u32>,
    /// Where the gateway that is started keeps its calls; by default a folder of its own that is removed.
    #[arg(long, help_heading = "Against what")]
    pub(super) data: Option<PathBuf>,

    /// What must be so, else the exit code is 99: `reply_p99<900ms`, `failed<0.1%`, `rate>=19/s`.
    #[arg(long, value_name = "TEXT", value_parser = thresholds::threshold, help_heading = "What is told")]
    pub(super) threshold: Vec<Threshold>,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Format::Text, help_heading = "What is told")]
    pub(super) format: Format,
    /// Write the result with its plots into one HTML file, too.
    #[arg(long, value_name = "FILE", help_heading = "What is told")]
    pub(super) report: Option<PathBuf>,

    /// The configuration of the gateway that is started.
    #[arg(skip)]
    pub(super) config: PathBuf,
}

/// How a result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For a person.
    Text,
    /// For a program.
    Json,
    /// For a spreadsheet: figure, value, unit.
    Csv,
}

/// The way of the callers' audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Way {
    /// From the carrier to the provider.
    Sip,
    /// Through the gateway, which bridges.
    MediaStreams,
}

/// A scenario, and how often it is played beside others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Weighted {
    /// The file.
    pub file: PathBuf,
    /// How often.
    pub weight: u32,
}

impl FromStr for Weighted {
    type Err = String;

    fn from_str(text: &str) -> Result<Weighted, String> {
        let (file, weight) = match text.rsplit_once(':') {
            Some((file, weight)) if weight.bytes().all(|byte| byte.is_ascii_digit()) => (file, weight),
            _ => (text, "1"),
        };
        match weight.parse() {
            Ok(weight @ 1..=WEIGHT_MAX) => Ok(Weighted { file: file.into(), weight }),
            _ => Err(format!("`{weight}` is no weight from 1 to {WEIGHT_MAX}")),
        }
    }
}

impl Arguments {
    /// How calls come; bridged ones with audio are another matter.
    pub(super) fn model(&self) -> Model {
        match (self.rate, self.concurrent) {
            (Some(rate), _) => Model::Open { rate, span: self.span, spacing: self.spacing, seed: self.seed },
            (None, Some(calls)) => Model::Held { calls, span: self.hold, ramp: self.ramp },
            (None, None) => Model::Closed { calls: self.calls.into(), concurrency: self.concurrency },
        }
    }

    /// What happens in a lean call.
    pub(super) fn script(&self) -> Script {
        Script {
            turns: self.turns,
            tool: self.tool.clone(),
            arguments: self.tool_arguments.clone(),
            hang_up: self.hang_up,
            within: self.timeout,
        }
    }

    /// Whether the full simulators play.
    pub(super) fn is_simulated(&self) -> bool {
        !self.scenario.is_empty() || self.path == Way::MediaStreams
    }

    /// The scenarios with their weights.
    pub(super) fn scenarios(&self) -> anyhow::Result<Vec<(Scenario, u32)>> {
        if self.scenario.is_empty() {
            return Ok(vec![(Scenario::parse(SCENARIO, "japanese-customer-lookup.toml")?, 1)]);
        }
        let mut scenarios = Vec::new();
        for Weighted { file, weight } in &self.scenario {
            let scenario =
                Scenario::load(file).with_context(|| format!("`--scenario {}`", file.display()))?;
            scenarios.push((scenario, *weight));
        }
        Ok(scenarios)
    }

    /// What is run, in a line.
    pub(super) fn in_words(&self) -> String {
        let how = match (self.streams, self.model()) {
            (Some(calls), _) => format!("{calls} bridged calls at once, audio for {} s", self.seconds),
            (None, Model::Open { rate, span, spacing, .. }) => {
                let spacing = if spacing == Spacing::Even { "evenly" } else { "by chance (Poisson)" };
                format!("{rate} for {} s, spaced {spacing}", span.as_secs_f64())
            }
            (None, Model::Closed { calls, concurrency }) => format!("{calls} calls, {concurrency} at once"),
            (None, Model::Held { calls, span, ramp }) => {
                format!("{calls} calls held for {} s, {ramp} begin", span.as_secs_f64())
            }
        };
        let what = match (self.streams, self.is_simulated(), self.no_carrier) {
            (Some(_), ..) => "lean vendors",
            (_, true, _) => "scenarios with the full simulators",
            (_, _, true) => "lean provider, no carrier",
            _ => "lean vendors",
        };
        format!("{how}; {what}")
    }
}

fn speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if SPEEDS.contains(&speed) {
        return Ok(speed);
    }
    let why = "beyond it the simulated carrier's timeouts are shorter than an answer takes";
    Err(format!("from {} to {}: {why}", SPEEDS.start(), SPEEDS.end()))
}

fn tool_name(text: &str) -> Result<String, String> {
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
    match text.chars().all(is_name) && (1..=64).contains(&text.len()) {
        true => Ok(text.to_owned()),
        false => Err("letters, digits, `_` and `-`, at most 64".to_owned()),
    }
}

fn json(text: &str) -> Result<String, String> {
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(value) => Ok(value.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

fn url(text: &str) -> Result<String, String> {
    let url = reqwest::Url::parse(text).map_err(|error| format!("{error}: `http://127.0.0.1:8080`"))?;
    match (url.scheme(), url.host_str(), url.path()) {
        ("http" | "https", Some(_), "/") => Ok(text.trim_end_matches('/').to_owned()),
        _ => Err("scheme, host and port, as in `http://127.0.0.1:8080`".to_owned()),
    }
}

fn path(text: &str) -> Result<String, String> {
    if text.starts_with('/') { Ok(text.to_owned()) } else { Err("it begins with `/`".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_may_have_a_weight() {
        for (text, file, weight) in
            [("a.toml", "a.toml", 1), ("a.toml:3", "a.toml", 3), ("c:/a.toml", "c:/a.toml", 1)]
        {
            assert_eq!(text.parse(), Ok(Weighted { file: file.into(), weight }));
        }
        for text in ["a.toml:0", "a.toml:1001", "a.toml:"] {
            assert!(text.parse::<Weighted>().is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_are_checked() {
        assert_eq!(url("http://127.0.0.1:8080/"), Ok("http://127.0.0.1:8080".to_owned()));
        for text in ["127.0.0.1:8080", "ftp://a", "http://a/b", ""] {
            assert!(url(text).is_err(), "{text}");
        }
    }
}
