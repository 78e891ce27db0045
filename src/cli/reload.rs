//! `switchboard reload`: have the running gateway read its configuration again, and say what came of it.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::anyhow;
use clap::Args;
use reqwest::{Method, StatusCode};

use super::configuration::as_text;
use super::source::{Remote, Source};
use super::{Failure, print};
use crate::http::Reloaded;

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
        0 => "nothing has changed\n".to_owned(),
        1 => "the gateway follows 1 change:\n".to_owned() + &as_text(&reloaded.changes),
        many => format!("the gateway follows {many} changes:\n{}", as_text(&reloaded.changes)),
    };
    if !reloaded.needs_restart.is_empty() {
        let keys = reloaded.needs_restart.join(", ");
        let _ = writeln!(text, "from its next start, or `switchboard handover`: {keys}");
    }
    text
}
