//! When calls arrive: a fixed timetable that waits for no answer, so that a gateway that is slow is not asked
//! less often.
//!
//! That is the open model. A generator that waits for an answer before it sends the next call measures least
//! where the gateway is slowest ("coordinated omission").

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// The most calls a second that can be asked for: beyond it nothing on one machine would be on time.
const RATE_MAX: f64 = 10_000.0;
/// The longest time that can be asked for: a day.
const SPAN_MAX: Duration = Duration::from_secs(24 * 3_600);

/// So many calls in a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rate(f64);

/// How far calls are apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Spacing {
    /// All the same distance apart.
    #[default]
    Even,
    /// By chance, as callers who know nothing of each other.
    Poisson,
}

/// The moments at which calls arrive, counted from the beginning.
#[derive(Debug)]
pub(super) struct Timetable {
    rate: Rate,
    span: Duration,
    number: u64,
    at: f64,
    chance: Option<StdRng>,
}

impl Rate {
    /// In a second.
    pub fn per_second(self) -> f64 {
        self.0
    }

    /// Between two calls that are evenly apart.
    pub fn gap(self) -> Duration {
        Duration::from_secs_f64(1.0 / self.0)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", (self.0 * 1_000.0).round() / 1_000.0)
    }
}

impl Timetable {
    /// Calls at this rate for so long; the seed decides the distances that are left to chance.
    pub fn new(rate: Rate, span: Duration, spacing: Spacing, seed: u64) -> Timetable {
        let chance = (spacing == Spacing::Poisson).then(|| StdRng::seed_from_u64(seed));
        Timetable { rate, span, number: 0, at: 0.0, chance }
    }

    /// How many calls that will be, or will be on average.
    pub fn expected(&self) -> u64 {
        (self.rate.0 * self.span.as_secs_f64()).round() as u64
    }
}

impl Iterator for Timetable {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let at = match &mut self.chance {
            // From the number, so that no error adds up.
            None => self.number as f64 / self.rate.0,
            Some(chance) => {
                let part: f64 = chance.random();
                self.at += -(1.0 - part).ln() / self.rate.0;
                self.at
            }
        };
        self.number += 1;
        // A nanosecond's grace: the last of 3 calls at 0.1/s begins at 20 s, not a rounding error later.
        let at = Duration::from_nanos((at * 1e9).round() as u64);
        (at < self.span).then_some(at)
    }
}

/// Reads `20/s`, `300/m`, `1000/h` or `20`, which is a second's.
pub(super) fn rate(text: &str) -> Result<Rate, String> {
    let (count, unit) = text.split_once('/').unwrap_or((text, "s"));
    let seconds = match unit {
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        _ => return Err(format!("`{unit}` is no unit of a rate: `20/s`, `300/m` or `1000/h`")),
    };
    let count: f64 = count.trim().parse().map_err(|_| format!("`{count}` is no number: `20/s`, `300/m`"))?;
    let rate = count / seconds;
    if rate > 0.0 && rate <= RATE_MAX {
        return Ok(Rate(rate));
    }
    Err(format!("more than none, and at most {RATE_MAX} a second"))
}

/// Reads `500ms`, `60s`, `2m`, `1h`, or `0`.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    let at = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (count, unit) = text.split_at(at);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        "" if count == "0" => 1.0,
        _ => return Err("a number with its unit: `500ms`, `60s`, `2m`, `1h`".to_owned()),
    };
    let count: f64 = count.parse().map_err(|_| "a number with its unit: `60s`, `2m`".to_owned())?;
    let span = Duration::try_from_secs_f64(count * seconds).unwrap_or(Duration::MAX);
    if span <= SPAN_MAX { Ok(span) } else { Err("at most a day".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(rate: &str, span: &str, spacing: Spacing) -> Vec<Duration> {
        let (rate, span) = (super::rate(rate).unwrap(), super::span(span).unwrap());
        Timetable::new(rate, span, spacing, 7).collect()
    }

    #[test]
    fn even_calls_are_evenly_apart_and_end_in_time() {
        let times = at("20/s", "60s", Spacing::Even);
        assert_eq!(times.len(), 1_200);
        assert_eq!((times[0], times[1]), (Duration::ZERO, Duration::from_millis(50)));
        assert_eq!(times[1_199], Duration::from_millis(59_950));
        assert_eq!(at("3/s", "1s", Spacing::Even).len(), 3);
        assert_eq!(at("7/m", "1h", Spacing::Even).len(), 420, "no error adds up");
        assert_eq!(at("1/s", "0", Spacing::Even).len(), 0);
    }

    #[test]
    fn calls_by_chance_are_as_many_and_as_far_apart_as_chance_has_it() {
        let times = at("100/s", "100s", Spacing::Poisson);
        assert!((9_600..10_400).contains(&times.len()), "{}", times.len());
        assert!(times.is_sorted());
        let gaps: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
        // Of an exponential distribution 63 % are below the mean.
        let below = gaps.iter().filter(|gap| **gap < 0.01).count() as f64 / gaps.len() as f64;
        assert!((0.61..0.65).contains(&below), "{below}");
        assert_eq!(times, at("100/s", "100s", Spacing::Poisson), "one seed, one timetable");
    }

    #[test]
    fn rates_and_spans_are_read() {
        for (text, expected) in
            [("20/s", 20.0), ("20", 20.0), ("300/m", 5.0), ("0.5/s", 0.5), ("7200/h", 2.0)]
        {
            assert_eq!(rate(text).map(Rate::per_second), Ok(expected), "{text}");
        }
        for text in ["", "x/s", "20/d", "0/s", "-1/s", "nan", "20000/s", "20 /s s"] {
            assert!(rate(text).is_err(), "{text}");
        }
        for (text, millis) in [("500ms", 500), ("60s", 60_000), ("1.5m", 90_000), ("1h", 3_600_000), ("0", 0)]
        {
            assert_eq!(span(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "60", "s", "1d", "-1s", "25h", "1e99h", "1..5s"] {
            assert!(span(text).is_err(), "{text}");
        }
    }
}
