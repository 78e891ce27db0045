//! The commands on the pages for authors are run as they stand there.

use std::fs;

use super::{command, good, root, text, toolchains};

/// The commands of a page that are ours: lines of an indented block.
fn commands(page: &str) -> Vec<Vec<String>> {
    let path = root().join("docs/plugins").join(page);
    let page = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let ours = page.lines().filter_map(|line| line.strip_prefix("    switchboard "));
    ours.map(words).collect()
}

/// The words of a command, as a shell reads them that knows no more than single quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (at, part) in line.split('\'').enumerate() {
        if at % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

/// Runs a page's commands one after the other, in one folder. What builds runs where it can be built; the
/// rest of the page needs what was built.
fn page_is_true(page: &str, lang: &str) {
    let commands = commands(page);
    assert!(!commands.is_empty(), "{page} has no command");
    let folder = tempfile::tempdir().expect("a folder");
    for line in commands {
        let words: Vec<&str> = line.iter().map(String::as_str).collect();
        let needs_a_build = !matches!(words[..], ["plugin", "new", ..]);
        if needs_a_build && !toolchains::is_here(lang, &format!("`switchboard {}` of {page}", words.join(" "))) {
            // The command exists all the same.
            let help =
                command(&[words[0], words[1], "--help"], folder.path()).output().expect("the command runs");
            assert!(help.status.success(), "{page}: {words:?}\n{}", text(&help.stderr));
            continue;
        }
        if !matches!(words[..], ["plugin", "watch", ..]) {
            good(&words, folder.path());
        }
    }
}

#[test]
fn the_first_page_is_true() {
    page_is_true("README.md", "rust");
}

#[test]
fn the_page_for_typescript_is_true() {
    page_is_true("typescript.md", "ts");
}

#[test]
fn the_page_for_python_is_true() {
    page_is_true("python.md", "python");
}

#[test]
fn the_page_for_rust_is_true() {
    page_is_true("rust.md", "rust");
}

#[test]
fn the_page_of_commands_names_every_command() {
    let help = good(&["plugin", "--help"], root());
    let listed = help.split("Commands:").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("a list");
    let page = fs::read_to_string(root().join("docs/plugins/commands.md")).expect("a page");
    let mut count = 0;
    for name in
        listed.lines().filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help")
    {
        assert!(page.contains(&format!("## {name}\n")), "docs/plugins/commands.md does not tell of `{name}`");
        count += 1;
    }
    assert_eq!(count, 7, "{help}");
}
