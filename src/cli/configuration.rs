//! `switchboard config`: what holds and where it comes from, what another file would change, and the schema for editors.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::{Args, Subcommand, ValueEnum};
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use serde::Deserialize;

use super::source::{Remote, Source};
use super::view::{printable, short};
use super::{Failure, print};
use crate::config::difference;
use crate::config::{self, Config, Environment, schema};
use crate::http::{ConfigChange, ConfigEntry, ConfigOrigin};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show every value that holds; secrets are hidden.
    Show {
        /// Only keys that begin like this, such as `twilio` or `sessions.reception`.
        key: Option<String>,
        /// Say where each value comes from: a file and its line, the environment, or built in.
        #[arg(long)]
        origin: bool,
        /// How it is printed.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Say what would change if another file took this configuration's place; exits 1 where something would.
    Diff {
        /// The other file; with `--remote` it may be left out for this configuration.
        #[arg(required_unless_present = "remote")]
        file: Option<PathBuf>,
        /// How it is printed.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
        #[command(flatten)]
        remote: Remote,
    },
    /// Print the JSON Schema of the file: with `#:schema ./gateway.schema.json` as its first line, editors complete
    /// and check it (Even Better TOML, Taplo).
    Schema,
}

/// How something is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

pub(super) async fn run(path: &Path, arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        Command::Show { key, origin, format } => {
            let config = super::load_config(path)?;
            let wanted = key.unwrap_or_default();
            let shown: Vec<&ConfigEntry> =
                config.entries.iter().filter(|entry| is_below(&entry.key, &wanted)).collect();
            if shown.is_empty() {
                return Err(anyhow!("nothing begins with `{wanted}`").into());
            }
            match format {
                Format::Text => print(&as_table(&shown, origin)),
                Format::Json => print(&(serde_json::to_string_pretty(&shown)? + "\n")),
            }
        }
        Command::Diff { file, format, remote } => {
            let changes = changes(path, file.as_deref(), &remote).await?;
            match format {
                Format::Text => print(&as_text(&changes))?,
                Format::Json => print(&(serde_json::to_string_pretty(&changes)? + "\n"))?,
            }
            if changes.is_empty() { Ok(()) } else { Err(Failure::Said) }
        }
        Command::Schema => print(&(serde_json::to_string_pretty(&schema::schema())? + "\n")),
    }
}

/// Claims that the key is the wanted one, or stands below it.
fn is_below(key: &str, wanted: &str) -> bool {
    let rest = key.strip_prefix(wanted);
    rest.is_some_and(|rest| wanted.is_empty() || rest.is_empty() || rest.starts_with(['.', '[']))
}

fn as_table(entries: &[&ConfigEntry], with_origin: bool) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    match with_origin {
        true => table.set_header(["KEY", "FROM", "VALUE"]),
        false => table.set_header(["KEY", "VALUE"]),
    };
    for entry in entries {
        // The longest goes last: instructions would push everything behind them off the screen.
        let mut row = vec![entry.key.clone()];
        row.extend(with_origin.then(|| origin(&entry.origin)));
        row.push(short(&entry.value));
        table.add_row(row);
    }
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// Where a value comes from, in as few words as editors and terminals can follow.
fn origin(origin: &ConfigOrigin) -> String {
    match (&origin.variable, &origin.file, origin.line) {
        (Some(variable), ..) => format!("environment {variable}"),
        (None, Some(file), Some(line)) => format!("{file}:{line}"),
        (None, Some(file), None) => file.clone(),
        (None, None, _) => origin.kind.to_owned(),
    }
}

/// What the running gateway says of a value.
#[derive(Deserialize)]
struct Shown {
    key: String,
    value: String,
}

/// What it says of all.
#[derive(Deserialize)]
struct AllShown {
    entries: Vec<Shown>,
}

async fn changes(path: &Path, file: Option<&Path>, remote: &Remote) -> Result<Vec<ConfigChange>, Failure> {
    let Some(url) = &remote.remote else {
        let new = taking_its_place(path, file)?;
        return Ok(difference::between(&super::load_config(path)?, &new));
    };
    let new = taking_its_place(path, file)?;
    let gateway = Source::remote(remote, url).await?;
    let shown: AllShown =
        gateway.get("/config").await?.ok_or_else(|| anyhow!("the gateway shows no configuration"))?;
    let nowhere = ConfigOrigin { kind: "default", file: None, line: None, variable: None };
    let entry = |Shown { key, value }| ConfigEntry { key, value, origin: nowhere.clone() };
    let old: Vec<ConfigEntry> = shown.entries.into_iter().map(entry).collect();
    eprintln!(
        "secrets are not compared, for the gateway shows none; the file is filled in with this environment"
    );
    Ok(difference::from_shown(&old, &new))
}

/// The file as if it stood where the configuration does.
fn taking_its_place(path: &Path, file: Option<&Path>) -> Result<Config, Failure> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    config::load_into(file.unwrap_or(path), directory, &Environment::of_process())
        .map_err(|problems| Failure::Config(Box::new(problems)))
}

pub(super) fn as_text(changes: &[ConfigChange]) -> String {
    if changes.is_empty() {
        return "nothing would change\n".to_owned();
    }
    let mut text = String::new();
    for ConfigChange { key, old, new } in changes {
        let key = printable(key);
        text.push_str(&match (old.as_deref().map(short), new.as_deref().map(short)) {
            (Some(old), Some(new)) if old == new => format!("~ {key}: {old} → another one\n"),
            (Some(old), Some(new)) => format!("~ {key}: {old} → {new}\n"),
            (Some(old), None) => format!("- {key}: {old}\n"),
            (None, new) => format!("+ {key}: {}\n", new.unwrap_or_default()),
        });
    }
    text
}
