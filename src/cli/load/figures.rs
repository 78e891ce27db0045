//! What was measured: latencies by HDR histogram, calls that went wrong by kind, what happened over time.
//!
//! Every time is the generator's own, taken where a message left or arrived here, so it means the same
//! whatever answers at the other end. Calls write into one [`Book`]; a [`Summary`] is what is told of it,
//! in all formats.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::time::Instant;

use super::process::{Machine, Use};

/// Precision: three digits, of any time whatever.
const DIGITS: u8 = 3;
/// Whatever takes longer counts as long as this, a day, so that a histogram never grows without bound.
const MICROS_MAX: u64 = 24 * 3_600 * 1_000_000;
/// So many points of a latency are kept to be drawn; later ones count in the histogram alone.
const POINTS_MAX: usize = 200_000;
/// So many failures are told one by one.
const EXAMPLES_MAX: usize = 10;

/// What is measured of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Metric {
    /// The carrier's question → what to do with the caller.
    Voice,
    /// Webhook sent → accept received.
    Accept,
    /// Webhook sent → answered.
    Webhook,
    /// Accept answered → the sideband is open.
    Sideband,
    /// Sideband open → the greeting is asked for.
    FirstWord,
    /// Function call sent → its output received.
    Tool,
    /// The caller stopped → the model is asked to answer, tool call and all.
    Reply,
    /// The call began → it is over.
    Call,
    /// The call was due → accept received.
    AcceptScheduled,
    /// The call was due → it is over.
    CallScheduled,
    /// A frame of the caller's was sent → the model got it.
    ToModel,
    /// A frame of the model's was sent → the caller got it.
    ToCaller,
}

impl Metric {
    /// All of them, in the order in which they are told.
    pub const ALL: [Metric; 12] = [
        Metric::Voice,
        Metric::Accept,
        Metric::AcceptScheduled,
        Metric::Webhook,
        Metric::Sideband,
        Metric::FirstWord,
        Metric::Tool,
        Metric::Reply,
        Metric::Call,
        Metric::CallScheduled,
        Metric::ToModel,
        Metric::ToCaller,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Metric::Voice => "voice",
            Metric::Accept => "accept",
            Metric::Webhook => "webhook",
            Metric::AcceptScheduled => "accept_scheduled",
            Metric::Sideband => "sideband",
            Metric::FirstWord => "first_word",
            Metric::Tool => "tool",
            Metric::Reply => "reply",
            Metric::Call => "call",
            Metric::CallScheduled => "call_scheduled",
            Metric::ToModel => "to_model",
            Metric::ToCaller => "to_caller",
        }
    }

    /// What it is, in a few words.
    pub const fn meaning(self) -> &'static str {
        match self {
            Metric::Voice => "voice request → TwiML",
            Metric::Accept => "webhook sent → accept received",
            Metric::Webhook => "webhook sent → answered",
            Metric::AcceptScheduled => "call due → accept received",
            Metric::Sideband => "accept answered → sideband open",
            Metric::FirstWord => "sideband open → greeting asked for",
            Metric::Tool => "function call → its output",
            Metric::Reply => "caller stopped → answer asked for",
            Metric::Call => "call began → over",
            Metric::CallScheduled => "call due → over",
            Metric::ToModel => "frame: caller → model",
            Metric::ToCaller => "frame: model → caller",
        }
    }
}

/// The times of one metric.
#[derive(Debug)]
pub(super) struct Times {
    histogram: Histogram<u64>,
    /// When it was seen, and how long it was: milliseconds since the beginning, microseconds.
    points: Vec<(u32, u32)>,
}

impl Default for Times {
    fn default() -> Times {
        Times { histogram: histogram(), points: Vec::new() }
    }
}

/// An empty histogram of microseconds, which grows with what it is given.
fn histogram() -> Histogram<u64> {
    Histogram::new(DIGITS).expect("three digits are a precision")
}

/// A moment in the life of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Sample {
    /// Seconds since the beginning.
    pub second: f64,
    /// Calls at once.
    pub calls: u32,
    /// Cores that the target used since the sample before.
    pub cores: Option<f64>,
    /// Memory of the target.
    pub rss_kib: Option<u64>,
    /// Cores that the generator used since the sample before.
    pub generator_cores: Option<f64>,
}

/// What all calls write into.
pub(super) struct Book {
    pages: Mutex<Pages>,
    zero: Instant,
    /// Calls at this moment.
    live: AtomicU32,
}

#[derive(Default)]
struct Pages {
    times: BTreeMap<Metric, Times>,
    lag: Times,
    started: u64,
    completed: u64,
    failures: BTreeMap<String, u64>,
    examples: Vec<String>,
    peak: u32,
    samples: Vec<Sample>,
}

/// What one call saw.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Its times, each with when it was seen.
    times: Vec<(Metric, Instant, Duration)>,
}

impl Seen {
    /// One more, seen now.
    pub fn add(&mut self, metric: Metric, time: Duration) {
        self.times.push((metric, Instant::now(), time));
    }
}

/// Why a call went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// Its kind: a word under which it is counted.
    pub kind: String,
    /// More of it, for a person.
    pub detail: String,
}

/// Something of this kind went wrong.
pub(super) fn wrong(kind: impl Into<String>, detail: impl Into<String>) -> Wrong {
    Wrong { kind: kind.into(), detail: detail.into() }
}

impl Book {
    /// An empty one: it begins now.
    pub fn new() -> Book {
        Book { pages: Mutex::default(), zero: Instant::now(), live: AtomicU32::new(0) }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// When it began.
    pub fn zero(&self) -> Instant {
        self.zero
    }

    /// Calls at this moment.
    pub fn live(&self) -> u32 {
        self.live.load(Ordering::Relaxed)
    }

    /// A call begins, so much later than it was due.
    pub fn begins(&self, lag: Option<Duration>) {
        let live = self.live.fetch_add(1, Ordering::Relaxed) + 1;
        let at = self.zero.elapsed();
        let mut pages = self.pages();
        pages.started += 1;
        pages.peak = pages.peak.max(live);
        if let Some(lag) = lag {
            pages.lag.add(at, lag);
        }
    }

    /// The generator itself was late by so much.
    pub fn was_late(&self, lag: Duration) {
        let at = self.zero.elapsed();
        self.pages().lag.add(at, lag);
    }

    /// Calls that went wrong until now.
    pub fn failed(&self) -> u64 {
        self.pages().failures.values().sum()
    }

    /// A call is over; what it saw counts also where it went wrong after it.
    pub fn ends(&self, seen: &Seen, ended: Result<(), Wrong>) {
        self.live.fetch_sub(1, Ordering::Relaxed);
        let mut pages = self.pages();
        for (metric, at, time) in &seen.times {
            let at = at.saturating_duration_since(self.zero);
            pages.times.entry(*metric).or_default().add(at, *time);
        }
        match ended {
            Ok(()) => pages.completed += 1,
            Err(wrong) => pages.note(wrong),
        }
    }

    /// Something that belongs to a call that seemed to go well went wrong.
    pub fn fails(&self, wrong: Wrong) {
        let mut pages = self.pages();
        pages.completed = pages.completed.saturating_sub(1);
        pages.note(wrong);
    }

    /// Counts all times of another histogram, in microseconds.
    pub fn add_all<C: hdrhistogram::Counter>(&self, metric: Metric, histogram: &Histogram<C>) {
        let mut pages = self.pages();
        let times = pages.times.entry(metric).or_default();
        for value in histogram.iter_recorded() {
            // It grows by itself, so nothing is refused.
            let _ = times.histogram.record_n(value.value_iterated_to(), value.count_since_last_iteration());
        }
    }

    /// A moment in the life of the run.
    pub fn sample(&self, sample: Sample) {
        self.pages().samples.push(sample);
    }

    /// Everything that is told of it.
    pub fn summary(&self, what: What) -> Summary {
        let pages = self.pages();
        let failed: u64 = pages.failures.values().sum();
        let latencies = Metric::ALL.into_iter().filter_map(|metric| {
            let times = pages.times.get(&metric).filter(|times| !times.histogram.is_empty())?;
            Some((metric.name(), Latency::of(&times.histogram)))
        });
        let share = 100.0 * failed as f64 / (pages.started.max(1)) as f64;
        let calls = Calls {
            started: pages.started,
            completed: pages.completed,
            failed,
            failed_percent: share,
            per_second: pages.completed as f64 / what.took.as_secs_f64().max(f64::EPSILON),
            peak: pages.peak,
        };
        let timetable = (!pages.lag.histogram.is_empty()).then(|| Latency::of(&pages.lag.histogram));
        let points =
            pages.times.iter().map(|(metric, times)| (metric.name(), times.points.clone())).collect();
        let curves =
            pages.times.iter().map(|(metric, times)| (metric.name(), curve(&times.histogram))).collect();
        Summary {
            command: what.command,
            seconds: what.took.as_secs_f64(),
            calls,
            failures: pages.failures.clone(),
            examples: pages.examples.clone(),
            latency_ms: latencies.collect(),
            target: what.target,
            generator: what.generator.told(timetable),
            held: what.held,
            audio: what.audio,
            thresholds: Vec::new(),
            series: pages.samples.clone(),
            points,
            curves,
        }
    }
}

impl Pages {
    fn note(&mut self, wrong: Wrong) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(format!("{}: {}", wrong.kind, wrong.detail));
        }
        *self.failures.entry(wrong.kind).or_default() += 1;
    }
}

impl Times {
    fn add(&mut self, at: Duration, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(MICROS_MAX).min(MICROS_MAX);
        // It grows by itself, so nothing is refused.
        let _ = self.histogram.record(micros);
        if self.points.len() < POINTS_MAX {
            let at = u32::try_from(at.as_millis()).unwrap_or(u32::MAX);
            self.points.push((at, u32::try_from(micros).unwrap_or(u32::MAX)));
        }
    }
}

/// How long what share of all took at most: of a hundred, and the time in milliseconds.
fn curve(histogram: &Histogram<u64>) -> Vec<(f64, f64)> {
    let steps = histogram.iter_quantiles(4).filter(|step| step.quantile_iterated_to() < 0.999_99);
    steps
        .map(|step| (step.quantile_iterated_to() * 100.0, step.value_iterated_to() as f64 / 1_000.0))
        .collect()
}

/// What is known of a run besides its calls.
pub(super) struct What {
    /// What it was, as typed.
    pub command: String,
    /// How long it took.
    pub took: Duration,
    /// Of the target's processes.
    pub target: Option<Target>,
    /// Of this one.
    pub generator: Generator,
    /// Of held calls.
    pub held: Option<Held>,
    /// Of bridged calls.
    pub audio: Option<Audio>,
}

/// All of it, as it is told.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Summary {
    /// What was run.
    pub command: String,
    /// How long it took.
    pub seconds: f64,
    /// How many calls.
    pub calls: Calls,
    /// How many went wrong, by kind.
    pub failures: BTreeMap<String, u64>,
    /// Some of them, in words.
    pub examples: Vec<String>,
    /// Latencies, by metric.
    pub latency_ms: BTreeMap<&'static str, Latency>,
    /// What the target's processes used.
    pub target: Option<Target>,
    /// What the generator says of itself.
    pub generator: Generator,
    /// Of held calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
    /// Of bridged calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio: Option<Audio>,
    /// What was asked of it, and whether it was so.
    pub thresholds: Vec<Judged>,
    /// Over time.
    pub series: Vec<Sample>,
    /// To be drawn.
    #[serde(skip)]
    pub points: BTreeMap<&'static str, Vec<(u32, u32)>>,
    /// To be drawn.
    #[serde(skip)]
    pub curves: BTreeMap<&'static str, Vec<(f64, f64)>>,
}

/// How many calls.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Calls {
    /// That began.
    pub started: u64,
    /// That went well.
    pub completed: u64,
    /// That went wrong.
    pub failed: u64,
    /// The same of a hundred.
    pub failed_percent: f64,
    /// That went well in a second.
    pub per_second: f64,
    /// At once.
    pub peak: u32,
}

/// One latency, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Latency {
    /// How many there are.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// Half are not longer.
    pub p50: f64,
    /// Nine in ten are not longer.
    pub p90: f64,
    /// 95 of a hundred are not longer.
    pub p95: f64,
    /// 99 of a hundred are not longer.
    pub p99: f64,
    /// 999 of a thousand are not longer.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Latency {
        let at = |share: f64| histogram.value_at_quantile(share).min(histogram.max()) as f64 / 1_000.0;
        Latency {
            count: histogram.len(),
            mean: histogram.mean() / 1_000.0,
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max() as f64 / 1_000.0,
        }
    }
}

/// What the target's processes used, with all that they started.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Target {
    /// Which processes.
    pub pids: Vec<u32>,
    /// While calls were made.
    pub cpu_seconds: f64,
    /// The same, of one core.
    pub cores: f64,
    /// For a thousand calls.
    pub cpu_seconds_per_1000_calls: f64,
    /// Before the first call.
    pub rss_kib_before: u64,
    /// The most that was seen.
    pub rss_kib_peak: u64,
    /// After the last call.
    pub rss_kib_after: u64,
}

/// What the generator says of itself.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Generator {
    /// How late calls began after they were due; without a timetable, how late its own clockwork was.
    pub lag_ms: Option<Latency>,
    /// CPU while calls were made.
    pub cpu_seconds: Option<f64>,
    /// The same, of one core.
    pub cores: Option<f64>,
    /// Of a hundred: its part of the CPU that others left to it; what gives way to it (`nice`) leaves it.
    pub cpu_percent_of_free: Option<f64>,
    /// The figures tell of the generator more than of the gateway.
    pub is_limit: bool,
    /// Why.
    pub warnings: Vec<String>,
}

/// A later start than this, of one call in a hundred, and the timetable was not kept.
const LAG_MAX_MS: f64 = 10.0;
/// More than this of the CPU that is left to it, of a hundred, and the generator is what is slow.
const CPU_MAX_PERCENT: f64 = 90.0;

impl Generator {
    /// What it used between two moments.
    pub fn between(
        before: (Option<Use>, Option<Machine>),
        after: (Option<Use>, Option<Machine>),
        took: Duration,
    ) -> Generator {
        let cpu = before.0.zip(after.0).map(|(then, now)| now.cpu_seconds - then.cpu_seconds);
        let idle = before.1.zip(after.1).map(|(then, now)| (now.idle_seconds - then.idle_seconds).max(0.0));
        let share = cpu.zip(idle).map(|(cpu, idle)| 100.0 * cpu / (cpu + idle).max(f64::EPSILON));
        let cores = cpu.map(|cpu| cpu / took.as_secs_f64().max(f64::EPSILON));
        Generator { cpu_seconds: cpu, cores, cpu_percent_of_free: share, ..Generator::default() }
    }

    fn told(mut self, lag: Option<Latency>) -> Generator {
        self.lag_ms = lag;
        if let Some(lag) = lag.filter(|lag| lag.p99 > LAG_MAX_MS) {
            self.warnings
                .push(format!("the generator was late: once in a hundred by {:.1} ms or more", lag.p99));
        }
        if let Some(share) = self.cpu_percent_of_free.filter(|share| *share > CPU_MAX_PERCENT) {
            self.warnings.push(format!(
                "the machine was full: of the CPU that others left, the generator used {share:.0} %"
            ));
        }
        self.is_limit = !self.warnings.is_empty();
        self
    }
}

/// What held calls cost.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Held {
    /// How many were up at once.
    pub calls: u32,
    /// Until all of them were.
    pub ramp_seconds: f64,
    /// For how long they were held.
    pub seconds: f64,
    /// Memory of the target for each, above that without calls.
    pub rss_kib_per_call: Option<f64>,
    /// Cores of the target while they were held.
    pub cores: Option<f64>,
    /// Memory of the generator for each.
    pub generator_rss_kib_per_call: Option<f64>,
}

/// Audio of bridged calls.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Audio {
    /// How many calls at once.
    pub calls: u32,
    /// For how long frames counted.
    pub seconds: f64,
    /// Memory of the gateway for each, above that without calls.
    pub rss_kib_per_call: Option<f64>,
    /// Of a hundred parts of a core, for each call.
    pub core_percent_per_call: Option<f64>,
    /// By direction.
    pub ways: Vec<AudioWay>,
}

/// One direction.
#[derive(Clone, Debug, Serialize)]
pub(super) struct AudioWay {
    /// Its metric.
    pub metric: &'static str,
    /// Frames that were sent.
    pub sent: u64,
    /// Frames that did not come.
    pub lost: u64,
    /// Frames that came before an earlier one.
    pub disordered: u64,
    /// Frames that took longer than 20 ms.
    pub late: u64,
}

/// A threshold, and what was seen.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Judged {
    /// As typed.
    pub threshold: String,
    /// What was seen, in words; none: nothing.
    pub seen: Option<String>,
    /// Whether it was met.
    pub is_met: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what() -> What {
        What {
            command: "load".to_owned(),
            took: Duration::from_secs(2),
            target: None,
            generator: Generator::default(),
            held: None,
            audio: None,
        }
    }

    #[test]
    fn calls_are_counted_and_what_they_saw_of_them() {
        let book = Book::new();
        for number in 1..=100u64 {
            book.begins(Some(Duration::from_millis(1)));
            let mut seen = Seen::default();
            seen.add(Metric::Accept, Duration::from_millis(number));
            let ended = if number % 50 == 0 { Err(wrong("accept_timeout", "call 50")) } else { Ok(()) };
            book.ends(&seen, ended);
        }
        let summary = book.summary(what());
        assert_eq!((summary.calls.started, summary.calls.completed, summary.calls.failed), (100, 98, 2));
        assert_eq!((summary.calls.failed_percent, summary.calls.per_second), (2.0, 49.0));
        assert_eq!(summary.failures, BTreeMap::from([("accept_timeout".to_owned(), 2)]));
        let accept = summary.latency_ms["accept"];
        assert!((accept.p50 - 50.0).abs() < 0.1 && (accept.p99 - 99.0).abs() < 0.1, "{accept:?}");
        assert!(!summary.generator.is_limit && summary.latency_ms.len() == 1);
    }

    #[test]
    fn another_histogram_is_counted_whole() {
        let (book, mut other) = (Book::new(), Histogram::<u32>::new(2).unwrap());
        [1, 300, 20_001, 60_000_000].iter().for_each(|micros| other.record(*micros).unwrap());
        book.add_all(Metric::ToModel, &other);
        let latency = book.summary(what()).latency_ms["to_model"];
        assert_eq!(latency.count, 4);
        assert!((latency.max - 60_000.0).abs() < 600.0, "{latency:?}");
    }

    #[test]
    fn a_generator_that_is_late_or_busy_says_so() {
        let book = Book::new();
        (0..100).for_each(|_| book.was_late(Duration::from_millis(12)));
        let then = (Some(Use::default()), Some(Machine::default()));
        let used = Use { cpu_seconds: 19.0, rss_kib: 1 };
        let now = (Some(used), Some(Machine { idle_seconds: 1.0 }));
        let generator = Generator::between(then, now, Duration::from_secs(10));
        assert_eq!(generator.cores, Some(1.9));
        let summary = book.summary(What { generator, ..what() });
        assert!(summary.generator.is_limit);
        assert_eq!(summary.generator.warnings.len(), 2, "{:?}", summary.generator.warnings);
    }
}
