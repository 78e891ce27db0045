//! Whether one more call may be answered.
//!
//! There is room for a number of calls, in all and on a route; a rate for each caller and each route; and none for
//! anybody while the machine cannot keep up ([`Pulse`]). Who is one too many is told at once, so that those who are
//! served keep their pace. All of it recovers by itself.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::pulse::Pulse;
use crate::routing::{Rate, Routes};

/// So many callers are remembered at once. Beyond them new ones are not limited one by one: whoever comes from
/// so many numbers is not stopped by it anyway, and the room and the routes' rates still hold.
const CALLERS_MAX: usize = 10_000;

/// What a caller gets who is one too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// The busy tone.
    Busy,
    /// What the route falls back on: an apology, a person, a message.
    Fallback,
}

/// What admission needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Calls that may be answered at once.
    pub calls_max: usize,
    /// What those get who are one too many.
    pub overflow: Overflow,
    /// How often one number may call; none: as often as it likes. Withheld numbers are not limited.
    pub per_caller: Option<Rate>,
}

/// Why a caller is one too many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TooMany {
    /// `server.max_calls` are being answered.
    Calls,
    /// The route's `max_calls` are being answered.
    OnRoute,
    /// More calls within a span than the route's `rate` allows.
    RouteRate(Rate),
    /// The same number called more often than `admission.per_caller` allows.
    CallerRate(Rate),
    /// The machine is late by so much.
    Behind(Duration),
}

impl TooMany {
    /// The label of `switchboard_calls_refused_total`.
    pub fn as_str(&self) -> &'static str {
        match self {
            TooMany::Calls => "max_calls",
            TooMany::OnRoute => "route_max_calls",
            TooMany::RouteRate(_) => "route_rate",
            TooMany::CallerRate(_) => "caller_rate",
            TooMany::Behind(_) => "behind",
        }
    }
}

impl fmt::Display for TooMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TooMany::Calls => f.write_str("server.max_calls are being answered"),
            TooMany::OnRoute => f.write_str("the route's max_calls are being answered"),
            TooMany::RouteRate(rate) => write!(f, "the route's rate is used up: {rate}"),
            TooMany::CallerRate(rate) => write!(f, "admission.per_caller is used up: {rate}"),
            TooMany::Behind(lag) => write!(f, "the machine is {} ms late", lag.as_millis()),
        }
    }
}

/// The right of a call to be answered; it is given back when it is dropped.
#[derive(Debug, Default)]
pub struct Place {
    _in_all: Option<Counted>,
    _on_route: Option<Counted>,
}

/// One call among those that are counted, until it is dropped.
#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn among(count: &Arc<AtomicUsize>) -> Counted {
        count.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Lets calls in. It counts every call, also where nothing limits them, so that a limit that comes later counts those
/// that are there.
pub struct Admission {
    rooms: Mutex<Rooms>,
    pulse: Arc<Pulse>,
}

#[derive(Default)]
struct Rooms {
    in_all: Arc<AtomicUsize>,
    /// By name; there are as many as routes had calls.
    routes: HashMap<String, RouteRoom>,
    callers: HashMap<String, VecDeque<Instant>>,
}

#[derive(Default)]
struct RouteRoom {
    calls: Arc<AtomicUsize>,
    begun: VecDeque<Instant>,
}

impl Rooms {
    fn of(&mut self, route: Option<&str>) -> Option<&mut RouteRoom> {
        let name = route?;
        if !self.routes.contains_key(name) {
            self.routes.insert(name.to_owned(), RouteRoom::default());
        }
        self.routes.get_mut(name)
    }

    fn place(&mut self, route: Option<&str>) -> Place {
        let on_route = self.of(route).map(|room| Counted::among(&room.calls));
        Place { _in_all: Some(Counted::among(&self.in_all)), _on_route: on_route }
    }
}

impl Admission {
    /// Nobody is in.
    pub fn new(pulse: Arc<Pulse>) -> Admission {
        Admission { rooms: Mutex::default(), pulse }
    }

    /// How late the machine is, where that is too late to let anybody in.
    pub fn behind(&self) -> Option<Duration> {
        self.pulse.behind(Instant::now())
    }

    /// Lets a caller of a route in `now`, where there is room by these settings and routes.
    ///
    /// # Errors
    ///
    /// [`TooMany`]; nothing is counted then.
    pub fn admit(
        &self,
        settings: &Settings,
        routes: &Routes,
        route: Option<&str>,
        caller: Option<&str>,
        now: Instant,
    ) -> Result<Place, TooMany> {
        if let Some(lag) = self.pulse.behind(now) {
            return Err(TooMany::Behind(lag));
        }
        let limits = route.and_then(|name| routes.named(name));
        let mut rooms = self.rooms();
        if rooms.in_all.load(Ordering::Relaxed) >= settings.calls_max {
            return Err(TooMany::Calls);
        }
        // Everything is looked at before anything counts the call.
        let caller = caller.zip(settings.per_caller);
        if let Some((number, rate)) = caller
            && rooms.callers.get_mut(number).is_some_and(|begun| is_used_up(begun, rate, now))
        {
            return Err(TooMany::CallerRate(rate));
        }
        if let Some((limits, room)) = limits.zip(rooms.of(route)) {
            if limits.calls_max.is_some_and(|max| room.calls.load(Ordering::Relaxed) >= max) {
                return Err(TooMany::OnRoute);
            }
            if let Some(rate) = limits.rate {
                if is_used_up(&mut room.begun, rate, now) {
                    return Err(TooMany::RouteRate(rate));
                }
                room.begun.push_back(now);
            }
        }
        if let Some((number, rate)) = caller {
            remember(&mut rooms.callers, number, rate, now);
        }
        Ok(rooms.place(route))
    }

    /// The place of a call that an earlier process let in: it stays in, also where there is no room for it now.
    pub fn readmit(&self, route: Option<&str>) -> Place {
        self.rooms().place(route)
    }

    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        // Each change leaves the counts right.
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets what is too long ago; claims that there were as many calls within the span as there may be.
fn is_used_up(begun: &mut VecDeque<Instant>, rate: Rate, now: Instant) -> bool {
    while begun.front().is_some_and(|first| now.saturating_duration_since(*first) >= rate.within) {
        begun.pop_front();
    }
    begun.len() >= rate.calls as usize
}

fn remember(callers: &mut HashMap<String, VecDeque<Instant>>, number: &str, rate: Rate, now: Instant) {
    if callers.len() >= CALLERS_MAX && !callers.contains_key(number) {
        callers.retain(|_, begun| {
            begun.back().is_some_and(|last| now.saturating_duration_since(*last) < rate.within)
        });
    }
    if callers.len() < CALLERS_MAX || callers.contains_key(number) {
        callers.entry(number.to_owned()).or_default().push_back(now);
    }
}
