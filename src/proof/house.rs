//! How the gateway is set up, drawn anew for each day.

use std::time::Duration;

use super::chance::Chance;
use super::terms::recording_of;
use crate::call_control::admission::{self, Overflow};
use crate::routing::{Action, Conditions, Fallback, Rate, Recording, Route, Routes};

const FRONT_DESK: &str = "front-desk";
const SALES: &str = "sales";
/// So many people share one number: a limit for each number is met.
const NUMBERS: u32 = 10;

/// The route that takes a caller.
pub(super) fn route_of(caller: u32) -> &'static str {
    if caller.is_multiple_of(5) { SALES } else { FRONT_DESK }
}

/// The number that a caller calls from.
pub(super) fn number_of(caller: u32) -> String {
    format!("+8190{:08}", caller % NUMBERS)
}

fn route(name: &str, calls_max: Option<usize>, rate: Option<Rate>) -> Route {
    Route {
        name: name.to_owned(),
        when: Conditions::default(),
        action: Action::Answer { session: name.to_owned(), vars: Default::default() },
        openai_sip: None,
        calls_max,
        rate,
        fallback: Fallback::default(),
        recording: None,
    }
}

/// What stands in the configuration of a day.
#[derive(Clone, Debug)]
pub(super) struct House {
    /// Calls are recorded; on some days that changes while calls run.
    pub records: bool,
    /// The carrier's copy of a recording is deleted once ours is on disk.
    pub delete_at_carrier: bool,
    /// Recordings of calls that began longer ago are deleted; none: they are kept.
    pub recordings_kept: Option<Duration>,
    /// How many calls may be answered at once, and what those get who are one too many.
    pub admission: admission::Settings,
    pub routes: Routes,
}

impl House {
    /// How the route of a caller records its calls now; none: not at all.
    pub fn recording_of(&self, caller: u32) -> Option<Recording> {
        self.records.then(|| recording_of(caller))
    }

    pub fn of_day(chance: &mut Chance) -> House {
        let is_tight = chance.permille(400);
        let rate = |calls, seconds| Rate { calls, within: Duration::from_secs(seconds) };
        let admission = admission::Settings {
            calls_max: if is_tight { chance.between(2, 4) as usize } else { 100 },
            overflow: if chance.permille(500) { Overflow::Busy } else { Overflow::Fallback },
            per_caller: chance.permille(300).then(|| rate(2, 600)),
        };
        let few = chance.permille(300).then(|| chance.between(1, 2) as usize);
        let slow = chance.permille(200).then(|| rate(4, 120));
        let routes = Routes::new(vec![route(FRONT_DESK, None, slow), route(SALES, few, None)]);
        House {
            records: chance.permille(800),
            admission,
            routes,
            delete_at_carrier: chance.permille(700),
            recordings_kept: chance.permille(500).then(|| Duration::from_secs(chance.between(1, 6) * 3_600)),
        }
    }
}
