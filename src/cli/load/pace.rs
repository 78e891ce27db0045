//! Who begins a call when: on a timetable (open), whenever another ends (closed), or all of them, one after the
//! other, to be held (held).

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::super::progress;
use super::figures::Book;
use super::timetable::{Rate, Spacing, Timetable};

/// How calls come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Model {
    /// On a timetable that waits for nobody.
    Open {
        /// How many in a second.
        rate: Rate,
        /// For how long.
        span: Duration,
        /// How far apart.
        spacing: Spacing,
        /// Decides what is left to chance.
        seed: u64,
    },
    /// One begins when another ends.
    Closed {
        /// How many.
        calls: u64,
        /// How many at once.
        concurrency: u32,
    },
    /// All are up at once, for a while.
    Held {
        /// How many.
        calls: u32,
        /// How long they are held once all are up.
        span: Duration,
        /// How many begin in a second.
        ramp: Rate,
    },
}

impl Model {
    /// How many calls there will be, at most or on average.
    pub fn expected(&self) -> u64 {
        match *self {
            Model::Open { rate, span, spacing, seed } => Timetable::new(rate, span, spacing, seed).expected(),
            Model::Closed { calls, .. } => calls,
            Model::Held { calls, .. } => u64::from(calls),
        }
    }

    /// Whether a timetable says when a call begins.
    pub fn has_timetable(&self) -> bool {
        !matches!(self, Model::Closed { .. })
    }

    /// When calls are due, counted from the beginning; none where that depends on others.
    fn timetable(&self) -> Option<Timetable> {
        match *self {
            Model::Open { rate, span, spacing, seed } => Some(Timetable::new(rate, span, spacing, seed)),
            Model::Held { calls, ramp, .. } => {
                let span = ramp.gap().mul_f64(f64::from(calls) - 0.5);
                Some(Timetable::new(ramp, span, Spacing::Even, 0))
            }
            Model::Closed { .. } => None,
        }
    }
}

/// Has calls made until all are over. `play` is given the number of a call and when it was due, and ends with the
/// call.
pub(super) async fn drive<P, F>(model: Model, book: &Arc<Book>, play: P)
where
    P: Fn(u64, Instant) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let bar = progress::counting(model.expected(), "calls");
    let (book, play) = (Arc::clone(book), Arc::new(play));
    let mut calls = JoinSet::new();
    let call = |number: u64, due: Instant, lag: bool| {
        let (book, play, bar) = (Arc::clone(&book), Arc::clone(&play), bar.clone());
        async move {
            book.begins(lag.then(|| due.elapsed()));
            play(number, due).await;
            bar.inc(1);
        }
    };
    match (model.timetable(), model) {
        (Some(timetable), _) => {
            let zero = Instant::now();
            for (number, at) in (0..).zip(timetable) {
                let due = zero + at;
                sleep_until(due).await;
                calls.spawn(call(number, due, true));
                while calls.try_join_next().is_some() {}
            }
        }
        (None, Model::Closed { calls: count, concurrency }) => {
            let next = Arc::new(AtomicU64::new(0));
            for _ in 0..concurrency {
                let next = Arc::clone(&next);
                let (book, play, bar) = (Arc::clone(&book), Arc::clone(&play), bar.clone());
                calls.spawn(async move {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= count {
                            return;
                        }
                        book.begins(None);
                        play(number, Instant::now()).await;
                        bar.inc(1);
                    }
                });
            }
        }
        (None, _) => {}
    }
    while calls.join_next().await.is_some() {}
    bar.finish_and_clear();
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::timetable;
    use super::*;

    async fn numbers(model: Model) -> Vec<u64> {
        let (book, seen) = (Arc::new(Book::new()), Arc::new(Mutex::new(Vec::new())));
        let noted = Arc::clone(&seen);
        drive(model, &book, move |number, _| {
            noted.lock().unwrap().push(number);
            async {}
        })
        .await;
        let mut seen = seen.lock().unwrap().clone();
        seen.sort_unstable();
        seen
    }

    #[tokio::test]
    async fn every_call_is_made_once_in_each_model() {
        let rate = timetable::rate("1000/s").unwrap();
        let (span, spacing) = (Duration::from_millis(20), Spacing::Even);
        let open = Model::Open { rate, span, spacing, seed: 1 };
        let closed = Model::Closed { calls: 20, concurrency: 3 };
        let held = Model::Held { calls: 20, span, ramp: rate };
        for model in [open, closed, held] {
            assert_eq!(model.expected(), 20);
            assert_eq!(numbers(model).await, (0..20).collect::<Vec<u64>>(), "{model:?}");
        }
    }

    /// No call ends before the last has begun: whoever waited for an answer would wait for ever.
    #[tokio::test]
    async fn a_timetable_waits_for_no_answer() {
        let rate = timetable::rate("1000/s").unwrap();
        let model = Model::Open { rate, span: Duration::from_millis(10), spacing: Spacing::Even, seed: 1 };
        let (book, all) = (Arc::new(Book::new()), Arc::new(tokio::sync::Barrier::new(10)));
        let driven = drive(model, &book, move |_, _| {
            let all = Arc::clone(&all);
            async move {
                all.wait().await;
            }
        });
        tokio::time::timeout(Duration::from_secs(30), driven).await.expect("all begin");
    }
}
