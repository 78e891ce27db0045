//! Results as a person reads them: rates with how sure they are, and each utterance with its errors marked.

use std::fmt::Write as _;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};

use super::history::Change;
use super::run::{Evaluation, Measured, SettingDifference};
use crate::cli::view::printable;
use crate::speech::bootstrap::Interval;
use crate::speech::measured::{Difference, Outcome, Rate};

/// How errors are set off besides their marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    Plain,
    Ansi,
}

const RED: &str = "\u{1b}[31m";
const GREEN: &str = "\u{1b}[32m";
const RESET: &str = "\u{1b}[0m";

/// A whole run, with how it differs from the last one.
pub(super) fn evaluation(evaluation: &Evaluation, changes: &[Vec<Change>], colour: Colour) -> String {
    let mut text = String::new();
    let (count, seconds) = (evaluation.utterances, evaluation.seconds);
    let _ = writeln!(
        text,
        "corpus {} · {count} utterances, {seconds:.0} s · seed {}",
        evaluation.corpus, evaluation.seed
    );
    if evaluation.simulated {
        text.push_str("simulated: the errors are made up, and these numbers say nothing of any recogniser\n");
    }
    for measured in &evaluation.measured {
        let _ = writeln!(text, "\n{} · {}", measured.setting.label(), measured.condition);
        write_measured(&mut text, measured, colour);
    }
    text.push('\n');
    text.push_str(&rates(&evaluation.measured));
    // For several it would be a wall; `--format json` has them all.
    if let [one] = &evaluation.measured[..] {
        text.push_str(&tags(one));
    }
    for difference in &evaluation.differences {
        text.push_str(&difference_of(difference));
    }
    for (measured, changes) in evaluation.measured.iter().zip(changes) {
        for change in changes {
            let label = format!("{} · {}", measured.setting.label(), measured.condition);
            let told = differs(&change.difference);
            let _ = writeln!(text, "\nagainst the last run, {} · {label}\n  {told}", change.since);
        }
    }
    if evaluation.simulated {
        text.push_str(match evaluation.is_exact() {
            true => "\nwhat was measured is exactly what was made up\n",
            false => "\nWHAT WAS MEASURED IS NOT WHAT WAS MADE UP: see `injected` in `--format json`\n",
        });
    }
    text
}

fn write_measured(text: &mut String, measured: &Measured, colour: Colour) {
    let mut wrong: Vec<&Outcome> = measured.outcomes.iter().filter(|one| one.counts.edits() > 0).collect();
    let share = |outcome: &Outcome| outcome.counts.rate().unwrap_or_default();
    wrong.sort_by(|one, other| share(other).total_cmp(&share(one)).then_with(|| one.name.cmp(&other.name)));
    let width = wrong.iter().map(|outcome| outcome.name.chars().count()).max().unwrap_or_default();
    for outcome in &wrong {
        let of = format!("{}/{}", outcome.counts.edits(), outcome.counts.units);
        let marked = coloured(&printable(&outcome.marked), colour);
        let _ = writeln!(text, "  {of:>7}  {:<width$}  {marked}", printable(&outcome.name));
    }
    for outcome in &measured.outcomes {
        for note in &outcome.notes {
            let _ = writeln!(text, "     note  {:<width$}  {}", printable(&outcome.name), printable(note));
        }
    }
    for one in &measured.not_measured {
        let _ = writeln!(text, "  not measured: {}: {}", printable(&one.name), printable(&one.reason));
    }
    match measured.outcomes.len() - wrong.len() {
        0 => {}
        right => {
            let _ = writeln!(text, "  {right} of {} without an error", measured.outcomes.len());
        }
    }
}

/// Missing in red, added in green; the marks stay.
fn coloured(marked: &str, colour: Colour) -> String {
    if colour == Colour::Plain {
        return marked.to_owned();
    }
    let red = marked.replace("[-", &format!("{RED}[-")).replace("-]", &format!("-]{RESET}"));
    red.replace("{+", &format!("{GREEN}{{+")).replace("+}", &format!("+}}{RESET}"))
}

pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

pub(super) fn interval(interval: Interval) -> String {
    format!("{:.1} – {:.1} %", interval.low * 100.0, interval.high * 100.0)
}

pub(super) fn table(header: &[&str], rows: Vec<Vec<String>>, right: &[usize]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().copied());
    table.add_rows(rows);
    for at in right {
        if let Some(column) = table.column_mut(*at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

fn rates(measured: &[Measured]) -> String {
    let row = |measured: &Measured, rate: &Rate| {
        let counts = rate.counts;
        vec![
            measured.setting.label(),
            measured.condition.clone(),
            rate.metric.clone(),
            percent(rate.rate),
            interval(rate.interval),
            percent(rate.mean),
            counts.substitutions.to_string(),
            counts.deletions.to_string(),
            counts.insertions.to_string(),
            counts.units.to_string(),
            rate.utterances.to_string(),
        ]
    };
    let rows =
        measured.iter().flat_map(|measured| measured.rates.iter().map(move |rate| row(measured, rate)));
    let header = [
        "SETTING",
        "CONDITION",
        "METRIC",
        "RATE",
        "95 % INTERVAL",
        "MEAN",
        "SUB",
        "DEL",
        "INS",
        "UNITS",
        "UTTERANCES",
    ];
    table(&header, rows.collect(), &[3, 4, 5, 6, 7, 8, 9, 10])
}

fn tags(measured: &Measured) -> String {
    let mut rows = Vec::new();
    for (tag, rates) in &measured.by_tag {
        rows.extend(rates.iter().map(|rate| {
            let edits = format!("{}/{}", rate.counts.edits(), rate.counts.units);
            vec![printable(tag), rate.metric.clone(), percent(rate.rate), interval(rate.interval), edits]
        }));
    }
    if rows.is_empty() {
        return String::new();
    }
    format!("\n{}", table(&["TAG", "METRIC", "RATE", "95 % INTERVAL", "EDITS"], rows, &[2, 3, 4]))
}

fn difference_of(difference: &SettingDifference) -> String {
    let SettingDifference { first, second, condition, difference } = difference;
    format!("\n{condition}: {}\nagainst {}\n  {}\n", second.label(), first.label(), differs(difference))
}

/// A difference in words.
pub(super) fn differs(difference: &Difference) -> String {
    let Interval { low, high } = difference.interval;
    let verdict = match (difference.is_clear, difference.difference > 0.0) {
        (true, true) => "clearly worse",
        (true, false) => "clearly better",
        (false, _) => "no clear difference",
    };
    format!(
        "{} {:+.1} points, 95 % interval {:+.1} to {:+.1}: {verdict} ({} utterances)",
        difference.metric,
        difference.difference * 100.0,
        low * 100.0,
        high * 100.0,
        difference.utterances
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_only_added() {
        assert_eq!(coloured("a[-b-]{+c+}", Colour::Plain), "a[-b-]{+c+}");
        assert_eq!(
            coloured("a[-b-]{+c+}", Colour::Ansi),
            "a\u{1b}[31m[-b-]\u{1b}[0m\u{1b}[32m{+c+}\u{1b}[0m"
        );
    }

    #[test]
    fn a_difference_says_whether_it_may_be_chance() {
        let difference = |low: f64, high: f64| Difference {
            metric: "CER".to_owned(),
            utterances: 20,
            difference: (low + high) / 2.0,
            interval: Interval { low, high },
            is_clear: Interval { low, high }.excludes_zero(),
        };
        for (low, high, expected) in [
            (0.01, 0.03, "CER +2.0 points, 95 % interval +1.0 to +3.0: clearly worse (20 utterances)"),
            (-0.03, -0.01, "CER -2.0 points, 95 % interval -3.0 to -1.0: clearly better (20 utterances)"),
            (-0.01, 0.03, "CER +1.0 points, 95 % interval -1.0 to +3.0: no clear difference (20 utterances)"),
        ] {
            assert_eq!(differs(&difference(low, high)), expected);
        }
    }
}
