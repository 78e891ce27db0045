//! What is asked of a run: `reply_p99<900ms`, `failed<0.1%`, `rate>=19/s`.

use std::fmt;

use super::figures::{Judged, Metric, Summary};
use super::timetable;

/// The statistics of a latency.
const STATISTICS: [&str; 7] = ["mean", "p50", "p90", "p95", "p99", "p999", "max"];
/// How late the generator's timetable was: beside the metrics of calls.
const LAG: &str = "lag";

/// One thing that must be so.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Threshold {
    what: What,
    order: Order,
    limit: f64,
    text: String,
}

#[derive(Clone, Debug, PartialEq)]
enum What {
    /// A latency of this name, and which statistic of it; in milliseconds.
    Latency(&'static str, &'static str),
    /// Calls that failed, of a hundred.
    Failed,
    /// Calls that went well, in a second.
    Rate,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    Below,
    AtMost,
    Above,
    AtLeast,
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Threshold {
    /// Claims that failed calls are judged by this one.
    pub fn is_of_failures(&self) -> bool {
        self.what == What::Failed
    }

    /// Whether it was so. What was never seen is not.
    pub fn judge(&self, summary: &Summary) -> Judged {
        let seen = match self.what {
            What::Latency(metric, statistic) => {
                let latency = match metric {
                    LAG => summary.generator.lag_ms,
                    metric => summary.latency_ms.get(metric).copied(),
                };
                latency.map(|latency| match statistic {
                    "mean" => latency.mean,
                    "p50" => latency.p50,
                    "p90" => latency.p90,
                    "p95" => latency.p95,
                    "p99" => latency.p99,
                    "p999" => latency.p999,
                    _ => latency.max,
                })
            }
            What::Failed => (summary.calls.started > 0).then_some(summary.calls.failed_percent),
            What::Rate => Some(summary.calls.per_second),
        };
        let is_met = seen.is_some_and(|seen| match self.order {
            Order::Below => seen < self.limit,
            Order::AtMost => seen <= self.limit,
            Order::Above => seen > self.limit,
            Order::AtLeast => seen >= self.limit,
        });
        let words = seen.map(|seen| match self.what {
            What::Latency(..) => super::report::millis(seen),
            What::Failed => format!("{seen:.2} %"),
            What::Rate => format!("{seen:.2}/s"),
        });
        Judged { threshold: self.text.clone(), seen: words, is_met }
    }
}

/// Reads one.
pub(super) fn threshold(text: &str) -> Result<Threshold, String> {
    let at = text.find(['<', '>']).ok_or_else(|| format!("there is no `<` or `>` in it: {EXAMPLES}"))?;
    let (name, rest) = text.split_at(at);
    let (order, limit) = match rest {
        rest if rest.starts_with("<=") => (Order::AtMost, &rest[2..]),
        rest if rest.starts_with(">=") => (Order::AtLeast, &rest[2..]),
        rest if rest.starts_with('<') => (Order::Below, &rest[1..]),
        rest => (Order::Above, &rest[1..]),
    };
    let (name, limit) = (name.trim(), limit.trim());
    let what = what(name)?;
    let limit = match what {
        What::Latency(..) => timetable::span(limit).map(|span| span.as_secs_f64() * 1_000.0)?,
        What::Failed => number(limit.strip_suffix('%').unwrap_or(limit).trim())?,
        What::Rate => number(limit.strip_suffix("/s").unwrap_or(limit).trim())?,
    };
    Ok(Threshold { what, order, limit, text: text.to_owned() })
}

const EXAMPLES: &str = "`reply_p99<900ms`, `failed<0.1%`, `rate>=19/s`";

fn what(name: &str) -> Result<What, String> {
    match name {
        "failed" => return Ok(What::Failed),
        "rate" => return Ok(What::Rate),
        _ => {}
    }
    let (metric, statistic) = name.rsplit_once('_').unwrap_or((name, ""));
    let metrics = Metric::ALL.map(Metric::name);
    let known = metrics.into_iter().chain([LAG]).find(|known| *known == metric);
    let statistic = STATISTICS.into_iter().find(|known| *known == statistic);
    match known.zip(statistic) {
        Some((metric, statistic)) => Ok(What::Latency(metric, statistic)),
        None => Err(format!(
            "`{name}` is no metric: known are `failed`, `rate`, and {}, {LAG} with one of {} behind it, as in \
             `reply_p99`",
            metrics.join(", "),
            STATISTICS.map(|statistic| format!("_{statistic}")).join(" ")
        )),
    }
}

fn number(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("`{text}` is no number: {EXAMPLES}"))?;
    if number.is_finite() { Ok(number) } else { Err(format!("`{text}` is no number: {EXAMPLES}")) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cli::load::figures::{Book, Generator, Seen, What, wrong};

    fn summary() -> Summary {
        let book = Book::new();
        for number in 1..=1_000u64 {
            book.begins(Some(Duration::from_millis(2)));
            let mut seen = Seen::default();
            seen.add(Metric::Reply, Duration::from_millis(number));
            book.ends(&seen, if number == 1 { Err(wrong("no_reply", "")) } else { Ok(()) });
        }
        book.summary(What {
            command: String::new(),
            took: Duration::from_secs(50),
            target: None,
            generator: Generator::default(),
            held: None,
            audio: None,
        })
    }

    #[test]
    fn thresholds_are_read_and_judged() {
        let summary = summary();
        for (text, is_met) in [
            ("reply_p99<1s", true),
            ("reply_p99 < 900ms", false),
            ("reply_p50<=500.9ms", true),
            ("reply_max>2s", false),
            ("lag_p99<10ms", true),
            ("failed<0.1%", false),
            ("failed<=0.1", true),
            ("rate>=19.9/s", true),
            ("rate>20", false),
            // Nothing was seen of it.
            ("tool_p99<10s", false),
        ] {
            let judged = threshold(text).unwrap().judge(&summary);
            assert_eq!(judged.is_met, is_met, "{text}: {judged:?}");
        }
        assert!(threshold("failed<1%").unwrap().is_of_failures());
    }

    #[test]
    fn what_is_not_known_is_answered_with_what_is() {
        for (text, words) in [
            ("latency_p99<1s", "`latency_p99` is no metric: known are `failed`, `rate`, and voice, accept,"),
            ("reply<1s", "`reply` is no metric"),
            ("reply_p98<1s", "as in `reply_p99`"),
            ("reply_p99=1s", "there is no `<` or `>` in it"),
            ("reply_p99<900", "a number with its unit"),
            ("failed<many", "`many` is no number"),
            ("rate>inf", "`inf` is no number"),
        ] {
            let problem = threshold(text).expect_err(text);
            assert!(problem.contains(words), "{text}: {problem}");
        }
    }
}
