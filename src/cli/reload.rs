//! `switchboard reload`: have the running gateway read its configuration again, and say what came of it.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::anyhow;
use clap::Args;
use reqwest::{Method, StatusCode};

use super::source::{Remote, Source};
use super::{Failure, print};
use crate::http::{ConfigChange, Reloaded};

/// A value is shown up to here.
const SHOWN_CHARS_MAX: usize = 60;

/// What was typed.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    remote: Remote,
    /// Print what came of it as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(path: &Path, arguments: Arguments) -> Result<(), Failure> {
    let gateway = match &arguments.remote.remote {
        Some(url) => Source::remote(&arguments.remote, url).await?,
        None => Source::of_gateway(&super::load_config(path)?)?,
    };
    let asked =
        gateway.ask_unless::<Reloaded>(StatusCode::UNPROCESSABLE_ENTITY, Method::POST, "/config/reload");
    let reloaded = asked.await?.map_err(|problems| {
        eprint!("{problems}");
        Failure::Misfit(anyhow!("the gateway refuses it whole: everything stays as it is"))
    })?;
    if arguments.json {
        return print(&format!("{}\n", serde_json::to_string(&reloaded)?));
    }
    eprint!("{}", reloaded.problems);
    print(&told(&reloaded))
}

fn told(reloaded: &Reloaded) -> String {
    let mut text = match reloaded.changes.len() {
        0 => "nothing that is shown has changed; the gateway follows what it read\n".to_owned(),
        1 => "the gateway follows 1 change:\n".to_owned(),
        many => format!("the gateway follows {many} changes:\n"),
    };
    for change in &reloaded.changes {
        let _ = writeln!(text, "  {}", line(change));
    }
    if !reloaded.needs_restart.is_empty() {
        let keys = reloaded.needs_restart.join(", ");
        let _ = writeln!(text, "from its next start, or `switchboard handover`: {keys}");
    }
    text
}

fn line(change: &ConfigChange) -> String {
    let shown = |value: &Option<String>| {
        let Some(value) = value else { return "nothing".to_owned() };
        let short: String = value.chars().take(SHOWN_CHARS_MAX).collect();
        let mark = if short.len() < value.len() { "…" } else { "" };
        format!("{}{mark}", short.replace('\n', " "))
    };
    format!("{}: {} → {}", change.key, shown(&change.before), shown(&change.after))
}
