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

/// Problems for a person, without what the environment has: a text may have been filled in with it.
pub(super) fn shown(read_from: &ReadFrom, problems: &Problems) -> String {
    hidden(read_from, if problems.is_empty() { String::new() } else { problems.render(false) })
}

fn hidden(read_from: &ReadFrom, text: String) -> String {
    let secrets = read_from.known.values().filter(|value| value.len() >= SECRET_BYTES_MIN);
    secrets.fold(text, |text, secret| text.replace(secret, "•••"))
}

fn told(read_from: &ReadFrom, ok: bool, problems: &Problems) -> ConfigChecked {
    let hide = |text: String| hidden(read_from, text);
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
    ConfigChecked { ok, problems: list.collect(), rendered: shown(read_from, problems) }
}
