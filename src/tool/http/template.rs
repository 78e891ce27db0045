//! A request as a template over `args.*`, `call.*` and `vars.*`.
//!
//! What a model or a caller says is data and stays data. In a URL every value is percent-encoded where it
//! stands, so that it cannot end a path segment, begin a query or add a parameter; the host is never a
//! template. In JSON a value is a JSON value; in a form it is encoded; a header refuses line ends. An entry
//! of a table that uses an argument which was not given is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use minijinja::value::ValueKind;
use minijinja::{Environment, ErrorKind, Value, context};
use serde_json::{Map, Value as Json};

use crate::phone::percent;
use crate::secret::Secret;
use crate::template::{TemplateError, Text};
use crate::tool::context::CallContext;
use crate::tool::outbound::{Pattern, Request};

/// The fields of `call`.
pub const CALL_FIELDS: [&str; 6] = ["id", "from", "to", "language", "route", "session"];

const EMPTY: &str = "a value that belongs into the address is empty";
const CLIMBS: &str = "a value that belongs into the address may not have `.` or `..` as a part";
const CONTROL: &str =
    "a value that belongs into the address or a header may not have line ends or control characters";
const NOT_PLAIN: &str = "a list or a table cannot stand in an address, a header or a form";
const NOT_ASCII: &str = "a header can only carry plain ASCII characters";

/// Complaints about a value, as against faults of the template.
const COMPLAINTS: [&str; 5] = [EMPTY, CLIMBS, CONTROL, NOT_PLAIN, NOT_ASCII];

/// A request with places for values.
#[derive(Clone, Debug)]
pub struct RequestTemplate {
    /// The method.
    pub method: String,
    /// The URL.
    pub url: UrlTemplate,
    /// Headers; all are treated as secrets, as some are.
    pub headers: Vec<(String, Text)>,
    /// What is added to the URL's query.
    pub query: Vec<(String, Text)>,
    /// The body.
    pub body: Option<BodyTemplate>,
}

/// A URL with places for values in its path and its query.
#[derive(Clone, Debug)]
pub struct UrlTemplate {
    /// Scheme, host and port.
    origin: String,
    path: Text,
    query: Option<Text>,
    /// What the URL must match, whatever was put in.
    prefix: Pattern,
    /// The path as the configuration has it, for the log.
    pub shown: String,
}

/// A body with places for values.
#[derive(Clone, Debug)]
pub enum BodyTemplate {
    /// Plain text.
    Text(Text),
    /// JSON.
    Json(JsonTemplate),
    /// A form.
    Form(Vec<(String, Text)>),
}

/// JSON whose texts are templates. A text that is one expression keeps the expression's type.
#[derive(Clone, Debug)]
pub enum JsonTemplate {
    /// A text.
    Text(Text),
    /// Anything that is no template.
    Plain(Json),
    /// A list.
    List(Vec<JsonTemplate>),
    /// A table.
    Table(Vec<(String, JsonTemplate)>),
}

/// What a template sees.
#[derive(Clone, Debug)]
pub struct Facts {
    value: Value,
    /// Arguments that exist and were not given, as `args.NAME`.
    absent: BTreeSet<String>,
}

/// Why a request cannot be put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RenderError {
    /// A value cannot stand where it is wanted: the model may try another one.
    Value(String),
    /// The template itself.
    Template(TemplateError),
}

impl From<TemplateError> for RenderError {
    fn from(error: TemplateError) -> RenderError {
        if COMPLAINTS.contains(&error.message.as_str()) {
            RenderError::Value(error.message)
        } else {
            RenderError::Template(error)
        }
    }
}

impl Facts {
    /// What is known of a call and its arguments; `known` are the names of all arguments there are.
    pub fn new<'a>(
        context: &CallContext,
        arguments: &Json,
        known: impl Iterator<Item = &'a String>,
    ) -> Facts {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let value = context! {
            args => from_json(arguments),
            call => context! {
                id => context.call_id.to_string(),
                from => text(&context.caller),
                to => text(&context.callee),
                language => text(&context.language),
                route => text(&context.route),
                session => text(&context.session),
            },
            vars => Value::from(context.vars.clone()),
        };
        let absent = known.filter(|name| arguments.get(name.as_str()).is_none());
        Facts { value, absent: absent.map(|name| format!("args.{name}")).collect() }
    }

    /// Facts to try a request with, before there is a call.
    pub fn of_sample<'a>(
        arguments: &Json,
        vars: BTreeMap<String, String>,
        known: impl Iterator<Item = &'a String>,
    ) -> Facts {
        let call = CALL_FIELDS.map(|field| (field.to_owned(), "sample".to_owned()));
        let value = context! {
            args => from_json(arguments),
            call => Value::from(BTreeMap::from(call)),
            vars => Value::from(vars),
        };
        let absent = known.filter(|name| arguments.get(name.as_str()).is_none());
        Facts { value, absent: absent.map(|name| format!("args.{name}")).collect() }
    }

    /// Claims that the template uses an argument that was not given.
    fn lacks(&self, text: &Text) -> bool {
        !self.absent.is_empty() && text.names().iter().any(|name| self.absent.contains(name))
    }
}

impl UrlTemplate {
    /// Reads a URL; `shown` is how the log names its path.
    ///
    /// # Errors
    ///
    /// What is wrong, in words for the person who wrote it.
    pub fn compile(source: &str, shown: &str) -> Result<UrlTemplate, String> {
        let (scheme, rest) =
            source.split_once("://").ok_or("it begins with https:// (or http://, where that is meant)")?;
        let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if scheme.contains('{') || authority.contains(['{', '}']) {
            return Err("its host is no template: write it out, or take it from the environment with `${…}`"
                .to_owned());
        }
        if rest.contains('#') && !rest.contains("{#") {
            return Err("it has no `#`".to_owned());
        }
        let (path, query) = split_query(rest);
        let path = if path.is_empty() { "/" } else { path };
        let literal = &path[..path.find('{').unwrap_or(path.len())];
        let literal = &literal[..literal.rfind('/').map_or(0, |at| at + 1)];
        let prefix = Pattern::parse(&format!("{scheme}://{authority}{literal}*"))
            .map_err(|error| error.to_string())?;
        let told = |error: TemplateError| error.to_string();
        Ok(UrlTemplate {
            origin: format!("{scheme}://{authority}"),
            path: Text::compile(path, |environment| encoded(environment, true)).map_err(told)?,
            query: query
                .map(|query| Text::compile(query, |environment| encoded(environment, false)))
                .transpose()
                .map_err(told)?,
            prefix,
            shown: shown.to_owned(),
        })
    }

    /// The pattern of the URL's own origin, within which redirects are followed.
    pub fn origin_pattern(&self) -> Option<Pattern> {
        Pattern::parse(&format!("{}/*", self.origin)).ok()
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The names that path and query use.
    pub fn names(&self) -> Vec<String> {
        let query = self.query.as_ref().map(Text::names).unwrap_or_default();
        self.path.names().into_iter().chain(query).collect()
    }

    fn render(&self, method: &str, facts: &Facts, more: &[(String, String)]) -> Result<String, RenderError> {
        let path = self.path.render(facts.value.clone())?;
        // Values one behind the other can make what none of them is.
        if path.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(RenderError::Value(CLIMBS.to_owned()));
        }
        let mut url = format!("{}{path}", self.origin);
        let mut has_query = false;
        if let Some(query) = &self.query {
            let query = query.render(facts.value.clone())?;
            has_query = !query.is_empty();
            if has_query {
                let _ = write!(url, "?{query}");
            }
        }
        if !more.is_empty() {
            url.push(if has_query { '&' } else { '?' });
            url.push_str(&form(more));
        }
        // Nothing above can lead elsewhere; should it ever, it ends here.
        if self.prefix.matches(method, &url) { Ok(url) } else { Err(RenderError::Value(CLIMBS.to_owned())) }
    }
}

impl RequestTemplate {
    /// Puts the values in.
    ///
    /// # Errors
    ///
    /// [`RenderError`].
    pub fn render(&self, facts: &Facts) -> Result<Request, RenderError> {
        let query = pairs(&self.query, facts)?;
        let url = self.url.render(&self.method, facts, &query)?;
        let mut secret_headers = Vec::new();
        for (name, value) in pairs(&self.headers, facts)? {
            if value.chars().any(char::is_control) {
                return Err(RenderError::Value(CONTROL.to_owned()));
            }
            if !value.is_ascii() {
                return Err(RenderError::Value(NOT_ASCII.to_owned()));
            }
            secret_headers.push((name, Secret::new(value)));
        }
        let has = |wanted: &str| self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
        let mut headers = Vec::new();
        if !has("accept") {
            headers.push(("Accept".to_owned(), "application/json".to_owned()));
        }
        let body = self.body.as_ref().map(|body| body.render(facts)).transpose()?;
        if let (Some((kind, _)), false) = (&body, has("content-type")) {
            headers.push(("Content-Type".to_owned(), (*kind).to_owned()));
        }
        let body = body.map(|(_, text)| text.into_bytes());
        Ok(Request { method: self.method.clone(), url, headers, secret_headers, body })
    }

    /// Every template of which an argument's absence is an error, with its names.
    pub fn strict_names(&self) -> Vec<String> {
        let body = match &self.body {
            Some(BodyTemplate::Text(text)) => text.names(),
            _ => Vec::new(),
        };
        self.url.names().into_iter().chain(body).collect()
    }

    /// All names that are used anywhere, sorted.
    pub fn names(&self) -> BTreeSet<String> {
        let pairs = self.headers.iter().chain(&self.query).flat_map(|(_, text)| text.names());
        let mut names: BTreeSet<String> = self.strict_names().into_iter().chain(pairs).collect();
        match &self.body {
            Some(BodyTemplate::Form(fields)) => {
                names.extend(fields.iter().flat_map(|(_, text)| text.names()))
            }
            Some(BodyTemplate::Json(json)) => json.add_names(&mut names),
            _ => {}
        }
        names
    }
}

impl BodyTemplate {
    fn render(&self, facts: &Facts) -> Result<(&'static str, String), RenderError> {
        Ok(match self {
            BodyTemplate::Text(text) => ("text/plain; charset=utf-8", text.render(facts.value.clone())?),
            BodyTemplate::Json(json) => {
                let value = json.render(facts)?.unwrap_or_else(|| Json::Object(Map::new()));
                ("application/json", value.to_string())
            }
            BodyTemplate::Form(fields) => ("application/x-www-form-urlencoded", form(&pairs(fields, facts)?)),
        })
    }
}

impl JsonTemplate {
    /// Compiles every text.
    ///
    /// # Errors
    ///
    /// The first text that is no template.
    pub fn compile(json: Json) -> Result<JsonTemplate, TemplateError> {
        Ok(match json {
            Json::String(text) => JsonTemplate::Text(Text::compile(&text, |_| ())?),
            Json::Array(list) => {
                JsonTemplate::List(list.into_iter().map(JsonTemplate::compile).collect::<Result<_, _>>()?)
            }
            Json::Object(table) => {
                let compiled = |(name, value)| Ok((name, JsonTemplate::compile(value)?));
                JsonTemplate::Table(table.into_iter().map(compiled).collect::<Result<_, _>>()?)
            }
            plain => JsonTemplate::Plain(plain),
        })
    }

    /// None where it uses an argument that was not given.
    fn render(&self, facts: &Facts) -> Result<Option<Json>, RenderError> {
        Ok(match self {
            JsonTemplate::Plain(value) => Some(value.clone()),
            JsonTemplate::Text(text) if facts.lacks(text) => None,
            JsonTemplate::Text(text) => Some(to_json(&text.value(facts.value.clone())?)),
            JsonTemplate::List(list) => {
                let values: Result<Vec<Option<Json>>, RenderError> =
                    list.iter().map(|inner| inner.render(facts)).collect();
                Some(Json::Array(values?.into_iter().flatten().collect()))
            }
            JsonTemplate::Table(table) => {
                let mut values = Map::new();
                for (name, inner) in table {
                    if let Some(value) = inner.render(facts)? {
                        values.insert(name.clone(), value);
                    }
                }
                Some(Json::Object(values))
            }
        })
    }

    fn add_names(&self, names: &mut BTreeSet<String>) {
        match self {
            JsonTemplate::Text(text) => names.extend(text.names()),
            JsonTemplate::Plain(_) => {}
            JsonTemplate::List(list) => list.iter().for_each(|inner| inner.add_names(names)),
            JsonTemplate::Table(table) => table.iter().for_each(|(_, inner)| inner.add_names(names)),
        }
    }
}

/// Compiles a value of a header, a query or a form.
///
/// # Errors
///
/// [`TemplateError`].
pub fn plain_text(source: &str) -> Result<Text, TemplateError> {
    Text::compile(source, |environment| {
        environment.set_formatter(|output, _, value| {
            output.write_str(&plain(value)?).map_err(minijinja::Error::from)
        });
    })
}

/// Values are percent-encoded wherever they are put in.
fn encoded(environment: &mut Environment<'static>, is_path: bool) {
    environment.set_formatter(move |output, _, value| {
        let text = plain(value)?;
        let complaint = match text.as_str() {
            "" if is_path => Some(EMPTY),
            text if is_path && text.chars().any(char::is_control) => Some(CONTROL),
            text if is_path && text.split(['/', '\\']).any(|part| matches!(part, "." | "..")) => Some(CLIMBS),
            _ => None,
        };
        if let Some(complaint) = complaint {
            return Err(minijinja::Error::new(ErrorKind::InvalidOperation, complaint));
        }
        let mut encoded = String::new();
        percent::encode_into(&mut encoded, &text);
        output.write_str(&encoded).map_err(minijinja::Error::from)
    });
}

/// A text, a number or a truth as text.
fn plain(value: &Value) -> Result<String, minijinja::Error> {
    match value.kind() {
        ValueKind::String | ValueKind::Number => Ok(value.to_string()),
        // As JSON writes it; minijinja would write `True`.
        ValueKind::Bool => Ok(value.is_true().to_string()),
        ValueKind::None => Ok(String::new()),
        _ => Err(minijinja::Error::new(ErrorKind::InvalidOperation, NOT_PLAIN)),
    }
}

/// Path and query, divided at the first `?` that is not inside of a template's braces.
fn split_query(text: &str) -> (&str, Option<&str>) {
    let mut depth = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            b'?' if depth == 0 => return (&text[..at], Some(&text[at + 1..])),
            _ => {}
        }
    }
    (text, None)
}

fn pairs(templates: &[(String, Text)], facts: &Facts) -> Result<Vec<(String, String)>, RenderError> {
    let mut pairs = Vec::new();
    for (name, text) in templates.iter().filter(|(_, text)| !facts.lacks(text)) {
        pairs.push((name.clone(), text.render(facts.value.clone())?));
    }
    Ok(pairs)
}

fn form(pairs: &[(String, String)]) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        if !text.is_empty() {
            text.push('&');
        }
        percent::encode_into(&mut text, name);
        text.push('=');
        percent::encode_into(&mut text, value);
    }
    text
}

fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(truth) => Value::from(*truth),
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(whole), ..) => Value::from(whole),
            (_, Some(whole), _) => Value::from(whole),
            // A schema takes 2.0 for an integer, and so do we.
            (_, _, Some(real)) if real.fract() == 0.0 && real.abs() < 9e15 => Value::from(real as i64),
            (_, _, real) => Value::from(real.unwrap_or_default()),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(list) => Value::from(list.iter().map(from_json).collect::<Vec<Value>>()),
        Json::Object(table) => {
            let values = table.iter().map(|(name, value)| (name.clone(), from_json(value)));
            Value::from(values.collect::<BTreeMap<String, Value>>())
        }
    }
}

fn to_json(value: &Value) -> Json {
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => Json::Null,
        ValueKind::Bool => Json::Bool(value.is_true()),
        ValueKind::Number => match i64::try_from(value.clone()) {
            Ok(whole) if value.is_integer() => whole.into(),
            _ => f64::try_from(value.clone()).map_or(Json::Null, Json::from),
        },
        ValueKind::Map => {
            let names = value.try_iter().into_iter().flatten();
            let entry = |name: Value| Some((name.to_string(), to_json(&value.get_item(&name).ok()?)));
            Json::Object(names.filter_map(entry).collect())
        }
        ValueKind::Seq | ValueKind::Iterable => {
            value.try_iter().into_iter().flatten().map(|inner| to_json(&inner)).collect()
        }
        _ => Json::String(value.to_string()),
    }
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
