//! `plugin inspect` and `plugin ls`: what a plugin is, wants and may do.

use std::fs;

use serde_json::{Value, json};

use super::{bad, example, good, root, switchboard, text};

#[test]
fn inspect_says_what_a_plugin_is_and_wants() {
    let told = good(&["plugin", "inspect", "customer-lookup"], root());
    for words in [
        "customer-lookup 0.",
        "switchboard:plugin@0.",
        "sha256",
        "wants",
        "lookup_customer",
        "phone (string)",
    ] {
        assert!(told.contains(words), "`{words}` is missing in\n{told}");
    }
    let page: Value =
        serde_json::from_str(&good(&["plugin", "inspect", "plugins/customer-lookup", "--json"], root()))
            .expect("JSON");
    assert_eq!(page["is_current"], true, "{page:#}");
    assert_eq!(page["wants"], json!([{ "need": "kv", "granted": true }]));
    assert_eq!(page["tools"][0]["name"], "lookup_customer");
    assert_eq!(page["sha256"].as_str().map(str::len), Some(64));
}

#[test]
fn a_component_alone_is_granted_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    example("customer-lookup", folder.path());
    let file = "customer-lookup/customer-lookup.wasm";
    let told = good(&["plugin", "inspect", file], folder.path());
    assert!(told.contains("kv  (not granted)"), "{told}");
}

#[test]
fn what_is_no_plugin_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let told = bad(&["plugin", "inspect", "nothing"], folder.path(), 69);
    assert!(told.contains("`nothing` does not exist"), "{told}");
    fs::write(folder.path().join("text.wasm"), "text").expect("a file");
    let told = bad(&["plugin", "inspect", "text.wasm"], folder.path(), 78);
    assert!(told.contains("text.wasm is not a WebAssembly component"), "{told}");
    let told = bad(&["plugin", "inspect", "nobody"], root(), 69);
    assert!(told.contains("gateway.toml") && told.contains("`customer-lookup`"), "{told}");
}

#[test]
fn ls_tells_of_each_plugin_whether_it_is_good() {
    let folder = tempfile::tempdir().expect("a folder");
    example("customer-lookup", folder.path());
    let path = "path = 'customer-lookup/customer-lookup.wasm'";
    let config = format!("[plugins.good]\n{path}\nallow = {{ kv = 'x' }}\n[plugins.poor]\n{path}\n");
    fs::write(folder.path().join("gateway.toml"), config).expect("a file");
    let output = switchboard(&["plugin", "ls"], folder.path());
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{told}\n{}", text(&output.stderr));
    let row = |name: &str| {
        told.lines().find(|line| line.trim_start().starts_with(name)).unwrap_or_default().to_owned()
    };
    assert!(row("good").contains("lookup_customer") && row("good").ends_with("good"), "{told}");
    assert!(row("poor").ends_with("not granted: kv"), "{told}");
    let page: Value = serde_json::from_slice(&switchboard(&["plugin", "ls", "--json"], folder.path()).stdout)
        .expect("JSON");
    assert_eq!(page["plugins"][1]["plugin"], "poor");
}
