//! Templates of instructions and greetings (minijinja, a Jinja2 dialect).
//!
//! A template sees `call.id`, `call.from`, `call.from_masked`, `call.to`, `call.path`, `vars.*` and
//! `now`; nothing of the SIP headers, which anybody can write. What is put in is data: a caller id
//! that looks like a template comes out as it is. An unknown name is an error with its place, and
//! both the work and the length of the output are bounded.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use jiff::Zoned;
use jiff::civil::Weekday;
use minijinja::value::{Object, ObjectRepr};
use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value, context};

/// The longest rendered text. Instructions are billed on every turn; this is far beyond sense.
pub const OUTPUT_BYTES_MAX: usize = 64 << 10;

/// How many steps a template may take: a loop over a few hundred things, and no more.
const FUEL: u64 = 100_000;

/// The longest value that a call puts into a template, in characters.
const VALUE_CHARS_MAX: usize = 256;

/// The name of the one template in its environment.
const NAME: &str = "text";

/// A compiled template.
#[derive(Clone)]
pub struct Template {
    environment: Arc<Environment<'static>>,
}

/// What a template can say about a call.
#[derive(Clone, Copy, Debug)]
pub struct CallFacts<'a> {
    /// Our id of the call.
    pub id: &'a str,
    /// Who calls; none when withheld (an empty text in the template).
    pub from: Option<&'a str>,
    /// The same with most digits hidden.
    pub from_masked: Option<&'a str>,
    /// The number that was dialled; none when unknown (an empty text).
    pub to: Option<&'a str>,
    /// How audio reaches the model: `sip` or `media-streams`.
    pub path: &'a str,
}

/// In which language dates and weekdays are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// Japanese.
    Japanese,
}

impl Language {
    /// Japanese for `ja`, else English.
    pub fn of(code: Option<&str>) -> Language {
        if code == Some("ja") { Language::Japanese } else { Language::English }
    }
}

/// Why a template does not compile or cannot be rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// The line within the template, from 1, where it is known.
    pub line: Option<usize>,
    /// The bytes of the template that are meant, where they are known.
    pub range: Option<Range<usize>>,
    /// Whether it uses a name that does not exist.
    pub is_unknown_name: bool,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line} of the template: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for TemplateError {}

impl Template {
    /// Compiles a template.
    ///
    /// # Errors
    ///
    /// [`TemplateError`] where the text is not a template.
    pub fn compile(source: &str) -> Result<Template, TemplateError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.set_debug(true);
        environment.add_filter("date", |now: Value| moment(&now).map(Moment::date));
        environment.add_filter("time", |now: Value| moment(&now).map(Moment::time));
        environment.add_filter("weekday", |now: Value| moment(&now).map(Moment::weekday));
        environment.add_filter("datetime", |now: Value| moment(&now).map(Moment::datetime));
        environment.add_template_owned(NAME, source.to_owned()).map_err(describe)?;
        Ok(Template { environment: Arc::new(environment) })
    }

    /// Renders the template.
    ///
    /// # Errors
    ///
    /// [`TemplateError`] where it uses what is not there, takes too long or becomes too long.
    pub fn render(
        &self,
        call: &CallFacts<'_>,
        vars: &BTreeMap<String, String>,
        language: Language,
        now: Zoned,
    ) -> Result<String, TemplateError> {
        let facts = context! {
            call => call_value(call),
            vars => Value::from(vars.clone()),
            now => Value::from_object(Moment { now, language }),
        };
        let template = self.environment.get_template(NAME).map_err(describe)?;
        let mut output = Bounded::default();
        template.render_captured_to(facts, &mut output).map_err(describe)?;
        Ok(String::from_utf8_lossy(&output.0).into_owned())
    }

    /// The names that the template may look up, such as `vars.shop` or `call.from`, sorted; also
    /// those in branches that a rendering does not reach.
    pub fn names(&self) -> Vec<String> {
        let Ok(template) = self.environment.get_template(NAME) else { return Vec::new() };
        let functions: Vec<&str> = self.environment.globals().map(|(name, _)| name).collect();
        let mut names: Vec<String> = template.undeclared_variables(true).into_iter().collect();
        names.retain(|name| !functions.contains(&name.as_str()));
        names.sort();
        names
    }

    /// The fields of `call`.
    pub const CALL_FIELDS: [&str; 5] = ["id", "from", "from_masked", "to", "path"];
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Template")
    }
}

fn call_value(call: &CallFacts<'_>) -> Value {
    context! {
        id => tame(call.id),
        from => tame(call.from.unwrap_or_default()),
        from_masked => tame(call.from_masked.unwrap_or_default()),
        to => tame(call.to.unwrap_or_default()),
        path => tame(call.path),
    }
}

/// A value from outside, short and on one line: it stands in the middle of instructions.
fn tame(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(VALUE_CHARS_MAX).collect()
}

fn describe(error: minijinja::Error) -> TemplateError {
    let message = match error.kind() {
        ErrorKind::UndefinedError => "a name is not known here".to_owned(),
        ErrorKind::OutOfFuel => "it takes too many steps".to_owned(),
        ErrorKind::WriteFailure => format!("it becomes longer than {} KiB", OUTPUT_BYTES_MAX >> 10),
        kind => error.detail().map_or_else(|| kind.to_string(), str::to_owned),
    };
    let is_unknown_name = error.kind() == ErrorKind::UndefinedError;
    TemplateError { line: error.line(), range: error.range(), is_unknown_name, message }
}

/// A writer that refuses to grow beyond [`OUTPUT_BYTES_MAX`].
#[derive(Default)]
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT_BYTES_MAX {
            return Err(io::Error::other("too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `now` in a template.
#[derive(Debug)]
struct Moment {
    now: Zoned,
    language: Language,
}

fn moment(value: &Value) -> Result<&Moment, minijinja::Error> {
    value.downcast_object_ref().ok_or_else(|| {
        minijinja::Error::new(
            ErrorKind::InvalidOperation,
            "this filter takes `now`, as in `{{ now | date }}`",
        )
    })
}

impl Object for Moment {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.datetime())
    }
}

impl Moment {
    fn date(&self) -> String {
        match self.language {
            Language::English => self.now.strftime("%B %-d, %Y").to_string(),
            Language::Japanese => self.now.strftime("%Y年%-m月%-d日").to_string(),
        }
    }

    fn time(&self) -> String {
        self.now.strftime("%H:%M").to_string()
    }

    fn weekday(&self) -> String {
        match self.language {
            Language::English => self.now.strftime("%A").to_string(),
            Language::Japanese => japanese_weekday(self.now.weekday()).to_owned(),
        }
    }

    fn datetime(&self) -> String {
        match self.language {
            Language::English => format!("{}, {}, {}", self.weekday(), self.date(), self.time()),
            Language::Japanese => format!("{}（{}）{}", self.date(), self.weekday(), self.time()),
        }
    }
}

fn japanese_weekday(day: Weekday) -> &'static str {
    match day {
        Weekday::Monday => "月曜日",
        Weekday::Tuesday => "火曜日",
        Weekday::Wednesday => "水曜日",
        Weekday::Thursday => "木曜日",
        Weekday::Friday => "金曜日",
        Weekday::Saturday => "土曜日",
        Weekday::Sunday => "日曜日",
    }
}
