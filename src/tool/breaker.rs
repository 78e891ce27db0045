//! A circuit breaker: what fails again and again is not asked for a while, so that callers hear an honest
//! word at once and not after a timeout.
//!
//! After some failures in a row it opens; when its time is over, one trial is let through, and what comes of
//! that closes it or opens it again. The time is an argument.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// When it opens and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// So many failures in a row open it.
    pub failures: u32,
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
    /// With so many failures in a row.
    Closed(u32),
    /// Until then.
    Open(Instant),
    /// One trial is under way.
    Trying,
}

/// A try that was let through. Dropped without a verdict (the call ended meanwhile) it counts as nothing.
#[derive(Debug)]
pub struct Admission<'a> {
    breaker: &'a Breaker,
    is_trial: bool,
    /// When a trial that came to nothing may be repeated.
    admitted: Instant,
    is_decided: bool,
}

impl Breaker {
    /// A closed breaker.
    pub fn new(settings: Settings) -> Breaker {
        Breaker { settings, state: Mutex::new(State::Closed(0)) }
    }

    /// Lets a try through; none while it is open, or while a trial is under way.
    pub fn admit(&self, now: Instant) -> Option<Admission<'_>> {
        let mut state = self.locked();
        let is_trial = match *state {
            State::Closed(_) => false,
            State::Open(until) if now >= until => {
                *state = State::Trying;
                true
            }
            State::Open(_) | State::Trying => return None,
        };
        Some(Admission { breaker: self, is_trial, admitted: now, is_decided: false })
    }

    /// Claims that nothing is let through now.
    pub fn is_open(&self, now: Instant) -> bool {
        match *self.locked() {
            State::Closed(_) => false,
            State::Open(until) => now < until,
            State::Trying => true,
        }
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        // A state is one word, whole at every moment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admission<'_> {
    /// It worked: the breaker is closed. Claims that it was open before.
    pub fn succeeded(mut self) -> bool {
        self.is_decided = true;
        let mut state = self.breaker.locked();
        // A try that began before the breaker opened says nothing about now.
        if self.is_trial || matches!(*state, State::Closed(_)) {
            *state = State::Closed(0);
        }
        self.is_trial
    }

    /// It failed. Claims that this opened the breaker.
    pub fn failed(mut self, now: Instant) -> bool {
        self.is_decided = true;
        let mut state = self.breaker.locked();
        let settings = self.breaker.settings;
        match *state {
            State::Closed(before) if before + 1 < settings.failures => {
                *state = State::Closed(before + 1);
                false
            }
            State::Open(_) => false,
            State::Trying if !self.is_trial => false,
            State::Closed(_) | State::Trying => {
                *state = State::Open(now + settings.open_for);
                true
            }
        }
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        if self.is_trial && !self.is_decided {
            *self.breaker.locked() = State::Open(self.admitted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings { failures: 3, open_for: Duration::from_secs(30) };

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
