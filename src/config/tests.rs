//! What belongs together: defaults and rooms, keys and their reference.

use super::*;

#[test]
fn defaults_have_their_shape() {
    let defaults = Defaults::read();
    shape::typed::<raw::Raw>(defaults.table).unwrap();
    shape::typed::<raw::Session>(defaults.session).unwrap();
    shape::typed::<raw::Plugin>(defaults.plugin).unwrap();
}

/// Every key of every table.
fn keys() -> std::collections::BTreeSet<String> {
    let schema = schema::schema();
    let tables = schema["definitions"].as_object().unwrap().values().chain([&schema]);
    tables.flat_map(|table| table["properties"].as_object().unwrap().keys().cloned()).collect()
}

#[test]
fn every_key_stands_in_the_reference() {
    let page = include_str!("../../docs/config.md");
    let code = page.split('`').skip(1).step_by(2);
    let words: Vec<&str> =
        code.flat_map(|code| code.split(|c: char| !c.is_alphanumeric() && c != '_')).collect();
    let keys = keys();
    assert!(keys.len() > 100, "{keys:?}");
    for key in keys {
        assert!(words.contains(&key.as_str()), "docs/config.md does not mention `{key}`");
    }
}

#[test]
fn ids_of_problems_are_unique_and_in_order() {
    let ids: Vec<&str> = codes::ALL.iter().map(|code| code.id.trim_start_matches(['E', 'W'])).collect();
    assert!(ids.is_sorted_by(|left, right| left < right), "{ids:?}");
    for code in codes::ALL {
        assert_eq!(code.id.starts_with('W'), code.severity == codes::Severity::Warning, "{}", code.id);
    }
}
