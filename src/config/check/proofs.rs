//! `[[tests]]`: calls that might come, and what is to become of them. The routes themselves answer.
//!
//! What such a test finds does not depend on when or where it runs: a test whose result hangs on the hour must say when
//! its call comes.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Zoned;

use crate::call::record::Path;
use crate::clock::Timestamp;
use crate::config::codes;
use crate::config::document::Place;
use crate::config::raw;
use crate::config::suggest::{did_you_mean, list};
use crate::phone::{CallingCode, PartyNumber};
use crate::routing::{Action, Asked, Considered, Rollout, Routes};

use super::Checker;

/// What decides about the calls of tests.
pub(super) struct Tried<'a> {
    pub routes: &'a Routes,
    /// How numbers without a calling code are read.
    pub country: CallingCode,
    /// Which callers go over SIP where a route says nothing.
    pub openai_sip: Rollout,
    /// The carrier can stream to us.
    pub has_stream: bool,
}

/// A call that might come.
struct Given {
    from: Option<String>,
    to: Option<String>,
    headers: Vec<(String, String)>,
    at: Option<Timestamp>,
}

/// What becomes of it, in the words of `expect`.
struct Found {
    values: BTreeMap<&'static str, String>,
    /// Why, route by route.
    why: String,
}

impl Checker<'_> {
    /// Plays the tests; gives the names of those that passed. Without routes to try them with they are only read.
    pub(super) fn tests(&mut self, raw: Vec<raw::Test>, tried: Option<&Tried<'_>>) -> Vec<String> {
        let mut names = BTreeSet::new();
        let mut passed = Vec::new();
        for (index, raw) in raw.into_iter().enumerate() {
            let place = Place::of(&["tests"]).index(index);
            let name = self.required(raw.name, &place, "name", "say in a few words what it shows");
            if let Some(name) = name.clone().filter(|name| !names.insert(name.clone())) {
                let message = format!("there is another test named `{}`", name.escape_debug());
                self.report(&codes::TEST, &place.key("name"), message).help("give each test its own name");
            }
            let help = "say which call comes: `given = { to = \"+815012345678\", from = \"+819012345678\" }`";
            let given = self.required(raw.given, &place, "given", help);
            let country = tried.map_or(CallingCode::JAPAN, |tried| tried.country);
            let given = given.and_then(|given| self.given(given, &place.key("given"), country));
            let help = "say what becomes of the call: `expect = { session = \"…\" }`";
            let expect = self.required(raw.expect, &place, "expect", help);
            let expect = expect.and_then(|expect| self.expected(&expect, &place.key("expect")));
            if let (Some(name), Some(given), Some(expect), Some(tried)) = (name, given, expect, tried)
                && self.holds(&name, &given, &expect, tried, &place)
            {
                passed.push(name);
            }
        }
        passed
    }

    fn given(&mut self, raw: raw::Given, place: &Place, country: CallingCode) -> Option<Given> {
        let number = |text: Option<String>| {
            let read = text.map(|text| PartyNumber::read(&text, country));
            read.and_then(|number| number.as_str().map(str::to_owned))
        };
        let at = match raw.at {
            None => None,
            Some(text) => match moment(&text) {
                Some(at) => Some(at),
                None => {
                    let place = place.key("at");
                    self.report(&codes::TEST, &place, format!("`{place}` is not a moment"))
                        .help("write \"2026-01-10T23:30:00+01:00\" or \"2026-01-10T23:30[Europe/Berlin]\"");
                    return None;
                }
            },
        };
        let headers = raw.headers.unwrap_or_default().into_iter().collect();
        Some(Given { from: number(raw.from), to: number(raw.to), headers, at })
    }

    /// The expected values by key.
    fn expected(&mut self, raw: &raw::Expect, place: &Place) -> Option<Vec<(&'static str, String)>> {
        let actions = ["answer", "reject", "forward"].map(|word| (word, ()));
        if let Some(action) = &raw.action {
            self.word(action, &place.key("action"), &actions)?;
        }
        let paths = [Path::Sip, Path::MediaStreams].map(|path| (path.as_str(), ()));
        if let Some(path) = &raw.path {
            self.word(path, &place.key("path"), &paths)?;
        }
        let forward = match &raw.forward {
            Some(to) => Some(self.target(to, &place.key("forward"))?.to_string()),
            None => None,
        };
        let reject = raw.reject.map(|code| code.0.to_string());
        let (route, session) = (raw.route.clone(), raw.session.clone());
        let (action, path) = (raw.action.clone(), raw.path.clone());
        let all = [
            ("route", route),
            ("session", session),
            ("action", action),
            ("reject", reject),
            ("forward", forward),
            ("path", path),
        ];
        let said: Vec<_> = all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        if said.is_empty() && !self.document.is_tainted(place) {
            self.report(&codes::TEST, place, "the test expects nothing")
                .help("say what becomes of the call: `expect = { session = \"…\" }`");
        }
        (!said.is_empty()).then_some(said)
    }

    /// Claims that the call goes as expected. A test tells one thing: what comes after is a consequence.
    fn holds(
        &mut self,
        name: &str,
        given: &Given,
        expected: &[(&'static str, String)],
        tried: &Tried<'_>,
        place: &Place,
    ) -> bool {
        let Given { from, to, headers, at } = given;
        let now = at.unwrap_or(Timestamp::from_secs(0));
        let asked = Asked { from: from.as_deref(), to: to.as_deref(), headers, now };
        let steps = tried.routes.explain(&asked);
        if at.is_none()
            && let Some(step) = steps.iter().find(|step| has_hours(tried.routes, step.route))
        {
            let message = format!("the test `{}` does not say when its call comes", name.escape_debug());
            let label = format!("route `{}` has hours", step.route);
            self.report(&codes::TEST, &place.key("given"), message)
                .label(label)
                .help("add `at = \"2026-01-10T23:30:00+01:00\"`");
            return false;
        }
        let found = found(&asked, &steps, tried);
        let wrong = expected.iter().find(|(key, value)| found.values.get(key) != Some(value));
        let Some((key, wanted)) = wrong else { return true };
        let here = place.key("expect").key(key);
        let label = match found.values.get(key) {
            Some(value) => format!("it is `{value}`"),
            None => format!("there is no {key}: the action is `{}`", found.values["action"]),
        };
        let known = || tried.routes.iter().map(|route| route.name.as_str());
        let help = match *key {
            "route" if tried.routes.named(wanted).is_none() => match did_you_mean(wanted, known()) {
                Some(near) => format!("there is no such route; did you mean `{near}`?"),
                None => format!("there is no such route; there is {}", list(known())),
            },
            _ => found.why,
        };
        self.report(&codes::TEST_FAILS, &here, format!("the test `{}` fails", name.escape_debug()))
            .label(label)
            .help(help);
        false
    }
}

fn moment(text: &str) -> Option<Timestamp> {
    let zoned = || text.parse::<Zoned>().ok()?.timestamp().as_second().try_into().ok();
    text.parse().ok().or_else(|| zoned().map(Timestamp::from_secs))
}

fn has_hours(routes: &Routes, route: &str) -> bool {
    routes.named(route).is_some_and(|route| route.when.hours.is_some())
}

fn found(asked: &Asked<'_>, steps: &[Considered<'_>], tried: &Tried<'_>) -> Found {
    let decision = tried.routes.decide(asked);
    let mut values: BTreeMap<&'static str, String> = BTreeMap::new();
    values.extend(decision.route.map(|route| ("route", route.to_owned())));
    match decision.action {
        Action::Answer { session, .. } => {
            values.insert("action", "answer".to_owned());
            values.insert("session", session.clone());
            values.extend(
                path(asked.from, decision.route, tried).map(|path| ("path", path.as_str().to_owned())),
            );
        }
        Action::Reject(code) => {
            values.insert("action", "reject".to_owned());
            values.insert("reject", code.get().to_string());
        }
        Action::Forward(target) => {
            values.insert("action", "forward".to_owned());
            values.insert("forward", target.to_string());
        }
    }
    let step = |step: &Considered<'_>| format!("route `{}`: {}", step.route, step.why);
    let mut why: Vec<String> = steps.iter().map(step).collect();
    if decision.route.is_none() {
        why.push("no other route takes it".to_owned());
    }
    Found { values, why: why.join("\n") }
}

/// The path to the model that is tried first; none where nothing leads there, or where chance decides: a withheld caller
/// of a share is drawn anew with every call.
fn path(from: Option<&str>, route: Option<&str>, tried: &Tried<'_>) -> Option<Path> {
    let own = route.and_then(|route| tried.routes.named(route)).and_then(|route| route.openai_sip);
    let rollout = own.unwrap_or(tried.openai_sip);
    let is_over_sip = match from {
        Some(from) => rollout.takes(from),
        None if rollout == Rollout::ALL => true,
        None if rollout.is_none() => false,
        None => return None,
    };
    match is_over_sip {
        true => Some(Path::Sip),
        false => tried.has_stream.then_some(Path::MediaStreams),
    }
}
