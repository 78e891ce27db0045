//! `switchboard load`: many simulated calls at once against a gateway, and what it makes of them.
//!
//! The simulated vendors live here, the gateway in a process of its own ([`target`]), so that what is measured is the
//! gateway. Calls come on a timetable that waits for nobody, or one after the other, or are held ([`pace`]). Most
//! are lean ([`lean`]): made to cost less than what they measure. Every time is taken here, where a message
//! leaves or arrives, so it means the same whatever gateway is at the other end.

mod args;
mod bridged;
mod call;
mod carrier;
mod figures;
mod frames;
mod html;
mod lean;
mod pace;
mod plot;
mod process;
mod provider;
mod report;
mod scenarios;
pub(super) mod serve;
mod socket;
mod target;
mod thresholds;
mod timetable;
mod vendors;
mod watch;

use std::path::Path;

use anyhow::{Context as _, anyhow};

use super::Failure;
pub(super) use args::Arguments;
use args::Format;
use figures::Summary;
use pace::Model;

pub(super) async fn run(config: &Path, mut arguments: Arguments) -> Result<(), Failure> {
    if arguments.print_env {
        let environment = target::environment(target::vendors_port(&arguments));
        let lines: Vec<String> =
            environment.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        return super::print(&lines.concat());
    }
    if arguments.gateway.is_some() && arguments.is_simulated() {
        let words = "`--path media-streams` plays against a gateway of its own: leave `--gateway` out";
        return Err(Failure::Usage(anyhow!(words)));
    }
    arguments.config = config.to_owned();
    target::allow_files(files(&arguments))?;
    let scratch = std::env::temp_dir().join(format!("switchboard-load-{}", std::process::id()));
    let data = arguments.data.clone().unwrap_or_else(|| scratch.clone());
    let ran = match arguments.streams {
        Some(streams) => bridged::run(&arguments, streams, &data).await,
        None if arguments.is_simulated() => scenarios::run(&arguments, &data).await,
        None => lean::run(&arguments, &data).await,
    };
    if arguments.data.is_none() {
        let _ = std::fs::remove_dir_all(&scratch);
    }
    conclude(&arguments, ran?)
}

/// How many files calls have open in one of the two processes at most.
fn files(arguments: &Arguments) -> u64 {
    if let Some(streams) = arguments.streams {
        return 2 * u64::from(streams);
    }
    match arguments.model() {
        Model::Held { calls, .. } => u64::from(calls),
        Model::Closed { concurrency, .. } => 4 * u64::from(concurrency),
        // A second's calls, and each with a few connections; the rest depends on the gateway.
        Model::Open { rate, .. } => (4.0 * rate.per_second()) as u64,
    }
}

/// Tells what was seen, and whether it is what was asked for.
fn conclude(arguments: &Arguments, mut summary: Summary) -> Result<(), Failure> {
    summary.thresholds = arguments.threshold.iter().map(|threshold| threshold.judge(&summary)).collect();
    match arguments.format {
        Format::Text => super::print(&report::text(&summary))?,
        Format::Json => super::print(&report::json(&summary))?,
        Format::Csv => super::print(&report::csv(&summary))?,
    }
    if arguments.format != Format::Text {
        summary.generator.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    }
    summary.examples.iter().for_each(|example| eprintln!("{example}"));
    if let Some(file) = &arguments.report {
        std::fs::write(file, html::page(&summary))
            .with_context(|| format!("cannot write {}", file.display()))?;
        eprintln!("written to {}", file.display());
    }
    let missed: Vec<&str> = summary
        .thresholds
        .iter()
        .filter(|judged| !judged.is_met)
        .map(|judged| judged.threshold.as_str())
        .collect();
    if !missed.is_empty() {
        return Err(Failure::Threshold(anyhow!("missed: {}", missed.join(", "))));
    }
    let is_judged = arguments.threshold.iter().any(thresholds::Threshold::is_of_failures);
    match summary.calls.failed {
        0 => Ok(()),
        _ if is_judged => Ok(()),
        failed => Err(anyhow!("{failed} of {} calls failed", summary.calls.started).into()),
    }
}
