//! From bytes to a [`Document`]: parsed, filled in, and completed from the environment.

use std::path::Path;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::codes;
use super::document::{Document, Place};
use super::environment::{Environment, STANDING, parse_dotenv};
use super::files;
use super::interpolate::{Fault, Reference, has_fallback, has_reference, interpolate};
use super::problem::{Location, Problem, Problems, Source};
use super::suggest::did_you_mean;

/// Keys that hold secrets, `*` for any name or element.
const SECRETS: [(&[&str], &str); 15] = [
    (&["openai", "api_key"], "OPENAI_API_KEY"),
    (&["openai", "webhook_secrets"], "OPENAI_WEBHOOK_SECRET"),
    (&["openai", "webhook_secrets", "*"], "OPENAI_WEBHOOK_SECRET"),
    (&["twilio", "auth_tokens"], "TWILIO_AUTH_TOKEN"),
    (&["twilio", "auth_tokens", "*"], "TWILIO_AUTH_TOKEN"),
    (&["twilio", "shared_keys", "*", "secret"], "TWILIO_SHARED_KEY"),
    (&["twilio", "api_key", "secret"], "TWILIO_API_KEY_SECRET"),
    (&["store", "encryption_keys"], "STORE_KEY"),
    (&["store", "encryption_keys", "*"], "STORE_KEY"),
    (&["notifications", "*", "secrets"], "NOTIFICATIONS_SECRET"),
    (&["notifications", "*", "secrets", "*"], "NOTIFICATIONS_SECRET"),
    (&["sessions", "*", "mcp", "*", "authorization"], "MCP_TOKEN"),
    (&["telemetry", "otlp", "headers", "Authorization"], "OTLP_TOKEN"),
    (&["tools", "*", "http", "headers", "Authorization"], "TOOL_TOKEN"),
    (&["tools", "*", "http", "headers", "X-Api-Key"], "TOOL_KEY"),
];

/// Reads `.env` beside the configuration, where there is one.
pub(super) fn dotenv(directory: &Path, problems: &mut Problems) -> Environment {
    let path = directory.join(".env");
    if !path.exists() {
        return Environment::default();
    }
    let source = Arc::new(Source { name: path.display().to_string(), text: None });
    let text = match files::read_text(&path, files::CONFIG_BYTES_MAX) {
        Ok(text) => text,
        Err(why) => {
            let message = format!("`.env` cannot be read: {why}");
            problems.push(Problem::new(&codes::DOTENV, Location::Whole(source), message));
            return Environment::default();
        }
    };
    let (environment, bad_lines) = parse_dotenv(&text);
    for line in bad_lines {
        let location = Location::Line(source.clone(), line);
        let mut problem = Problem::new(&codes::DOTENV, location, "this line of `.env` cannot be read");
        problem.help("write `NAME=value`; quote values with `#` or blanks at their ends");
        problems.push(problem);
    }
    environment
}

/// How the parser names a bracket that is never closed, which makes an error of every line after it: one is told.
const UNCLOSED: &str = "unclosed";

/// Parses the text; none when it is not TOML.
pub(super) fn parse<'i>(name: &str, bytes: &'i [u8], problems: &mut Problems) -> Option<Document<'i>> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
            let source = Arc::new(Source { name: name.to_owned(), text: None });
            let location = Location::Line(source, line);
            problems.push(Problem::new(&codes::ENCODING, location, "the file is not UTF-8 text"));
            return None;
        }
    };
    let (table, errors) = DeTable::parse_recoverable(text);
    let table = table.into_inner();
    let mut shown = text.to_owned();
    mask_lines(&mut shown, !errors.is_empty());
    let source =
        Arc::new(Source { name: name.to_owned(), text: Some(mask_urls(mask_values(shown, &table))) });
    for error in &errors {
        let span = error.span().unwrap_or_default();
        let location = Location::Text(source.clone(), span);
        let mut problem = Problem::new(&codes::SYNTAX, location, error.message());
        let is_all = errors.len() > 1 && errors.iter().any(|error| error.message().starts_with(UNCLOSED));
        if is_all {
            problem.help("a bracket or brace that was opened before this place is not closed; what follows is read once it is");
        }
        problems.push(problem);
        if is_all {
            break;
        }
    }
    errors.is_empty().then(|| Document::new(source, table))
}

/// Covers what follows the name of a secret in its line, where the text could not be parsed and the
/// secret cannot be found by its key.
fn mask_lines(text: &mut String, is_broken: bool) {
    if !is_broken {
        return;
    }
    let names = [
        "api_key",
        "webhook_secrets",
        "auth_tokens",
        "encryption_keys",
        "secret",
        "whsec_",
        "sk-",
        "authorization",
        "Authorization",
        "Bearer",
        "X-Api-Key",
    ];
    let mut masked = String::with_capacity(text.len());
    let mut is_in_list = false;
    let mut is_in_secrets = false;
    for line in text.split_inclusive('\n') {
        let name_end = names.iter().filter_map(|name| Some(line.find(name)? + name.len())).min();
        if line.trim_start().starts_with('[') {
            is_in_secrets = line.contains("secrets]");
        }
        let covered_from = if is_in_list || is_in_secrets { Some(0) } else { name_end };
        let (shown, covered) = line.split_at(covered_from.unwrap_or(line.len()));
        masked.push_str(shown);
        masked.push_str(&stars(covered));
        is_in_list = !covered.contains(']') && (is_in_list || covered.contains('['));
    }
    *text = masked;
}

/// Covers the user and password of every URL; the text keeps its length.
fn mask_urls(mut text: String) -> String {
    let mut from = 0;
    while let Some(at) = text[from..].find("://").map(|at| from + at + 3) {
        let authority = text[at..].find(['/', '"', '\'', ' ', '\n']).map_or(text.len(), |end| at + end);
        if let Some(user_end) = text[at..authority].rfind('@').map(|end| at + end) {
            let covered = stars(&text[at..user_end]);
            text.replace_range(at..user_end, &covered);
        }
        from = at;
    }
    text
}

/// Covers the values of secrets; the text keeps its length.
fn mask_values(mut text: String, table: &DeTable<'_>) -> String {
    let mut document = Document::new(Arc::new(Source { name: String::new(), text: None }), table.clone());
    document.for_each_text(&mut |place, value| {
        let is_literal = value.get_ref().as_str().is_some_and(|secret| !is_only_reference(secret));
        let span = value.span();
        if let (Some(_), true, Some(written)) = (secret_of(place), is_literal, text.get(span.clone())) {
            let inside = stars(written);
            text.replace_range(span, &inside);
        }
    });
    text
}

/// The same number of bytes, with everything but quotes, blanks and line ends covered.
fn stars(text: &str) -> String {
    let cover =
        |byte: u8| if matches!(byte, b'"' | b'\'' | b' ' | b'=' | b'\n' | b'\r') { byte } else { b'*' };
    text.bytes().map(|byte| char::from(cover(byte))).collect()
}

fn is_only_reference(secret: &str) -> bool {
    let name = secret.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    name.is_some_and(|name| !name.contains('}')) && !has_fallback(secret)
}

/// Claims that the value there is a secret.
pub(super) fn is_secret(place: &Place) -> bool {
    secret_of(place).is_some()
}

/// The text without the user and password of any URL in it.
pub(super) fn without_user(text: String) -> String {
    mask_urls(text)
}

fn secret_at(place: &Place) -> Option<&'static str> {
    let pattern = place.pattern();
    let is_it = |keys: &[&str]| {
        let same = |(key, step): (&&str, &&str)| *key == "*" || key.eq_ignore_ascii_case(step);
        keys.len() == pattern.len() && keys.iter().zip(&pattern).all(same)
    };
    SECRETS.iter().find(|(keys, _)| is_it(keys)).map(|(_, variable)| *variable)
}

/// The variable that a secret here is best kept in; none where no secret belongs.
fn secret_of(place: &Place) -> Option<String> {
    match place.pattern()[..] {
        // What is granted to a plugin is named by the operator.
        ["plugins", _, "allow", "secrets", name] => Some(name.to_owned()),
        _ => secret_at(place).map(str::to_owned),
    }
}

/// Fills in `${…}`, warns of secrets in the text, and adds what the environment says.
pub(super) fn complete<'i>(
    document: &mut Document<'i>,
    directory: &Path,
    environment: &'i Environment,
    problems: &mut Problems,
) {
    fill_in(document, directory, environment, problems);
    for (variable, keys) in STANDING {
        let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        let place = Place::of(&keys.iter().map(String::as_str).collect::<Vec<_>>());
        if let Some(text) = environment.get(variable).filter(|_| !document.has(&place)) {
            // A table that is not a table is told as such when the shape is checked.
            document.insert(&keys, variable, text_value(text));
        }
    }
    for (variable, keys, text) in environment.overrides() {
        if keys.iter().any(String::is_empty) || !document.insert(&keys, variable, override_value(text)) {
            let location = Location::Variable(variable.to_owned());
            let mut problem = Problem::new(&codes::OVERRIDE, location, "this override has no place");
            problem.help("name a key of a table: `SWITCHBOARD__SERVER__LISTEN` replaces `server.listen`");
            problems.push(problem);
        }
    }
}

fn text_value(text: &str) -> DeValue<'static> {
    DeValue::String(text.to_owned().into())
}

/// A list of texts where it looks like one, else a text: numbers and booleans may be typed as text.
fn override_value(text: &str) -> DeValue<'_> {
    if text.starts_with('[')
        && let Ok(parsed) = DeValue::parse(text)
        && let DeValue::Array(list) = parsed.into_inner()
        && list.iter().all(|value| value.get_ref().is_str())
    {
        return DeValue::Array(list);
    }
    text_value(text)
}

fn fill_in(
    document: &mut Document<'_>,
    directory: &Path,
    environment: &Environment,
    problems: &mut Problems,
) {
    let source = document.source.clone();
    let mut unknown = Vec::new();
    document.for_each_text(&mut |place, value| {
        let span = value.span();
        let Some(text) = value.get_ref().as_str().map(str::to_owned) else { return };
        let location = Location::Text(source.clone(), span.clone());
        // One of ours for the case that there is none stands in the file as well; a stand-in for a tool's is for examples.
        let stands_in = || text.starts_with("${") && has_fallback(&text) && secret_at(place).is_some();
        if let Some(variable) = secret_of(place).filter(|_| !has_reference(&text) || stands_in()) {
            problems.push(literal_secret(location.clone(), place, &variable));
        }
        if !has_reference(&text) || is_template(place) {
            return;
        }
        match fill(&text, directory, environment, is_of_tool(place)) {
            Ok(complete) => *value.get_mut() = text_value(&complete),
            Err(fault) => {
                problems.push(unfilled(location, place, fault, environment));
                unknown.push(span);
            }
        }
    });
    // What could not be filled in has been told; its raw text would only be told again.
    unknown.iter().for_each(|span| drop(document.remove(span)));
}

fn is_template(place: &Place) -> bool {
    matches!(place.pattern()[..], ["sessions", _, "instructions" | "greeting"])
}

/// Texts that are filled in first and are templates afterwards.
fn is_of_tool(place: &Place) -> bool {
    matches!(
        place.pattern()[..],
        ["tools", _, "http", "url" | "body"]
            | ["tools", _, "http", "headers" | "query" | "form" | "json", ..]
    )
}

/// What is filled in stays as it is when the text around it is read as a template.
fn untouched(value: String) -> String {
    // As an escape: a brace of its own would confuse whoever looks for the ends of expressions.
    if value.contains('{') { value.replace('{', r#"{{ "\u007b" }}"#) } else { value }
}

fn fill(
    text: &str,
    directory: &Path,
    environment: &Environment,
    is_of_tool: bool,
) -> Result<String, Fault<Unfilled>> {
    let plain = |reference: Reference<'_>| match reference {
        Reference::Variable(name) => Ok(environment.get(name).map(str::to_owned)),
        Reference::File(path) => files::read_text(&files::resolve(directory, path), files::SECRET_BYTES_MAX)
            .map(|text| Some(text.trim_end_matches(['\n', '\r']).to_owned()))
            .map_err(|why| Unfilled::File(path.to_owned(), why)),
    };
    let look_up = |reference: Reference<'_>| {
        let found = plain(reference)?;
        Ok(if is_of_tool { found.map(untouched) } else { found })
    };
    interpolate(text, look_up, |name| Unfilled::Variable(name.to_owned()))
}

enum Unfilled {
    Variable(String),
    File(String, String),
}

fn unfilled(location: Location, place: &Place, fault: Fault<Unfilled>, known: &Environment) -> Problem {
    match fault {
        Fault::Unreadable => {
            let message = format!("`{place}` has a `${{…}}` that cannot be read");
            let mut problem = Problem::new(&codes::INTERPOLATION, location, message);
            problem.help("write `${NAME}`, `${NAME:-value}` or `${file:path}`; `$$` is a dollar sign");
            problem
        }
        Fault::Lookup(Unfilled::Variable(name)) => {
            let message = format!("`{place}` refers to a variable that is not set");
            let mut problem = Problem::new(&codes::VARIABLE, location, message);
            problem.label(format!("no `{name}` in the environment or in `.env`"));
            match did_you_mean(&name, known.names()) {
                Some(near) => problem.help(format!("did you mean `{near}`?")),
                None => problem.help(format!("set `{name}`, or write `${{{name}:-value}}`")),
            };
            problem
        }
        Fault::Lookup(Unfilled::File(path, why)) => {
            let message = format!("`{place}` refers to a file that cannot be read");
            let mut problem = Problem::new(&codes::INCLUDED_FILE, location, message);
            problem.label(format!("`{path}`: {why}"));
            problem
        }
    }
}

fn literal_secret(location: Location, place: &Place, variable: &str) -> Problem {
    let message = format!("`{place}` is a secret that stands in the file");
    let mut problem = Problem::new(&codes::LITERAL_SECRET, location, message);
    problem.help(format!("write `${{{variable}}}` here, and the secret into the environment or into `.env`"));
    problem
}
