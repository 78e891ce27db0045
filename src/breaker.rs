//! A circuit breaker: what fails again and again is not asked for a while, so that callers hear an honest
//! word at once and not after a timeout.
//!
//! After some failures in a row it opens; when its time is over, one trial is let through, and what comes of
//! that closes it or opens it again. Where tries are rare, a row counts only within a window: two failures
//! a day apart say nothing. The time is an argument.

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// When it opens and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// So many failures in a row open it.
    pub failures: u32,
    /// All of them within this time; none: however far apart.
    pub window: Option<Duration>,
    /// So long it stays open before a trial.
    pub open_for: Duration,
}

/// The breaker of one backend.
#[derive(Debug)]
pub struct Breaker {
    settings: Settings,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// With so many failures in a row, the first of them then.
    Closed(u32, Option<Instant>),
    /// Until then.
    Open(Instant),
    /// One trial is under way.
    Trying,
}

/// A try that was let through. Dropped without a verdict (the call ended meanwhile) it counts as nothing.
#[derive(Debug)]
pub struct Admission<B: Deref<Target = Breaker>> {
    breaker: B,
    is_trial: bool,
    /// When a trial that came to nothing may be repeated.
    admitted: Instant,
    is_decided: bool,
}

impl State {
    const CLOSED: State = State::Closed(0, None);
}

impl Breaker {
    /// A closed breaker.
    pub fn new(settings: Settings) -> Breaker {
        Breaker { settings, state: Mutex::new(State::CLOSED) }
    }

    /// Lets a try through; none while it is open, or while a trial is under way.
    pub fn admit(&self, now: Instant) -> Option<Admission<&Breaker>> {
        Admission::through(self, now)
    }

    /// The same for a try that outlives the call of this function.
    pub fn admit_owned(self: &Arc<Self>, now: Instant) -> Option<Admission<Arc<Breaker>>> {
        Admission::through(Arc::clone(self), now)
    }

    /// Claims that nothing is let through now.
    pub fn is_open(&self, now: Instant) -> bool {
        match *self.locked() {
            State::Closed(..) => false,
            State::Open(until) => now < until,
            State::Trying => true,
        }
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        // A state is one word, whole at every moment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: Deref<Target = Breaker>> Admission<B> {
    fn through(breaker: B, now: Instant) -> Option<Admission<B>> {
        let is_trial = {
            let mut state = breaker.locked();
            match *state {
                State::Closed(..) => false,
                State::Open(until) if now >= until => {
                    *state = State::Trying;
                    true
                }
                State::Open(_) | State::Trying => return None,
            }
        };
        Some(Admission { breaker, is_trial, admitted: now, is_decided: false })
    }

    /// It worked: the breaker is closed. Claims that it was open before.
    pub fn succeeded(mut self) -> bool {
        self.is_decided = true;
        let mut state = self.breaker.locked();
        // A try that began before the breaker opened says nothing about now.
        if self.is_trial || matches!(*state, State::Closed(..)) {
            *state = State::CLOSED;
        }
        self.is_trial
    }

    /// It failed. Claims that this opened the breaker.
    pub fn failed(mut self, now: Instant) -> bool {
        self.is_decided = true;
        let mut state = self.breaker.locked();
        let settings = self.breaker.settings;
        match *state {
            State::Closed(before, first) => {
                let is_in_window = |first: &Instant| {
                    settings.window.is_none_or(|window| now.saturating_duration_since(*first) <= window)
                };
                let first = first.filter(is_in_window);
                let failures = if first.is_some() { before + 1 } else { 1 };
                let opens = failures >= settings.failures;
                *state = match opens {
                    true => State::Open(now + settings.open_for),
                    false => State::Closed(failures, first.or(Some(now))),
                };
                opens
            }
            State::Trying if self.is_trial => {
                *state = State::Open(now + settings.open_for);
                true
            }
            State::Open(_) | State::Trying => false,
        }
    }
}

impl<B: Deref<Target = Breaker>> Drop for Admission<B> {
    fn drop(&mut self) {
        if self.is_trial && !self.is_decided {
            *self.breaker.locked() = State::Open(self.admitted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings { failures: 3, window: None, open_for: Duration::from_secs(30) };

    fn fail(breaker: &Breaker, now: Instant) -> bool {
        breaker.admit(now).expect("an admission").failed(now)
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_trial_closes_it() {
        let (breaker, now) = (Breaker::new(SETTINGS), Instant::now());
        assert!(!fail(&breaker, now) && !fail(&breaker, now));
        assert!(!breaker.admit(now).unwrap().succeeded(), "it was not open");
        assert!(!fail(&breaker, now) && !fail(&breaker, now), "a success begins the row anew");
        assert!(fail(&breaker, now), "the third one opens it");
        assert!(breaker.admit(now + Duration::from_secs(29)).is_none() && breaker.is_open(now));
        let later = now + SETTINGS.open_for;
        let trial = breaker.admit(later).expect("a trial");
        assert!(breaker.admit(later).is_none(), "one trial at a time");
        assert!(trial.succeeded(), "it was open");
        assert!(breaker.admit(later).is_some() && !breaker.is_open(later));
    }

    #[test]
    fn failures_that_are_far_apart_open_nothing() {
        let window = Some(Duration::from_secs(60));
        let (breaker, now) = (Breaker::new(Settings { window, ..SETTINGS }), Instant::now());
        let at = |seconds| now + Duration::from_secs(seconds);
        assert!(!fail(&breaker, at(0)) && !fail(&breaker, at(50)));
        assert!(!fail(&breaker, at(61)), "the first of them does not count any more: a new row");
        assert!(!fail(&breaker, at(62)));
        assert!(fail(&breaker, at(63)));
    }

    #[test]
    fn an_admission_can_outlive_who_asked() {
        let breaker = Arc::new(Breaker::new(Settings { failures: 1, ..SETTINGS }));
        let now = Instant::now();
        let admission = breaker.admit_owned(now).expect("an admission");
        assert!(admission.failed(now) && breaker.admit_owned(now).is_none());
    }

    #[test]
    fn a_trial_that_fails_opens_it_again() {
        let (breaker, now) = (Breaker::new(Settings { failures: 1, ..SETTINGS }), Instant::now());
        assert!(fail(&breaker, now));
        let later = now + SETTINGS.open_for;
        assert!(fail(&breaker, later));
        assert!(breaker.admit(later + Duration::from_secs(29)).is_none());
        assert!(breaker.admit(later + SETTINGS.open_for).is_some());
    }

    #[test]
    fn a_trial_that_is_given_up_makes_place_for_another() {
        let (breaker, now) = (Breaker::new(Settings { failures: 1, ..SETTINGS }), Instant::now());
        fail(&breaker, now);
        let later = now + SETTINGS.open_for;
        drop(breaker.admit(later).expect("a trial"));
        assert!(breaker.admit(later).expect("another trial").succeeded());
    }

    #[test]
    fn what_began_before_it_opened_does_not_decide() {
        let (breaker, now) = (Breaker::new(Settings { failures: 1, ..SETTINGS }), Instant::now());
        let (early, late) = (breaker.admit(now).unwrap(), breaker.admit(now).unwrap());
        fail(&breaker, now);
        early.succeeded();
        assert!(breaker.admit(now).is_none(), "it stays open");
        let trial = breaker.admit(now + SETTINGS.open_for).expect("a trial");
        late.failed(now + SETTINGS.open_for);
        assert!(trial.succeeded());
        assert!(!breaker.is_open(now + SETTINGS.open_for));
    }
}
