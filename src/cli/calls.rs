//! `switchboard calls`: read the calls that were kept, or erase them.

use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;
use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::Value;

use super::erase;
use super::export::{self, Format};
use super::report::span;
use super::source::{Remote, Source};
use super::{Failure, print, replay, tail, view};
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::ids::CallId;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: Command,
}

/// How something is printed.
#[derive(Clone, Copy, Debug, Args)]
struct Printed {
    /// Print JSON; the same as `--format json`.
    #[arg(long)]
    json: bool,
    /// How it is printed.
    #[arg(long, value_enum, default_value = "text")]
    format: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shape {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl Printed {
    fn is_json(self) -> bool {
        self.json || self.format == Shape::Json
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List calls, newest first.
    Ls {
        /// How many, at most 200.
        #[arg(short = 'n', long, default_value_t = 20)]
        limit: u16,
        /// Only calls from or to this number (E.164).
        #[arg(long)]
        number: Option<String>,
        #[command(flatten)]
        printed: Printed,
    },
    /// Write calls to standard output for other programs: JSON Lines with everything, or CSV with a line each.
    Export {
        /// How.
        #[arg(long, value_enum, default_value = "jsonl")]
        format: Format,
        /// Calls of this long until now, such as `30d`; without it all of them.
        #[arg(long, value_parser = span)]
        since: Option<Duration>,
    },
    /// Erase calls for good, their recordings included, here and at the carrier.
    Delete {
        /// Their ids.
        #[arg(required = true)]
        ids: Vec<CallId>,
        #[command(flatten)]
        printed: Printed,
    },
    /// Erase every call from or to a number, and prove that nothing of them is left in the files.
    Forget {
        /// The number (E.164).
        number: String,
        #[command(flatten)]
        printed: Printed,
    },
    /// Show one call with its transcript, tool calls, usage and events.
    Show {
        /// Its id.
        id: CallId,
        #[command(flatten)]
        printed: Printed,
    },
    /// Follow what happens in calls, as it happens, until Ctrl-C.
    Tail {
        /// Only this call, from its beginning until it is over.
        id: Option<CallId>,
        #[command(flatten)]
        printed: Printed,
    },
    /// Play a call that is over through the rules of this version once more, and compare what comes of it.
    Replay {
        /// Its id.
        id: CallId,
    },
    /// End a call in the running gateway.
    Hangup {
        /// Its id.
        id: CallId,
    },
    /// Hand a caller on, in the running gateway.
    Transfer {
        /// Its id.
        id: CallId,
        /// To whom: the name of a transfer target of the call's session.
        to: String,
    },
}

pub(super) async fn run(path: &Path, arguments: Arguments) -> Result<(), Failure> {
    let Arguments { remote, command } = arguments;
    if let Some(url) = &remote.remote {
        let source = Source::remote(&remote, url).await?;
        return match command {
            Command::Delete { ids, printed } => erase::run_remote(&source, ids, printed.is_json()).await,
            Command::Forget { .. } => Err(anyhow!(
                "`forget` looks through the gateway's files: run it on the gateway's machine, or use `delete`"
            )
            .into()),
            Command::Replay { .. } => Err(anyhow!(
                "`replay` holds a call against the rules and prices here: run it on the gateway's machine"
            )
            .into()),
            command => read(&source, url, command).await,
        };
    }
    let config = super::load_config(path)?;
    if let Command::Replay { id } = command {
        return replay::run(&config, id).await;
    }
    if let Command::Hangup { .. } | Command::Transfer { .. } | Command::Tail { .. } = command {
        return read(&Source::of_gateway(&config)?, "", command).await;
    }
    let source = Source::open(&config).await?;
    match command {
        Command::Delete { ids, printed } => {
            erase::run(&config, source, erase::Wanted::Calls(ids), printed.is_json()).await
        }
        Command::Forget { number, printed } => {
            erase::run(&config, source, erase::Wanted::Number(number), printed.is_json()).await
        }
        command => read(&source, &config.store.path.display().to_string(), command).await,
    }
}

/// What is the same wherever calls are; `place` names it.
async fn read(source: &Source, place: &str, command: Command) -> Result<(), Failure> {
    match command {
        Command::Ls { limit, number, printed } => {
            let page = source.calls(number.as_deref(), limit).await?;
            if printed.is_json() {
                return print(&(serde_json::to_string_pretty(&page)? + "\n"));
            }
            if page.calls.is_empty() {
                eprintln!("no calls are kept in {place}");
                return Ok(());
            }
            print(&view::table(&page.calls))
        }
        Command::Export { format, since } => {
            let since = since.map_or(Timestamp::default(), |span| SystemClock.now() - span);
            export::run(source, since, format).await
        }
        Command::Show { id, printed } => {
            let detail = source.detail(id).await?.ok_or_else(|| anyhow!("no call `{id}`"))?;
            let text = match printed.is_json() {
                true => serde_json::to_string_pretty(&detail)? + "\n",
                false => view::detail(&detail),
            };
            print(&text)
        }
        Command::Tail { id, printed } => tail::run(source, id, printed.is_json()).await,
        Command::Hangup { id } => {
            let _: Value = source.ask(Method::POST, &format!("/calls/{id}/hangup"), None).await?;
            eprintln!("{id} is being ended");
            Ok(())
        }
        Command::Transfer { id, to } => {
            let body = serde_json::json!({ "to": to }).to_string();
            let _: Value = source.ask(Method::POST, &format!("/calls/{id}/transfer"), Some(body)).await?;
            eprintln!("{id} is being handed on to {to}");
            Ok(())
        }
        // They want the gateway's files or its configuration, and were carried out before.
        Command::Delete { .. } | Command::Forget { .. } | Command::Replay { .. } => Ok(()),
    }
}
