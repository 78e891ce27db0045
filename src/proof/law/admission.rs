//! What must hold of who is let in: never more than there is room for, nobody turned away while there is room, and those who
//! are get what is configured.

use std::collections::{BTreeMap, BTreeSet};

use super::Law;
use crate::call::Call;
use crate::call::record::EndedReason;
use crate::call_control::admission::{Overflow, TooMany};
use crate::clock::Timestamp;
use crate::ids::CallId;
use crate::proof::carrier::alias_of;
use crate::proof::doors::Told;
use crate::proof::house::{number_of, route_of};
use crate::proof::world::World;
use crate::routing::Rate;

/// What is known of those who were let in.
#[derive(Default)]
pub(super) struct Entrance {
    /// Let in, and not kept yet.
    entering: BTreeSet<CallId>,
    /// When this process let somebody in, by number and by route.
    begun: BTreeMap<String, Vec<Timestamp>>,
}

impl Law {
    /// Whether a call that was let in could be kept is known.
    pub fn entered(&mut self, id: CallId) {
        self.entrance.entering.remove(&id);
    }
}

impl World {
    /// Somebody was let in, or was one too many.
    pub(in crate::proof) fn law_admitted(&mut self, id: CallId, caller: u32, refused: Option<&TooMany>) {
        let (route, number) = (route_of(caller), number_of(caller));
        let limits = self.house.routes.named(route);
        let (on_route, rate) =
            limits.map_or((None, None), |limits| (limits.calls_max, limits.rate.map(|rate| (route, rate))));
        let per_caller = self.house.admission.per_caller.map(|rate| (number.as_str(), rate));
        let in_all = self.house.admission.calls_max;
        let (live, live_on_route) = (self.live(None), self.live(Some(route)));
        let is_full = |(name, rate): (&str, Rate)| self.begun_within(name, rate) >= rate.calls as usize;
        let is_right = match refused {
            None => {
                live < in_all
                    && on_route.is_none_or(|max| live_on_route < max)
                    && !rate.is_some_and(is_full)
                    && !per_caller.is_some_and(is_full)
            }
            Some(TooMany::Calls) => live >= in_all,
            Some(TooMany::OnRoute) => on_route.is_some_and(|max| live_on_route >= max),
            Some(TooMany::RouteRate(_)) => rate.is_some_and(is_full),
            Some(TooMany::CallerRate(_)) => per_caller.is_some_and(is_full),
            Some(TooMany::Behind(_)) => false,
        };
        match refused {
            Some(why) if !is_right => {
                self.violated(caller, format!("there is room, and the caller is turned away: {why}"));
            }
            None if !is_right => {
                self.violated(
                    caller,
                    format!("a caller too many is let in: {live} are there, {live_on_route} on the route"),
                );
            }
            _ => {}
        }
        self.law.tally.refused += u64::from(refused.is_some());
        if refused.is_none() {
            self.law.entrance.entering.insert(id);
            for name in [route.to_owned(), number] {
                self.law.entrance.begun.entry(name).or_default().push(self.now);
            }
        }
    }

    /// How many calls there are that were let in and are not over, also those that are to be taken up.
    fn live(&self, route: Option<&str>) -> usize {
        let is_on = |id: &CallId| route.is_none_or(|route| route_of(self.caller_of(*id)) == route);
        let Some(process) = &self.process else { return 0 };
        let is_live = |call: Option<&Call>| call.is_none_or(|call| !call.is_over() && is_admitted(call));
        let kept = process.keepers.iter().filter(|(_, keeper)| is_live(keeper.call.as_ref()));
        kept.map(|(id, _)| id).chain(&self.law.entrance.entering).filter(|id| is_on(id)).count()
    }

    fn begun_within(&self, name: &str, rate: Rate) -> usize {
        let is_recent = |at: &&Timestamp| self.now.since(**at) < rate.within;
        self.law.entrance.begun.get(name).map_or(0, |begun| begun.iter().filter(is_recent).count())
    }

    /// The process is gone, and what it remembered of callers with it.
    pub(in crate::proof) fn law_places_gone(&mut self) {
        self.law.entrance = Entrance::default();
    }

    /// The carrier is told what to do with a caller.
    pub(in crate::proof) fn law_told(&mut self, caller: u32, told: &Told) {
        let known = self.disk.books.aliases.get(&alias_of(caller)).and_then(|id| self.disk.record(*id));
        let is_busy = known
            .and_then(|record| record.ended)
            .is_some_and(|ended| ended.reason == EndedReason::Busy && ended.detail.is_some());
        let is_right = match self.house.admission.overflow {
            Overflow::Busy => matches!(told, Told::Busy),
            Overflow::Fallback => matches!(told, Told::Fallback),
        };
        if is_busy && !is_right {
            self.violated(caller, "who is one too many is not told what is configured".to_owned());
        }
    }

    /// All calls are over: there is room for as many as ever.
    pub(super) fn law_rooms_are_empty(&mut self) {
        let (Some(process), limits) = (&self.process, &self.house.admission) else { return };
        let (routes, now) = (&self.house.routes, self.instant());
        let admit = |route| process.admission.admit(limits, routes, route, None, now);
        let in_all: Vec<_> = (0..limits.calls_max).map_while(|_| admit(None).ok()).collect();
        let is_room = in_all.len() == limits.calls_max;
        drop(in_all);
        let on_routes = routes.iter().all(|route| {
            let max = route.calls_max.unwrap_or(0).min(limits.calls_max);
            let here: Vec<_> = (0..max).map_while(|_| admit(Some(&route.name)).ok()).collect();
            here.len() == max
        });
        if !is_room || !on_routes {
            self.violated(0, "all calls are over, and some have not given their places back".to_owned());
        }
    }
}

/// Claims that a call came by the carrier; what is offered alone is turned away and takes no place.
fn is_admitted(call: &Call) -> bool {
    call.record.carrier.is_some()
}
