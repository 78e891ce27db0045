//! Templates of instructions and greetings (minijinja, a Jinja2 dialect).
//!
//! A template sees `call.id`, `call.from`, `call.from_masked`, `call.to`, `call.path`, `vars.*` and
//! `now`; nothing of the SIP headers, which anybody can write. [`crate::template`] has the rules.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Zoned;
use jiff::civil::Weekday;
use minijinja::value::{Object, ObjectRepr};
use minijinja::{ErrorKind, Value, context};

pub use crate::template::{OUTPUT_BYTES_MAX, TemplateError};

/// The longest value that a call puts into a template, in characters.
const VALUE_CHARS_MAX: usize = 256;

/// A compiled template.
#[derive(Clone)]
pub struct Template {
    text: crate::template::Text,
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

impl Template {
    /// Compiles a template.
    ///
    /// # Errors
    ///
    /// [`TemplateError`] where the text is not a template.
    pub fn compile(source: &str) -> Result<Template, TemplateError> {
        let text = crate::template::Text::compile(source, |environment| {
            environment.add_filter("date", |now: Value| moment(&now).map(Moment::date));
            environment.add_filter("time", |now: Value| moment(&now).map(Moment::time));
            environment.add_filter("weekday", |now: Value| moment(&now).map(Moment::weekday));
            environment.add_filter("datetime", |now: Value| moment(&now).map(Moment::datetime));
        })?;
        Ok(Template { text })
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
        self.text.render(facts)
    }

    /// The names that the template may look up, such as `vars.shop` or `call.from`, sorted; also
    /// those in branches that a rendering does not reach.
    pub fn names(&self) -> Vec<String> {
        self.text.names()
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
