//! `switchboard eval`: how well callers are understood, measured; and what was measured before.
//!
//! [`speech`] plays a corpus into sessions and compares what is written down with what was said, [`report`] reads the
//! history. [`simulated`] is the same with everything simulated, for whoever proves that the measuring is right.

mod bridge;
mod connect;
mod folder;
mod history;
mod play;
mod report;
mod run;
mod settings;
mod show;
mod speech;

use std::path::Path;

use clap::{Args, Subcommand, ValueEnum};

use super::Failure;
use crate::sim::fault::ProviderFaults;
pub use run::{Evaluation, Measured, NotMeasured, SettingDifference};
pub use settings::Setting;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Play recorded utterances into the model's sessions and compare what is written down with what was said.
    Speech(Box<speech::Arguments>),
    /// Show what was measured before, and what became worse.
    Report(report::Arguments),
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

pub(super) async fn run(path: &Path, arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        Command::Speech(arguments) => speech::run(path, *arguments).await,
        Command::Report(arguments) => report::run(&arguments),
    }
}

/// Measures the built-in corpus against the simulated provider, whose recogniser makes seeded errors, over real
/// sockets: what was measured must be what was made ([`Evaluation::is_exact`]). It needs no file, no account, and
/// seconds. `faults` are the provider's own.
///
/// # Errors
///
/// What keeps the simulated provider from being heard.
pub async fn simulated(seed: u64, faults: ProviderFaults) -> anyhow::Result<Evaluation> {
    speech::simulated(seed, faults).await.map_err(Failure::into_error)
}
