//! `switchboard plugin`: the author's tools, from an empty folder to a component that a gateway loads.

mod build;
mod cases;
mod compare;
mod given;
mod inspect;
mod interfaces;
mod loading;
mod manifest;
mod places;
pub mod source;
mod target;

use std::path::Path;

use clap::{Args, Subcommand};

use super::Failure;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build a plugin from its folder.
    Build(build::Arguments),
    /// Say what a plugin is, wants and may do.
    Inspect(inspect::Arguments),
}

pub(super) async fn run(config: &Path, arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        Command::Build(arguments) => build::run(arguments).await,
        Command::Inspect(arguments) => inspect::run(config, arguments).await,
    }
}

/// Bytes as hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
