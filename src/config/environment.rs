//! The environment as data, the file `.env` beside a configuration, and the names of variables
//! that stand for keys.
//!
//! The process's environment is read once, by the caller, and never changed.

use std::collections::BTreeMap;
use std::fmt;

/// Variables of the environment.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The environment of this process; what is not UTF-8 is left out.
    pub fn of_process() -> Environment {
        let texts = std::env::vars_os()
            .filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)));
        Environment(texts.collect())
    }

    /// The variable's text; an empty one counts as absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// The texts of all variables.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.0.values().map(String::as_str)
    }

    /// These variables, and those of `other` where these have none.
    pub fn or(mut self, other: Environment) -> Environment {
        for (name, text) in other.0 {
            if self.get(&name).is_none() {
                self.0.insert(name, text);
            }
        }
        self
    }

    /// The variables that replace keys: `SWITCHBOARD__SERVER__LISTEN` gives `[server, listen]`.
    pub(super) fn overrides(&self) -> impl Iterator<Item = (&str, Vec<String>, &str)> {
        self.0.iter().filter_map(|(name, text)| {
            let keys = name.strip_prefix(OVERRIDE_PREFIX)?;
            Some((name.as_str(), keys.split("__").map(str::to_ascii_lowercase).collect(), text.as_str()))
        })
    }

    /// The names that are set, for suggestions.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl fmt::Debug for Environment {
    /// Without what is in it: much of that is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment")
    }
}

impl<N: Into<String>, T: Into<String>> FromIterator<(N, T)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, T)>>(variables: I) -> Environment {
        Environment(variables.into_iter().map(|(name, text)| (name.into(), text.into())).collect())
    }
}

const OVERRIDE_PREFIX: &str = "SWITCHBOARD__";

/// Variables that stand for keys that the file does not have.
pub(super) const STANDING: [(&str, &[&str]); 8] = [
    ("OPENAI_API_KEY", &["openai", "api_key"]),
    ("OPENAI_PROJECT_ID", &["openai", "project_id"]),
    ("OPENAI_WEBHOOK_SECRET", &["openai", "webhook_secrets"]),
    ("OPENAI_BASE_URL", &["openai", "base_url"]),
    ("USE_OPENAI_SIP", &["features", "openai_sip"]),
    ("TWILIO_ACCOUNT_SID", &["twilio", "account_sid"]),
    ("TWILIO_AUTH_TOKEN", &["twilio", "auth_tokens"]),
    ("BASE_URL", &["server", "public_url"]),
];

/// Reads the text of a `.env` file: the variables, and the lines (from 1) that could not be read.
pub(super) fn parse_dotenv(text: &str) -> (Environment, Vec<usize>) {
    let mut variables = BTreeMap::new();
    let mut bad_lines = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim().trim_start_matches('\u{feff}');
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match parse_line(line) {
            Some((name, value)) => drop(variables.insert(name, value)),
            None => bad_lines.push(number + 1),
        }
    }
    (Environment(variables), bad_lines)
}

fn parse_line(line: &str) -> Option<(String, String)> {
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    if !is_variable_name(name) {
        return None;
    }
    Some((name.to_owned(), parse_value(value.trim())?))
}

/// Claims that the text can be a variable's name.
pub(super) fn is_variable_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
}

fn parse_value(value: &str) -> Option<String> {
    if let Some(rest) = value.strip_prefix('\'') {
        let (inside, behind) = rest.split_once('\'')?;
        return is_comment(behind).then(|| inside.to_owned());
    }
    if let Some(rest) = value.strip_prefix('"') {
        return parse_double_quoted(rest);
    }
    let end = value.find(" #").unwrap_or(value.len());
    Some(value[..end].trim_end().to_owned())
}

fn parse_double_quoted(rest: &str) -> Option<String> {
    let mut inside = String::new();
    let mut characters = rest.chars();
    loop {
        match characters.next()? {
            '"' => return is_comment(characters.as_str()).then_some(inside),
            '\\' => match characters.next()? {
                'n' => inside.push('\n'),
                't' => inside.push('\t'),
                other => inside.push(other),
            },
            other => inside.push(other),
        }
    }
}

fn is_comment(behind: &str) -> bool {
    let behind = behind.trim_start();
    behind.is_empty() || behind.starts_with('#')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dotenv_lines_are_read() {
        let text = "# a comment\n\nA=1\nexport B = two words # note\nC='#\\n'\nD=\"x\\n\\\"y\\\"\" # note\nE=\nF=a#b\n";
        let (environment, bad) = parse_dotenv(text);
        assert_eq!(bad, Vec::<usize>::new());
        for (name, expected) in [
            ("A", Some("1")),
            ("B", Some("two words")),
            ("C", Some("#\\n")),
            ("D", Some("x\n\"y\"")),
            ("E", None),
            ("F", Some("a#b")),
        ] {
            assert_eq!(environment.get(name), expected, "{name}");
        }
    }

    #[test]
    fn unreadable_dotenv_lines_are_named() {
        let (_, bad) = parse_dotenv("A=1\nB\n1C=2\nD=\"open\nE='x' y\nF-G=1");
        assert_eq!(bad, [2, 3, 4, 5, 6]);
    }

    #[test]
    fn overrides_name_keys() {
        let environment: Environment =
            [("SWITCHBOARD__SERVER__LISTEN", "x"), ("PATH", "y")].into_iter().collect();
        let found: Vec<_> = environment.overrides().collect();
        let keys = vec!["server".to_owned(), "listen".to_owned()];
        assert_eq!(found, [("SWITCHBOARD__SERVER__LISTEN", keys, "x")]);
    }

    #[test]
    fn the_process_goes_before_the_file() {
        let process: Environment = [("A", "1"), ("B", "")].into_iter().collect();
        let file: Environment = [("A", "2"), ("B", "3")].into_iter().collect();
        let both = process.or(file);
        assert_eq!((both.get("A"), both.get("B")), (Some("1"), Some("3")));
    }
}
