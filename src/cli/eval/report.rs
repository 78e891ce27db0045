//! `switchboard eval report`: what was measured before, and what became worse.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;
use serde_json::json;

use super::history::{self, Change, Entry};
use super::speech::HISTORY;
use super::{Format, show};
use crate::cli::{Failure, print};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The corpus whose history it is, or the file of the history itself.
    #[arg(value_name = "CORPUS")]
    place: PathBuf,
    /// How many of the last lines are shown: one is a setting under a condition.
    #[arg(long, value_name = "LINES", default_value_t = 20)]
    last: usize,
    /// Exit with 99 where the last run of a setting is clearly worse than the one before it.
    #[arg(long)]
    deny_regressions: bool,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let path = match arguments.place.is_dir() {
        true => arguments.place.join(HISTORY),
        false => arguments.place.clone(),
    };
    let entries = history::read(&path)?;
    if entries.is_empty() {
        return Err(anyhow!(
            "{} has no runs: `switchboard eval speech --live CORPUS` makes one",
            path.display()
        )
        .into());
    }
    let told: Vec<(&Entry, Vec<Change>)> = entries
        .iter()
        .enumerate()
        .map(|(at, entry)| (entry, history::changes(&entries[..at], entry)))
        .collect();
    let shown = &told[told.len().saturating_sub(arguments.last)..];
    print(&match arguments.format {
        Format::Text => as_text(shown),
        Format::Json => as_json(shown)?,
    })?;
    let worse = regressions(&told);
    match arguments.deny_regressions && !worse.is_empty() {
        true => Err(Failure::Threshold(anyhow!(worse.join("\n")))),
        false => Ok(()),
    }
}

/// What is worse in the last run of each setting and condition.
fn regressions(told: &[(&Entry, Vec<Change>)]) -> Vec<String> {
    let is_last = |at: usize, entry: &Entry| told[at + 1..].iter().all(|(later, _)| !later.is_like(entry));
    let last = told.iter().enumerate().filter(|(at, (entry, _))| is_last(*at, entry)).map(|(_, told)| told);
    let worse = last.flat_map(|(entry, changes)| {
        let worse = changes.iter().filter(|change| change.is_regression());
        worse.map(|change| format!("{}: {}", label(entry), show::differs(&change.difference)))
    });
    worse.collect()
}

fn label(entry: &Entry) -> String {
    format!("{} · {}", entry.setting.label(), entry.condition)
}

fn as_text(told: &[(&Entry, Vec<Change>)]) -> String {
    let mut rows = Vec::new();
    for (entry, changes) in told {
        for rate in &entry.rates {
            let change = changes.iter().find(|change| change.difference.metric == rate.metric);
            let verdict = change.map_or(String::new(), |change| {
                let points = format!("{:+.1}", change.difference.difference * 100.0);
                match (change.difference.is_clear, change.is_regression()) {
                    (true, true) => format!("{points} WORSE"),
                    (true, false) => format!("{points} better"),
                    (false, _) => format!("{points} unclear"),
                }
            });
            rows.push(vec![
                entry.at.to_string(),
                if entry.simulated { format!("{} (simulated)", entry.corpus) } else { entry.corpus.clone() },
                label(entry),
                rate.metric.clone(),
                show::percent(rate.rate),
                show::interval(rate.interval),
                format!("{}/{}", rate.counts.edits(), rate.counts.units),
                verdict,
            ]);
        }
    }
    let header = ["WHEN", "CORPUS", "SETTING", "METRIC", "RATE", "95 % INTERVAL", "EDITS", "CHANGE"];
    show::table(&header, rows, &[4, 5, 6])
}

fn as_json(told: &[(&Entry, Vec<Change>)]) -> Result<String, Failure> {
    let mut page = Vec::new();
    for (entry, changes) in told {
        let mut line = serde_json::to_value(entry)?;
        line["changes"] = json!(changes);
        line["is_regression"] = changes.iter().any(Change::is_regression).into();
        page.push(line);
    }
    Ok(serde_json::to_string_pretty(&page)? + "\n")
}
