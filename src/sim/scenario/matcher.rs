//! What a JSON value must be, as it is written in a scenario file.
//!
//! | written | fits |
//! | --- | --- |
//! | `"A-1001"`, `8`, `true` | that value; `8` and `8.0` are the same number |
//! | `{ phone = "…" }` | an object with at least these fields |
//! | `["a", "b"]` | a list of exactly so many elements, each as written, in this order |
//! | `{ is = … }` | exactly this JSON: no field more |
//! | `{ one_of = ["a", "b"] }` | one of these |
//! | `{ matches = "^A-[0-9]+$" }` | a text in which the regular expression is found; of anything else its JSON |
//! | `{ min = 1, max = 8 }` | a number between the two, both included; one of them is enough |
//! | `{ any = true }` | anything, if it is there |
//! | `{ absent = true }` | nothing: there is no such field |
//!
//! A table with one of these words has no other keys; fields that are called so are written with `is`.

use std::collections::BTreeMap;
use std::fmt;

use regex::Regex;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The words that make a table a matcher of its own.
const WORDS: [&str; 7] = ["is", "one_of", "matches", "min", "max", "any", "absent"];

/// How `toml` hands over a moment: a map with this key (`toml_datetime`, `de`).
const MOMENT: &str = "$__toml_private_datetime";

/// What a value must be.
#[derive(Clone, Debug)]
pub enum Matcher {
    /// This text, number or truth.
    Same(Value),
    /// An object with at least these fields.
    Fields(BTreeMap<String, Matcher>),
    /// A list of exactly these.
    Items(Vec<Matcher>),
    /// Exactly this JSON.
    Is(Value),
    /// One of these.
    OneOf(Vec<Value>),
    /// The regular expression is found in it.
    Matches(Regex),
    /// A number within these bounds.
    Between(Option<f64>, Option<f64>),
    /// Anything that is there.
    Any,
    /// Nothing.
    Absent,
}

/// A value that is not what it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Where: `arguments.party`.
    pub place: String,
    /// What must be there.
    pub expected: String,
    /// What is there.
    pub seen: String,
}

impl Matcher {
    /// Everything in which the value at this place is not as it must be; none: there is nothing at it.
    pub fn misfits(&self, place: &str, seen: Option<&Value>) -> Vec<Misfit> {
        let mut misfits = Vec::new();
        self.hold_against(place, seen, &mut misfits);
        misfits
    }

    fn hold_against(&self, place: &str, seen: Option<&Value>, misfits: &mut Vec<Misfit>) {
        match (self, seen) {
            (Matcher::Fields(fields), Some(Value::Object(object))) => {
                for (name, matcher) in fields {
                    matcher.hold_against(&format!("{place}.{name}"), object.get(name), misfits);
                }
            }
            (Matcher::Items(items), Some(Value::Array(seen))) if items.len() == seen.len() => {
                for (at, (matcher, seen)) in items.iter().zip(seen).enumerate() {
                    matcher.hold_against(&format!("{place}[{at}]"), Some(seen), misfits);
                }
            }
            _ if self.fits_whole(seen) => {}
            _ => misfits.push(Misfit {
                place: place.to_owned(),
                expected: self.to_string(),
                seen: seen.map_or_else(|| "nothing".to_owned(), |seen| format!("`{seen}`")),
            }),
        }
    }

    /// Claims that a value fits that is not looked into.
    fn fits_whole(&self, seen: Option<&Value>) -> bool {
        let Some(seen) = seen else { return matches!(self, Matcher::Absent) };
        match self {
            Matcher::Same(wanted) | Matcher::Is(wanted) => is_same(wanted, seen),
            Matcher::OneOf(wanted) => wanted.iter().any(|wanted| is_same(wanted, seen)),
            Matcher::Matches(pattern) => match seen {
                Value::String(text) => pattern.is_match(text),
                other => pattern.is_match(&other.to_string()),
            },
            Matcher::Between(min, max) => seen.as_f64().is_some_and(|number| {
                min.is_none_or(|min| number >= min) && max.is_none_or(|max| number <= max)
            }),
            Matcher::Any => true,
            Matcher::Fields(_) | Matcher::Items(_) | Matcher::Absent => false,
        }
    }
}

/// Claims that both are the same JSON, whichever way a number is written.
fn is_same(wanted: &Value, seen: &Value) -> bool {
    match (wanted, seen) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let is_there = |(name, value)| other.get(name).is_some_and(|other: &Value| is_same(value, other));
            one.len() == other.len() && one.iter().all(is_there)
        }
        _ => wanted == seen,
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Matcher::Same(value) => write!(f, "`{value}`"),
            Matcher::Fields(fields) => {
                let names: Vec<String> = fields.keys().map(|name| format!("`{name}`")).collect();
                write!(f, "an object with {}", names.join(", "))
            }
            Matcher::Items(items) => write!(f, "a list of {}", items.len()),
            Matcher::Is(value) => write!(f, "exactly `{value}`"),
            Matcher::OneOf(values) => {
                let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
                write!(f, "one of {}", values.join(", "))
            }
            Matcher::Matches(pattern) => write!(f, "something that matches `{pattern}`"),
            Matcher::Between(Some(min), Some(max)) => write!(f, "a number from {min} to {max}"),
            Matcher::Between(Some(min), None) => write!(f, "a number of at least {min}"),
            Matcher::Between(None, Some(max)) => write!(f, "a number of at most {max}"),
            Matcher::Between(None, None) => f.write_str("a number"),
            Matcher::Any => f.write_str("anything"),
            Matcher::Absent => f.write_str("nothing"),
        }
    }
}

impl<'de> Deserialize<'de> for Matcher {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Matcher, D::Error> {
        deserializer.deserialize_any(AnyMatcher)
    }
}

struct AnyMatcher;

impl<'de> Visitor<'de> for AnyMatcher {
    type Value = Matcher;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, or a table such as `{ min = 1 }`")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Matcher, E> {
        Ok(Matcher::Same(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Matcher, E> {
        Ok(Matcher::Same(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Matcher, E> {
        Ok(Matcher::Same(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Matcher, E> {
        Ok(Matcher::Same(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Matcher, E> {
        Ok(Matcher::Same(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Matcher, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element()? {
            all.push(item);
        }
        Ok(Matcher::Items(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Matcher, A::Error> {
        let mut fields = BTreeMap::new();
        let mut words = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == MOMENT {
                return Ok(Matcher::Same(map.next_value::<String>()?.into()));
            }
            if WORDS.contains(&name.as_str()) {
                words.insert(name, map.next_value::<Plain>()?.0);
            } else {
                fields.insert(name, map.next_value()?);
            }
        }
        match (words.keys().next(), fields.keys().next()) {
            (None, _) => Ok(Matcher::Fields(fields)),
            (Some(_), None) => of_words(words).map_err(A::Error::custom),
            (Some(word), Some(field)) => Err(A::Error::custom(format!(
                "`{word}` says what a value must be and cannot stand beside the field `{field}`: \
                 write `{{ is = {{ … }} }}` where it is a field too"
            ))),
        }
    }
}

fn of_words(words: BTreeMap<String, Value>) -> Result<Matcher, String> {
    let words: Vec<(&str, &Value)> = words.iter().map(|(word, value)| (word.as_str(), value)).collect();
    let number = |word: &str, value: &Value| {
        value.as_f64().ok_or_else(|| format!("`{word}` must be a number, and is `{value}`"))
    };
    match words[..] {
        [("is", value)] => Ok(Matcher::Is(value.clone())),
        [("one_of", Value::Array(values))] if !values.is_empty() => Ok(Matcher::OneOf(values.clone())),
        [("one_of", value)] => Err(format!("`one_of` must be a list of values, and is `{value}`")),
        [("matches", Value::String(pattern))] => Regex::new(pattern)
            .map(Matcher::Matches)
            .map_err(|error| format!("`matches` is no regular expression: {error}")),
        [("matches", value)] => Err(format!("`matches` must be a regular expression, and is `{value}`")),
        [("any", Value::Bool(true))] => Ok(Matcher::Any),
        [("absent", Value::Bool(true))] => Ok(Matcher::Absent),
        [(word @ ("any" | "absent"), _)] => Err(format!("`{word}` can only be `true`")),
        [("max", max)] => Ok(Matcher::Between(None, Some(number("max", max)?))),
        [("min", min)] => Ok(Matcher::Between(Some(number("min", min)?), None)),
        [("max", max), ("min", min)] => {
            let (min, max) = (number("min", min)?, number("max", max)?);
            if min > max {
                return Err(format!("`min` is {min} and `max` is {max}: no number is between them"));
            }
            Ok(Matcher::Between(Some(min), Some(max)))
        }
        _ => {
            let words: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
            Err(format!("{} do not go together: only `min` and `max` do", words.join(" and ")))
        }
    }
}

/// TOML as JSON; a moment is its text.
struct Plain(Value);

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Plain, D::Error> {
        toml::Value::deserialize(deserializer).map(|value| Plain(json(value)))
    }
}

fn json(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(is_so) => is_so.into(),
        toml::Value::Datetime(moment) => moment.to_string().into(),
        toml::Value::Array(items) => items.into_iter().map(json).collect(),
        toml::Value::Table(table) => {
            Value::Object(table.into_iter().map(|(name, value)| (name, json(value))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn matcher(text: &str) -> Result<Matcher, String> {
        #[derive(Deserialize)]
        struct Written {
            x: Matcher,
        }
        let read: Result<Written, _> = toml::from_str(&format!("x = {text}"));
        read.map(|written| written.x).map_err(|error| error.message().to_owned())
    }

    fn told(text: &str, seen: Option<Value>) -> Vec<String> {
        let misfits = matcher(text).expect(text).misfits("x", seen.as_ref());
        let told = |misfit: &Misfit| format!("{}: {} / {}", misfit.place, misfit.expected, misfit.seen);
        misfits.iter().map(told).collect()
    }

    #[test]
    fn what_fits_is_not_told() {
        for (text, seen) in [
            ("'a'", json!("a")),
            ("8", json!(8.0)),
            ("8.0", json!(8)),
            ("true", json!(true)),
            ("{ a = 1 }", json!({ "a": 1, "b": 2 })),
            ("{ a = { b = 'c' } }", json!({ "a": { "b": "c", "d": 1 } })),
            ("['a', { min = 1 }]", json!(["a", 2])),
            ("{ is = { a = 1 } }", json!({ "a": 1 })),
            ("{ is = { min = 1 } }", json!({ "min": 1.0 })),
            ("{ one_of = ['a', 2] }", json!(2)),
            ("{ matches = '^A-[0-9]+$' }", json!("A-1001")),
            ("{ matches = '山田' }", json!("山田 太郎")),
            ("{ matches = '1' }", json!(10)),
            ("{ min = 1, max = 8 }", json!(8)),
            ("{ min = 1 }", json!(1)),
            ("{ max = 1 }", json!(-3.5)),
            ("{ any = true }", json!(null)),
            ("{ a = { absent = true } }", json!({})),
            ("2026-12-01", json!("2026-12-01")),
        ] {
            assert_eq!(told(text, Some(seen)), Vec::<String>::new(), "{text}");
        }
        assert_eq!(told("{ absent = true }", None), Vec::<String>::new());
        assert_eq!(told("{ is = 2026-12-01 }", Some(json!("2026-12-01"))), Vec::<String>::new());
    }

    #[test]
    fn what_does_not_fit_is_told_with_its_place() {
        for (text, seen, expected) in [
            ("'a'", json!("b"), r#"x: `"a"` / `"b"`"#),
            ("8", json!("8"), r#"x: `8` / `"8"`"#),
            ("{ a = 1 }", json!({ "a": 2 }), "x.a: `1` / `2`"),
            ("{ a = 1 }", json!({}), "x.a: `1` / nothing"),
            ("{ a = 1 }", json!([]), "x: an object with `a` / `[]`"),
            ("['a']", json!(["a", "b"]), r#"x: a list of 1 / `["a","b"]`"#),
            ("['a', 'c']", json!(["a", "b"]), r#"x[1]: `"c"` / `"b"`"#),
            ("{ is = { a = 1 } }", json!({ "a": 1, "b": 2 }), r#"x: exactly `{"a":1}` / `{"a":1,"b":2}`"#),
            ("{ one_of = ['a', 2] }", json!("2"), r#"x: one of `"a"`, `2` / `"2"`"#),
            ("{ matches = '^a' }", json!("ba"), r#"x: something that matches `^a` / `"ba"`"#),
            ("{ min = 1, max = 8 }", json!(9), "x: a number from 1 to 8 / `9`"),
            ("{ min = 1 }", json!(0.5), "x: a number of at least 1 / `0.5`"),
            ("{ max = 1 }", json!("1"), r#"x: a number of at most 1 / `"1"`"#),
            ("{ a = { any = true } }", json!({}), "x.a: anything / nothing"),
            ("{ a = { absent = true } }", json!({ "a": null }), "x.a: nothing / `null`"),
        ] {
            assert_eq!(told(text, Some(seen)), [expected], "{text}");
        }
    }

    #[test]
    fn a_matcher_that_makes_no_sense_is_refused() {
        for (text, words) in [
            ("{ matches = '(' }", "`matches` is no regular expression"),
            ("{ matches = 1 }", "`matches` must be a regular expression, and is `1`"),
            ("{ min = 'a' }", "`min` must be a number"),
            ("{ min = 2, max = 1 }", "no number is between them"),
            ("{ any = false }", "`any` can only be `true`"),
            ("{ any = true, min = 1 }", "`any` and `min` do not go together"),
            ("{ min = 1, phone = 'a' }", "cannot stand beside the field `phone`"),
            ("{ one_of = [] }", "`one_of` must be a list of values"),
        ] {
            let error = matcher(text).expect_err(text);
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
