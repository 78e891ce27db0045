//! `switchboard simulate`: have something happen in the world of `switchboard dev`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand};

use super::dev::{self, CALLEE, CALLER, Ring};
use super::{Failure, print};

/// What was typed.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Somebody calls, and the call is told when it is over.
    Call(Call),
}

#[derive(Debug, Args)]
struct Call {
    /// What the caller says; several times for several sentences.
    #[arg(long, value_name = "WORDS")]
    say: Vec<String>,
    /// A tool that the model calls when everything is said, with its arguments: `--tool find_order='{"id": "A-1001"}'`.
    #[arg(long, value_name = "NAME[=JSON]", value_parser = tool)]
    tool: Vec<(String, String)>,
    /// What happens instead, step by step: `[[steps]]` as in the files of examples/scenarios.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["say", "tool"])]
    script: Option<PathBuf>,
    /// Who calls (E.164), or `anonymous`.
    #[arg(long, default_value = CALLER)]
    from: String,
    /// The number that is called.
    #[arg(long, default_value = CALLEE)]
    to: String,
    /// Where `dev --data` keeps its calls.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
}

pub(super) async fn run(path: &Path, arguments: Arguments) -> Result<(), Failure> {
    let Command::Call(call) = arguments.command;
    let data = match call.data {
        Some(folder) => folder,
        None => dev::data_of(&dev::store_of(path).await?),
    };
    let script = call.script.map(|file| {
        std::fs::read_to_string(&file).with_context(|| format!("cannot read the script {}", file.display()))
    });
    let script = script.transpose()?;
    let ring = Ring { from: call.from, to: call.to, says: call.say, tools: call.tool, script };
    let rung = dev::ring(&data, &ring).await?;
    match rung.ok {
        true => print(&rung.told),
        false => Err(anyhow!(rung.told).into()),
    }
}

/// A tool's name, with arguments or without.
fn tool(text: &str) -> Result<(String, String), String> {
    let (name, arguments) = text.split_once('=').unwrap_or((text, "{}"));
    match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(arguments) {
        Ok(_) => Ok((name.to_owned(), arguments.to_owned())),
        Err(error) => Err(format!("the arguments are no JSON object: {error}")),
    }
}
