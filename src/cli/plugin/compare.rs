//! What was expected beside what came: whether it fits, and a short picture of where it does not.

use std::fmt::Write as _;

use serde_json::Value;

/// How many lines a picture has at most: more of them are no easier to read.
const LINES_MAX: usize = 60;
/// Unchanged lines around a difference that are shown.
const AROUND: usize = 2;

/// Claims that `found` is what was expected. Objects may have more keys than expected, unless `exact`.
pub(super) fn fits(expected: &Value, found: &Value, exact: bool) -> bool {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            let all = |(key, value): (&String, &Value)| {
                found.get(key).is_some_and(|found| fits(value, found, exact))
            };
            (!exact || expected.len() == found.len()) && expected.iter().all(all)
        }
        (Value::Array(expected), Value::Array(found)) => {
            let pairs = || expected.iter().zip(found);
            expected.len() == found.len() && pairs().all(|(expected, found)| fits(expected, found, exact))
        }
        // 1 and 1.0 are one number, in TOML as in JSON.
        (Value::Number(expected), Value::Number(found)) => {
            expected == found || expected.as_f64() == found.as_f64()
        }
        _ => expected == found,
    }
}

/// The differences as lines: `-` was expected, `+` came instead.
pub(super) fn picture(expected: &Value, found: &Value, exact: bool) -> String {
    let found = if exact { found.clone() } else { without_extra(expected, found) };
    let lines = |value: &Value| -> Vec<String> { format!("{value:#}").lines().map(str::to_owned).collect() };
    let marked = marked(&lines(expected), &lines(&found));
    let mut text = String::new();
    let mut shown = 0;
    let mut left_out = false;
    for (at, (mark, line)) in marked.iter().enumerate() {
        let near = &marked[at.saturating_sub(AROUND)..marked.len().min(at + AROUND + 1)];
        if near.iter().all(|(mark, _)| *mark == ' ') {
            left_out = true;
            continue;
        }
        if shown == LINES_MAX {
            text.push_str("  …\n");
            break;
        }
        if std::mem::take(&mut left_out) {
            text.push_str("  …\n");
        }
        let _ = writeln!(text, "{mark} {line}");
        shown += 1;
    }
    text
}

/// What was found, without the keys that nobody asked about.
fn without_extra(expected: &Value, found: &Value) -> Value {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            let kept = found
                .iter()
                .filter_map(|(key, value)| Some((key.clone(), without_extra(expected.get(key)?, value))));
            Value::Object(kept.collect())
        }
        (Value::Array(expected), Value::Array(found)) => {
            let at = |at: usize, value: &Value| {
                expected.get(at).map_or_else(|| value.clone(), |expected| without_extra(expected, value))
            };
            found.iter().enumerate().map(|(index, value)| at(index, value)).collect()
        }
        _ => found.clone(),
    }
}

/// Both texts as one, each line marked with whose it is: the longest common subsequence stays unmarked.
fn marked(expected: &[String], found: &[String]) -> Vec<(char, String)> {
    // Answers are bounded, but a table of all pairs of lines need not fit: then nothing is in common.
    const PAIRS_MAX: usize = 4 << 20;
    let (rows, columns) = (expected.len(), found.len());
    let is_small = rows.saturating_mul(columns) <= PAIRS_MAX;
    let mut common = vec![vec![0_u32; columns + 1]; if is_small { rows + 1 } else { 1 }];
    if is_small {
        for row in (0..rows).rev() {
            for column in (0..columns).rev() {
                common[row][column] = if expected[row] == found[column] {
                    common[row + 1][column + 1] + 1
                } else {
                    common[row + 1][column].max(common[row][column + 1])
                };
            }
        }
    }
    let (mut row, mut column, mut lines) = (0, 0, Vec::new());
    while row < rows || column < columns {
        let both = row < rows && column < columns;
        if both && is_small && expected[row] == found[column] {
            lines.push((' ', expected[row].clone()));
            (row, column) = (row + 1, column + 1);
        } else if row < rows
            && (column == columns || !is_small || common[row + 1][column] >= common[row][column + 1])
        {
            lines.push(('-', expected[row].clone()));
            row += 1;
        } else {
            lines.push(('+', found[column].clone()));
            column += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn more_keys_are_no_difference_unless_exact() {
        let (expected, found) =
            (json!({ "a": [{ "b": 1 }] }), json!({ "a": [{ "b": 1.0, "c": 2 }], "d": 3 }));
        assert!(fits(&expected, &found, false));
        assert!(!fits(&expected, &found, true));
        assert!(!fits(&json!({ "a": [] }), &found, false), "lists are whole");
        assert!(!fits(&json!({ "e": null }), &found, false), "a missing key is not null");
    }

    #[test]
    fn a_picture_shows_what_differs_and_what_is_around() {
        let expected = json!({ "found": true, "customer": { "name": "佐藤", "orders": 2 } });
        let found = json!({ "found": true, "customer": { "name": "鈴木", "orders": 2, "phone": "+81" } });
        let shown = picture(&expected, &found, false);
        let lines: Vec<&str> = shown.lines().map(str::trim_end).collect();
        assert_eq!(
            lines,
            [
                "  {",
                "    \"customer\": {",
                "-     \"name\": \"佐藤\",",
                "+     \"name\": \"鈴木\",",
                "      \"orders\": 2",
                "    },",
                "  …",
            ]
            .into_iter()
            .take(6)
            .collect::<Vec<_>>()
        );
        assert!(picture(&expected, &found, true).contains("+     \"phone\""));
    }

    #[test]
    fn a_picture_has_an_end() {
        let (expected, found): (Value, Value) = ((0..5_000).collect(), (5_000..9_000).collect());
        assert!(picture(&expected, &found, false).lines().count() <= LINES_MAX + 2);
    }
}
