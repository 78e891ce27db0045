//! What changes when one configuration takes the place of another.

use std::collections::{BTreeMap, BTreeSet};

use crate::http::{ConfigChange, ConfigEntry};
use crate::secret::Secret;

use super::Config;

/// Lists of tables whose elements have names: they are compared by these, so that a new one at the top is one change
/// and not a change of all below. The key that holds the name, and whether the order means something.
const NAMED: [(&str, &str, bool); 4] = [
    ("routes", "name", true),
    ("tests", "name", false),
    ("admin.tokens", "name", false),
    ("twilio.shared_keys", "id", false),
];

/// Values by key as they are shown, and where it is known, what they are: secrets are shown alike.
type Values<'a> = BTreeMap<String, (&'a str, Option<&'a str>)>;

/// What would change if `new` took the place of `old`. Secrets are compared and not shown.
pub fn between(old: &Config, new: &Config) -> Vec<ConfigChange> {
    changes((&old.entries, &old.values), (&new.entries, &new.values))
}

/// The same where only what is shown of the old one is known: that a secret changes is not seen.
pub fn from_shown(old: &[ConfigEntry], new: &Config) -> Vec<ConfigChange> {
    changes((old, &[]), (&new.entries, &[]))
}

/// What is shown, and what it is: one for each, or nothing at all.
type Side<'a> = (&'a [ConfigEntry], &'a [Secret]);

fn changes(old: Side<'_>, new: Side<'_>) -> Vec<ConfigChange> {
    let mut changes = orders(old.0, new.0);
    let (old, new) = (by_name(old), by_name(new));
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for key in keys {
        let (old, new) = (old.get(key), new.get(key));
        let is_same = match (old, new) {
            (Some((_, Some(old))), Some((_, Some(new)))) => old == new,
            (Some((old, _)), Some((new, _))) => old == new,
            _ => false,
        };
        if !is_same {
            let shown = |value: Option<&(&str, Option<&str>)>| value.map(|(shown, _)| (*shown).to_owned());
            changes.push(ConfigChange { key: key.clone(), old: shown(old), new: shown(new) });
        }
    }
    changes
}

/// The lists whose elements stand in another order.
fn orders(old: &[ConfigEntry], new: &[ConfigEntry]) -> Vec<ConfigChange> {
    let in_order = |entries: &[ConfigEntry], list: &str, key: &str| {
        let names: Vec<String> = entries
            .iter()
            .filter(|entry| element(&entry.key, list).is_some_and(|(_, rest)| rest == key))
            .map(|entry| entry.value.clone())
            .collect();
        format!("[{}]", names.join(", "))
    };
    let ordered = NAMED.iter().filter(|(_, _, is_ordered)| *is_ordered);
    let pairs = ordered.map(|(list, key, _)| (*list, in_order(old, list, key), in_order(new, list, key)));
    pairs
        .filter(|(_, old, new)| old != new)
        .map(|(list, old, new)| ConfigChange { key: list.to_owned(), old: Some(old), new: Some(new) })
        .collect()
}

fn by_name<'a>((entries, values): Side<'a>) -> Values<'a> {
    let mut names: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for entry in entries {
        for (list, key, _) in NAMED {
            if let Some((index, rest)) = element(&entry.key, list)
                && rest == key
            {
                names.insert((list, index), &entry.value);
            }
        }
    }
    let named = |key: &str| {
        let found = NAMED.iter().find_map(|(list, ..)| Some((*list, element(key, list)?)));
        let name = found.and_then(|(list, (index, rest))| Some((list, names.get(&(list, index))?, rest)));
        name.map_or_else(|| key.to_owned(), |(list, name, rest)| format!("{list}[{name}].{rest}"))
    };
    let value = |at: usize| values.get(at).map(Secret::expose);
    let known = entries.iter().enumerate();
    known.map(|(at, entry)| (named(&entry.key), (entry.value.as_str(), value(at)))).collect()
}

/// The index of an element of the list, and the rest of the key in it.
fn element<'a>(key: &'a str, list: &str) -> Option<(&'a str, &'a str)> {
    key.strip_prefix(list)?.strip_prefix('[')?.split_once("].")
}
