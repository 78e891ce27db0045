//! Which languages can be built here, and whether there is a browser. A test that needs one and has it not says so
//! where it is seen; where it is one of `REQUIRE_TOOLCHAINS`, it fails.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use super::text;
use crate::dashboard;

/// The environment's list of languages that have to be here: `rust,js,python`, or some of them.
const REQUIRED: &str = "REQUIRE_TOOLCHAINS";
/// The names in that list, and the languages of `plugin new --lang` that they mean.
const NAMES: [(&str, &str); 4] =
    [("rust", "rust"), ("js", "ts"), ("python", "python"), ("chromium", "chromium")];

/// Whether a language can be built here, or what has this name is there. `what` is left out where it cannot.
pub fn is_here(lang: &str, what: &str) -> bool {
    let required = std::env::var(REQUIRED).unwrap_or_default();
    match verdict(&required, lang, can_build(lang)) {
        Ok(true) => true,
        Ok(false) => {
            // Not `eprintln!`, which is only shown of tests that fail.
            let line = format!("\nskipped: {what}, as the toolchain for {lang} is not installed here\n");
            let _ = std::io::stderr().write_all(line.as_bytes());
            false
        }
        Err(problem) => panic!("{problem}: {what} cannot be tested"),
    }
}

/// Whether what needs the language is tested, or left out; or that it may not be left out.
fn verdict(required: &str, lang: &str, is_found: bool) -> Result<bool, String> {
    let mut languages = Vec::new();
    for name in required.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let known = NAMES.iter().find(|(known, _)| *known == name);
        let (_, language) = known.ok_or_else(|| {
            format!("{REQUIRED} names `{name}`: write some of rust, js, python and chromium")
        })?;
        languages.push(*language);
    }
    if !is_found && languages.contains(&lang) {
        return Err(format!("{REQUIRED}={required}, and the toolchain for {lang} is not here"));
    }
    Ok(is_found)
}

fn can_build(lang: &str) -> bool {
    match lang {
        "rust" => {
            let library = Command::new("rustc")
                .args(["--print", "target-libdir", "--target", "wasm32-unknown-unknown"])
                .output()
                .map(|output| text(&output.stdout));
            library.is_ok_and(|path| Path::new(path.trim()).is_dir())
                || Path::new("/usr/lib/rustlib/src/rust/library").is_dir()
        }
        "chromium" => dashboard::has_browser(),
        // What its build installs comes from a registry.
        "ts" => answers("node", &["--version"]) && answers("npm", &["ping"]),
        _ => answers("componentize-py", &["--version"]),
    }
}

/// Whether a program answers.
fn answers(program: &str, words: &[&str]) -> bool {
    Command::new(program).args(words).output().is_ok_and(|output| output.status.success())
}

#[test]
fn a_toolchain_that_is_required_may_not_be_missing() {
    for (required, lang, is_found, verdict_is) in [
        ("", "rust", false, Ok(false)),
        ("", "rust", true, Ok(true)),
        ("js", "rust", false, Ok(false)),
        ("rust, js", "ts", true, Ok(true)),
        ("rust, js", "ts", false, Err("the toolchain for ts is not here")),
        ("python", "python", false, Err("the toolchain for python is not here")),
        ("ts", "rust", true, Err("names `ts`")),
    ] {
        match (verdict(required, lang, is_found), verdict_is) {
            (Ok(is_tested), Ok(expected)) => assert_eq!(is_tested, expected, "{required}: {lang}"),
            (Err(told), Err(words)) => assert!(told.contains(words), "{told}"),
            (came, _) => panic!("{required}: {lang}: {came:?}"),
        }
    }
}
