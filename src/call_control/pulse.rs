//! How late the machine is: a timer that should fire ten times a second, and an empty commit that should be answered
//! at once.
//!
//! A timer that fires late says that the processors cannot keep up; a commit that waits says that the disk cannot. One
//! such moment closes the doors for new calls for [`CALM_FOR`]; while they last, the doors stay closed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::store::{Store, Tx};

/// How often it is looked.
const EVERY: Duration = Duration::from_millis(100);
/// So long nothing may have been late before the doors open again.
const CALM_FOR: Duration = Duration::from_secs(2);

/// How late the machine was, and when.
#[derive(Debug)]
pub struct Pulse {
    lag_max: Duration,
    seen: Mutex<Seen>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// The last beat that was too late, and by how much.
    too_late: Option<(Instant, Duration)>,
    /// Since when the disk has been waited for.
    waiting_since: Option<Instant>,
}

impl Pulse {
    /// A machine may be late by `lag_max` at most.
    pub fn new(lag_max: Duration) -> Arc<Pulse> {
        Arc::new(Pulse { lag_max, seen: Mutex::default() })
    }

    /// How late the machine is, or was within the last two seconds, where that is too late.
    pub fn behind(&self, now: Instant) -> Option<Duration> {
        let seen = *self.lock();
        let waiting = seen.waiting_since.map(|since| now.saturating_duration_since(since));
        let recent = seen.too_late.filter(|(at, _)| now.saturating_duration_since(*at) < CALM_FOR);
        waiting.filter(|lag| *lag > self.lag_max).or(recent.map(|(_, lag)| lag))
    }

    fn beat(&self, late: Duration, now: Instant) {
        if late > self.lag_max {
            self.lock().too_late = Some((now, late));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Feels the pulse until it is told to stop.
    pub async fn feel(self: Arc<Self>, store: Store, metrics: Arc<Metrics>, stopping: CancellationToken) {
        let disk = self.clone().feel_disk(store);
        let processors = self.feel_processors(&metrics);
        tokio::select! {
            () = stopping.cancelled() => {}
            () = disk => {}
            () = processors => {}
        }
    }

    async fn feel_processors(&self, metrics: &Metrics) {
        let mut beats = interval(EVERY);
        // A beat that was late does not make the next one early.
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = Instant::now();
        loop {
            beats.tick().await;
            let now = Instant::now();
            let late = now.saturating_duration_since(last).saturating_sub(EVERY);
            self.beat(late, now);
            metrics.set_lag(late);
            last = now;
        }
    }

    /// An empty commit writes nothing; it is answered when what stood before it is on disk.
    async fn feel_disk(self: Arc<Self>, store: Store) {
        loop {
            let began = Instant::now();
            self.lock().waiting_since = Some(began);
            let answered = store.commit(Tx { expect: vec![], writes: vec![] }).await;
            let now = Instant::now();
            self.lock().waiting_since = None;
            self.beat(now.saturating_duration_since(began), now);
            if answered.is_err() {
                // A full or broken store is told by its health; nothing is to be felt there for a while.
                tokio::time::sleep(CALM_FOR).await;
            }
            tokio::time::sleep(EVERY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_late_beat_closes_the_doors_for_two_seconds() {
        let pulse = Pulse::new(Duration::from_millis(500));
        let began = Instant::now();
        let after = |millis| began + Duration::from_millis(millis);
        let lag = |millis| Some(Duration::from_millis(millis));
        pulse.beat(Duration::from_millis(500), began);
        assert_eq!(pulse.behind(began), None);
        pulse.beat(Duration::from_millis(700), after(100));
        pulse.beat(Duration::ZERO, after(200));
        assert_eq!(pulse.behind(after(2_000)), lag(700));
        assert_eq!(pulse.behind(after(2_100)), None);
        // The disk hangs.
        pulse.lock().waiting_since = Some(after(3_000));
        assert_eq!(pulse.behind(after(3_400)), None);
        assert_eq!(pulse.behind(after(3_600)), lag(600));
    }
}
