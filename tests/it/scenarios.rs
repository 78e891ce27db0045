//! The scenario files of `examples/`, which are documentation as much as they are tests.

use std::collections::BTreeSet;
use std::path::Path;

use switchboard::sim::scenario::Scenario;
use switchboard::sim::script::Step;

#[test]
fn every_example_is_read_and_named_like_its_file() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/scenarios");
    let mut seen = 0;
    for entry in std::fs::read_dir(&directory).expect("a readable directory") {
        let path = entry.expect("a readable entry").path();
        let scenario = Scenario::load(&path).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(Some(scenario.name.as_str()), path.file_stem().and_then(|stem| stem.to_str()));
        assert!(!scenario.description.is_empty(), "{}: tell what it shows", path.display());
        assert!(scenario.expect.ended.is_some(), "{}: tell how it ends", path.display());
        expects_what_the_model_calls(&scenario);
        seen += 1;
    }
    assert!(seen >= 6, "{seen} scenarios in {}", directory.display());
}

/// A scenario that lists tool calls lists those of its script.
fn expects_what_the_model_calls(scenario: &Scenario) {
    let Some(expected) = &scenario.expect.tool_calls else { return };
    let called: BTreeSet<_> = scenario.steps.iter().flat_map(names).collect();
    let expected: BTreeSet<_> = expected.iter().map(|call| call.name.as_str()).collect();
    assert_eq!(called, expected, "{}", scenario.name);
}

fn names(step: &Step) -> Vec<&str> {
    match step {
        Step::Model(turn) => turn.calls.iter().map(|call| call.name.as_str()).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn a_missing_file_is_named() {
    let error = Scenario::load(Path::new("no/such.toml")).expect_err("there is no such file");
    assert_eq!(error.to_string(), "cannot read the scenario `no/such.toml`");
}
