//! Looks at the processes while calls are made: the target's and this one.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::figures::{Book, Generator, Sample, Target};
use super::process::{self, Machine, Use, Watched};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// So many looks are kept; then every second one is forgotten, and looks are twice as far apart.
const LOOKS_MAX: usize = 1_000;
/// Between two beats of the clockwork, where no timetable says how late this process is.
const BEAT: Duration = Duration::from_millis(10);

/// Two tasks that look until [`Watch::stop`].
pub(super) struct Watch {
    target: Option<Watched>,
    began: Instant,
    before: (Option<Use>, Option<Machine>),
    target_before: Option<Use>,
    peak_kib: Arc<Mutex<u64>>,
    samples: Arc<Mutex<Vec<Sample>>>,
    over: CancellationToken,
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn this() -> (Option<Use>, Option<Machine>) {
    (Watched::this().used_alone(), process::machine())
}

impl Watch {
    /// Begins; `beats`: says how late this process' own clockwork is, too.
    pub fn start(book: &Arc<Book>, target: Option<Watched>, beats: bool) -> Watch {
        let (peak_kib, samples) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(Vec::new())));
        let watch = Watch {
            began: Instant::now(),
            before: this(),
            target_before: target.as_ref().and_then(Watched::used),
            peak_kib: Arc::clone(&peak_kib),
            samples: Arc::clone(&samples),
            over: CancellationToken::new(),
            target: target.clone(),
        };
        let (looking, over) = (Arc::clone(book), watch.over.clone());
        tokio::spawn(async move { over.run_until_cancelled(look(looking, target, peak_kib, samples)).await });
        if beats {
            let (book, over) = (Arc::clone(book), watch.over.clone());
            tokio::spawn(async move { over.run_until_cancelled(beat(book)).await });
        }
        watch
    }

    /// What a process uses at the moment.
    pub fn target_now(&self) -> Option<Use> {
        self.target.as_ref()?.used()
    }

    /// What the target had before.
    pub fn target_before(&self) -> Option<Use> {
        self.target_before
    }

    /// Ends; `calls` is what the CPU is divided by. Gives how long it was, what the target used, and this process.
    pub fn stop(self, book: &Book, calls: u64) -> (Duration, Option<Target>, Generator) {
        self.over.cancel();
        let took = self.began.elapsed();
        lock(&self.samples).drain(..).for_each(|sample| book.sample(sample));
        let generator = Generator::between(self.before, this(), took);
        let target = self.target.as_ref().and_then(|watched| {
            let (then, now) = (self.target_before?, watched.used()?);
            let cpu_seconds = now.cpu_seconds - then.cpu_seconds;
            Some(Target {
                pids: watched.pids().to_vec(),
                cpu_seconds,
                cores: cpu_seconds / took.as_secs_f64().max(f64::EPSILON),
                cpu_seconds_per_1000_calls: cpu_seconds * 1_000.0 / (calls.max(1) as f64),
                rss_kib_before: then.rss_kib,
                rss_kib_peak: now.rss_kib.max(*lock(&self.peak_kib)),
                rss_kib_after: now.rss_kib,
            })
        });
        (took, target, generator)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.cancel();
    }
}

async fn look(
    book: Arc<Book>,
    target: Option<Watched>,
    peak_kib: Arc<Mutex<u64>>,
    samples: Arc<Mutex<Vec<Sample>>>,
) {
    let mut step = 1u32;
    let mut at = Instant::now();
    let mut before = (target.as_ref().and_then(Watched::used), Watched::this().used_alone());
    loop {
        tokio::time::sleep(LOOK * step).await;
        let passed = at.elapsed().as_secs_f64();
        at = Instant::now();
        let now = (target.as_ref().and_then(Watched::used), Watched::this().used_alone());
        let cores = |then: Option<Use>, now: Option<Use>| {
            then.zip(now).map(|(then, now)| (now.cpu_seconds - then.cpu_seconds) / passed)
        };
        if let Some(now) = now.0 {
            let mut peak = lock(&peak_kib);
            *peak = (*peak).max(now.rss_kib);
        }
        let mut samples = lock(&samples);
        samples.push(Sample {
            second: book.zero().elapsed().as_secs_f64(),
            calls: book.live(),
            cores: cores(before.0, now.0),
            rss_kib: now.0.map(|now| now.rss_kib),
            generator_cores: cores(before.1, now.1),
        });
        before = now;
        if samples.len() >= LOOKS_MAX {
            let mut keep = false;
            samples.retain(|_| {
                keep = !keep;
                keep
            });
            step *= 2;
        }
    }
}

/// Says how late each beat is. Timers count whole milliseconds, so one is always late by up to one or two.
async fn beat(book: Arc<Book>) {
    let mut beats = interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let due = beats.tick().await;
        book.was_late(due.elapsed());
    }
}
