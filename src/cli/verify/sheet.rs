//! The sheet that `verify` fills in: one row for each claim, with what was seen and whether it holds.

use std::time::Duration;

use clap::ValueEnum;
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;

use crate::call::report::percentile;
use crate::cli::view;

/// How many things that are wrong are shown of a row; the rest is counted.
const WRONG_SHOWN: usize = 5;

/// What is claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Check {
    /// The provider's signed webhook is taken, a forged one is refused.
    Webhook,
    /// The call is accepted, and its session comes up.
    Accept,
    /// The caller hears the first word soon.
    FirstWord,
    /// Japanese speech is written down correctly.
    Transcription,
    /// Tool calls are answered over the sideband.
    Tools,
    /// Recordings are kept, whole.
    Recordings,
    /// The transcript says when something was said.
    TranscriptTimes,
    /// So many calls at once are served.
    Concurrency,
    /// Whatever fails, no caller is lost.
    Errors,
}

impl Check {
    /// The name as it is typed and printed.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// What was seen is as claimed.
    Passed,
    /// It is not.
    Failed,
    /// It could not be seen here.
    NotJudged,
}

/// One row.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub check: Check,
    /// What is claimed, with its bound.
    pub claim: String,
    /// What was seen.
    pub seen: String,
    pub verdict: Verdict,
    /// What the figure is made up of.
    pub notes: Vec<String>,
    /// What is wrong, one by one.
    pub wrong: Vec<String>,
}

impl Row {
    /// A row that holds where nothing is wrong.
    pub fn new(check: Check, claim: impl Into<String>, seen: String, wrong: Vec<String>) -> Row {
        let verdict = if wrong.is_empty() { Verdict::Passed } else { Verdict::Failed };
        Row { check, claim: claim.into(), seen, verdict, notes: Vec::new(), wrong }
    }

    /// A row about which nothing can be said here, and why.
    pub fn not_judged(check: Check, claim: impl Into<String>, why: impl Into<String>) -> Row {
        let verdict = Verdict::NotJudged;
        Row { verdict, ..Row::new(check, claim, why.into(), Vec::new()) }
    }
}

/// All rows, as they are read on a terminal.
pub(super) fn as_text(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["", "CHECK", "CLAIM", "SEEN"]);
    for row in rows {
        let mark = match row.verdict {
            Verdict::Passed => "ok",
            Verdict::Failed => "FAILED",
            Verdict::NotJudged => "–",
        };
        table.add_row([mark, &row.check.name(), &row.claim, &row.seen]);
    }
    let mut text: String = table.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
    for row in rows.iter().filter(|row| !row.notes.is_empty() || !row.wrong.is_empty()) {
        text.push_str(&format!("\n{}:\n", row.check.name()));
        for detail in row.notes.iter().chain(row.wrong.iter().take(WRONG_SHOWN)) {
            text.push_str(&format!("  {detail}\n"));
        }
        if let Some(more) = row.wrong.len().checked_sub(WRONG_SHOWN).filter(|more| *more > 0) {
            text.push_str(&format!("  and {more} more\n"));
        }
    }
    text
}

/// Half of them, 99 of a hundred, and the longest.
pub(super) fn spread(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |share: f64| percentile(times, share).map_or_else(|| "–".to_owned(), brief);
    format!("p50 {}, p99 {}, max {}", at(0.5), at(0.99), at(1.0))
}

/// A span as people say it.
pub(super) fn brief(span: Duration) -> String {
    if span < Duration::from_secs(1) { view::millis(span) } else { view::seconds(span) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_of_values_that_were_seen() {
        let mut times: Vec<Duration> = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(spread(&mut times), "p50 100 ms, p99 198 ms, max 200 ms");
        assert_eq!(spread(&mut [Duration::from_micros(1_240)]), "p50 1.24 ms, p99 1.24 ms, max 1.24 ms");
        assert_eq!(spread(&mut []), "p50 –, p99 –, max –");
        assert_eq!(brief(Duration::from_millis(2_500)), "2.5 s");
    }

    #[test]
    fn a_row_says_what_is_wrong_and_not_without_end() {
        let wrong = (0..7).map(|n| format!("call {n}")).collect();
        let rows = [
            Row::new(Check::Tools, "every one", "all of 3".to_owned(), Vec::new()),
            Row::new(Check::Recordings, "each call's", "0 of 7".to_owned(), wrong),
            Row::not_judged(Check::Errors, "nobody is lost", "only without --live"),
        ];
        let text = as_text(&rows);
        assert_eq!(
            text,
            concat!(
                "         CHECK       CLAIM           SEEN\n",
                " ok      tools       every one       all of 3\n",
                " FAILED  recordings  each call's     0 of 7\n",
                " –       errors      nobody is lost  only without --live\n",
                "\nrecordings:\n  call 0\n  call 1\n  call 2\n  call 3\n  call 4\n  and 2 more\n"
            )
        );
    }
}
