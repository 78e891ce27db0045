//! The house: floors, module heads, sizes. These tests read the repository itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below `dir`.
fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).expect("a readable directory") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The top-level modules in the order of the floor plan.
fn floors() -> Vec<String> {
    fs::read_to_string(root().join("src/lib.rs"))
        .expect("src/lib.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';').map(str::to_owned))
        .collect()
}

/// The top-level module a file belongs to.
fn room(file: &Path) -> String {
    let inside = file.strip_prefix(root().join("src")).expect("a file of src");
    let first = inside.components().next().expect("a name").as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// The top-level modules that `text` names through `crate::…`, with the line of the first mention.
fn leans_on(text: &str, floors: &[String]) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let code = line.trim_start();
        if code.starts_with("//") {
            continue;
        }
        for floor in floors {
            let path = format!("crate::{floor}");
            let named = line.match_indices(&path).any(|(at, _)| {
                !line[at + path.len()..].starts_with(|next: char| next.is_alphanumeric() || next == '_')
            });
            if named {
                found.entry(floor.clone()).or_insert(number + 1);
            }
        }
        assert!(
            !code.starts_with("use crate::{"),
            "line {}: name each room in a `use` of its own, so that the floor test can read it",
            number + 1
        );
    }
    found
}

#[test]
fn a_module_leans_only_on_modules_above_it() {
    let floors = floors();
    assert!(floors.len() > 10, "the floor plan was read: {floors:?}");
    let height = |name: &str| floors.iter().position(|floor| floor == name);
    let mut problems = Vec::new();
    for file in rust_files(&root().join("src")) {
        let own = room(&file);
        if own == "lib" || own == "main" || own == "bin" {
            continue;
        }
        let own_height = height(&own).unwrap_or_else(|| panic!("`{own}` is missing from src/lib.rs"));
        let text = fs::read_to_string(&file).expect("a readable file");
        for (other, line) in leans_on(&text, &floors) {
            let simulated = other == "sim" && own != "sim" && own != "cli";
            if height(&other) > Some(own_height) || simulated {
                problems.push(format!("{}:{line}: `{own}` may not lean on `{other}`", file.display()));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn the_floor_test_sees_a_wrong_lean() {
    let floors = ["ids".to_owned(), "store".to_owned()];
    let seen = leans_on("use crate::store::Store;\n// crate::ids\nlet x = crate::idsx::y;", &floors);
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [("store".to_owned(), 1)]);
}

#[test]
fn every_file_opens_with_its_promise() {
    let mut files = rust_files(&root().join("src"));
    files.extend(rust_files(&root().join("tests")));
    for file in files {
        let text = fs::read_to_string(&file).expect("a readable file");
        assert!(text.starts_with("//!"), "{} does not open with `//!`", file.display());
    }
}

#[test]
fn no_room_is_crowded() {
    const LINES_MAX: usize = 700;
    for file in rust_files(&root().join("src")) {
        let lines = fs::read_to_string(&file).expect("a readable file").lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines: redesign the room", file.display());
    }
}
