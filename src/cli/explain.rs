//! `switchboard explain`: what a code means and what to do, or how a call went, in plain words.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::anyhow;
use clap::Args;

use super::catalogue::{self, Entry, Kind};
use super::source::Source;
use super::{Failure, load_config, print, view};
use crate::call::record::CallDetail;
use crate::call::story::{Happened, Went, Whose, story};
use crate::config::codes::{self, Severity};
use crate::ids::CallId;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A code such as `E0203`, `provider_silent` or `69`, or a call's id.
    what: String,
}

pub(super) async fn run(path: &Path, arguments: Arguments) -> Result<(), Failure> {
    let what = arguments.what.trim();
    if let Ok(id) = what.parse::<CallId>() {
        let source = Source::open(&load_config(path)?).await?;
        let detail = source.detail(id).await?.ok_or_else(|| anyhow!("no call `{id}`"))?;
        return print(&call(&detail));
    }
    let all = catalogue::all();
    let met: Vec<String> =
        all.iter().filter(|entry| entry.code.eq_ignore_ascii_case(what)).map(entry).collect();
    match met.is_empty() {
        true => Err(unknown(what, &all).into()),
        false => print(&met.join("\n")),
    }
}

fn unknown(what: &str, all: &[Entry]) -> anyhow::Error {
    let distance =
        |entry: &&Entry| strsim::damerau_levenshtein(&entry.code.to_lowercase(), &what.to_lowercase());
    let near = all
        .iter()
        .min_by_key(distance)
        .map(|entry| format!(" (did you mean `{}`, {}?)", entry.code, entry.kind.title()))
        .unwrap_or_default();
    anyhow!("`{what}` is neither a code nor a call's id{near}; docs/errors.md has all codes")
}

/// A code with all that is known of it; one that is met in several places is told once for each.
fn entry(entry: &Entry) -> String {
    let head = match codes::ALL.iter().find(|code| entry.kind == Kind::Config && code.id == entry.code) {
        Some(code) => {
            let severity = match code.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            };
            format!("{severity}[{}]: {}", code.id, code.title)
        }
        None => format!("{}: {}", entry.code, entry.kind.title()),
    };
    format!("{head}\n\n{}\n\n{}\n", wrapped(entry.cause), wrapped(&format!("What to do: {}", entry.fix)))
}

/// The text in lines that fit a terminal of eighty columns.
fn wrapped(text: &str) -> String {
    const COLUMNS: usize = 78;
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is a first line");
        if !line.is_empty() && line.len() + 1 + word.len() > COLUMNS {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join("\n")
}

fn call(detail: &CallDetail) -> String {
    let story = story(detail);
    let mut text = format!("{}\n\n", detail.call.id);
    let zero = detail.call.stages.began();
    for Happened { at, words, went } in &story {
        let time = zero.map(|zero| view::clock(zero, *at)).unwrap_or_default();
        let mark = match went {
            Went::Well => String::new(),
            Went::Slow(whose) => format!("   ← slow: {}", whose.as_str()),
            Went::Failed(whose) => format!("   ← failed: {}", whose.as_str()),
        };
        let _ = writeln!(text, "  {time}  {}{mark}", view::printable(words));
    }
    let _ = write!(text, "\n{}", verdict(&story));
    text
}

/// In how many places what went wrong, by where to look first.
fn verdict(story: &[Happened]) -> String {
    let (mut failed, mut slow): (BTreeMap<Whose, usize>, BTreeMap<Whose, usize>) = Default::default();
    for happened in story {
        match happened.went {
            Went::Well => {}
            Went::Slow(whose) => *slow.entry(whose).or_default() += 1,
            Went::Failed(whose) => *failed.entry(whose).or_default() += 1,
        }
    }
    if failed.is_empty() && slow.is_empty() {
        return "Nothing failed, and nothing was slow.\n".to_owned();
    }
    let told = |what: &str, by: &BTreeMap<Whose, usize>| {
        let parts: Vec<String> = by
            .iter()
            .map(|(whose, times)| match times {
                1 => whose.as_str().to_owned(),
                times => format!("{} ({times} times)", whose.as_str()),
            })
            .collect();
        if parts.is_empty() { String::new() } else { format!("{what}: {}.\n", parts.join(", ")) }
    };
    format!("{}{}", told("What failed, look first at", &failed), told("What was slow, look first at", &slow))
}
