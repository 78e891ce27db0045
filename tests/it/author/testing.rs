//! `plugin test` and `plugin run`: the examples' own tests pass, and what fails is shown so that it can be mended.

use std::fs;

use serde_json::{Value, json};

use super::{bad, example, good, switchboard, text};

/// The tests of an example, with its built component.
fn tests_pass(name: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    example(name, folder.path());
    let told = good(&["plugin", "test", name], folder.path());
    assert!(told.ends_with(" passed, 0 failed\n") && !told.contains("\n0 passed"), "{told}");
}

#[test]
fn the_tests_of_the_example_in_rust_pass() {
    tests_pass("customer-lookup");
}

#[test]
fn the_tests_of_the_example_in_typescript_pass() {
    tests_pass("appointment-booking");
}

#[test]
fn the_tests_of_the_example_in_python_pass() {
    tests_pass("opening-hours");
}

#[test]
fn a_test_that_fails_shows_what_differs() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = example("customer-lookup", folder.path());
    let tests = r#"
[[tests]]
name = "finds"
tool = "lookup_customer"
context = { caller = "+819012345678" }
[tests.expect.ok]
found = true
name = "鈴木 一郎"

[[tests]]
name = "withheld"
tool = "lookup_customer"
expect = { error = "not_found" }

[[tests]]
name = "good"
tool = "lookup_customer"
arguments = { phone = "0120-123-456" }
expect = { ok = { found = false } }
"#;
    fs::write(plugin.join("tests.toml"), tests).expect("a file");
    let output = switchboard(&["plugin", "test"], &plugin);
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{told}");
    for words in [
        "FAIL  finds (./tests.toml:3)",
        "-   \"name\": \"鈴木 一郎\"",
        "+   \"name\": \"佐藤 花子\"",
        "expected the failure `not_found`, and it was invalid_arguments",
        "ok    good",
        "1 passed, 2 failed\n",
    ] {
        assert!(told.contains(words), "`{words}` is missing in\n{told}");
    }
    assert!(!told.contains("orders"), "what nobody asked about is not shown\n{told}");
    let filtered = good(&["plugin", "test", "--filter", "goo"], &plugin);
    assert!(filtered.ends_with("1 passed, 0 failed\n"), "{filtered}");
    let none = bad(&["plugin", "test", "--filter", "nothing"], &plugin, 69);
    assert!(none.contains("none of its 3 tests"), "{none}");
}

#[test]
fn a_request_that_nothing_answers_fails_the_test() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = example("appointment-booking", folder.path());
    let tests = "[[tests]]\nname = 'x'\ntool = 'find_slots'\narguments = { date = '2026-12-01' }\nexpect = { error = 'unavailable' }\n";
    fs::write(plugin.join("tests.toml"), tests).expect("a file");
    let output = switchboard(&["plugin", "test"], &plugin);
    let told = text(&output.stdout);
    assert!(
        told.contains("no `[[tests.http]]` answers the request `GET https://booking.example.com"),
        "{told}"
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_wrong_tests_toml_is_told_with_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = example("customer-lookup", folder.path());
    fs::write(plugin.join("tests.toml"), "[[tests]]\nname = 'x'\ntool = 't'\nexpects = 1\n").expect("a file");
    let told = bad(&["plugin", "test", "customer-lookup"], folder.path(), 78);
    assert!(told.contains("customer-lookup/tests.toml:4:1") && told.contains("expects"), "{told}");
}

#[test]
fn run_prints_the_answer_and_tells_the_rest() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = example("customer-lookup", folder.path());
    let words =
        ["plugin", "run", "lookup_customer", "--plugin", "customer-lookup", "--caller", "+819012345678"];
    let output = switchboard(&words, folder.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON on standard output");
    assert_eq!(answer["name"], "佐藤 花子");
    assert!(text(&output.stderr).contains("took "), "{}", text(&output.stderr));

    fs::write(plugin.join("mocks.toml"), "[kv]\n'customer/+818011112222' = { name = '高橋' }\n")
        .expect("a file");
    let words =
        ["plugin", "run", "lookup_customer", "{\"phone\": \"080-1111-2222\"}", "--mock", "mocks.toml"];
    let answer: Value = serde_json::from_str(&good(&words, &plugin)).expect("JSON");
    assert_eq!(answer["name"], "高橋");

    let output = switchboard(&["plugin", "run", "lookup_customer"], &plugin);
    let failure: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((output.status.code(), &failure["error"]), (Some(1), &json!("invalid_arguments")));
    let told = bad(&["plugin", "run", "lookup_customer", "[1]"], &plugin, 2);
    assert!(told.contains("JSON object"), "{told}");
}
