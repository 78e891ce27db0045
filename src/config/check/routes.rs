//! `[[routes]]`.

use std::collections::BTreeMap;

use crate::config::codes;
use crate::config::document::Place;
use crate::config::forms::texts;
use crate::config::raw;
use crate::config::suggest::did_you_mean;
use crate::routing::{
    Action, BadPattern, CallerPattern, Conditions, Days, Fallback, Hours, NumberPattern, RejectCode, Route,
    Routes, Span, Target, Wildcard,
};

use super::Checker;
use super::recordings::Recorded;

/// The route that answers with the only session where no routes are written.
const IMPLIED: &str = "default";

/// The routes that could be read, and who answers them.
pub(super) struct CheckedRoutes {
    routes: Vec<Route>,
}

impl CheckedRoutes {
    /// The routes.
    pub(super) fn into_routes(self) -> Routes {
        Routes::new(self.routes)
    }

    /// The names of all variables that any route sets.
    pub(super) fn variables(&self) -> impl Iterator<Item = String> {
        self.routes.iter().flat_map(|route| match &route.action {
            Action::Answer { vars, .. } => vars.keys().cloned().collect(),
            _ => Vec::new(),
        })
    }

    /// The variables of each route that answers with the session, with the route's name.
    pub(super) fn answered_by<'a>(
        &'a self,
        name: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a BTreeMap<String, String>)> {
        self.routes.iter().filter_map(move |route| match &route.action {
            Action::Answer { session, vars } if session == name => Some((route.name.as_str(), vars)),
            _ => None,
        })
    }
}

impl Checker<'_> {
    pub(super) fn routes(
        &mut self,
        raw: Vec<raw::Route>,
        are_written: bool,
        sessions: &BTreeMap<String, raw::Session>,
        recorded: &Recorded,
    ) -> CheckedRoutes {
        if !are_written {
            return CheckedRoutes { routes: self.implied_route(sessions, recorded) };
        }
        let place = Place::of(&["routes"]);
        let mut routes: Vec<Route> = Vec::new();
        let mut always: Option<String> = None;
        for (index, raw) in raw.into_iter().enumerate() {
            let place = place.index(index);
            let name = self.route_name(raw.name.clone(), &place, &routes);
            if let Some(first) = &always {
                let message = format!("route `{name}` is never reached");
                let label = format!("`{first}` takes every call before it");
                self.report(&codes::UNREACHABLE, &place, message).label(label);
            }
            let when = self.conditions(raw.r#match.clone().unwrap_or_default(), &place.key("match"));
            let has_mistake = when.is_none();
            let when = when.unwrap_or_default();
            let is_always =
                when.is_always() && !has_mistake && !self.document.is_tainted(&place.key("match"));
            if is_always && always.is_none() {
                always = Some(name.clone());
            }
            let openai_sip = self.rollout(raw.openai_sip.clone(), &place.key("openai_sip"));
            let fallback = self.fallback(raw.fallback.clone(), &place.key("fallback")).unwrap_or_default();
            let calls_max = self.count(raw.max_calls, &place.key("max_calls"), 1..=100_000);
            let calls_max = calls_max.and_then(|calls| usize::try_from(calls).ok());
            let rate = raw.rate.as_deref().and_then(|rate| self.rate(rate, &place.key("rate")));
            let recording = self.route_recording(&raw, &name, &place, recorded);
            let action = self.action(raw, &name, &place, sessions);
            routes.extend(action.map(|action| Route {
                name,
                when,
                action,
                openai_sip,
                calls_max,
                rate,
                fallback,
                recording,
            }));
        }
        if always.is_none() && !self.has_errors() {
            self.report(&codes::NO_CATCH_ALL, &place, "every route has conditions")
                .label("a call that matches none of the routes is rejected with 404")
                .help("end the list with a route without `match`");
        }
        CheckedRoutes { routes }
    }

    fn implied_route(
        &mut self,
        sessions: &BTreeMap<String, raw::Session>,
        recorded: &Recorded,
    ) -> Vec<Route> {
        if let (1, Some(session)) = (sessions.len(), sessions.keys().next()) {
            let action = Action::Answer { session: session.clone(), vars: BTreeMap::new() };
            let place = Place::of(&["features", "recordings"]);
            let recording = self.recording(None, None, "every call", &place, recorded);
            return vec![Route {
                name: IMPLIED.to_owned(),
                when: Conditions::default(),
                action,
                openai_sip: None,
                calls_max: None,
                rate: None,
                fallback: Fallback::default(),
                recording,
            }];
        }
        if !self.document.is_tainted(&Place::default()) {
            let (message, help) = match sessions.len() {
                0 => ("there is no session to answer with", "add a table `[sessions.reception]`"),
                _ => ("there are several sessions and no route", "add a `[[routes]]` that names one of them"),
            };
            self.report(&codes::NOTHING_ANSWERS, &Place::default(), message).help(help);
        }
        Vec::new()
    }

    fn route_name(&mut self, name: Option<String>, place: &Place, before: &[Route]) -> String {
        let Some(name) = self.required(name, place, "name", "give the route a name for records and metrics")
        else {
            return String::new();
        };
        if self.name(&name, &place.key("name")) && before.iter().any(|route| route.name == name) {
            let message = format!("there is another route named `{name}`");
            self.report(&codes::ROUTE_TWICE, &place.key("name"), message)
                .help("give each route its own name");
        }
        name
    }

    fn action(
        &mut self,
        raw: raw::Route,
        name: &str,
        place: &Place,
        sessions: &BTreeMap<String, raw::Session>,
    ) -> Option<Action> {
        let vars = texts(raw.vars);
        let of_a_model = [
            ("openai_sip", raw.openai_sip.is_some()),
            ("fallback", raw.fallback.is_some()),
            ("max_calls", raw.max_calls.is_some()),
            ("rate", raw.rate.is_some()),
        ];
        if let (None, Some((key, _))) = (&raw.session, of_a_model.iter().find(|(_, is_set)| *is_set)) {
            let message = format!("route `{name}` has `{key}`, but no model that could be reached or not");
            self.report(&codes::ROUTE_ACTION, &place.key(key), message)
                .help(format!("remove `{key}`, or answer with a `session`"));
            return None;
        }
        match (raw.session, raw.reject, raw.forward) {
            (Some(session), None, None) => {
                self.known_session(&session, &format!("route `{name}`"), &place.key("session"), sessions)?;
                Some(Action::Answer { session, vars })
            }
            (None, Some(code), None) if vars.is_empty() => {
                self.reject(code.0, &place.key("reject")).map(Action::Reject)
            }
            (None, None, Some(to)) if vars.is_empty() => {
                self.target(&to, &place.key("forward")).map(Action::Forward)
            }
            (None, None, None) if self.document.is_tainted(place) => None,
            (None, Some(_), None) | (None, None, Some(_)) => {
                let message = format!("route `{name}` has `vars`, but no session to use them");
                self.report(&codes::ROUTE_ACTION, &place.key("vars"), message)
                    .help("remove `vars`, or answer with a `session`");
                None
            }
            _ => {
                let message = format!("route `{name}` does not do exactly one thing");
                self.report(&codes::ROUTE_ACTION, place, message).help(
                    "write one of `session = \"…\"` (with `vars`), `reject = 486` and `forward = \"+81…\"`",
                );
                None
            }
        }
    }

    /// A problem unless the session exists.
    pub(super) fn known_session(
        &mut self,
        session: &str,
        who: &str,
        place: &Place,
        sessions: &BTreeMap<String, raw::Session>,
    ) -> Option<()> {
        if sessions.contains_key(session) {
            return Some(());
        }
        if self.document.is_tainted(&Place::of(&["sessions"])) {
            return None;
        }
        let near = did_you_mean(session, sessions.keys().map(String::as_str));
        let help = near.map_or_else(
            || format!("add a table `[sessions.{session}]`"),
            |near| format!("did you mean `{near}`?"),
        );
        self.report(&codes::UNKNOWN_SESSION, place, format!("{who} uses a session that does not exist"))
            .label(format!("no `[sessions.{session}]` in this file"))
            .help(help);
        None
    }

    fn reject(&mut self, code: u32, place: &Place) -> Option<RejectCode> {
        let code = u16::try_from(code).ok().and_then(RejectCode::new);
        if code.is_none() {
            self.report(&codes::REJECT_CODE, place, format!("`{place}` is not a code that refuses a call"))
                .help("use 400 to 699, such as 486 (busy) or 603 (declined)");
        }
        code
    }

    /// A place to send a call.
    pub(super) fn target(&mut self, text: &str, place: &Place) -> Option<Target> {
        let target = Target::parse(text).ok();
        if target.is_none() {
            self.report(&codes::TARGET, place, format!("`{place}` is not a place to send a call"))
                .help("write a number like \"+81312345678\" or an address like \"sip:desk@example.com\"");
        }
        target
    }

    fn conditions(&mut self, raw: raw::Match, place: &Place) -> Option<Conditions> {
        let to = raw.to.map_or_else(Vec::new, |many| many.0);
        let to = self.patterns(to, &place.key("to"), NumberPattern::parse);
        let from = raw.from.map_or_else(Vec::new, |many| many.0);
        let from = self.patterns(from, &place.key("from"), CallerPattern::parse);
        let headers = self.headers(raw.header.unwrap_or_default(), &place.key("header"));
        let hours = match raw.hours {
            Some(hours) => self.hours(hours, &place.key("hours")).map(Some),
            None => Some(None),
        };
        let percent = raw.percent.map(|percent| percent.0);
        let shown = self.within(percent, &place.key("percent"), 0.0..=100.0);
        (shown == percent).then_some(())?;
        Some(Conditions { to: to?, from: from?, headers: headers?, hours: hours?, percent })
    }

    fn patterns<P>(
        &mut self,
        texts: Vec<String>,
        place: &Place,
        parse: impl Fn(&str) -> Result<P, BadPattern>,
    ) -> Option<Vec<P>> {
        let is_list = self.document.get(place).is_some_and(toml::de::DeValue::is_array);
        let mut patterns = Some(Vec::new());
        for (index, text) in texts.iter().enumerate() {
            match parse(text) {
                Ok(pattern) => {
                    if let Some(list) = &mut patterns {
                        list.push(pattern);
                    }
                }
                Err(fault) => {
                    patterns = None;
                    let place = if is_list { place.index(index) } else { place.clone() };
                    self.report(&codes::NUMBER_PATTERN, &place, format!("`{place}` is not a number pattern"))
                        .label(fault.to_string())
                        .help("write numbers like \"+815012345678\" or \"+8150*\"");
                }
            }
        }
        patterns
    }

    fn headers(&mut self, raw: BTreeMap<String, String>, place: &Place) -> Option<Vec<(String, Wildcard)>> {
        let mut are_fit = true;
        for name in raw.keys() {
            let location = self.document.locate_key(&place.key(name));
            are_fit &= self.header_name(name, location);
        }
        are_fit.then(|| raw.into_iter().map(|(name, value)| (name, Wildcard::new(value))).collect())
    }

    fn hours(&mut self, raw: raw::Hours, place: &Place) -> Option<Hours> {
        let zone =
            self.required(raw.tz, place, "tz", "say where these hours are read: `tz = \"Asia/Tokyo\"`");
        let zone = zone.and_then(|name| self.time_zone(&name, &place.key("tz")));
        let days = match &raw.days {
            Some(text) => Days::parse(text).map_err(|fault| (place.key("days"), fault)),
            None => Ok(Days::ALL),
        };
        let (key, text) = match (&raw.between, &raw.outside) {
            (Some(_), Some(_)) => {
                self.report(&codes::HOURS, place, "hours have `between` or `outside`, not both");
                return None;
            }
            (between, None) => ("between", between),
            (None, outside) => ("outside", outside),
        };
        let span = text.as_deref().map(Span::parse).transpose().map_err(|fault| (place.key(key), fault));
        let faults = [days.as_ref().err(), span.as_ref().err()];
        for (place, fault) in faults.into_iter().flatten() {
            self.report(&codes::HOURS, place, format!("`{place}` cannot be read")).label(fault.to_string());
        }
        Some(Hours { days: days.ok()?, span: span.ok()?, outside: key == "outside", zone: zone? })
    }
}
