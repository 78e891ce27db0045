//! `switchboard plugin test`: the plugin's own tests, each in the real sandbox.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;
use serde_json::Value;

use super::cases::{self, Case, Expect};
use super::compare::{fits, picture};
use super::given;
use super::loading;
use super::manifest::Manifest;
use super::trial::{Came, Trial, World};
use crate::cli::Failure;

/// How many lines of a plugin's log are shown with a failure: the last ones.
const LOG_LINES_MAX: usize = 20;

#[derive(Clone, Debug, Args)]
pub(super) struct Arguments {
    /// The plugin's folder.
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Only tests whose name contains this.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let manifest = Manifest::read(&arguments.dir)?;
    let outcome = test(&manifest, arguments.filter.as_deref()).await?;
    if outcome.is_good() { Ok(()) } else { Err(Failure::Said) }
}

/// How many tests passed and failed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcome {
    passed: usize,
    failed: usize,
}

impl Outcome {
    /// Claims that none failed.
    pub fn is_good(self) -> bool {
        self.failed == 0
    }
}

/// Runs the tests of a folder and prints what came of each.
///
/// # Errors
///
/// There are none, or the plugin cannot be loaded.
pub(super) async fn test(manifest: &Manifest, filter: Option<&str>) -> Result<Outcome, Failure> {
    let path = manifest.folder.join(cases::FILE);
    let text = std::fs::read_to_string(&path).map_err(|error| {
        let help = "write the plugin's tests there, as docs/plugins/commands.md tells";
        Failure::Unavailable(anyhow!("cannot read {}: {error}; {help}", path.display()))
    })?;
    let cases = cases::parse(&path, &text).map_err(Failure::Misfit)?;
    let is_wanted = |case: &Case| filter.is_none_or(|filter| case.name.contains(filter));
    let wanted: Vec<&Case> = cases.iter().filter(|case| is_wanted(case)).collect();
    if wanted.is_empty() {
        let why = filter.map_or("it has no `[[tests]]`".to_owned(), |filter| {
            format!("none of its {} tests has `{filter}` in its name", cases.len())
        });
        return Err(Failure::Unavailable(anyhow!("{}: {why}", path.display())));
    }
    let (settings, host) = (manifest.settings()?, loading::host()?);
    let mut outcome = Outcome::default();
    for case in wanted {
        let world = World::new(settings.clone(), &case.given, false);
        let called = world.call(&host, &case.call).await;
        let trial = called.map_err(|failure| manifest.in_own_words(failure))?;
        let problems = problems(&case.expect, &trial);
        crate::cli::print(&told(case, &trial, &problems, &path.display().to_string()))?;
        if problems.is_empty() {
            outcome.passed += 1;
        } else {
            outcome.failed += 1;
        }
    }
    crate::cli::print(&format!("\n{} passed, {} failed\n", outcome.passed, outcome.failed))?;
    Ok(outcome)
}

fn told(case: &Case, trial: &Trial, problems: &[String], path: &str) -> String {
    let took = trial.took.as_secs_f64() * 1e3;
    if problems.is_empty() {
        return format!("ok    {} ({took:.1} ms)\n", case.name);
    }
    let mut text = format!("FAIL  {} ({path}:{})\n", case.name, case.line);
    let mut indented = |block: &str| {
        for line in block.lines() {
            let _ = writeln!(text, "      {line}");
        }
    };
    problems.iter().for_each(|problem| indented(problem));
    let left_out = trial.log.len().saturating_sub(LOG_LINES_MAX);
    for line in &trial.log[left_out..] {
        indented(&format!("log: {line}"));
    }
    text
}

/// Everything that is not as expected.
fn problems(expect: &Expect, trial: &Trial) -> Vec<String> {
    let mut problems = Vec::new();
    came(expect, &trial.came, &mut problems);
    let mut differs = |what: &str, expected: &Value, found: &Value| {
        if !fits(expected, found, expect.exact) {
            let picture = picture(expected, found, expect.exact);
            problems.push(format!("{what} differs (- expected, + came):\n{picture}"));
        }
    };
    if let Some(kept) = &expect.kv {
        // A value that is kept as text may be JSON: 8 is then 8 for both.
        let expected = kept.iter().map(|(key, value)| {
            let text = given::text(value);
            (key.clone(), serde_json::from_str(&text).unwrap_or_else(|_| text.into()))
        });
        differs("what is kept", &Value::Object(expected.collect()), &trial.kept);
    }
    if let Some(requests) = &expect.http {
        let expected: Value = requests.iter().map(cases::Request::json).collect();
        differs("the list of requests", &expected, &Value::Array(trial.requests.clone()));
    }
    if let Some(wishes) = &expect.wishes {
        let expected: Value = wishes.iter().map(cases::Wish::json).collect();
        differs("what is wanted of the call", &expected, &Value::Array(trial.wishes.clone()));
    }
    for words in expect.log_contains.iter().flat_map(cases::OneOrMany::texts) {
        if !trial.log.iter().any(|line| line.contains(words)) {
            problems.push(format!("the log does not say `{words}`"));
        }
    }
    for request in &trial.unanswered {
        problems.push(format!("no `[[tests.http]]` answers the request `{request}`"));
    }
    problems
}

fn came(expect: &Expect, came: &Came, problems: &mut Vec<String>) {
    match (came, &expect.error) {
        (Came::Answer(answer), None) => {
            let Some(expected) = expect.ok.as_ref().map(given::json) else { return };
            if !fits(&expected, answer, expect.exact) {
                let picture = picture(&expected, answer, expect.exact);
                problems.push(format!("the answer differs (- expected, + came):\n{picture}"));
            }
        }
        (Came::Answer(answer), Some(error)) => {
            problems.push(format!("expected the failure `{}`, and it answered\n{answer:#}", error.get_ref()));
        }
        (Came::Failure { kind, message }, None) => {
            problems.push(format!("expected an answer, and it failed: {kind}: {message}"));
        }
        (Came::Failure { kind, message }, Some(error)) => {
            if kind != error.get_ref() {
                problems.push(format!(
                    "expected the failure `{}`, and it was {kind}: {message}",
                    error.get_ref()
                ));
            }
            for words in expect.message_contains.iter().flat_map(cases::OneOrMany::texts) {
                if !message.contains(words.as_str()) {
                    problems.push(format!("the message does not say `{words}`: {message}"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn found(expect: &str, trial: Trial) -> String {
        let text = format!("[[tests]]\nname = 'x'\ntool = 't'\n[tests.expect]\n{expect}");
        let cases = cases::parse(Path::new("tests.toml"), &text).unwrap();
        problems(&cases[0].expect, &trial).join("\n")
    }

    fn trial(came: Came) -> Trial {
        Trial {
            came,
            wishes: vec![json!({ "say": "x" })],
            log: vec!["info looked up".to_owned()],
            requests: vec![json!({ "method": "GET", "url": "https://a.example/", "headers": {} })],
            unanswered: Vec::new(),
            kept: json!({ "counter": 8, "name": "x" }),
            took: Duration::ZERO,
            time_max: Duration::from_secs(1),
            memory_bytes: 0,
            memory_bytes_max: 1,
        }
    }

    fn answer() -> Trial {
        trial(Came::Answer(json!({ "found": true, "n": 1 })))
    }

    #[test]
    fn what_is_not_said_is_not_looked_at() {
        for expect in [
            "",
            "ok = { found = true }",
            "kv = { counter = '8' }",
            "kv = { counter = 8, name = 'x' }\nexact = true",
            "http = [{ url = 'https://a.example/' }]",
            "wishes = [{ say = 'x' }]",
            "log_contains = ['looked', 'info']",
        ] {
            assert_eq!(found(expect, answer()), "", "{expect}");
        }
    }

    #[test]
    fn what_differs_is_told() {
        for (expect, words) in [
            ("ok = { found = false }", "-   \"found\": false"),
            ("ok = { found = true }\nexact = true", "+   \"n\": 1"),
            ("error = 'not_found'", "it answered"),
            ("kv = { counter = 9 }", "what is kept"),
            ("http = []", "requests"),
            ("wishes = []", "wanted of the call"),
            ("log_contains = 'gone'", "`gone`"),
        ] {
            let told = found(expect, answer());
            assert!(told.contains(words), "{expect}\n{told}");
        }
    }

    #[test]
    fn failures_are_told_by_kind_and_words() {
        let failed = || trial(Came::Failure { kind: "not_found", message: "no order".to_owned() });
        assert_eq!(found("error = 'not_found'\nmessage_contains = 'order'", failed()), "");
        assert!(found("error = 'denied'", failed()).contains("not_found: no order"));
        assert!(found("error = 'not_found'\nmessage_contains = 'customer'", failed()).contains("`customer`"));
        assert!(found("", failed()).contains("expected an answer"));
        let silent = Trial { unanswered: vec!["GET https://b.example/".to_owned()], ..answer() };
        assert!(found("", silent).contains("https://b.example/"));
    }
}
