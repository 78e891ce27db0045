//! Time and chance as arguments.
//!
//! Nothing below the roof reads the machine's clock or draws a random number by itself: it is
//! handed a [`Clock`] and an [`Entropy`], so that tests and simulations decide both.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand::{Rng, SeedableRng, rngs::StdRng};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A moment: microseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default, JsonSchema)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment `micros` microseconds after the epoch.
    pub const fn from_micros(micros: u64) -> Timestamp {
        Timestamp(micros)
    }

    /// The moment `millis` milliseconds after the epoch.
    pub const fn from_millis(millis: u64) -> Timestamp {
        Timestamp(millis.saturating_mul(1_000))
    }

    /// The moment `secs` seconds after the epoch.
    pub const fn from_secs(secs: u64) -> Timestamp {
        Timestamp(secs.saturating_mul(1_000_000))
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the epoch.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000
    }

    /// Whole seconds since the epoch.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000
    }

    /// How long after `earlier` this is; zero when it is not after.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Timestamp;

    fn add(self, span: Duration) -> Timestamp {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        Timestamp(self.0.saturating_add(micros))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Timestamp;

    fn sub(self, span: Duration) -> Timestamp {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        Timestamp(self.0.saturating_sub(micros))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 with milliseconds, UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = i64::try_from(self.0).unwrap_or(i64::MAX);
        match jiff::Timestamp::from_microsecond(micros) {
            Ok(moment) => write!(f, "{moment:.3}"),
            Err(_) => write!(f, "{} µs", self.0),
        }
    }
}

/// A text that is no moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write microseconds since 1970, or a time such as `2026-11-18T11:06:40Z`")]
pub struct NotATime;

impl FromStr for Timestamp {
    type Err = NotATime;

    /// Reads whole microseconds since the epoch, or RFC 3339.
    fn from_str(text: &str) -> Result<Timestamp, NotATime> {
        if let Ok(micros) = text.parse() {
            return Ok(Timestamp(micros));
        }
        let moment: jiff::Timestamp = text.parse().map_err(|_| NotATime)?;
        u64::try_from(moment.as_microsecond()).map(Timestamp).map_err(|_| NotATime)
    }
}

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// The present moment, as far as the machine knows it: somebody may set it, forward or back.
    fn now(&self) -> Timestamp;

    /// How much time has passed since some moment that stays the same; nobody can set that.
    fn elapsed(&self) -> Duration {
        self.now().since(Timestamp::default())
    }
}

/// The time of something that lasts, such as a call: it begins when the clock says so, and from then on goes as
/// fast as time does, also when the clock is set meanwhile.
pub struct Steady {
    clock: Arc<dyn Clock>,
    began: Timestamp,
    elapsed: Duration,
}

impl Steady {
    /// Begins now.
    pub fn new(clock: &Arc<dyn Clock>) -> Steady {
        Steady { clock: Arc::clone(clock), began: clock.now(), elapsed: clock.elapsed() }
    }
}

impl Clock for Steady {
    fn now(&self) -> Timestamp {
        self.began + self.elapsed()
    }

    fn elapsed(&self) -> Duration {
        self.clock.elapsed().saturating_sub(self.elapsed)
    }
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> Timestamp {
        // A clock before 1970 reads as 1970: every comparison with it then says "long ago".
        let span = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(span.as_micros()).unwrap_or(u64::MAX))
    }

    fn elapsed(&self) -> Duration {
        static BEGAN: OnceLock<Instant> = OnceLock::new();
        BEGAN.get_or_init(Instant::now).elapsed()
    }
}

/// A clock that a test moves by hand.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that stands at `now`.
    pub fn at(now: Timestamp) -> ManualClock {
        ManualClock(AtomicU64::new(now.0))
    }

    /// Moves the clock forward.
    pub fn advance(&self, span: Duration) {
        self.set(self.now() + span);
    }

    /// Puts the clock to `now`, forward or back.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// Where random bytes come from: the operating system, or a seed.
pub enum Entropy {
    /// The thread's cryptographic generator, seeded by the operating system.
    System,
    /// A generator that gives the same bytes for the same seed; for simulations.
    Seeded(Box<Mutex<StdRng>>),
}

impl Entropy {
    /// A source that always gives the same sequence for `seed`.
    pub fn seeded(seed: u64) -> Entropy {
        Entropy::Seeded(Box::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// The next `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        match self {
            Entropy::System => rand::rng().fill_bytes(&mut bytes),
            Entropy::Seeded(rng) => {
                rng.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).fill_bytes(&mut bytes);
            }
        }
        bytes
    }
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entropy")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_prints_as_rfc_3339() {
        assert_eq!(Timestamp::from_millis(1_795_000_000_042).to_string(), "2026-11-18T11:06:40.042Z");
    }

    #[test]
    fn a_timestamp_is_read_in_two_ways() {
        let at = Timestamp::from_millis(1_795_000_000_042);
        for text in ["2026-11-18T11:06:40.042Z", "2026-11-18T20:06:40.042+09:00", "1795000000042000"] {
            assert_eq!(text.parse(), Ok(at), "{text}");
        }
        for text in ["", "yesterday", "-1", "1969-12-31T23:59:59Z", "2026-11-18"] {
            assert_eq!(text.parse::<Timestamp>(), Err(NotATime), "{text}");
        }
    }

    #[test]
    fn a_seed_repeats_itself() {
        assert_eq!(Entropy::seeded(7).bytes::<8>(), Entropy::seeded(7).bytes::<8>());
        assert_ne!(Entropy::seeded(7).bytes::<8>(), Entropy::seeded(8).bytes::<8>());
    }
}
