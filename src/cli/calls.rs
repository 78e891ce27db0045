//! `switchboard calls`: read the calls that were kept, or erase them.

use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;
use clap::{Args, Subcommand};

use super::erase;
use super::export::{self, Format};
use super::report::span;
use super::source::Source;
use super::{Failure, print, view};
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::ids::CallId;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
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
        /// Print JSON.
        #[arg(long)]
        json: bool,
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
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Erase every call from or to a number, and prove that nothing of them is left in the files.
    Forget {
        /// The number (E.164).
        number: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show one call with its transcript, tool calls, usage and events.
    Show {
        /// Its id.
        id: CallId,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(path: &Path, arguments: Arguments) -> Result<(), Failure> {
    let config = super::load_config(path)?;
    let source = Source::open(&config).await?;
    match arguments.command {
        Command::Delete { ids, json } => erase::run(&config, source, erase::Wanted::Calls(ids), json).await,
        Command::Forget { number, json } => {
            erase::run(&config, source, erase::Wanted::Number(number), json).await
        }
        Command::Ls { limit, number, json } => {
            let page = source.calls(number.as_deref(), limit).await?;
            if json {
                return print(&(serde_json::to_string_pretty(&page)? + "\n"));
            }
            if page.calls.is_empty() {
                eprintln!("no calls are kept in {}", config.store.path.display());
                return Ok(());
            }
            print(&view::table(&page.calls))
        }
        Command::Export { format, since } => {
            let since = since.map_or(Timestamp::default(), |span| SystemClock.now() - span);
            export::run(&source, since, format).await
        }
        Command::Show { id, json } => {
            let detail = source.detail(id).await?.ok_or_else(|| anyhow!("no call `{id}`"))?;
            let text =
                if json { serde_json::to_string_pretty(&detail)? + "\n" } else { view::detail(&detail) };
            print(&text)
        }
    }
}
