//! Another configuration, checked by a running gateway as if it stood in its file.

use std::sync::Arc;

use crate::config::codes::Severity;
use crate::config::{Config, Problems, ReadFrom, difference, parse};
use crate::http::{ConfigChange, ConfigChecked, ConfigChecker, ConfigProblem};

/// Values of the environment that are shorter are no secrets, and would hide ordinary words.
const SECRET_BYTES_MIN: usize = 8;

/// What checks configurations that would take the place of this one.
pub(super) fn checker(current: &Arc<Config>) -> ConfigChecker {
    let current = Arc::clone(current);
    ConfigChecker(Arc::new(move |text| checked(&current, text)))
}

fn checked(current: &Config, text: &str) -> ConfigChecked {
    let from = &current.read_from;
    match parse(&from.name, text.as_bytes(), &from.directory, &from.environment) {
        Ok(config) => told(from, Some(difference::between(current, &config)), &config.warnings),
        Err(problems) => told(from, None, &problems),
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

fn told(read_from: &ReadFrom, changes: Option<Vec<ConfigChange>>, problems: &Problems) -> ConfigChecked {
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
    ConfigChecked {
        ok: changes.is_some(),
        problems: list.collect(),
        rendered: shown(read_from, problems),
        changes: changes.unwrap_or_default(),
    }
}
