//! Where the keys of a scenario file stand.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A line and a column in characters, both from 1.
pub type Position = (usize, usize);

/// The position of each key, by its path: `expect.tool_calls[0].name`.
#[derive(Clone, Debug, Default)]
pub struct Places(BTreeMap<String, Position>);

impl Places {
    /// Those of a text that is TOML; else none.
    pub fn of(text: &str) -> Places {
        let mut places = Places::default();
        if let Ok(table) = DeTable::parse(text) {
            places.of_table(text, "", table.get_ref());
        }
        places
    }

    /// The position of this key, or of the nearest one around it.
    pub fn find(&self, path: &str) -> Option<Position> {
        let mut path = path;
        loop {
            if let Some(position) = self.0.get(path) {
                return Some(*position);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }

    fn of_table(&mut self, text: &str, path: &str, table: &DeTable<'_>) {
        for (key, value) in table.iter() {
            let name = key.get_ref();
            let path = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
            self.0.insert(path.clone(), position(text, key.span().start));
            self.of_value(text, &path, value);
        }
    }

    fn of_value(&mut self, text: &str, path: &str, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::Table(table) => self.of_table(text, path, table),
            DeValue::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    let path = format!("{path}[{at}]");
                    self.0.insert(path.clone(), position(text, item.span().start));
                    self.of_value(text, &path, item);
                }
            }
            _ => {}
        }
    }
}

/// The position of this byte.
pub fn position(text: &str, at: usize) -> Position {
    let before = text.get(..at.min(text.len())).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_their_place_and_what_is_missing_the_nearest_one() {
        let text = "name = 'x'\n[expect]\nended = 'a'\ntool_calls = [\n  { name = 'b', arguments = { e.c = 1 } },\n]\n\
                    [[expect.lines]]\ncontains = 'x'\n";
        let places = Places::of(text);
        for (path, expected) in [
            ("name", Some((1, 1))),
            ("expect.ended", Some((3, 1))),
            ("expect.tool_calls[0].arguments", Some((5, 17))),
            ("expect.tool_calls[0].arguments.d", Some((5, 17))),
            ("expect.tool_calls[0]", Some((5, 3))),
            ("expect.tool_calls[7].name", Some((4, 1))),
            ("expect.lines[0].contains", Some((8, 1))),
            ("expect.route", Some((2, 2))),
            ("nothing", None),
        ] {
            assert_eq!(places.find(path), expected, "{path}");
        }
        assert_eq!(Places::of("x = ").find("x"), None);
    }
}
