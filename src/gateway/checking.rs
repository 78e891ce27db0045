//! Another configuration, checked by a running gateway as if it stood in its file.

use std::sync::Arc;

use crate::config::codes::Severity;
use crate::config::{Problems, ReadFrom, parse};
use crate::http::{ConfigChecked, ConfigChecker, ConfigProblem};

/// Values of the environment that are shorter are no secrets, and would hide ordinary words.
const SECRET_BYTES_MIN: usize = 8;

/// What checks configurations that would come from there.
pub(super) fn checker(read_from: &Arc<ReadFrom>) -> ConfigChecker {
    let read_from = Arc::clone(read_from);
    ConfigChecker(Arc::new(move |text| checked(&read_from, text)))
}

fn checked(read_from: &ReadFrom, text: &str) -> ConfigChecked {
    match parse(&read_from.name, text.as_bytes(), &read_from.directory, &read_from.environment) {
        Ok(config) => told(read_from, true, &config.warnings),
        Err(problems) => told(read_from, false, &problems),
    }
}

fn told(read_from: &ReadFrom, ok: bool, problems: &Problems) -> ConfigChecked {
    // Whoever checks a text may have it filled in with whatever the environment has.
    let secrets: Vec<&str> =
        read_from.known.values().filter(|value| value.len() >= SECRET_BYTES_MIN).collect();
    let hide = |text: String| secrets.iter().fold(text, |text, secret| text.replace(secret, "•••"));
    let list = problems.iter().map(|problem| {
        let (line, column) = problem.position().unzip();
        ConfigProblem {
            severity: match problem.code.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            code: problem.code.id,
            message: hide(problem.message.clone()),
            line,
            column,
            help: problem.help.clone().or(problem.label.clone()).map(hide),
        }
    });
    ConfigChecked { ok, problems: list.collect(), rendered: hide(problems.render(false)) }
}
