//! `switchboard report`: what was kept, summed up.

use std::path::Path;
use std::time::Duration;

use clap::{Args, Subcommand};
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use serde_json::json;

use super::source::Source;
use super::{Failure, print};
use crate::call::report::{Fared, Report, Verdict};
use crate::clock::{Clock as _, SystemClock};
use crate::config;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// How calls fared on each path, and whether Media Streams may be taken away.
    Paths {
        /// Calls of this long until now, such as `7d` or `36h`.
        #[arg(long, default_value = "8d", value_parser = span)]
        since: Duration,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn span(text: &str) -> Result<Duration, String> {
    config::duration(text).ok_or_else(|| "write a number and a unit, such as `7d` or `36h`".to_owned())
}

pub(super) async fn run(path: &Path, arguments: Arguments) -> Result<(), Failure> {
    let config = super::load_config(path)?;
    let source = Source::open(&config).await?;
    let Command::Paths { since, json } = arguments.command;
    let now = SystemClock.now();
    let since = now - since;
    let calls = source.since(Report::reads_from(since, now)).await?;
    let report = Report::of(calls, since, now);
    print(&if json { as_json(&report)? } else { as_text(&report) })
}

fn as_json(report: &Report) -> Result<String, Failure> {
    let (is_stable, why) = match report.verdict() {
        Verdict::Stable => (true, Vec::new()),
        Verdict::NotYet(why) => (false, why),
    };
    let page = json!({ "report": report, "sip_is_stable": is_stable, "why_not": why });
    Ok(serde_json::to_string_pretty(&page)? + "\n")
}

fn as_text(report: &Report) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header([
        "PATH",
        "CALLS",
        "ANSWERED",
        "FAILED",
        "DROPPED",
        "TRANSFERRED",
        "FIRST WORD P50",
        "P95",
        "MEAN LENGTH",
        "COST",
    ]);
    for (path, fared) in &report.paths {
        table.add_row(row(path, fared));
    }
    for at in 1..10 {
        if let Some(column) = table.column_mut(at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text: String = table.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
    for (path, fared) in &report.paths {
        let reasons = fared.failed.iter().chain(&fared.ended);
        let reasons: Vec<String> = reasons.map(|(reason, count)| format!("{reason} {count}")).collect();
        if !reasons.is_empty() {
            text.push_str(&format!("\n{path}: {}", reasons.join(", ")));
        }
    }
    text.push_str("\n\n");
    text.push_str(&match report.verdict() {
        Verdict::Stable => "the SIP path was stable for a week: Media Streams may be taken away\n".to_owned(),
        Verdict::NotYet(why) => format!("keep Media Streams as the way back: {}\n", why.join("; ")),
    });
    text
}

fn row(path: &str, fared: &Fared) -> [String; 10] {
    let millis = |ms: Option<f64>| ms.map_or("–".to_owned(), |ms| format!("{ms:.0} ms"));
    [
        path.to_owned(),
        fared.calls.to_string(),
        fared.answered.to_string(),
        fared.failed.values().sum::<u64>().to_string(),
        fared.dropped.to_string(),
        fared.transferred.to_string(),
        millis(fared.first_word_p50_ms),
        millis(fared.first_word_p95_ms),
        fared.mean_length_s.map_or("–".to_owned(), |seconds| format!("{seconds:.1} s")),
        format!("${:.4}", fared.cost_usd),
    ]
}
