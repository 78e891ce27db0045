//! From a tree to typed tables, with every mistake of the shape told.
//!
//! Serde stops at the first mistake. So what it complains of is told, taken out of the tree, and
//! the tree is read again, until nothing is left to complain of.

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::DeTable;

use super::codes;
use super::document::Document;
use super::problem::{Location, Problem, Problems};
use super::raw::Raw;
use super::suggest::{did_you_mean, list};

/// After so many mistakes the rest of the file is not looked at.
const ROUNDS_MAX: usize = 100;

/// Takes out of the document what does not fit, and tells it.
pub(super) fn fit(document: &mut Document<'_>, problems: &mut Problems) {
    for _ in 0..ROUNDS_MAX {
        let Err(error) = typed::<Raw>(document.table.clone()) else { return };
        let Some(span) = error.span() else {
            problems.push(unplaced(document, &error));
            return;
        };
        let location = document.location(span.clone());
        let Some((place, kind)) = document.remove(&span) else {
            problems.push(unplaced(document, &error));
            return;
        };
        problems.push(describe(error.message(), location, &place.to_string(), kind));
    }
}

/// The table as the type.
///
/// # Errors
///
/// The first thing that does not fit.
pub(super) fn typed<T: DeserializeOwned>(table: DeTable<'_>) -> Result<T, toml::de::Error> {
    T::deserialize(toml::de::Deserializer::from(Spanned::new(0..0, table)))
}

fn unplaced(document: &Document<'_>, error: &toml::de::Error) -> Problem {
    Problem::new(&codes::WRONG_TYPE, Location::Whole(document.source.clone()), error.message())
}

/// Serde's words in ours. The value itself is not repeated: it may be a secret from the environment.
fn describe(message: &str, location: Location, place: &str, kind: Option<&'static str>) -> Problem {
    if let Some((key, known)) = unknown_field(message) {
        let mut problem =
            Problem::new(&codes::UNKNOWN_KEY, location, format!("`{key}` is not a key of this table"));
        match did_you_mean(key, known.iter().copied()) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help(format!("its keys are {}", list(known))),
        };
        return problem;
    }
    let mut problem = Problem::new(&codes::WRONG_TYPE, location, format!("`{place}` has the wrong type"));
    if let Some((_, expected)) = message.rsplit_once("expected ") {
        let found = kind.map(|kind| format!(", found {}", with_article(kind))).unwrap_or_default();
        problem.label(format!("expected {}{found}", in_words(expected)));
    }
    problem
}

fn unknown_field(message: &str) -> Option<(&str, Vec<&str>)> {
    let (key, expected) = message.strip_prefix("unknown field `")?.split_once("`, ")?;
    Some((key, expected.split('`').skip(1).step_by(2).collect()))
}

fn in_words(expected: &str) -> String {
    match expected.trim() {
        "a sequence" => "a list".to_owned(),
        "a map" => "a table".to_owned(),
        other if other.starts_with("struct ") => "a table".to_owned(),
        other => other.to_owned(),
    }
}

fn with_article(kind: &str) -> String {
    match kind {
        "array" => "a list".to_owned(),
        "integer" => "an integer".to_owned(),
        "boolean" => "`true` or `false`".to_owned(),
        other => format!("a {other}"),
    }
}
