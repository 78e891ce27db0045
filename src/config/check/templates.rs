//! Instructions and greetings: compiled, their names compared with what there will be, and rendered
//! once for every route that leads to them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::clock::Timestamp;
use crate::config::codes;
use crate::config::document::{Document, Place};
use crate::config::problem::{Location, Source};
use crate::config::suggest::{did_you_mean, list};
use crate::routing::local_time;
use crate::session::{CallFacts, Language, Template, TemplateError};

use super::Checker;
use super::routes::CheckedRoutes;

/// A call to try templates with.
const SAMPLE: CallFacts<'_> = CallFacts {
    id: "call_00000000000000000000000000000000",
    from: Some("+819012345678"),
    from_masked: Some("+81••••••5678"),
    to: Some("+815012345678"),
    path: "sip",
};

/// When it comes: noon in Tokyo on 1 January 2026.
const SAMPLE_NOW: Timestamp = Timestamp::from_secs(1_767_236_400);

/// A template's text and where it is written.
pub(super) struct Written {
    text: String,
    whole: Location,
    /// Where the text begins in its source; none where escapes make places differ.
    begins: Option<(Arc<Source>, usize)>,
}

impl Written {
    /// A template in the configuration.
    pub(super) fn in_config(document: &Document<'_>, place: &Place, text: &str) -> Written {
        let whole = document.locate(place);
        let begins = match &whole {
            Location::Text(source, span) => {
                offset_of(source, span, text).map(|offset| (source.clone(), span.start + offset))
            }
            _ => None,
        };
        Written { text: text.to_owned(), whole, begins }
    }

    /// A template in a file of its own.
    pub(super) fn in_file(name: String, text: String) -> Written {
        let source = Arc::new(Source { name, text: Some(text.clone()) });
        Written { text, whole: Location::Whole(source.clone()), begins: Some((source, 0)) }
    }

    fn locate(&self, range: Option<Range<usize>>) -> Location {
        match (&self.begins, range) {
            (Some((source, at)), Some(range)) => {
                Location::Text(source.clone(), at + range.start..at + range.end)
            }
            _ => self.whole.clone(),
        }
    }

    fn find(&self, name: &str) -> Location {
        self.locate(self.text.find(name).map(|at| at..at + name.len()))
    }
}

/// How far behind its opening quote a text begins, if it stands there as it is.
fn offset_of(source: &Source, span: &Range<usize>, text: &str) -> Option<usize> {
    let written = source.text.as_deref()?.get(span.clone())?;
    let is_long = written.starts_with("\"\"\"") || written.starts_with("'''");
    let quoted = if is_long { 3 } else { 1 };
    let line_end = match written.get(quoted..)? {
        inside if is_long && inside.starts_with("\r\n") => 2,
        inside if is_long && inside.starts_with('\n') => 1,
        _ => 0,
    };
    let offset = quoted + line_end;
    written.get(offset..)?.starts_with(text).then_some(offset)
}

/// What a session's templates will meet.
pub(super) struct Surroundings<'a> {
    session: &'a str,
    vars: &'a BTreeMap<String, String>,
    zone: &'a TimeZone,
    language: Language,
    routes: &'a CheckedRoutes,
}

impl<'a> Surroundings<'a> {
    pub(super) fn new(
        session: &'a str,
        vars: &'a BTreeMap<String, String>,
        zone: &'a TimeZone,
        language: Option<&str>,
        routes: &'a CheckedRoutes,
    ) -> Surroundings<'a> {
        Surroundings { session, vars, zone, language: Language::of(language), routes }
    }

    /// The names of all variables that the session or any of its routes sets.
    fn variables(&self) -> BTreeSet<&'a str> {
        let of_routes = self.routes.answered_by(self.session).flat_map(|(_, vars)| vars.keys());
        self.vars.keys().chain(of_routes).map(String::as_str).collect()
    }

    /// The variables of each route that leads here; the session's own where none does.
    fn trials(&self) -> Vec<(Option<&'a str>, BTreeMap<String, String>)> {
        let mut trials: Vec<_> = self
            .routes
            .answered_by(self.session)
            .map(|(route, vars)| {
                let mut all = self.vars.clone();
                all.extend(vars.clone());
                (Some(route), all)
            })
            .collect();
        if trials.is_empty() {
            trials.push((None, self.vars.clone()));
        }
        trials
    }
}

impl Checker<'_> {
    /// The compiled template; none, with its problems told, where it cannot be used.
    pub(super) fn template(
        &mut self,
        written: Option<Written>,
        surroundings: &Surroundings<'_>,
    ) -> Option<Option<Template>> {
        let Some(written) = written else { return Some(None) };
        let template = match Template::compile(&written.text) {
            Ok(template) => template,
            Err(error) => {
                self.template_error(&written, &error, None);
                return None;
            }
        };
        if !self.template_names(&template, &written, surroundings) {
            return None;
        }
        for (route, vars) in surroundings.trials() {
            let now = local_time(SAMPLE_NOW, surroundings.zone);
            if let Err(error) = template.render(&SAMPLE, &vars, surroundings.language, now) {
                self.template_error(&written, &error, route);
                return None;
            }
        }
        Some(Some(template))
    }

    fn template_error(&mut self, written: &Written, error: &TemplateError, route: Option<&str>) {
        let location = written.locate(error.range.clone());
        if let (true, Some(route)) = (error.is_unknown_name, route) {
            let message = format!("the template uses a name that route `{route}` does not set");
            self.report_at(&codes::TEMPLATE_NAME, location, message)
                .help("give it a value in the session's `vars` too, or a default: `{{ … | default(\"\") }}`");
            return;
        }
        self.report_at(&codes::TEMPLATE, location, "the template cannot be used")
            .label(error.message.clone());
    }

    /// Compares the names a template uses with what there is, also where a trial does not pass.
    fn template_names(
        &mut self,
        template: &Template,
        written: &Written,
        surroundings: &Surroundings<'_>,
    ) -> bool {
        let variables = surroundings.variables();
        let mut are_known = true;
        for name in template.names() {
            let known: Vec<&str> = match name.split_once('.') {
                Some(("vars", rest)) if variables.contains(first_part(rest)) => continue,
                Some(("call", rest)) if Template::CALL_FIELDS.contains(&rest) => continue,
                None if matches!(name.as_str(), "call" | "vars" | "now") => continue,
                Some(("vars", _)) => variables.iter().copied().collect(),
                Some(("call", _)) => Template::CALL_FIELDS.to_vec(),
                _ => vec!["call", "vars", "now"],
            };
            are_known = false;
            let wanted = name.split_once('.').map_or(name.as_str(), |(_, rest)| rest);
            let help = match did_you_mean(wanted, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if known.is_empty() => "this session and its routes set no `vars`".to_owned(),
                None => format!("there is {}", list(known)),
            };
            let message = "the template uses a name that does not exist";
            self.report_at(&codes::TEMPLATE_NAME, written.find(&name), message)
                .label(format!("no `{name}`"))
                .help(help);
        }
        are_known
    }
}

fn first_part(path: &str) -> &str {
    path.split('.').next().unwrap_or(path)
}
