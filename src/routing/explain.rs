//! Why a call takes the route that it takes, in words; and what a route wants, likewise.

use std::fmt;

use super::{Asked, Conditions, Routes, has_header, takes_share};

/// A route that was looked at, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Considered<'a> {
    /// Its name.
    pub route: &'a str,
    /// It takes the call.
    pub matched: bool,
    /// The condition that does not hold, or those that do.
    pub why: String,
}

impl Routes {
    /// The routes in the order in which they are looked at, to the one that takes the call.
    pub fn explain(&self, asked: &Asked<'_>) -> Vec<Considered<'_>> {
        let mut considered = Vec::new();
        for route in self.iter() {
            let failing = route.when.failing(&route.name, asked);
            let matched = failing.is_none();
            let why = failing.unwrap_or_else(|| match route.when.is_always() {
                true => "it takes every call".to_owned(),
                false => format!("it holds: {}", route.when),
            });
            considered.push(Considered { route: &route.name, matched, why });
            if matched {
                break;
            }
        }
        considered
    }
}

impl Conditions {
    /// The first condition that does not hold; none: all do.
    fn failing(&self, route: &str, asked: &Asked<'_>) -> Option<String> {
        let given = |number: Option<&str>| number.unwrap_or("withheld").to_owned();
        if !(self.to.is_empty() || self.to.iter().any(|to| to.matches(asked.to))) {
            return Some(format!("the called number is {}, not {}", given(asked.to), any_of(&self.to)));
        }
        if !(self.from.is_empty() || self.from.iter().any(|from| from.matches(asked.from))) {
            return Some(format!("the caller is {}, not {}", given(asked.from), any_of(&self.from)));
        }
        let missing = self.headers.iter().find(|(name, value)| !has_header(asked.headers, name, value));
        if let Some((name, value)) = missing {
            return Some(format!("no header {name} is like `{}`", value.as_str()));
        }
        if let Some(hours) = self.hours.as_ref().filter(|hours| !hours.hold(asked.now)) {
            let local = super::local_time(asked.now, &hours.zone);
            return Some(format!("it is {} there, not {hours}", local.strftime("%a %H:%M")));
        }
        let percent = self.percent.filter(|percent| !takes_share(route, asked.from, *percent))?;
        Some(format!("this caller is not among its {percent} %"))
    }
}

impl fmt::Display for Conditions {
    /// What a call must look like, in words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if !self.to.is_empty() {
            parts.push(format!("to {}", any_of(&self.to)));
        }
        if !self.from.is_empty() {
            parts.push(format!("from {}", any_of(&self.from)));
        }
        parts.extend(self.headers.iter().map(|(name, value)| format!("{name} like `{}`", value.as_str())));
        parts.extend(self.hours.as_ref().map(ToString::to_string));
        parts.extend(self.percent.map(|percent| format!("{percent} % of callers")));
        match parts.is_empty() {
            true => f.write_str("every call"),
            false => f.write_str(&parts.join(", ")),
        }
    }
}

fn any_of<T: fmt::Display>(patterns: &[T]) -> String {
    patterns.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::super::{
        Action, CallerPattern, Days, Fallback, Hours, NumberPattern, RejectCode, Route, Span, Wildcard,
    };
    use super::*;
    use crate::clock::Timestamp;

    fn route(name: &str, when: Conditions) -> Route {
        Route {
            name: name.to_owned(),
            when,
            action: Action::Reject(RejectCode::NOT_FOUND),
            openai_sip: None,
            calls_max: None,
            rate: None,
            fallback: Fallback::default(),
            recording: None,
        }
    }

    #[test]
    fn each_route_says_why() {
        let to = vec![NumberPattern::parse("+8150*").unwrap()];
        let from = vec![CallerPattern::Anonymous, CallerPattern::parse("+8190*").unwrap()];
        let hours = Hours {
            days: Days::parse("mon-fri,sun").unwrap(),
            span: Some(Span::parse("09:00-18:30").unwrap()),
            outside: false,
            zone: TimeZone::UTC,
        };
        let routes = Routes::new(vec![
            route("to", Conditions { to, ..Conditions::default() }),
            route("from", Conditions { from, ..Conditions::default() }),
            route(
                "header",
                Conditions { headers: vec![("X-A".into(), Wildcard::new("b*"))], ..Conditions::default() },
            ),
            route("hours", Conditions { hours: Some(hours), ..Conditions::default() }),
            route("share", Conditions { percent: Some(0.0), ..Conditions::default() }),
            route("all", Conditions::default()),
            route("never", Conditions::default()),
        ]);
        // 18 November 2026, a Wednesday, 20:00.
        let now = Timestamp::from_secs(1_795_032_000);
        let asked = Asked { from: Some("+81312345678"), to: Some("+81312340000"), headers: &[], now };
        let said: Vec<String> =
            routes.explain(&asked).into_iter().map(|step| format!("{}: {}", step.route, step.why)).collect();
        assert_eq!(
            said,
            [
                "to: the called number is +81312340000, not +8150*",
                "from: the caller is +81312345678, not anonymous or +8190*",
                "header: no header X-A is like `b*`",
                "hours: it is Wed 20:00 there, not mon-fri,sun 09:00-18:30 UTC",
                "share: this caller is not among its 0 %",
                "all: it takes every call",
            ]
        );
        let withheld = Asked { from: None, ..asked };
        let taken = routes.explain(&withheld);
        assert_eq!(taken.last().map(|step| (step.route, step.matched)), Some(("from", true)));
        assert_eq!(taken[1].why, "it holds: from anonymous or +8190*");
    }
}
