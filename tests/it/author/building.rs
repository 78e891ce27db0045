//! `plugin new`, `plugin build` and `plugin test`: the newcomer's three commands, in each language.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::{Bench, bad, good, root, text, toolchains};

/// The three commands for a language. Without its toolchain the build must say what is missing, and how to
/// get it.
fn three_commands(lang: &str) {
    let folder = Bench::empty(lang);
    let told = good(&["plugin", "new", "my-tools", "--lang", lang], folder.path());
    assert!(told.contains("switchboard plugin build my-tools"), "{told}");
    assert!(told.contains("switchboard plugin test my-tools"), "{told}");
    if !toolchains::is_here(lang, &format!("the build of a new plugin in {lang}")) {
        let told = bad(&["plugin", "build", "--no-install", "my-tools"], folder.path(), 69);
        assert!(told.contains("run `") || told.contains("install"), "{told}");
        return;
    }
    let sheet = good(&["plugin", "build", "my-tools"], folder.path());
    assert!(sheet.contains("switchboard:plugin") && sheet.contains("greet"), "{sheet}");
    let tested = good(&["plugin", "test", "my-tools"], folder.path());
    assert!(tested.ends_with("2 passed, 0 failed\n"), "{tested}");
    let component = fs::read(folder.path().join("my-tools/my-tools.wasm")).expect("a component");
    for private in [folder.path().display().to_string(), root().display().to_string()] {
        let is_in = component.windows(private.len()).any(|part| part == private.as_bytes());
        assert!(!is_in, "the component tells that it was built in {private}");
    }
}

#[test]
fn a_plugin_in_rust_takes_three_commands() {
    three_commands("rust");
}

#[test]
fn a_plugin_in_typescript_takes_three_commands() {
    three_commands("ts");
}

#[test]
fn a_plugin_in_python_takes_three_commands() {
    three_commands("python");
}

/// The files below a folder by their names from there.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(next).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(folder).expect("a file within").display().to_string();
            let is_built = ["target", "node_modules", "dist", "__pycache__", ".venv"]
                .iter()
                .any(|built| name.ends_with(built));
            if path.is_dir() && !is_built {
                waiting.push(path);
            } else if path.is_file() {
                found.insert(name, fs::read_to_string(path).expect("a text"));
            }
        }
    }
    found
}

#[test]
fn new_writes_the_templates_and_nothing_is_forgotten() {
    let folder = tempfile::tempdir().expect("a folder");
    for lang in ["rust", "ts", "python"] {
        let name = format!("in-{lang}");
        good(&["plugin", "new", &name, "--lang", lang], folder.path());
        let mut expected: BTreeMap<String, String> = files(&root().join("plugins/templates").join(lang))
            .into_iter()
            .map(|(file, text)| (file, text.replace("{{name}}", &name)))
            .collect();
        if lang == "rust" {
            let sdk = files(&root().join("plugins/sdk")).into_iter();
            // Its tests and their lock file are for those who change the SDK.
            let carried = sdk.filter(|(file, _)| !file.starts_with("tests/") && file != "Cargo.lock");
            expected.extend(carried.map(|(file, text)| (format!("sdk/{file}"), text)));
        }
        let written = files(&folder.path().join(&name));
        let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&written), names(&expected), "{lang}: add the file to src/cli/plugin/templates.rs");
        assert!(written == expected, "{lang}: the files differ");
        assert!(!written.values().any(|text| text.contains("{{")), "{lang}: a placeholder is left");
    }
}

#[test]
fn new_writes_over_nothing_and_refuses_odd_names() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("taken")).expect("a folder");
    good(&["plugin", "new", "greeter", "--lang", "python", "--dir", "taken"], folder.path());
    let told = bad(&["plugin", "new", "greeter", "--lang", "python", "--dir", "taken"], folder.path(), 1);
    assert!(told.contains("taken is there already") && told.contains("--dir"), "{told}");
    for name in ["Greeter", "a/b", "..", "9lives", "ends-", "x".repeat(65).as_str()] {
        let told = bad(&["plugin", "new", name, "--lang", "rust"], folder.path(), 2);
        assert!(told.contains("order-status"), "{name}: {told}");
    }
}

#[test]
fn build_says_what_is_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    let told = bad(&["plugin", "build"], folder.path(), 69);
    assert!(told.contains("plugin.toml") && told.contains("plugin new"), "{told}");
    let empty = tempfile::tempdir().expect("a folder");
    for (lang, words) in [("rust", "rustup"), ("ts", "nodejs"), ("python", "python3")] {
        good(&["plugin", "new", lang, "--lang", lang], folder.path());
        let mut command = super::command(&["plugin", "build", lang], folder.path());
        let output = command.env("PATH", empty.path()).output().expect("the command runs");
        assert_eq!(output.status.code(), Some(69), "{lang}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(words), "{lang}: {}", text(&output.stderr));
    }
    let told = bad(&["plugin", "test", "rust"], folder.path(), 69);
    assert!(told.contains("rust.wasm") && told.contains("plugin build"), "{told}");
}

#[test]
fn a_wrong_plugin_toml_is_told_with_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = super::example("customer-lookup", folder.path());
    for (content, place, words) in [
        ("name = 'customer-lookup'\nlang = 'cobol'\n", "plugin.toml:2:8", "`python`"),
        ("name = 'Customer Lookup'\nlang = 'rust'\n", "plugin.toml:1:8", "small letters"),
        ("name = 'customer-lookup'\nlang = 'rust'\ncolour = 1\n", "plugin.toml:3:1", "colour"),
        (
            "name = 'customer-lookup'\nlang = 'rust'\n[gateway]\nlimits = { time = 'long' }\n",
            "plugin.toml:4:19",
            "not a duration",
        ),
        ("name = 'customer-lookup'\nlang = 'rust'\n[gateway.allow]\nkw = 'x'\n", "plugin.toml:4:1", "`kv`"),
    ] {
        fs::write(plugin.join("plugin.toml"), content).expect("a file");
        let told = bad(&["plugin", "test", "customer-lookup"], folder.path(), 78);
        assert!(told.contains(place) && told.contains(words), "{content}\n{told}");
    }
}
