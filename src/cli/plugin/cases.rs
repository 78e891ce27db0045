//! `tests.toml`: what goes into a plugin, and what must come out.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};
use toml::Spanned;

use super::given::{self, Given, Line, with_given};
use super::places::{self, Misplaced};

/// The file's name.
pub(super) const FILE: &str = "tests.toml";

/// How a failure of a plugin is called: its own six, and what the sandbox says.
pub(super) const ERRORS: [&str; 12] = [
    "unknown_tool",
    "invalid_arguments",
    "not_found",
    "denied",
    "unavailable",
    "internal",
    "busy",
    "timeout",
    "too_large",
    "bad_output",
    "out_of_memory",
    "trapped",
];

/// One test.
#[derive(Clone, Debug)]
pub(super) struct Case {
    /// What it shows.
    pub name: String,
    /// Its line in the file.
    pub line: usize,
    /// What is called.
    pub call: Call,
    /// What is there when it is called.
    pub given: Given,
    /// What must come.
    pub expect: Expect,
}

/// What is called.
#[derive(Clone, Debug)]
pub(super) enum Call {
    /// A tool with its arguments.
    Tool(String, Value),
    /// The hook `incoming` with the call's headers.
    Incoming(Vec<(String, String)>),
    /// The hook `event`.
    Event(CallEvent),
    /// The hook `ended` with the call's record.
    Ended(Value),
}

/// Something that happens in a call.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CallEvent {
    /// A line of the transcript.
    Line(Line),
    /// Keys that the caller pressed.
    Keys(String),
    /// The call's state.
    State(CallState),
}

/// A state that plugins are told of.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CallState {
    /// It is up.
    Live,
    /// It is over.
    Ended,
}

/// What must come. What is not said is not looked at.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Expect {
    /// The answer.
    pub ok: Option<toml::Value>,
    /// The kind of failure.
    pub error: Option<Spanned<String>>,
    /// Words in the failure's message.
    pub message_contains: Option<OneOrMany>,
    /// Objects have the expected keys and no others.
    pub exact: bool,
    /// What is kept afterwards.
    pub kv: Option<BTreeMap<String, toml::Value>>,
    /// The requests that were made.
    pub http: Option<Vec<Request>>,
    /// What was wanted of the call.
    pub wishes: Option<Vec<Wish>>,
    /// Words in the log.
    pub log_contains: Option<OneOrMany>,
}

/// A request that must be made.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    method: Option<String>,
    url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<String>,
    json: Option<toml::Value>,
}

/// Something that must be wanted of the call.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Wish {
    Progress(String),
    Say(String),
    InjectContext(String),
    Transfer(String),
    HangUp(bool),
    SetVariable { name: String, value: String },
}

/// A text, or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    tests: Vec<RawCase>,
}

with_given! {
    RawCase {
        name: Spanned<String>,
        tool: Option<Spanned<String>>,
        hook: Option<Spanned<String>>,
        arguments: Option<Spanned<toml::Value>>,
        headers: Option<Spanned<BTreeMap<String, String>>>,
        event: Option<Spanned<CallEvent>>,
        record: Option<Spanned<toml::Value>>,
        #[serde(default)]
        expect: Expect,
    }
}

impl OneOrMany {
    /// The texts.
    pub fn texts(&self) -> &[String] {
        match self {
            OneOrMany::One(text) => std::slice::from_ref(text),
            OneOrMany::Many(texts) => texts,
        }
    }
}

impl Request {
    /// The request as it is compared: headers by their names in small letters.
    pub fn json(&self) -> Value {
        let mut request = json!({});
        let mut put = |key: &str, value: Value| request[key] = value;
        if let Some(method) = &self.method {
            put("method", method.as_str().into());
        }
        if let Some(url) = &self.url {
            put("url", url.as_str().into());
        }
        if !self.headers.is_empty() {
            let lower =
                |(name, value): (&String, &String)| (name.to_ascii_lowercase(), value.as_str().into());
            put("headers", Value::Object(self.headers.iter().map(lower).collect()));
        }
        if let Some(body) = &self.body {
            put("body", body.as_str().into());
        }
        if let Some(value) = &self.json {
            put("json", given::json(value));
        }
        request
    }
}

impl Wish {
    /// The wish as it is compared.
    pub fn json(&self) -> Value {
        match self {
            Wish::Progress(text) => json!({ "progress": text }),
            Wish::Say(text) => json!({ "say": text }),
            Wish::InjectContext(text) => json!({ "inject_context": text }),
            Wish::Transfer(to) => json!({ "transfer": to }),
            Wish::HangUp(truth) => json!({ "hang_up": truth }),
            Wish::SetVariable { name, value } => json!({ "set_variable": { "name": name, "value": value } }),
        }
    }
}

/// Reads the tests of a file.
///
/// # Errors
///
/// With file, line and column: it is no TOML, has a key that there is not, or a test makes no sense.
pub(super) fn parse(path: &Path, text: &str) -> anyhow::Result<Vec<Case>> {
    let raw: Raw = toml::from_str(text).map_err(|error| places::of_toml(path, text, &error))?;
    let cases = raw.tests.into_iter().map(|raw| {
        let line = places::position(text, raw.name.span().start).0;
        case(raw, line).map_err(|misplaced| places::error(path, text, misplaced))
    });
    cases.collect()
}

fn case(mut raw: RawCase, line: usize) -> Result<Case, Misplaced> {
    let given = raw.take_given()?;
    check_expect(&raw.expect)?;
    let name = raw.name.get_ref().clone();
    let expect = std::mem::take(&mut raw.expect);
    Ok(Case { name, line, call: call(raw)?, given, expect })
}

fn check_expect(expect: &Expect) -> Result<(), Misplaced> {
    let Some(error) = &expect.error else { return Ok(()) };
    let words = if expect.ok.is_some() {
        "an answer is `ok` or an `error`: leave one of them out".to_owned()
    } else if !ERRORS.contains(&error.get_ref().as_str()) {
        format!("`{}` is no failure: it can be {}", error.get_ref(), listed(&ERRORS))
    } else {
        return Ok(());
    };
    Err(Misplaced { span: error.span(), words })
}

fn call(raw: RawCase) -> Result<Call, Misplaced> {
    let wrong = |span, words: &str| Err(Misplaced { span, words: words.to_owned() });
    let whole = raw.name.span();
    let hook = match (raw.tool, raw.hook) {
        (Some(_), Some(hook)) => return wrong(hook.span(), "a test calls a `tool` or a `hook`, not both"),
        (None, None) => {
            return wrong(whole, "this test calls nothing: give `tool = \"…\"` or `hook = \"…\"`");
        }
        (Some(tool), None) => {
            let headers = raw.headers.map(|value| value.span());
            let event = raw.event.map(|value| value.span());
            let record = raw.record.map(|value| value.span());
            if let Some(span) = headers.or(event).or(record) {
                return wrong(span, "this is for hooks: a tool has `arguments`");
            }
            return Ok(Call::Tool(tool.into_inner(), arguments(raw.arguments)?));
        }
        (None, Some(hook)) => hook,
    };
    if let Some(arguments) = raw.arguments {
        return wrong(
            arguments.span(),
            "a hook has no arguments: `incoming` has `headers`, `event` has `event`, `ended` has `record`",
        );
    }
    match hook.get_ref().as_str() {
        "incoming" => {
            let headers = raw.headers.map(Spanned::into_inner).unwrap_or_default();
            Ok(Call::Incoming(headers.into_iter().collect()))
        }
        "event" => match raw.event {
            Some(event) => Ok(Call::Event(event.into_inner())),
            None => wrong(
                hook.span(),
                "say what happens: `event = { keys = \"12\" }`, `{ state = \"live\" }` or `{ line = { speaker = \"caller\", text = \"…\" } }`",
            ),
        },
        "ended" => {
            let record = raw.record.map(|record| given::json(record.get_ref()));
            Ok(Call::Ended(record.unwrap_or_else(|| json!({}))))
        }
        _ => wrong(hook.span(), "a hook is `incoming`, `event` or `ended`"),
    }
}

/// A table, or JSON as text: TOML has no null.
fn arguments(value: Option<Spanned<toml::Value>>) -> Result<Value, Misplaced> {
    let Some(value) = value else { return Ok(json!({})) };
    match value.get_ref() {
        toml::Value::String(text) => serde_json::from_str(text).map_err(|error| Misplaced {
            span: value.span(),
            words: format!("these arguments are not JSON ({error}): write a table, or JSON as text"),
        }),
        other => Ok(given::json(other)),
    }
}

fn listed(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<Case>, String> {
        parse(Path::new("tests.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_whole_test_is_read() {
        let cases = parsed(
            r#"
[[tests]]
name = "finds"
tool = "find"
arguments = { n = 1, at = 2026-11-24 }
context = { caller = "+81", vars = { shop = "x" } }
config = { a = [1] }
kv = { "k" = { n = 1 }, t = "as it is" }
secrets = { TOKEN = "t" }
now = 2026-11-24T10:00:00+09:00
history = [{ speaker = "caller", text = "hello" }]
[[tests.http]]
url = "https://a.example/x"
json = { ok = true }
[tests.expect]
ok = { found = true }
http = [{ url = "https://a.example/x", headers = { Authorization = "Bearer t" } }]
wishes = [{ say = "x" }, { hang_up = true }, { set_variable = { name = "a", value = "b" } }]
log_contains = "x"
[[tests]]
name = "rings"
hook = "event"
event = { line = { speaker = "assistant", text = "x" } }
"#,
        )
        .unwrap();
        assert_eq!(cases.len(), 2);
        assert_eq!(cases[0].line, 3);
        let Call::Tool(tool, arguments) = &cases[0].call else { panic!("a tool") };
        assert_eq!((tool.as_str(), arguments), ("find", &json!({ "n": 1, "at": "2026-11-24" })));
        assert_eq!(cases[0].given.now.unwrap().to_string(), "2026-11-24T01:00:00.000Z");
        let http = cases[0].expect.http.as_ref().unwrap()[0].json();
        assert_eq!(http["headers"], json!({ "authorization": "Bearer t" }));
        assert!(matches!(cases[1].call, Call::Event(CallEvent::Line(_))));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, place, words) in [
            ("[[tests]]\nname = 'x'\n", "tests.toml:2:8", "calls nothing"),
            (
                "[[tests]]\nname = 'x'\ntool = 't'\nhok = 'incoming'\n",
                "tests.toml:4:1",
                "unknown field `hok`",
            ),
            ("[[tests]]\nname = 'x'\ntool = 't'\nhook = 'incoming'\n", "tests.toml:4:8", "not both"),
            ("[[tests]]\nname = 'x'\nhook = 'ringing'\n", "tests.toml:3:8", "`ended`"),
            ("[[tests]]\nname = 'x'\nhook = 'event'\n", "tests.toml:3:8", "keys"),
            ("[[tests]]\nname = 'x'\ntool = 't'\nevent = { keys = '1' }\n", "tests.toml:4:9", "for hooks"),
            ("[[tests]]\nname = 'x'\ntool = 't'\narguments = '{'\n", "tests.toml:4:13", "not JSON"),
            ("[[tests]]\nname = 'x'\ntool = 't'\nnow = 'noon'\n", "tests.toml:4:7", "offset"),
            (
                "[[tests]]\nname = 'x'\ntool = 't'\nexpect = { error = 'gone' }\n",
                "tests.toml:4:20",
                "`not_found`",
            ),
            ("[[tests]]\nname = 'x'\ntool = 't'\nexpect = { okay = 1 }\n", "tests.toml:4:12", "okay"),
            (
                "[[tests]]\nname = 'x'\ntool = 't'\n[[tests.http]]\nurl = 'u'\nbody = 'a'\njson = 1\n",
                "tests.toml:4:1",
                "not both",
            ),
            ("[[tests]]\nname = 'x'\ntool = 't'\ncontext = { called = 'x' }\n", "tests.toml:4:13", "called"),
            ("[[tests]\n", "tests.toml:1", ""),
        ] {
            let told = parsed(text).unwrap_err();
            assert!(told.starts_with(place) && told.contains(words), "{text}\n{told}");
        }
    }
}
