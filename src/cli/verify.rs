//! `switchboard verify`: what Switchboard promises, checked, and the sheet that says so.
//!
//! Without `--live` it is this program on this machine: a gateway of its own answers simulated callers over real sockets, and
//! since the vendors are simulated, the truth is known. With `--live` it is one's own gateway: the calls that it has kept.
//! `--break CHECK` shows that a check can fail: the vendors, or the configuration, are made such that it must.

mod checks;
mod live;
mod sheet;
mod simulated;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;
use clap::{Args, ValueEnum as _};
use serde_json::json;

use self::checks::Trial;
use self::sheet::{Check, Row, Verdict, as_text};
use super::{Failure, eval, print, progress};
use crate::clock::{Clock as _, SystemClock};
use crate::sim::fault::ProviderFaults;

/// How many calls are played at once, unless told.
const CALLS: u32 = 50;
/// How fast simulated time may pass: beyond it the overhead of this machine is longer than the bounds.
const SPEEDS: std::ops::RangeInclusive<f64> = 1.0..=10.0;
/// What is misheard comes from it.
const SEED: u64 = 1;
/// How much faster than the calls failures are played: their bounds are seconds.
const FAILURES_SPEED: f64 = 10.0;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// How many calls at once; with `--live`, how many there must have been.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    calls: Option<u32>,
    /// Only these checks.
    #[arg(long, value_name = "CHECK", value_enum, value_delimiter = ',')]
    only: Vec<Check>,
    /// Make what a check is about broken, to see it fail.
    #[arg(long = "break", value_name = "CHECK", value_enum, conflicts_with = "live")]
    broken: Option<Check>,
    /// Simulated seconds per second.
    #[arg(long, default_value_t = 1.0, value_parser = speed, conflicts_with = "live")]
    speed: f64,
    /// Judge the calls that your own gateway has kept, instead of simulated ones.
    #[arg(long)]
    live: bool,
    /// With `--live`: calls of this long until now.
    #[arg(long, default_value = "1d", value_name = "SPAN", value_parser = super::report::span, requires = "live")]
    since: Duration,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if SPEEDS.contains(&speed) {
        return Ok(speed);
    }
    Err(format!("from {} to {}", SPEEDS.start(), SPEEDS.end()))
}

pub(super) async fn run(path: &Path, arguments: Arguments) -> Result<(), Failure> {
    let wanted: BTreeSet<Check> = match arguments.only.is_empty() {
        true => Check::value_variants().iter().copied().collect(),
        false => arguments.only.iter().copied().collect(),
    };
    let mut rows = match arguments.live {
        true => live::judge(path, &arguments).await?,
        false => offline(&arguments, &wanted).await?,
    };
    rows.retain(|row| wanted.contains(&row.check));
    let failed = rows.iter().filter(|row| row.verdict == Verdict::Failed).count();
    print(&if arguments.json { as_json(&rows, &arguments)? } else { as_text(&rows) })?;
    match failed {
        0 => Ok(()),
        failed => Err(anyhow!("{failed} of {} checks failed", rows.len()).into()),
    }
}

fn as_json(rows: &[Row], arguments: &Arguments) -> Result<String, Failure> {
    let page = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "at": SystemClock.now().to_string(),
        "mode": if arguments.live { "live" } else { "simulated" },
        "broken": arguments.broken,
        "checks": rows,
    });
    Ok(serde_json::to_string_pretty(&page)? + "\n")
}

async fn offline(arguments: &Arguments, wanted: &BTreeSet<Check>) -> Result<Vec<Row>, Failure> {
    let calls = arguments.calls.unwrap_or(CALLS);
    let broken = arguments.broken;
    let mut rows = Vec::new();
    let apart = BTreeSet::from([Check::Errors, Check::Transcription]);
    if !wanted.is_subset(&apart) {
        let bar = progress::working("calls");
        let seen = simulated::play(calls, arguments.speed, broken).await;
        bar.finish_and_clear();
        let trial = Trial { seen: &seen?, speed: arguments.speed };
        rows.extend([
            trial.webhook(),
            trial.accept(),
            trial.first_word(),
            trial.tools(),
            trial.recordings(),
            trial.transcript_times(),
            trial.concurrency(),
        ]);
    }
    if wanted.contains(&Check::Transcription) {
        let hears_one_more = broken == Some(Check::Transcription);
        let faults = ProviderFaults { hears_one_more, ..ProviderFaults::default() };
        rows.push(checks::transcription(&eval::simulated(SEED, faults).await?));
    }
    if wanted.contains(&Check::Errors) {
        let bar = progress::working("failures of the way to the model");
        let outcomes = simulated::play_failures(FAILURES_SPEED, broken == Some(Check::Errors)).await;
        bar.finish_and_clear();
        rows.push(checks::errors(&outcomes));
    }
    rows.sort_by_key(|row| row.check);
    Ok(rows)
}
