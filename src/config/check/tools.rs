//! `[tools.NAME]`: tools that are an HTTP request.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::Value;
use toml::de::DeValue;

use crate::call::record::ToolOutcomeKind;
use crate::call::terms::ToolTerms;
use crate::config::codes;
use crate::config::document::Place;
use crate::config::problem::Location;
use crate::config::raw;
use crate::config::suggest::{did_you_mean, list};
use crate::template::{TemplateError, Text};
use crate::tool::BUILT_IN;
use crate::tool::http::template::{
    BodyTemplate, CALL_FIELDS, Facts, JsonTemplate, RenderError, RequestTemplate, UrlTemplate, plain_text,
};
use crate::tool::http::{Meaning, Retry, RetryOn, Settings};
use crate::tool::outbound::{Pattern, normal_host};

use super::Checker;
use super::params::Parameters;
use super::plugins::json as to_json;

/// A caller does not wait longer than this for anything.
const TIME: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);
/// What breaker and cache may be told.
const SPAN: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3_600);
/// The longest description, in bytes: the model reads it on every turn.
const DESCRIPTION_BYTES_MAX: usize = 4 << 10;
/// The longest phrase before an answer, in bytes: longer ones take longer than the answer.
const PHRASE_BYTES_MAX: usize = 500;
/// Headers that belong to the connection.
const NOT_OURS: [&str; 8] = [
    "host",
    "content-length",
    "connection",
    "transfer-encoding",
    "upgrade",
    "te",
    "expect",
    "proxy-authorization",
];

impl Checker<'_> {
    /// The HTTP tools; `variables` are the names that sessions and routes set.
    pub(super) fn tools(
        &mut self,
        raw: BTreeMap<String, raw::Tool>,
        variables: &BTreeSet<String>,
    ) -> Option<Vec<Settings>> {
        let checked: Vec<Option<Settings>> =
            raw.into_iter().map(|(name, tool)| self.tool(&name, tool, variables)).collect();
        checked.into_iter().collect()
    }

    /// Where each tool's name stands, for what is wrong with it beside other tools.
    pub(super) fn tool_places(&self, raw: &BTreeMap<String, raw::Tool>) -> BTreeMap<String, Location> {
        let place = |name: &str| Place::of(&["tools", name]);
        raw.keys().map(|name| (name.clone(), self.document.locate_key(&place(name)))).collect()
    }

    fn tool(&mut self, name: &str, raw: raw::Tool, variables: &BTreeSet<String>) -> Option<Settings> {
        let place = Place::of(&["tools", name]);
        let is_named = self.name(name, &place) && self.is_free(name, &place);
        let help = "tell the model what the tool does and when to call it";
        let description = self.required(raw.description, &place, "description", help);
        let description =
            description.and_then(|text| self.short(text, &place.key("description"), DESCRIPTION_BYTES_MAX));
        let say_first = match raw.say_first {
            Some(text) => self.short(text, &place.key("say_first"), PHRASE_BYTES_MAX).map(Some),
            None => Some(None),
        };
        let parameters = self.parameters(raw.params, raw.parameters, &place);
        let at = place.key("http");
        // The defaults are there even where the operator wrote nothing.
        let http = raw.http.filter(|_| self.document.has(&at));
        let http = self.required(
            http,
            &place,
            "http",
            "say what is sent: `http = { method = \"GET\", url = \"…\" }`",
        )?;
        let method = self.method(http.method.clone(), &at);
        let request = self.request(&http, method, &at);
        let time = self.span(http.timeout, &at.key("timeout"), TIME);
        let is_safe = matches!(method, Some("GET" | "HEAD"));
        let retry = self.retry(http.retry, method, &at.key("retry"));
        let breaker = self.breaker(http.breaker, &at.key("breaker"));
        let cache = self.duration(http.cache, &at.key("cache"), SPAN);
        if matches!(cache, Some(Some(_))) && method.is_some() && !is_safe {
            self.report(&codes::TOOL_REPEAT, &at.key("cache"), "only answers to GET and HEAD can be kept");
            return None;
        }
        let pick = self.pick(http.pick, &at.key("pick"));
        let response = self.size(http.max_response, &at.key("max_response"), 256..=8 << 20);
        let private_hosts = self.private_hosts(http.private_hosts.unwrap_or_default(), &at);
        let follow = self.follow(http.follow.unwrap_or_default(), &at.key("follow"));
        let statuses = self.statuses(http.status.unwrap_or_default(), &at.key("status"));
        let on_error = match http.on_error {
            Some(text) => self.short(text, &at.key("on_error"), DESCRIPTION_BYTES_MAX).map(Some),
            None => Some(None),
        };
        let (parameters, request) = (parameters?, request?);
        self.tool_names(&parameters, &request, variables, &at).then_some(())?;
        self.trial(&parameters, &request, &at).then_some(())?;
        is_named.then_some(())?;
        Some(Settings {
            name: name.to_owned(),
            description: description?,
            parameters: parameters.schema,
            defaults: parameters.defaults,
            terms: ToolTerms {
                say_first: say_first?,
                interruptible: raw.interruptible.is_none_or(|flag| flag.0),
            },
            may_repeat: raw.repeatable.map_or(is_safe, |flag| flag.0),
            request,
            time: time?,
            retry: retry?,
            breaker: breaker?,
            cache: cache?,
            pick: pick?,
            response_bytes_max: usize::try_from(response?).ok()?,
            private_hosts: private_hosts?,
            follow: follow?,
            statuses: statuses?,
            on_error: on_error?,
        })
    }

    fn is_free(&mut self, name: &str, place: &Place) -> bool {
        if !BUILT_IN.contains(&name) {
            return true;
        }
        let location = self.document.locate_key(place);
        self.report_at(&codes::TOOL_NAME, location, format!("`{name}` is the name of a built-in tool"))
            .help("give it another name");
        false
    }

    fn short(&mut self, text: String, place: &Place, bytes_max: usize) -> Option<String> {
        if text.len() <= bytes_max && !text.trim().is_empty() {
            return Some(text);
        }
        self.report(&codes::RANGE, place, format!("`{place}` is empty or too long"))
            .label(format!("must be 1 to {bytes_max} bytes"));
        None
    }

    fn method(&mut self, raw: Option<String>, place: &Place) -> Option<&'static str> {
        let method = raw.unwrap_or_else(|| "GET".to_owned());
        let known =
            ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"].map(|method| (method, method));
        self.word(&method, &place.key("method"), &known)
    }

    fn request(
        &mut self,
        raw: &raw::ToolHttp,
        method: Option<&'static str>,
        place: &Place,
    ) -> Option<RequestTemplate> {
        let url = self.required(raw.url.clone(), place, "url", "say where the request goes");
        let url = url.and_then(|url| self.tool_url(&url, &place.key("url")));
        let headers = self.tool_headers(raw.headers.clone().unwrap_or_default(), &place.key("headers"));
        let query = self.texts(raw.query.clone().unwrap_or_default(), &place.key("query"));
        let body = self.body(raw, method, place);
        Some(RequestTemplate {
            method: method?.to_owned(),
            url: url?,
            headers: headers?,
            query: query?,
            body: body?,
        })
    }

    fn tool_url(&mut self, url: &str, place: &Place) -> Option<UrlTemplate> {
        let shown = self.shown_path(place);
        match UrlTemplate::compile(url, &shown) {
            Ok(template) => Some(template),
            Err(words) => {
                self.report(&codes::TOOL_URL, place, format!("`{place}` is not usable")).label(words);
                None
            }
        }
    }

    /// The URL's path as the file has it, before anything was filled in: what may be logged.
    fn shown_path(&self, place: &Place) -> String {
        let written = match self.document.locate(place) {
            Location::Text(source, span) => {
                source.text.as_deref().and_then(|text| text.get(span)).map(str::to_owned)
            }
            _ => None,
        };
        path_of(&written.unwrap_or_default())
    }

    fn tool_headers(&mut self, raw: BTreeMap<String, String>, place: &Place) -> Option<Vec<(String, Text)>> {
        for name in raw.keys() {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            let is_ours = !NOT_OURS.contains(&name.to_ascii_lowercase().as_str());
            if name.is_empty() || !name.bytes().all(is_plain) || !is_ours {
                self.report(
                    &codes::TOOL_REQUEST,
                    &place.key(name),
                    format!("`{}` cannot be set", name.escape_debug()),
                )
                .help("headers have letters, digits and `-`; those of the connection are set by itself");
                return None;
            }
        }
        self.texts(raw, place)
    }

    fn texts(&mut self, raw: BTreeMap<String, String>, place: &Place) -> Option<Vec<(String, Text)>> {
        let mut texts = Vec::new();
        for (name, source) in raw {
            let compiled = self.compiled(plain_text(&source), &place.key(&name))?;
            texts.push((name, compiled));
        }
        Some(texts)
    }

    fn compiled<T>(&mut self, compiled: Result<T, TemplateError>, place: &Place) -> Option<T> {
        match compiled {
            Ok(compiled) => Some(compiled),
            Err(error) => {
                self.report(&codes::TEMPLATE, place, format!("`{place}` cannot be used as a template"))
                    .label(error.message);
                None
            }
        }
    }

    fn body(
        &mut self,
        raw: &raw::ToolHttp,
        method: Option<&'static str>,
        place: &Place,
    ) -> Option<Option<BodyTemplate>> {
        let given =
            [("json", raw.json.is_some()), ("form", raw.form.is_some()), ("body", raw.body.is_some())];
        let given: Vec<&str> = given.iter().filter(|(_, is_given)| *is_given).map(|(key, _)| *key).collect();
        let Some(last) = given.last() else { return Some(None) };
        if given.len() > 1 {
            let message = format!("the request has more than one body: {}", list(given.iter().copied()));
            self.report(&codes::TOOL_REQUEST, &place.key(last), message).help("keep one of them");
            return None;
        }
        if matches!(method, Some("GET" | "HEAD")) {
            let message = format!("`{last}` has no effect with this method");
            self.report(&codes::TOOL_REQUEST, &place.key(last), message)
                .help("set `method = \"POST\"`, or write what is asked for into `query`");
            return None;
        }
        if let Some(json) = &raw.json {
            let compiled = JsonTemplate::compile(to_json(json.clone()));
            return self.compiled(compiled, &place.key("json")).map(|json| Some(BodyTemplate::Json(json)));
        }
        if let Some(form) = &raw.form {
            return self.texts(form.clone(), &place.key("form")).map(|form| Some(BodyTemplate::Form(form)));
        }
        let text = raw.body.clone().unwrap_or_default();
        if text.trim_start().starts_with(['{', '['])
            && !text.trim_start().starts_with("{{")
            && text.contains("{{")
        {
            self.report(&codes::TOOL_REQUEST, &place.key("body"), "`body` pastes values into JSON")
                .help("write `json = { name = \"{{ args.name }}\" }`: values are encoded there");
            return None;
        }
        let compiled = self.compiled(Text::compile(&text, |_| ()), &place.key("body"));
        compiled.map(|text| Some(BodyTemplate::Text(text)))
    }

    fn retry(
        &mut self,
        raw: Option<raw::Retry>,
        method: Option<&'static str>,
        place: &Place,
    ) -> Option<Retry> {
        let Some(raw) = raw else { return Some(Retry::default()) };
        let attempts = match raw.attempts {
            Some(attempts) => self.count(Some(attempts), &place.key("attempts"), 1..=5),
            None => Some(2),
        };
        let words = raw.on.unwrap_or_else(|| ["timeout", "connect", "5xx", "429"].map(str::to_owned).into());
        let known = [
            ("timeout", RetryOn::Timeout),
            ("connect", RetryOn::Connect),
            ("5xx", RetryOn::ServerError),
            ("429", RetryOn::TooMany),
        ];
        let (mut on, mut are_known) = (Vec::new(), true);
        for (at, word) in words.iter().enumerate() {
            match self.word(word, &place.key("on").index(at), &known) {
                Some(reason) => on.push(reason),
                None => are_known = false,
            }
        }
        let is_risky = matches!(method, Some("POST" | "PATCH"));
        if is_risky && !raw.r#unsafe.is_some_and(|flag| flag.0) {
            let message =
                format!("`{}` may be carried out twice when it is tried again", method.unwrap_or_default());
            self.report(&codes::TOOL_REPEAT, place, message).help(
                "remove `retry`; or write `unsafe = true` into it, where the backend notices repetitions",
            );
            return None;
        }
        are_known.then_some(Retry { attempts: attempts?, on })
    }

    fn pick(&mut self, raw: Option<String>, place: &Place) -> Option<Option<String>> {
        match raw {
            Some(pointer) if !pointer.is_empty() && !pointer.starts_with('/') => {
                self.report(&codes::TOOL_REQUEST, place, format!("`{place}` is no JSON pointer"))
                    .help("write the way to the part that is wanted, such as `/data/free` or `/items/0`");
                None
            }
            other => Some(other.filter(|pointer| !pointer.is_empty())),
        }
    }

    fn private_hosts(&mut self, raw: Vec<String>, place: &Place) -> Option<Vec<String>> {
        let place = place.key("private_hosts");
        let mut are_good = true;
        for (at, host) in raw.iter().enumerate() {
            if normal_host(host).is_none() {
                self.report(&codes::TOOL_PLACE, &place.index(at), "this is not a host")
                    .help("write the host as the URL does, without port or path: `crm.internal`, `10.0.0.5`");
                are_good = false;
            }
        }
        are_good.then_some(raw)
    }

    /// Patterns of what may be reached.
    fn follow(&mut self, raw: Vec<String>, place: &Place) -> Option<Vec<Pattern>> {
        let (mut patterns, mut are_good) = (Vec::new(), true);
        for (at, text) in raw.iter().enumerate() {
            match Pattern::parse(text) {
                Ok(pattern) => patterns.push(pattern),
                Err(error) => {
                    self.report(&codes::TOOL_PLACE, &place.index(at), "this is not a pattern")
                        .label(error.to_string());
                    are_good = false;
                }
            }
        }
        are_good.then_some(patterns)
    }

    fn statuses(&mut self, raw: BTreeMap<String, String>, place: &Place) -> Option<BTreeMap<u16, Meaning>> {
        use ToolOutcomeKind::{Denied, Failed, InvalidArguments, NotFound, Unavailable};
        let known = [
            ("ok", Meaning::Ok),
            ("not_found", Meaning::Failed(NotFound)),
            ("invalid", Meaning::Failed(InvalidArguments)),
            ("denied", Meaning::Failed(Denied)),
            ("unavailable", Meaning::Failed(Unavailable)),
            ("failed", Meaning::Failed(Failed)),
        ];
        let mut statuses = BTreeMap::new();
        for (status, word) in raw {
            let here = place.key(&status);
            let meaning = self.word(&word, &here, &known)?;
            match status.parse() {
                Ok(code) if (200..=599).contains(&code) => drop(statuses.insert(code, meaning)),
                _ => {
                    let location = self.document.locate_key(&here);
                    self.report_at(
                        &codes::TOOL_STATUS,
                        location,
                        format!("`{}` is not a status", status.escape_debug()),
                    )
                    .help("write a number of 200 to 599");
                    return None;
                }
            }
        }
        Some(statuses)
    }

    /// Compares the names a request uses with what there is.
    fn tool_names(
        &mut self,
        parameters: &Parameters,
        request: &RequestTemplate,
        variables: &BTreeSet<String>,
        place: &Place,
    ) -> bool {
        let properties = parameters.schema.get("properties").and_then(Value::as_object);
        let arguments: Vec<&str> =
            properties.into_iter().flat_map(|all| all.keys()).map(String::as_str).collect();
        let is_open = parameters.schema.get("additionalProperties") != Some(&Value::Bool(false));
        let mut are_known = true;
        for name in request.names() {
            let (table, field) = name.split_once('.').unwrap_or((name.as_str(), ""));
            let field = field.split('.').next().unwrap_or_default();
            let known: Vec<&str> = match table {
                "args" if field.is_empty() || is_open || arguments.contains(&field) => continue,
                "args" => arguments.clone(),
                "call" if field.is_empty() || CALL_FIELDS.contains(&field) => continue,
                "call" => CALL_FIELDS.to_vec(),
                "vars" if field.is_empty() || variables.contains(field) => continue,
                "vars" => {
                    self.report(
                        &codes::TOOL_VARIABLE,
                        place,
                        format!("no session and no route sets `vars.{field}`"),
                    )
                    .help("give it a value in the `vars` of a session or a route");
                    continue;
                }
                _ => vec!["args", "call", "vars"],
            };
            are_known = false;
            let wanted = if known.contains(&"args") { table } else { field };
            let help = match did_you_mean(wanted, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if known.is_empty() => "the tool has no `params`".to_owned(),
                None => format!("there is {}", list(known)),
            };
            let message = "the request uses a name that does not exist";
            let at = self.user_of(&name, place);
            self.report(&codes::TEMPLATE_NAME, &at, message).label(format!("no `{name}`")).help(help);
        }
        are_known
    }

    /// The text that uses a name, where it stands in a table of its own; else the whole request.
    fn user_of(&self, name: &str, place: &Place) -> Place {
        let uses = |place: &Place| {
            self.document.get(place).and_then(DeValue::as_str).is_some_and(|text| text.contains(name))
        };
        let single = ["url", "body"].map(|key| place.key(key));
        let tables = ["query", "headers", "form", "json"].map(|key| place.key(key));
        let entries = tables.iter().flat_map(|table| {
            let entries = self.document.get(table).and_then(DeValue::as_table);
            entries.into_iter().flat_map(|entries| entries.keys()).map(|key| table.key(key.get_ref()))
        });
        single.into_iter().chain(entries).find(uses).unwrap_or_else(|| place.clone())
    }

    /// Puts the request together once, with what is always given.
    fn trial(&mut self, parameters: &Parameters, request: &RequestTemplate, place: &Place) -> bool {
        let sample = parameters.sample();
        let names = request.names();
        let vars = names.iter().filter_map(|name| name.strip_prefix("vars."));
        let vars = vars.map(|name| (name.split('.').next().unwrap_or(name).to_owned(), "sample".to_owned()));
        let known = parameters.schema.get("properties").and_then(Value::as_object);
        let known = known.into_iter().flat_map(|properties| properties.keys());
        let facts = Facts::of_sample(&sample, vars.collect(), known);
        let Err(error) = request.render(&facts) else { return true };
        let (label, help) = match error {
            RenderError::Template(error) if error.is_unknown_name => (
                "it uses an argument that may be absent".to_owned(),
                "give the parameter a `default`, ask `{% if args.NAME is defined %}`, or move it to `query` or \
                 `json`, where it is left out",
            ),
            RenderError::Template(error) => (error.message, "correct the template"),
            // A sample value can be refused where a real one is not: only the template's own text is judged.
            RenderError::Value(_) => return true,
        };
        self.report(&codes::TEMPLATE, place, "the request cannot be put together").label(label).help(help);
        false
    }
}

/// The path of a URL as it is written, with its quotes and references.
fn path_of(written: &str) -> String {
    let text = written.trim_matches(['"', '\'', '\n']);
    let text = text.split_once("://").map_or(text, |(_, behind)| behind);
    let mut is_reference = false;
    let begins = text.char_indices().find(|(at, letter)| {
        is_reference = (is_reference || text[*at..].starts_with("${")) && *letter != '}';
        *letter == '/' && !is_reference
    });
    let path = begins.map_or("/", |(at, _)| &text[at..]);
    path.split(['?', '\n']).next().unwrap_or("/").to_owned()
}

#[cfg(test)]
mod tests {
    use super::path_of;

    #[test]
    fn a_path_is_shown_as_it_is_written() {
        for (written, path) in [
            ("\"https://api.example.com/v2/{{ args.id }}?key=${KEY}\"", "/v2/{{ args.id }}"),
            ("\"${BASE:-https://a.example}/x/${KEY}\"", "/x/${KEY}"),
            ("'${file:/run/secrets/base}/x'", "/x"),
            ("\"https://api.example.com\"", "/"),
            ("", "/"),
        ] {
            assert_eq!(path_of(written), path, "{written}");
        }
    }
}
