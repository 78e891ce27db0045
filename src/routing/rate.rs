//! How many calls may begin within a span of time, as people write it: `20/10m`.

use std::fmt;
use std::time::Duration;

/// So many calls, at most, within any span of this length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Calls; at least one.
    pub calls: u32,
    /// The span; at least a second.
    pub within: Duration,
}

/// A text that is no rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a number of calls and a span of time, such as \"20/10m\"")]
pub struct BadRate;

/// The longest span: what is remembered of a caller is kept for so long.
const WITHIN_MAX: Duration = Duration::from_secs(86_400);

impl Rate {
    /// Reads `CALLS/SPAN`; `duration` reads the span.
    ///
    /// # Errors
    ///
    /// [`BadRate`], also for none at all and for spans below a second or above a day.
    pub fn parse(text: &str, duration: impl FnOnce(&str) -> Option<Duration>) -> Result<Rate, BadRate> {
        let (calls, within) = text.split_once('/').ok_or(BadRate)?;
        let calls: u32 = calls.trim().parse().map_err(|_| BadRate)?;
        let within = duration(within.trim()).ok_or(BadRate)?;
        let is_sane = calls > 0 && (Duration::from_secs(1)..=WITHIN_MAX).contains(&within);
        is_sane.then_some(Rate { calls, within }).ok_or(BadRate)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} calls within {} s", self.calls, self.within.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_and_a_span() {
        let read = |text: &str| {
            Rate::parse(text, |span| span.strip_suffix('s')?.parse().ok().map(Duration::from_secs))
        };
        assert_eq!(read("20 / 60s"), Ok(Rate { calls: 20, within: Duration::from_secs(60) }));
        for bad in
            ["", "20", "/60s", "0/60s", "-1/60s", "20/", "20/x", "20/0s", "20/99999s", "99999999999/60s"]
        {
            assert_eq!(read(bad), Err(BadRate), "{bad}");
        }
    }
}
