//! `switchboard plugin ls`: the plugins of the configuration, and whether each can be loaded.

use std::path::Path;

use clap::Args;
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use serde_json::{Value, json};

use super::{loading, target};
use crate::cli::Failure;
use crate::tool::plugin::{About, Host, Settings};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// One plugin of the list.
struct Row {
    name: String,
    about: Option<About>,
    /// `good`, or why it cannot be loaded.
    state: String,
}

pub(super) async fn run(config: &Path, arguments: Arguments) -> Result<(), Failure> {
    let configured = target::configured(config)?;
    let host = loading::host()?;
    let mut rows = Vec::new();
    for settings in &configured {
        rows.push(row(&host, settings).await);
    }
    let is_good = rows.iter().all(|row| row.state == "good");
    crate::cli::print(&if arguments.json { as_json(&rows) } else { as_text(&rows) })?;
    if is_good { Ok(()) } else { Err(Failure::Said) }
}

async fn row(host: &Host, settings: &Settings) -> Row {
    let name = settings.name.clone();
    match host.inspect(settings).await {
        Ok((about, _)) => {
            let missing: Vec<String> = about
                .needs
                .iter()
                .filter(|need| !settings.grants.covers(need))
                .map(ToString::to_string)
                .collect();
            let state = if missing.is_empty() {
                "good".to_owned()
            } else {
                format!("not granted: {}", missing.join(", "))
            };
            Row { name, about: Some(about), state }
        }
        Err(error) => Row { name, about: None, state: error.told() },
    }
}

fn as_text(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["PLUGIN", "VERSION", "INTERFACE", "TOOLS", "STATE"]);
    for row in rows {
        let about = row.about.as_ref();
        table.add_row([
            row.name.clone(),
            about.map(|about| about.version.clone()).unwrap_or_default(),
            about.map(|about| about.interface.to_owned()).unwrap_or_default(),
            about.map(tools).unwrap_or_default(),
            row.state.clone(),
        ]);
    }
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

fn tools(about: &About) -> String {
    about.tools.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>().join(" ")
}

fn as_json(rows: &[Row]) -> String {
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            let about = row.about.as_ref();
            json!({
                "plugin": row.name,
                "version": about.map(|about| &about.version),
                "interface": about.map(|about| about.interface),
                "tools": about.map(|about| about.tools.iter().map(|tool| &tool.name).collect::<Vec<_>>()),
                "state": row.state,
            })
        })
        .collect();
    format!("{:#}\n", json!({ "plugins": rows }))
}
