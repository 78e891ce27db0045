//! What of the configuration and of answers for operators may leave: numbers are masked, what was filled in is hidden.

use serde_json::Value;

use crate::call::privacy::masked_in;

/// What stands for a value that is not shown.
const HIDDEN: &str = "•••";
/// Tables in which operators name the keys themselves: nobody knows which value there is a secret, or about people.
const FREE: [&str; 7] =
    [".config", ".vars", ".mcp", ".http.headers", ".http.query", ".http.form", ".http.json"];

/// A text in which what may be a telephone number is masked, and what follows the `?` of an address is left out.
pub(super) fn text(text: &str) -> String {
    masked_in(&without_queries(text))
}

/// The same in every text of a JSON value.
pub(super) fn json(mut value: Value) -> Value {
    match &mut value {
        Value::String(inner) => *inner = text(inner),
        Value::Array(list) => list.iter_mut().for_each(|inner| *inner = json(inner.take())),
        Value::Object(table) => table.values_mut().for_each(|inner| *inner = json(inner.take())),
        _ => {}
    }
    value
}

/// The configuration, a line for each value.
pub(super) fn config(entries: &Value) -> String {
    let line = |entry: &Value| {
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (key, value, origin) = (word(&entry["key"]), word(&entry["value"]), &entry["origin"]);
        let shown = match is_free(&key) {
            true => HIDDEN.to_owned(),
            // A line each: what is longer goes on in it.
            false => text(&value).replace('\n', "\\n"),
        };
        let from = match origin["kind"].as_str() {
            Some("file") => format!("{}:{}", word(&origin["file"]), origin["line"]),
            Some("environment") => word(&origin["variable"]),
            _ => "default".to_owned(),
        };
        format!("{} = {shown}   # {from}\n", text(&key))
    };
    entries.as_array().into_iter().flatten().map(line).collect()
}

fn is_free(key: &str) -> bool {
    let is_named = ["plugins.", "tools.", "sessions.", "routes"].iter().any(|table| key.starts_with(table));
    is_named
        && FREE.iter().any(|free| key.match_indices(free).any(|(at, _)| ends_there(key, at + free.len())))
}

/// Claims that a name in a key ends there.
fn ends_there(key: &str, at: usize) -> bool {
    key[at..].chars().next().is_none_or(|next| matches!(next, '.' | '['))
}

fn without_queries(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for word in
        text.split_inclusive(|letter: char| letter.is_whitespace() || matches!(letter, ')' | '"' | ','))
    {
        match word
            .split_once("://")
            .and_then(|(_, rest)| rest.find('?').map(|at| word.len() - rest.len() + at))
        {
            Some(at) => {
                let end = word.trim_end_matches(|letter: char| {
                    letter.is_whitespace() || matches!(letter, ')' | '"' | ',')
                });
                shown.push_str(&word[..at]);
                shown.push('?');
                shown.push_str(HIDDEN);
                shown.push_str(&word[end.len().max(at)..]);
            }
            None => shown.push_str(word),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_and_queries_are_left_out_of_texts() {
        for (given, shown) in [
            ("forward tel:+81312345678", "forward tel:+81•••••5678"),
            ("(https://h.example/a?token=x) failed, twice", "(https://h.example/a?•••) failed, twice"),
            ("https://h.example/a, 'what?'", "https://h.example/a, 'what?'"),
            ("67 bytes", "67 bytes"),
        ] {
            assert_eq!(text(given), shown);
        }
        assert_eq!(
            json(json!({ "a": ["0312345678", 12_345_678] })),
            json!({ "a": ["•••••5678", 12_345_678] })
        );
    }

    #[test]
    fn what_operators_name_themselves_is_hidden() {
        for key in [
            "plugins.shop.config.customers[0].name",
            "tools.t.http.headers.x",
            "tools.t.http.json.a.b",
            "sessions.s.mcp[0].headers.y",
            "routes[0].vars.z",
        ] {
            assert!(is_free(key), "{key}");
        }
        for key in ["plugins.shop.path", "server.config", "tools.t.http.url", "sessions.variety.varsity"] {
            assert!(!is_free(key), "{key}");
        }
        let entry = json!({ "key": "routes[0].to", "value": "+81312345678", "origin": { "kind": "file", "file": "gateway.toml", "line": 3 } });
        assert_eq!(config(&json!([entry])), "routes[0].to = +81•••••5678   # gateway.toml:3\n");
    }
}
