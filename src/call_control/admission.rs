//! Whether one more call may be answered.
//!
//! There is room for a number of calls, in all and on a route; a rate for each caller and each route; and none for
//! anybody while the machine cannot keep up ([`Pulse`]). Who is one too many is told at once, so that those who are
//! served keep their pace. All of it recovers by itself.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
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
    _in_all: Option<OwnedSemaphorePermit>,
    _on_route: Option<OwnedSemaphorePermit>,
}

/// Lets calls in.
pub struct Admission {
    settings: Settings,
    in_all: Arc<Semaphore>,
    routes: BTreeMap<String, RouteRoom>,
    callers: Mutex<HashMap<String, VecDeque<Instant>>>,
    pulse: Arc<Pulse>,
}

struct RouteRoom {
    places: Option<Arc<Semaphore>>,
    rate: Option<Rate>,
    begun: Mutex<VecDeque<Instant>>,
}

impl Admission {
    /// Room as the settings and the routes say.
    pub fn new(settings: Settings, routes: &Routes, pulse: Arc<Pulse>) -> Admission {
        let limited = routes.iter().filter(|route| route.calls_max.is_some() || route.rate.is_some());
        let routes = limited.map(|route| {
            let places = route.calls_max.map(semaphore);
            (route.name.clone(), RouteRoom { places, rate: route.rate, begun: Mutex::default() })
        });
        Admission {
            in_all: semaphore(settings.calls_max),
            routes: routes.collect(),
            callers: Mutex::default(),
            settings,
            pulse,
        }
    }

    /// What those get who are one too many.
    pub fn overflow(&self) -> Overflow {
        self.settings.overflow
    }

    /// How late the machine is, where that is too late to let anybody in.
    pub fn behind(&self) -> Option<Duration> {
        self.pulse.behind(Instant::now())
    }

    /// Lets a caller of a route in.
    ///
    /// # Errors
    ///
    /// [`TooMany`]; nothing is counted then.
    pub fn admit(&self, route: Option<&str>, caller: Option<&str>) -> Result<Place, TooMany> {
        let now = Instant::now();
        if let Some(lag) = self.pulse.behind(now) {
            return Err(TooMany::Behind(lag));
        }
        let room = route.and_then(|route| self.routes.get(route));
        let in_all = Arc::clone(&self.in_all).try_acquire_owned().map_err(|_| TooMany::Calls)?;
        let on_route = match room.and_then(|room| room.places.as_ref()) {
            Some(places) => Some(Arc::clone(places).try_acquire_owned().map_err(|_| TooMany::OnRoute)?),
            None => None,
        };
        // Both are looked at before either counts the call.
        let mut callers = lock(&self.callers);
        let caller = caller.zip(self.settings.per_caller);
        if let Some((number, rate)) = caller
            && callers.get_mut(number).is_some_and(|begun| is_used_up(begun, rate, now))
        {
            return Err(TooMany::CallerRate(rate));
        }
        if let Some((room, rate)) = room.and_then(|room| Some((room, room.rate?))) {
            let mut begun = lock(&room.begun);
            if is_used_up(&mut begun, rate, now) {
                return Err(TooMany::RouteRate(rate));
            }
            begun.push_back(now);
        }
        if let Some((number, rate)) = caller {
            remember(&mut callers, number, rate, now);
        }
        Ok(Place { _in_all: Some(in_all), _on_route: on_route })
    }

    /// The place of a call that an earlier process let in: it stays in, also where there is no room for it now.
    pub fn readmit(&self, route: Option<&str>) -> Place {
        let places = route.and_then(|route| self.routes.get(route)?.places.clone());
        Place {
            _in_all: Arc::clone(&self.in_all).try_acquire_owned().ok(),
            _on_route: places.and_then(|places| places.try_acquire_owned().ok()),
        }
    }
}

fn semaphore(places: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)))
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
