//! `switchboard notifications`: what other systems were not told of calls yet, and sending it again.
//!
//! A running gateway is asked over its admin listener; without one the store is opened directly, and what is to be sent
//! again is sent by the gateway that runs next.

use std::path::Path;

use anyhow::anyhow;
use clap::{Args, Subcommand, ValueEnum};
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use reqwest::Method;

use super::source::{Remote, Source};
use super::view::printable;
use super::{Failure, print};
use crate::call::notification::{ListedNotification, NotificationState};
use crate::call_control::notifications::{EndpointView, send_again};
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::http::{NotificationList, Resent};
use crate::ids::NotificationId;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List dead letters and what waits, each of the newest call first.
    Ls {
        /// Only those for this endpoint.
        #[arg(long)]
        endpoint: Option<String>,
        /// Only those that wait, or that are dead.
        #[arg(long, value_enum)]
        state: Option<State>,
        /// How many, at most 1000.
        #[arg(short = 'n', long, default_value_t = 50)]
        limit: usize,
        /// How it is printed.
        #[arg(long, value_enum, default_value = "text")]
        format: Shape,
    },
    /// Send dead letters again, and what waits at once; it keeps its `webhook-id`.
    Resend {
        /// The id of one, `msg_…`.
        #[arg(required_unless_present = "all")]
        id: Option<String>,
        /// All of them, up to a thousand.
        #[arg(long, conflicts_with = "id")]
        all: bool,
        /// Only to this endpoint.
        #[arg(long)]
        endpoint: Option<String>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shape {
    /// For people.
    Text,
    /// For programs.
    Json,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    /// Yet to be taken.
    Waiting,
    /// Taken by nobody, and not tried any more.
    Dead,
}

impl From<State> for NotificationState {
    fn from(state: State) -> NotificationState {
        match state {
            State::Waiting => NotificationState::Waiting,
            State::Dead => NotificationState::Dead,
        }
    }
}

pub(super) async fn run(path: &Path, arguments: Arguments) -> Result<(), Failure> {
    let Arguments { remote, command } = arguments;
    if let Some(url) = &remote.remote {
        let source = Source::remote(&remote, url).await?;
        return carry_out(&source, None, command).await;
    }
    let config = super::load_config(path)?;
    let source = Source::open(&config).await?;
    let done = carry_out(&source, Some(&config), command).await;
    if let Source::Store(store) = source {
        store.close().await?;
    }
    done
}

/// `config` is that of the gateway here; none: it is elsewhere.
async fn carry_out(source: &Source, config: Option<&Config>, command: Command) -> Result<(), Failure> {
    match command {
        Command::Ls { endpoint, state, limit, format } => {
            let state = state.map(NotificationState::from);
            let list = list(source, config, endpoint, state, limit.clamp(1, 1_000)).await?;
            match format {
                Shape::Json => print(&(serde_json::to_string_pretty(&list)? + "\n")),
                Shape::Text => {
                    if list.endpoints.is_empty() {
                        eprintln!("nobody is told of calls: add a `[notifications.NAME]`");
                    }
                    for endpoint in list.endpoints.iter().filter(|endpoint| endpoint.disabled) {
                        eprintln!(
                            "`{}` answered 410 Gone, and is told nothing until the next start",
                            endpoint.name
                        );
                    }
                    if list.notifications.is_empty() {
                        eprintln!("nothing waits, and there are no dead letters");
                        return Ok(());
                    }
                    print(&table(&list.notifications))
                }
            }
        }
        Command::Resend { id, endpoint, .. } => {
            let resent = resend(source, config, id, endpoint).await?;
            if resent.is_empty() {
                eprintln!("nothing waits, and there are no dead letters");
            }
            for told in resent {
                eprintln!("{} ({}) is sent again to {}", told.id, told.kind.as_str(), told.endpoint);
            }
            Ok(())
        }
    }
}

/// Who is told of calls, and what was not taken: dead letters first.
pub(super) async fn list(
    source: &Source,
    config: Option<&Config>,
    endpoint: Option<String>,
    state: Option<NotificationState>,
    limit: usize,
) -> Result<NotificationList, Failure> {
    let Source::Store(store) = source else {
        let endpoint = endpoint.map(|name| format!("&endpoint={name}")).unwrap_or_default();
        let state = state.map(|state| format!("&state={}", state.as_str())).unwrap_or_default();
        return source
            .ask(Method::GET, &format!("/notifications?limit={limit}{endpoint}{state}"), None)
            .await;
    };
    let mut notifications = Vec::new();
    for each in [NotificationState::Dead, NotificationState::Waiting] {
        if state.is_none_or(|state| state == each) {
            let (endpoint, left) = (endpoint.clone(), limit - notifications.len());
            let is_meant = move |name: &str| endpoint.as_ref().is_none_or(|endpoint| endpoint == name);
            let found = store.notifications(each, left, move |key| is_meant(&key.endpoint)).await?;
            notifications.extend(found.into_iter().map(ListedNotification::from));
        }
    }
    let endpoints = config.into_iter().flat_map(|config| &config.notifications.endpoints);
    let endpoints = endpoints.map(|(name, endpoint)| EndpointView {
        name: name.clone(),
        events: endpoint.events.iter().map(|event| event.as_str().to_owned()).collect(),
        content: endpoint.content,
        waiting: notifications.iter().filter(|told| told.endpoint == *name && told.next.is_some()).count(),
        oldest: None,
        disabled: false,
    });
    Ok(NotificationList { endpoints: endpoints.collect(), notifications })
}

async fn resend(
    source: &Source,
    config: Option<&Config>,
    id: Option<String>,
    endpoint: Option<String>,
) -> Result<Vec<ListedNotification>, Failure> {
    let (Source::Store(store), Some(config)) = (source, config) else {
        let one = id.map(|id| format!("/{id}")).unwrap_or_default();
        let endpoint = endpoint.map(|name| format!("?endpoint={name}")).unwrap_or_default();
        let path = format!("/notifications{one}/resend{endpoint}");
        return Ok(source.ask::<Resent>(Method::POST, &path, None).await?.notifications);
    };
    let known: Vec<String> = config.notifications.endpoints.keys().cloned().collect();
    if let Some(unknown) = endpoint.as_ref().filter(|endpoint| !known.contains(endpoint)) {
        return Err(anyhow!("the configuration has no `[notifications.{unknown}]`").into());
    }
    let missing = id.as_ref().map(|id| anyhow!("no notification `{id}` waits or is dead"));
    let id = id.map(NotificationId::from);
    let resent = send_again(store, known, id, endpoint, SystemClock.now()).await?;
    match missing {
        Some(missing) if resent.is_empty() => Err(missing.into()),
        _ => Ok(resent.into_iter().map(ListedNotification::from).collect()),
    }
}

fn table(notifications: &[ListedNotification]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["ID", "ENDPOINT", "EVENT", "AT", "CALL", "STATE", "TRIES", "NEXT", "PROBLEM"]);
    for told in notifications {
        table.add_row([
            printable(told.id.as_str()),
            printable(&told.endpoint),
            told.kind.as_str().to_owned(),
            told.at.to_string(),
            told.call.to_string(),
            told.state.as_str().to_owned(),
            told.tries.to_string(),
            told.next.map(|at| at.to_string()).unwrap_or_default(),
            printable(told.problem.as_deref().unwrap_or_default()),
        ]);
    }
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}
