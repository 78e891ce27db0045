//! The scenario files of `examples/`, which are documentation as much as they are tests (played in `cli.rs`).

use std::path::Path;

use switchboard::sim::scenario::Scenario;

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
        seen += 1;
    }
    assert!(seen >= 6, "{seen} scenarios in {}", directory.display());
}

#[test]
fn a_missing_file_is_named() {
    let error = Scenario::load(Path::new("no/such.toml")).expect_err("there is no such file");
    assert_eq!(error.to_string(), "cannot read the scenario `no/such.toml`");
}
