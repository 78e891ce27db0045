//! Which route a call takes: the first one whose conditions all hold.
//!
//! Deciding is a pure function of what is known before the call is answered: who calls whom, the
//! SIP headers, and the time. Everything compared here is untrusted text: it selects a route and
//! never authorises anything. Numbers are compared as text, so the caller of [`Routes::decide`]
//! normalises them first (E.164 where possible).

use sha2::{Digest, Sha256};

use crate::clock::Timestamp;

mod action;
mod explain;
mod fallback;
mod hours;
mod pattern;
mod rate;
mod recording;
mod rollout;

pub use action::{Action, BadTarget, RejectCode, RejectReason, Target};
pub use explain::Considered;
pub use fallback::{Fallback, Voicemail, Words};
pub use hours::{BadHours, Days, Hours, Span, local_time};
pub use pattern::{BadPattern, CallerPattern, NumberPattern, Wildcard};
pub use rate::{BadRate, Rate};
pub use recording::{Announcement, Recording};
pub use rollout::{BadRollout, Rollout};

/// What happens to a call that no route takes: it is turned away with 404.
const NO_ROUTE: &Action = &Action::Reject(RejectCode::NOT_FOUND);

/// What is known of a call when it must be routed.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Who calls, normalised; none when the number is withheld.
    pub from: Option<&'a str>,
    /// The number that was dialled, normalised; none when no header tells.
    pub to: Option<&'a str>,
    /// SIP headers as they came: names in any case, repeated ones kept.
    pub headers: &'a [(String, String)],
    /// The present moment.
    pub now: Timestamp,
}

/// What to do with a call.
#[derive(Clone, Copy, Debug)]
pub struct Decision<'a> {
    /// The route that took the call; none when no route matched.
    pub route: Option<&'a str>,
    /// What it says.
    pub action: &'a Action,
}

/// The routes in the order in which they are tried.
#[derive(Clone, Debug, Default)]
pub struct Routes(Vec<Route>);

/// A rule: what a call must look like, and what is then done with it.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its name in records, metrics and messages.
    pub name: String,
    /// What a call must look like.
    pub when: Conditions,
    /// What is done with it.
    pub action: Action,
    /// Which of its callers go over SIP; none: as for all routes.
    pub openai_sip: Option<Rollout>,
    /// So many of its calls may be answered at once; none: as many as there is room for.
    pub calls_max: Option<usize>,
    /// So many of its calls may begin within a span; none: as many as come.
    pub rate: Option<Rate>,
    /// What its callers get when all paths have failed.
    pub fallback: Fallback,
    /// How a call that is answered is recorded; none: it is not.
    pub recording: Option<Recording>,
}

/// What a call must look like. Every given condition must hold; an empty one always does.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    /// The called number is one of these.
    pub to: Vec<NumberPattern>,
    /// The caller is one of these.
    pub from: Vec<CallerPattern>,
    /// For each pair, some header of that name (in any case) has a value like that.
    pub headers: Vec<(String, Wildcard)>,
    /// The time is within (or outside) these hours.
    pub hours: Option<Hours>,
    /// The share of callers, in percent, that this route takes; see [`takes_share`].
    pub percent: Option<f64>,
}

impl Routes {
    /// Keeps the routes in their order.
    pub fn new(routes: Vec<Route>) -> Routes {
        Routes(routes)
    }

    /// What to do with the call: the first route that matches decides; without one it is rejected
    /// with 404.
    pub fn decide(&self, asked: &Asked<'_>) -> Decision<'_> {
        let taken = self.0.iter().find(|route| route.when.hold(&route.name, asked));
        match taken {
            Some(route) => Decision { route: Some(&route.name), action: &route.action },
            None => Decision { route: None, action: NO_ROUTE },
        }
    }

    /// The route of this name.
    pub fn named(&self, name: &str) -> Option<&Route> {
        self.0.iter().find(|route| route.name == name)
    }

    /// How the calls of a route are recorded; none: they are not, or there is no such route.
    pub fn recording_of(&self, route: &str) -> Option<&Recording> {
        self.0.iter().find(|known| known.name == route)?.recording.as_ref()
    }

    /// The routes in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.0.iter()
    }
}

impl Conditions {
    /// Claims that every call matches.
    pub fn is_always(&self) -> bool {
        self.to.is_empty()
            && self.from.is_empty()
            && self.headers.is_empty()
            && self.hours.is_none()
            && self.percent.is_none_or(|percent| percent >= 100.0)
    }

    fn hold(&self, route: &str, asked: &Asked<'_>) -> bool {
        let called = self.to.is_empty() || self.to.iter().any(|to| to.matches(asked.to));
        let caller = self.from.is_empty() || self.from.iter().any(|from| from.matches(asked.from));
        called
            && caller
            && self.headers.iter().all(|(name, value)| has_header(asked.headers, name, value))
            && self.hours.as_ref().is_none_or(|hours| hours.hold(asked.now))
            && self.percent.is_none_or(|percent| takes_share(route, asked.from, percent))
    }
}

fn has_header(headers: &[(String, String)], name: &str, value: &Wildcard) -> bool {
    headers.iter().any(|(given, text)| given.eq_ignore_ascii_case(name) && value.matches(text))
}

/// Claims that the caller falls into the first `percent` of `route`.
///
/// The same caller always falls on the same side of the same route. All withheld callers count as one.
fn takes_share(route: &str, caller: Option<&str>, percent: f64) -> bool {
    drawn_percent(route, caller.unwrap_or("anonymous")) < percent
}

/// A number from 0 to below 100 that is drawn for a caller under this name, always the same on every
/// machine and after every restart: SHA-256 over the name, a zero byte and the caller, of which the first
/// four bytes are read as a fraction.
fn drawn_percent(name: &str, caller: &str) -> f64 {
    let mut hash = Sha256::new();
    hash.update(name.as_bytes());
    hash.update([0]);
    hash.update(caller.as_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    // Four bytes are finer than any percentage a person writes, and exact in an f64.
    let drawn = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    f64::from(drawn) * 100.0 / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests;
