//! From typed tables to every room's settings, with every mistake of the meaning told.
//!
//! Each function reads all of its table before it gives up, so that all problems are told at once:
//! values are read into options first and put together at the end.

mod admin;
mod failover;
mod mcp;
mod notifications;
mod params;
mod plugins;
mod proofs;
mod recordings;
mod routes;
mod server;
mod sessions;
mod speech;
mod telemetry;
mod templates;
mod tools;
mod vendors;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::phone::CallingCode;
use crate::routing::Rollout;
use crate::tool::plugin;

use super::PLUGIN_CACHE;
use super::codes::{self, Code, Severity};
use super::defaults::Defaults;
use super::document::{Document, Place};
use super::forms::{Count, Flag, Number};
use super::problem::{Location, Problem, Problems};
use super::raw::{self, Raw};
use super::suggest::{did_you_mean, list};
use super::{Config, Features, units};

use proofs::Tried;
use recordings::Recorded;

pub(super) use sessions::{inherit, offered_tools};

/// What the checks share.
pub(super) struct Checker<'a> {
    /// Where things stand.
    document: &'a Document<'a>,
    /// The directory that paths are relative to.
    directory: &'a Path,
    /// What holds where nothing is said.
    defaults: &'a Defaults,
    /// What was found so far.
    problems: &'a mut Vec<Problem>,
}

/// Checks the whole; none when there were errors.
pub(super) fn check(
    document: &Document<'_>,
    directory: &Path,
    defaults: &Defaults,
    raw: Raw,
    problems: &mut Problems,
) -> Option<Config> {
    let mut found = Vec::new();
    let mut checker = Checker { document, directory, defaults, problems: &mut found };
    let config = checker.config(raw);
    found.into_iter().for_each(|problem| problems.push(problem));
    // A plugin's file may come and go. Whoever loads the plugins tells of it, and a gateway does without.
    problems.forget_alone(&codes::PLUGIN_FILE);
    config.filter(|_| !problems.has_errors())
}

/// The names of all variables that any session sets.
fn session_vars(sessions: &BTreeMap<String, raw::Session>) -> impl Iterator<Item = String> {
    sessions.values().filter_map(|session| session.vars.as_ref()).flat_map(|vars| vars.keys().cloned())
}

/// Checks the plugins and nothing else; none when there were errors.
pub(super) fn plugins_alone(
    document: &Document<'_>,
    directory: &Path,
    defaults: &Defaults,
    raw: Raw,
    problems: &mut Problems,
) -> Option<Vec<plugin::Settings>> {
    let mut found = Vec::new();
    let plugins = Checker { document, directory, defaults, problems: &mut found }.plugins(raw.plugins);
    found.into_iter().for_each(|problem| problems.push(problem));
    plugins
}

impl Checker<'_> {
    fn config(&mut self, mut raw: Raw) -> Option<Config> {
        let has_twilio = self.document.has(&Place::of(&["twilio"]));
        let server = self.server(raw.server, !has_twilio);
        let admin = self.admin(raw.admin);
        let admission = self.admission(raw.admission);
        let openai = self.openai(raw.openai);
        let twilio = if has_twilio { self.twilio(raw.twilio).map(Some) } else { Some(None) };
        let is_on = |flag: Option<Flag>| flag.is_some_and(|flag| flag.0);
        let openai_sip = self.rollout(raw.features.openai_sip, &Place::of(&["features", "openai_sip"]));
        let features = Features {
            openai_sip: openai_sip.unwrap_or(Rollout::NONE),
            failover: is_on(raw.features.failover),
            recordings: is_on(raw.features.recordings),
        };
        let failover = self.failover(raw.failover);
        let announcement = self
            .announcement(raw.recordings.announcement.clone(), &Place::of(&["recordings", "announcement"]));
        let calls_kept = self.kept_for(raw.retention.calls.take(), "calls");
        let audit_kept = self.kept_for(raw.retention.audit.take(), "audit");
        let recordings = self.recordings(raw.recordings, raw.retention);
        let store = self.store(raw.store);
        let plugin_cache = store.as_ref().map(|store| store.path.join(PLUGIN_CACHE));
        let notifications = self.notifications(raw.notifications);
        let telemetry = self.telemetry(raw.telemetry);
        let redaction = self.redaction(raw.redact);
        let plugin_places = self.plugin_places(&raw.plugins);
        let grant_places = self.grant_places(&raw.plugins);
        let plugins = self.plugins(raw.plugins);
        let sandbox = self.sandbox(raw.sandbox);
        let tool_places = self.tool_places(&raw.tools);
        let prices = self.prices(raw.pricing);
        let has_routes = self.document.has(&Place::of(&["routes"]));
        let recorded = Recorded { is_on: features.recordings && has_twilio, announcement };
        let routes = self.routes(raw.routes, has_routes, &raw.sessions, &recorded);
        let known_vars = routes.variables().chain(session_vars(&raw.sessions)).collect();
        let tools = self.tools(raw.tools, &known_vars);
        let sessions = self.sessions(raw.sessions, &routes);
        let routes = routes.into_routes();
        let country = server.as_ref().and_then(|server| server.default_country.as_deref()?.parse().ok());
        let country = country.and_then(CallingCode::new).unwrap_or(CallingCode::JAPAN);
        let tried =
            Tried { routes: &routes, country, openai_sip: features.openai_sip, has_stream: has_twilio };
        // Routes that are wrong elsewhere would be wrong here again.
        let tests_passed = self.tests(raw.tests, (!self.has_errors()).then_some(&tried));
        Some(Config {
            server: server?,
            admin: admin?,
            admission: admission?,
            openai: openai?,
            twilio: twilio?,
            features,
            failover: failover?,
            store: store?,
            recordings: recordings?,
            calls_kept: calls_kept?,
            audit_kept: audit_kept?,
            notifications: notifications?,
            telemetry: telemetry?,
            redaction: redaction?,
            plugins: plugins?,
            plugin_cache: plugin_cache?,
            sandbox: sandbox?,
            tools: tools?,
            prices,
            routes,
            tests_passed,
            offered: offered_tools(self.document, &sessions),
            sessions,
            plugin_places,
            tool_places,
            grant_places,
            warnings: Problems::default(),
            entries: Vec::new(),
            values: Vec::new(),
            read_from: Arc::default(),
        })
    }

    fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| problem.code.severity == Severity::Error)
    }

    fn report(&mut self, code: &'static Code, place: &Place, message: impl Into<String>) -> &mut Problem {
        let location = self.document.locate(place);
        self.report_at(code, location, message)
    }

    fn report_at(
        &mut self,
        code: &'static Code,
        location: Location,
        message: impl Into<String>,
    ) -> &mut Problem {
        self.problems.push(Problem::new(code, location, message));
        let last = self.problems.len() - 1;
        &mut self.problems[last]
    }

    /// The value, or a problem that it is missing in the table at `place`.
    fn required<T>(&mut self, value: Option<T>, place: &Place, key: &str, help: &str) -> Option<T> {
        if value.is_none() && !self.document.is_tainted(place) {
            self.report(&codes::MISSING_KEY, place, format!("`{}` is missing", place.key(key))).help(help);
        }
        value
    }

    /// A duration within the range; `Some(None)` where there is none.
    fn duration(
        &mut self,
        text: Option<String>,
        place: &Place,
        range: RangeInclusive<Duration>,
    ) -> Option<Option<Duration>> {
        let Some(text) = text else { return Some(None) };
        let Some(span) = units::duration(&text) else {
            let message = format!("`{place}` is not a duration");
            self.report(&codes::UNIT, place, message)
                .help("write a number and a unit, such as \"30s\" or \"15m\"");
            return None;
        };
        if !range.contains(&span) {
            let (least, most) = (units::show_duration(*range.start()), units::show_duration(*range.end()));
            self.report(&codes::RANGE, place, format!("`{place}` is out of range"))
                .label(format!("must be {least} to {most}"));
            return None;
        }
        Some(Some(span))
    }

    /// A duration that has a default.
    fn span(
        &mut self,
        text: Option<String>,
        place: &Place,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let absent = text.is_none();
        let span = self.duration(text, place, range)?;
        if absent { None } else { span }
    }

    /// A size that has a default.
    fn size(&mut self, text: Option<String>, place: &Place, range: RangeInclusive<u64>) -> Option<u64> {
        let text = text?;
        let Some(size) = units::bytes(&text) else {
            let message = format!("`{place}` is not a size");
            self.report(&codes::UNIT, place, message)
                .help("write a number and a unit, such as \"64KiB\" or \"64MiB\"");
            return None;
        };
        if !range.contains(&size) {
            let (least, most) = (units::show_bytes(*range.start()), units::show_bytes(*range.end()));
            self.report(&codes::RANGE, place, format!("`{place}` is out of range"))
                .label(format!("must be {least} to {most}"));
            return None;
        }
        Some(size)
    }

    /// A number within the range, where there is one.
    fn within<T: PartialOrd + std::fmt::Display>(
        &mut self,
        value: Option<T>,
        place: &Place,
        range: RangeInclusive<T>,
    ) -> Option<T> {
        let value = value?;
        if range.contains(&value) {
            return Some(value);
        }
        self.report(&codes::RANGE, place, format!("`{place}` is out of range")).label(format!(
            "must be {} to {}",
            range.start(),
            range.end()
        ));
        None
    }

    /// A whole number within the range, where there is one.
    fn count(&mut self, value: Option<Count>, place: &Place, range: RangeInclusive<u32>) -> Option<u32> {
        self.within(value.map(|count| count.0), place, range)
    }

    /// A number within the range, where there is one.
    fn number(&mut self, value: Option<Number>, place: &Place, range: RangeInclusive<f64>) -> Option<f64> {
        self.within(value.map(|number| number.0), place, range)
    }

    /// One of a few words; none, and a problem, for any other.
    fn word<T: Copy>(&mut self, word: &str, place: &Place, words: &[(&str, T)]) -> Option<T> {
        if let Some((_, meaning)) = words.iter().find(|(known, _)| *known == word) {
            return Some(*meaning);
        }
        let known = || words.iter().map(|(known, _)| *known);
        let help = match did_you_mean(word, known()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("it can be {}", list(known())),
        };
        self.report(&codes::WORD, place, format!("`{place}` cannot be this")).help(help);
        None
    }

    /// A name that is fit for labels and keys.
    fn name(&mut self, name: &str, place: &Place) -> bool {
        let is_plain = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
        let is_fit = (1..=64).contains(&name.len()) && name.bytes().all(is_plain);
        if !is_fit {
            self.report(&codes::NAME, place, format!("`{}` cannot be a name", name.escape_debug()))
                .help("use 1 to 64 ASCII letters, digits, `-` or `_`");
        }
        is_fit
    }

    fn time_zone(&mut self, name: &str, place: &Place) -> Option<TimeZone> {
        let zone = TimeZone::get(name).ok();
        if zone.is_none() {
            self.report(&codes::TIME_ZONE, place, format!("`{place}` is not a time zone that is known here"))
                .help("use a name of the IANA database, such as `Asia/Tokyo`, `Europe/Berlin` or `UTC`");
        }
        zone
    }

    fn path(&self, path: &str) -> PathBuf {
        super::files::resolve(self.directory, path)
    }
}
