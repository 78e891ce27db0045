//! `switchboard calls`: read the calls that were kept.
//!
//! A running gateway has its data directory to itself, so it is asked over its admin listener; without
//! one the store is opened directly.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand};
use reqwest::StatusCode;
use serde::de::DeserializeOwned;

use super::{Failure, view};
use crate::call::record::CallDetail;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::gateway::ADMIN_TOKEN_FILE;
use crate::http::{Page, detail};
use crate::ids::CallId;
use crate::store::{By, CallQuery, OpenError, Store};

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
        Command::Ls { limit, number, json } => {
            let page = source.calls(number, limit).await?;
            if json {
                return print(&(serde_json::to_string_pretty(&page)? + "\n"));
            }
            if page.calls.is_empty() {
                eprintln!("no calls are kept in {}", config.store.path.display());
                return Ok(());
            }
            print(&view::table(&page.calls))
        }
        Command::Show { id, json } => {
            let detail = source.detail(id).await?.ok_or_else(|| anyhow!("no call `{id}`"))?;
            let text =
                if json { serde_json::to_string_pretty(&detail)? + "\n" } else { view::detail(&detail) };
            print(&text)
        }
    }
}

/// Writes to standard output; a reader that has seen enough (`| head`) is no failure.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Where calls are read.
pub(super) enum Source {
    Gateway { base: String, token: String, client: reqwest::Client },
    Store(Store),
}

impl Source {
    pub(super) async fn open(config: &Config) -> Result<Source, Failure> {
        let settings = config.store.clone();
        let opened =
            tokio::task::spawn_blocking(move || Store::open(&settings, Arc::new(SystemClock))).await?;
        match opened {
            Ok((store, _)) => Ok(Source::Store(store)),
            Err(OpenError::InUse { .. }) => Ok(Source::gateway(config)?),
            Err(error) => Err(Failure::Unavailable(error.into())),
        }
    }

    fn gateway(config: &Config) -> anyhow::Result<Source> {
        let path = config.store.path.join(ADMIN_TOKEN_FILE);
        let token = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read the running gateway's token in {}", path.display()))?;
        let client = reqwest::Client::builder().no_proxy().build()?;
        let base = format!("http://{}/api/v1", config.admin.listen);
        Ok(Source::Gateway { base, token: token.trim().to_owned(), client })
    }

    async fn calls(&self, number: Option<String>, limit: u16) -> Result<Page, Failure> {
        match self {
            Source::Store(store) => {
                let by = number.map_or(By::Time, By::Number);
                let query = CallQuery { by, ..CallQuery::default() };
                let page = store.calls(query, None, limit).await?;
                Ok(Page { calls: page.items, next: page.next.map(|cursor| cursor.to_string()) })
            }
            Source::Gateway { .. } => {
                let number = number.map(|number| format!("&number={}", number.replace('+', "%2B")));
                let path = format!("/calls?limit={limit}{}", number.unwrap_or_default());
                self.get(&path).await?.ok_or_else(|| anyhow!("the gateway has no list of calls").into())
            }
        }
    }

    pub(super) async fn detail(&self, id: CallId) -> Result<Option<CallDetail>, Failure> {
        match self {
            Source::Store(store) => Ok(detail(store, id).await?),
            Source::Gateway { .. } => self.get(&format!("/calls/{id}")).await,
        }
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Failure> {
        let Source::Gateway { base, token, client } = self else { return Ok(None) };
        let response = client.get(format!("{base}{path}")).bearer_auth(token).send().await;
        let response = response
            .with_context(|| format!("the data directory is in use, but nobody answers at {base}"))
            .map_err(Failure::Unavailable)?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => Ok(Some(response.json().await?)),
            status => Err(anyhow!("the gateway answered {status}: {}", response.text().await?.trim()).into()),
        }
    }
}
